"""The composition root: one worker, put together from its parts."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any

import nats.errors
import structlog
from faststream import FastStream
from faststream.nats import NatsBroker

from handlers.connection import BrokerRefusesError, harden, reach, worker_options
from handlers.keys import key_ring, signing_key, workers_keys
from handlers.orders import Orders
from handlers.pull import Source, subscribe
from handlers.receive import Receiver
from handlers.relay import Relay, RelaySettings
from handlers.scheduler import Scheduler
from handlers.settings import Settings
from handlers.signer import Signer
from handlers.streams import DURABLE, declare, take_over
from handlers.subscribers import declare_subscribers
from handlers.watch.watching import follow
from pathway import policy
from pathway.batch import Outcome
from pathway.process import Processor
from pathway.shelf import PolicyShelf
from pathway.store.errors import StaleOwnerError
from pathway.store.open import open_store
from pathway.vault import Vault
from schemas.instants import format_instant

if TYPE_CHECKING:
    from nats.aio.client import Client
    from nats.aio.msg import Msg

    from pathway.store.base import OutboxRow, Store

log = structlog.get_logger()

POLICY_DIGITS = 16  # of a digest, as the store counts patients by
GRACE = 20.0  # seconds that the batch in hand and the outbox get at shutdown


class Stopped(Exception):  # noqa: N818 - no error: it was asked for
    """Told to end before the work began."""


class App(FastStream):
    """FastStream looks whether it shall end only once it has started; this one also says so."""

    def __init__(self, *brokers: NatsBroker, **options: Any) -> None:  # noqa: ANN401 - passed on
        super().__init__(*brokers, **options)
        self.leaving = asyncio.Event()

    def exit(self) -> None:
        """End, as a signal or somebody asks."""
        super().exit()
        self.leaving.set()


class Worker:
    """Consumes events, keeps the pathways, and publishes what changed.

    `first` is entered before anything is reached, and left when all is closed; `beside` once
    store and broker are reached, and left before they are closed.
    """

    def __init__(
        self,
        settings: Settings,
        broker_url: str,
        database_url: str,
        beside: "Iterable[Beside]" = (),
        first: "Iterable[Beside]" = (),
    ) -> None:
        self.settings = settings = workers_keys(settings, database_url)
        self.store: Store = open_store(database_url)
        chosen = policy.load_file(settings.policy) if settings.policy else policy.default()
        clock = settings.make_clock()
        vault = Vault(self.store, key_ring(settings), settings.cached_charts)
        shelf = PolicyShelf(chosen)
        self.processor = Processor(self.store, vault, shelf, settings.terms, clock.now)
        self.broker = NatsBroker(
            **worker_options(settings, broker_url, self._shut_out), logger=None
        )
        self.scheduler = Scheduler(self.processor, clock, settings.settle, self._count)
        key = signing_key(settings)
        self.signer = Signer(
            self.store, key, settings.checkpoint_every, clock.now, self._say, settings.prefix
        )
        self.client: Client | None = None
        self.orders = Orders(
            self.processor,
            settings.names,
            lambda: self.broker.config.connection_state.stream,
            self._forget,
            self._count,
        )
        self.relay: Relay | None = None
        self.totals = Outcome()
        self.watching = follow(settings, chosen)
        self.log_holds: Callable[[], bool | None] = lambda: None  # set by who watches the log
        self._beside, self._first = tuple(beside), tuple(first)
        self._failure: BaseException | None = None
        self._receiver = Receiver(self.processor, self._count, self._replaced)
        self._source = Source(
            settings.names.events, DURABLE, settings.names.events_subject, self._declare
        )
        self.intake = subscribe(
            self.broker,
            self._receiver,
            self._source,
            batch_size=settings.batch_size,
            description="Every inbound event, in batches.",
        )
        self.app = App(self.broker, logger=None, lifespan=self._life, on_shutdown=[self._wind_down])
        self._tasks: list[asyncio.Task[None]] = []

    async def run(self) -> None:
        """Work until SIGTERM or SIGINT: then finish the batch in hand, hand back the rest."""
        with suppress(Stopped, nats.errors.ConnectionClosedError):
            await self.app.run()
        if self._failure is not None:
            raise self._failure

    def stop(self) -> None:
        """Ask `run` to return."""
        self.app.exit()

    @property
    def phase(self) -> str:
        """`ok` while it works; before that `starting`, after that `stopping`."""
        if self.app.leaving.is_set():
            return "stopping"
        return "ok" if self._tasks else "starting"

    @property
    def failed(self) -> str | None:
        """Why this worker must end though nobody asked it to: a stable code."""
        if self._failure is None:
            return None
        return str(getattr(self._failure, "code", "part_failed"))

    @asynccontextmanager
    async def _life(self) -> AsyncIterator[None]:
        """From the first probe to the last: a worker that still waits must say so."""
        async with AsyncExitStack() as first:
            for part in self._first:
                await first.enter_async_context(part(self))
            async with self._work():
                yield

    @asynccontextmanager
    async def _work(self) -> AsyncIterator[None]:
        """Before the first message and after the last one."""
        try:
            await self._unless_stopped(self._reach_everything())
            async with AsyncExitStack() as beside:
                for part in self._beside:
                    await beside.enter_async_context(part(self))
                client = self.broker.config.connection_state.connection
                relaying = RelaySettings(self.settings.names.out)
                self.relay = Relay(client, self.store, relaying, self.watching)
                parts = (
                    self.relay.run(),
                    self.scheduler.run(),
                    self.signer.run(),
                    self.orders.run(),
                )
                self._tasks = [self._part(each) for each in parts]
                log.info(
                    "worker_started",
                    policy=self.processor.shelf.current.digest[:12],
                    clock=format_instant(self.processor.clock()),
                    master_key_file=str(self.settings.master_key_file or "from the environment"),
                )
                yield
            log.info("worker_stopped")
        finally:
            await self.store.close()

    async def _reach_everything(self) -> None:
        await reach("database", self.store.open)
        await reach("ownership", self.processor.start)
        await reach("policies", self._tell_policies)
        await reach("broker", self.broker.connect)
        self.client = self.broker.config.connection_state.connection
        harden(self.client)
        await reach("streams", self._declare)
        await reach("consumer", self._take_over)

    async def _tell_policies(self) -> None:
        """A policy goes into force by adoption, never by a restart: say who is under another."""
        current = self.processor.shelf.current.digest
        others = await self.store.in_force()
        others.pop(current[:POLICY_DIGITS], None)
        if others:
            log.warning("policy_not_adopted", policy=current[:POLICY_DIGITS], others=others)

    async def _unless_stopped(self, work: Coroutine[Any, Any, None]) -> None:
        """Do it, unless we are told to end before it is done; then raises Stopped."""
        working = asyncio.create_task(work)
        leaving = asyncio.create_task(self.app.leaving.wait())
        try:
            await asyncio.wait({working, leaving}, return_when=asyncio.FIRST_COMPLETED)
            if not working.done():
                raise Stopped
            await working
        finally:
            working.cancel()
            leaving.cancel()

    def _part(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """A part that ends by an error takes the worker with it: half a worker is worse."""
        task = asyncio.create_task(work)
        task.add_done_callback(self._part_ended)
        return task

    def _part_ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self._give_up(error)

    def _give_up(self, error: BaseException) -> None:
        self._failure = self._failure or error
        self.stop()

    async def _wind_down(self) -> None:
        """Finish the batch in hand, hand back the rest, publish what is committed.

        This runs while the broker is still connected.
        """
        await self.intake.stop()
        self.scheduler.stop()
        self.signer.stop()
        self.orders.stop()
        if self.relay is not None:
            await asyncio.wait(self._tasks[1:], timeout=GRACE)  # what they still say goes out, too
            if not self._tasks[0].done():
                await self.relay.drain(GRACE)
            self.relay.stop()
        await asyncio.wait(self._tasks, timeout=GRACE)

    async def _declare(self) -> None:
        stream = self.broker.config.connection_state.stream
        await declare(stream, self.settings.names, self.settings.limits)
        await declare_subscribers(stream, self.settings.names, self.settings.subscribed)

    async def _take_over(self) -> None:
        js = self.broker.config.connection_state.stream
        await take_over(js, self.settings.names)
        stream = await js.stream_info(self.settings.names.events)
        self.processor.stream = str(stream.created)

    def _count(self, outcome: Outcome, messages: "Sequence[Msg]" = ()) -> None:
        totals = self.totals
        totals.applied += outcome.applied
        totals.duplicates += outcome.duplicates
        totals.parked += outcome.parked
        totals.late += outcome.late
        self.watching.committed(outcome, messages)
        self._wake_relay()

    def _replaced(self) -> None:
        """Another worker owns the database: this one must end, and say so."""
        self._give_up(StaleOwnerError("another worker took over this database"))

    async def _say(self, messages: "Sequence[OutboxRow]") -> None:
        await self.processor.say(messages)
        self._wake_relay()

    def _forget(self, patient: str, but: str) -> bool:
        return self.relay is None or self.relay.forget(patient, but)

    async def _shut_out(self) -> None:
        """The broker took our credentials back: the client tries no more, so this ends."""
        if not self.app.leaving.is_set():
            self._give_up(BrokerRefusesError("the broker no longer lets us in"))

    def _wake_relay(self) -> None:
        if self.relay is not None:
            self.relay.notify()


Beside = Callable[[Worker], AbstractAsyncContextManager[None]]
