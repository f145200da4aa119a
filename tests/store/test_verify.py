"""Each tampering that an auditor must find, made in the database with plain SQL."""

# ruff: noqa: ISC004, S608 - a table of statements, put together from constants of this file

import asyncio
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pathway import policy
from pathway.audit.checkpoints import Checkpoint
from pathway.audit.notes import SigningKey
from pathway.audit.problems import Check, Finding, Report
from pathway.audit.tree import Tree, leaf_hash
from pathway.histories import Source
from pathway.replaying import Tally, Task, replay_some
from pathway.shelf import PolicyShelf
from pathway.store.open import open_store
from pathway.verify import Verification
from tests.keys import MASTER, vault

from .clinic import EVENTS, LOG, NOW, copied, open_clinic, source
from .servers import Postgres, admin

pytestmark = pytest.mark.anyio

OTHER = SigningKey("care.example/log", bytes(reversed(range(32))))


@pytest.fixture
def database(original: Path, tmp_path: Path) -> Path:
    return copied(original, tmp_path)


async def verified(where: Path | str, *, opened: bool = True, key: SigningKey = LOG) -> Report:
    store = open_store(where, read_only=True)
    await store.open()
    try:
        keys = vault(store) if opened else None
        shelf = PolicyShelf(policy.default())
        return await Verification(store, shelf, keys, "care", [key.public]).run()
    finally:
        await store.close()


def names(report: Report) -> set[Finding]:
    return {problem.name for problem in report.problems}


def change(path: Path, *statements: str) -> None:
    with closing(sqlite3.connect(path)) as database:
        for statement in statements:
            assert database.execute(statement).rowcount > 0, statement
        database.commit()


async def test_an_untouched_database_verifies(original: Path) -> None:
    report = await verified(original)
    assert [str(problem) for problem in report.problems] == []
    assert report.entries > EVENTS * 0.8
    assert report.checkpoints >= 3
    assert report.size == report.entries
    assert report.skipped == {}


async def test_without_the_master_key_it_says_what_it_skipped(original: Path) -> None:
    report = await verified(original, opened=False)
    assert report.ok
    assert report.skipped[Check.SEALED_UNOPENED] > 0


