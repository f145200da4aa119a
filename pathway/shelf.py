"""The policies at hand: the one in force for new patients, and every one ever used."""

from collections.abc import Iterable

from pathway.policy import Policy, load
from pathway.store.base import PolicyRow, Store
from schemas import outbound


class PolicyShelf:
    """Policies by digest. Their texts are kept in the database from the first day."""

    def __init__(self, current: Policy) -> None:
        self.current = current
        self.by_digest: dict[str, Policy] = {}
        self.references: dict[str, outbound.PolicyReference] = {}
        self._unsaved: dict[str, PolicyRow] = {}
        self._put(current)
        self._unsaved[current.digest] = _row(current)

    async def load(self, store: Store) -> None:
        """Fetch what the database has. Raises PolicyError if a kept text is unusable."""
        rows = await store.policies()
        for row in rows:
            if row.digest not in self.by_digest:
                self._put(load(row.text))
        self.saved(rows)

    def add(self, policy: Policy) -> None:
        """Have one more at hand; the next commit must write it."""
        if policy.digest not in self.by_digest:
            self._put(policy)
            self._unsaved[policy.digest] = _row(policy)

    def unsaved(self) -> list[PolicyRow]:
        """What the next commit must write."""
        return list(self._unsaved.values())

    def saved(self, rows: Iterable[PolicyRow]) -> None:
        """These are in the database now."""
        for row in rows:
            self._unsaved.pop(row.digest, None)

    def _put(self, policy: Policy) -> None:
        self.by_digest[policy.digest] = policy
        self.references[policy.digest] = outbound.PolicyReference(
            name=policy.name, version=policy.version, digest=policy.digest
        )


def _row(policy: Policy) -> PolicyRow:
    return PolicyRow(policy.digest, policy.name, policy.version, policy.text)
