"""`make audit-growth`: does a long audit log cost more than a short one?

Builds a clinic's database through the real flow, to a tenth of the size and then to the whole.
Both times `verify`, `replay`, `audit export` and `verify` of that bundle run as a user runs them,
and their greatest resident memory is measured. In the end the same events go into the long log
and into an empty one by turns, so that other load on the machine meets both alike.
"""

import argparse
import asyncio
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench import workload
from bench.setting import quiet
from handlers import interpreter
from handlers.keys import embedded_keys, key_ring, signing_key
from handlers.settings import Settings
from handlers.signer import Signer
from pathway import policy
from pathway.audit.notes import SigningKey
from pathway.batch import Incoming, Terms
from pathway.process import Processor
from pathway.shelf import PolicyShelf
from pathway.store.base import AuditRow, Commit, Store
from pathway.store.migrate import upgrade
from pathway.store.open import open_store
from pathway.vault import Vault
from schemas.instants import DAY, parse_instant

NOW: Final = parse_instant("2026-06-01T00:00:00Z")
PATIENTS: Final = 25  # in a batch; 20 events each
SIGN_EVERY: Final = 100  # batches
ROUNDS: Final = 60  # of the comparison with an empty log
SLOWER: Final = 1.10  # how much an append to the long log may cost, of that to an empty one
POLL: Final = 0.02  # seconds between looks at a command's memory
LARGER: Final = 1.15  # how much memory the ten times longer log may take, of the shorter one's
COMMANDS: Final = ("verify", "replay", "audit export", "verify bundle")


@dataclass(slots=True)
class Clinic:
    """A database that is being written."""

    store: Store
    processor: Processor
    signer: Signer
    key: SigningKey
    waves: Iterator[int]
    entries: int = 0

    @classmethod
    async def open(cls, directory: Path, first: int) -> "Clinic":
        """Make one in an empty directory, with keys as `pathway up` has them."""
        settings = embedded_keys(Settings(), directory)
        url = f"sqlite:///{directory / 'pathway.db'}"
        upgrade(url)
        store = open_store(url)
        await store.open()
        vault = Vault(store, key_ring(settings, directory))
        processor = Processor(store, vault, PolicyShelf(policy.default()), Terms(), lambda: NOW)
        await processor.start()
        key = signing_key(settings, directory)
        if key is None:
            raise SystemExit("no key to sign with")
        signer = Signer(store, key, DAY, lambda: NOW, processor.say)
        return cls(store, processor, signer, key, iter(range(first, first + 10**6)))

    async def grow(self, entries: int) -> None:
        """Go on until the log has so many entries."""
        batches = 0
        while self.entries < entries:
            await self.batch()
            batches += 1
            if batches % SIGN_EVERY == 0:
                await self.signer.sign(self.key)
                say(f"  {self.entries} entries", end="\r")
        await self.signer.sign(self.key)

    async def batch(self) -> float:
        """One batch of new patients; returns the seconds it took."""
        name = b"g%06dx" % next(self.waves)
        messages = [
            Incoming(body.replace(b"b00000", name), subject.replace("b00000", name.decode()), 0)
            for subject, body in JOURNEYS
        ]
        began = time.perf_counter()
        outcome = await self.processor.take(messages)
        spent = time.perf_counter() - began
        self.entries += outcome.applied
        return spent

    async def append(self, rows: list[AuditRow]) -> float:
        """Entries alone; returns the seconds it took."""
        began = time.perf_counter()
        await self.store.commit(Commit(NOW, entries=rows))
        return time.perf_counter() - began


JOURNEYS: Final = [
    (letter.subject, letter.body) for letter in workload.letters(PATIENTS, "care", duplicates=0)
]


def say(text: str, end: str = "\n") -> None:
    """A line for the reader."""
    print(text, end=end, flush=True)  # noqa: T201 - a benchmark reports on the terminal


def commands(directory: Path) -> dict[str, tuple[float, float]]:
    """Greatest resident memory (MiB) and seconds of each command."""
    bundle = directory / "bundle"
    lines = {
        "verify": ["verify", "--data", directory],
        "replay": ["replay", "--data", directory],
        "audit export": ["audit", "export", bundle, "--data", directory],
        "verify bundle": ["verify", bundle],
    }
    measured = {name: _measured(lines[name]) for name in COMMANDS}
    shutil.rmtree(bundle)
    return measured


def _measured(arguments: list[str | Path]) -> tuple[float, float]:
    began = time.perf_counter()
    pathway = Path(sys.executable).parent / "pathway"
    process = subprocess.Popen(  # noqa: S603 - our own command
        [pathway, *map(str, arguments)], stdout=subprocess.DEVNULL
    )
    peak = 0.0
    while process.poll() is None:
        peak = max(peak, *map(_peak, _family(process.pid)))
        time.sleep(POLL)
    if process.returncode:
        raise SystemExit(f"{arguments[0]} ended with {process.returncode}")
    return peak, time.perf_counter() - began


def _family(pid: int) -> list[int]:
    """A process and its children. What the kernel tells a parent begins with the parent's own."""
    children = Path(f"/proc/{pid}/task/{pid}/children")
    try:
        return [pid, *map(int, children.read_text().split())]
    except OSError:
        return [pid]


def _peak(pid: int) -> float:
    """The greatest resident memory of a process so far, in MiB."""
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    return 0.0


async def _appends(long: Clinic, empty: Clinic) -> dict[str, float]:
    """How much the long log costs, of the empty one, by turns."""
    whole: tuple[list[float], list[float]] = ([], [])
    alone: tuple[list[float], list[float]] = ([], [])
    for number in range(ROUNDS):
        rows = [
            AuditRow(None, b'{"kind":"growth","number":%d}' % (number * 500 + place))
            for place in range(500)
        ]
        for place, clinic in enumerate((long, empty)):
            whole[place].append(await clinic.batch())
            alone[place].append(await clinic.append(rows))
    return {
        "the whole flow": statistics.median(whole[0]) / statistics.median(whole[1]),
        "entries alone": statistics.median(alone[0]) / statistics.median(alone[1]),
    }


async def _run(directory: Path, entries: int) -> bool:
    (directory / "long").mkdir()
    (directory / "empty").mkdir()
    long = await Clinic.open(directory / "long", 0)
    sizes: list[dict[str, tuple[float, float]]] = []
    for size in (entries // 10, entries):
        began = time.perf_counter()
        await long.grow(size)
        say(f"{long.entries} entries after another {time.perf_counter() - began:.0f} s")
        sizes.append(await asyncio.to_thread(commands, directory / "long"))
    good = True
    for name in COMMANDS:
        (small, _), (large, seconds) = sizes[0][name], sizes[1][name]
        good &= large <= small * LARGER
        say(
            f"{name:<16}{small:8.1f} MiB → {large:8.1f} MiB  {large / small:5.2f}  {seconds:7.1f} s"
        )
    empty = await Clinic.open(directory / "empty", 10**6)
    ratios = await _appends(long, empty)
    for name, ratio in ratios.items():
        say(f"append, {name:<16} {ratio:5.2f} of an empty log's")
    good &= ratios["entries alone"] <= SLOWER
    await long.store.close()
    await empty.store.close()
    return good


def main() -> None:
    """Build, measure, tell; exit 1 if a long log costs more than it may."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--entries", type=int, default=1_000_000)
    arguments = parser.parse_args()
    quiet()
    interpreter.tune()  # as the worker does
    with tempfile.TemporaryDirectory() as directory:
        good = asyncio.run(_run(Path(directory), arguments.entries))
    raise SystemExit(0 if good else 1)


if __name__ == "__main__":
    main()
