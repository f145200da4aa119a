"""Sessions, and whether the patient was there."""

from collections.abc import Iterator
from typing import Final

from handlers.simulation import hours
from handlers.simulation.chance import between, happens, pick
from handlers.simulation.event import Fact
from handlers.simulation.patient import Patient

GROUP_MINUTES: Final = 180
INDIVIDUAL_MINUTES: Final = 50
MEDICATION_MINUTES: Final = 20
PHP_MINUTES: Final = 240
PHP_START: Final = 9 * 60  # minute of the day
PHP_WEEKDAYS: Final = (0, 1, 2, 3, 4)
BREAK_MINUTES: Final = 10

PRESENT: Final = frozenset({"attended", "late", "left_early"})

# Assumptions about an ordinary clinic.
_PROGRAM_CANCELS = 0.01  # of all sessions
_IF_PRESENT = (("attended", 0.90), ("late", 0.06), ("left_early", 0.04))
_IF_ABSENT = (("no_show", 0.65), ("excused", 0.35))
_GROUP_KINDS = (("group", 0.84), ("workshop", 0.10), ("family", 0.06))
_DELIVERIES = (("in_person", 0.85), ("telehealth", 0.15))
_INDIVIDUAL_HELD = 0.95  # of weeks
_MEDICATION_HELD = 0.3  # of weeks
_CALLED_AFTER_NO_SHOW = 0.4
_REACHED = 0.7
_REACHED_WHEN_GONE = 0.08
_CHANNELS = (("phone", 0.7), ("message", 0.2), ("family", 0.1))


def iop_day(patient: Patient, day: int) -> Iterator[Fact]:
    """Yield the sessions of one day in IOP, and the call after a no-show."""
    if hours.weekday(day) not in patient.weekdays:
        return
    rng = patient.rng
    yield from _with_call(
        patient, session(patient, day, patient.group_minute, GROUP_MINUTES, pick(rng, _GROUP_KINDS))
    )
    after = patient.group_minute + GROUP_MINUTES + BREAK_MINUTES
    if hours.weekday(day) == patient.weekdays[1] and happens(rng, _INDIVIDUAL_HELD):
        yield session(patient, day, after, INDIVIDUAL_MINUTES, "individual")
    elif hours.weekday(day) == patient.weekdays[2] and happens(rng, _MEDICATION_HELD):
        yield session(patient, day, after, MEDICATION_MINUTES, "medication")


def php_day(patient: Patient, day: int) -> Iterator[Fact]:
    """Yield the session of one day in PHP: five days of four hours are twenty a week."""
    if hours.weekday(day) in PHP_WEEKDAYS:
        kind = pick(patient.rng, _GROUP_KINDS)
        yield from _with_call(patient, session(patient, day, PHP_START, PHP_MINUTES, kind))


def step_down_day(patient: Patient, day: int) -> Iterator[Fact]:
    """Yield the sessions of one day in standard outpatient care: two hours a week or so."""
    if hours.weekday(day) == patient.weekdays[0]:
        yield session(patient, day, patient.group_minute, 90, "group")
    elif hours.weekday(day) == patient.weekdays[2]:
        yield session(patient, day, patient.group_minute, INDIVIDUAL_MINUTES, "individual")


def session(patient: Patient, day: int, minute: int, minutes: int, kind: str) -> Fact:
    """Return one session's attendance; its time is the session's end."""
    rng = patient.rng
    start = hours.instant(day, minute)
    status = _status(patient, day)
    attended = minutes if status == "attended" else 0
    if status in {"late", "left_early"}:
        attended = minutes * between(rng, 60, 92) // 100
    data = {
        "session_id": patient.name("s"),
        "kind": kind,
        "delivery": pick(rng, _DELIVERIES),
        "scheduled_start": hours.local(start),
        "scheduled_minutes": minutes,
        "status": status,
        "attended_minutes": attended,
    }
    return Fact(start + minutes * hours.MINUTE, "attendance.recorded", data)


def was_present(fact: Fact) -> bool:
    """Tell whether a fact is a session that the patient came to."""
    return fact.data.get("status") in PRESENT


def contact(patient: Patient, time: int, *, reached: bool) -> Fact:
    """Return an attempt to reach the patient."""
    data = {
        "contact_id": patient.name("c"),
        "channel": pick(patient.rng, _CHANNELS),
        "reached": reached,
    }
    return Fact(time, "contact.made", data)


def _status(patient: Patient, day: int) -> str:
    rng = patient.rng
    if patient.gone_from is not None and day >= patient.gone_from:
        return "no_show"
    if patient.away[0] <= day <= patient.away[1]:
        return "excused"
    if happens(rng, patient.reliability):
        return pick(rng, _IF_PRESENT)
    return pick(rng, _IF_ABSENT) if not happens(rng, _PROGRAM_CANCELS) else "cancelled_by_program"


def _with_call(patient: Patient, held: Fact) -> Iterator[Fact]:
    yield held
    if held.data["status"] == "no_show" and happens(patient.rng, _CALLED_AFTER_NO_SHOW):
        gone = patient.gone_from is not None and held.time >= hours.instant(patient.gone_from, 0)
        reached = happens(patient.rng, _REACHED_WHEN_GONE if gone else _REACHED)
        delay = between(patient.rng, 5, 30) * hours.MINUTE
        yield contact(patient, held.time + delay, reached=reached)
