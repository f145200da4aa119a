"""The rules of design §2.4 by example: what is told, taken back and contradicted.

Times are hours since the start.
"""

import json
import uuid

import pytest

from pathway.chart import advance, speak
from pathway.effects import NAMESPACE
from schemas.inbound import Event
from schemas.instants import HOUR
from tests.properties.disorder import contradiction_id
from tests.properties.pieces import ELIGIBLE, phq
from tests.properties.setting import POLICIES, START
from tests.properties.story import PATIENT, Story, brief
from tests.properties.worker import references

OVERRIDE = {"override": {"reason": "the team has seen the home"}}
CONTRADICTION = ("alert.raised", "placement_contradicted", 10)


@pytest.fixture
def story() -> Story:
    return Story()


def admitted(story: Story) -> None:
    story.take(*story.admission(), story.decide(10, "iop", "d"))


def test_a_late_fact_that_blocks_what_was_announced(story: Story) -> None:
    admitted(story)
    told = story.take(story.screen(9, safe_home=False))
    assert ("transition.superseded", "", 10) in brief(told)
    assert brief(told)[-1] == CONTRADICTION
    assert told[-1]["severity"] == "urgent"
    superseded = next(each for each in told if each["what"] == "transition.superseded")
    assert superseded["current"] == {"state": "screening", "since": "2026-01-05T14:00:00Z"}
    assert story.snapshot.waiting is not None  # its 72 h run from its own time


def test_a_late_fact_that_makes_illegal_what_was_announced(story: Story) -> None:
    admitted(story)
    out = story.event("discharge.recorded", 9, reason="declined", decided_by="c")
    told = story.take(out)
    assert brief(told, "transition") == [
        ("transition.superseded", "", 10),
        ("transition.occurred", "discharged", 9),
    ]
    assert ("alert.raised", "decision_refused", 10) in brief(told)
    assert brief(told)[-1] == CONTRADICTION


@pytest.mark.parametrize("id_", ["a", "z"])  # before and after the first decision in the order
def test_an_override_with_the_original_time_restores_it_flagged(story: Story, id_: str) -> None:
    admitted(story)
    story.take(story.screen(9, safe_home=False))
    told = story.take(story.decide(10, "iop", id_, **OVERRIDE))
    (move,) = [each for each in told if each["what"] == "transition.occurred"]
    assert (move["at"], move["exceptions"]) == (10, ["safe-home"])
    assert (told[-1]["alert"], told[-1]["resolution"]) == ("placement_contradicted", "cleared")
    assert (story.state, story.since) == ("iop", 10)


def test_when_the_override_is_taken_back_the_contradiction_is_back(story: Story) -> None:
    admitted(story)
    story.take(story.screen(9, safe_home=False))
    override = story.decide(10, "iop", "z", **OVERRIDE)
    story.take(override)
    told = story.take(story.retract(30, override))
    assert brief(told)[-1] == CONTRADICTION


def test_what_was_closed_before_the_override_is_taken_back_does_not_answer_it(
    story: Story,
) -> None:
    admitted(story)
    alert_id = story.take(story.screen(9, safe_home=False))[-1]["alert_id"]
    story.take(story.close(30, alert_id))
    override = story.decide(10, "iop", "z", **OVERRIDE)
    story.take(override)
    assert brief(story.take(story.retract(40, override)))[-1] == CONTRADICTION


@pytest.mark.parametrize("hour", [4, 20])  # when it was decided, and when it took effect
def test_an_override_restores_a_move_that_had_waited(story: Story, hour: int) -> None:
    story.take(*story.admission(), story.screen(3, safe_home=False), story.decide(4, "iop"))
    story.take(story.screen(20, "home", safe_home=True))
    told = story.take(story.screen(20, "early", needs_24h_supervision=True))
    assert brief(told)[-1] == ("alert.raised", "placement_contradicted", 20)
    told = story.take(story.decide(hour, "iop", **OVERRIDE))
    assert (told[-1]["alert"], told[-1]["resolution"]) == ("placement_contradicted", "cleared")
    assert (story.state, story.since) == ("iop", hour)


def test_what_nobody_decided_is_superseded_without_contradiction(story: Story) -> None:
    story.take(story.event("referral.received", 5))
    told = story.take(story.event("referral.received", 3))
    assert brief(told) == [("transition.superseded", "", 5), ("transition.occurred", "referral", 3)]


