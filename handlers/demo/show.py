"""The demo from first line to last: a story, a cohort, a crash, the proof, what to try next."""

import asyncio
import json
import shutil
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import nats
from nats.aio.client import Client

from handlers.allinone import embedded
from handlers.clocks import Clock
from handlers.demo.crew import DemoError, WorkerProcess, fast, held
from handlers.demo.narrator import Narrator, monday_of
from handlers.demo.subscriber import Subscriber
from handlers.keys import embedded_keys
from handlers.levels import bars
from handlers.publish import Letter, publish
from handlers.settings import Settings
from handlers.simulation import STORY_PATIENT, Tally, admission_days, cohort, story
from handlers.streams import declare
from pathway import policy as policies
from pathway.store.open import open_store
from schemas.instants import DAY, HOUR, parse_instant

STORY_START: Final = parse_instant("2026-01-05T00:00:00Z")
STORY_SPEED: Final = 600_000  # simulated seconds a second: twelve weeks in some twelve seconds
LEAD: Final = HOUR  # simulated time by which the worker's clock must have passed an event
COHORT_AFTER: Final = 40 * DAY  # how long the cohort goes on after its last referral
PATIENCE: Final = 120.0  # seconds until a step that does not come counts as failed
KILL_AT: Final = 0.4  # share of the cohort's events after which the worker is killed
MARKER: Final = "demo.log"  # only a directory with this file is cleared for another run


@dataclass(slots=True)
class Report:
    """The `--json` shape of `pathway demo`."""

    patients: int = 0
    events: int = 0
    applied: int = 0
    duplicates: int = 0
    parked: int = 0
    late: int = 0
    transitions: int = 0
    events_per_second: int = 0
    verified: bool = False


@dataclass(slots=True)
class Stage:
    """What the acts of the demo share."""

    settings: Settings
    client: Client
    worker: WorkerProcess
    subscriber: Subscriber
    say: Callable[[str], None]


async def demo(
    settings: Settings, patients: int, seed: int, directory: Path, say: Callable[[str], None]
) -> Report:
    """Run it all; returns the counts. Raises DemoError if a step does not come about."""
    _clear(directory)
    chosen = policies.default()
    letters = story(STORY_START, prefix=settings.prefix)
    narrator = Narrator(chosen, letters, monday_of(chosen, letters))
    say("A care pathway worker: events in, each patient's pathway moved or a move recommended,")
    say("every step explained and provable. One patient, twelve weeks, live:")

    def tell(message: dict[str, Any]) -> None:
        line = narrator.line(message)
        if line:
            say(line)

    async with embedded(directory) as (broker, database):
        client = await nats.connect(broker)
        await declare(client.jetstream(), settings.names, settings.limits)
        subscriber = Subscriber(settings.prefix, STORY_PATIENT, tell)
        await subscriber.follow(client)
        keys = embedded_keys(settings, directory)
        worker = WorkerProcess(broker, database, keys, directory / MARKER)
        stage = Stage(settings, client, worker, subscriber, say)
        try:
            end = await _story(stage, [Letter(m.subject, m.body, {}) for m in letters])
            return await _cohort(stage, patients, seed, database, end, len(letters))
        except TimeoutError:
            raise DemoError(f"a step took too long; see {directory / MARKER}") from None
        finally:
            await worker.stop()
            await client.close()


def _clear(directory: Path) -> None:
    if directory.exists() and any(directory.iterdir()):
        if not (directory / MARKER).exists():
            raise DemoError(f"{directory} holds something else; give another --data")
        shutil.rmtree(directory)
    directory.mkdir(parents=True, exist_ok=True)
    (directory / MARKER).touch()


# -- act one: a patient's weeks ------------------------------------------------------------------


