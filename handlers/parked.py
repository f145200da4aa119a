"""Parked events: look, send again, throw away."""

from collections.abc import AsyncIterator, Iterable

from handlers.publish import Letter
from pathway.store.base import ParkedRow


async def letters(rows: Iterable[ParkedRow]) -> AsyncIterator[Letter]:
    """Parked messages as they came, to the subject where they came from."""
    for row in rows:
        yield Letter(row.subject, row.raw, {})


def listed(rows: Iterable[ParkedRow]) -> list[dict[str, object]]:
    """What a list shows; never the payload."""
    return [
        {
            "number": row.stream_sequence,
            "source": row.source,
            "id": row.id,
            "reason": row.reason,
            "detail": row.detail,
        }
        for row in rows
    ]
