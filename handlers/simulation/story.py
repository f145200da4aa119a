"""Twelve weeks of one scripted patient, the same every time; all at fixed offsets from a Monday.

What the default policy is meant to answer: outreach after three no-shows in a row (week 3), a
step-up to PHP recommended (week 4) and confirmed by a licensed clinician, the return to IOP (week
7), an administrative discharge recommended at the sixth no-show and declined (week 8), a
step-down entered a week too early (week 9), taken back (week 10) and entered again, aftercare.
"""

from datetime import date
from typing import Final

from handlers.simulation import hours
from handlers.simulation.event import PREFIX, Fact, Message, encode, envelope, subject
from handlers.simulation.script import STORY_PATIENT, Entry, entries

__all__ = ["STORY_PATIENT", "story"]

_DAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


def story(start: int | date, *, prefix: str = PREFIX) -> list[Message]:
    """Return the story's messages in the order in which they happen and arrive.

    Args:
        start: the story begins on the first Monday at or after it (a date, or µs since the epoch).
        prefix: first token of the broker subjects.
    """
    first = hours.first_day(start)
    monday = first + -hours.weekday(first) % 7
    facts = sorted((_fact(monday, entry) for entry in entries()), key=lambda fact: fact.time)
    return [_message(number, fact, prefix) for number, fact in enumerate(facts, 1)]


def _fact(monday: int, entry: Entry) -> Fact:
    day = monday + 7 * (entry.week - 1) + _DAYS.index(entry.day)
    hour, minute = entry.at.split(":")
    time = hours.instant(day, 60 * int(hour) + int(minute))
    if entry.kind != "attendance.recorded":
        return Fact(time, entry.kind, entry.data)
    ended = time + entry.data["scheduled_minutes"] * hours.MINUTE
    return Fact(ended, entry.kind, entry.data | {"scheduled_start": hours.local(time)})


def _message(number: int, fact: Fact, prefix: str) -> Message:
    # A decision's event is known by the decision's id, so that the script can take it back.
    event_id = fact.data.get("decision_id", f"{STORY_PATIENT}-{number}")
    event = envelope(STORY_PATIENT, event_id, fact)
    return Message(subject(prefix, fact.kind, STORY_PATIENT), encode(event))
