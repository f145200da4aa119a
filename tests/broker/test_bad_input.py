"""Whatever arrives, the worker parks it with a stable reason and goes on with everybody else."""

import asyncio
import json
import sqlite3
from collections import Counter
from contextlib import closing
from typing import Any, NamedTuple

import pytest
from nats.aio.msg import Msg

from handlers import receive
from handlers.pull import acknowledge
from pathway import process
from schemas.envelope import Reason
from tests.broker.clinic import Clinic, Eventually, applied, encode, event, new_patient

pytestmark = pytest.mark.anyio

KIND = "referral.received"


class Bad(NamedTuple):
    """A message that must be parked; `P` in it stands for the patient."""

    name: str
    reason: Reason
    body: bytes
    subject: str = f"{KIND}.P"
    urgent: bool = False
    patient: str = "P"  # the last token of the receipt's subject


def of(kind: str = KIND, **attributes: Any) -> bytes:  # noqa: ANN401 - any JSON
    return encode(event("P", kind, **attributes))


def without(name: str) -> bytes:
    return encode({key: value for key, value in event("P").items() if key != name})


BAD = [
    Bad("truncated", Reason.NOT_JSON, of()[:-9]),
    Bad("nothing", Reason.NOT_JSON, b""),
    Bad("a key twice", Reason.NOT_JSON, b'{"id": "1", ' + of()[1:]),
    Bad("latin-1", Reason.NOT_JSON, of()[:-1] + b', "name": "M\xfcller"}'),
    Bad("a byte order mark", Reason.NOT_JSON, b"\xef\xbb\xbf" + of()),
    Bad("not a number", Reason.NOT_JSON, of()[:-1] + b', "score": NaN}'),
    Bad("nested", Reason.NOT_JSON, b"[" * 30_000 + b"]" * 30_000),
    Bad("HL7", Reason.NOT_JSON, b"MSH|^~\\&|EHR|CLINIC|||P|ADT^A08|1|P|2.5\r"),
    Bad("a list", Reason.NOT_CLOUDEVENT, b"[" + of() + b"]"),
    Bad("no source", Reason.NOT_CLOUDEVENT, without("source")),
    Bad("no id", Reason.NOT_CLOUDEVENT, without("id")),
    Bad("an old version", Reason.NOT_CLOUDEVENT, of(specversion="0.3")),
    Bad("a long id", Reason.NOT_CLOUDEVENT, of(id="x" * 129)),
    Bad("no such type", Reason.UNKNOWN_TYPE, of(type="care.invoice.sent.v1"), "invoice.sent.P"),
    Bad("ours", Reason.INTERNAL_TYPE, of(type="care.time.advanced.v1"), "time.advanced.P"),
    Bad("no patient", Reason.BAD_PATIENT_KEY, without("subject"), f"{KIND}._", patient="_"),
    Bad("a room", Reason.BAD_PATIENT_KEY, of(subject="room 12, bed 3")),
    Bad("another patient", Reason.SUBJECT_MISMATCH, of(subject="somebody-else")),
    Bad("another kind", Reason.SUBJECT_MISMATCH, of(), "contact.made.P"),
    Bad("65 KiB", Reason.TOO_LARGE, of(note="." * 65 * 1024)),
    Bad("no offset", Reason.BAD_TIME, of(time="2026-01-05T09:00:00")),
    Bad("no such day", Reason.BAD_TIME, of(time="2026-02-30T09:00:00Z")),
    Bad("the last century", Reason.BAD_TIME, of(time="1999-12-31T23:59:59Z")),
    Bad("in six minutes", Reason.TIME_IN_FUTURE, of(time="2026-06-01T00:06:00Z")),
    Bad("data as text", Reason.INVALID_DATA, of(data="see attachment")),
    Bad("a number for a text", Reason.INVALID_DATA, of(data={"referral_id": 7})),
    Bad("another source", Reason.SOURCE_NOT_ALLOWED, of(source="/lab/1")),
    Bad("our source", Reason.SOURCE_NOT_ALLOWED, of(source="/pathway/clock")),
    Bad(
        "an assessment",
        Reason.INVALID_DATA,
        of("assessment.completed", data={"instrument": "PHQ-9"}),
        "assessment.completed.P",
        urgent=True,
    ),
    Bad(
        "a safety report that cannot be read",
        Reason.NOT_JSON,
        of("safety.reported")[:-5],
        "safety.reported.P",
        urgent=True,
    ),
    Bad("a report in the wrong place", Reason.SUBJECT_MISMATCH, of("safety.reported"), urgent=True),
]
ELSEWHERE = {Reason.ID_CONFLICT, Reason.PATIENT_ERASED}  # below


