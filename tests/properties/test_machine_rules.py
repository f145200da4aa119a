"""The rules of design §2 and §4, one by one, by example. Times are hours since the start."""

import json
from typing import Any

import pytest
import yaml

from pathway import alerts as engine
from pathway.effects import Ended
from pathway.fold import extend, fold, follows
from pathway.policy import Policy, load
from pathway.standing import standing
from schemas.inbound import Event
from schemas.instants import HOUR
from tests.properties.pieces import ELIGIBLE, phq
from tests.properties.setting import (
    DEFAULT,
    POLICIES,
    START,
    VARIANT,
    adoption,
    event_of,
    kind_of,
)
from tests.properties.story import PATIENT, Story, brief, hours

WHOLE_PLAN = {"outpatient_therapy": True, "support_groups": True, "relapse_prevention": True}
OVERDUE = 72  # hours: three business days after a Monday
OVERRIDE = {"override": {"reason": "the team has seen the home"}}


@pytest.fixture
def story() -> Story:
    return Story()


def ids(events: list[Event]) -> list[str]:
    return [event.id for event in standing(events).facts]


# -- effective order, retraction, revision (§2.1) --------------------------------------------------


def test_order_is_time_then_rank_then_source_then_id_by_code_point(story: Story) -> None:
    kind, data = kind_of("contact.made"), {"channel": "phone", "reached": True}

    def contact(id_: str, source: str, time: int = START) -> Event:
        return event_of(PATIENT, kind, data, time, id_=id_, source=source)

    events = [
        contact("é", "/b"),
        contact("z", "/b"),
        contact("Z", "/b"),
        contact("a", "/a"),
        contact("a2", "/a", START - 1),
        story.event("referral.received", 0, "ref"),
        story.event("discharge.recorded", 0, "out", reason="died", decided_by="c"),
    ]
    assert ids(events) == ["a2", "ref", "a", "Z", "z", "é", "out"]


def test_a_time_finer_than_a_microsecond_is_cut(story: Story) -> None:
    first = story.event("contact.made", 0, "a", channel="phone", reached=True)
    body = json.loads(first.raw)
    body.update(id="b", time="2026-01-05T12:00:00.0000009Z")
    body["data"]["contact_id"] = "b"
    second = event_of(PATIENT, first.type, body["data"], START, id_="b")
    assert second.time == first.time
    assert ids([second, first]) == ["a", "b"]


def test_a_fact_is_taken_back_wherever_it_lies(story: Story) -> None:
    before = story.event("referral.received", 1, "before")
    after = story.event("referral.received", 9, "after")
    events = [before, after, story.retract(5, before, "x"), story.retract(5, after, "y")]
    assert ids(events) == ["x", "y"]


def test_a_retraction_is_taken_back_only_by_a_later_one(story: Story) -> None:
    fact = story.event("referral.received", 1, "fact")
    second = story.retract(3, fact, "second")
    earlier = story.retract(2, second, "earlier")  # comes before what it names: no effect
    assert ids([fact, second, earlier]) == ["earlier", "second"]
    later = story.retract(4, second, "later")
    assert ids([fact, second, earlier, later]) == ["fact", "earlier", "later"]
    last = story.retract(5, later, "last")
    assert ids([fact, second, earlier, later, last]) == ["earlier", "second", "last"]


def test_a_retraction_of_itself_or_of_nothing_is_a_fact_without_effect(story: Story) -> None:
    fact = story.event("referral.received", 1, "fact")
    own = story.event("event.retracted", 2, "own", source=fact.source, id="own", reason="x")
    other = story.event("event.retracted", 2, "other", source="/elsewhere", id="fact", reason="x")
    assert ids([fact, own, other]) == ["fact", "other", "own"]


def test_the_clock_and_a_policy_cannot_be_taken_back(story: Story) -> None:
    adopted = adoption(PATIENT, START, VARIANT)
    clock = story.clock(9)
    events = [adopted, clock, story.retract(1, adopted, "x"), story.retract(1, clock, "y")]
    assert adopted.id in ids(events)
    assert standing(events).advanced_to == START + 9 * HOUR


