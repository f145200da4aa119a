"""Signed notes and checkpoints: the bytes of Go's note package, and no others."""

import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pathway.audit.checkpoints import Checkpoint, read_checkpoint
from pathway.audit.errors import (
    BadSignatureError,
    KeyFileError,
    MalformedNoteError,
    UnverifiedNoteError,
)
from pathway.audit.notes import Note, SigningKey, VerifierKey, sign
from pathway.audit.tree import Tree

# The example in the documentation of golang.org/x/mod/sumdb/note.
SKEY = "PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz"
VKEY = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
TEXT = (
    "If you think cryptography is the answer to your problem,\n"
    "then you don't know what your problem is.\n"
)
PETER = (
    "\u2014 PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqd"
    "ngotpRZb6KE6RyyBwJnAM=\n"
)
ENOCH = (
    "\u2014 EnochRoot rwz+eBzmZa0SO3NbfRGzPCpDckykFXSdeX+MNtCOXm2/5n2tiOHp+vAF1aGrQ5ovTG01oOTGwn"
    "WLox33WWd1RvMc+QQ=\n"
)
SIGNED = f"{TEXT}\n{PETER}".encode()

# The example in C2SP's signed-note, whose key is not given.
QUASIMODO = (
    "Ognuno sta solo sul cuor della terra\n"
    "trafitto da un raggio di sole:\n\n"
    "ed \u00e8 subito sera.\n\n"
    "\u2014 quasimodo.example/salvatore NnugSzTjtVAewIS+Z/iJhUPeFDkO/5QQ2i5ddnGITLlC+EhfLW9oJKON"
    "rMouFSQU0xMcXxj99ihAQwaqP3ZekRwNtIc=\n"
).encode()
SOFA = (
    "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\n"
    "\u2014 example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5"
    "/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=\n"
).encode()


def test_gos_example_is_signed_byte_for_byte() -> None:
    key = SigningKey.parse(SKEY)
    assert sign(TEXT, [key]) == SIGNED
    assert str(key.public) == VKEY
    assert key.secret_text() == SKEY


def test_gos_example_verifies() -> None:
    key = VerifierKey.parse(VKEY)
    note = Note.parse(SIGNED)
    assert note.verify(key) == [key]
    assert note.text == TEXT
    assert bytes(note) == SIGNED


def test_gos_second_signature_is_added_byte_for_byte() -> None:
    enoch = SigningKey("EnochRoot", bytes(32))
    note = Note.parse(SIGNED)
    twice = sign(note.text, [enoch], note.signatures)
    assert twice == f"{TEXT}\n{PETER}{ENOCH}".encode()
    peter = VerifierKey.parse(VKEY)
    assert Note.parse(twice).verify(peter, enoch.public) == [peter, enoch.public]


def test_a_signature_by_the_same_key_is_replaced() -> None:
    key = SigningKey.parse(SKEY)
    assert sign(TEXT, [key], Note.parse(SIGNED).signatures) == SIGNED


def test_c2sps_examples_are_read() -> None:
    note = Note.parse(QUASIMODO)
    assert note.text.endswith("\n\ned \u00e8 subito sera.\n")
    assert note.signatures[0].name == "quasimodo.example/salvatore"
    checkpoint = Checkpoint.parse(Note.parse(SOFA).text)
    assert (checkpoint.origin, checkpoint.size) == ("example.com/behind-the-sofa", 20852163)
    assert bytes(Note.parse(SOFA)) == SOFA


@pytest.mark.parametrize("position", range(len(VKEY)))
def test_any_other_verifier_key_is_refused(position: int) -> None:
    for key in (VKEY[:position], VKEY[position + 1 :]):
        with pytest.raises(MalformedNoteError):
            VerifierKey.parse(key)
    bent = VKEY[:position] + chr(ord(VKEY[position]) + 1) + VKEY[position + 1 :]
    with pytest.raises(MalformedNoteError):
        VerifierKey.parse(bent)


@pytest.mark.parametrize(
    "key",
    [
        "PeterNeumann+cc469956+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TWBADKEY==",
        "PeterNeumann+173116ae+ZRpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
        "",
        "a+b",
    ],
)
def test_gos_bad_keys_are_refused(key: str) -> None:
    with pytest.raises(MalformedNoteError):
        VerifierKey.parse(key)
    with pytest.raises(MalformedNoteError) as caught:
        SigningKey.parse(f"PRIVATE+KEY+{key}")
    assert key[-20:] not in str(caught.value) or not key


