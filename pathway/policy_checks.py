"""What no single row of a policy can show by itself: names, the graph, rules that cannot work."""

import re
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Final

from pathway.conditions import Condition, Group
from pathway.conditions.administrative import DischargeReason
from pathway.conditions.attendance import WeeklyHours
from pathway.policy_rows import NO_STATE, OPEN_STATES, Guard, Policy, Rule, is_event_rule
from pathway.weeks import calendar

Place = tuple[int | str, ...]
Fault = tuple[Place, str]  # where in the file, and what is wrong

REQUIRED_LIMITS: Final = (
    "blocked-decision",
    "decline-silence",
    "late-charting",
    "urgent-overdue",
)
# The engine's own alerts; see `pathway/alerts.py`.
RESERVED_RULES: Final = frozenset(
    {"decision-refused", "decision-lapsed", "urgent-overdue", "placement-contradicted"}
)
CARE: Final = ("aftercare", "step_down", "iop", "php", "residential")  # from less to more
ENDS: Final = {"referral": "referral", "screening": "screening", "discharge": "discharged"}
# Ids and alert names are published, and must disclose neither instrument nor substance.
TELLING: Final = re.compile(
    r"(?:^|[-_])(phq|gad|bam|c-?ssrs|ssrs|ciwa|cows|audit|dast|pcl|whodas|uds|alcohol|opioid|"
    r"opiate|heroin|fentanyl|cocaine|cannabis|benzodiazepine|methamphetamine|stimulant)"
    r"\d*(?:[-_]|$)"
)


def faults(policy: Policy) -> Iterator[Fault]:
    """Everything that is wrong, in the order of the file's tables."""
    yield from _zone(policy)
    for check in (_ids, _limits, _ranks, _moves, _graph, _guards):
        yield from check(policy)
    for place, rule in enumerate(policy.rules):
        for check_rule in RULE_CHECKS:
            yield from ((("rules", place), what) for what in check_rule(policy, rule))


def _zone(policy: Policy) -> Iterator[Fault]:
    try:
        calendar(policy.zone)
    except (KeyError, ValueError, OSError):
        yield ("zone",), f"{policy.zone!r} is not an IANA time zone"


def _ids(policy: Policy) -> Iterator[Fault]:
    tables: dict[str, list[str]] = {
        "levels": [level.id for level in policy.levels],
        "guards": [guard.id for guard in policy.guards],
        "limits": [limit.id for limit in policy.limits],
        "rules": [rule.id for rule in policy.rules],
    }
    for table, ids in tables.items():
        for place, row_id in enumerate(ids):
            if row_id in ids[:place]:
                yield (table, place), "this id stands twice"
            elif TELLING.search(row_id):
                yield (table, place), "an id is published: it may name no instrument or substance"


def _limits(policy: Policy) -> Iterator[Fault]:
    have = [limit.id for limit in policy.limits]
    for place, limit_id in enumerate(have):
        if limit_id not in REQUIRED_LIMITS:
            known = ", ".join(REQUIRED_LIMITS)
            yield ("limits", place), f"the engine has no such limit; it has: {known}"
    for needed in REQUIRED_LIMITS:
        if needed not in have:
            yield ("limits",), f"{needed} is missing"


def _ranks(policy: Policy) -> Iterator[Fault]:
    ranks = {level.id: level.rank for level in policy.levels}
    levels = [level for level in CARE if level in ranks]
    for lower, higher in pairwise(levels):
        if ranks[lower] >= ranks[higher]:
            yield ("levels",), f"{higher} is more care than {lower} and needs a higher rank"
    for place, level in enumerate(policy.levels):
        if (level.id in CARE) != (level.rank > 0):
            yield ("levels", place), "levels of care have a rank from 1 up, other states 0"


def _moves(policy: Policy) -> Iterator[Fault]:
    levels = {level.id for level in policy.levels}
    edges: set[tuple[str, str]] = set()
    for place, move in enumerate(policy.moves):
        for source in move.from_:
            at: Place = ("moves", place)
            if {source, move.to} - levels - {NO_STATE}:
                yield at, f"{source} or {move.to} is not a level"
            if (source, move.to) in edges:
                yield at, f"{source} to {move.to} stands twice"
            edges.add((source, move.to))
        if move.to != ENDS.get(move.by, move.to):
            yield ("moves", place), f"by {move.by} leads to {ENDS[move.by]} only"
        if move.by == "decision" and move.to not in CARE:
            yield ("moves", place), f"a decision does not lead to {move.to}"


