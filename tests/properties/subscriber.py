"""A downstream party that believes nothing: it checks every chain and keeps what stands.

It shares no code with the ledger: JSON, SHA-256 and sets.
"""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from pathway.store.base import OutboxRow
from schemas.outbound import OUTBOUND_TYPES

CONTRADICTED = "placement_contradicted"


@dataclass
class Subscriber:
    """What one patient's messages say.

    Attributes:
        moves: message id -> transition that was told and not superseded.
        alerts, recommendations: id -> what stands.
        current: of the last transition message.
    """

    moves: dict[str, dict[str, Any]] = field(default_factory=dict)
    alerts: dict[str, dict[str, Any]] = field(default_factory=dict)
    recommendations: dict[str, dict[str, Any]] = field(default_factory=dict)
    current: dict[str, Any] | None = None
    seen: set[str] = field(default_factory=set)
    heads: dict[str, tuple[int, str]] = field(default_factory=dict)

    def hear(self, rows: Iterable[OutboxRow]) -> None:
        for row in rows:
            self._check(row)
            message = json.loads(row.body)
            handle = getattr(self, "_" + message["type"].split(".")[1])
            handle(message["type"].split(".")[2], message["id"], message["data"])

    def _check(self, row: OutboxRow) -> None:
        """The chain has no gap, the link fits, the message keeps to its schema."""
        message = json.loads(row.body)
        OUTBOUND_TYPES[message["type"]].model_validate_json(row.body)
        sequence, previous = self.heads.get(row.subject, (0, None))
        data = message["data"]
        assert (data["sequence"], data["previous"]) == (sequence + 1, previous)
        assert row.sequence == data["sequence"]
        self.heads[row.subject] = (sequence + 1, hashlib.sha256(row.body).hexdigest())
        assert message["id"] == row.id
        assert row.id not in self.seen
        self.seen.add(row.id)

    def _transition(self, verb: str, message_id: str, data: dict[str, Any]) -> None:
        self.current = data["current"]
        if verb == "occurred":
            self.moves[message_id] = data
        else:
            del self.moves[data["supersedes"]]

    def _alert(self, verb: str, _: str, data: dict[str, Any]) -> None:
        self._stand(self.alerts, data["alert_id"], data, raised=verb == "raised")

    def _recommendation(self, verb: str, _: str, data: dict[str, Any]) -> None:
        key = data["recommendation_id"]
        self._stand(self.recommendations, key, data, raised=verb == "raised")

    @staticmethod
    def _stand(
        table: dict[str, dict[str, Any]], key: str, data: dict[str, Any], *, raised: bool
    ) -> None:
        if raised:
            assert key not in table, "raised while it stands"
            table[key] = data
        else:
            table.pop(key, None)  # what ended may be told again with another outcome
