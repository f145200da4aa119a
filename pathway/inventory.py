"""Verifying what stands beside log and patients: policies, kept nodes of the tree, numbers."""

from dataclasses import dataclass
from itertools import groupby

from pathway.audit.problems import Finding, Report
from pathway.audit.tree import TILE_HEIGHT, Tree
from pathway.policy import PolicyError, load
from pathway.shelf import PolicyShelf
from pathway.store.base import Numbers, PolicyRow, Store


@dataclass(slots=True, frozen=True)
class Inventory:
    """Checks tables as a whole, beside a running worker."""

    store: Store
    report: Report

    async def policies(self, shelf: PolicyShelf) -> set[str]:
        """Put the kept policies on the shelf, those that are what they claim to be.

        Returns the digests of all that are kept.
        """
        rows = await self.store.policies()
        for row in rows:
            if not _shelved(shelf, row):
                detail = f"the kept text is not that of policy {row.digest}"
                self.report.add(Finding.POLICY_ALTERED, detail)
        return {row.digest for row in rows}

    async def nodes(self, size: int) -> None:
        """The kept nodes, from which proofs are made, against the leaf hashes below them."""
        tree = Tree()
        async for some in self.store.leaves(0, size):
            tree, complete = tree.extend(some)
            for level, group in groupby(sorted(complete), key=lambda node: node.level):
                nodes = list(group)
                kept = await self.store.hashes(level, nodes[0].place, nodes[-1].place + 1)
                if kept != [node.hash for node in nodes]:
                    detail = "kept nodes of the tree are not those of its leaves"
                    self.report.add(Finding.LEAVES_ALTERED, detail, nodes[0].place << level)
                    return

    async def numbers(self) -> None:
        """What the head has counted against what is there."""
        found = await self.store.numbers()
        for what in ["the head is gone"] if found is None else _faults(found):
            self.report.add(Finding.NUMBERS_MISMATCH, what)


def _shelved(shelf: PolicyShelf, row: PolicyRow) -> bool:
    try:
        policy = load(row.text)
    except PolicyError:
        return False
    if (policy.digest, policy.name, policy.version) != (row.digest, row.name, row.version):
        return False
    shelf.add(policy)
    return True


def _faults(found: Numbers) -> list[str]:
    nodes, size = 0, found.tree_size
    while size := size >> TILE_HEIGHT:
        nodes += size
    checks = {
        "journal rows": (found.journal_rows, found.journal_last) == (found.journal,) * 2,
        "messages": (found.outbox_rows, found.outbox_last) == (found.outbox,) * 2,
        "kept nodes of the tree": found.nodes == nodes,
        "commits": max(found.journal_commit, found.entry_commit) <= found.commit,
        "the time of the newest commit": found.journal_recorded_at <= found.recorded_at,
    }
    return [f"{what}: not as the head has it" for what, right in checks.items() if not right]
