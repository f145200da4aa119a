"""Instants: RFC 3339 outside, microseconds inside."""

import contextlib
from datetime import UTC, datetime, timedelta, timezone
from typing import Annotated

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from schemas.instants import (
    DAY,
    EARLIEST,
    LATEST,
    SECOND,
    WEEK,
    WIRE,
    Between,
    Instant,
    format_instant,
    parse_instant,
)

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Visit(BaseModel):
    at: Instant


@given(st.integers(EARLIEST, LATEST))
def test_every_instant_comes_back_from_its_text(us: int) -> None:
    assert parse_instant(format_instant(us)) == us


@given(
    st.datetimes(min_value=datetime(2, 1, 1), max_value=datetime(9998, 12, 31)),  # noqa: DTZ001
    st.integers(-1439, 1439),
)
def test_offsets_are_honored(local: datetime, minutes: int) -> None:
    moment = local.replace(tzinfo=timezone(timedelta(minutes=minutes)))
    assert parse_instant(moment.isoformat()) == (moment - EPOCH) // timedelta(microseconds=1)


@given(st.text())
def test_any_text_is_an_instant_or_a_value_error(text: str) -> None:
    with contextlib.suppress(ValueError):
        assert EARLIEST <= parse_instant(text) <= LATEST


@pytest.mark.parametrize(
    ("text", "us"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("1970-01-01t00:00:01z", SECOND),
        ("1970-01-01T02:00:00.5+02:00", SECOND // 2),
        ("1969-12-31T23:59:59.999999-00:00", -1),
        ("1970-01-01T00:00:00.0000019Z", 1),
        ("1970-01-01T00:00:00." + "0" * 5 + "1" * 60_000 + "Z", 1),
        ("0001-01-01T00:00:00Z", EARLIEST),
        ("9999-12-31T23:59:59.999999Z", LATEST),
        ("2016-12-31T23:59:60Z", parse_instant("2017-01-01T00:00:00Z")),
        ("2017-01-01T01:59:60.25+02:00", parse_instant("2017-01-01T00:00:00.25Z")),
    ],
)
def test_parse(text: str, us: int) -> None:
    assert parse_instant(text) == us


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2020-05-04",
        "2020-05-04T01:35:06",  # no offset
        "2020-05-04 01:35:06Z",
        "2020-05-04T01:35Z",
        "2020-05-04T01:35:06.Z",
        "2020-05-04T01:35:06,5Z",
        "2020-05-04T01:35:06+0200",
        "2020-05-04T01:35:06+02",
        "2020-05-04T01:35:06+24:00",
        "2020-05-04T01:35:06+02:60",
        "2020-05-04T01:35:06+02:00:00",
        "2020-05-04T24:00:00Z",
        "2020-05-04T01:60:00Z",
        "2020-05-04T01:35:60Z",  # no leap second there
        "2020-02-30T00:00:00Z",
        "2020-W19-1T00:00:00Z",
        "20200504T013506Z",
        "0000-01-01T00:00:00Z",
        "0001-01-01T00:00:00+00:01",
        "9999-12-31T23:59:59-00:01",
        "9999-12-31T23:59:60Z",
        "2020-05-04T01:35:06Z\n",
        " 2020-05-04T01:35:06Z",
        "٢٠٢٠-05-04T01:35:06Z",  # digits, but not ASCII
        "1588556106000000",
    ],
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"RFC 3339|no such|outside"):
        parse_instant(text)


@pytest.mark.parametrize(
    ("us", "text"),
    [
        (0, "1970-01-01T00:00:00Z"),
        (-1, "1969-12-31T23:59:59.999999Z"),
        (EARLIEST, "0001-01-01T00:00:00Z"),
        (1, "1970-01-01T00:00:00.000001Z"),
        (WEEK - 7 * DAY + SECOND // 10, "1970-01-01T00:00:00.100000Z"),
    ],
)
def test_format(us: int, text: str) -> None:
    assert format_instant(us) == text


@pytest.mark.parametrize("us", [EARLIEST - 1, LATEST + 1, 10**30])
def test_format_refuses_other_years(us: int) -> None:
    with pytest.raises(OverflowError):
        format_instant(us)


def test_a_model_takes_text_or_microseconds_and_writes_text() -> None:
    assert Visit(at=5) == Visit.model_validate({"at": "1970-01-01T00:00:00.000005Z"})
    assert Visit(at=5).model_dump_json() == '{"at":"1970-01-01T00:00:00.000005Z"}'
    assert Visit(at=5).model_dump() == {"at": 5}
    schema = Visit.model_json_schema()["properties"]["at"]
    assert (schema["type"], schema["format"]) == ("string", "date-time")


@pytest.mark.parametrize("value", [True, 5.0, None, b"1970-01-01T00:00:00Z", LATEST + 1])
def test_a_model_refuses_what_is_no_instant(value: object) -> None:
    with pytest.raises(ValidationError):
        Visit.model_validate({"at": value})


def test_a_number_from_the_wire_is_no_instant() -> None:
    with pytest.raises(ValidationError):
        Visit.model_validate({"at": 5}, context=WIRE)


def test_bounds_are_included() -> None:
    class Bounded(BaseModel):
        at: Annotated[int, Between(first=3, last=5)]

    assert [Bounded(at=us).at for us in (3, 5)] == [3, 5]
    for us in (2, 6):
        with pytest.raises(ValidationError):
            Bounded(at=us)
