"""What stands and waits for a person: urgent first, then the oldest."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Final

from handlers.board.projection import Item, Person, Projection
from pathway.alerts import OVERDUE

PAGE: Final = 50
RANK: Final = {"urgent": 0, "warning": 1, "routine": 2, "info": 3}


@dataclass(slots=True, frozen=True)
class Row:
    """One line of the list.

    `overdue`: an urgent alert that nobody closed in time, and the reminder of it; both are one
    piece of work.
    """

    item: Item
    state: str | None
    overdue: bool = False


@dataclass(slots=True, frozen=True)
class Wanted:
    """What the reader chose; an empty field chooses everything."""

    kind: str = ""
    severity: str = ""
    level: str = ""
    name: str = ""
    patient: str = ""

    @classmethod
    def of(cls, query: Mapping[str, str]) -> "Wanted":
        """From a page's query."""
        return cls(**{f.name: query.get(f.name, "").strip()[:64] for f in fields(cls)})

    @property
    def query(self) -> dict[str, str]:
        """What is chosen, for links."""
        return {name: chosen for name, chosen in asdict(self).items() if chosen}

    def fits(self, row: Row) -> bool:
        """Is it chosen?"""
        item = row.item
        return (
            (not self.kind or item.kind == self.kind)
            and (not self.severity or item.severity == self.severity)
            and (not self.level or row.state == self.level)
            and (not self.name or item.name == self.name)
            and (not self.patient or self.patient.lower() in item.patient.lower())
        )


@dataclass(slots=True, frozen=True)
class Worklist:
    """The whole page."""

    wanted: Wanted
    rows: list[Row]
    found: int
    standing: int
    by_severity: dict[str, int]  # of everything that stands
    names: list[str]  # to choose from
    page: int
    pages: int


def worklist(everything: Sequence[Row], wanted: Wanted, page: int) -> Worklist:
    """The page as filtered, of what is `standing`; `page` counts from 1."""
    found = [row for row in everything if wanted.fits(row)]
    pages = max(1, -(-len(found) // PAGE))
    page = min(max(1, page), pages)
    counts = Counter(row.item.severity for row in everything)
    return Worklist(
        wanted=wanted,
        rows=found[(page - 1) * PAGE : page * PAGE],
        found=len(found),
        standing=len(everything),
        by_severity={severity: counts[severity] for severity in RANK if counts[severity]},
        names=sorted({row.item.name for row in everything if row.item.kind == "alert"}),
        page=page,
        pages=pages,
    )


def standing(projection: Projection, patience: int) -> list[Row]:
    """Everything that stands, urgent first, then the oldest; a reminder with its alert.

    Args:
        projection: what was told.
        patience: how long (µs) after an urgent alert its reminder comes, by the policy.
    """
    people = [person for person in list(projection.people.values()) if person.items]
    rows = [row for person in people for row in _rows(person, patience)]
    return sorted(rows, key=lambda row: (RANK.get(row.item.severity, 9), row.item.at, row.item.id))


def _rows(person: Person, patience: int) -> list[Row]:
    items = list(person.items.values())
    reminders = {item.at - patience: item.id for item in items if item.rule == OVERDUE.rule}
    urgent = {item.at for item in items if item.severity == "urgent" and item.rule != OVERDUE.rule}
    told = {key for at, key in reminders.items() if at in urgent}
    return [
        Row(item, person.state, overdue=item.severity == "urgent" and item.at in reminders)
        for item in items
        if item.id not in told
    ]
