"""What stands and waits for a person: urgent first, then the oldest."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from handlers.board.projection import Item, Person, Projection

PAGE: Final = 50
RANK: Final = {"urgent": 0, "warning": 1, "routine": 2, "info": 3}


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
        return cls(**{name: query.get(name, "").strip()[:64] for name in cls.__slots__})

    @property
    def query(self) -> dict[str, str]:
        """What is chosen, for links."""
        return {name: chosen for name in self.__slots__ if (chosen := getattr(self, name))}

    def fits(self, item: Item, person: Person) -> bool:
        """Is it chosen?"""
        return (
            (not self.kind or item.kind == self.kind)
            and (not self.severity or item.severity == self.severity)
            and (not self.level or person.state == self.level)
            and (not self.name or item.name == self.name)
            and (not self.patient or self.patient.lower() in item.patient.lower())
        )


@dataclass(slots=True, frozen=True)
class Row:
    """One line of the list."""

    item: Item
    state: str | None
    since: int | None


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


def worklist(projection: Projection, wanted: Wanted, page: int) -> Worklist:
    """The page as filtered; `page` counts from 1."""
    everything = _standing(projection.people)
    found = [(item, person) for item, person in everything if wanted.fits(item, person)]
    found.sort(key=lambda each: (RANK.get(each[0].severity, 9), each[0].at, each[0].id))
    pages = max(1, -(-len(found) // PAGE))
    page = min(max(1, page), pages)
    counts: dict[str, int] = {}
    for item, _ in everything:
        counts[item.severity] = counts.get(item.severity, 0) + 1
    shown = found[(page - 1) * PAGE : page * PAGE]
    return Worklist(
        wanted=wanted,
        rows=[Row(item, person.state, person.since) for item, person in shown],
        found=len(found),
        standing=len(everything),
        by_severity={severity: counts[severity] for severity in RANK if severity in counts},
        names=sorted({item.name for item, _ in everything if item.kind == "alert"}),
        page=page,
        pages=pages,
    )


def _standing(people: Mapping[str, Person]) -> list[tuple[Item, Person]]:
    everybody: Iterable[Person] = list(people.values())
    return [(item, person) for person in everybody for item in person.items.values()]
