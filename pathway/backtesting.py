"""`pathway backtest`: everybody's history under another rule set. Nothing is written, nothing said.

Patients are shared out among processes; each reads the database for itself.
"""

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from pathway.backtest import Change, Compared, What, Window, backtest
from pathway.histories import Source
from pathway.policy import load
from schemas.inbound import reread

loaded = lru_cache(maxsize=1)(load)  # once a process: a share of patients follows another


@dataclass(slots=True)
class Tried:
    """What a backtest found.

    Attributes:
        patients: whose histories were compared.
        changed: those for whom something would be different.
        totals: how many effects of a kind, rule and name would come in which way otherwise.
        erased: patients whose key is no more; `unreadable`: whose journal does not open.
    """

    patients: int = 0
    changed: list[Compared] = field(default_factory=list)
    totals: Counter[tuple[What, Change]] = field(default_factory=Counter)
    erased: int = 0
    unreadable: int = 0

    def add(self, other: "Tried") -> None:
        """Put both together."""
        self.patients += other.patients
        self.changed += other.changed
        self.totals += other.totals
        self.erased += other.erased
        self.unreadable += other.unreadable

    @property
    def moved(self) -> list[Compared]:
        """Those who would be at another level of care today."""
        return [each for each in self.changed if each.moved]


@dataclass(slots=True, frozen=True)
class Trial:
    """What one process needs to know; `text` is the policy to try."""

    source: Source
    text: str
    window: Window


def backtest_some(trial: Trial, patients: Sequence[str]) -> Tried:
    """Backtest these patients; runs in a process of its own."""
    return asyncio.run(_backtest_some(trial, patients))


async def _backtest_some(trial: Trial, patients: Sequence[str]) -> Tried:
    tried, other = Tried(), loaded(trial.text)
    async with trial.source.open() as histories:
        for patient in patients:
            rows = await histories.journal(patient)
            if not rows:
                erased = await histories.erased(patient)
                tried.erased += erased
                tried.unreadable += rows is None and not erased
                continue
            tried.patients += 1
            facts = [reread(row.raw) for row in rows]
            policies, pinned = histories.shelf.by_digest, rows[0].policy
            found = backtest(patient, facts, pinned, policies, other, trial.window)
            if found.changed:
                tried.changed.append(found)
                tried.totals.update((each.what, each.change) for each in found.differences)
    return tried
