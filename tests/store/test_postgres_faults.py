"""What breaks between a worker and PostgreSQL, and what becomes of its commits."""

import asyncio
import dataclasses
from collections.abc import Awaitable, Callable
from contextlib import suppress
from traceback import format_exception

import pytest
from msgspec.structs import replace

from pathway.store import postgres_connection
from pathway.store.base import Commit, OutboxRow
from pathway.store.errors import (
    ConflictError,
    StoreCorruptError,
    StoreError,
    StoreFullError,
    StoreLockedError,
    UnstorableError,
)
from pathway.store.postgres import PostgresStore
from pathway.store.postgres_connection import WORK, connect, server

from .conformance import EMPTY
from .rows import SOURCE, entry, full, message, poison, snapshot
from .servers import Postgres, admin, waiting


@pytest.mark.anyio
async def test_a_server_that_crashes_and_comes_back(
    store: PostgresStore, postgres: Postgres
) -> None:
    await store.commit(full(1))
    before = await store.counts()
    await store.next_due()
    postgres.restart()
    for ask in (store.counts, store.next_due, store.last_recorded_at):
        await eventually(ask)
    assert await store.counts() == before
    assert (await store.commit(full(2)))[0] == 2, "the owner is still the owner"


async def eventually(ask: Callable[[], Awaitable[object]]) -> None:
    """A lost connection is found at the latest by the first that uses it."""
    with suppress(StoreError):
        await ask()
    await ask()


@pytest.mark.anyio
async def test_a_connection_cut_in_the_middle_of_a_commit(
    store: PostgresStore, database: str
) -> None:
    async with admin(database) as other:
        async with other.transaction():
            await other.execute("SELECT 1 FROM log_head FOR UPDATE")
            commit = asyncio.create_task(store.commit(full(1)))
            pid = await waiting(other, "transactionid")
            await other.execute("SELECT pg_terminate_backend($1)", pid)
            with pytest.raises(StoreError) as caught:
                await commit
        assert caught.value.code == "store_unavailable"
    assert await store.counts() == EMPTY
    assert (await store.commit(full(1)))[0] == 1


@pytest.mark.anyio
async def test_a_commit_whose_answer_is_lost_is_recognized(
    store: PostgresStore, database: str
) -> None:
    """The server is still writing when the worker, having lost it, tries again."""
    async with admin(database) as other:
        await other.execute(
            """CREATE FUNCTION dawdle() RETURNS trigger LANGUAGE plpgsql
                AS 'BEGIN PERFORM pg_sleep(0.5); RETURN NULL; END';
            CREATE CONSTRAINT TRIGGER slow AFTER INSERT ON policies
                DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION dawdle()"""
        )
        first = asyncio.create_task(store.commit(full(1)))
        await waiting(other, "PgSleep")
    assert store._work._connection is not None
    store._work._connection.terminate()
    with pytest.raises(StoreError) as caught:
        await first
    assert caught.value.code == "store_unavailable"
    again = full(1)
    assert await store.known([(SOURCE, row.id) for row in again.journal]) == {}
    assert await store.last_recorded_at() == 1, "it waits for the end of that commit"
    assert len(await store.known([(SOURCE, row.id) for row in again.journal])) == 16
    with pytest.raises(ConflictError):
        await store.commit(again)
    assert (await store.commit(full(2)))[0] == 2


@pytest.mark.anyio
async def test_a_cancelled_commit_runs_to_its_end(store: PostgresStore, database: str) -> None:
    async with admin(database) as other, other.transaction():
        await other.execute("SELECT 1 FROM log_head FOR UPDATE")
        commit = asyncio.create_task(store.commit(full(1)))
        await waiting(other, "transactionid")
        commit.cancel()
        with pytest.raises(asyncio.CancelledError):
            await commit
    assert await store.last_recorded_at() == 1
    assert (await store.commit(full(2)))[0] == 2


@pytest.mark.anyio
async def test_a_cancelled_look_leaves_the_store_usable(store: PostgresStore) -> None:
    look = asyncio.create_task(store._looks.fetch("SELECT pg_sleep(60)"))
    await asyncio.sleep(0.05)
    look.cancel()
    with pytest.raises(asyncio.CancelledError):
        await look
    assert await store.counts() == EMPTY


@pytest.mark.anyio
async def test_a_lock_that_is_held_too_long_is_told(database: str) -> None:
    store = PostgresStore(database)
    store._work = postgres_connection.line(server(database), dataclasses.replace(WORK, lock=0.1))
    await store.open()
    await store.claim()
    async with admin(database) as other:
        async with other.transaction():
            await other.execute("SELECT 1 FROM log_head FOR UPDATE")
            with pytest.raises(StoreLockedError) as caught:
                await store.commit(full(1))
        assert caught.value.code == "store_locked"
    assert await store.counts() == EMPTY
    assert (await store.commit(full(1)))[0] == 1
    await store.close()