def test_an_event_that_was_awaited_by_its_retraction_never_counts(story: Story) -> None:
    referral = story.event("referral.received", 0)
    again = story.event("referral.received", 9)
    story.take(story.retract(5, referral), story.retract(5, again))
    story.take(referral)
    assert story.state is None
    first = story.event("contact.made", 8, channel="phone", reached=True)
    story.take(first, again)  # the first of them could extend the snapshot
    assert story.state is None


@pytest.mark.parametrize(
    ("first", "second", "stands"),
    [(("a", 0), ("b", 1), "b"), (("a", 2), ("b", 1), "a"), (("a", 1), ("b", 1), "b")],
)
def test_the_highest_revision_stands_and_ties_go_to_the_greater_id(
    story: Story, first: tuple[str, int], second: tuple[str, int], stands: str
) -> None:
    for order in ((first, second), (second, first)):
        events = [
            story.event("referral.received", hour, id_, referral_id="r", revision=revision)
            for hour, (id_, revision) in enumerate(order)
        ]
        assert ids(events) == [stands]
        assert ids(events[::-1]) == [stands]


def test_when_the_highest_revision_is_taken_back_the_next_stands(story: Story) -> None:
    old = story.event("referral.received", 1, "old", referral_id="r")
    new = story.event("referral.received", 1, "new", referral_id="r", revision=3)
    assert ids([old, new, story.retract(2, new, "x")]) == ["old", "x"]


def test_another_type_source_or_patient_is_another_fact(story: Story) -> None:
    plan = {"plan_id": "same"}
    events = [
        story.event("step_down_plan.completed", 1, "a", **plan),
        story.event("aftercare_plan.completed", 1, "b", **plan, **WHOLE_PLAN),
        event_of(PATIENT, kind_of("step_down_plan.completed"), plan, START, id_="c", source="/x"),
    ]
    assert len(ids(events)) == 3


# -- time (§2.2) -----------------------------------------------------------------------------------


def test_a_timer_fires_after_the_facts_of_its_instant_and_before_later_ones(story: Story) -> None:
    """A referral that is not urgent must be screened within three business days."""
    story.take(story.event("referral.received", 0))
    in_time = story.screen(OVERDUE, **ELIGIBLE)
    assert "alert.raised" not in [each["what"] for each in story.take(in_time)]
    other = Story()
    other.take(other.event("referral.received", 0))
    told = other.take(other.screen(OVERDUE + 1, **ELIGIBLE))
    assert brief(told)[:2] == [
        ("alert.raised", "screening_overdue", OVERDUE),
        ("transition.occurred", "screening", OVERDUE + 1),
    ]


def test_a_fact_at_the_instant_of_a_timer_leaves_it_to_the_timer(story: Story) -> None:
    """Else the alert's onset, and so its id, would hang on a fact that has no part in it."""
    story.take(*story.admission(), story.decide(4, "iop"))
    due = hours(story.snapshot.dues["rule:no-contact"])
    session = {
        "kind": "group",
        "scheduled_start": "2026-01-19T12:00:00Z",
        "scheduled_minutes": 60,
        "status": "no_show",
        "attended_minutes": 0,
    }
    story.take(story.event("attendance.recorded", due, **session))
    (alert,) = [a for a in story.snapshot.alerts.values() if a.rule == "no-contact"]
    assert json.loads(alert.key)[3:5] == ["timer", "rule:no-contact"]


def test_nothing_fires_before_the_horizon_reaches_it(story: Story) -> None:
    story.take(story.event("referral.received", 0))
    assert story.take(story.clock(OVERDUE - 1)) == []
    assert brief(story.take(story.clock(OVERDUE))) == [
        ("alert.raised", "screening_overdue", OVERDUE)
    ]
    assert story.take(story.clock(OVERDUE - 2)) == []  # only the greatest counts


