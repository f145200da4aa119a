"""One patient: the picture, the explanation in sentences, what each next level would take."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from handlers.board import lanes, scores
from handlers.board.facts import Entry, entries
from handlers.board.lanes import Week
from handlers.board.picture import Picture, picture, span
from handlers.board.reader import Chart
from handlers.board.scores import Series
from handlers.board.story import Told, story
from handlers.board.words import Times, basis, sentence, value
from pathway.explain import Asked, explain
from pathway.policy import NO_STATE, Policy
from pathway.sentences import sentences
from schemas.instants import parse_instant

Answer = dict[str, Any]
_UTC: Final = re.compile(r"(\d{4}-\d\d-\d\d) (\d\d:\d\d) UTC")


@dataclass(slots=True, frozen=True)
class Next:
    """A level that the graph allows next, and what keeps the patient from it."""

    state: str
    by: str
    blocked: list[str]  # guards that do not hold: a decision would wait or need an override
    unmet: list[str]  # what the nearest rule lacks to recommend it
    recommended: bool


@dataclass(slots=True, frozen=True)
class Page:
    """The whole page."""

    patient: str
    state: str | None
    since: int | None
    episode: int
    episodes: int
    policy: Policy
    sentences: list[str]
    nexts: list[Next]
    picture: Picture
    standing: list[tuple[Told, str]]  # with its basis in a sentence
    ended: list[Told]
    moves: list[Told]
    special: list[Entry]  # late or corrected facts
    weeks: list[Week]
    series: list[Series]
    facts: int


def page(  # noqa: PLR0913 - what a page is made of
    patient: str, chart: Chart, policies: Mapping[str, Policy], times: Times, now: int, episode: int
) -> Page:
    """Put the page of one episode together; 0 = the present one. Takes some 50 ms."""
    told, facts = story(chart.messages), entries(chart.journal)
    answer = explain(patient, chart.journal, policies, Asked())
    if answer is None:
        raise LookupError(patient)
    policy = policies[chart.row.policy]
    shown = episode if 1 <= episode <= chart.row.episode else chart.row.episode
    axis = span(told, facts, shown, now, times)
    inside = [entry for entry in facts if axis.holds(entry.fact.time)]
    said = [each for kind in ("alert", "recommendation") for each in told.of(kind)]
    return Page(
        patient=patient,
        state=chart.row.state,
        since=chart.row.since,
        episode=shown,
        episodes=chart.row.episode,
        policy=policy,
        sentences=[_local(each, times) for each in sentences(patient, answer)],
        nexts=_nexts(patient, chart, policies, answer),
        picture=picture(told, facts, policy, axis, now),
        standing=_standing(said, policies),
        ended=_ended(said, shown),
        moves=told.of("transition"),
        special=[entry for entry in facts if entry.note],
        weeks=lanes.weeks(inside, policy),
        series=scores.series(inside, policy),
        facts=len(facts),
    )


def _standing(said: Sequence[Told], policies: Mapping[str, Policy]) -> list[tuple[Told, str]]:
    rank = {"urgent": 0, "warning": 1, "routine": 2, "info": 3}
    found = [each for each in said if each.status == "standing"]
    found.sort(key=lambda each: (rank.get(each.severity, 9), each.at))
    return [(each, basis(policies.get(each.policy), each.rule or "")) for each in found]


def _ended(said: Sequence[Told], episode: int) -> list[Told]:
    found = [each for each in said if each.status != "standing" and each.episode == episode]
    return sorted(found, key=lambda each: each.at, reverse=True)


def _nexts(
    patient: str, chart: Chart, policies: Mapping[str, Policy], answer: Answer
) -> list[Next]:
    policy, state = policies[chart.row.policy], chart.row.state or NO_STATE
    held = answer["recommended"]
    found = []
    for move in policy.moves:
        if state in move.from_:
            asked = explain(patient, chart.journal, policies, Asked(why_not=move.to))
            unmet = asked["why_not"]["unmet"] if asked else []
            found.append(_next(policy, move.to, move.by, unmet, held))
    return found


def _next(policy: Policy, to: str, by: str, unmet: Sequence[Answer], held: Answer | None) -> Next:
    guards = {guard.id: guard.title for guard in policy.guards}
    blocked = [_lack(each) for each in unmet if each["guard"] in guards]
    lacking = [_lack(each) for each in unmet if each["guard"] not in guards]
    recommended = held is not None and held["to"] == to
    return Next(to, by, blocked, [] if recommended else lacking, recommended)


def _local(text: str, times: Times) -> str:
    """Instants of an explanation on the program's wall clock, like all others on the board."""

    def stamp(found: re.Match[str]) -> str:
        return times.stamp(parse_instant(f"{found[1]}T{found[2]}:00Z"))

    return _UTC.sub(stamp, text)


def _lack(each: Answer) -> str:
    return f"{sentence(each['needed'])}; now {value(each['value'])}"
