"""The cut-offs that a policy's rules put on each score."""

from collections.abc import Iterator
from dataclasses import dataclass

from pathway.conditions import Condition
from pathway.conditions.clinical import ScoreIs, ScoreRepeated
from pathway.conditions.safety import ReadingIs
from pathway.policy import Policy


@dataclass(slots=True, frozen=True)
class Cutoff:
    """One limit on a measure, and the rules that look at it."""

    value: int
    sign: str  # ≥, >, ≤ or <
    rules: tuple[str, ...]  # titles


def cutoffs(policy: Policy) -> dict[str, list[Cutoff]]:
    """Measure (`PHQ-9/total`) to its limits, the lowest first."""
    found: dict[str, dict[tuple[int, str], list[str]]] = {}
    for rule in policy.rules:
        for part in rule.when.parts():
            for measure, limit, sign in _limits(part):
                titles = found.setdefault(measure, {}).setdefault((limit, sign), [])
                if rule.title not in titles:
                    titles.append(rule.title)
    return {
        measure: [
            Cutoff(limit, sign, tuple(titles)) for (limit, sign), titles in sorted(each.items())
        ]
        for measure, each in found.items()
    }


def _limits(part: Condition) -> Iterator[tuple[str, int, str]]:
    if isinstance(part, ScoreRepeated):
        yield f"{part.instrument}/{part.measure}", part.at_least, "≥"
    elif isinstance(part, ScoreIs | ReadingIs):
        signs = (("≥", part.at_least), (">", part.above), ("≤", part.at_most), ("<", part.below))
        for sign, limit in signs:
            if limit is not None:
                yield f"{part.instrument}/{part.measure}", limit, sign
