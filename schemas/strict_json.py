"""JSON with one meaning only: no duplicate keys, no deep nesting, nothing outside RFC 8259."""

import json
import re
from typing import Any, Final

import msgspec

MAX_DEPTH: Final = 32

# Every key of every object ends in this; text inside a string may look like it as well.
_KEY_END = re.compile(rb'"[ \t\n\r]*:')


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
        if _key_ends(raw) != _keys(value):
            json.loads(raw.decode(), object_pairs_hook=_unique)
    except Malformed:
        raise
    except RecursionError:
        raise Malformed("nested too deep") from None
    except ValueError:
        raise Malformed("not JSON") from None
    return value


def _key_ends(raw: bytes) -> int:
    """Count what ends a key; never too few, so that no key twice goes unseen."""
    if b" :" in raw or b"\t:" in raw or b"\n:" in raw or b"\r:" in raw:
        return len(_KEY_END.findall(raw))
    return raw.count(b'":')


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


def _keys(value: object) -> int:
    """Count the keys of all objects; the depth is limited by now."""
    if type(value) is dict:
        count, children = len(value), list(value.values())
    elif type(value) is list:
        count, children = 0, value
    else:
        return 0
    for child in children:
        if type(child) is dict or type(child) is list:
            count += _keys(child)
    return count


def _unique(pairs: list[tuple[str, Any]]) -> None:
    if len(dict(pairs)) != len(pairs):
        raise Malformed("an object has a key twice")