def test_a_worker_that_slept_says_the_same_as_one_that_never_did(story: Story) -> None:
    referral = story.event("referral.received", 0)
    awake, asleep = Story(), Story()
    awake.take(referral)
    for hour in range(0, 24 * 40, 24):
        awake.take(awake.clock(hour))
    asleep.take(referral)
    asleep.take(asleep.clock(24 * 39))
    assert awake.effects == asleep.effects
    assert awake.effects


def test_a_clock_fact_is_in_no_cause_and_no_id(story: Story) -> None:
    told = story.take(story.event("referral.received", 0, "r"), story.clock(24 * 30))
    alert = next(each for each in told if each["what"] == "alert.raised")
    assert [cause["id"] for cause in alert["causes"]] == ["r"]
    assert "/pathway/clock" not in json.dumps(told)


def test_a_fact_before_a_timer_that_fired_takes_its_effect_back(story: Story) -> None:
    story.take(story.event("referral.received", 0))
    story.take(story.clock(OVERDUE + 5))
    told = story.take(story.screen(OVERDUE, **ELIGIBLE))
    assert brief(told)[0] == ("alert.cleared", "screening_overdue", OVERDUE)
    assert told[0]["resolution"] == "withdrawn"


def test_a_retracted_last_fact_takes_the_horizon_back(story: Story) -> None:
    far = story.event("contact.made", 24 * 60, channel="phone", reached=False)
    story.take(story.event("referral.received", 0), far)
    assert story.alerts("screening_overdue")
    told = story.take(story.retract(1, far))
    assert {each["resolution"] for each in told} == {"withdrawn"}
    assert not story.snapshot.alerts


def test_one_set_for_the_past_is_due_at_once(story: Story) -> None:
    """Its effect keeps the instant at which it was due, and no fact may slip in behind it."""
    story.take(*story.admission(), story.decide(5, "iop", confirm=False), story.clock(100))
    snapshot = story.snapshot
    snapshot.last_timer = START + 90 * HOUR
    snapshot.dues["decline:screen-iop"] = START + 50 * HOUR
    (effect,) = extend(POLICIES, PATIENT, snapshot, [], START + 101 * HOUR).effects
    assert (effect.kind, hours(effect.at)) == ("recommendation", 50)
    assert not follows(snapshot, story.event("contact.made", 80, channel="phone", reached=True))


def test_a_waiting_decision_keeps_the_limit_that_it_was_given(story: Story) -> None:
    policy = _policy(lambda body: _limits(body, {"blocked-decision": 1}))
    story.take(*story.admission(), story.screen(3, safe_home=False), story.decide(4, "iop"))
    story.take(adoption(PATIENT, START + 6 * HOUR, policy))
    assert story.snapshot.waiting is not None
    assert hours(story.snapshot.waiting.until) == 4 + 72


# -- people move patients (§4) ---------------------------------------------------------------------


def test_a_decision_that_nothing_blocks_moves_at_once(story: Story) -> None:
    told = story.take(*story.admission(), story.decide(5, "iop"))
    assert story.moves() == [("referral", 0), ("screening", 2), ("iop", 5)]
    move = [each for each in told if each["what"] == "transition.occurred"][-1]
    assert (move["basis"], move["rule"], move["exceptions"]) == ("decision", "screen-iop", [])
    assert move["current"] == {"state": "iop", "since": "2026-01-05T17:00:00Z"}


def test_the_same_decision_twice_at_one_instant_is_one_move(story: Story) -> None:
    told = story.take(*story.admission(), story.decide(5, "iop"), story.decide(5, "iop"))
    assert story.moves()[-1] == ("iop", 5)
    assert "decision_refused" not in json.dumps(told)


def test_a_blocked_decision_takes_effect_at_the_instant_at_which_its_guard_holds(
    story: Story,
) -> None:
    story.take(*story.admission(), story.screen(3, safe_home=False))
    assert brief(story.take(story.decide(4, "iop", "d")), "transition") == []
    assert story.snapshot.waiting is not None
    assert story.snapshot.waiting.unmet == ["safe-home"]
    told = story.take(story.screen(30, "home", safe_home=True))
    (move,) = [each for each in told if each["what"] == "transition.occurred"]
    assert (move["to"], move["at"]) == ("iop", 30)
    assert [cause["id"] for cause in move["causes"]] == ["d", "home"]
    assert (story.snapshot.waiting, story.since) == (None, 30)
    assert "decision_refused" not in json.dumps(told)


