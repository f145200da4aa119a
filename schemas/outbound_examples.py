"""One complete example of every outbound message type: the patient p-0001."""

import hashlib
from base64 import b64encode
from typing import Any, Final

_POLICY: Final = {
    "name": "iop",
    "version": "1.0.0",
    "digest": hashlib.sha256(b"the policy's text").hexdigest(),
}
_BEFORE: Final = hashlib.sha256(b"the message before").hexdigest()
_ROOT: Final = hashlib.sha256(b"the root of the tree").digest()
_SIGNATURE: Final = (
    "qHn8uLbqWj2KdPluvelXyIo4BeeWFUJkfiXu5D7Ydrsmq909RWi66fK8XN0OJ8JVK9GxBw00932hoHh3EU8P8CSsqQ0="
)
_CHECKPOINT: Final = (
    f"care-pathway-log\n1\n{b64encode(_ROOT).decode()}\n\n— care-pathway-log {_SIGNATURE}\n"
)
_SEAL: Final = hashlib.sha256(b"what is sealed").hexdigest()


def _chained(number: int, sequence: int, at: str, cause: str, **data: object) -> dict[str, Any]:
    return {
        "id": f"00000000-0000-5000-8000-{number:012}",
        "subject": "p-0001",
        "time": at,
        "data": {
            "episode": 1,
            "sequence": sequence,
            "previous": _BEFORE if sequence > 1 else None,
            "effective_at": at,
            "recorded_at": at,
            "late": False,
            "causes": [{"source": "/ehr/example", "id": cause}],
            "policy": _POLICY,
        }
        | data,
    }


_RECOMMENDATION: Final = {
    "recommendation_id": "6f0c8a4e-5f0f-5a53-9d0e-0d9f6d3a1f10",
    "to": "iop",
    "rule": "screen-iop",
    "urgency": "routine",
}
_ALERT: Final = {
    "alert_id": "6f0c8a4e-5f0f-5a53-9d0e-0d9f6d3a1f11",
    "alert": "outreach",
    "severity": "warning",
    "rule": "no-shows-in-a-row",
}

_MESSAGES: Final[dict[str, dict[str, Any]]] = {
    "care.transition.occurred.v1": _chained(
        1,
        3,
        "2026-01-08T17:30:00Z",
        "p-0001-16",
        **{"from": "screening"},
        to="iop",
        basis="decision",
        exceptions=[],
        current={"state": "iop", "since": "2026-01-08T17:30:00Z"},
    ),
    "care.transition.superseded.v1": _chained(
        2,
        4,
        "2026-01-13T08:00:00Z",
        "p-0001-18",
        supersedes="00000000-0000-5000-8000-000000000001",
        current={"state": "screening", "since": "2026-01-06T15:00:00Z"},
    ),
    "care.recommendation.raised.v1": _chained(
        3, 1, "2026-01-06T16:15:00Z", "p-0001-4", **_RECOMMENDATION
    ),
    "care.recommendation.resolved.v1": _chained(
        4, 2, "2026-01-08T17:30:00Z", "p-0001-16", **_RECOMMENDATION, resolution="confirmed"
    ),
    "care.alert.raised.v1": _chained(5, 1, "2026-01-19T20:40:00Z", "p-0001-9", **_ALERT),
    "care.alert.cleared.v1": _chained(
        6, 2, "2026-01-20T14:30:00Z", "p-0001-15", **_ALERT, resolution="closed"
    ),
    "care.receipt.v1": {
        "id": "00000000-0000-5000-8000-000000000007",
        "subject": "p-0001",
        "time": "2026-01-20T14:00:00Z",
        "data": {
            "event": {"source": "/ehr/example", "id": "p-0001-12"},
            "outcome": "parked",
            "reason": "invalid_data",
        },
    },
    "care.audit.appended.v1": {
        "id": "00000000-0000-5000-8000-000000000008",
        "time": "2026-01-05T09:00:00Z",
        "data": {
            "first": 0,
            "entries": [
                {
                    "kind": "event",
                    "format": 1,
                    "recorded_at": "2026-01-05T09:00:00Z",
                    "outcome": "applied",
                    "patient": "p-0001",
                    "event": {
                        "source": "/ehr/example",
                        "id": "p-0001-1",
                        "type": "care.referral.received.v1",
                        "hmac": _SEAL,
                    },
                    "before": None,
                    "after": "referral",
                    "decided": None,
                    "fired": [],
                    "stopped": [],
                    "policy": _POLICY,
                    "engine": 1,
                    "messages": ["00000000-0000-5000-8000-000000000009"],
                    "seal": {"sha256": _SEAL, "hmac": _SEAL},
                }
            ],
            "head": {"size": 1, "root": _ROOT.hex()},
        },
    },
    "care.audit.checkpointed.v1": {
        "id": "00000000-0000-5000-8000-000000000011",
        "time": "2026-01-05T09:00:00Z",
        "data": {"head": {"size": 1, "root": _ROOT.hex()}, "checkpoint": _CHECKPOINT},
    },
    "care.patient.erased.v1": _chained(10, 5, "2033-01-08T09:00:00Z", "p-0001-18"),
}

OUTBOUND_EXAMPLES: Final[dict[str, dict[str, Any]]] = {
    name: {
        "specversion": "1.0",
        "source": "/care/pathway",
        "type": name,
        "datacontenttype": "application/json",
    }
    | message
    for name, message in _MESSAGES.items()
}
