"""What the outbound stream holds last on each chain's subject."""

import json
from dataclasses import dataclass

from nats.js import JetStreamContext
from nats.js.api import RawStreamMsg
from nats.js.errors import NotFoundError

REMEMBERED = 100_000  # subjects


@dataclass(frozen=True, slots=True)
class ChainHead:
    """The last message on a subject; all zero where the subject is empty."""

    stream_sequence: int = 0
    id: str = ""
    sequence: int = 0  # in the chain

    def includes(self, message_id: str, sequence: int) -> bool:
        """Whether the message, or a later one of its chain, is stored already."""
        return self.id == message_id or self.sequence >= sequence


class ChainHeads:
    """Asks the stream, and remembers the most recent subjects."""

    def __init__(self, js: JetStreamContext, stream: str) -> None:
        self._js = js
        self._stream = stream
        self._known: dict[str, ChainHead] = {}

    def before(self, subject: str, sequence: int) -> int | None:
        """The last stream sequence on a subject that `sequence` continues, or None: look.

        What is remembered serves only to go forward; whether something is stored already, the
        stream alone can tell (it may have been purged).
        """
        head = self._known.get(subject)
        if head is None:
            return 0 if sequence == 1 else None
        return head.stream_sequence if head.sequence < sequence else None

    def remember(self, subject: str, head: ChainHead) -> None:
        """Note what the broker acknowledged or told."""
        self._known.pop(subject, None)
        self._known[subject] = head
        if len(self._known) > REMEMBERED:
            del self._known[next(iter(self._known))]

    async def look(self, subject: str) -> ChainHead:
        """Ask the stream's leader; raises what nats-py raises when there is no answer."""
        try:
            message = await self._js.get_last_msg(self._stream, subject)
        except NotFoundError as error:
            if error.err_code != NO_MESSAGE_FOUND:
                raise
            head = ChainHead()
        else:
            head = _head(message)
        self.remember(subject, head)
        return head


NO_MESSAGE_FOUND = 10037  # the other "not found" is a missing stream


def _head(message: RawStreamMsg) -> ChainHead:
    try:
        body = json.loads(message.data or b"")
        sequence = int(body.get("sequence") or body.get("data", {}).get("sequence") or 0)
        own_id = str(body.get("id", ""))
    except (ValueError, TypeError, AttributeError):
        sequence, own_id = 0, ""  # nobody else publishes here, but we do not depend on it
    message_id = (message.headers or {}).get("Nats-Msg-Id") or own_id
    return ChainHead(message.seq or 0, message_id, sequence)