def test_a_move_at_another_instant_is_another_message(story: Story) -> None:
    """The guard came to hold earlier than was known."""
    story.take(*story.admission(), story.screen(3, safe_home=False), story.decide(4, "iop"))
    story.take(story.screen(30, safe_home=True))
    told = story.take(story.screen(20, safe_home=True))
    assert brief(told, "transition") == [
        ("transition.superseded", "", 30),
        ("transition.occurred", "iop", 20),
    ]
    assert "placement_contradicted" not in json.dumps(told)


def test_a_blocked_decision_waits_up_to_and_with_the_72nd_hour(story: Story) -> None:
    waiting = [*story.admission(), story.screen(3, safe_home=False), story.decide(4, "iop")]
    story.take(*waiting)
    story.take(story.screen(4 + 72, safe_home=True))
    assert story.state == "iop"
    other = Story()
    other.take(*waiting)
    told = other.take(other.screen(4 + 72.5, safe_home=True))
    assert other.state == "screening"
    assert ("alert.raised", "decision_refused", 4 + 72) in brief(told)
    (lapsed,) = [a for a in other.snapshot.alerts.values() if a.name == "decision_refused"]
    assert json.loads(lapsed.key)[-1] == waiting[-1].id  # its onset is the decision


@pytest.mark.parametrize("by", ["decision", "decline", "discharge", "urgent"])
def test_a_blocked_decision_is_dropped(story: Story, by: str) -> None:
    story.take(*story.admission(), story.screen(3, safe_home=False), story.decide(4, "iop"))
    assert story.snapshot.waiting
    later = {
        "decision": story.decide(6, "step_down"),
        "decline": story.decide(6, "php", confirm=False),
        "discharge": story.event("discharge.recorded", 6, reason="declined", decided_by="c"),
        "urgent": story.event("safety.reported", 6, kind="self_harm"),
    }[by]
    told = story.take(later)
    assert ("decision_refused" in json.dumps(told)) == (by == "urgent")  # people know what they do
    assert story.snapshot.waiting is None
    assert "decision" not in story.snapshot.dues
    story.take(story.screen(8, safe_home=True))
    assert story.state != "iop"


def test_only_one_decision_waits(story: Story) -> None:
    story.take(*story.admission(), story.screen(3, safe_home=False, needs_24h_supervision=True))
    story.take(story.decide(4, "iop"), story.decide(5, "php", "second"))
    assert story.snapshot.waiting is not None
    assert story.snapshot.waiting.ref[1] == "second"
    assert hours(story.snapshot.dues["decision"]) == 5 + 72


def test_a_waiting_decision_whose_edge_another_policy_removes_is_dropped(story: Story) -> None:
    """The variant has no move from iop to aftercare."""
    story.take(*story.admission(), story.decide(4, "iop"), story.decide(5, "aftercare"))
    assert story.snapshot.waiting
    story.take(adoption(PATIENT, START + 6 * HOUR, VARIANT))
    story.take(story.event("aftercare_plan.completed", 7, **WHOLE_PLAN))
    assert (story.state, story.snapshot.waiting) == ("iop", None)


def test_an_override_moves_flagged(story: Story) -> None:
    told = story.take(
        *story.admission(),
        story.screen(3, safe_home=False),
        story.decide(4, "iop", **OVERRIDE),
    )
    (move,) = [each for each in told if each.get("to") == "iop" and each.get("basis")]
    assert move["exceptions"] == ["safe-home"]
    assert "team" not in json.dumps(told)


def test_a_flagged_guard_lets_pass(story: Story) -> None:
    told = story.take(*story.admission(), story.decide(4, "iop"), story.decide(9, "step_down"))
    move = [each for each in told if each["what"] == "transition.occurred"][-1]
    assert (move["to"], move["exceptions"]) == ("step_down", ["step-down-plan"])


