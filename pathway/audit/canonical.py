"""Canonical JSON, RFC 8785: one value, one sequence of bytes, in every language.

Members are sorted by the UTF-16 code units of their keys, numbers are written as ECMAScript
writes them, strings escape only what must be escaped, nothing stands between tokens.
"""

import json
from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Final

import msgspec

from pathway.audit.errors import CanonicalError

MAX_INT: Final = 2**53  # beyond it, JSON numbers are no longer told apart

_NO_EXPONENT: Final = (1e-3, 1e15)
_FIXED_FROM: Final = -6  # ECMAScript writes an exponent below 1e-6 …
_FIXED_TO: Final = 21  # … and from 1e21 on

_sorted = msgspec.json.Encoder(order="sorted").encode
_quoted = json.JSONEncoder(ensure_ascii=False).encode


def canonical(value: object) -> bytes:
    """Return the canonical bytes of a JSON value: None, bool, int, float, str, list, tuple, dict.

    Raises:
        CanonicalError: a number that is not finite, an integer beyond 2**53, a lone surrogate,
            a key that is no string, nesting without end, or a value that JSON does not have.
    """
    try:
        try:
            return _sorted(_plain(value))
        except _OddError:
            return "".join(_pieces(value)).encode()
    except UnicodeEncodeError:
        raise CanonicalError("a string holds a lone surrogate") from None
    except RecursionError:
        raise CanonicalError("nested too deep") from None


def is_canonical(raw: bytes) -> bool:
    """Are these bytes the canonical form of what they say?"""
    try:
        return canonical(msgspec.json.decode(raw)) == raw
    except (ValueError, RecursionError):
        return False


class _OddError(Exception):
    """A value that msgspec would not write as RFC 8785 does."""


def _plain(value: object) -> object:
    """Return what msgspec writes exactly as RFC 8785 does. Raises _OddError.

    It sorts keys by code point, which is the order of UTF-16 for ASCII, and escapes the same
    characters in the same way. Of numbers only integers look alike, and fractions that are
    neither so small nor so large that one of the two writes an exponent.
    """
    kind = type(value)
    if kind is str or value is None or kind is bool:
        return value
    if kind is int:
        if -MAX_INT <= value <= MAX_INT:  # type: ignore[operator]
            return value
    elif kind is dict:
        found = {}
        for key, each in value.items():  # type: ignore[attr-defined]
            if type(key) is not str or not key.isascii():
                raise _OddError
            found[key] = each if type(each) is str else _plain(each)
        return found
    elif kind is list or kind is tuple:
        return [each if type(each) is str else _plain(each) for each in value]  # type: ignore[attr-defined]
    elif kind is float and _NO_EXPONENT[0] <= abs(value) < _NO_EXPONENT[1]:  # type: ignore[arg-type]
        whole = int(value)  # type: ignore[call-overload]
        return whole if whole == value else value
    raise _OddError


def _pieces(value: object) -> Iterator[str]:
    match value:
        case None:
            yield "null"
        case bool():
            yield "true" if value else "false"
        case str():
            yield _quoted(value)
        case int():
            yield _integer(value)
        case float():
            yield number(value)
        case list() | tuple():
            yield "["
            for position, each in enumerate(value):
                yield "," if position else ""
                yield from _pieces(each)
            yield "]"
        case dict():
            yield "{"
            for position, key in enumerate(_sorted_keys(value)):
                yield f"{',' if position else ''}{_quoted(key)}:"
                yield from _pieces(value[key])
            yield "}"
        case _:
            raise CanonicalError(f"JSON has no {type(value).__name__}")


def _sorted_keys(value: Mapping[object, object]) -> list[str]:
    keys = []
    for key in value:
        if not isinstance(key, str):
            raise CanonicalError("a key is no string")
        keys.append(str.__str__(key))
    keys.sort(key=lambda key: key.encode("utf-16-be"))
    if any(first == second for first, second in pairwise(keys)):
        raise CanonicalError("an object has a key twice")
    return keys


def _integer(value: int) -> str:
    if not -MAX_INT <= value <= MAX_INT:
        raise CanonicalError("an integer beyond 2**53")
    return int.__repr__(value)


def number(value: float) -> str:
    """Write a double as ECMAScript's Number::toString does.

    Raises:
        CanonicalError: not finite.
    """
    if value != value or value in {float("inf"), float("-inf")}:  # noqa: PLR0124  NaN alone differs
        raise CanonicalError("a number that is not finite")
    if value == 0:
        return "0"  # of minus zero, too
    sign = "-" if value < 0 else ""
    # repr gives the fewest digits that mean this double, and of those the nearest, as ECMAScript.
    mantissa, _, exponent = float.__repr__(abs(value)).partition("e")
    whole, _, fraction = mantissa.partition(".")
    digits = whole + fraction
    point = len(whole) + int(exponent or 0)  # where the decimal point stands in `digits`
    point -= len(digits) - len(digits.lstrip("0"))
    digits = digits.strip("0")
    return sign + _placed(digits, point)


def _placed(digits: str, point: int) -> str:
    if len(digits) <= point <= _FIXED_TO:
        return digits.ljust(point, "0")
    if 0 < point <= _FIXED_TO:
        return f"{digits[:point]}.{digits[point:]}"
    if _FIXED_FROM < point <= 0:
        return f"0.{'0' * -point}{digits}"
    mantissa = digits if len(digits) == 1 else f"{digits[0]}.{digits[1:]}"
    return f"{mantissa}e{point - 1:+d}"
