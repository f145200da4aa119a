import time

import pytest

from handlers.clocks import Clock, parse_clock
from schemas.instants import DAY, SECOND, parse_instant

START = parse_instant("2020-12-22T00:00:00Z")


@pytest.fixture
def passing(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The monotonic clock, in seconds; tests move it."""
    now = [time.monotonic()]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    return now


def test_unset_it_is_the_real_time() -> None:
    before = time.time_ns() // 1000
    assert before <= parse_clock("").now() <= time.time_ns() // 1000
    assert parse_clock("  ").start is None


def test_an_instant_holds_it_there(passing: list[float]) -> None:
    clock = parse_clock("2020-12-22T00:00:00Z")
    passing[0] += 3600
    assert clock.now() == START
    assert clock.seconds_until(START) == 0
    assert clock.seconds_until(START + 1) is None


def test_a_speed_makes_it_run(passing: list[float]) -> None:
    clock = parse_clock("2020-12-22T00:00:00Z x86400")
    passing[0] = clock._origin
    assert clock.now() == START
    passing[0] += 2
    assert clock.now() == START + 2 * DAY
    assert clock.seconds_until(START + 3 * DAY) == pytest.approx(1)
    assert clock.seconds_until(START) == 0


def test_the_real_time_comes_at_its_own_speed() -> None:
    clock = Clock()
    wait = clock.seconds_until(clock.now() + 60 * SECOND)
    assert wait is not None
    assert 59 < wait <= 60


@pytest.mark.parametrize(
    "text",
    [
        "noon",
        "2020-12-22T00:00:00",
        "2020-12-22T00:00:00Z 5",
        "2020-12-22T00:00:00Z fast",
        "2020-12-22T00:00:00Z x",
        "2020-12-22T00:00:00Z x-1",
        "2020-12-22T00:00:00Z xnan",
        "2020-12-22T00:00:00Z xinf",
        "2020-12-22T00:00:00Z x1 x2",
    ],
)
def test_what_makes_no_sense_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_clock(text)