def test_every_reason_is_provoked() -> None:
    assert {bad.reason for bad in BAD} | ELSEWHERE == set(Reason)


async def publish(clinic: Clinic, bad: Bad, patient: str) -> int:
    return await clinic.publish_raw(
        bad.subject.replace(".P", f".{patient}"), bad.body.replace(b"P-", f"{patient}-".encode())
        .replace(b'"P"', f'"{patient}"'.encode()),
    )  # fmt: skip


async def test_each_is_parked_once_with_its_reason_and_a_receipt(
    clinic: Clinic, eventually: Eventually
) -> None:
    """All in one go, each followed by a good event of the same patient, which does not wait."""
    patients = {bad.name: new_patient() for bad in BAD}
    async with clinic.working(sources="/ehr/*,/pathway/*") as worker:
        numbers = {}
        for bad in BAD:
            numbers[bad.name] = await publish(clinic, bad, patients[bad.name])
            await clinic.publish(event(patients[bad.name], id=f"{patients[bad.name]}-good"))
        await clinic.done(worker)
        await eventually(lambda: len(receipts(clinic)) >= len(BAD))

        rows = {row.stream_sequence: row for row in await worker.store.parked()}
        assert {name: rows[number].reason for name, number in numbers.items()} == {
            bad.name: bad.reason for bad in BAD
        }
        assert len(rows) == len(BAD)
        for bad in BAD:
            patient = patients[bad.name]
            (good,) = await applied(worker, patient)
            assert good.id == f"{patient}-good"
            told = clinic.of("receipt", bad.patient.replace("P", patient))
            assert [receipt["data"]["outcome"] for receipt in told] == ["parked"], bad.name
            assert told[0]["data"]["reason"] == bad.reason
            assert told[0]["data"].get("severity") == ("urgent" if bad.urgent else None), bad.name
        assert len(receipts(clinic)) == len(BAD)


def receipts(clinic: Clinic) -> list[dict[str, Any]]:
    start = f"{clinic.names.prefix}.out.receipt."
    return [json.loads(m.data) for m in clinic.heard if m.subject.startswith(start)]


async def test_a_receipt_says_which_event_and_nothing_of_its_content(
    clinic: Clinic, eventually: Eventually
) -> None:
    patient = new_patient()
    async with clinic.working():
        await clinic.publish(event(patient, data={"referral_id": 7, "note": "confidential"}))
        await eventually(lambda: clinic.of("receipt", patient))
    (receipt,) = clinic.of("receipt", patient)
    assert receipt["type"] == "care.receipt.v1"
    assert receipt["subject"] == patient
    assert receipt["data"] == {
        "event": {"source": "/ehr/example", "id": f"{patient}-{KIND}"},
        "outcome": "parked",
        "reason": "invalid_data",
    }


# -- an id used again ------------------------------------------------------------------------------


