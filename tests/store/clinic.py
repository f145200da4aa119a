"""A simulated clinic's database, with checkpoints along the way."""

import sqlite3
from contextlib import closing
from pathlib import Path

from handlers.signer import Signer
from handlers.simulation import Mess, cohort
from pathway import policy
from pathway.audit.notes import SigningKey
from pathway.batch import Incoming, Terms
from pathway.histories import Source
from pathway.process import Processor
from pathway.shelf import PolicyShelf
from pathway.store.migrate import upgrade
from pathway.store.open import open_store
from schemas.instants import DAY, HOUR, parse_instant
from tests.keys import MASTER, vault

START = parse_instant("2024-01-08T00:00:00Z")
NOW = parse_instant("2026-06-01T00:00:00Z")
LATER = NOW + 30 * DAY  # after all that the clinic recorded
LOG = SigningKey("care.example/log", bytes(range(32)))
MESS = Mess(duplicates=0.05, malformed=0.05)
PATIENTS = 12
EVENTS = 600
BATCH = 40
POISON = 70


async def open_clinic(url: str) -> None:
    """Migrate the database and let a clinic's events go through the flow."""
    upgrade(url)
    store = open_store(url)
    await store.open()
    shelf = PolicyShelf(policy.default())
    taken = 0
    processor = Processor(
        store, vault(store), shelf, Terms(receipts=True), lambda: NOW + taken * HOUR
    )
    await processor.start()
    signer = Signer(store, LOG, 60, processor.clock, processor.say)
    batch: list[Incoming] = []
    for number, message in enumerate(cohort(PATIENTS, 5, START, MESS), 1):
        batch.append(Incoming(message.body, message.subject, number))
        if number % POISON == 0:  # of nobody that could be told
            batch.append(Incoming(b"poison", "care.events.no.body!", EVENTS + number))
        if len(batch) >= BATCH:
            await processor.take(batch)
            batch = []
            taken += 1
            if taken % 5 == 0:
                await signer.sign(LOG)
        if number == EVENTS:
            break
    while due := await store.due(NOW, 500):
        await processor.advance_time([patient for _, patient in due])
    await signer.sign(LOG)
    await store.close()


def copied(original: Path, directory: Path) -> Path:
    """The database once more, to be changed."""
    path = directory / "pathway.db"
    with closing(sqlite3.connect(original)) as old, closing(sqlite3.connect(path)) as new:
        old.backup(new)
    return path


def source(path: Path) -> Source:
    """What a process needs to read the histories of a clinic in a SQLite file."""
    return Source(f"sqlite:///{path}", (MASTER,))
