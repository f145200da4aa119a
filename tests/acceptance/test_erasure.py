"""Erasing a patient, and who looked: through the real command line, down to the bytes on disk."""

import asyncio
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import nats
import pytest
from nats.js.errors import NotFoundError

from tests.acceptance.commands import Up, pathway, rows, running_up
from tests.acceptance.events import event, marked, new_patient

MARK = "zebra-crossing-4711"  # in unknown fields, which are kept sealed and read by no rule


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    with running_up(tmp_path_factory.mktemp("erasure"), checkpoint_every="0.2") as running:
        yield running


def holding(directory: Path, text: str) -> set[str]:
    """Files below a directory in which the text stands as such."""
    found = {path for path in directory.rglob("*") if path.is_file()}
    return {str(p.relative_to(directory)) for p in found if text.encode() in p.read_bytes()}


def published(up: Up, subject: str, raw: bytes) -> None:
    """Publish bytes as a foreign client would."""

    async def send() -> None:
        client = await nats.connect(up.broker)
        await client.jetstream().publish(subject, raw)
        await client.close()

    asyncio.run(send())


def raw(up: Up) -> list[tuple[str, bytes]]:
    """Subjects and bodies of all that is on CARE_OUT."""

    async def look() -> list[tuple[str, bytes]]:
        client = await nats.connect(up.broker)
        js, found, number = client.jetstream(), [], 1
        with suppress(NotFoundError):
            while True:
                message = await js.get_msg("CARE_OUT", seq=number, subject="care.out.>", next=True)
                found.append((message.subject or "", message.data or b""))
                number = (message.seq or 0) + 1
        await client.close()
        return found

    return asyncio.run(look())


def entries(up: Up, kind: str) -> list[dict[str, Any]]:
    """Public audit entries of a kind, from what subscribers get."""
    told = [m.data["entries"] for m in up.messages() if m.event["type"] == "care.audit.appended.v1"]
    return [entry for some in told for entry in some if entry["kind"] == kind]


def test_an_erased_patient_is_gone_to_the_last_byte(up: Up) -> None:
    patient, other = new_patient(), new_patient()
    up.publish(*marked(patient, MARK), *marked(other, MARK))
    published(up, f"care.events.safety.reported.{patient}", f'{{"broken": "{MARK}"'.encode())
    up.settle()
    assert holding(up.data, f'"broken": "{MARK}"') != set()
    assert up.run("erase", patient, "--reason", "request").error == "legal_basis_missing"
    assert up.timeline(patient)["state"] == "iop"

    done = up.run(
        "erase", patient, "--reason", "request", "--legal-basis", "gdpr-17", "--actor", "a7"
    )
    assert (done.out, done.err) == (f"erased {patient}\n", "")
    assert holding(up.data, f"{MARK} {patient}") == set()
    assert holding(up.data, f'"broken": "{MARK}"') == set()

    of_patient = [m for m in up.messages() if m.subject.endswith(f".{patient}")]
    assert [m.event["type"] for m in of_patient] == ["care.patient.erased.v1"]
    assert of_patient[0].data["sequence"] == 4
    (entry,) = entries(up, "erasure")
    assert (entry["actor"], entry["reason"], entry["legal_basis"]) == ("a7", "request", "gdpr-17")
    assert entry["messages"] == [of_patient[0].event["id"]]

    for command in ("timeline", "explain"):
        assert up.run(command, patient).error == "unknown_patient"
    assert up.run("erase", patient, "--reason", "again").error == "already_erased"
    assert up.run("erase", "nobody", "--reason", "again").error == "unknown_patient"
    assert up.timeline(other)["state"] == "iop"

    report = up.run("verify", "--json").json
    assert (report["ok"], report["problems"], report["erased"]) == (True, [], [patient])
    replayed = up.run("replay", "--json").json
    assert (replayed["mismatches"], replayed["erased"]) == (0, 1)


def test_it_is_final_for_that_pseudonym(up: Up) -> None:
    patient = new_patient()
    up.publish(*marked(patient, MARK))
    up.settle()
    up.run("erase", patient, "--reason", "request", "--legal-basis", "x")
    up.publish(event(patient, "contact.made", data={"channel": "phone", "reached": True}))
    up.settle()
    parked = up.run("parked", "list", "--json").json["parked"]
    numbers = [row["number"] for row in parked if row["reason"] == "patient_erased"]
    assert len(numbers) == 1
    assert up.run("parked", "show", str(numbers[0])).out.splitlines()[2:] == [""]
    assert up.run("timeline", patient).error == "unknown_patient"
    assert up.run("verify", "--json").json["ok"]


def test_what_came_back_is_removed_again(up: Up) -> None:
    """As when a broker's backup is restored, or a worker that hung sent what it still held."""
    patient = new_patient()
    up.publish(*marked(patient, MARK))
    up.settle()
    assert up.run("erase", patient, "--again").error == "not_erased"
    assert up.timeline(patient)["state"] == "iop"
    assert up.run("erase", patient).code == 2, "a reason is needed"
    up.run("erase", patient, "--reason", "request", "--legal-basis", "x")
    published(up, f"care.out.alert.{patient}", MARK.encode())
    assert len([m for m in raw(up) if m[0].endswith(patient)]) == 2
    based = up.run("erase", patient, "--again", "--legal-basis", "x")
    assert based.code == 2, "a legal basis would not be recorded"
    done = up.run("erase", patient, "--again")
    assert (done.out, done.err) == (f"erased {patient} again\n", "")
    assert [subject for subject, _ in raw(up) if subject.endswith(patient)] == [
        f"care.out.transition.{patient}"
    ]
    leaves = rows(up.database, f"SELECT leaf FROM audit WHERE patient = '{patient}'")  # noqa: S608
    assert sum(b'"kind":"erasure"' in leaf for (leaf,) in leaves) == 1
    assert up.run("verify", "--json").json["ok"]


def test_every_look_is_an_entry(up: Up) -> None:
    patient = new_patient()
    up.publish(*marked(patient, MARK))
    up.settle()
    up.run("timeline", patient, "--actor", "dr-1", "--purpose", "care")
    pathway("explain", patient, "--data", up.data, actor="auditor-2", purpose="audit")
    up.settle()
    looks = [entry for entry in entries(up, "access") if entry["patient"] == patient]
    assert [(e["actor"], e["what"], e["purpose"]) for e in looks] == [
        ("dr-1", "timeline", "care"),
        ("auditor-2", "explain", "audit"),
    ]
    assert up.run("verify", "--json").json["ok"]
