"""A subscriber's own copy of the audit log, checked with nothing of ours but what is published."""

import base64
import hashlib
import json
import re
from collections.abc import Sequence
from typing import Any

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from tests.acceptance.commands import Up, running_up, until
from tests.acceptance.downstream import Message
from tests.acceptance.events import admission, new_patient

APPENDED, CHECKPOINTED = "care.audit.appended.v1", "care.audit.checkpointed.v1"


def root(leaves: Sequence[bytes]) -> bytes:
    """RFC 6962, section 2.1, word by word."""
    if len(leaves) < 2:
        return leaves[0] if leaves else hashlib.sha256(b"").digest()
    k = 1
    while k * 2 < len(leaves):
        k *= 2
    return hashlib.sha256(b"\x01" + root(leaves[:k]) + root(leaves[k:])).digest()


def hashed(entry: Any) -> bytes:  # noqa: ANN401 - any JSON
    """A leaf's hash. Entries are canonical JSON: keys are ASCII and numbers whole."""
    text = json.dumps(entry, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(b"\x00" + text.encode()).digest()


def signed_head(note: str, vkey: str) -> tuple[int, bytes]:
    """Size and root of a C2SP checkpoint, if the key of this text form signed it."""
    name, _, encoded = vkey.split("+", 2)
    public = Ed25519PublicKey.from_public_bytes(base64.b64decode(encoded)[1:])
    text, _, signatures = note.partition("\n\n")
    (signature,) = re.findall(rf"^— {re.escape(name)} (\S+)$", signatures, re.MULTILINE)
    public.verify(base64.b64decode(signature)[4:], f"{text}\n".encode())
    origin, size, encoded_root = text.split("\n")
    assert origin == name
    return int(size), base64.b64decode(encoded_root)


def kept(messages: Sequence[Message], kind: str) -> list[Any]:
    return [message.data for message in messages if message.event["type"] == kind]


def leaves_of(messages: Sequence[Message]) -> list[bytes]:
    """The log as the announcements tell it; each says where its entries belong."""
    leaves: list[bytes] = []
    for data in kept(messages, APPENDED):
        assert data["first"] == len(leaves)
        leaves += map(hashed, data["entries"])
        if len(leaves) == data["head"]["size"]:
            assert root(leaves).hex() == data["head"]["root"]
    return leaves


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Message], str]:
    """All that was published by a worker that was stopped and started, and its public key."""
    directory = tmp_path_factory.mktemp("log")
    settings = {"clock": "2026-06-01T00:00:00Z", "settle": "0.1", "checkpoint_every": "3600"}
    with running_up(directory, **settings) as up:
        up.publish(*admission(new_patient()))
        until(lambda: newest(up) > 0)  # a new log is signed at once, whatever the interval
        begun = newest(up)
        up.publish(*admission(new_patient()))
        assert newest(up) == begun
        up.stop()  # signs and tells once more
        up.settings["checkpoint_every"] = "0.2"
        up.start()
        first = newest(up)
        assert first > begun
        up.publish(*admission(new_patient()), b"poison")
        until(lambda: newest(up) > first)
        assert up.run("audit", "export", directory / "bundle").code == 0
        key = (directory / "bundle/log.vkey").read_text().strip()
        up.publish(*admission(new_patient()))
        return up.messages(), key


def newest(up: Up) -> int:
    """The size of the newest checkpoint that was published."""
    return max((data["head"]["size"] for data in kept(up.messages(), CHECKPOINTED)), default=0)


def test_the_copy_is_what_every_checkpoint_signs(told: tuple[list[Message], str]) -> None:
    messages, key = told
    leaves = leaves_of(messages)
    notes = kept(messages, CHECKPOINTED)
    assert len(notes) >= 2
    for data in notes:
        size, head = signed_head(data["checkpoint"], key)
        assert (size, head.hex()) == (data["head"]["size"], data["head"]["root"])
        assert root(leaves[:size]) == head
    assert len({data["head"]["size"] for data in notes}) == len(notes), "each is told once"


def test_an_altered_copy_and_a_forged_checkpoint_are_found(
    told: tuple[list[Message], str],
) -> None:
    messages, key = told
    leaves = leaves_of(messages)
    note = kept(messages, CHECKPOINTED)[-1]["checkpoint"]
    size, head = signed_head(note, key)
    assert root([hashed({"kind": "event"}), *leaves[1:size]]) != head
    with pytest.raises(InvalidSignature):
        signed_head(note.replace(f"\n{size}\n", f"\n{size - 1}\n"), key)
