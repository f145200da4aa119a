"""The list of patients, by level."""

from dataclasses import dataclass
from typing import Final

from handlers.board.projection import Person, Projection

PAGE: Final = 50


@dataclass(slots=True, frozen=True)
class Row:
    """One patient."""

    key: str
    state: str | None
    since: int | None
    episode: int
    urgent: int
    others: int  # standing items that are not urgent


@dataclass(slots=True, frozen=True)
class People:
    """The whole page."""

    level: str
    key: str
    rows: list[Row]
    found: int
    page: int
    pages: int


def people(projection: Projection, level: str, key: str, page: int) -> People:
    """Patients at a level whose key holds the text, the latest to arrive first."""
    everybody = list(projection.people.items())
    found = [
        (name, person)
        for name, person in everybody
        if (not level or person.state == level) and key.lower() in name.lower()
    ]
    found.sort(key=lambda each: (-(each[1].since or 0), each[0]))
    pages = max(1, -(-len(found) // PAGE))
    page = min(max(1, page), pages)
    rows = [_row(name, person) for name, person in found[(page - 1) * PAGE : page * PAGE]]
    return People(level, key, rows, len(found), page, pages)


def _row(key: str, person: Person) -> Row:
    severities = [item.severity for item in person.items.values()]
    urgent = severities.count("urgent")
    episode = person.moves[-1].episode if person.moves else 0
    return Row(key, person.state, person.since, episode, urgent, len(severities) - urgent)
