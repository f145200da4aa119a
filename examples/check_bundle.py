"""Auditors: check a bundle with none of the program's code.

    python examples/check_bundle.py BUNDLE [PUBLIC_KEY]

Needs Python and the package `cryptography`. It is the section on bundles of docs/auditors.md, step
by step. Without a key the bundle's own is believed. Exit code 1: something does not hold.
Exit code 0 speaks of what is proven; what is not is counted beside it.
"""

# ruff: noqa: INP001, T201 - a script, and it prints

import base64
import hashlib
import hmac
import json
import sys
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

PART = "a part of the log, of which nothing shows that it is complete"
SEALED = "entries with the bytes that were sealed"
WITHHELD = "entries without the bytes that were sealed (erased or left out): unproven"
NOTHING = "entries that seal nothing"


def main(directory: Path, key: str | None) -> None:
    """Check everything that the bundle proves about itself, and count what it does not prove."""
    manifest = json.loads((directory / "manifest.json").read_bytes())
    for name, digest in manifest["files"].items():
        hold(sha256((directory / name).read_bytes()).hex() == digest, f"{name} is as listed")
        if name.startswith("policies/"):
            hold(name == f"policies/{digest}.yaml", f"{name} is the text of that digest")
    key = key or (directory / "log.vkey").read_text().strip()
    signed = list(lines(directory / "checkpoints.jsonl"))
    hold(bool(signed), "something is signed")
    heads = [opened(line["note"], key) for line in signed]
    seals = Counter[str]()
    if manifest["whole"]:  # nothing signs this word: each kind has to prove all of its lines
        count = whole(directory, heads, seals)
        newer = count - heads[-1][0]
    else:
        for (old, new), line in zip(pairwise(heads), signed[1:], strict=True):
            path = list(map(base64.b64decode, line["consistency"]))
            hold(extends(old, new, path), f"checkpoint {new[0]} extends {old[0]}")
        count, newer = part(directory, heads[-1], seals), 0
    tell("the whole log" if manifest["whole"] else PART, count, len(heads), newer, seals)


def tell(kind: str, count: int, heads: int, newer: int, seals: Counter[str]) -> None:
    """What was proven and, as loudly, what was not."""
    print(f"{kind}: {count} entries, {heads} checkpoints")
    print(f"{count - newer} entries proven, {newer} unproven (newer than the last checkpoint)")
    for each in (SEALED, WITHHELD, NOTHING):
        print(f"{seals[each]} {each}")
    short = newer or seals[WITHHELD]
    print("what could be checked holds; the rest is unproven" if short else "all hold")


def whole(directory: Path, heads: list[tuple[int, bytes]], seals: Counter[str]) -> int:
    """How many entries a whole log has, which is the one that every checkpoint signs."""
    hashes = []
    for place, line in enumerate(lines(directory / "entries.jsonl")):
        hold(line["index"] == place, f"entry {place} is numbered so")
        hashes.append(checked(line, seals))
    leaves = (directory / "leaves.bin").read_bytes()
    hold(b"".join(hashes) == leaves, "the leaves are those of the entries")
    for at, head in heads:
        hold(tree(hashes[:at]) == head, f"the first {at} entries are what was signed")
    return len(hashes)


def part(directory: Path, head: tuple[int, bytes], seals: Counter[str]) -> int:
    """How many entries a part has, each of them in the log that the last checkpoint signs."""
    (size, root), before, count = head, -1, 0
    for line in lines(directory / "entries.jsonl"):
        what, index = f"entry {line['index']}", line["index"]
        hold(before < index < size and "proof" in line, f"{what} has its place and a proof")
        proof = list(map(base64.b64decode, line["proof"]))
        hold(included(checked(line, seals), index, size, proof) == root, f"{what} is in the log")
        before, count = index, count + 1
    return count


def opened(note: str, key: str) -> tuple[int, bytes]:
    """The size and root of the tree that a checkpoint signs."""
    text, signatures = note.split("\n\n")
    name, _, public = key.split("+", 2)
    signed = [line for line in signatures.splitlines() if line.startswith(f"\u2014 {name} ")]
    verifier = Ed25519PublicKey.from_public_bytes(base64.b64decode(public)[1:])
    try:
        verifier.verify(base64.b64decode(signed[0].split(" ")[2])[4:], f"{text}\n".encode())
    except (InvalidSignature, IndexError):
        hold(False, f"checkpoint signed by {name}")  # noqa: FBT003
    _, size, root = text.split("\n")[:3]
    return int(size), base64.b64decode(root)