def _graph(policy: Policy) -> Iterator[Fault]:
    edges: set[tuple[str, str]] = {
        (source, move.to) for move in policy.moves for source in move.from_
    }
    onward = _reached(NO_STATE, edges)
    back = _reached("discharged", {(to, source) for source, to in edges})
    discharges = {s for m in policy.moves if m.by == "discharge" for s in m.from_}
    for place, level in enumerate(policy.levels):
        if level.id not in onward:
            yield ("levels", place), "no move leads there"
        elif level.id not in back:
            yield ("levels", place), "no way leads out to discharged"
        elif level.id in OPEN_STATES - discharges:
            yield ("levels", place), "a patient must be able to be discharged from here"


def _reached(start: str, edges: set[tuple[str, str]]) -> set[str]:
    reached, frontier = {start}, [start]
    while frontier:
        here = frontier.pop()
        for to in {to for source, to in edges if source == here} - reached:
            reached.add(to)
            frontier.append(to)
    return reached


def _guards(policy: Policy) -> Iterator[Fault]:
    for place, guard in enumerate(policy.guards):
        sources = {
            source for move in policy.moves if move.to == guard.into for source in move.from_
        }
        if not sources:
            yield ("guards", place), f"no move leads into {guard.into}"
        for source in guard.from_ or ():
            if source not in sources:
                yield ("guards", place), f"no move leads from {source} into {guard.into}"
        yield from ((("guards", place), what) for what in _guard_parts(guard))


def _guard_parts(guard: Guard) -> Iterator[str]:
    for part in guard.requires.parts():
        if isinstance(part, DischargeReason):
            if guard.into != "discharged":
                yield "discharge_reason asks about a discharge: into must be discharged"
        elif part.on_event:
            yield "a guard is about the patient, not about one event"
        elif type(part).due is not Condition.due and not isinstance(part, Group):
            yield "a guard cannot wait for time to pass"


def _says_one_thing(_: Policy, rule: Rule) -> Iterator[str]:
    if rule.mode == "alert":
        if rule.alert is None or rule.severity is None:
            yield "mode alert needs `alert` and `severity`"
        if rule.to is not None or "urgency" in rule.model_fields_set:
            yield "mode alert has no `to` and no `urgency`"
        return
    if rule.to is None:
        yield f"mode {rule.mode} needs `to`"
    if rule.alert is not None or rule.severity is not None:
        yield f"mode {rule.mode} has no `alert` and no `severity`"


def _named_well(_: Policy, rule: Rule) -> Iterator[str]:
    if rule.id in RESERVED_RULES:
        yield "this id belongs to the engine"
    if rule.alert and TELLING.search(rule.alert):
        yield f"alert {rule.alert} is published: it may name no instrument or substance"


def _known_states(policy: Policy, rule: Rule) -> Iterator[str]:
    levels = {level.id for level in policy.levels} | {NO_STATE}
    for state in rule.states if rule.states != "any" else ():
        if state not in levels:
            yield f"states: {state} is not a level"


def _can_fire(policy: Policy, rule: Rule) -> Iterator[str]:
    if rule.mode != "alert" and is_event_rule(rule.when):
        yield "a condition on one event can alert, not move"
    if rule.severity == "urgent" and "alerts" in rule.when.topics():
        yield "an urgent alert cannot depend on urgent alerts: it would raise and clear itself"
    for part in rule.when.parts():
        if isinstance(part, DischargeReason):
            yield "discharge_reason can stand in a guard only"
        for other in part.rules_asked():
            if other not in policy.order:
                yield f"undetermined names an unknown rule {other!r}"


def _legal_target(policy: Policy, rule: Rule) -> Iterator[str]:
    if rule.to is None:
        return
    sources = [level.id for level in policy.levels] if rule.states == "any" else rule.states
    for source in sources:
        moves = [m for m in policy.moves if source in m.from_ and m.to == rule.to]
        if not any(move.by in {"decision", "discharge"} for move in moves):
            yield f"there is no move from {source} to {rule.to}"
        elif rule.mode == "automatic" and policy.is_lower(source, rule.to):
            yield "automatic is never allowed for discharge or a lower level"


def _honest_value(policy: Policy, rule: Rule) -> Iterator[str]:
    """The numbers that people are told are those that the condition uses."""
    if rule.value is None:
        return
    meant = _numbers(rule.when.describe())
    if any(isinstance(part, WeeklyHours) and part.below_minimum for part in rule.when.parts()):
        meant |= {float(level.hours_at_least or 0) for level in policy.levels}
    for number in sorted(_numbers(rule.threshold) - meant):
        yield f"value says {number:g}, but `when` is: {rule.when.describe()}"


def _numbers(text: str) -> set[float]:
    return {float(number) for number in re.findall(r"\d+(?:\.\d+)?", text)}


RULE_CHECKS: Final[tuple[Callable[[Policy, Rule], Iterator[str]], ...]] = (
    _named_well,
    _known_states,
    _says_one_thing,
    _can_fire,
    _legal_target,
    _honest_value,
)
