"""What is kept of one patient was altered: everybody else's events go on."""

from pathlib import Path

import pytest
from structlog.testing import capture_logs

from pathway.audit.errors import UnknownMasterKeyError
from pathway.store.base import Store

from .test_erasure import database, message, started, store
from .test_verify import change, verified

__all__ = ["database", "store"]  # fixtures

SEAL, MASTER = "seal_broken", "master_key_unknown"
OTHER_MASTER = "x'01' || zeroblob(8) || substr(wrapped, 10)"
# A snapshot that another engine made is not opened, so it cannot tell that the key is another.
STALE = "patient_keys SET patient = 'nobody'; UPDATE patients SET engine = 1"

ONE_BROKEN = """UPDATE patient_keys SET wrapped = zeroblob(69)
    WHERE patient = (SELECT MIN(patient) FROM patient_keys)"""
ALL_OTHERS = """UPDATE patient_keys
    SET wrapped = CAST(x'01' || zeroblob(8) || substr(wrapped, 10) AS BLOB)"""

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    ("edit", "what", "reason"),
    [
        ("patient_keys SET wrapped = zeroblob(69)", "key", SEAL),
        ("patient_keys SET wrapped = zeroblob(3)", "key", SEAL),
        (f"patient_keys SET wrapped = CAST({OTHER_MASTER} AS BLOB)", "key", MASTER),
        ("patient_keys SET patient = 'nobody'", "snapshot", SEAL),
        ("patients SET snapshot = zeroblob(99)", "snapshot", SEAL),
        (STALE, "snapshot", SEAL),
        ("patient_keys SET patient = 'nobody'", "journal", SEAL),
        ("journal SET raw = zeroblob(99)", "journal", SEAL),
    ],
)
async def test_the_others_events_go_on(
    database: Path, store: Store, edit: str, what: str, reason: str
) -> None:
    broken, other = [each async for each in store.patient_keys()][:2]
    known = message(broken, 1)
    await (await started(store)).take([known])
    keys = await store.keys([broken])
    for one in edit.split("; UPDATE "):
        change(database, f"UPDATE {one} WHERE patient = '{broken}'")
    processor = await started(store)
    theirs = [message(broken, 2), message(broken, 3)]
    theirs += [known] if what == "journal" else []
    with capture_logs() as logs:
        outcome = await processor.take([*theirs, message(other, 4)])
    assert outcome.applied == 1
    assert sorted(outcome.failed) == sorted(each.stream_sequence for each in theirs)
    (said,) = [each for each in logs if each["event"] == "patient_unreadable"]
    assert (said["code"], said["patient"], said["what"]) == ("patient_unreadable", broken, what)
    assert said["reason"] == reason
    if what != "key":
        assert await store.keys([broken]) == ({} if "nobody" in edit else keys)
    if "nobody" in edit:
        assert await processor.vault.find([broken]) == {}, "a key that is in no database"
    report = await verified(database)
    assert any(f"patient {broken}: " in problem.detail for problem in report.problems)


async def test_no_worker_begins_with_a_master_key_that_opens_nobody(
    database: Path, store: Store
) -> None:
    processor = await started(store)
    change(database, ONE_BROKEN)
    await processor.vault.check(store.wrapped_keys())
    change(database, ALL_OTHERS)
    with pytest.raises(UnknownMasterKeyError):
        await processor.vault.check(store.wrapped_keys())