@pytest.mark.parametrize(
    ("to", "more"),
    [("aftercare", {}), ("iop", {"from": "php"}), ("discharged", {}), ("referral", {})],
)
def test_an_illegal_decision_has_no_effect_and_says_so(
    story: Story, to: str, more: dict[str, str]
) -> None:
    story.take(*story.admission())
    told = story.take(story.decide(4, to, **more))
    assert brief(told) == [("alert.raised", "decision_refused", 4)]
    assert story.state == "screening"


def test_a_refused_decision_that_a_late_fact_makes_legal_is_not_refused_any_more(
    story: Story,
) -> None:
    story.take(story.decide(5, "iop"))
    assert story.alerts("decision_refused") == [5]
    told = story.take(*story.admission())
    assert brief(told)[0] == ("alert.cleared", "decision_refused", 5)
    assert told[0]["resolution"] == "withdrawn"
    assert story.state == "iop"


def test_declining_to_discharge_is_legal_and_says_nothing(story: Story) -> None:
    story.take(*story.admission(), story.decide(4, "iop"))
    assert story.take(story.decide(5, "discharged", confirm=False)) == []


def test_a_new_referral_after_discharge_opens_the_next_episode(story: Story) -> None:
    out = story.event("discharge.recorded", 20, reason="completed", decided_by="c")
    story.take(*story.admission(), story.decide(4, "iop"), out)
    assert (story.state, story.snapshot.record.episode) == ("discharged", 1)
    told = story.take(story.event("referral.received", 40))
    assert [each["episode"] for each in told] == [2]
    record = story.snapshot.record
    assert (record.state, record.episode, record.criteria, record.admitted) == (
        "referral",
        2,
        {},
        None,
    )
    assert record.coverage is not None  # the patient's, not the episode's
    assert record.discharge_reason is None


def test_a_referral_in_an_open_episode_changes_nothing(story: Story) -> None:
    story.take(*story.admission(), story.decide(4, "iop"))
    assert story.take(story.event("referral.received", 9)) == []


def test_nothing_of_the_former_episode_acts_in_the_next(story: Story) -> None:
    out = story.event("discharge.recorded", 24 * 50, reason="completed", decided_by="c")
    story.take(*story.admission(), story.decide(4, "iop"))
    story.take(story.clock(24 * 40))
    assert story.snapshot.recommendation is not None  # contact lost
    story.take(story.decide(24 * 41, "discharged", confirm=False), out)
    snapshot = story.snapshot
    assert (snapshot.holds, snapshot.declines, snapshot.waiting) == ({}, [], None)
    assert not [name for name in snapshot.dues if not name.startswith("overdue:")]
    story.take(*story.admission(24 * 60), story.clock(24 * 61))
    assert set(story.snapshot.holds) == {"screen-iop"}


def test_safety_alerts_are_raised_in_no_state_and_after_discharge(story: Story) -> None:
    told = story.take(story.event("assessment.completed", 0, **phq(5, item9=1)))
    assert brief(told) == [("alert.raised", "same_day_safety_assessment", 0)]
    assert told[0]["episode"] == 0
    out = story.event("discharge.recorded", 9, reason="declined", decided_by="c")
    story.take(story.event("referral.received", 1), out)
    told = story.take(story.event("safety.reported", 30, kind="overdose"))
    assert ("alert.raised", "medical_evaluation", 30) in brief(told)
    assert (
        len([a for a in story.snapshot.alerts.values() if a.severity == "urgent"]) == 3
    )  # one of them overdue


def test_an_urgent_alert_not_closed_in_four_hours_raises_one_overdue(story: Story) -> None:
    story.take(story.event("safety.reported", 0, kind="overdose"))
    (alert,) = story.snapshot.alerts.values()
    told = story.take(story.clock(400))
    assert brief(told) == [("alert.raised", "overdue", 4)]
    told = story.take(story.close(401, alert.id))
    assert [(each["alert"], each["resolution"]) for each in told] == [
        ("medical_evaluation", "closed"),
        ("overdue", "cleared"),
    ]


