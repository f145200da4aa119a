"""Sealing: only the patient's key opens, nothing can be bent, rotation seals nothing again."""

import base64
import hmac
import os
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pathway.audit.errors import KeyFileError, SealError, UnknownMasterKeyError
from pathway.audit.sealing import KeyRing, MasterKey, PatientKey, hmac_sha256, master_id

KEY = PatientKey("p-1", bytes(range(32)))
MASTER = MasterKey(bytes(32))


@given(st.binary())
def test_what_is_sealed_opens(plaintext: bytes) -> None:
    sealed = KEY.seal(plaintext, "/ehr", "e-1")
    assert KEY.open(sealed, "/ehr", "e-1") == plaintext
    assert len(sealed) == 1 + 12 + len(plaintext) + 16


def test_the_same_is_sealed_differently_each_time() -> None:
    assert len({KEY.seal(b"", "/ehr", "e-1") for _ in range(100)}) == 100


def test_another_key_patient_source_or_id_does_not_open() -> None:
    sealed = KEY.seal(b"secret", "/ehr", "e-1")
    others = [
        (PatientKey.create("p-1"), "/ehr", "e-1"),
        (PatientKey("p-2", KEY.secret), "/ehr", "e-1"),
        (KEY, "/ehr/", "e-1"),
        (KEY, "/ehr", "e-2"),
        (KEY, "/ehr\0e-1", ""),
    ]
    for key, source, event in others:
        with pytest.raises(SealError):
            key.open(sealed, source, event)


@given(st.data())
def test_a_flipped_bit_is_noticed(data: st.DataObject) -> None:
    sealed = KEY.seal(b"secret", "/ehr", "e-1")
    place = data.draw(st.integers(0, len(sealed) * 8 - 1))
    bent = bytearray(sealed)
    bent[place // 8] ^= 1 << place % 8
    with pytest.raises(SealError):
        KEY.open(bytes(bent), "/ehr", "e-1")
    with pytest.raises(SealError):
        KEY.open(sealed[: place // 8], "/ehr", "e-1")


@given(st.binary(max_size=64), st.binary())
def test_the_hmac_is_that_of_the_standard(key: bytes, message: bytes) -> None:
    assert hmac_sha256(key, message) == hmac.digest(key, message, "sha256")


def test_each_entry_has_an_hmac_key_of_its_own() -> None:
    keys = {
        KEY.entry_key("/ehr", "e-1"),
        KEY.entry_key("/ehr", "e-2"),
        KEY.entry_key("/ehr2", "e-1"),
        PatientKey.create("p-1").entry_key("/ehr", "e-1"),
    }
    assert len(keys) == 4
    assert KEY.entry_key("/ehr", "e-1") == KEY.entry_key("/ehr", "e-1")


def test_no_secret_is_shown() -> None:
    shown = repr(KEY) + repr(MASTER)
    assert repr(KEY.secret) not in shown
    assert repr(MASTER.secret) not in shown


def test_a_key_is_wrapped_for_its_patient_only() -> None:
    wrapped = MASTER.wrap(KEY)
    assert len(wrapped) == 69
    assert KEY.secret not in wrapped
    assert MASTER.unwrap(wrapped, "p-1") == KEY
    with pytest.raises(SealError):
        MASTER.unwrap(wrapped, "p-2")
    with pytest.raises(UnknownMasterKeyError):
        MasterKey(os.urandom(32)).unwrap(wrapped, "p-1")
    for place in range(len(wrapped)):
        bent = bytearray(wrapped)
        bent[place] ^= 1
        with pytest.raises((SealError, UnknownMasterKeyError)):
            MASTER.unwrap(bytes(bent), "p-1")
    with pytest.raises(SealError):
        MASTER.unwrap(wrapped[:-1], "p-1")


def test_rotation_wraps_again_and_seals_nothing() -> None:
    new = MasterKey(bytes(range(32)))
    ring = KeyRing(new, [MASTER])
    sealed = KEY.seal(b"secret", "/ehr", "e-1")
    wrapped = ring.rewrap(MASTER.wrap(KEY), "p-1")
    assert wrapped is not None
    assert master_id(wrapped) == new.id != MASTER.id
    assert KeyRing(new).unwrap(wrapped, "p-1").open(sealed, "/ehr", "e-1") == b"secret"
    assert ring.rewrap(wrapped, "p-1") is None
    assert ring.unwrap(MASTER.wrap(KEY), "p-1") == KEY
    assert ring.unwrap(ring.wrap(KEY), "p-1") == KEY
    with pytest.raises(UnknownMasterKeyError):
        KeyRing(new).rewrap(MASTER.wrap(KEY), "p-1")


def test_a_master_key_is_created_for_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "master.key"
    umask = os.umask(0)
    try:
        key = MasterKey.create(path)
    finally:
        os.umask(umask)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert MasterKey.from_file(path) == key
    with pytest.raises(KeyFileError):
        MasterKey.create(path)
    path.chmod(0o640)
    with pytest.raises(KeyFileError, match="chmod 600"):
        MasterKey.from_file(path)


@pytest.mark.parametrize("content", [b"", b"short", b"\xff" * 44, base64.b64encode(bytes(31))])
def test_a_file_without_a_key_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "master.key"
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(KeyFileError):
        MasterKey.from_file(path)


def test_a_missing_file_or_folder_is_refused(tmp_path: Path) -> None:
    for path in (tmp_path / "none", tmp_path):
        with pytest.raises(KeyFileError):
            MasterKey.from_file(path)
    with pytest.raises(KeyFileError):
        MasterKey.create(tmp_path / "no" / "folder")


def test_a_master_key_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_KEY", base64.b64encode(MASTER.secret).decode() + "\n")
    assert MasterKey.from_environment("SOME_KEY") == MASTER
    monkeypatch.setenv("SOME_KEY", "c2hvcnQ=")
    with pytest.raises(KeyFileError, match="SOME_KEY") as caught:
        MasterKey.from_environment("SOME_KEY")
    assert "c2hvcnQ" not in str(caught.value)
    with pytest.raises(KeyFileError):
        MasterKey.from_environment("UNSET_KEY")


def test_keys_of_another_length_are_refused() -> None:
    with pytest.raises(SealError):
        PatientKey("p-1", b"short")
    with pytest.raises(KeyFileError):
        MasterKey(b"short")