async def _story(stage: Stage, letters: list[Letter]) -> int:
    """Publish each event as its time comes; returns the instant at which the story ends."""
    start = _time(letters[0]) - DAY
    clock = await stage.worker.start(fast(start, STORY_SPEED))

    async def live() -> AsyncIterator[Letter]:
        for letter in letters:
            await asyncio.sleep(clock.seconds_until(_time(letter) + LEAD) or 0)
            yield letter

    await publish(stage.client, live(), lambda: None)
    await stage.subscriber.until(lambda: len(stage.subscriber.applied) == len(letters), PATIENCE)
    end = _after(clock)
    await stage.worker.stop()
    return end


def _after(clock: Clock) -> int:
    now = clock.now()
    return now - now % DAY + DAY


def _time(letter: Letter) -> int:
    return parse_instant(json.loads(letter.body)["time"])


# -- act two: a cohort, and a crash ----------------------------------------------------------------


async def _cohort(  # noqa: PLR0913 - what the last act needs to know of the others
    stage: Stage, patients: int, seed: int, database: str, end: int, told: int
) -> Report:
    start = end - COHORT_AFTER - admission_days(patients) * DAY
    tally = Tally()
    messages = cohort(patients, seed, start, prefix=stage.settings.prefix, until=end, tally=tally)
    letters = [Letter(message.subject, message.body, {}) for message in messages]
    clock = held(end)
    await stage.worker.start(clock)
    began = time.monotonic()
    publishing = asyncio.create_task(publish(stage.client, _all(letters), lambda: None))
    killed_after = await _kill(stage, told + int(tally.events * KILL_AT), clock)
    await publishing
    subscriber = stage.subscriber
    await subscriber.until(
        lambda: (
            len(subscriber.applied) == told + tally.events and subscriber.parked == tally.malformed
        ),
        PATIENCE,
    )
    seconds = time.monotonic() - began
    states, lost = await _settled(stage, database, end, told + tally.events)
    return _close(stage, states, lost, killed_after, _report(stage, tally, told, states, seconds))


async def _all(letters: list[Letter]) -> AsyncIterator[Letter]:
    for letter in letters:
        yield letter


async def _kill(stage: Stage, count: int, clock: str) -> int:
    """Kill -9 in the middle, and start again."""
    await stage.subscriber.until(lambda: len(stage.subscriber.applied) >= count, PATIENCE)
    await stage.worker.kill()
    killed_after = len(stage.subscriber.applied)
    await stage.worker.start(clock)
    return killed_after


async def _settled(
    stage: Stage, database: str, end: int, events: int
) -> tuple[dict[str, int], int]:
    """Wait until no timer is due and nothing unpublished; returns the census and what is lost."""
    store = open_store(database, read_only=True)
    await store.open()
    try:
        async with asyncio.timeout(PATIENCE):
            # Another process writes; only looking again can tell.
            while await store.due(end, 1) or (await store.counts())["unpublished"]:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        return await store.census(), events - len(stage.subscriber.applied)
    finally:
        await store.close()


def _report(
    stage: Stage, tally: Tally, told: int, states: dict[str, int], seconds: float
) -> Report:
    return Report(
        patients=sum(states.values()),
        events=told + tally.messages,
        applied=len(stage.subscriber.applied),
        duplicates=tally.duplicates,
        parked=stage.subscriber.parked,
        late=tally.late,
        transitions=stage.subscriber.transitions,
        events_per_second=round(tally.messages / seconds),
    )


def _close(
    stage: Stage, states: dict[str, int], lost: int, killed_after: int, report: Report
) -> Report:
    """The last lines."""
    subscriber, say = stage.subscriber, stage.say
    say(f"{report.patients} patients, by where they are now:")
    for line in bars(states):
        say(line)
    twice, gaps = subscriber.applied_twice, subscriber.gaps
    say(
        f"worker killed after event {killed_after}, restarted: "
        f"lost {lost}, applied twice {twice}, sequence gaps {gaps}"
    )
    say(
        f"{report.events} events: {report.duplicates} duplicates, {report.late} late, "
        f"{report.parked} parked; {report.events_per_second} events per second, crash included"
    )
    report.verified = lost == twice == gaps == 0
    return report
