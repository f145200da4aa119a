"""One patient's case while it is folded: the snapshot, the policy in force, what was said."""

from collections.abc import Mapping

import msgspec

from pathway.conditions import View
from pathway.effects import Effect, Ended, Raised, Resolution
from pathway.policy import Policy
from pathway.record import Cause, Record, Ref, Snapshot


class Case(msgspec.Struct):
    """What the parts of the fold share.

    Attributes:
        cause: the fact or timer being applied.
        view: what conditions may see at this point of the order.
        touched: topics of the record that changed and whose rules are not judged yet.
        reselect: whether the one recommendation must be chosen anew.
    """

    patient: str
    policies: Mapping[str, Policy]
    snapshot: Snapshot
    policy: Policy
    cause: Cause
    view: View
    effects: list[Effect] = []
    touched: set[str] = set()
    reselect: bool = False

    @property
    def record(self) -> Record:
        """The patient."""
        return self.snapshot.record

    def raised(  # noqa: PLR0913 - the fields of the effect
        self,
        kind: str,
        key: str,
        causes: tuple[Ref, ...],
        said: dict[str, object],
        basis: dict[str, object],
        at: int | None = None,
    ) -> None:
        """Say that something came into being now."""
        self.effects.append(
            Raised(
                kind,  # type: ignore[arg-type]
                key,
                self.cause.at if at is None else at,
                self.record.episode,
                self.policy.digest,
                causes,
                said,
                basis,
            )
        )

    def ended(
        self,
        kind: str,
        key: str,
        resolution: Resolution,
        by: dict[str, object] | None = None,
    ) -> None:
        """Say that something ended now."""
        self.effects.append(
            Ended(
                kind,  # type: ignore[arg-type]
                key,
                self.cause.at,
                self.record.episode,
                self.policy.digest,
                self.cause.refs,
                resolution,
                by or {},
            )
        )
