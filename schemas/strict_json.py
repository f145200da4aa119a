"""JSON with one meaning only: no duplicate keys, no deep nesting, nothing outside RFC 8259."""

import json
from typing import Any, Final

import msgspec

MAX_DEPTH: Final = 32

_SPACE: Final = b" \t\n\r"
_encode = msgspec.json.Encoder().encode


class Malformed(ValueError):  # noqa: N818  read as "raise Malformed"
    """The bytes are not JSON, or not unambiguously so."""


def parse(raw: bytes) -> Any:  # noqa: ANN401  any JSON value
    """Return the value of a JSON text in UTF-8 without a byte order mark.

    Raises:
        Malformed: not JSON, nested deeper than `MAX_DEPTH`, or an object has a key twice.
    """
    try:
        value = msgspec.json.decode(raw)
        if raw.count(b"{") + raw.count(b"[") > MAX_DEPTH:
            _limit_depth(value)
        if b"\\" in raw or _key_ends(raw) != _key_ends(_encode(value)):
            json.loads(raw.decode(), object_pairs_hook=_unique)
    except Malformed:
        raise
    except RecursionError:
        raise Malformed("nested too deep") from None
    except ValueError:
        raise Malformed("not JSON") from None
    return value


def _key_ends(raw: bytes) -> int:
    """Count what ends a key, or looks like that inside a string.

    Without escapes, strings are the same bytes in a text and in what is written of its value: so
    the two counts differ if, and only if, the value has lost a key that stood there twice.
    """
    return raw.translate(None, _SPACE).count(b'":')


def _limit_depth(value: object) -> None:
    level = [value]
    for _ in range(MAX_DEPTH):
        nested = [item for item in level if isinstance(item, dict | list)]
        level = [
            child
            for item in nested
            for child in (item.values() if isinstance(item, dict) else item)
        ]
    if any(isinstance(item, dict | list) for item in level):
        raise Malformed("nested too deep")


def _unique(pairs: list[tuple[str, Any]]) -> None:
    if len(dict(pairs)) != len(pairs):
        raise Malformed("an object has a key twice")
