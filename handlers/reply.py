"""What the broker says of a delivered message, read from its reply subject.

`$JS.ACK.stream.consumer.delivered.sequence.consumed.time.pending`; newer servers may put domain
and account before the stream. The library's metadata takes ten times as long for much that
nobody asks.
"""

from typing import Final

from nats.aio.msg import Msg

_LONG: Final = 11  # tokens of a reply subject with domain and account
_NANOSECONDS: Final = 10**9


def place(message: Msg) -> int:
    """The message's sequence in its stream."""
    tokens = message.reply.split(".", _LONG)
    return int(tokens[5 if len(tokens) < _LONG else 7])


def stored_at(message: Msg) -> float:
    """When the broker stored it: seconds since 1970, by the broker's clock."""
    tokens = message.reply.split(".", _LONG)
    return int(tokens[7 if len(tokens) < _LONG else 9]) / _NANOSECONDS
