"""The record and the effects are the same for every order of arrival and every batching."""

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from pathway import record as records
from pathway.effects import Effect, Ended, Raised
from schemas.inbound import Event
from tests.properties.disorder import Case, cases
from tests.properties.setting import folded
from tests.properties.worker import MemoryWorker, worked


@given(case=cases(), reload=st.booleans())
def test_any_arrival_says_the_same_as_folding_everything_at_once(
    *, case: Case, reload: bool
) -> None:
    truth = folded(case.events, case.pinned)
    worker = worked(case.pinned, case.batches, reload=reload)
    assert worker.chart is not None
    assert records.dump(worker.chart.snapshot) == records.dump(truth.snapshot)
    assert worker.effects == truth.effects


@given(cases())
def test_every_prefix_of_what_arrived_says_what_its_facts_say(case: Case) -> None:
    worker = MemoryWorker(case.pinned)
    for batch in case.batches:
        if worker.take(batch):
            assert worker.chart is not None
            truth = folded(worker.history, case.pinned)
            assert records.dump(worker.chart.snapshot) == records.dump(truth.snapshot)
            assert worker.effects == truth.effects


@given(cases())
def test_one_at_a_time_in_effective_order_says_the_same(case: Case) -> None:
    """What nearly every event of a real program does: it extends the stored snapshot."""
    truth = folded(case.events, case.pinned)
    worker = worked(case.pinned, [[event] for event in _in_order(case.events)], reload=True)
    assert worker.chart is not None
    assert records.dump(worker.chart.snapshot) == records.dump(truth.snapshot)
    assert worker.effects == truth.effects


def _in_order(events: Sequence[Event]) -> list[Event]:
    return sorted(events, key=lambda event: event.order)


@given(cases())
def test_a_fold_says_each_thing_once_and_in_order(case: Case) -> None:
    truth = folded(case.events, case.pinned)
    raised = [each for each in truth.effects if isinstance(each, Raised)]
    ended = [each.key for each in truth.effects if isinstance(each, Ended)]
    assert len({each.key for each in raised}) == len(raised)
    assert len(set(ended)) == len(ended)
    _assert_ends_follow(truth.effects)
    instants = [each.at for each in truth.effects]
    assert instants == sorted(instants)


def _assert_ends_follow(effects: Sequence[Effect]) -> None:
    standing: set[str] = set()
    for effect in effects:
        if isinstance(effect, Raised):
            standing.add(effect.key)
        else:
            assert effect.key in standing
            standing.remove(effect.key)


@given(cases())
def test_a_fold_is_what_its_effects_say(case: Case) -> None:
    truth = folded(case.events, case.pinned)
    raised = {each.key: each for each in truth.effects if isinstance(each, Raised)}
    ended = {each.key for each in truth.effects if isinstance(each, Ended)}
    standing = {key for key, each in raised.items() if key not in ended}
    snapshot = truth.snapshot
    assert {key for key in standing if raised[key].kind == "alert"} == set(snapshot.alerts)
    recommended = {key for key in standing if raised[key].kind == "recommendation"}
    assert recommended == ({snapshot.recommendation.key} if snapshot.recommendation else set())
    state, since = None, None
    for move in raised.values():
        if move.kind == "transition":
            assert move.said["from"] == state
            state, since = move.said["to"], move.at
    assert (snapshot.record.state, snapshot.record.since) == (state, since)
    assert all(due > snapshot.horizon for due in snapshot.dues.values())
