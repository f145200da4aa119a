"""Entries: what is public, what is sealed, and that the leaf holds both fast."""

import json

import pytest

from pathway.audit.canonical import is_canonical
from pathway.audit.entry import (
    Entry,
    Judged,
    Subject,
    access_entry,
    erasure_entry,
    event_entry,
    open_plaintext,
    open_sealed,
    opens,
    parked_entry,
    policy_entry,
)
from pathway.audit.errors import EntryError, SealError
from pathway.audit.public import EventEntry, ParkedEntry, PolicyEntry, read_public
from pathway.audit.sealing import PatientKey
from pathway.audit.tree import leaf_hash
from tests.unit.audit_logs import PATIENT, POLICY, START

RAW = b'{"type":"care.assessment.completed.v1","data":{"instrument":"PHQ-9","score":21}}'
SUBJECT = Subject("/ehr/example", "e-1", "care.assessment.completed.v1", RAW)


def full() -> Entry:
    return event_entry(
        PATIENT,
        SUBJECT,
        POLICY,
        recorded_at=START,
        engine=3,
        before="iop",
        after="php",
        decided_by="c-7",
        role="physician",
        fired=[Judged("severity.high", 2, {"score": 21, "share": 0.5})],
        stopped=[Judged("attendance.low", 1, {"rate": 0.75})],
        messages=["m-1", "m-2"],
        details={"note": "free text"},
    )


def test_the_leaf_is_the_canonical_public_part() -> None:
    entry = full()
    assert is_canonical(entry.leaf)
    assert entry.hash == leaf_hash(entry.leaf)
    public = json.loads(entry.leaf)
    seal = public.pop("seal")
    mac = public["event"].pop("hmac")
    assert set(seal) == {"sha256", "hmac"}
    assert len(mac) == len(seal["hmac"]) == len(seal["sha256"]) == 64
    assert public == {
        "kind": "event",
        "format": 1,
        "recorded_at": "2026-01-05T08:00:00Z",
        "outcome": "applied",
        "patient": "p-0001",
        "event": {"source": "/ehr/example", "id": "e-1", "type": SUBJECT.type},
        "before": "iop",
        "after": "php",
        "decided": {"by": "c-7", "role": "physician"},
        "fired": [{"id": "severity.high", "version": 2}],
        "stopped": [{"id": "attendance.low", "version": 1}],
        "policy": {"name": "iop", "version": "1.0.0", "digest": POLICY.digest},
        "engine": 3,
        "messages": ["m-1", "m-2"],
    }


@pytest.mark.parametrize("secret", ["PHQ", "score", "21", "0.5", "0.75", "share", "free text"])
def test_nothing_that_discloses_is_public_or_legible(secret: str) -> None:
    entry = full()
    public = json.loads(entry.leaf)
    del public["seal"], public["event"]["hmac"], public["policy"]
    assert secret not in json.dumps(public)
    if len(secret) > 3:
        assert secret.encode() not in entry.sealed


def test_what_is_sealed_opens_with_the_patients_key() -> None:
    assert open_sealed(PATIENT, full()) == {
        "payload": RAW.decode(),
        "fired": [{"id": "severity.high", "version": 2, "inputs": {"score": 21, "share": 0.5}}],
        "stopped": [{"id": "attendance.low", "version": 1, "inputs": {"rate": 0.75}}],
        "note": "free text",
    }


def test_two_entries_of_the_same_event_share_nothing_but_what_is_public() -> None:
    first, second = full(), full()
    assert first.sealed != second.sealed
    assert first.hash != second.hash
    assert read_public(first.leaf).event.hmac == read_public(second.leaf).event.hmac  # type: ignore[union-attr]


def test_the_same_payload_under_another_reference_is_not_recognized() -> None:
    other = Subject("/ehr/example", "e-2", SUBJECT.type, RAW)
    arguments = {"recorded_at": START, "engine": 1, "before": None, "after": None}
    entries = [
        event_entry(key, subject, POLICY, **arguments)  # type: ignore[arg-type]
        for key in (PATIENT, PatientKey.create("p-0001"))
        for subject in (SUBJECT, other)
    ]
    macs = {json.loads(entry.leaf)["event"]["hmac"] for entry in entries}
    assert len(macs) == 4


def test_a_wrong_key_or_altered_bytes_do_not_open() -> None:
    entry = full()
    with pytest.raises(SealError):
        open_sealed(PatientKey.create("p-0001"), entry)
    with pytest.raises(SealError):
        open_sealed(PATIENT, Entry(entry.leaf, entry.sealed[:-1] + bytes([entry.sealed[-1] ^ 1])))
    with pytest.raises(SealError):
        open_sealed(PATIENT, Entry(entry.leaf, full().sealed))
    bent = entry.leaf.replace(json.loads(entry.leaf)["seal"]["hmac"].encode(), b"0" * 64)
    with pytest.raises(SealError):
        open_sealed(PATIENT, Entry(bent, entry.sealed))


def test_an_auditor_checks_opened_content_with_the_entrys_key_alone() -> None:
    entry = full()
    public = read_public(entry.leaf)
    assert isinstance(public, EventEntry)
    plaintext = open_plaintext(PATIENT, entry)
    key = PATIENT.entry_key("/ehr/example", "e-1")
    assert opens(public, key, plaintext)
    assert not opens(public, key, plaintext.replace(b"21", b"20"))
    assert not opens(public, PATIENT.entry_key("/ehr/example", "e-2"), plaintext)


def test_a_payload_kept_elsewhere_is_not_sealed_again() -> None:
    entry = event_entry(
        PATIENT,
        SUBJECT,
        POLICY,
        recorded_at=START,
        engine=1,
        before=None,
        after="referral",
        keep_payload=False,
    )
    assert entry.sealed == b""
    assert json.loads(entry.leaf)["seal"] is None
    with pytest.raises(EntryError):
        open_sealed(PATIENT, entry)


def test_the_other_kinds_read_back() -> None:
    entries = [
        parked_entry(
            recorded_at=START,
            reason="not_json",
            stream_sequence=9,
            receipt="r",
            event=("/a", "b"),
        ),
        access_entry(recorded_at=START, patient=None, actor="u", what="audit export", purpose="x"),
        erasure_entry(
            recorded_at=START, patient="p", actor="u", reason="r", legal_basis="b", messages=["m"]
        ),
        policy_entry(recorded_at=START, policy=POLICY, signed_by="u"),
    ]
    kinds = []
    for entry in entries:
        assert is_canonical(entry.leaf)
        assert entry.sealed == b""
        kinds.append(read_public(entry.leaf).__class__.__name__)
        with pytest.raises(EntryError):
            open_sealed(PATIENT, entry)
    assert kinds == ["ParkedEntry", "AccessEntry", "ErasureEntry", "PolicyEntry"]
    parked = read_public(entries[0].leaf)
    assert isinstance(parked, ParkedEntry)
    assert parked.event is not None
    assert parked.event.id == "b"
    adopted = read_public(entries[3].leaf)
    assert isinstance(adopted, PolicyEntry)
    assert adopted.policy == POLICY


@pytest.mark.parametrize("leaf", [b"", b"{}", b'{"kind":"other"}', b"[1]", b'{"kind":"event"}'])
def test_what_is_no_entry_is_refused(leaf: bytes) -> None:
    with pytest.raises(EntryError):
        read_public(leaf)
