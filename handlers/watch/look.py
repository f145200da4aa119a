"""A look at a worker, its broker and its database: what readiness and the gauges are made of."""

import asyncio
import time
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import TYPE_CHECKING, Final

import nats.errors
from nats.js.errors import APIError, NotFoundError

from handlers.lag import Lag, lags
from handlers.watch import families as f
from handlers.watch.metrics import Labels
from pathway.policy import ENGINE
from pathway.store.base import Vitals
from pathway.store.errors import SchemaAheadError, SchemaBehindError, StoreError
from schemas.instants import SECOND

if TYPE_CHECKING:
    from handlers.app import Worker

OK: Final = "ok"
CHECKS: Final = ("worker", "broker", "intake", "database", "schema", "ownership", "relay")
PATIENCE: Final = 2.0  # seconds until a broker or database that does not answer counts as gone
FRESH: Final = 0.5  # seconds for which one look serves everybody who asks
RELEASE: Final = version("care-pathway")


@dataclass(slots=True)
class Look:
    """What was found.

    Attributes:
        checks: each check of readiness with "ok" or a stable code.
        gauges: values by family and labels; without those that could not be looked up.
    """

    checks: dict[str, str] = field(default_factory=lambda: dict.fromkeys(CHECKS, OK))
    gauges: dict[str, dict[Labels, float]] = field(default_factory=dict)

    @property
    def ready(self) -> bool:
        """Whether every check holds."""
        return all(code == OK for code in self.checks.values())

    def set(self, name: str, value: float) -> None:
        """A gauge without labels."""
        self.gauges[name] = {(): value}


class Looker:
    """Looks at one worker, once at a time, however many ask."""

    def __init__(self, worker: "Worker") -> None:
        self._worker = worker
        self._looking: asyncio.Task[Look] | None = None
        self._looked_at = 0.0
        self._asking: asyncio.Task[Vitals] | None = None

    async def look(self) -> Look:
        """How it is, now or half a second ago."""
        task = self._looking
        if task is None or (task.done() and time.monotonic() - self._looked_at > FRESH):
            task = self._looking = asyncio.create_task(self._look())
        return await asyncio.shield(task)

    async def _look(self) -> Look:
        found = Look()
        self._look_at_worker(found)
        await asyncio.gather(self._look_at_broker(found), self._look_at_database(found))
        found.gauges[f.READY] = {(name,): float(c == OK) for name, c in found.checks.items()}
        self._looked_at = time.monotonic()
        return found

    def _look_at_worker(self, found: Look) -> None:
        worker = self._worker
        policy = worker.processor.shelf.current
        labels = (RELEASE, str(ENGINE), policy.name, policy.version, policy.digest)
        found.gauges[f.INFO] = {labels: 1.0}
        found.set(f.HANDED_BACK, worker.intake.handed_back)
        if (holds := worker.log_holds()) is not None:
            found.set(f.HOLDS, holds)
        found.checks["worker"] = worker.phase
        found.checks["intake"] = worker.intake.trouble or OK
        found.checks["relay"] = (worker.relay and worker.relay.blocked_reason) or OK

    async def _look_at_broker(self, found: Look) -> None:
        try:
            lags = await self._lags()
        except NotFoundError:
            found.checks["broker"] = "consumer_missing"
        except APIError:
            found.checks["broker"] = "broker_refused"
        except (nats.errors.Error, TimeoutError, OSError):
            found.checks["broker"] = "broker_unreachable"
        else:
            found.set(f.WAITING, sum(each.waiting for each in lags))
            found.set(f.UNACKNOWLEDGED, sum(each.unacknowledged for each in lags))

    async def _lags(self) -> list[Lag]:
        """Of this worker's own partitions; the question itself shows that the broker answers."""
        client, holding = self._worker.client, self._worker.holding
        if client is None or not client.is_connected:
            raise nats.errors.ConnectionClosedError
        js = client.jetstream(timeout=PATIENCE)
        share = holding.share
        return await lags(js, self._worker.settings.names, share.count, share.epochs)

    async def _look_at_database(self, found: Look) -> None:
        try:
            vitals = await self._vitals()
        except (SchemaAheadError, SchemaBehindError) as error:
            found.checks["schema"] = error.code
        except StoreError as error:
            found.checks["database"] = error.code
        except TimeoutError:
            found.checks["database"] = StoreError.code
        else:
            found.checks["ownership"] = OK if vitals.owned else "stale_owner"
            self._tell(found, vitals)

    async def _vitals(self) -> Vitals:
        """Ask the database once at a time: a second question would only wait behind the first."""
        worker = self._worker
        if self._asking is None or self._asking.done():
            question = worker.store.vitals(worker.processor.clock())
            self._asking = asyncio.create_task(question)
        async with asyncio.timeout(PATIENCE):
            return await asyncio.shield(self._asking)

    def _tell(self, found: Look, vitals: Vitals) -> None:
        now = self._worker.processor.clock()
        age = now - vitals.oldest if vitals.oldest is not None else 0
        found.set(f.OUTBOX, vitals.unpublished)
        found.set(f.OUTBOX_AGE, max(0, age) / SECOND)
        found.set(f.HELD, vitals.parked)
        found.set(f.DUE, vitals.due)
        found.set(f.ENTRIES, vitals.entries)
        found.set(f.UNSIGNED, vitals.entries - vitals.signed)
        if vitals.signed_at is not None:
            found.set(f.CHECKPOINT_AGE, max(0, now - vitals.signed_at) / SECOND)
