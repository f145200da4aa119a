"""A policy that cannot work is refused, with its line, its row and what is wrong."""

import re
from collections import deque
from pathlib import Path

import pytest

from pathway.alerts import ENGINE_ALERTS
from pathway.conditions import CONDITIONS
from pathway.policy import NO_STATE, OPEN_STATES, PolicyError, default, load, load_file
from pathway.policy_checks import RESERVED_RULES

TEXT = default().text
LINES = TEXT.splitlines()


def refused(old: str, new: str) -> str:
    assert TEXT.count(old) >= 1, f"the policy no longer has {old!r}"
    with pytest.raises(PolicyError) as caught:
        load(TEXT.replace(old, new, 1))
    return str(caught.value)


def line_of(text: str) -> int:
    return next(number for number, line in enumerate(LINES, 1) if text in line)


HOURS_LOW = "when: {weekly_hours: {below_minimum: true}}"
URGENT_LIMIT = next(line for line in LINES if "id: urgent-overdue," in line) + "\n"
READY_ID = "- id: ready-for-aftercare"


@pytest.mark.parametrize(
    ("old", "new", "row", "message"),
    [
        # rows
        (
            HOURS_LOW,
            "when: {weekly_ours: {}}",
            "rules [hours-low] when",
            "did you mean weekly_hours?",
        ),
        (HOURS_LOW, "when: {moon: {}}", "rules [hours-low] when", "known: all, any, not"),
        (HOURS_LOW, "when: {weekly_hours: {}}", "rules [hours-low] when", "give either"),
        (
            "when: {reported: {kinds: [suicidal_ideation, self_harm]}}",
            "when: {not: {urgent_alert_stands: {}}}",
            "rules [safety-report]",
            "cannot depend on urgent alerts",
        ),
        (HOURS_LOW, "when: [1]", "rules [hours-low] when", "a condition is one name"),
        (
            "instrument: GAD-7, at_least",
            "instrument: GAD7, at_least",
            "rules [anxiety-severe] when",
            "score: unknown instrument 'GAD7'; known: AUDIT",
        ),
        (
            "measure: high, at_least",
            "measure: total, at_least",
            "rules [safety-screen-high-level]",
            "C-SSRS has no measure 'total'; has: high",
        ),
        (
            'item: "9", at_least',
            'item: "10", at_least',
            "rules [safety-response] when",
            "PHQ-9 has no item '10'",
        ),
        (
            "{name: motivated, is: false}",
            "{name: motivated, is: mild}",
            "rules [motivation-advisory]",
            "motivated is true or false",
        ),
        (
            "{mark: state, weeks: 8}",
            "{mark: state, weeks: 8, days: 1}",
            "rules [stay-review-first]",
            "give one of weeks, days, hours, business_days",
        ),
        (
            "    severity: info\n    value: 14",
            "    severty: info\n    value: 14",
            "rules [individual-missing] severty",
            "there is no such field",
        ),
        (
            "    severity: info\n    value: 14",
            "    value: 14",
            "rules [individual-missing]",
            "mode alert needs `alert` and `severity`",
        ),
        (
            "    alert: housing_review\n",
            "    alert: housing_review\n    to: php\n",
            "rules [housing-review]",
            "mode alert has no `to`",
        ),
        (
            "    to: discharged\n    value: 6",
            "    value: 6",
            "rules [no-shows-many]",
            "mode recommend needs `to`",
        ),
        (
            "    severity: info\n    value: 14",
            "    severity: grave\n    value: 14",
            "rules [individual-missing] severity",
            "should be 'info', 'warning' or 'urgent'",
        ),
        (
            "    source: 42 CFR 410.43\n    status: law\n  - id: plan",
            "    status: law\n  - id: plan",
            "rules [hours-high] source",
            "is missing",
        ),
        (
            "states: [referral, screening]",
            "states: []",
            "rules [screening-overdue] states",
            "at least 1",
        ),
        (
            "states: [referral, screening]",
            "states: [referal]",
            "rules [screening-overdue] states",
            "Input should be",
        ),
        (
            "value: 72, unit: hours, title: how long a b",
            "value: 0, unit: hours, title: how long a b",
            "limits [blocked-decision] value",
            "greater than or equal to 1",
        ),
        # names
        ("- id: hours-high", "- id: hours-low", "rules [hours-low]", "this id stands twice"),
        (
            "- id: hours-high",
            "- id: urgent-overdue",
            "rules [urgent-overdue]",
            "belongs to the engine",
        ),
        ("- id: hours-high", "- id: phq9-high", "rules [phq9-high]", "no instrument or substance"),
        (
            "alert: housing_review",
            "alert: alcohol_review",
            "rules [housing-review]",
            "no instrument or substance",
        ),
        (
            "zone: America/Chicago",
            "zone: America/Chicgo",
            "zone",
            "'America/Chicgo' is not an IANA",
        ),
        ("zone: America/Chicago", "zone: ../etc/passwd", "zone", "is not an IANA time zone"),
        ("zone: America/Chicago", "zone: America", "zone", "is not an IANA time zone"),
        (
            "uncounted_kinds: [medication]",
            "uncounted_kinds: [meds]",
            "uncounted_kinds 0",
            "Input should",
        ),
        # limits
        (
            "  - {id: late-charting, value: 72",
            "  - {id: late-chart, value: 72",
            "limits [late-chart]",
            "the engine has no such limit; it has: blocked-decision",
        ),
        (URGENT_LIMIT, "", "limits", "urgent-overdue is missing"),
        # the graph
        (
            "rank: 4, hours_at_least: 20",
            "rank: 2, hours_at_least: 20",
            "levels",
            "php is more care than iop and needs a higher rank",
        ),
        (
            "id: screening, title: screening, rank: 0",
            "id: screening, title: screening, rank: 3",
            "levels [screening]",
            "levels of care have a rank from 1 up, other states 0",
        ),
        (
            "  - {from: [referral], to: screening, by: screening}\n",
            "",
            "levels [screening]",
            "no move leads there",
        ),
        (
            "iop, php, residential, aftercare], to: discharged",
            "iop, php, residential], to: discharged",
            "levels [aftercare]",
            "a patient must be able to be discharged from here",
        ),
        (
            "  - {from: [referral, screening, step_down, iop, php, residential, aftercare],",
            "  - {from: [referral],",
            "levels [screening]",
            "no way leads out",
        ),
        (
            "  - {from: [iop], to: php, by: decision}",
            "  - {from: [iop, iop], to: php, by: decision}",
            "moves 6",
            "iop to php stands twice",
        ),
        (
            "{from: [iop], to: php, by: decision}",
            "{from: [iop], to: php, by: referral}",
            "moves 6",
            "by referral leads to referral only",
        ),
        ("by: discharge}", "by: decision}", "moves 21", "a decision does not lead to discharged"),
        # guards
        (
            "into: aftercare, mode: block",
            "into: aftercare, from: [referral], mode: block",
            "guards [aftercare-plan]",
            "no move leads from referral into aftercare",
        ),
        (
            "requires: {step_down_plan: {}}",
            "requires: {since: {mark: state, days: 3}}",
            "guards [step-down-plan]",
            "a guard cannot wait for time to pass",
        ),
        (
            "requires: {step_down_plan: {}}",
            "requires: {reported: {kinds: [relapse]}}",
            "guards [step-down-plan]",
            "not about one event",
        ),
        (
            "requires: {step_down_plan: {}}",
            "requires: {discharge_reason: {is: [completed]}}",
            "guards [step-down-plan]",
            "into must be discharged",
        ),
        # what a rule may do
        (
            "    mode: recommend\n    to: discharged\n    value: 30",
            "    mode: automatic\n    to: discharged\n    value: 30",
            "rules [contact-lost]",
            "automatic is never allowed for discharge or a lower level",
        ),
        (
            "    mode: recommend\n    to: step_down\n    source: PHQ-9",
            "    mode: automatic\n    to: step_down\n    source: PHQ-9",
            "rules [ready-to-step-down]",
            "automatic is never allowed for discharge or a lower level",
        ),
        (
            "    mode: recommend\n    to: iop\n    value: 14",
            "    mode: automatic\n    to: iop\n    value: 14",
            "rules [ready-for-iop]",
            "automatic is never allowed for discharge or a lower level",
        ),
        (
            "    to: php\n    source: ASAM Criteria 4th ed. level 2.5",
            "    to: screening\n    source: ASAM Criteria 4th ed. level 2.5",
            "rules [screen-php]",
            "there is no move from screening to screening",
        ),
        (
            "when: {all: [{aftercare_plan: {}}, {goals_met: {}}]}",
            "when: {reported: {kinds: [relapse]}}",
            "rules [ready-for-aftercare]",
            "a condition on one event can alert, not move",
        ),
        (
            "when: {set_aside: {}}",
            "when: {discharge_reason: {is: [died]}}",
            "rules [result-set-aside]",
            "can stand in a guard only",
        ),
        (
            "rules: [screen-residential, screen-php",
            "rules: [screen-resident, screen-php",
            "rules [screening-incomplete]",
            "unknown rule 'screen-resident'",
        ),
        (
            "at_least: 3, while_in",
            "at_least: 4, while_in",
            "rules [no-shows-in-a-row]",
            "value says 3, but `when` is: 4 no-shows in a row",
        ),
    ],
)
def test_fault_is_named_with_its_row(old: str, new: str, row: str, message: str) -> None:
    told = refused(old, new)
    match = re.fullmatch(r"line (\d+): (.*)", told)
    assert match, told
    assert match[2].startswith(row), told
    assert message in told
    assert "\n" not in told


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        (HOURS_LOW, "when: {moon: {}}", line_of(HOURS_LOW)),
        (READY_ID, READY_ID.replace("ready-for-aftercare", "no-contact"), line_of(READY_ID)),
        ("zone: America/Chicago", "zone: Mars", line_of("zone: ")),
        ("id: late-charting", "id: late", line_of("id: late-charting")),
    ],
)
def test_the_line_is_that_of_the_fault(old: str, new: str, line: int) -> None:
    assert refused(old, new).startswith(f"line {line}: ")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [1", "not YAML"),
        ("a: 1\nb: {c: 1, c: 2}", "line 2: not YAML: 'c' stands twice in one mapping"),
        ("a: 1\n\tb: 2", "line 2: not YAML"),
        ("x: !!python/object:os.system {}", "line 1: not YAML"),
        ("day: 2026-13-45", "not YAML"),
        ("", "a policy is a mapping"),
        ("- 1", "a policy is a mapping"),
        ("name: iop", "version: is missing"),
        ("1: 2", "name: is missing"),
    ],
)
def test_what_is_no_policy_at_all(text: str, message: str) -> None:
    with pytest.raises(PolicyError) as caught:
        load(text)
    assert message in str(caught.value)


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(PolicyError, match="cannot read"):
        load_file(tmp_path / "none.yaml")
    (tmp_path / "latin.yaml").write_bytes(b"name: \xff")
    with pytest.raises(PolicyError, match="cannot read"):
        load_file(tmp_path / "latin.yaml")


