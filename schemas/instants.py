"""Instants: RFC 3339 outside, whole microseconds since the epoch (UTC) inside."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Annotated, Any, Final

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

SECOND: Final = 1_000_000  # microseconds, like everything below
MINUTE: Final = 60 * SECOND
HOUR: Final = 60 * MINUTE
DAY: Final = 24 * HOUR
WEEK: Final = 7 * DAY

# Validation context under which a number is no instant: what arrives as JSON must say its offset.
WIRE: Final[Mapping[str, bool]] = {"wire": True}

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NAIVE_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001  adding to it is what makes formatting fast
_RFC3339 = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T(?:[01][0-9]|2[0-3]):[0-5][0-9]:([0-5][0-9]|60)"
    r"(?:\.[0-9]+)?(?:Z|[+-](?:[01][0-9]|2[0-3]):[0-5][0-9])",
    re.IGNORECASE,
)
_SECONDS = slice(17, 19)  # where RFC 3339 has them


def parse_instant(text: str) -> int:
    """Return the RFC 3339 instant as microseconds since the epoch; finer digits are cut.

    A leap second is the second after it, as in POSIX time.

    Raises:
        ValueError: no RFC 3339 date-time with offset, or outside the years 1 to 9999 UTC.
    """
    match = _RFC3339.fullmatch(text)
    if match is None:
        raise ValueError("not an RFC 3339 date-time with offset")
    leap = match[1] == "60"
    if leap:
        text = f"{text[: _SECONDS.start]}59{text[_SECONDS.stop :]}"
    try:
        since = datetime.fromisoformat(text.upper()) - _EPOCH
    except ValueError:
        raise ValueError("no such date") from None
    instant = (since.days * 86_400 + since.seconds) * SECOND + since.microseconds
    if leap:
        instant += SECOND
        if instant % DAY >= SECOND:
            raise ValueError("no such leap second")
    if not EARLIEST <= instant <= LATEST:
        raise ValueError("outside the years 1 to 9999")
    return instant


def format_instant(us: int) -> str:
    """Return the instant in RFC 3339, UTC, with six digits of a second only if they are not zero.

    Raises:
        OverflowError: outside the years 1 to 9999.
    """
    return (_NAIVE_EPOCH + timedelta(microseconds=us)).isoformat() + "Z"


# The same for an instant that is written many times in a row, such as that of a commit.
format_again = lru_cache(maxsize=4)(format_instant)

EARLIEST: Final = (datetime.min.replace(tzinfo=UTC) - _EPOCH) // timedelta(microseconds=1)
LATEST: Final = (datetime.max.replace(tzinfo=UTC) - _EPOCH) // timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Between:
    """Pydantic annotation: an instant within bounds, both included (microseconds)."""

    first: int = EARLIEST
    last: int = LATEST

    def __get_pydantic_core_schema__(
        self, source: object, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        del source, handler
        return core_schema.with_info_plain_validator_function(
            self._validate,
            serialization=core_schema.plain_serializer_function_ser_schema(
                format_instant, return_schema=core_schema.str_schema(), when_used="json"
            ),
        )

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        del schema, handler
        return {"type": "string", "format": "date-time"}

    def _validate(self, value: object, info: core_schema.ValidationInfo[Any]) -> int:
        if type(value) is str:
            instant = parse_instant(value)
        elif type(value) is int and info.context is not WIRE:
            instant = value
        else:
            raise ValueError("not an RFC 3339 date-time with offset")
        if not self.first <= instant <= self.last:
            raise ValueError("instant out of bounds")
        return instant


# In Python also an int that already is microseconds; in JSON always RFC 3339.
Instant = Annotated[int, Between()]
