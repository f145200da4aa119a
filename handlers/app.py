"""The composition root: one worker, put together from its parts."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any

import nats.errors
import structlog
from faststream import FastStream
from faststream.nats import NatsBroker
from nats.js import JetStreamContext

from handlers import interpreter
from handlers.connection import BrokerRefusesError, harden, reach, worker_options
from handlers.holding import Holding
from handlers.keeper import Keeper, this_process
from handlers.keys import key_ring, signing_key, workers_keys
from handlers.orders import Orders
from handlers.pull import subscribe
from handlers.receive import Receiver
from handlers.relay import Relay, RelaySettings
from handlers.scheduler import Scheduler
from handlers.settings import Settings
from handlers.signer import Signer
from handlers.watch.watching import follow
from pathway import policy
from pathway.batch import Outcome
from pathway.partitions import Share
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
        self.scheduler = Scheduler(
            self.processor, clock, settings.settle, self._count, self._replaced
        )
        key = signing_key(settings)
        self.signer = Signer(
            self.store,
            key,
            settings.checkpoint_every,
            clock.now,
            self._say,
            settings.prefix,
            lambda: self.holding.signs,
            self._replaced,
        )
        self.client: Client | None = None
        self.orders = Orders(
            self.processor,
            settings.names,
            self._stream,
            self._forget,
            self._count,
            self._replaced,
        )
        self.relay: Relay | None = None
        self.totals = Outcome()
        self.watching = follow(settings, chosen)
        self.log_holds: Callable[[], bool | None] = lambda: None  # set by who watches the log
        self._beside, self._first = tuple(beside), tuple(first)
        self._failure: BaseException | None = None
        self._receiver = Receiver(self.processor, self._count, self._replaced)
        self.intake = subscribe(
            self.broker,
            self._receiver,
            settings.names.events_subject,
            batch_size=settings.batch_size,
            description="Every inbound event, in batches.",
        )
        self._receiver.departed = self.intake.depart
        self.holding = self._receiver.holding = Holding(
            settings,
            self.processor,
            self.intake,
            self._stream,
            self._moved,
            self._check,
        )
        self.keeper: Keeper | None = None  # where workers share the database
        if self.store.ownership is not None:
            self.keeper = Keeper(
                self.store.ownership, self.holding, settings.partitions, self._connected
            )
        self.app = App(self.broker, logger=None, lifespan=self._life, on_shutdown=[self._wind_down])
        self._tasks: list[asyncio.Task[None]] = []
        self._keeping: list[asyncio.Task[None]] = []  # to the very end
        self._epoch = 0

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
        interpreter.tune()
        try:
            await self._unless_stopped(self._reach_everything())
            async with AsyncExitStack() as beside:
                for part in self._beside:
                    await beside.enter_async_context(part(self))
                client = self.broker.config.connection_state.connection
                relaying = RelaySettings(self.settings.names.out)
                mine = self.holding.share.owns
                self.relay = Relay(client, self.store, relaying, self.watching, mine)
                parts = [
                    self.relay.run(),
                    self.scheduler.run(),
                    self.signer.run(),
                    self.orders.run(),
                ]
                self._tasks = [self._part(each) for each in parts]
                if self.keeper is not None:
                    self._keeping = [self._part(self.keeper.run())]
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
        await reach("keys", self._try_keys)
        if self.keeper is None:
            await reach("ownership", self._claim)
        else:
            await reach("ownership", self.keeper.join)
        await reach("broker", self.broker.connect)
        self.client = self.broker.config.connection_state.connection
        harden(self.client)
        await reach("streams", self._own)
        await reach("policies", self._tell_policies)

    async def _try_keys(self) -> None:
        """With another master key, patients that are known could only wait: rather not begin."""
        await self.processor.vault.check(self.store.wrapped_keys())

    async def _claim(self) -> None:
        """Become the only owner. Whoever was it finds out at its next commit."""
        self._epoch = await self.store.claim(this_process().name)

    async def _own(self) -> None:
        """Begin to own: the share of several workers, or everything."""
        if self.keeper is None:
            await self.holding.move(Share(1, self._epoch, {0: self._epoch}))
        else:
            await self.keeper.look()

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
        if self.keeper is not None:
            await self.keeper.settle()
        await self.intake.stop()
        self.scheduler.stop()
        self.signer.stop()
        self.orders.stop()
        if self.relay is not None:
            await asyncio.wait(self._tasks[1:], timeout=GRACE)  # what they still say goes out, too
            if not self._tasks[0].done():
                await self.relay.drain(GRACE)
            self.relay.stop()
        if self.keeper is not None:
            await self.keeper.leave()
        await asyncio.wait([*self._tasks, *self._keeping], timeout=GRACE)

    def _stream(self) -> JetStreamContext:
        js: JetStreamContext = self.broker.config.connection_state.stream
        return js

    def _connected(self) -> bool:
        return self.client is not None and self.client.is_connected

    async def _check(self) -> None:
        """See again what this worker owns."""
        if self.keeper is not None:
            await self.keeper.look()

    def _moved(self) -> None:
        if self.relay is not None:
            self.relay.rescan(self.holding.share.owns)

    def _count(self, outcome: Outcome, messages: "Sequence[Msg]" = ()) -> None:
        totals = self.totals
        totals.applied += outcome.applied
        totals.duplicates += outcome.duplicates
        totals.parked += outcome.parked
        totals.late += outcome.late
        self.watching.committed(outcome, messages)
        self._wake_relay()

    def _replaced(self) -> None:
        """Another worker owns what was ours; if that is everything, this one ends and says so."""
        if self.keeper is not None:
            self.keeper.wake()
        else:
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