def test_an_urgent_alert_closed_in_time_is_never_overdue(story: Story) -> None:
    story.take(story.event("safety.reported", 0, kind="overdose"))
    (alert,) = story.snapshot.alerts.values()
    other = Story()
    other.take(*story.worker.history)
    story.take(story.close(2, alert.id))
    assert not story.snapshot.dues
    other.take(other.close(4, alert.id), other.clock(100))  # at the very instant: facts come first
    assert not other.snapshot.alerts


def test_a_closed_alert_stands_again_when_its_closing_is_taken_back(story: Story) -> None:
    story.take(story.event("safety.reported", 0, kind="overdose"))
    (alert,) = story.snapshot.alerts.values()
    closing = story.close(2, alert.id)
    story.take(closing)
    told = story.take(story.retract(3, closing))
    assert brief(told) == [("alert.raised", "medical_evaluation", 0)]
    assert told[0]["alert_id"] == alert.id


# -- recommendations (§2.5, issue 3) ---------------------------------------------------------------


def test_a_declined_recommendation_is_silent_for_two_weeks_of_the_same_truth(
    story: Story,
) -> None:
    story.take(*story.admission())
    told = story.take(story.decide(5, "iop", confirm=False))
    assert [(e["what"], e["resolution"]) for e in told] == [("recommendation.resolved", "declined")]
    told = story.take(story.clock(5 + 14 * 24))
    assert ("recommendation.raised", "iop", 5 + 14 * 24) in brief(told)


def test_a_declined_recommendation_speaks_again_when_it_was_false_in_between(
    story: Story,
) -> None:
    story.take(*story.admission(), story.decide(5, "iop", confirm=False))
    story.take(story.screen(6, severity="mild", needs_more_than_weekly=False))
    told = story.take(story.screen(7, severity="moderate", needs_more_than_weekly=True))
    assert ("recommendation.raised", "iop", 7) in brief(told)


def test_a_decision_confirms_by_target_and_a_discharge_confirms_too(story: Story) -> None:
    told = story.take(*story.admission(), story.decide(4, "iop"))
    resolved = [each for each in told if each["what"] == "recommendation.resolved"]
    assert [(each["to"], each["resolution"]) for each in resolved] == [("iop", "confirmed")]
    story.take(story.clock(24 * 40))
    out = story.event("discharge.recorded", 24 * 41, reason="lost_contact", decided_by="c")
    told = story.take(out)
    resolved = [each for each in told if each["what"] == "recommendation.resolved"]
    assert [(each["to"], each["resolution"]) for each in resolved] == [("discharged", "confirmed")]


def test_a_move_on_another_ground_than_was_recommended_confirms_nothing(story: Story) -> None:
    """What unblocks the decision takes back what was recommended before."""
    severe = {**ELIGIBLE, "safe_home": False, "severity": "severe"}
    story.take(*story.admission(), story.screen(3, **severe), story.decide(4, "iop"))
    assert story.snapshot.recommendation is not None
    assert story.snapshot.recommendation.to == "php"
    told = story.take(story.screen(6, safe_home=True, severity="moderate"))
    (move,) = [each for each in told if each["what"] == "transition.occurred"]
    assert (move["to"], move["rule"]) == ("iop", "screen-iop")
    resolved = [each for each in told if each["what"] == "recommendation.resolved"]
    assert [(each["to"], each["resolution"]) for each in resolved] == [("php", "withdrawn")]


def test_any_change_of_state_withdraws_what_else_was_recommended(story: Story) -> None:
    told = story.take(*story.admission(), story.decide(4, "step_down"))
    resolved = [each for each in told if each["what"] == "recommendation.resolved"]
    assert [(each["to"], each["resolution"]) for each in resolved] == [("iop", "withdrawn")]


def test_while_an_urgent_alert_stands_no_lower_level_is_recommended(story: Story) -> None:
    story.take(*story.admission(), story.decide(4, "iop"), story.clock(24 * 40))
    assert story.snapshot.recommendation is not None
    told = story.take(story.event("safety.reported", 24 * 40 + 1, kind="overdose"))
    assert ("recommendation.resolved", "discharged", 24 * 40 + 1) in brief(told)
    (urgent,) = [a for a in story.snapshot.alerts.values() if a.name == "medical_evaluation"]
    told = story.take(story.close(24 * 40 + 2, urgent.id))
    assert ("recommendation.raised", "discharged", 24 * 40 + 2) in brief(told)


