"""A whole clinic: patients admitted over a span, their messages merged in the order of arrival."""

from collections.abc import Iterator
from datetime import date
from heapq import heappop, heappush, heapreplace
from itertools import count
from math import ceil
from random import Random
from typing import Final, NamedTuple

from handlers.simulation import hours
from handlers.simulation.event import PREFIX, Message
from handlers.simulation.journey import journey
from handlers.simulation.mess import Batch, Delivery, Mess, Sender, Tally

REALISTIC: Final = Mess()

_SHORTEST_ADMISSION: Final = 84  # days, of a small cohort
_ADMITTED_A_DAY: Final = 40  # of a large one: it bounds how many patients are held at a time


class _Patient(NamedTuple):
    """Somebody whose next batch is due, and the batches after it."""

    batch: Batch
    later: Iterator[Batch]


def admission_days(patients: int) -> int:
    """Return the days over which so many patients are referred."""
    return max(_SHORTEST_ADMISSION, ceil(patients / _ADMITTED_A_DAY))


def cohort(  # noqa: PLR0913  the knobs of a simulation
    patients: int,
    seed: int,
    start: int | date,
    mess: Mess = REALISTIC,
    *,
    prefix: str = PREFIX,
    until: int | None = None,
    tally: Tally | None = None,
) -> Iterator[Message]:
    """Yield the messages of a clinic in the order in which they arrive.

    The same arguments give the same bytes on every machine. A patient's truth depends on seed,
    number of patients and start alone, not on the mess. Patient keys are `s<seed>-<number>`.

    Args:
        patients: how many are referred, evenly over `admission_days(patients)`.
        seed: of everything that is drawn.
        start: first local day of the clinic (a date), or the instant (µs) after which it begins.
        mess: what goes wrong, and how often.
        prefix: first token of the broker subjects.
        until: nothing arrives after this instant (µs); without it the last follow-up of aftercare
            comes about 20 months after the last referral.
        tally: counts what has been yielded so far.
    """
    counted = Tally() if tally is None else tally
    first_day = hours.first_day(start)
    days = admission_days(patients)
    admissions = (
        (first_day + number * days // patients, f"s{seed}-{number:06d}")
        for number in range(patients)
    )
    for delivery in _arrivals(admissions, mess, prefix):
        if until is not None and delivery.arrival > until:
            return
        delivery.tallied(counted)
        yield delivery.message


def _arrivals(admissions: Iterator[tuple[int, str]], mess: Mess, prefix: str) -> Iterator[Delivery]:
    """Merge the patients' batches; whoever is not admitted yet is not thought of yet."""
    # (instant, serial number that makes it unique, what is due then)
    heap: list[tuple[int, int, Delivery | _Patient]] = []
    serial = count()
    upcoming = next(admissions, None)
    while heap or upcoming:
        if upcoming and (not heap or hours.instant(upcoming[0], 0) <= heap[0][0]):
            patient = _next(_batches(*upcoming, mess, prefix))
            if patient:
                heappush(heap, (patient.batch.since, next(serial), patient))
            upcoming = next(admissions, None)
            continue
        due = heap[0][2]
        if isinstance(due, Delivery):
            heappop(heap)
            yield due
            continue
        later = _next(due.later)
        if later:
            heapreplace(heap, (later.batch.since, next(serial), later))
        else:
            heappop(heap)
        for delivery in due.batch.deliveries:
            heappush(heap, (delivery.arrival, next(serial), delivery))


def _batches(first_day: int, key: str, mess: Mess, prefix: str) -> Iterator[Batch]:
    # Two streams of chance: what is true does not depend on what goes wrong.
    truth = Random(f"{key} truth")  # noqa: S311  a simulation, not a secret
    accidents = Random(f"{key} mess")  # noqa: S311  the same
    return Sender(key, mess, accidents, prefix).send(journey(key, first_day, truth))


def _next(batches: Iterator[Batch]) -> _Patient | None:
    batch = next(batches, None)
    return _Patient(batch, batches) if batch else None
