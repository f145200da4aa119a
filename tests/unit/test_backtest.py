"""What is the same effect on both sides of a backtest: by what it is and its onset, not by time."""

from hypothesis import given
from hypothesis import strategies as st

from pathway.backtest import Said, compare

ALERT = ("alert", "rule", "outreach")
MOVE = ("transition", "", "iop")


def one(at: int, key: str = "", what: tuple[str, str, str] = ALERT, **more: object) -> Said:
    return Said(what, key or f"{what[1]}-{at}", at, {"severity": "warning"}, **more)  # type: ignore[arg-type]


def told(before: list[Said], after: list[Said]) -> list[tuple[str, int | None, int | None]]:
    return [
        (each.change, each.before and each.before.at, each.after and each.after.at)
        for each in compare(before, after)
    ]


def test_the_same_is_no_difference() -> None:
    assert told([one(1), one(2)], [one(1), one(2)]) == []


def test_one_that_moved_is_earlier_or_later() -> None:
    assert told([one(5)], [one(3)]) == [("earlier", 5, 3)]
    assert told([one(3)], [one(5)]) == [("later", 3, 5)]


def test_an_additional_one_before_does_not_shift_the_others() -> None:
    assert told([one(5), one(9)], [one(2), one(5), one(9)]) == [("new", None, 2)]
    assert told([one(2), one(5), one(9)], [one(5), one(9)]) == [("gone", 2, None)]


def test_between_those_with_the_same_onset_order_decides() -> None:
    before, after = [one(1), one(4), one(9), one(12)], [one(1), one(3), one(9)]
    assert told(before, after) == [("earlier", 4, 3), ("gone", 12, None)]


def test_other_rules_and_targets_are_other_things() -> None:
    assert told([one(1)], [one(1, what=MOVE)]) == [("gone", 1, None), ("new", None, 1)]


def test_what_comes_at_the_same_time_may_end_otherwise() -> None:
    before, after = one(1, ended=("cleared", 5)), one(1, ended=("cleared", 6))
    assert told([before], [after]) == [("otherwise", 1, 1)]


def test_onsets_that_change_places_are_not_the_same_twice() -> None:
    before, after = [one(1, "a"), one(2, "b")], [one(2, "b"), one(3, "a")]
    assert told(before, after) == [("gone", 1, None), ("new", None, 3)]


@given(
    before=st.lists(st.integers(0, 30), unique=True).map(sorted),
    after=st.lists(st.integers(0, 30), unique=True).map(sorted),
)
def test_nothing_is_lost_and_nothing_told_twice(before: list[int], after: list[int]) -> None:
    differences = compare([one(at) for at in before], [one(at) for at in after])
    mine = [each.before.at for each in differences if each.before]
    theirs = [each.after.at for each in differences if each.after]
    assert len(set(mine)) == len(mine)
    assert len(set(theirs)) == len(theirs)
    # What has the same onset on both sides is the same; all else is told.
    assert set(mine) == set(before) - set(after)
    assert set(theirs) == set(after) - set(before)
    assert len(mine) + len(theirs) - len(differences) <= min(len(mine), len(theirs))