def test_a_recommendation_is_said_once_though_a_rule_moves_on_at_the_same_instant() -> None:
    """Two setbacks move by themselves out of iop: the decision enters it and it is left at once."""

    def restless(body: dict[str, Any]) -> None:
        rules = {rule["id"]: rule for rule in body["rules"]}
        rules["setbacks-repeated"].update(mode="automatic", states=["iop"])
        del rules["safety-screen-high-level"]["when"]["score"]["since_entry"]

    story = Story(_policy(restless))
    at_risk = {"instrument": "C-SSRS", "variant": "screener", "items": {"5": 1}}
    story.take(*story.admission(), story.event("assessment.completed", 3, **at_risk))
    for hour in (4, 5):
        story.take(story.event("safety.reported", hour, kind="relapse"))
    told = story.take(story.decide(6, "iop"))
    assert brief(told, "transition") == [
        ("transition.occurred", "iop", 6),
        ("transition.occurred", "php", 6),
    ]
    assert brief(told, "recommendation") == [
        ("recommendation.resolved", "residential", 6),
        ("recommendation.raised", "residential", 6),
    ]


# -- policies --------------------------------------------------------------------------------------


def _policy(change: Any) -> Policy:  # noqa: ANN401 - any function of the body
    body = yaml.safe_load(DEFAULT.text)
    change(body)
    policy = load(yaml.safe_dump(body))
    POLICIES.setdefault(policy.digest, policy)
    return policy


def _limits(body: dict[str, Any], values: dict[str, int]) -> None:
    for limit in body["limits"]:
        limit["value"] = values.get(limit["id"], limit["value"])


def test_another_policy_acts_from_its_place_in_the_order(story: Story) -> None:
    story.take(*story.admission(), story.decide(10, "iop"))
    story.take(adoption(PATIENT, START + 48 * HOUR, VARIANT))
    assert story.snapshot.policy == VARIANT.digest
    assert story.worker.chart is not None
    assert story.worker.chart.policy == DEFAULT.digest  # still pinned by the first entry
    assert {each.policy for each in story.effects} == {DEFAULT.digest}
    told = story.take(story.clock(24 * 60))
    assert {each["policy"]["name"] for each in told} == {"variant"}
    assert "discharged" not in [each.get("to") for each in told]  # contact-lost is gone


def test_a_rule_that_another_policy_drops_lets_go_of_what_it_said(story: Story) -> None:
    story.take(*story.admission(), story.decide(10, "iop"), story.clock(24 * 40))
    assert story.snapshot.recommendation is not None
    assert story.snapshot.recommendation.rule == "contact-lost"
    story.take(adoption(PATIENT, START + 24 * 41 * HOUR, VARIANT))
    assert story.snapshot.recommendation is None
    assert not [name for name in story.snapshot.dues if name.endswith("contact-lost")]
    assert not story.snapshot.declines


def test_each_fold_ends_what_it_raised_once(story: Story) -> None:
    story.take(*story.admission(), story.decide(10, "iop"), story.clock(24 * 40))
    ends = [each.key for each in story.effects if isinstance(each, Ended)]
    assert len(ends) == len(set(ends))


def test_the_fold_leaves_its_facts_alone(story: Story) -> None:
    """Folding twice from the same facts gives the same: nothing is kept between folds."""
    facts = [*story.admission(), story.decide(10, "iop"), story.clock(24 * 40)]
    first = fold(POLICIES, DEFAULT.digest, PATIENT, standing(facts))
    second = fold(POLICIES, DEFAULT.digest, PATIENT, standing(facts))
    assert first == second


def test_the_engines_own_alerts_have_ids_that_no_rule_takes() -> None:
    for policy in POLICIES.values():
        assert not set(engine.ENGINE_ALERTS) & set(policy.order)
