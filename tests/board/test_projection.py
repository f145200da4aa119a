"""What the board keeps in memory says the same as the store, however it came about."""

import sqlite3
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import closing
from datetime import date
from itertools import count, islice, pairwise
from pathlib import Path

import pytest

from handlers.board import BoardReader
from handlers.board.census import census
from handlers.board.flow import between, flow, wilson
from handlers.board.sankey import sankey
from handlers.board.worklist import Wanted, worklist
from handlers.simulation import Message, cohort
from pathway import record as records
from pathway.batch import Incoming, Terms
from pathway.policy import default
from pathway.process import Processor
from pathway.shelf import PolicyShelf
from pathway.store.base import Store
from pathway.store.migrate import upgrade
from pathway.store.open import open_store
from pathway.timeline import timeline
from schemas.instants import DAY, parse_instant
from tests.keys import vault

pytestmark = pytest.mark.anyio

NOW = parse_instant("2026-03-31T00:00:00Z")
WEEKS = 26


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


async def _nobody(*_: str) -> None:
    """Nobody reads here."""


def _batches(messages: Iterable[Message]) -> Iterator[list[Incoming]]:
    numbers, some = count(1), iter(messages)
    while batch := [Incoming(m.body, m.subject, next(numbers)) for m in islice(some, 100)]:
        yield batch


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("projection") / "board.db"


@pytest.fixture(scope="module")
async def store(path: Path) -> AsyncIterator[Store]:
    """A messy cohort, in small batches, so that facts come late and moves are superseded."""
    upgrade(f"sqlite:///{path}")
    store = open_store(f"sqlite:///{path}")
    await store.open()
    processor = Processor(store, vault(store), PolicyShelf(default()), Terms(), lambda: NOW)
    await processor.start()
    for batch in _batches(cohort(60, 11, date(2025, 11, 3), until=NOW)):
        await processor.take(batch)
    yield store
    await store.close()


@pytest.fixture(scope="module")
async def reader(store: Store) -> BoardReader:
    reader = BoardReader(store, default(), lambda: NOW, _nobody, vault(store))
    while await reader.follower.step():
        """One page after another."""
    return reader


async def test_the_census_is_the_stores(store: Store, reader: BoardReader) -> None:
    counted = await store.census()
    counted.pop("none", None)
    assert reader.projection.census() == counted
    today = reader.times.date(NOW).toordinal()
    (at_the_end,) = reader.projection.census_on([today])
    assert {state: number for state, number in at_the_end.items() if number} == counted


async def test_what_stands_is_what_the_timelines_say(store: Store, reader: BoardReader) -> None:
    for patient, row in (await vault(store).snapshots(reader.projection.people)).items():
        messages = [each async for each in store.messages(patient)]
        told = timeline(patient, records.load(row.snapshot), messages)
        stands = {a["alert_id"] for a in told["alerts"] if a["status"] == "standing"}
        stands |= {
            r["recommendation_id"] for r in told["recommendations"] if r["status"] == "standing"
        }
        person = reader.projection.people[patient]
        assert set(person.items) == stands
        moves = [m for m in told["transitions"] if not m["superseded"]]
        assert [move.to for move in person.moves] == [
            m["to"] for m in sorted(moves, key=lambda m: parse_instant(m["effective_at"]))
        ]


async def test_every_end_has_its_reason(reader: BoardReader) -> None:
    people = reader.projection.people.values()
    ended = [(p, m) for p in people for m in p.moves if m.to == "discharged"]
    assert len(ended) > 10
    assert all(move.episode in person.reasons for person, move in ended)


OTHER_FORM = "UPDATE patients SET engine = 1, snapshot = x''"
ALTERED = """UPDATE patients SET snapshot = zeroblob(99) WHERE patient =
    (SELECT MIN(patient) FROM patients WHERE state = 'discharged')"""