CHANGED = "CAST(REPLACE(CAST(leaf AS TEXT), '\"applied\"', '\"ignored\"') AS BLOB)"
TAMPERED = {
    "an entry altered": (
        Finding.ENTRY_ALTERED,
        [f"UPDATE audit SET leaf = {CHANGED} WHERE sequence = 100"],
    ),
    "an entry removed": (Finding.ENTRY_REMOVED, ["DELETE FROM audit WHERE sequence = 100"]),
    "the newest entry removed": (
        Finding.ENTRY_REMOVED,
        ["DELETE FROM audit WHERE sequence = (SELECT MAX(sequence) FROM audit)"],
    ),
    "entries reordered": (
        Finding.ENTRY_REORDERED,
        [
            "UPDATE audit SET sequence = -1 WHERE sequence = 100",
            "UPDATE audit SET sequence = 100 WHERE sequence = 101",
            "UPDATE audit SET sequence = 101 WHERE sequence = -1",
        ],
    ),
    "an entry inserted": (
        Finding.ENTRY_INSERTED,
        [
            'INSERT INTO audit (sequence, "commit", patient, leaf, sealed)'
            ' SELECT (SELECT MAX(sequence) + 1 FROM audit), "commit", patient, leaf, sealed'
            " FROM audit WHERE sequence = 7"
        ],
    ),
    "an entry inserted in the middle, the rest renumbered": (
        Finding.ENTRY_INSERTED,
        [
            "UPDATE audit SET sequence = -sequence WHERE sequence >= 100",
            "UPDATE audit SET sequence = 1 - sequence WHERE sequence < 0",
            'INSERT INTO audit (sequence, "commit", patient, leaf, sealed)'
            ' SELECT 100, "commit", patient, leaf, sealed FROM audit WHERE sequence = 7',
        ],
    ),
    "a leaf hash altered": (
        Finding.LEAVES_ALTERED,
        ["UPDATE audit_leaves SET hashes = zeroblob(length(hashes)) WHERE start = 0"],
    ),
    "sealed bytes altered": (
        Finding.SEALED_ALTERED,
        ["UPDATE audit SET sealed = x'0102' WHERE sequence = (SELECT MIN(sequence) FROM audit"
         " WHERE length(sealed) > 0)"],
    ),
    "a journal row altered": (
        Finding.JOURNAL_ALTERED,
        ["UPDATE journal SET raw = x'0102' WHERE seq = 50"],
    ),
    "a journal row from elsewhere": (
        Finding.JOURNAL_UNEXPLAINED,
        ["UPDATE journal SET id = 'another' WHERE seq = 50"],
    ),
    "a journal row removed": (Finding.JOURNAL_MISSING, ["DELETE FROM journal WHERE seq = 50"]),
    "a snapshot altered": (
        Finding.SNAPSHOT_MISMATCH,
        ["UPDATE patients SET state = 'aftercare' WHERE patient ="
         " (SELECT MIN(patient) FROM patients WHERE state <> 'aftercare')"],
    ),
    "the ledger altered": (
        Finding.LEDGER_MISMATCH,
        ["UPDATE ledger SET note = 'forged' WHERE patient = (SELECT MIN(patient) FROM ledger)"],
    ),
    "a message that no entry explains": (
        Finding.MESSAGE_UNEXPLAINED,
        ["UPDATE outbox SET id = 'forged' WHERE position ="
         " (SELECT MIN(position) FROM outbox WHERE kind = 'transition')"],
    ),
    "a receipt that no entry explains": (
        Finding.MESSAGE_UNEXPLAINED,
        ["UPDATE outbox SET id = 'forged', body = x'00' WHERE position ="
         " (SELECT MIN(position) FROM outbox WHERE kind = 'receipt')"],
    ),
    "a receipt about nobody that no entry explains": (
        Finding.MESSAGE_UNEXPLAINED,
        ["UPDATE outbox SET id = 'forged' WHERE position ="
         " (SELECT MIN(position) FROM outbox WHERE kind = 'receipt' AND patient = '_')"],
    ),
    "a receipt about nobody removed": (
        Finding.MESSAGE_MISSING,
        ["DELETE FROM outbox WHERE position ="
         " (SELECT MIN(position) FROM outbox WHERE kind = 'receipt' AND patient = '_')"],
    ),
    "a message altered": (
        Finding.MESSAGE_ALTERED,
        ["UPDATE outbox SET body = CAST(REPLACE(CAST(body AS TEXT), '\"to\":\"iop\"',"
         " '\"to\":\"php\"') AS BLOB) WHERE kind = 'transition'"],
    ),
    "an announcement altered": (
        Finding.MESSAGE_ALTERED,
        ["UPDATE outbox SET body = CAST(REPLACE(CAST(body AS TEXT), '\"applied\"',"
         " '\"ignored\"') AS BLOB) WHERE kind = 'audit'"],
    ),
    "a gap in a patient's sequence": (
        Finding.SEQUENCE_GAP,
        ["DELETE FROM outbox WHERE position ="
         " (SELECT MIN(position) FROM outbox WHERE kind = 'transition')"],
    ),
    "a patient's key gone without an erasure": (
        Finding.KEY_MISSING,
        ["DELETE FROM patient_keys WHERE patient = (SELECT MIN(patient) FROM patient_keys)"],
    ),
    "every checkpoint gone": (Finding.CHECKPOINT_MISSING, ["DELETE FROM checkpoints"]),
    "sealed bytes destroyed": (
        Finding.SEALED_ALTERED,
        ["UPDATE audit SET sealed = x'' WHERE sequence = (SELECT MIN(sequence) FROM audit"
         " WHERE length(sealed) > 0)"],
    ),
    "an entry filed under another patient": (
        Finding.ENTRY_ALTERED,
        ["UPDATE audit SET patient = 'zz' WHERE sequence = 100"],
    ),
    "a snapshot of nobody": (
        Finding.SNAPSHOT_MISMATCH,
        ["INSERT INTO patients SELECT 'zz', policy, state, episode, since, next_due, engine,"
         " snapshot, chains FROM patients LIMIT 1"],
    ),
    "a snapshot altered that claims another engine": (
        Finding.SNAPSHOT_MISMATCH,
        ["UPDATE patients SET engine = 0, state = 'php' WHERE patient ="
         " (SELECT MIN(patient) FROM patients WHERE state <> 'php')"],
    ),
    "a timer put off by a snapshot that claims another engine": (
        Finding.SNAPSHOT_MISMATCH,
        ["UPDATE patients SET engine = 0, next_due = next_due + 1 WHERE patient ="
         " (SELECT MIN(patient) FROM patients WHERE next_due IS NOT NULL)"],
    ),
    "a timer dropped by a snapshot that claims another engine": (
        Finding.SNAPSHOT_MISMATCH,
        ["UPDATE patients SET engine = 0, next_due = NULL WHERE patient ="
         " (SELECT MIN(patient) FROM patients WHERE next_due IS NOT NULL)"],
    ),
    "a patient kept out who was never heard of": (
        Finding.KEY_MISSING,
        ["INSERT INTO patient_keys VALUES ('zz', x'')"],
    ),
    "a message numbered otherwise": (
        Finding.MESSAGE_ALTERED,
        ["UPDATE outbox SET sequence = 0 WHERE position ="
         " (SELECT MAX(position) FROM outbox WHERE kind = 'transition')"],
    ),
    "a message recorded at another time": (
        Finding.MESSAGE_ALTERED,
        ["UPDATE outbox SET recorded_at = recorded_at + 1 WHERE position ="
         " (SELECT MIN(position) FROM outbox WHERE kind = 'transition')"],
    ),
    "a receipt altered": (
        Finding.MESSAGE_ALTERED,
        ["UPDATE outbox SET body = CAST(REPLACE(CAST(body AS TEXT), '\"reason\":\"not_json\"',"
         " '\"reason\":\"bad_time\"') AS BLOB) WHERE kind = 'receipt' AND patient <> '_'"],
    ),
    "a receipt of an applied event removed": (
        Finding.NUMBERS_MISMATCH,
        ["DELETE FROM outbox WHERE position = (SELECT MIN(position) FROM outbox"
         " WHERE kind = 'receipt' AND instr(body, 'applied') > 0)"],
    ),
    "an announcement removed": (
        Finding.MESSAGE_ALTERED,
        ["DELETE FROM outbox WHERE position ="
         " (SELECT MIN(position) FROM outbox WHERE kind = 'audit')"],
    ),
    "the newest announcement removed": (
        Finding.MESSAGE_MISSING,
        ["DELETE FROM outbox WHERE position = (SELECT MAX(position) FROM outbox"
         " WHERE kind = 'audit' AND instr(body, 'appended') > 0)"],
    ),
    "an announcement of another head": (
        Finding.MESSAGE_ALTERED,
        ["UPDATE outbox SET body = CAST(REPLACE(CAST(body AS TEXT), '\"root\":\"',"
         " '\"root\":\"00') AS BLOB) WHERE position ="
         " (SELECT MIN(position) FROM outbox WHERE kind = 'audit')"],
    ),
    "a checkpoint of another time": (
        Finding.MESSAGE_ALTERED,
        ["UPDATE checkpoints SET recorded_at = recorded_at + 1"],
    ),
    "a policy's text altered": (
        Finding.POLICY_ALTERED,
        ["UPDATE policies SET text = text || ' '"],
    ),
    "a policy's text unreadable": (Finding.POLICY_ALTERED, ["UPDATE policies SET text = '}'"]),
    "a policy renamed": (Finding.POLICY_ALTERED, ["UPDATE policies SET name = 'other'"]),
    "every policy gone": (Finding.POLICY_MISSING, ["DELETE FROM policies"]),
    "a node of the tree altered": (
        Finding.LEAVES_ALTERED,
        ["UPDATE audit_nodes SET hash = zeroblob(32) WHERE place = 0"],
    ),
    "a node of the tree removed": (
        Finding.NUMBERS_MISMATCH,
        ["DELETE FROM audit_nodes WHERE place = 0"],
    ),
    "a node of the tree ahead of it": (
        Finding.NUMBERS_MISMATCH,
        ["INSERT INTO audit_nodes SELECT level, place + 1000, hash FROM audit_nodes"],
    ),
    "the head gone": (Finding.ROOT_MISMATCH, ["DELETE FROM log_head"]),
    "the head of another size": (
        Finding.ROOT_MISMATCH,
        ["UPDATE log_head SET tree_size = tree_size - 1"],
    ),
    "the head's clock set back": (
        Finding.NUMBERS_MISMATCH,
        ["UPDATE log_head SET recorded_at = 0"],
    ),
    "the head's commits set back": (
        Finding.NUMBERS_MISMATCH,
        ['UPDATE log_head SET "commit" = 1'],
    ),
    **{
        f"the head's count of {what} altered": (
            Finding.NUMBERS_MISMATCH,
            [f"UPDATE log_head SET {what} = {what} + 5"],
        )
        for what in ("journal", "outbox")
    },
    **{
        f"a journal row filed under another {column}": (
            Finding.JOURNAL_ALTERED,
            [f'UPDATE journal SET "{column}" = {value} WHERE seq = 50'],
        )
        for column, value in {
            "type": "'care.contact.made.v1'",
            "identity": "'other'",
            "revision": "9",
            "time": "time + 1",
            "policy": "'other'",
            "commit": '"commit" + 1',
        }.items()
    },
}  # fmt: skip