def test_the_contradiction_ends_when_the_ground_is_back(story: Story) -> None:
    admitted(story)
    blocker = story.screen(9, safe_home=False)
    story.take(blocker)
    told = story.take(story.retract(30, blocker))
    assert brief(told)[-1] == ("alert.cleared", "placement_contradicted", 10)
    assert told[-1]["resolution"] == "cleared"
    assert ("transition.occurred", "iop", 10) in brief(told)


def test_the_contradiction_ends_when_the_guard_comes_to_hold_in_order(story: Story) -> None:
    """The decision waits, and is carried out after all: that fact only extends the snapshot."""
    admitted(story)
    story.take(story.screen(9, safe_home=False))
    told = story.take(story.screen(20, safe_home=True))
    assert not story.worker.commits[-1].refolded
    assert ("transition.occurred", "iop", 20) in brief(told)
    assert brief(told)[-1] == ("alert.cleared", "placement_contradicted", 10)


def test_a_decision_taken_back_is_superseded_without_contradiction(story: Story) -> None:
    admitted(story)
    told = story.take(story.retract(20, story.worker.history[-1]))
    assert ("transition.superseded", "", 10) in brief(told)
    assert "placement_contradicted" not in json.dumps(told)


def test_a_contradiction_ends_when_the_decision_is_taken_back(story: Story) -> None:
    admitted(story)
    decision = story.worker.history[-1]
    story.take(story.screen(9, safe_home=False))
    told = story.take(story.retract(20, decision))
    assert (told[-1]["alert"], told[-1]["resolution"]) == ("placement_contradicted", "cleared")


def test_people_close_a_contradiction_and_it_stays_closed(story: Story) -> None:
    admitted(story)
    alert_id = story.take(story.screen(9, safe_home=False))[-1]["alert_id"]
    (transition,) = [
        row.key for row in story.worker.ledger.values() if row.key.startswith('["transition","iop"')
    ]
    assert alert_id == contradiction_id(PATIENT, transition)
    told = story.take(story.close(30, alert_id))
    closed = [each for each in told if each.get("resolution") == "closed"]
    assert brief(closed) == [("alert.cleared", "placement_contradicted", 30)]
    late = story.event("contact.made", 1, channel="phone", reached=True)
    assert story.take(late) == []


def test_a_closing_answers_only_what_was_raised_before_it(story: Story) -> None:
    """Closed, restored, lost again: nobody has seen to the second loss yet."""
    admitted(story)
    blocker = story.screen(9, safe_home=False)
    alert_id = story.take(blocker)[-1]["alert_id"]
    closing = story.close(30, alert_id)
    story.take(closing)
    story.take(story.retract(31, blocker))
    told = story.take(story.screen(9.5, safe_home=False))
    assert brief(told)[-1] == CONTRADICTION
    told = story.take(story.close(50, alert_id))
    assert brief(told) == [("alert.cleared", "placement_contradicted", 50)]


def test_a_contradiction_whose_closing_is_taken_back_stands_again(story: Story) -> None:
    admitted(story)
    alert_id = story.take(story.screen(9, safe_home=False))[-1]["alert_id"]
    closing = story.close(30, alert_id)
    story.take(closing)
    assert brief(story.take(story.retract(31, closing))) == [CONTRADICTION]


def stepped_up(story: Story) -> Event:
    """In php, as recommended by a severe score, which is returned."""
    story.take(*story.admission(), story.decide(10, "iop"))
    story.take(story.event("assessment.completed", 11, **phq(10)))
    severe = story.event("assessment.completed", 20, **phq(24))
    story.take(severe)
    told = story.take(story.decide(30, "php", "up"))
    assert next(each["rule"] for each in told if "basis" in each) == "symptoms-worse"
    return severe


def test_a_confirmed_move_that_loses_its_ground_is_contradicted(story: Story) -> None:
    severe = stepped_up(story)
    told = story.take(story.retract(40, severe))
    assert brief(told, "transition") == [
        ("transition.superseded", "", 30),
        ("transition.occurred", "php", 30),
    ]
    assert brief(told)[-1] == ("alert.raised", "placement_contradicted", 30)
    assert story.state == "php"  # people decided it; people must look at it


@pytest.mark.parametrize("id_", ["a", "z"])
def test_an_override_confirms_a_move_that_lost_its_ground(story: Story, id_: str) -> None:
    severe = stepped_up(story)
    story.take(story.retract(40, severe))
    told = story.take(story.decide(30, "php", id_, **OVERRIDE))
    assert (told[-1]["alert"], told[-1]["resolution"]) == ("placement_contradicted", "cleared")
    assert story.state == "php"


