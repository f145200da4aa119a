"""The same facts say the same, whatever the order, repetition and batching of their arrival."""

from hypothesis import given
from hypothesis import strategies as st

from pathway.effects import Ended, Raised
from pathway.fold import fold
from pathway.record import dump
from pathway.standing import standing
from schemas.inbound import Event
from tests.properties.journeys import DEFAULT, PATIENT, POLICIES, batches, journeys
from tests.properties.ward import Ward


def at_once(events: list[Event]) -> tuple[bytes, list[Raised | Ended]]:
    folded = fold(POLICIES, DEFAULT.digest, PATIENT, standing(events))
    return dump(folded.snapshot), folded.effects


@given(journeys(), st.data())
def test_record_and_effects_do_not_depend_on_arrival(
    events: list[Event], data: st.DataObject
) -> None:
    snapshot, effects = at_once(events)
    ward = Ward(round_trip=data.draw(st.booleans()))
    for batch in data.draw(batches(events)):
        ward.take(batch)
    assert ward.snapshot == snapshot
    assert ward.effects == effects


@given(journeys(), st.data())
def test_every_prefix_says_what_its_facts_say(events: list[Event], data: st.DataObject) -> None:
    ward = Ward()
    for batch in data.draw(batches(events)):
        ward.take(batch)
        assert (ward.snapshot, ward.effects) == at_once(ward.journal)


@given(journeys())
def test_effects_are_raised_once_and_end_once_in_order(events: list[Event]) -> None:
    _, effects = at_once(events)
    raised = [each.key for each in effects if isinstance(each, Raised)]
    ended = [each.key for each in effects if isinstance(each, Ended)]
    assert len(set(raised)) == len(raised)
    assert len(set(ended)) == len(ended)
    assert set(ended) <= set(raised)
    assert [each.at for each in effects] == sorted(each.at for each in effects)