@pytest.mark.parametrize("together", [True, False], ids=["in one batch", "later"])
async def test_an_id_with_other_content_is_a_conflict_and_the_first_stands(
    clinic: Clinic, eventually: Eventually, *, together: bool
) -> None:
    patient = new_patient()
    first = event(patient)
    second = first | {"data": first["data"] | {"priority": "urgent"}}
    if together:
        async with clinic.working():
            pass  # makes the streams
        await clinic.publish(first)
        await clinic.publish(second)
    async with clinic.working() as worker:
        if not together:
            await clinic.publish(first)
            await eventually(lambda: clinic.of("transition", patient))
            await clinic.publish(second)
        await eventually(lambda: clinic.of("receipt", patient))
        (accepted,) = await applied(worker, patient)
        (row,) = await worker.store.parked()
    assert json.loads(accepted.raw) == first
    assert json.loads(row.raw) == second
    assert (row.reason, row.source, row.id) == ("id_conflict", first["source"], first["id"])
    assert clinic.of("receipt", patient)[0]["data"]["reason"] == "id_conflict"


async def test_another_source_may_use_the_same_id(clinic: Clinic) -> None:
    patient = new_patient()
    async with clinic.working() as worker:
        await clinic.publish(event(patient))
        await clinic.publish(event(patient, "contact.made", id=f"{patient}-{KIND}", source="/a"))
        await clinic.done(worker)
        assert len(await applied(worker, patient)) == 2
        assert await worker.store.parked() == []


# -- delivered again -------------------------------------------------------------------------------


class Forgetful:
    """Loses the acknowledgements of the first batches, as a crash after the commit would."""

    def __init__(self, batches: int) -> None:
        self.left = batches
        self.lost = 0

    async def __call__(self, messages: list[Msg]) -> None:
        if self.left:
            self.left -= 1
            self.lost += len(messages)
        else:
            await acknowledge(messages)


@pytest.mark.parametrize("asked", ["parked", "all"])
async def test_a_redelivery_parks_applies_and_tells_nothing_twice(
    clinic: Clinic, monkeypatch: pytest.MonkeyPatch, eventually: Eventually, asked: str
) -> None:
    patient = new_patient()
    forgetful = Forgetful(1)
    async with clinic.working():
        pass  # makes the streams
    await clinic.publish_raw(f"{KIND}.{patient}", b"{")
    await clinic.publish(event(patient))
    await clinic.publish(event(patient))
    await clinic.publish(event(patient, source="/ehr/2"))
    await clinic.publish(event(patient, time="2026-01-01T00:00:00Z"))
    monkeypatch.setattr(receive, "acknowledge", forgetful)
    async with clinic.working(receipts=asked) as worker:
        await clinic.done(worker)
        assert forgetful.lost == 5
        assert [row.reason for row in await worker.store.parked()] == ["not_json", "id_conflict"]
        assert len(await applied(worker, patient)) == 2
        expected = Counter({"parked": 2, "applied": 2, "duplicate": 1})
        if asked == "parked":
            expected = Counter({"parked": 2})
        await eventually(lambda: len(clinic.of("receipt", patient)) >= expected.total())
        told = [receipt["data"]["outcome"] for receipt in clinic.of("receipt", patient)]
        assert Counter(told) == expected
        assert len(clinic.of("transition", patient)) == 1


async def test_a_worker_that_died_before_it_acknowledged_parks_nothing_twice(
    clinic: Clinic, monkeypatch: pytest.MonkeyPatch, eventually: Eventually
) -> None:
    patient = new_patient()

    async def never(_: list[Msg]) -> None:
        raise asyncio.CancelledError

    with monkeypatch.context() as dying:
        dying.setattr(receive, "acknowledge", never)
        async with clinic.working() as first:
            await clinic.publish_raw(f"{KIND}.{patient}", b"{")
            await eventually(lambda: clinic.of("receipt", patient))
            assert len(await first.store.parked()) == 1
    async with clinic.working() as second:
        await clinic.done(second)
        assert len(await second.store.parked()) == 1
        assert len(clinic.of("receipt", patient)) == 1


