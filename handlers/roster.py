"""Who works on what, put for people and for programs."""

from collections.abc import Sequence
from typing import Any, Final

from handlers.lag import Lag
from pathway.store.ownership import Roster
from schemas.instants import format_instant

SECOND: Final = 1_000_000  # µs


def told(roster: Roster, lags: Sequence[Lag]) -> dict[str, Any]:
    """The roster as JSON; lags are null where the broker was not asked or did not answer."""
    live = {each.name for each in roster.live}
    by_partition = {each.partition: each for each in lags}
    return {
        "workers": [
            {
                "worker": each.name,
                "host": each.host,
                "pid": each.pid,
                "started_at": format_instant(each.started_at),
                "seen_at": format_instant(each.seen_at),
                "unseen_seconds": round((roster.now - each.seen_at) / SECOND, 1),
                "alive": each.name in live,
                "partitions": [p.partition for p in roster.partitions if p.worker == each.name],
            }
            for each in roster.workers
        ],
        "partitions": [
            {
                "partition": each.partition,
                "epoch": each.epoch,
                "worker": each.worker or None,
                "since": None if each.since is None else format_instant(each.since),
                "waiting": lag.waiting if lag else None,
                "unacknowledged": lag.unacknowledged if lag else None,
            }
            for each in roster.partitions
            for lag in [by_partition.get(each.partition)]
        ],
    }


def lines(found: dict[str, Any]) -> list[str]:
    """The same for a person: a line for each partition, then one for each worker."""
    shown = []
    for each in found["partitions"]:
        owner = each["worker"] or "nobody"
        lag = "?" if each["waiting"] is None else f"{each['waiting'] + each['unacknowledged']:,}"
        since = each["since"] or "-"
        shown.append(f"partition {each['partition']:2}  {owner}  since {since}  lag {lag}")
    for each in found["workers"]:
        state = "alive" if each["alive"] else "dead"
        seen = f"seen {each['unseen_seconds']} s ago"
        shown.append(f"{state}  {each['worker']}  {seen}  owns {len(each['partitions'])}")
    return shown