def checked(line: dict[str, Any], seals: Counter[str]) -> bytes:
    """An entry's leaf hash, after everything that its line says besides was checked."""
    entry, what = line["entry"], f"entry {line['index']}"
    seal, sealed = entry.get("seal"), line["sealed"]
    if sealed is not None:
        right = seal is not None and sha256(base64.b64decode(sealed)).hex() == seal["sha256"]
        hold(right, f"{what} has the bytes that were sealed")
    seals[NOTHING if seal is None else WITHHELD if sealed is None else SEALED] += 1
    for name, told in (("event", "is about this event"), ("opened", "sealed this")):
        if name in line:
            hold("key" in line and commits(entry, name, line), f"{what} {told}")
    return sha256(b"\0", canonical(entry))


def commits(entry: dict[str, Any], name: str, line: dict[str, Any]) -> bool:
    """Is this the event, or the opened content, whose HMAC the entry has."""
    key, value = bytes.fromhex(line["key"]), line[name]
    if name == "event":
        made, by = mac(key, b"event\0" + base64.b64decode(value)), entry.get("event")
    else:
        made, by = mac(key, b"sealed\0" + canonical(value)), entry.get("seal")
    return by is not None and by.get("hmac") == made


def included(leaf: bytes, index: int, size: int, proof: list[bytes]) -> bytes:
    """The root that an inclusion proof leads to: RFC 9162, section 2.1.3.2."""
    last = size - 1
    for each in proof:
        if not last:
            return b""
        if index & 1 or index == last:
            leaf = sha256(b"\1", each, leaf)
            while index and not index & 1:
                index, last = index >> 1, last >> 1
        else:
            leaf = sha256(b"\1", leaf, each)
        index, last = index >> 1, last >> 1
    return leaf if last == 0 else b""


def extends(old: tuple[int, bytes], new: tuple[int, bytes], proof: list[bytes]) -> bool:
    """Does a tree begin with another: RFC 9162, section 2.1.4.2."""
    if old[0] == new[0]:
        return old[1] == new[1]
    if old[0] & (old[0] - 1) == 0:
        proof = [old[1], *proof]
    index, last = old[0] - 1, new[0] - 1
    while index & 1:
        index, last = index >> 1, last >> 1
    begins = ends = proof[0]
    for each in proof[1:]:
        if index & 1 or index == last:
            begins, ends = sha256(b"\1", each, begins), sha256(b"\1", each, ends)
            while index and not index & 1:
                index, last = index >> 1, last >> 1
        else:
            ends = sha256(b"\1", ends, each)
        index, last = index >> 1, last >> 1
    return (begins, ends, last) == (old[1], new[1], 0)


def tree(leaves: list[bytes]) -> bytes:
    """The root over leaf hashes: RFC 9162, section 2.1.1."""
    if len(leaves) <= 1:
        return leaves[0] if leaves else sha256()
    half = 1 << (len(leaves) - 1).bit_length() - 1
    return sha256(b"\1", tree(leaves[:half]), tree(leaves[half:]))


def lines(path: Path) -> Iterator[dict[str, Any]]:
    """JSON Lines."""
    with path.open(encoding="utf-8") as file:
        yield from map(json.loads, file)


def canonical(value: object) -> bytes:
    """RFC 8785 of what a bundle has: plain numbers, keys of ASCII."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def sha256(*parts: bytes) -> bytes:
    """Of the parts, one after another."""
    return hashlib.sha256(b"".join(parts)).digest()


def mac(key: bytes, message: bytes) -> str:
    """HMAC-SHA256, in hex."""
    return hmac.new(key, message, "sha256").hexdigest()


def hold(right: bool, what: str) -> None:  # noqa: FBT001
    """End with exit code 1 unless it is so."""
    if not right:
        sys.exit(f"DOES NOT HOLD: {what}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2] if sys.argv[2:] else None)
