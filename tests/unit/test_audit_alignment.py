"""Naming what differs between the log and what is there."""

import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pathway.audit.alignment import LIMIT, WINDOW, Alignment
from pathway.audit.problems import Finding

HASHES = [b"%032d" % number for number in range(3000)]


def problems(known: list[bytes], found: list[bytes], batch: int = 64) -> list[tuple[Finding, int]]:
    alignment = Alignment()
    for start in range(0, max(len(known), len(found)), batch):
        alignment.feed(known[start : start + batch], found[start : start + batch])
    return [(each.name, each.index or 0) for each in alignment.finish()]


@pytest.mark.parametrize("at", [0, 5, 600, 2998, 2999])
def test_one_entry_altered_removed_or_inserted(at: int) -> None:
    new = b"x" * 32
    assert problems(HASHES, [*HASHES[:at], new, *HASHES[at + 1 :]]) == [(Finding.ENTRY_ALTERED, at)]
    assert problems(HASHES, [*HASHES[:at], *HASHES[at + 1 :]]) == [(Finding.ENTRY_REMOVED, at)]
    assert problems(HASHES, [*HASHES[:at], new, *HASHES[at:]]) == [(Finding.ENTRY_INSERTED, at)]


@pytest.mark.parametrize(("first", "second"), [(0, 1), (3, 7), (0, 2999), (10, 2000)])
def test_two_entries_swapped(first: int, second: int) -> None:
    found = [*HASHES]
    found[first], found[second] = found[second], found[first]
    named = problems(HASHES, found)
    assert {name for name, _ in named} == {Finding.ENTRY_REORDERED}
    assert {index for _, index in named} <= {first, second}


def test_nothing_differs() -> None:
    assert problems(HASHES, HASHES) == []
    assert problems([], []) == []


def test_a_tail_cut_off_or_added() -> None:
    assert problems(HASHES, HASHES[:2990]) == [
        (Finding.ENTRY_REMOVED, place) for place in range(2990, 3000)
    ]
    assert problems(HASHES[:2990], HASHES) == [
        (Finding.ENTRY_INSERTED, place) for place in range(2990, 3000)
    ]


def test_several_at_once() -> None:
    found = [*HASHES]
    found[100] = b"a" * 32
    del found[200:202]
    found.insert(300, b"b" * 32)
    assert problems(HASHES, found) == [
        (Finding.ENTRY_ALTERED, 100),
        (Finding.ENTRY_REMOVED, 200),
        (Finding.ENTRY_REMOVED, 201),
        (Finding.ENTRY_INSERTED, 300),
    ]


@given(
    st.lists(st.integers(0, 40), max_size=60),
    st.lists(st.integers(0, 40), max_size=60),
    st.integers(1, 70),
)
def test_a_difference_never_goes_unnoticed(known: list[int], found: list[int], batch: int) -> None:
    named = problems([HASHES[each] for each in known], [HASHES[each] for each in found], batch)
    assert bool(named) == (known != found)


def test_a_log_of_lies_takes_bounded_memory_and_time() -> None:
    alignment = Alignment()
    tracemalloc.start()
    for batch in range(500):
        alignment.feed([b"k%d.%d" % (batch, n) for n in range(256)], [b"f" * 32] * 256)
    named = alignment.finish()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert alignment.given_up
    assert LIMIT <= len(named) <= LIMIT + WINDOW
    assert peak < 2_000_000