@given(st.data())
def test_a_flipped_byte_is_never_accepted(data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(SIGNED) - 1))
    bent = bytearray(SIGNED)
    bent[place] ^= data.draw(st.integers(1, 255))
    with pytest.raises((MalformedNoteError, UnverifiedNoteError, BadSignatureError)):
        Note.parse(bytes(bent)).verify(VerifierKey.parse(VKEY))


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\n\n",
        TEXT.encode(),
        f"{TEXT}{PETER}".encode(),
        f"{TEXT}\n".encode(),
        f"{TEXT}\n{PETER[:-1]}".encode(),
        f"{TEXT}\t\n{PETER}".encode(),
        f"{TEXT}\n\x1c{PETER}".encode(),
        SIGNED + b"more",
        SIGNED + b"\n",
        SIGNED.replace("\u2014".encode(), b"-"),
        SIGNED.replace(b"AM=", b"AN="),  # Go would pass over the spare bits
        SIGNED.replace(b"PeterNeumann", b"Peter+Neumann"),
        SIGNED.replace(b"PeterNeumann", "Peter\u00a0Neumann".encode()),
        SIGNED.replace(b"PeterNeumann ", b" "),
        f"{TEXT}\n".encode() + b"\xe2\x80\x94 a AAAAAA==\n",
        b"\xff" + SIGNED,
        f"{TEXT}\n{PETER * 101}".encode(),
    ],
)
def test_what_is_no_note_is_refused(raw: bytes) -> None:
    with pytest.raises(MalformedNoteError):
        Note.parse(raw)


def test_a_stranger_with_the_same_name_is_not_believed() -> None:
    stranger = SigningKey.generate("PeterNeumann")
    with pytest.raises(UnverifiedNoteError):
        Note.parse(sign(TEXT, [stranger])).verify(VerifierKey.parse(VKEY))


@pytest.mark.parametrize("text", ["", "no newline", "a\tb\n", "a\r\n"])
def test_what_cannot_be_a_note_is_not_signed(text: str) -> None:
    with pytest.raises(MalformedNoteError):
        sign(text, [SigningKey.parse(SKEY)])


@pytest.mark.parametrize("name", ["", "a b", "a+b", "a\u2003b", "a\nb"])
def test_a_bad_name_gets_no_key(name: str) -> None:
    with pytest.raises(MalformedNoteError):
        SigningKey.generate(name)


def test_a_signing_key_lives_in_a_private_file(tmp_path: Path) -> None:
    path = tmp_path / "log.key"
    key = SigningKey.create(path, "care.example/log")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert SigningKey.from_file(path) == key
    assert key.secret_text() not in repr(key)
    path.write_text("nonsense")
    with pytest.raises(KeyFileError):
        SigningKey.from_file(path)


def test_a_checkpoint_round_trip() -> None:
    key = SigningKey.generate("care.example/log")
    tree, _ = Tree().extend([bytes(32)] * 5)
    checkpoint = Checkpoint.of("care.example/log", tree)
    signed = checkpoint.sign(key)
    assert read_checkpoint(signed, [key.public]) == checkpoint
    assert signed.startswith(b"care.example/log\n5\n")


def test_an_empty_log_has_a_checkpoint() -> None:
    text = Checkpoint.of("log", Tree()).text()
    assert text == "log\n0\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n"
    assert Checkpoint.parse(text).size == 0


def test_extension_lines_are_kept() -> None:
    text = Checkpoint("log", 1, bytes(32), ("more", "and more")).text()
    assert Checkpoint.parse(text).extensions == ("more", "and more")


ROOT = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="


@pytest.mark.parametrize(
    "text",
    [
        "log\n1\n",
        f"\n1\n{ROOT}\n",
        f"log\n01\n{ROOT}\n",
        f"log\n-1\n{ROOT}\n",
        f"log\n+1\n{ROOT}\n",
        f"log\n1_0\n{ROOT}\n",
        f"log\n\u0661\n{ROOT}\n",
        f"log\n1\n{ROOT[:-2]}B=\n",
        "log\n1\nAAAA\n",
        f"log\n1\n{ROOT}\n\n",
        f"log\n1\n{ROOT}",
        f"log\n{'9' * 5000}\n{ROOT}\n",
    ],
)
def test_what_is_no_checkpoint_is_refused(text: str) -> None:
    with pytest.raises(MalformedNoteError):
        Checkpoint.parse(text)