async def test_an_erased_patient_is_refused_without_the_payload_and_nobody_else(
    clinic: Clinic, eventually: Eventually
) -> None:
    gone, here = new_patient(), new_patient()
    async with clinic.working() as worker:
        await clinic.publish(event(gone))
        await clinic.done(worker)
    with closing(sqlite3.connect(clinic.database.removeprefix("sqlite:///"))) as database:
        database.execute("UPDATE patient_keys SET wrapped = x'' WHERE patient = ?", (gone,))
        database.commit()
    async with clinic.working() as worker:
        await clinic.publish(event(gone, "screening.started"))
        await clinic.publish(event(here))
        await clinic.done(worker)
        (row,) = await worker.store.parked()
        assert (row.reason, row.raw) == ("patient_erased", b"")
        assert len(await applied(worker, here)) == 1
        await eventually(lambda: clinic.of("receipt", gone))
        (receipt,) = clinic.of("receipt", gone)
        assert receipt["data"]["reason"] == "patient_erased"


# -- receipts of everything ------------------------------------------------------------------------


async def test_senders_may_ask_for_a_receipt_of_everything(
    clinic: Clinic, eventually: Eventually
) -> None:
    patient = new_patient()
    async with clinic.working(receipts="all"):
        await clinic.publish(event(patient))
        await clinic.publish(event(patient))
        await eventually(lambda: len(clinic.of("receipt", patient)) >= 2)
    reference = {"source": "/ehr/example", "id": f"{patient}-{KIND}"}
    told = sorted((r["data"] for r in clinic.of("receipt", patient)), key=lambda d: d["outcome"])
    assert told == [
        {"event": reference, "outcome": "applied"},
        {"event": reference, "outcome": "duplicate"},
    ]


# -- many ------------------------------------------------------------------------------------------


async def test_a_thousand_malformed_hold_up_none_of_a_thousand_good(clinic: Clinic) -> None:
    patients = [new_patient() for _ in range(20)]
    order = [(patients[number % 20], number) for number in range(1000)]
    async with clinic.working():
        pass  # makes the streams
    for start in range(0, 1000, 100):
        sending = []
        for patient, number in order[start : start + 100]:
            bad = BAD[number % len(BAD)]
            sending.append(publish(clinic, bad, patient))
            sending.append(clinic.publish(event(patient, "contact.made", id=f"{number:04d}")))
        await asyncio.gather(*sending)
    async with clinic.working(sources="/ehr/*,/pathway/*", batch_size=128) as worker:
        await clinic.done(worker)  # far within the time after which the broker delivers again
        counts = await worker.store.counts()
        assert counts["parked"] == 1000
        for patient in patients:
            ids = [row.id for row in await applied(worker, patient)]
            assert ids == [f"{number:04d}" for each, number in order if each == patient]


@pytest.mark.parametrize("step", ["advance", "speak"])
async def test_a_patient_for_whom_a_step_fails_holds_up_nobody_else(
    clinic: Clinic, monkeypatch: pytest.MonkeyPatch, eventually: Eventually, step: str
) -> None:
    """A fault of ours: the patient's events stay at the broker until it is mended."""
    poor, rich = new_patient(), new_patient()
    original = getattr(process, step)

    def broken(*arguments: Any, **named: Any) -> Any:  # noqa: ANN401 - passed on
        if any(getattr(each, "patient", None) == poor for each in arguments):
            raise ZeroDivisionError("a fault of ours")
        return original(*arguments, **named)

    monkeypatch.setattr(receive, "AGAIN", 0.2)
    async with clinic.working():
        pass  # makes the streams
    await clinic.publish(event(poor))
    await clinic.publish(event(rich))
    with monkeypatch.context() as faulty:
        faulty.setattr(process, step, broken)
        async with clinic.working() as worker:
            await eventually(lambda: clinic.of("transition", rich))
            assert await applied(worker, poor) == []
            assert await worker.store.parked() == []
    async with clinic.working() as worker:
        await eventually(lambda: clinic.of("transition", poor))
        assert len(await applied(worker, poor)) == 1