@pytest.mark.parametrize("what", TAMPERED)
async def test_a_tampering_is_named(database: Path, what: str) -> None:
    name, statements = TAMPERED[what]
    change(database, *statements)
    assert name in names(await verified(database))


ANOTHER_ENGINE = "UPDATE patients SET engine = 1, snapshot = x'', next_due = next_due - 1"


async def test_a_snapshot_of_another_engine_is_skipped_and_everything_else_compared(
    database: Path,
) -> None:
    change(database, ANOTHER_ENGINE)
    report = await verified(database)
    assert not report.problems
    assert Check.ENGINE_CHANGED in report.skipped


def test_a_replay_does_not_compare_a_snapshot_of_another_engine(database: Path) -> None:
    change(database, ANOTHER_ENGINE)
    patients = [row[0] for row in rows(database, "SELECT patient FROM patients")]
    assert replay_some(Task(source(database), "care"), patients).mismatches == 0


def test_a_replay_says_the_same(original: Path) -> None:
    task = Task(source(original), "care")
    patients = [row[0] for row in rows(original, "SELECT patient FROM patients")]
    tally = replay_some(task, patients)
    (count,) = rows(original, "SELECT COUNT(*) FROM journal")[0]
    assert tally == Tally(entries=count, patients=len(patients))
    (middle,) = rows(original, "SELECT MIN(recorded_at) FROM journal")[0]
    assert replay_some(replace(task, until=middle), patients).mismatches == 0
    assert replay_some(replace(task, until=middle - 1), patients) == Tally()


