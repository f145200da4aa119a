"""Messages as JSON Lines, for a file that `pathway publish` sends."""

import json
from collections.abc import Iterable, Iterator

from handlers.simulation.event import PREFIX, Message, subject


def to_jsonl(messages: Iterable[Message], prefix: str = PREFIX) -> Iterator[str]:
    """Yield each message as one line without its line end.

    Messages that cannot be lines are left out: those that are no JSON object, and those whose
    broker subject is not the one that follows from the event. With `Mess(lines=True)` a cohort
    has none of these, and its tally is that of the lines.
    """
    for message in messages:
        if _subject(message.body, prefix) == message.subject:
            yield message.body.decode()


def _subject(body: bytes, prefix: str) -> str | None:
    """Return the broker subject that an event in JSON asks for, if it is one."""
    try:
        event = json.loads(body, object_pairs_hook=_unambiguous)
    except ValueError:  # bad UTF-8 included
        return None
    if not isinstance(event, dict):
        return None
    kind, patient = event.get("type"), event.get("subject")
    if not isinstance(kind, str) or not isinstance(patient, str):
        return None
    return subject(prefix, kind.removeprefix("care.").removesuffix(".v1"), patient)


def _unambiguous(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key twice")
    return found
