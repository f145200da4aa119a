"""How long the board's pages take with a large clinic: `python -m bench.board [--patients N]`.

Simulates the clinic into a SQLite file (kept in DIR for the next time), serves the board on
loopback without a worker, and prints the median and the slowest answer of each page: `changed`, the
first time after a message, when the page is computed anew, and `same`, again without one.
"""

import argparse
import asyncio
import itertools
import statistics
import time
import urllib.request
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from handlers.board import BoardReader, make_board
from handlers.board.serve import serving
from handlers.simulation import Message, admission_days, cohort
from pathway.audit.sealing import KeyRing, MasterKey
from pathway.batch import Incoming, Terms
from pathway.policy import default
from pathway.process import Processor
from pathway.shelf import PolicyShelf
from pathway.store.base import Store
from pathway.store.migrate import upgrade
from pathway.store.open import open_store
from pathway.vault import Vault
from schemas.instants import DAY, parse_instant

START: Final = parse_instant("2025-01-06T06:00:00Z")
AFTER: Final = 30 * DAY  # how long the clinic goes on after its last referral
BATCH: Final = 512
TOKEN: Final = "bench-bench-bench-bench"  # noqa: S105 - of a board that nobody else can reach
PAGES: Final = (
    "/",
    "/worklist",
    "/worklist?severity=urgent&level=iop",
    "/patients",
    "/flow?weeks=12",
    "/flow?weeks=52",
    "/patients/s1-000100",
    "/operations",
)


def vault(store: Store) -> Vault:
    """Under a key that is no secret."""
    return Vault(store, KeyRing(MasterKey(bytes(32))))


async def fill(url: str, patients: int, now: int) -> None:
    """Fold the whole clinic into the database, with the clock at its end."""
    store = open_store(url)
    await store.open()
    processor = Processor(store, vault(store), PolicyShelf(default()), Terms(), lambda: now)
    await processor.start()
    numbers, began = itertools.count(1), time.monotonic()
    for batch in _batches(cohort(patients, 1, START, until=now)):
        await processor.take([Incoming(m.body, m.subject, next(numbers)) for m in batch])
    await store.close()
    print(f"{next(numbers) - 1} events in {time.monotonic() - began:.0f} s")  # noqa: T201


def _batches(messages: Iterable[Message]) -> Iterator[list[Message]]:
    some = iter(messages)
    while batch := list(itertools.islice(some, BATCH)):
        yield batch


async def measure(url: str, now: int, rounds: int) -> None:
    """Serve, wait until everything is read, and ask for each page so many times."""
    store = open_store(url, read_only=True)
    await store.open()

    async def accessed(*_: str) -> None:
        """Nobody reads here."""

    reader = BoardReader(store, default(), lambda: now, accessed, vault(store))
    began = time.monotonic()
    async with serving(make_board(reader, TOKEN), "127.0.0.1", None) as base, reader.following():
        await reader.follower.caught_up.wait()
        people = len(reader.projection.people)
        took = time.monotonic() - began
        print(f"{people} patients, {reader.projection.position} messages read in {took:.1f} s")  # noqa: T201
        print(f"{'page, ms':<40}{'changed':>9}{'slowest':>9}{'same':>9}{'slowest':>9}{'KiB':>6}")  # noqa: T201
        for page in PAGES:
            await asyncio.to_thread(_get, base + page)  # templates are compiled on first use
            cold = []
            for _ in range(rounds):
                reader.projection.version += 1  # as after a message
                cold.append(await asyncio.to_thread(_get, base + page))
            warm = [await asyncio.to_thread(_get, base + page) for _ in range(rounds)]
            print(f"{page:<40}{_milliseconds(cold)}{_milliseconds(warm)}{warm[0][1] / 1024:>6.0f}")  # noqa: T201
    await store.close()


def _milliseconds(answers: list[tuple[float, int]]) -> str:
    seconds = [each for each, _ in answers]
    return f"{statistics.median(seconds) * 1e3:>9.1f}{max(seconds) * 1e3:>9.1f}"


def _get(url: str) -> tuple[float, int]:
    asking = urllib.request.Request(url, headers={"Authorization": f"Bearer {TOKEN}"})  # noqa: S310
    began = time.monotonic()
    with urllib.request.urlopen(asking) as answer:  # noqa: S310 - loopback
        size = len(answer.read())
    return time.monotonic() - began, size


async def _run(patients: int, rounds: int, directory: Path) -> None:
    now = START + admission_days(patients) * DAY + AFTER
    file = directory / f"board-{patients}.db"
    url = f"sqlite:///{file.absolute()}"
    if not await asyncio.to_thread(file.exists):
        await asyncio.to_thread(upgrade, url)
        await fill(url, patients, now)
    await measure(url, now, rounds)


def main() -> None:
    """Fill if needed, then measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--patients", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--data", type=Path, default=Path(".pathway/bench"))
    asked = parser.parse_args()
    asked.data.mkdir(parents=True, exist_ok=True)
    asyncio.run(_run(asked.patients, asked.rounds, asked.data))


if __name__ == "__main__":
    main()