@pytest.mark.parametrize(("edit", "lost"), [(OTHER_FORM, 0), (ALTERED, 1)])
@pytest.mark.usefixtures("store")
async def test_no_snapshot_that_does_not_open_stops_the_board(
    path: Path, tmp_path: Path, edit: str, lost: int
) -> None:
    copy = tmp_path / "board.db"
    with closing(sqlite3.connect(path)) as original:
        original.execute("VACUUM INTO ?", (str(copy),))
    with closing(sqlite3.connect(copy)) as connection, connection:
        connection.execute(edit)
    altered = open_store(f"sqlite:///{copy}")
    await altered.open()
    reader = BoardReader(altered, default(), lambda: NOW, _nobody, vault(altered))
    while await reader.follower.step():
        """One page after another."""
    await altered.close()
    people = reader.projection.people.values()
    told = [m.episode in p.reasons for p in people for m in p.moves if m.to == "discharged"]
    assert len(told) > 10
    assert told.count(False) <= lost


async def test_a_sankey_loses_nobody(reader: BoardReader) -> None:
    start = NOW - WEEKS * 7 * DAY
    dates = [start + (NOW - start) * place // 4 for place in range(5)]
    flows = between(list(reader.projection.people.values()), dates)
    for before, after in pairwise(flows):
        arrived: dict[str, int] = {}
        for (_, target), patients in before.items():
            arrived[target] = arrived.get(target, 0) + patients
        left: dict[str, int] = {}
        for (source, _), patients in after.items():
            left[source] = left.get(source, 0) + patients
        arrived.pop("leaving", None)
        left.pop("arriving", None)
        assert arrived == left
    drawn = sankey(flows)
    assert sum(r.patients for r in drawn.ribbons) == sum(sum(f.values()) for f in flows)
    assert all(node.y + node.height <= 460 for node in drawn.nodes)


async def test_the_newest_column_is_the_census(reader: BoardReader) -> None:
    today = reader.times.date(NOW).toordinal()
    shown = census(reader.projection, today, await reader.standing())
    assert shown.weeks.columns[-1].total == shown.in_care + shown.waiting
    assert {bar.state: bar.patients for bar in shown.bars if bar.patients} == {
        part.state: part.patients for part in shown.weeks.columns[-1].parts
    }


async def test_outcomes_are_of_ended_iop_episodes(reader: BoardReader) -> None:
    shown = flow(reader.projection, NOW, WEEKS)
    assert shown.ended == sum(share.here for share in shown.outcomes)
    assert sum(share.percent or 0 for share in shown.outcomes) == pytest.approx(100)
    assert [round(share.published, 1) for share in shown.outcomes] == [37.7, 17.9, 23.2, 14.0, 7.2]


async def test_filters_narrow_and_pages_turn(reader: BoardReader) -> None:
    rows = await reader.standing()
    everything = worklist(rows, Wanted(), 1)
    by_kind = [worklist(rows, Wanted(kind=k), 1).found for k in ("alert", "recommendation")]
    assert sum(by_kind) == everything.found == everything.standing
    assert everything.pages > 1
    assert worklist(rows, Wanted(), 10_000).page == everything.pages
    assert worklist(rows, Wanted(patient="nobody"), 1).found == 0


def test_an_interval_holds_its_share() -> None:
    low, high = wilson(5, 10)
    assert (round(low, 3), round(high, 3)) == (0.237, 0.763)
    assert wilson(0, 0) == (0.0, 1.0)
    assert wilson(0, 20)[0] == 0.0


async def test_folding_in_any_pages_gives_the_same(store: Store, reader: BoardReader) -> None:
    other = BoardReader(store, default(), lambda: NOW, _nobody, vault(store))
    async for row in store.messages():
        other.projection.fold([row])
    for patient, person in reader.projection.people.items():
        again = other.projection.people[patient]
        assert (again.moves, again.items) == (person.moves, person.items)
    assert other.projection.position == reader.projection.position
