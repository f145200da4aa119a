"""What the pages ask of the worker: everything through methods that only read."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from handlers.board.follow import Follower
from handlers.board.live import Live
from handlers.board.operations import Operations, from_store
from handlers.board.projection import Projection
from handlers.board.words import Times
from handlers.board.worklist import Row, standing
from pathway.policy import Policy
from pathway.shelf import PolicyShelf
from pathway.store.base import JournalRow, OutboxRow, PatientRow, Store
from pathway.vault import Vault

PAGES_KEPT = 32  # computed pictures held; one per page and chosen span
Accessed = Callable[[str, str, str], Awaitable[None]]  # patient, actor, purpose


@dataclass(slots=True, frozen=True)
class Proof:
    """What the audit log can prove of one patient.

    Attributes:
        holds: None = not checked yet.
        text: the state in a sentence.
    """

    holds: bool | None
    text: str


Proving = Callable[[str], Awaitable[Proof | None]]  # patient -> its state


@dataclass(slots=True, frozen=True)
class Chart:
    """All that is stored of one patient."""

    row: PatientRow
    journal: list[JournalRow]
    messages: list[OutboxRow]


class BoardReader:
    """The worker's side of the board.

    Args:
        store: read, never written.
        policy: the rule set in force; gives the program's time zone and the levels' hours.
        clock: the worker's clock, µs.
        accessed: called before anything of one patient is shown, with patient, actor and
            purpose; if it fails, nothing is shown.
        vault: opens the journal.
        operations: how the worker is doing; what the store alone can tell if not given.
        proof: the state of a patient's audit proof, or None where there is no audit log.
    """

    def __init__(  # noqa: PLR0913 - what the composition root puts in
        self,
        store: Store,
        policy: Policy,
        clock: Callable[[], int],
        accessed: Accessed,
        vault: Vault,
        operations: Callable[[], Awaitable[Operations]] | None = None,
        proof: Proving | None = None,
    ) -> None:
        self.store = store
        self.policy = policy
        self.clock = clock
        self.accessed = accessed
        self.patience = policy.limit("urgent-overdue")
        self.times = Times(policy.zone)
        self.projection = Projection(self.times)
        self.live = Live()
        self.vault = vault
        self.follower = Follower(store, vault, self.projection, self.live)
        self._operations = operations
        self._proof = proof
        self._shelf = PolicyShelf(policy)
        self._pages: dict[object, tuple[int, Any]] = {}

    @asynccontextmanager
    async def following(self) -> AsyncIterator[None]:
        """Keep up with the store meanwhile."""
        task = asyncio.create_task(self.follower.run())
        try:
            yield
        finally:
            self.live.close()
            task.cancel()
            await asyncio.wait({task})

    async def chart(self, patient: str) -> Chart | None:
        """One patient; None if no event of theirs was ever accepted, or they were erased."""
        await self.follower.catch_up()
        row = (await self.store.patients([patient])).get(patient)
        if row is None:
            return None
        journal = await self.vault.journal(patient)
        return Chart(row, journal, [each async for each in self.store.messages(patient)])

    async def erased(self, patient: str) -> bool:
        """Was this patient here and is forgotten?"""
        async for row in self.store.messages(patient):
            if b"care.patient.erased.v1" in row.body:
                return True
        return False

    async def policies(self, needed: set[str] | None = None) -> Mapping[str, Policy]:
        """Rule sets by digest; read again if one of the needed is not at hand."""
        shelf = self._shelf.by_digest
        if needed is None or not needed <= shelf.keys():
            await self._shelf.load(self.store)
        return shelf

    async def operations(self) -> Operations:
        """How the worker is doing."""
        if self._operations is not None:
            return await self._operations()
        return await from_store(self.store)

    async def proof(self, patient: str) -> Proof | None:
        """The state of a patient's audit proof; None where there is no audit log."""
        return None if self._proof is None else await self._proof(patient)

    async def standing(self) -> list[Row]:
        """Everything that stands, urgent first."""
        rows: list[Row] = await self.cached(
            "standing", lambda: standing(self.projection, self.patience)
        )
        return rows

    async def cached(self, key: object, make: Callable[[], Any]) -> Any:  # noqa: ANN401 - any page
        """What `make` returns, made anew only after a change; in a thread, off the event loop."""
        version = self.projection.version
        held = self._pages.get(key)
        if held is None or held[0] != version:
            held = (version, await asyncio.to_thread(make))
            if len(self._pages) >= PAGES_KEPT:
                self._pages.pop(next(iter(self._pages)))
            self._pages[key] = held
        return held[1]
