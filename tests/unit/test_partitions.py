"""Which patient belongs where, and which worker should own what."""

import pytest

from pathway.partitions import Share, partition_of
from pathway.store.ownership import DEAD, PartitionRow, Roster, WorkerRow

NOW = 1_000_000_000


def roster(owners: list[str | None], *live: str, dead: tuple[str, ...] = ()) -> Roster:
    """Partitions with these owners, and workers in the order in which they began."""
    workers = [WorkerRow(name, "h", 1, at, NOW) for at, name in enumerate(live)]
    workers += [WorkerRow(name, "h", 1, 0, NOW - DEAD - 1) for name in dead]
    partitions = [PartitionRow(place, 7, owner, 0) for place, owner in enumerate(owners)]
    return Roster(NOW, 1, workers, partitions)


def settled(roster: Roster, rounds: int = 6) -> dict[str, list[int]]:
    """Who owns what after every live worker acted on its plan, in turn, some times."""
    owners = {each.partition: each.worker for each in roster.partitions}
    for _ in range(rounds):
        for worker in roster.live:
            rows = [PartitionRow(place, 7, owner, 0) for place, owner in owners.items()]
            plan = Roster(NOW, 1, roster.workers, rows).plan(worker.name)
            owners |= dict.fromkeys(plan.release) | dict.fromkeys(plan.take, worker.name)
    found: dict[str, list[int]] = {}
    for place, owner in owners.items():
        found.setdefault(str(owner), []).append(place)
    return found


def test_one_worker_takes_everything() -> None:
    assert settled(roster([None] * 8, "a")) == {"a": list(range(8))}


@pytest.mark.parametrize("workers", range(1, 11))
def test_the_parts_differ_by_one_at_most(workers: int) -> None:
    """Whoever joins gets a part, as long as there are as many partitions."""
    names = [f"w{number}" for number in range(workers)]
    found = settled(roster(["w0"] * 8, *names))
    sizes = [len(found.get(name, [])) for name in names]
    assert sum(sizes) == 8
    assert max(sizes) - min(sizes) <= 1
    assert sizes == sorted(sizes, reverse=True), "those longest at work have the larger parts"


def test_what_a_dead_worker_owned_is_free() -> None:
    found = roster(["a", "b", "a", "b"], "b", dead=("a",))
    assert found.plan("b").take == {0: 7, 2: 7}
    assert found.plan("b").release == ()


def test_nobody_takes_from_the_living() -> None:
    found = roster(["a", "a", "a", "a"], "a", "b")
    assert found.plan("b").take == {}, "it waits"
    assert found.plan("a").release == [2, 3]


def test_a_worker_that_counts_as_dead_takes_nothing() -> None:
    assert roster([None, None], "b", dead=("a",)).plan("a").take == {}


def test_a_share_knows_its_patients() -> None:
    share = Share(8, 3, {2: 1, 6: 4})
    assert [partition_of(key, 8) for key in ("p1", "_", "b-0001")] == [2, 6, 3]
    assert (share.owns("p1"), share.owns("_"), share.owns("p2")) == (True, True, False)
    assert Share(1, 1, {0: 1}).owns("anybody")


def test_of_another_epoch_or_deal_nothing_is_kept() -> None:
    share = Share(8, 3, {2: 1, 6: 4})
    assert share.kept(Share(8, 3, {2: 1, 6: 5, 7: 1})) == Share(8, 3, {2: 1})
    assert share.kept(Share(8, 4, {2: 1, 6: 4})) == Share(8, 4)
    assert share.kept(Share(4, 3, {2: 1})) == Share(4, 3)
    assert share.without([6]) == Share(8, 3, {2: 1})
