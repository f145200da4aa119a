"""The building blocks: three-valued logic, what is unknown, and what a policy may write."""

import itertools
from typing import Any

import pytest

from pathway.conditions import CONDITIONS, ConditionError, Tri, View, parse
from pathway.conditions.base import is_timed
from pathway.conditions.leave import FOREVER, away, next_edge, touches, with_pauses
from pathway.policy import default
from pathway.record import Known, Leave, Plan, Record, Scale, Score, Snapshot
from schemas.instants import DAY

REF = ("s", "i")


def view(**record: Any) -> View:  # noqa: ANN401 - any field of the record
    kept = Record(**record)
    return View(default(), Snapshot(policy="", record=kept), kept, 100 * DAY)


def criterion(value: Tri) -> dict[str, object]:
    """A condition that is true, false or not known, by name."""
    name = {True: "safe_home", False: "acute_withdrawal", None: "motivated"}[value]
    return {"criterion": {"name": name, "is": True}}


KNOWN = {
    "safe_home": Known(value=True, at=0, ref=REF),
    "acute_withdrawal": Known(value=False, at=0, ref=REF),
}
YES, NO, UNKNOWN = map(criterion, (True, False, None))
THREE: list[Tri] = [True, False, None]


def kleene_and(*values: Tri) -> Tri:
    return False if False in values else None if None in values else True


def kleene_or(*values: Tri) -> Tri:
    return True if True in values else None if None in values else False


@pytest.mark.parametrize("values", list(itertools.product(THREE, repeat=3)))
def test_missing_data_is_never_criterion_met(values: tuple[Tri, ...]) -> None:
    members = [criterion(value) for value in values]
    seen = view(criteria=KNOWN)
    assert parse({"all": members}).test(seen) is kleene_and(*values)
    assert parse({"any": members}).test(seen) is kleene_or(*values)


@pytest.mark.parametrize(
    ("value", "negated", "unless"), [(True, False, False), (False, True, True), (None, None, True)]
)
def test_not_keeps_the_unknown_and_unless_does_not(value: Tri, negated: Tri, unless: Tri) -> None:
    seen = view(criteria=KNOWN)
    assert parse({"not": criterion(value)}).test(seen) is negated
    assert parse({"unless": criterion(value)}).test(seen) is unless


def test_only_the_unknowns_that_could_change_the_answer_are_named() -> None:
    seen = view(criteria=KNOWN)
    assert parse({"all": [YES, UNKNOWN]}).unknowns(seen) == ["motivated"]
    assert parse({"all": [NO, UNKNOWN]}).unknowns(seen) == []
    assert parse({"any": [YES, UNKNOWN]}).unknowns(seen) == []
    assert parse({"not": UNKNOWN}).unknowns(seen) == ["motivated"]
    assert parse({"unless": UNKNOWN}).unknowns(seen) == []


AGED = {"since": {"mark": "state", "days": 200}}


@pytest.mark.parametrize(
    ("logic", "other", "answer", "timed"),
    [
        ("all", YES, False, True),
        ("all", UNKNOWN, False, True),
        ("all", NO, False, False),
        ("any", YES, True, False),
        ("any", UNKNOWN, None, True),
        ("any", NO, False, True),
    ],
)
@pytest.mark.parametrize("turned", [False, True])
def test_a_timer_is_wanted_only_where_time_alone_can_change_the_answer(
    *, logic: str, other: dict[str, object], answer: Tri, timed: bool, turned: bool
) -> None:
    members = [AGED, other] if turned else [other, AGED]
    seen = view(criteria=KNOWN, since=0)
    condition = parse({logic: members})
    assert condition.outlook(seen) == (answer, 200 * DAY if timed else None)
    assert condition.test(seen) is answer


@pytest.mark.parametrize("kind", ["not", "unless"])
def test_a_negation_wants_a_timer_where_its_part_does(kind: str) -> None:
    seen = view(criteria=KNOWN, since=0)
    assert parse({kind: {"all": [AGED, NO]}}).outlook(seen) == (True, None)
    assert parse({kind: {"all": [AGED, YES]}}).outlook(seen) == (True, 200 * DAY)


def test_asking_whether_rules_are_undetermined_wants_their_timers() -> None:
    seen = view(criteria=KNOWN, state="iop", since=0, admitted=0)
    rules = {rule.id: rule.when.due(seen) for rule in default().rules}
    name, due = next((name, due) for name, due in rules.items() if due is not None)
    (other, _) = next((name, due) for name, due in rules.items() if due is None)
    asked = parse({"undetermined": {"rules": [other, name]}})
    assert is_timed(asked)
    assert asked.due(seen) == due


def test_unmet_names_the_smallest_parts() -> None:
    seen = view(criteria=KNOWN)
    whole = parse({"all": [YES, NO, {"all": [UNKNOWN]}]})
    assert [part.describe() for part in whole.unmet(seen)] == [
        "acute withdrawal: yes",
        "motivated: yes",
    ]