def test_another_threshold_needs_no_python() -> None:
    policy = load(
        TEXT.replace("at_least: 3, while_in", "at_least: 4, while_in").replace(
            "value: 3\n", "value: 4\n"
        )
    )
    assert "4 no-shows" in policy.rule("no-shows-in-a-row").when.describe()
    assert policy.digest != default().digest


def test_a_step_up_may_be_automatic() -> None:
    old = "    mode: recommend\n    to: php\n    urgency: urgent\n    value: 2"
    assert old in TEXT
    new = old.replace("recommend", "automatic").replace("to: php", "to: residential")
    policy = load(TEXT.replace(old, new))
    assert policy.has_automatic


def test_every_state_is_reached_and_only_discharge_ends() -> None:
    policy = default()
    edges = {(source, move.to) for move in policy.moves for source in move.from_}
    reached, frontier = {NO_STATE}, deque([NO_STATE])
    while frontier:
        here = frontier.popleft()
        new = {to for source, to in edges if source == here} - reached
        reached |= new
        frontier.extend(new)
    assert reached - {NO_STATE} == OPEN_STATES | {"discharged"}
    for state in OPEN_STATES:
        assert (state, "discharged") in edges
    assert {to for source, to in edges if source == "discharged"} == {"referral"}


def test_no_rule_moves_by_itself_in_the_default_policy() -> None:
    assert not default().has_automatic


def test_safety_rules_hold_in_every_state() -> None:
    for rule in default().rules:
        if rule.area == "safety" and rule.mode == "alert":
            assert rule.states == "any", rule.id


@pytest.mark.parametrize(
    ("source", "to", "lower"),
    [
        ("iop", "step_down", True),
        ("iop", "php", False),
        ("php", "iop", True),
        ("residential", "php", True),
        ("screening", "step_down", True),
        ("screening", "iop", False),
        ("step_down", "aftercare", True),
        ("aftercare", "step_down", False),
        ("aftercare", "discharged", True),
        ("referral", "discharged", True),
    ],
)
def test_what_a_step_to_less_care_is(source: str, to: str, lower: bool) -> None:  # noqa: FBT001
    assert default().is_lower(source, to) is lower


def test_the_engine_knows_its_own_rules() -> None:
    assert set(ENGINE_ALERTS) == RESERVED_RULES


def test_every_condition_is_used_or_known_by_a_plain_name() -> None:
    """A building block that no row uses is tested by nothing."""
    used = set(re.findall(r"\b([a-z_]+):", TEXT))
    assert set(CONDITIONS) - used == set()
