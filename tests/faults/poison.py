"""Messages that nobody may accept, made from the contract's own schemas and from malice.

Each is wrong in one way, so that its reason is known. Some are wrong in their bytes, some in the
envelope, some in the data as the schema of their type says, some in their subject.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from random import Random
from typing import Any, Final

from jsonschema import Draft202012Validator

from tests.faults.protocol import hpub, pub

Fields = dict[str, Any]
DEEP: Final = 20_000
INTERNAL: Final = ("care.time.advanced.v1", "care.policy.adopted.v1")
STRANGE: Final[tuple[object, ...]] = (
    *(None, True, -1, 2**63, 10**30, 1.5, 1e308),
    *("", "\x00", "x" * 5000, "\u202e"),
    *([], [None], {}, {"a": 1}),
)
HEADERS: Final = (
    b"\r\nX-\xff: \xfe",
    b" 503 \xff",
    b"\r\nStatus: 100",
    b"\r\nNats-Msg-Id: \xc3\x28",
)
UNIQUE: Final = b"-%d"  # the broker drops a message whose id it has just seen


@dataclass(slots=True, frozen=True)
class Poison:
    """A line of the protocol, and why its message must be parked."""

    line: bytes
    reason: str


class Kitchen:
    """Makes poison; `schemas` are those of inbound types by name, as JSON Schema."""

    def __init__(self, schemas: dict[str, Fields], chance: Random, prefix: str = "care") -> None:
        self._schemas = schemas
        self._chance = chance
        self._prefix = prefix
        self._names = sorted(set(schemas) - set(INTERNAL))
        self._validators = {name: Draft202012Validator(schemas[name]) for name in self._names}
        self._number = 0

    def make(self, count: int) -> Iterator[Poison]:
        """So many, each another."""
        makers: list[Callable[[str, Fields], Poison]] = [
            self._bad_bytes,
            self._bad_envelope,
            self._bad_data,
            self._bad_data,
            self._bad_subject,
            self._hostile_headers,
        ]
        for number in range(count):
            name = self._chance.choice(self._names)
            self._number += 1
            event = json.loads(json.dumps(self._schemas[name]["examples"][0]))
            event |= {"id": f"poison-{self._number}", "subject": f"x-{self._number % 50}"}
            yield makers[number % len(makers)](name, event)

    # -- one way each --------------------------------------------------------------------------

    def _bad_bytes(self, name: str, event: Fields) -> Poison:
        body = json.dumps(event).encode()
        inside = body[:-1] + b", "
        spoiled = self._chance.choice(
            (
                body[: self._chance.randrange(len(body))],
                b"",
                self._chance.randbytes(200),
                b"\xef\xbb\xbf" + body,
                body + body,
                inside + b'"note": NaN}',
                inside + b'"note": -Infinity}',
                inside + b'"note": 1' + b"0" * 5000 + b".}",
                inside + b'"note": 0x10}',
                inside + b'"note": "M\xfcller"}',
                inside + b'"note": "\xed\xa0\x80"}',
                inside + b'"note": "\\ud800"}',
                inside + b'"note": "a\x00b"}',
                inside + b'"id": "another"}',
                inside + b'"data": {}}',
                inside + b'"note": ' + b"[" * DEEP + b"]" * DEEP + b"}",
                inside + b'"note": ' + b'{"a":' * 5000 + b"1" + b"}" * 5000 + b"}",
                b"{" + b" " * 1000 + b"'single': 'quotes'}",
            )
        )
        return Poison(pub(self._subject(name, event), spoiled), "not_json")

    def _bad_envelope(self, name: str, event: Fields) -> Poison:
        subject = self._subject(name, event)
        changes: tuple[tuple[Fields, str], ...] = (
            ({"specversion": "0.3"}, "not_cloudevent"),
            ({"id": "x" * 129}, "not_cloudevent"),
            ({"id": ""}, "not_cloudevent"),
            ({"id": "a\x00b"}, "not_cloudevent"),
            ({"id": "a\x9fb"}, "not_cloudevent"),
            ({"id": 7}, "not_cloudevent"),
            ({"source": "no uri at all"}, "not_cloudevent"),
            ({"source": "/" + "x" * 256}, "not_cloudevent"),
            ({"type": None}, "not_cloudevent"),
            ({"Extension": "in capitals"}, "not_cloudevent"),
            ({"extension": [1]}, "not_cloudevent"),
            ({"extension": 2**31}, "not_cloudevent"),
            ({"type": f"care.{'z' * 5000}.v1"}, "unknown_type"),
            ({"type": name.replace(".v1", ".v2")}, "unknown_type"),
            ({"type": self._chance.choice(INTERNAL)}, "internal_type"),
            ({"source": "/pathway/clock"}, "source_not_allowed"),
            ({"subject": "a.b"}, "bad_patient_key"),
            ({"subject": "_"}, "bad_patient_key"),
            ({"subject": "x" * 65}, "bad_patient_key"),
            ({"subject": "\u0430"}, "bad_patient_key"),
            ({"subject": None}, "bad_patient_key"),
            ({"subject": "somebody-else"}, "subject_mismatch"),
            ({"time": "2026-02-30T00:00:00Z"}, "bad_time"),
            ({"time": "1999-12-31T23:59:59Z"}, "bad_time"),
            ({"time": "2026-01-05"}, "bad_time"),
            ({"time": 1767600000}, "bad_time"),
            ({"time": "9999-12-31T23:59:59Z"}, "time_in_future"),
            ({"data": None}, "invalid_data"),
            ({"data": [event["data"]]}, "invalid_data"),
            ({"note": "." * 65 * 1024}, "too_large"),
        )
        change, reason = self._chance.choice(changes)
        return Poison(pub(subject, json.dumps(event | change).encode()), reason)

    def _bad_data(self, name: str, event: Fields) -> Poison:
        """Change one field of the data until the type's own schema refuses it."""
        subject = self._subject(name, event)
        for _ in range(100):
            data = json.loads(json.dumps(event["data"]))
            place = data
            key = self._chance.choice(sorted(place))
            while isinstance(place[key], dict) and place[key]:
                place = place[key]
                key = self._chance.choice(sorted(place))
            if self._chance.random() < 1 / 5:
                del place[key]
            else:
                place[key] = self._chance.choice(STRANGE)
            spoiled = event | {"data": data}
            if not self._validators[name].is_valid(spoiled):
                return Poison(pub(subject, json.dumps(spoiled).encode()), "invalid_data")
        return Poison(pub(subject, json.dumps(event | {"data": None}).encode()), "invalid_data")

    def _bad_subject(self, name: str, event: Fields) -> Poison:
        right = self._subject(name, event)
        start, _, patient = right.rpartition(b".")
        subject = self._chance.choice(
            (
                right + b".more",
                start,
                start + b"._",
                start + b".a\x00b",
                start + b".\xff\xfe",
                start + b".\xd0\xb0",
                start + b".*",
                start + b"." + b"y" * 3000,
                f"{self._prefix}.events.x".encode(),
                f"{self._prefix}.events.".encode() + b".".join([b"t"] * 100) + b"." + patient,
                f"{self._prefix}.events.no.such.".encode() + patient,
                start.upper().replace(b"CARE.EVENTS", b"care.events") + b"." + patient,
            )
        )
        return Poison(pub(subject, json.dumps(event).encode()), "subject_mismatch")

    def _hostile_headers(self, name: str, event: Fields) -> Poison:
        headers = self._chance.choice(HEADERS) + UNIQUE % self._number
        return Poison(hpub(self._subject(name, event), headers, b"{"), "not_json")

    def _subject(self, name: str, event: Fields) -> bytes:
        kind = name.removeprefix("care.").removesuffix(".v1")
        return f"{self._prefix}.events.{kind}.{event['subject']}".encode()