@pytest.mark.anyio
async def test_a_worker_that_hangs_with_the_log_in_its_hand_is_let_go(
    store: PostgresStore, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres_connection, "IDLE", 0.2)
    hung = await connect(server(database), dataclasses.replace(WORK, settings=()))
    await hung.execute("BEGIN")
    await hung.execute("UPDATE log_head SET epoch = 99")
    assert await store.claim() == 2
    assert (await store.commit(full(1)))[0] == 1
    hung.terminate()


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("code", "kind"),
    [("53100", StoreFullError), ("40P01", StoreLockedError), ("XX001", StoreCorruptError)],
)
async def test_an_error_of_the_server_is_told_by_its_kind(
    store: PostgresStore, database: str, code: str, kind: type[StoreError]
) -> None:
    async with admin(database) as other:
        await other.execute(
            f"""CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql
                AS $$ BEGIN RAISE 'no luck' USING ERRCODE = '{code}'; END $$;
            CREATE TRIGGER fail BEFORE INSERT ON outbox EXECUTE FUNCTION fail()"""
        )
        with pytest.raises(kind, match="no luck"):
            await store.commit(full(1))
        await other.execute("DROP TRIGGER fail ON outbox")
    assert await store.counts() == EMPTY
    assert (await store.commit(full(1)))[0] == 1


# -- values ----------------------------------------------------------------------------------------


@pytest.mark.anyio
@pytest.mark.parametrize("odd", ["\x00", "\x1f"])
async def test_a_nul_or_a_separator_in_a_word_is_refused(store: PostgresStore, odd: str) -> None:
    with pytest.raises(UnstorableError):
        await store.commit(Commit(1, journal=[entry(f"a{odd}b"), entry("c")]))
    assert await store.counts() == EMPTY


@pytest.mark.anyio
async def test_a_parked_message_is_kept_whatever_its_subject(store: PostgresStore) -> None:
    """The broker lets a NUL through: whoever sends one must not stop everybody."""
    odd = replace(poison(7), subject="care.a\x00b", source="s", id="1")
    await store.commit(Commit(1, parked=[odd, poison(5)]))
    assert [(row.stream_sequence, row.subject) for row in await store.parked()] == [
        (5, poison(5).subject),
        (7, "care.a␀b"),
    ]


@pytest.mark.anyio
async def test_no_error_quotes_a_row(store: PostgresStore) -> None:
    await store.commit(Commit(1, journal=[entry("secret")]))
    for bad in (entry("secret"), replace(entry("new", "secret"), raw=None)):
        with pytest.raises(StoreError) as caught:
            await store.commit(Commit(2, journal=[bad]))
        assert "secret" not in "".join(format_exception(caught.value)), "not even as its cause"


# -- several writers -------------------------------------------------------------------------------


@pytest.mark.anyio
async def test_commits_that_share_an_id_neither_deadlock_nor_double_it(
    store: PostgresStore, database: str
) -> None:
    """As two owners of two partitions would, or a worker and its zombie on the same patients."""
    other = PostgresStore(database)
    await other.open()
    other._share = store._share
    for number in range(1, 21):
        names = [f"{number}-{position}" for position in range(50)]
        shared = entry(f"{number}-shared")
        patients = [snapshot(f"p{position}") for position in range(50)]
        one = Commit(1, journal=[entry(f"{name}a") for name in names] + [shared])
        two = Commit(1, journal=[shared] + [entry(f"{name}b") for name in reversed(names)])
        one.patients, two.patients = patients, patients[::-1]
        results = await asyncio.gather(store.commit(one), other.commit(two), return_exceptions=True)
        assert [type(result) for result in results if isinstance(result, BaseException)] == [
            ConflictError
        ], "the loser reads the journal again and finds the id known"
        assert (await store.counts())["journal"] == 51 * number
        assert len(await store.known([(SOURCE, shared.id)])) == 1
    assert {row.commit for row in await store.journal("p1")} == set(range(1, 21)), "no gap"
    await other.close()


@pytest.mark.anyio
async def test_numbers_stay_dense_and_visible_in_order(store: PostgresStore, database: str) -> None:
    """Whoever sees a position has seen, or sees, every smaller one."""
    others = [PostgresStore(database) for _ in range(3)]
    for other in others:
        await other.open()
        other._share = store._share
    done = asyncio.Event()

    async def watch() -> None:
        while not done.is_set():
            positions = [row.position async for row in store.messages()]
            assert positions == list(range(1, len(positions) + 1))

    async def write(writer: PostgresStore, name: str) -> list[OutboxRow]:
        sent: list[OutboxRow] = []
        for number in range(20):
            rows = [message(f"{name}-{number}-{each}", name) for each in range(3)]
            sent += (await writer.commit(Commit(1, outbox=rows)))[2]
        return sent

    watcher = asyncio.create_task(watch())
    written = await asyncio.gather(
        *(write(writer, f"p{number}") for number, writer in enumerate(others))
    )
    done.set()
    await watcher
    positions = sorted(row.position for sent in written for row in sent)
    assert positions == list(range(1, 181))
    for other in others:
        await other.close()