@pytest.mark.parametrize(
    "what",
    [
        "a message altered",
        "a snapshot altered that claims another engine",
        "a timer dropped by a snapshot that claims another engine",
    ],
)
def test_a_replay_finds_what_was_altered(database: Path, what: str) -> None:
    change(database, *TAMPERED[what][1])
    task = Task(source(database), "care")
    patients = [row[0] for row in rows(database, "SELECT patient FROM patients")]
    assert replay_some(task, patients).mismatches > 0


def rows(path: Path, query: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(query).fetchall()


# -- checkpoints -----------------------------------------------------------------------------------


def leaves(path: Path) -> list[bytes]:
    with closing(sqlite3.connect(path)) as database:
        rows = database.execute("SELECT leaf FROM audit ORDER BY sequence").fetchall()
    return [leaf_hash(leaf) for (leaf,) in rows]


def put_note(path: Path, size: int, note: bytes) -> None:
    with closing(sqlite3.connect(path)) as database:
        database.execute("INSERT OR REPLACE INTO checkpoints VALUES (?, ?, ?)", (size, note, NOW))
        database.commit()


async def test_a_checkpoint_by_another_key_is_named(database: Path) -> None:
    tree, _ = Tree().extend(leaves(database)[:300])
    put_note(database, 300, Checkpoint.of(OTHER.name, tree).sign(OTHER))
    assert names(await verified(database)) == {Finding.CHECKPOINT_WRONG_KEY}


async def test_a_forged_signature_is_named(database: Path) -> None:
    tree, _ = Tree().extend(leaves(database)[:300])
    note = Checkpoint.of(LOG.name, tree).sign(LOG)
    put_note(database, 300, note.replace(b"\n300\n", b"\n301\n"))
    assert Finding.CHECKPOINT_SIGNATURE in names(await verified(database))


async def test_a_fork_is_named(database: Path) -> None:
    other = [*leaves(database)[:299], leaf_hash(b"another history")]
    tree, _ = Tree().extend(other)
    put_note(database, 300, Checkpoint.of(LOG.name, tree).sign(LOG))
    assert names(await verified(database)) == {Finding.CHECKPOINT_FORK}


async def test_a_checkpoint_that_goes_back_is_named(database: Path) -> None:
    tree, _ = Tree().extend(leaves(database)[:100])
    put_note(database, 10**6, Checkpoint.of(LOG.name, tree).sign(LOG))
    assert Finding.CHECKPOINT_ROLLBACK in names(await verified(database))


async def test_a_log_that_was_rolled_back_is_named(database: Path) -> None:
    """Everything after some entry cut off, with a head that fits; the checkpoint knows better."""
    hashes = leaves(database)
    with closing(sqlite3.connect(database)) as connection:
        find = "SELECT MAX(start) FROM audit_leaves"
        (start,) = connection.execute(find).fetchone()
        connection.execute("DELETE FROM audit_leaves WHERE start = ?", (start,))
        connection.execute("DELETE FROM audit WHERE sequence >= ?", (start,))
        tree, _ = Tree().extend(hashes[:start])
        moved = "UPDATE log_head SET tree_size = ?, tree = ?"
        connection.execute(moved, (tree.size, tree.dump()))
        connection.commit()
    assert Finding.ENTRY_REMOVED in names(await verified(database))


async def test_a_log_rewritten_with_its_hashes_is_named(database: Path) -> None:
    """An entry, the list of leaf hashes and the head changed alike: only the signature knows."""
    change(database, f"UPDATE audit SET leaf = {CHANGED} WHERE sequence = 100")
    hashes = leaves(database)
    tree, _ = Tree().extend(hashes)
    with closing(sqlite3.connect(database)) as connection:
        find = "SELECT start, length(hashes) / 32 FROM audit_leaves"
        starts = connection.execute(find).fetchall()
        for start, count in starts:
            row = (b"".join(hashes[start : start + count]), start)
            connection.execute("UPDATE audit_leaves SET hashes = ? WHERE start = ?", row)
        connection.execute("UPDATE log_head SET tree = ?", (tree.dump(),))
        connection.commit()
    assert Finding.ROOT_MISMATCH in names(await verified(database))


# -- PostgreSQL ------------------------------------------------------------------------------------

BENT = "convert_to(replace(convert_from(leaf, 'UTF8'), '\"applied\"', '\"ignored\"'), 'UTF8')"
FIRST = "(SELECT MIN(position) FROM outbox WHERE kind = 'transition')"
TAMPERED_THERE = {
    "an entry altered": (
        Finding.ENTRY_ALTERED,
        [f"UPDATE audit SET leaf = {BENT} WHERE sequence = 100"],
    ),
    **{
        what: TAMPERED[what]
        for what in (
            "an entry removed",
            "entries reordered",
            "an entry inserted",
            "a snapshot altered",
            "a message that no entry explains",
            "a gap in a patient's sequence",
            "every checkpoint gone",
        )
    },
    "a signature by another key": (Finding.CHECKPOINT_WRONG_KEY, [OTHER]),
    "a fork": (Finding.CHECKPOINT_FORK, [LOG]),
}


@pytest.fixture(scope="module")
def there(postgres: Postgres) -> str:
    """The same clinic in PostgreSQL; not to be changed."""
    url = f"{postgres.url}&schema=clinic"
    asyncio.run(open_clinic(url))
    return url


@pytest.mark.parametrize("what", TAMPERED_THERE)
async def test_a_tampering_is_named_in_postgresql_too(there: str, empty: str, what: str) -> None:
    name, statements = TAMPERED_THERE[what]
    schema = empty.rpartition("=")[2]
    async with admin(there) as other:
        await other.execute(f"CREATE SCHEMA {schema}")
        tables = "SELECT tablename FROM pg_tables WHERE schemaname = 'clinic'"
        for (table,) in await other.fetch(tables):
            await other.execute(f"CREATE TABLE {schema}.{table} (LIKE {table} INCLUDING ALL)")
            await other.execute(f"INSERT INTO {schema}.{table} SELECT * FROM {table}")
    async with admin(empty) as other:
        for statement in statements:
            if isinstance(statement, SigningKey):
                tree, _ = Tree().extend([leaf_hash(b"another history")] * 300)
                note = Checkpoint.of(statement.name, tree).sign(statement)
                await other.execute("INSERT INTO checkpoints VALUES ($1, $2, $3)", 300, note, NOW)
            else:
                assert await other.execute(statement) not in {"UPDATE 0", "DELETE 0"}, statement
    assert name in names(await verified(empty))


async def test_an_untouched_database_verifies_in_postgresql_too(there: str) -> None:
    assert (await verified(there)).problems == []


def test_a_replay_says_the_same_in_postgresql_too(there: str, original: Path) -> None:
    patients = [row[0] for row in rows(original, "SELECT patient FROM patients")]
    here = replay_some(Task(source(original), "care"), patients)
    assert replay_some(Task(Source(there, (MASTER,)), "care"), patients) == here