def test_declining_restores_nothing(story: Story) -> None:
    severe = stepped_up(story)
    story.take(story.retract(40, severe))
    assert story.take(story.decide(30, "php", confirm=False, **OVERRIDE)) == []


def test_a_move_that_gains_a_ground_is_not_contradicted(story: Story) -> None:
    story.take(*story.admission(), story.decide(10, "iop"))
    story.take(story.event("assessment.completed", 11, **phq(10)))
    story.take(story.decide(30, "php"))
    told = story.take(story.event("assessment.completed", 20, **phq(24)))
    (move,) = [each for each in told if each["what"] == "transition.occurred"]
    assert move["rule"] == "symptoms-worse"
    assert "placement_contradicted" not in json.dumps(told)


def test_a_move_that_another_rule_grounds_as_well_is_not_contradicted(story: Story) -> None:
    severe = stepped_up(story)
    story.take(
        story.event("safety.reported", 21, kind="relapse"),
        story.event("safety.reported", 22, kind="relapse"),
    )
    told = story.take(story.retract(40, severe))
    moves = [each for each in told if each["what"] == "transition.occurred"]
    assert [each["rule"] for each in moves] == ["setbacks-repeated"]
    assert "placement_contradicted" not in json.dumps(told)


def test_contradictions_are_told_in_one_order_whatever_the_order_of_the_ledger() -> None:
    """The database gives rows by key, a replay has them as they came."""
    bodies = []
    writer = Story()
    events = [*writer.admission(), writer.decide(10, "iop", "z"), writer.decide(20, "php", "a")]
    out = writer.event("discharge.recorded", 9, "out", reason="died", decided_by="c")
    for turn in (1, -1):
        story = Story()
        story.take(*events)
        story.take(out)
        story.worker.ledger = dict(list(story.worker.ledger.items())[::turn])
        chart = story.worker.chart
        assert chart is not None
        undone = story.retract(40, story.worker.history[-1], "undo")
        advanced = advance(POLICIES, chart, [undone], story.worker.history)
        speech = speak(
            chart,
            advanced,
            story.worker.ledger,
            prefix="care",
            recorded_at=story.worker.recorded_at,
            policies=references(),
        )
        bodies.append([row.body for row in speech.messages])
    assert bodies[0] == bodies[1]
    assert sum(b"placement_contradicted" in body for body in bodies[0]) == 2


def test_an_end_at_another_instant_is_told_again(story: Story) -> None:
    story.take(story.event("referral.received", 0), story.clock(24 * 10))
    story.take(story.screen(24 * 9, **ELIGIBLE))
    told = story.take(story.screen(24 * 8, **ELIGIBLE))
    ends = [each for each in told if each["what"] == "alert.cleared"]
    assert [(each["alert"], each["at"]) for each in ends] == [("screening_overdue", 24 * 8)]


def test_said_unsaid_and_said_again_are_three_messages_of_one_effect(story: Story) -> None:
    referral = story.event("referral.received", 0, "r")
    undo = story.retract(1, referral, "undo")
    redo = story.retract(2, undo, "redo")
    messages = [story.take(each)[0] for each in (referral, undo, redo)]
    assert [each["what"] for each in messages] == [
        "transition.occurred",
        "transition.superseded",
        "transition.occurred",
    ]
    key = '["transition","referral","fact","/ehr/a","r"]'
    for revision, verb in enumerate(["raised", "withdrawn", "raised"]):
        text = json.dumps([PATIENT, key, revision, verb], separators=(",", ":"))
        assert messages[revision]["id"] == str(uuid.uuid5(NAMESPACE, text))
    assert messages[1]["supersedes"] == messages[0]["id"]


def test_alert_and_recommendation_ids_follow_from_the_onset(story: Story) -> None:
    told = story.take(*story.admission(), story.event("safety.reported", 3, "s", kind="overdose"))
    alert = next(each for each in told if each["what"] == "alert.raised")
    key = '["alert","medical-report","medical_evaluation","fact","/ehr/a","s"]'
    text = json.dumps([PATIENT, key], separators=(",", ":"))
    assert alert["alert_id"] == str(uuid.uuid5(NAMESPACE, text))


def test_late_means_effective_more_than_a_day_before_it_was_recorded(story: Story) -> None:
    recorded = (story.worker.recorded_at - START) // HOUR
    told = story.take(story.event("referral.received", recorded - 24))
    assert [each["late"] for each in told] == [False]
    other = Story()
    told = other.take(other.event("referral.received", recorded - 25))
    assert [each["late"] for each in told] == [True]
