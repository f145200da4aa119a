"""The policy as a page that a medical director can read: every row, in plain words."""

from collections.abc import Iterable, Iterator
from typing import Final

from pathway.conditions import All, Any_, Condition, Not, Unless
from pathway.policy import NO_STATE, Guard, Policy, Rule
from pathway.policy_rows import Level

STATUS: Final = {
    "law": "law: a statute or regulation says so",
    "standard": "standard: a clinical standard, instrument or measure says so",
    "seed": "seed: a sensible beginning; the medical director should confirm it",
    "site": "site: the program's own choice",
}
MOVED_BY: Final = {
    "referral": "a referral",
    "screening": "a screening",
    "decision": "a clinician's decision",
    "discharge": "a recorded discharge",
}


def render(policy: Policy) -> str:
    """The whole page, in Markdown."""
    parts = (_head(policy), _levels(policy), _moves(policy), _guards(policy), _limits(policy))
    return "\n".join(line for part in (*parts, _rules(policy)) for line in part) + "\n"


def _head(policy: Policy) -> Iterator[str]:
    yield f"# Pathway policy {policy.name} {policy.version}"
    yield ""
    yield "Written from the policy file by `pathway policy page`; change that file, not this page."
    yield ""
    yield f"- Time zone of the program: {policy.zone}"
    uncounted = ", ".join(policy.uncounted_kinds) or "none"
    yield f"- Sessions that count toward no hours: {uncounted}"
    yield "- A clinic week runs from Monday to Sunday. It is judged only if the patient was at that"
    yield "  level all seven days, not on leave, and a session was recorded."
    yield "- What is not known never fulfils a rule."
    for text in STATUS.values():
        yield f"- Status {text}"
    yield ""


def _levels(policy: Policy) -> Iterator[str]:
    yield "## Levels of care"
    yield ""
    yield from _table(
        ("state", "what it is", "hours a week at least"),
        (
            (level.id, level.title, str(level.hours_at_least or "none"))
            for level in sorted(policy.levels, key=_by_care)
        ),
    )


def _by_care(level: Level) -> tuple[bool, int]:
    return (level.id == "discharged", level.rank)


def _moves(policy: Policy) -> Iterator[str]:
    yield "## Moves"
    yield ""
    yield from _table(
        ("from", "to", "moved by", "always noted as"),
        (
            (_states(move.from_), _state(move.to), MOVED_BY[move.by], move.flag or "")
            for move in policy.moves
        ),
    )


def _guards(policy: Policy) -> Iterator[str]:
    yield "## Guards: what must hold on a move"
    yield ""
    yield "A guard that blocks can be overridden by a decision that says why; one that notes never"
    yield "stops a move."
    yield ""
    yield from _table(
        ("guard", "into", "from", "needed", "if not", "source"), map(_guard, policy.guards)
    )


def _guard(guard: Guard) -> tuple[str, ...]:
    source = _states(guard.from_) if guard.from_ else "anywhere"
    effect = "blocks" if guard.mode == "block" else "is noted"
    return (guard.id, _state(guard.into), source, guard.title, effect, guard.source)


def _limits(policy: Policy) -> Iterator[str]:
    yield "## Limits"
    yield ""
    yield from _table(
        ("limit", "what it is", "value", "source", "status"),
        ((x.id, x.title, f"{x.value} {x.unit}", x.source, x.status) for x in policy.limits),
    )


def _rules(policy: Policy) -> Iterator[str]:
    yield "## Rules"
    yield ""
    yield "An alert tells somebody; a recommendation proposes a move that a person decides; a rule"
    yield "that is automatic moves by itself, never to less care."
    yield ""
    columns = ("rule", "in", "when", "limit", "says", "source", "status")
    for area in dict.fromkeys(rule.area for rule in policy.rules):
        if area:
            yield f"### {area[0].upper()}{area[1:]}"
            yield ""
        yield from _table(columns, (_rule(rule) for rule in policy.rules if rule.area == area))


def _rule(rule: Rule) -> tuple[str, ...]:
    limit = "" if rule.value is None else rule.threshold
    name = f"**{rule.title}**<br>{rule.id}, version {rule.version}"
    states = "every state" if rule.states == "any" else _states(rule.states)
    return (
        name,
        states,
        "<br>".join(_when(rule.when)),
        limit,
        _says(rule),
        rule.source,
        rule.status,
    )


def _says(rule: Rule) -> str:
    if rule.mode == "alert":
        return f"alert: {(rule.alert or '').replace('_', ' ')} ({rule.severity})"
    verb = "recommends" if rule.mode == "recommend" else "**moves by itself** to"
    return f"{verb} {_state(rule.to or '')} ({rule.urgency})"


def _when(condition: Condition, indent: int = 0) -> Iterator[str]:
    """The condition, a line for each part; groups are indented under their heading."""
    lead = "&emsp;" * indent
    match condition:
        case All() | Any_():
            word = "all of" if isinstance(condition, All) else "any of"
            yield f"{lead}{word}:"
            for member in condition.members:
                yield from _when(member, indent + 1)
        case Not(member=member):
            word = "unless" if isinstance(condition, Unless) else "not"
            if isinstance(member, All | Any_):
                yield f"{lead}{word}:"
                yield from _when(member, indent + 1)
            else:
                yield f"{lead}{word}: {member.describe()}"
        case _:
            yield f"{lead}{condition.describe()}"


def _states(states: Iterable[str]) -> str:
    return ", ".join(map(_state, states))


def _state(state: str) -> str:
    return "before the first referral" if state == NO_STATE else state.replace("_", "-")


def _table(columns: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> Iterator[str]:
    yield f"| {' | '.join(columns)} |"
    yield f"|{'---|' * len(columns)}"
    for row in rows:
        yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |"
    yield ""
