"""Erasing a patient from a PostgreSQL that several share: down to the bytes of its files."""

import asyncio
from pathlib import Path

import nats
import pytest

from handlers.embedded import EmbeddedNats
from pathway.audit.notes import SigningKey
from pathway.store.migrate import upgrade
from tests.acceptance.commands import Running, pathway
from tests.acceptance.events import encode, marked, new_patient
from tests.keys import MASTER_TEXT, RING
from tests.store.servers import Postgres, admin, until

pytestmark = pytest.mark.anyio

MARK = "zebra-crossing-4711"


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


def holding(directory: Path, *wanted: bytes) -> set[str]:
    """Which of the top directories have a file in which one of these stands as such."""
    found = (path for path in directory.rglob("*") if path.is_file())
    return {
        path.relative_to(directory).parts[0]
        for path in found
        if any(each in path.read_bytes() for each in wanted)
    }


async def test_no_byte_of_who_was_erased_is_left_in_the_servers_files(
    broker: EmbeddedNats, postgres: Postgres, tmp_path: Path
) -> None:
    upgrade(postgres.url)
    patient, other = new_patient(), new_patient()
    SigningKey.create(tmp_path / "audit.key", "care-pathway-log")
    urls = {"broker_url": broker.url, "database_url": postgres.url, "master_key": MASTER_TEXT}
    urls["audit_key_file"] = str(tmp_path / "audit.key")
    worker = Running(tmp_path, "worker", **urls)
    try:
        worker.await_said("worker_started")
        events = b"\n".join(encode(each) for p in (patient, other) for each in marked(p, MARK))
        assert pathway("publish", "-", stdin=events, **urls).code == 0
        client = await nats.connect(broker.url)
        for each in (patient, other):
            subject = f"care.events.safety.reported.{each}"
            raw = f'{{"broken": "{MARK} {each}"'.encode()
            await client.jetstream().publish(subject, raw)
        await client.close()
        async with admin(postgres.url) as look:
            await until(lambda: look.fetchval("SELECT COUNT(*) = 2 FROM parked"))
            found = await look.fetch("SELECT patient, wrapped FROM patient_keys")
            await look.execute("CHECKPOINT")
            wrapped = {row["patient"]: row["wrapped"] for row in found}
        secret = RING.unwrap(wrapped[patient], patient).secret
        assert holding(postgres.directory, wrapped[patient]) == {"base", "pg_wal"}
        words = "--reason", "request", "--legal-basis", "law"
        done = await asyncio.to_thread(pathway, "erase", patient, *words, **urls)
        assert (done.out, done.err) == (f"erased {patient}\n", "")
        traces = wrapped[patient], secret, f"{MARK} {patient}".encode()
        assert holding(postgres.directory, *traces) == set()
        assert holding(postgres.directory, wrapped[other]) == {"base"}
    finally:
        worker.stop()
    report = pathway("verify", "--json", **urls).json
    assert (report["ok"], report["erased"]) == (True, [patient])
