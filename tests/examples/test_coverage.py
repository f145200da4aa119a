"""The examples hold the whole policy: every rule speaks, and no number can change unseen."""

from collections import defaultdict

import pytest

from pathway.policy import Policy, default
from tests.examples.mutants import mutants
from tests.examples.reader import (
    ENGINE_RULES,
    BadExample,
    Example,
    differences,
    examples,
    parse,
    raised_in,
    rules_of,
)

EXAMPLES = examples()
RULES = [rule.id for rule in default().rules]
# No whole number of points lies between half of a score's range and 51 % of it.
SAME_THING = {
    ("ready-to-step-down", "when all 0 any 1 score_share at_most_percent: 51"),
    ("ready-to-step-down", "when all 1 any 2 score_share at_most_percent: 51"),
}


@pytest.mark.parametrize("rule", RULES)
def test_rule_speaks_in_one_example_and_is_silent_in_another(rule: str) -> None:
    """It can fire, none hides it for ever, and it does not speak always."""
    about = [each for each in EXAMPLES if rule in rules_of(each)]
    assert [each.title for each in about if rule in raised_in(each)]
    assert [each.title for each in about if rule not in raised_in(each)]


@pytest.mark.parametrize("rule", ENGINE_RULES)
def test_engine_alert_is_raised_in_an_example(rule: str) -> None:
    said = {
        name
        for each in EXAMPLES
        for line in each.expected
        for name in ENGINE_RULES
        if f"({name})" in line.text
    }
    assert rule in said


def test_every_change_of_the_policy_breaks_an_example() -> None:
    """Each limit up and down by one, each part of a condition and each state left out."""
    by_rule: dict[str | None, list[Example]] = defaultdict(list)
    for example in EXAMPLES:
        if example.zone is None:
            by_rule[None].append(example)
            for rule in rules_of(example):
                by_rule[rule].append(example)
    tried, unseen = 0, set()
    for rule, what, policy in mutants():
        tried += 1
        if not any(_breaks(example, policy) for example in by_rule[rule]):
            unseen.add((rule, what))
    assert unseen == SAME_THING
    assert tried > 450


def _breaks(example: Example, policy: Policy) -> bool:
    try:
        return bool(differences(example, policy))
    except BadExample:
        return True  # it closes an alert that is no longer raised


GOOD = """
example a title
about no-contact
start iop 2026-04-06 09:00
until 2026-04-20 09:00
expect alert outreach (no-contact) at 2026-04-20 09:00
"""


def test_the_example_below_is_good() -> None:
    [example] = parse(GOOD, "good.txt")
    assert differences(example, default()) == []


@pytest.mark.parametrize(
    ("old", "new", "line", "message"),
    [
        ("example a title", "start iop 2026-04-06", 2, "the first line is `example`"),
        ("until", "untill", 5, "'untill' is none of: example, zone, about"),
        ("about no-contact", "about no-contacts", 2, "there is no rule 'no-contacts'"),
        ("(no-contact)", "(no-contacts)", 6, "there is no rule 'no-contacts'"),
        ("expect alert", "expect alarm", 6, "cannot understand 'alarm outreach"),
        ("expect", "# expect", 2, "nothing is expected"),
        ("start iop", "start pub", 4, "unknown start 'pub'; known: referral"),
        ("2026-04-06", "2026-04-31", 4, "there is no such date or time"),
        ("start iop 2026-04-06 09:00", "2026-03-08 02:30  referral", 4, "the clocks skip"),
        ("start iop", "2026-04-06 08:00  sesion group\nstart iop", 4, "lines begin with: referral"),
        ("start iop", "2026-04-06 08:00  retract a\nstart iop", 4, "no event above is named [a]"),
        ("start iop", "2026-04-06 08:00  score PHQ-9 9999999\nstart iop", 4, "no such event"),
        ("start iop", "2026-04-06 08:00  screening mood yes\nstart iop", 4, "criteria: stable"),
        ("start iop", "2026-04-06 08:00  close outreach\nstart iop", 4, "no alert outreach stands"),
        ("start iop", "each Someday from\nstart iop", 4, "each is written"),
    ],
)
def test_mistake_is_named_with_file_and_line(old: str, new: str, line: int, message: str) -> None:
    text = GOOD.replace(old, new, 1)
    with pytest.raises(BadExample) as caught:
        _try(text)
    assert str(caught.value).startswith(f"mine.txt, line {line}: ")
    assert message in str(caught.value)


def _try(text: str) -> None:
    for example in parse(text, "mine.txt"):
        differences(example, default())


def test_two_examples_of_one_title_are_refused() -> None:
    with pytest.raises(BadExample, match="a title that no other one has"):
        parse(GOOD + GOOD, "twice.txt")


@pytest.mark.parametrize(
    "line",
    [
        "expect nothing",
        "expect alert outreach (no-contact) at 2026-04-20 09:01",
        "expect alert outreach (no-contact) at 2026-04-20 09:00, cleared 2026-04-20 09:00",
        "expect state php",
        "expect waiting php until 2026-04-20 09:00",
        "expect transition screening to iop at 2026-04-06 09:00",
    ],
)
def test_a_wrong_expectation_fails(line: str) -> None:
    """What is said and not expected is a difference too, for the rules that it is about."""
    text = GOOD[: GOOD.index("expect")] + line
    [example] = parse(text, "wrong.txt")
    assert differences(example, default())
