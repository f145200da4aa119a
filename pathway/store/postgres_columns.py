"""A column of many rows as one parameter.

The driver asks of every element of an array whether it is an array itself, which takes longer than
all else that a commit costs Python. So words and numbers travel as one text a column; bytes, which
no separator could tell apart, and texts that may hold anything stay arrays.
"""

from collections.abc import Collection, Iterable, Sequence
from typing import Any, Final

from pathway.store.errors import UnstorableError

SEPARATOR: Final = "\x1f"  # no key, id or other word of ours holds a control character
NOTHING: Final = "\x1e"  # stands for NULL


def column(place: int, kind: str) -> str:
    """The SQL of an array, of a parameter that `by_column` made."""
    if kind == "bytea":
        return array(place, kind)
    split = f"string_to_array(${place}::text, chr({ord(SEPARATOR)}), chr({ord(NOTHING)}))"
    # One empty word looks like none at all, and none at all is never sent.
    return f"COALESCE(NULLIF({split}, '{{}}'), '{{\"\"}}')::{kind}[]"


def array(place: int, kind: str) -> str:
    """The SQL of an array, of a parameter that `arrays` made."""
    return f"${place}::{kind}[]"


def by_column(rows: Iterable[Sequence[object]]) -> list[object]:
    """The columns of some rows, each as the parameter that it travels as.

    Raises UnstorableError if a word holds one of the two characters above.
    """
    return [
        values if type(values[0]) is bytes else _joined(values)
        for values in zip(*rows, strict=True)
    ]


def arrays(rows: Iterable[Sequence[object]]) -> list[tuple[object, ...]]:
    """The columns of some rows, each as an array."""
    return list(zip(*rows, strict=True))


def asked(keys: Collection[tuple[str | int, ...]]) -> list[object]:
    """The columns of keys that are looked for; one with such a character is stored nowhere."""
    try:
        return by_column(keys)
    except UnstorableError:
        return by_column(key for key in keys if not any(map(_holds_one, key)))


def _holds_one(part: str | int) -> bool:
    return SEPARATOR in str(part) or NOTHING in str(part)


def _joined(values: Sequence[Any]) -> str:
    try:
        whole, missing = SEPARATOR.join(values), 0
    except TypeError:  # numbers, or a word that is missing
        whole = SEPARATOR.join([NOTHING if each is None else str(each) for each in values])
        missing = values.count(None)
    if whole.count(SEPARATOR) != len(values) - 1 or whole.count(NOTHING) != missing:
        raise UnstorableError("a word holds a control character")
    return whole