@pytest.mark.parametrize(
    ("node", "message"),
    [
        ({}, "one name with its settings"),
        ("screened", "one name with its settings"),
        ({"screened": {}, "set_aside": {}}, "one name with its settings"),
        ({"all": []}, "at least 1"),
        ({"all": [{"any": [{"nothing": {}}]}]}, "unknown condition 'nothing'"),
        ({"criterion": {"name": "severity", "is": True}}, "severity is mild, moderate, severe"),
        ({"score": {"instrument": "PHQ-9"}}, "give at least one of at_least"),
        ({"score": {"instrument": "PHQ-9", "at_least": "many"}}, "at_least: Input should be"),
        ({"score": {"at_least": 3}}, "instrument: is missing"),
        ({"score": {"instrument": "PHQ-9", "at_leats": 3}}, "at_leats: there is no such field"),
        (
            {"measures_ordered": {"instrument": "BAM", "lower": "x", "upper": "use"}},
            "no measure 'x'",
        ),
        ({"reading": {"instrument": "UDS", "at_least": 1}}, "no measure 'total'; has: unexpected"),
        ({"expiry": {"kind": "payer_authorization"}}, "give either within_days or"),
        ({"no_urgent_alert": {}}, "give one of days, hours"),
        ({"since": {"mark": "birth", "days": 1}}, "mark: Input should be"),
        ({"since": {"mark": "state"}}, "give one of weeks"),
        ({"since": {"mark": "state", "days": 0}}, "greater than or equal to 1"),
        ({"weekly_hours": {"below_minimum": True, "at_least": 3}}, "give either"),
        ({"no_show_run": {"at_least": 3, "while_in": ["pub"]}}, "while_in.0: Input should be"),
        ({"reported": {"kinds": ["boredom"]}}, "kinds.0: Input should be"),
    ],
)
def test_what_a_policy_may_not_write(node: object, message: str) -> None:
    with pytest.raises(ConditionError) as caught:
        parse(node)
    assert message in str(caught.value)


def test_nothing_is_known_of_nobody() -> None:
    """Whatever needs data about a patient does not hold before the first fact."""
    policy, seen = default(), view()
    for rule in policy.rules:
        assert not rule.when.test(seen), rule.id
        rule.when.due(seen)
        rule.when.inputs(seen)
        assert list(rule.when.refs(seen)) == []


def test_every_building_block_says_itself_in_words() -> None:
    for rule in default().rules:
        for part in rule.when.parts():
            assert part.describe() != type(part).__name__
    assert len(CONDITIONS) > 35


def leave(since: int, until: int | None) -> Leave:
    return Leave(since, until, "other", REF)


@pytest.mark.parametrize(
    ("leaves", "reached"),
    [
        ([], 110),
        ([(120, 130)], 110),
        ([(110, 120)], 110),  # begins as the time is over
        ([(109, 120)], 121),
        ([(90, 100)], 110),  # ends as the time begins
        ([(90, 101)], 111),
        ([(102, 104), (103, 106)], 114),  # overlapping ones count once
        ([(102, 104), (112, 120)], 112),
        ([(102, 104), (111, 120)], 121),  # the pause itself makes room for another
        ([(102, None)], FOREVER),
        ([(103, 106), (102, 108)], 116),
    ],
)
def test_leave_stops_the_clock(leaves: list[tuple[int, int | None]], reached: int) -> None:
    assert with_pauses(100, 10, [leave(*each) for each in leaves]) == reached


def test_where_a_leave_begins_and_ends() -> None:
    leaves = [leave(10, 20), leave(30, None)]
    assert [away(leaves, at) for at in (9, 10, 19, 20, 29, 30, 10**9)] == [
        False, True, True, False, False, True, True,
    ]  # fmt: skip
    assert [next_edge(leaves, at) for at in (0, 10, 20, 30)] == [10, 20, 30, None]
    assert not touches(leaves, 20, 30)
    assert touches(leaves, 19, 25)
    assert touches(leaves, 25, 31)


def test_a_score_within_every_bound() -> None:
    score = Score(12, 0, REF)
    seen = view(scales={"PHQ-9/total": Scale(score, score, score, [score])})
    for bounds, holds in [
        ({"at_least": 12}, True),
        ({"at_least": 13}, False),
        ({"above": 12}, False),
        ({"above": 11}, True),
        ({"at_most": 12}, True),
        ({"at_most": 11}, False),
        ({"below": 12}, False),
        ({"below": 13}, True),
        ({"at_least": 10, "below": 12}, False),
    ]:
        assert parse({"score": {"instrument": "PHQ-9", **bounds}}).test(seen) is holds, bounds


def test_goals_without_any_are_not_met() -> None:
    condition = parse({"goals_met": {}})
    for total, met, holds in [(0, 0, None), (5, 4, False), (5, 5, True)]:
        plan = Plan(0, REF, total, met, None, None)
        assert condition.test(view(plan=plan)) is holds
