"""Answers to instruments (design §3.4). Totals agree with their items."""

from collections.abc import Iterator
from random import Random
from typing import Any, Final

from handlers.simulation import hours
from handlers.simulation.chance import between, happens
from handlers.simulation.event import Fact
from handlers.simulation.patient import Patient

PHQ9_HIGHEST: Final = 27
GAD7_HIGHEST: Final = 21
ITEM_HIGHEST: Final = 3

_ANALYTES = ("amphetamine", "benzodiazepine", "cocaine", "fentanyl", "opiates", "oxycodone")
_BAM_USE = ("4", "5", "6")
_BAM_RISK = ("1", "2", "3", "8", "11", "15")
_BAM_PROTECTIVE = ("9", "10", "12", "13", "14", "16")
_BAM_ORDER = sorted(_BAM_USE + _BAM_RISK + _BAM_PROTECTIVE, key=int)
_CSSRS_ITEMS = ("1", "2", "3", "4", "5", "6_lifetime", "6_3m")

# Assumptions about an ordinary clinic.
_ITEM_9_AT_HIGHEST = 0.15  # probability of item 9 > 0 at the highest total, less in proportion
_WITHOUT_ITEMS = 0.1  # of PHQ-9 and GAD-7: an older app sends totals only
_GAD7_TOO = 0.8  # of the times when a PHQ-9 is answered
_GAD7_OF_PHQ9 = 0.75  # of its points
_CSSRS_AFTER_ITEM_9 = 0.8
_UNEXPECTED_UDS = 0.12


def questionnaires(patient: Patient, time: int, expected: float) -> Iterator[Fact]:
    """Yield a PHQ-9 near the expected points, mostly a GAD-7, and what item 9 asks for."""
    rng = patient.rng
    total = _near(rng, expected, PHQ9_HIGHEST)
    answer = phq9(patient, time, total)
    yield answer
    if happens(rng, _GAD7_TOO):
        yield gad7(patient, time + 4 * hours.MINUTE, expected)
    if answer.data.get("items", {}).get("9") and happens(rng, _CSSRS_AFTER_ITEM_9):
        yield _cssrs(patient, time + 20 * hours.MINUTE)


def phq9(patient: Patient, time: int, total: int) -> Fact:
    """Return a PHQ-9 with exactly this total."""
    rng = patient.rng
    ninth = 0
    if happens(rng, _ITEM_9_AT_HIGHEST * total / PHQ9_HIGHEST):
        ninth = min(total, 1 if happens(rng, 0.8) else 2)
    ninth = max(ninth, total - 8 * ITEM_HIGHEST)
    items = _spread(rng, total - ninth, 8)
    return _scored(patient, time, "PHQ-9", total, [*items, ninth])


def gad7(patient: Patient, time: int, expected_phq9: float) -> Fact:
    """Return a GAD-7 that goes with a PHQ-9 of the expected points."""
    total = _near(patient.rng, expected_phq9 * _GAD7_OF_PHQ9, GAD7_HIGHEST)
    return _scored(patient, time, "GAD-7", total, _spread(patient.rng, total, 7))


def bam(patient: Patient, time: int, expected_phq9: float) -> Fact:
    """Return a Brief Addiction Monitor in Likert scaling; worse with more PHQ-9 points."""
    rng = patient.rng
    burden = expected_phq9 / PHQ9_HIGHEST
    use = max(0, round(4 * burden - 1))  # none below 10 points
    highest = dict.fromkeys(_BAM_USE, use) | dict.fromkeys(_BAM_RISK, round(4 * burden))
    items = {
        name: between(rng, 0, highest[name])
        if name in highest
        else between(rng, round(3 * (1 - burden)), 4)
        for name in _BAM_ORDER
    }
    return _assessment(patient, time, "BAM", {"variant": "likert", "items": items})


def uds(patient: Patient, time: int) -> Fact:
    """Return a urine drug screen; what is prescribed counts as expected."""
    items = dict.fromkeys(_ANALYTES, 0)
    if happens(patient.rng, _UNEXPECTED_UDS):
        items[_ANALYTES[between(patient.rng, 0, len(_ANALYTES) - 1)]] = 1
    return _assessment(patient, time, "UDS", {"items": items})


def total_only(patient: Patient, time: int, instrument: str, score: int) -> Fact:
    """Return an assessment that has no items."""
    return _assessment(patient, time, instrument, {"score": score})


def _cssrs(patient: Patient, time: int) -> Fact:
    rng = patient.rng
    items = dict.fromkeys(_CSSRS_ITEMS, 0)
    for name, probability in (("1", 0.8), ("2", 0.4), ("3", 0.15), ("4", 0.04), ("5", 0.02)):
        if not happens(rng, probability):
            break  # each question is asked for the one before it
        items[name] = 1
    if happens(rng, 0.15):
        items["6_lifetime"] = 1
        items["6_3m"] = int(happens(rng, 0.1))
    return _assessment(patient, time, "C-SSRS", {"variant": "screener", "items": items})


def _scored(patient: Patient, time: int, instrument: str, total: int, items: list[int]) -> Fact:
    data: dict[str, Any] = {"score": total}
    if not happens(patient.rng, _WITHOUT_ITEMS):
        data["items"] = {str(number): points for number, points in enumerate(items, 1)}
    return _assessment(patient, time, instrument, data)


def _assessment(patient: Patient, time: int, instrument: str, data: dict[str, Any]) -> Fact:
    named = {"assessment_id": patient.name("a"), "instrument": instrument}
    return Fact(time, "assessment.completed", named | data)


def _near(rng: Random, expected: float, highest: int) -> int:
    return min(max(round(expected) + between(rng, -2, 2), 0), highest)


def _spread(rng: Random, total: int, count: int) -> list[int]:
    """Return so many items of 0-3 that add up to the total."""
    points, rest = divmod(total, count)
    items = [points + 1] * rest + [points] * (count - rest)
    turn = between(rng, 0, count - 1)
    items = items[turn:] + items[:turn]
    giver, taker = between(rng, 0, count - 1), between(rng, 0, count - 1)
    if items[giver] > 0 and items[taker] < ITEM_HIGHEST:
        items[giver] -= 1
        items[taker] += 1
    return items
