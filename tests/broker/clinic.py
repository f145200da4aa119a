"""A real worker in this process, on a program of its own, and what tests ask of it."""

import asyncio
import itertools
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js.errors import NotFoundError

from handlers.app import Beside, Worker
from handlers.embedded import EmbeddedNats
from handlers.settings import Settings
from handlers.streams import StreamNames
from pathway.store.base import JournalRow
from pathway.store.migrate import upgrade
from schemas.examples import EXAMPLES
from tests.keys import MASTER_TEXT

CLOCK = "2026-06-01T00:00:00Z"
_numbers = itertools.count(1)
Fields = dict[str, Any]
Eventually = Callable[..., Awaitable[None]]


def new_patient() -> str:
    """A key that no other test uses."""
    return f"b-{next(_numbers):04d}"


def event(patient: str, kind: str = "referral.received", **attributes: Any) -> Fields:  # noqa: ANN401
    """The example of a kind, about this patient."""
    example = EXAMPLES[f"care.{kind}.v1"]
    return example | {"id": f"{patient}-{kind}", "subject": patient} | attributes


def encode(fields: Fields) -> bytes:
    return json.dumps(fields).encode()


@dataclass
class Clinic:
    """One program on a broker: its database, its names, and a client of its own."""

    server: EmbeddedNats
    client: Client
    names: StreamNames
    directory: Path
    heard: list[Msg] = field(default_factory=list)

    @property
    def database(self) -> str:
        return f"sqlite:///{self.directory}/{self.names.prefix}.db"

    async def open(self) -> None:
        """Make the database, and listen to everything that is published."""
        upgrade(self.database)

        async def hear(message: Msg) -> None:
            self.heard.append(message)

        await self.client.subscribe(self.names.out_subject, cb=hear)

    def worker(
        self,
        first: Sequence[Beside] = (),
        database: str | None = None,
        beside: Sequence[Beside] = (),
        **settings: Any,  # noqa: ANN401 - settings as they are
    ) -> Worker:
        """A worker of this program, on its own database or another."""
        chosen = {"clock": CLOCK, "settle": 0.05, "prefix": self.names.prefix} | settings
        chosen = {"master_key": MASTER_TEXT} | chosen
        return Worker(Settings(**chosen), self.server.url, database or self.database, beside, first)

    @asynccontextmanager
    async def working(self, worker: Worker | None = None, **settings: Any) -> AsyncIterator[Worker]:  # noqa: ANN401
        """A worker at work: as `run` has it, without the signals, which belong to pytest."""
        worker = worker or self.worker(**settings)
        async with worker.app.lifespan_context():
            await worker.app.start()
            try:
                yield worker
            finally:
                await worker.app.stop()

    async def publish(self, fields: Fields) -> int:
        """Publish an event where it belongs; returns its sequence in the stream."""
        kind = fields["type"].removeprefix("care.").removesuffix(".v1")
        return await self.publish_raw(f"{kind}.{fields['subject']}", encode(fields))

    async def publish_raw(self, subject: str, body: bytes) -> int:
        """Publish anything; `subject` without `<prefix>.events.`."""
        full = f"{self.names.prefix}.events.{subject}"
        return (await self.client.jetstream().publish(full, body)).seq

    def of(self, kind: str, patient: str) -> list[Fields]:
        """What was heard of a kind about a patient."""
        subject = f"{self.names.prefix}.out.{kind}.{patient}"
        return [json.loads(message.data) for message in self.heard if message.subject == subject]

    async def waiting(self) -> int:
        """Events that no worker has acknowledged."""
        try:
            info = await self.client.jetstream().stream_info(self.names.events)
        except NotFoundError:
            return 0
        return int(info.state.messages)

    async def done(self, worker: Worker, seconds: float = 20) -> None:
        """Wait until every event is acknowledged and every message published."""
        async with asyncio.timeout(seconds):
            while await self.waiting() or (await worker.store.counts())["unpublished"]:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        await self.client.flush()


async def applied(worker: Worker, patient: str) -> list[JournalRow]:
    """The outside events of a patient that were accepted, in their order."""
    rows = await worker.processor.vault.journal(patient)
    return [row for row in rows if not row.source.startswith("/pathway/")]
