"""`examples/notifier.py` as a process: what it promises in its first lines."""

import asyncio
import hashlib
import json
import signal
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import nats
import pytest
from nats.aio.client import Client

from handlers import streams
from handlers.embedded import EmbeddedNats
from handlers.streams import StreamNames
from tests.acceptance.commands import PATIENCE, POLL, Up, until
from tests.acceptance.downstream import chains
from tests.acceptance.events import admission, event, new_patient

pytestmark = pytest.mark.anyio

NOTIFIER = Path(__file__).parents[2] / "examples" / "notifier.py"
TODAY = "2026-05-31T20:00:00Z"  # by the worker's clock, yesterday evening
URGENT = "medical_evaluation"
Start = Callable[[str], "Notifier"]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Notifier:
    """`examples/notifier.py`; a restart goes on with its state and in the same output."""

    def __init__(self, directory: Path, url: str) -> None:
        self.state = directory / "notifier.db"
        self._out = directory / "out.txt"
        self._url = url
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self._out.open("ab") as out:
            command = [sys.executable, NOTIFIER, self._url, self.state]
            self._process = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT)

    def stop(self) -> None:
        self.signal(signal.SIGKILL)
        assert self._process is not None
        self._process.wait(PATIENCE)

    def signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    @property
    def lines(self) -> list[str]:
        return self._out.read_text().splitlines()

    @property
    def pages(self) -> list[str]:
        """What was paged, without the alerts' ids."""
        return [line.split(" ", 2)[2] for line in self.lines if line.startswith("PAGE ")]

    def last(self, subject: str) -> int:
        """The last sequence of a chain that it has stored."""
        with closing(sqlite3.connect(self.state)) as state:
            found = state.execute("SELECT sequence FROM chains WHERE subject = ?", [subject])
            return int((found.fetchone() or (0,))[0])


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts a notifier; what runs at the end is stopped."""
    started: list[Notifier] = []

    def notifier(url: str) -> Notifier:
        started.append(Notifier(tmp_path, url))
        started[-1].start()
        return started[-1]

    yield notifier
    for each in started:
        each.stop()


def subject(patient: str) -> str:
    return f"care.out.alert.{patient}"


def overdose(patient: str, number: int, time: str = TODAY) -> dict[str, Any]:
    """An event that raises an urgent alert."""
    data = {"report_id": f"sr-{number}", "kind": "overdose"}
    return event(patient, "safety.reported", id=f"{patient}-s{number}", time=time, data=data)


# -- the notifier beside a real worker -------------------------------------------------------------


def test_killed_and_restarted_it_misses_nothing_and_repeats_nothing(up: Up, start: Start) -> None:
    patients = [new_patient() for _ in range(4)]
    before, *meanwhile, after = patients
    notifier = start(up.broker)
    up.publish(*admission(before), overdose(before, 1))
    until(lambda: f"{before}: {URGENT}" in notifier.pages and notifier.last(subject(before)))
    notifier.stop()
    up.publish(*(each for p in meanwhile for each in (*admission(p), overdose(p, 1))))
    notifier.start()
    up.publish(*admission(after), overdose(after, 1))
    until(lambda: f"{after}: {URGENT}" in notifier.pages)
    told = chains(up.messages())
    until(lambda: all(notifier.last(subject(p)) == len(told[subject(p)]) for p in patients))

    urgent = Counter(page for page in notifier.pages if page.endswith(URGENT))
    assert urgent == {f"{patient}: {URGENT}": 1 for patient in patients}
    assert not [line for line in notifier.lines if line.startswith("GAP")]


def test_history_pages_nobody_but_for_what_is_urgent_and_still_stands(up: Up, start: Start) -> None:
    stands, withdrawn = new_patient(), new_patient()
    past = "2026-02-01T09:00:00Z"
    up.publish(*admission(stands), *admission(withdrawn))
    up.publish(overdose(stands, 1, past), overdose(withdrawn, 1, past))
    taken_back = {"source": "/ehr/example", "id": f"{withdrawn}-s1", "reason": "wrong patient"}
    up.publish(event(withdrawn, "event.retracted", time="2026-02-02T09:00:00Z", data=taken_back))
    late = [m for m in up.messages() if m.subject in (subject(stands), subject(withdrawn))]
    assert all(message.data["late"] for message in late)
    assert {message.data["severity"] for message in late} > {"urgent"}

    notifier = start(up.broker)
    until(lambda: notifier.pages)
    until(lambda: notifier.last(subject(stands)) and notifier.last(subject(withdrawn)))
    mine = [page for page in notifier.pages if page.startswith((stands, withdrawn))]
    assert f"{stands}: {URGENT}" in mine
    assert not [page for page in mine if page.startswith(withdrawn) and page.endswith(URGENT)]
    standing = {
        f"{stands}: {alert['alert']}"
        for alert in up.timeline(stands)["alerts"]
        if alert["status"] == "standing" and alert["severity"] == "urgent"
    }
    assert {page for page in mine if page.startswith(stands)} == standing


def test_a_gap_is_told_and_healed_by_a_republish(up: Up, start: Start) -> None:
    patient = new_patient()
    up.publish(*admission(patient), overdose(patient, 1), overdose(patient, 2))
    asyncio.run(lose_first(up.broker, subject(patient)))

    notifier = start(up.broker)
    until(lambda: f"GAP {subject(patient)}: 2 does not follow 0" in notifier.lines)
    assert notifier.last(subject(patient)) == 0
    assert not [page for page in notifier.pages if page.startswith(patient)]
    assert up.run("republish", "--patient", patient).code == 0
    count = max(m.data["sequence"] for m in up.messages() if m.subject == subject(patient))
    until(lambda: notifier.last(subject(patient)) == count)
    assert f"{patient}: {URGENT}" in notifier.pages


async def lose_first(broker: str, subject: str) -> None:
    """Delete the first message of a chain from the stream."""
    client = await nats.connect(broker)
    try:
        js = client.jetstream()
        subscription = await js.subscribe(subject, stream="CARE_OUT", ordered_consumer=True)
        first = await subscription.next_msg(timeout=10)
        await js.delete_msg("CARE_OUT", first.metadata.sequence.stream)
    finally:
        await client.close()


# -- the notifier on a broker that a test can stop -------------------------------------------------


@pytest.fixture
async def broker(tmp_path: Path) -> AsyncIterator[EmbeddedNats]:
    embedded = EmbeddedNats(tmp_path / "broker", fast=True)
    await embedded.start()
    yield embedded
    await embedded.stop()


@pytest.fixture
async def client(broker: EmbeddedNats) -> AsyncIterator[Client]:
    async def quiet(_: Exception) -> None:
        """Reconnecting is what these tests provoke."""

    connected = await nats.connect(broker.url, max_reconnect_attempts=-1, error_cb=quiet)
    await streams.declare(connected.jetstream(), StreamNames())
    yield connected
    await connected.close()


class Chain:
    """Alerts about one patient, as the worker would chain them."""

    def __init__(self, patient: str) -> None:
        self.subject = subject(patient)
        self.patient = patient
        self.sequence = 0
        self.previous: str | None = None

    def next(self, **data: object) -> bytes:
        self.sequence += 1
        fields = {"sequence": self.sequence, "previous": self.previous, "late": False}
        fields |= {"alert_id": f"a{self.sequence}", "alert": f"act-{self.sequence}"}
        message = {"type": "care.alert.raised.v1", "subject": self.patient, "data": fields | data}
        body = json.dumps(message).encode()
        self.previous = hashlib.sha256(body).hexdigest()
        return body


async def awaited(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not condition():  # noqa: ASYNC110 - another process's output
            await asyncio.sleep(POLL)


async def test_the_broker_may_go_and_come_back_without_its_consumers(
    broker: EmbeddedNats, client: Client, start: Start
) -> None:
    js, chain = client.jetstream(), Chain("p-1")
    notifier = start(broker.url)
    await js.publish(chain.subject, chain.next())
    await awaited(lambda: notifier.pages == ["p-1: act-1"])
    await broker.stop()
    await broker.start()
    await awaited(lambda: client.is_connected)
    await js.publish(chain.subject, chain.next())
    await awaited(lambda: notifier.pages == ["p-1: act-1", "p-1: act-2"])
    notifier.signal(signal.SIGSTOP)  # so that nobody tells it
    while (await js.consumer_info("CARE_OUT", "notifier")).num_waiting:  # noqa: ASYNC110
        await asyncio.sleep(POLL)
    await js.delete_consumer("CARE_OUT", "notifier")
    notifier.signal(signal.SIGCONT)
    await js.publish(chain.subject, chain.next())
    await awaited(lambda: notifier.last(chain.subject) == 3)
    assert notifier.pages == ["p-1: act-1", "p-1: act-2", "p-1: act-3"]
    assert not [line for line in notifier.lines if line.startswith("GAP")]


async def test_an_erased_patient_is_forgotten(
    broker: EmbeddedNats, client: Client, start: Start
) -> None:
    js, chain, other = client.jetstream(), Chain("p-1"), Chain("p-2")
    await js.publish(chain.subject, chain.next(late=True, severity="urgent"))
    erased = {"type": "care.patient.erased.v1", "subject": "p-1", "data": {"sequence": 9}}
    await js.publish("care.out.transition.p-1", json.dumps(erased).encode())
    await js.publish(other.subject, other.next())
    notifier = start(broker.url)
    await awaited(lambda: notifier.pages and notifier.last(other.subject))
    with closing(sqlite3.connect(notifier.state)) as state:
        assert "p-1" not in "\n".join(state.iterdump())
    assert notifier.pages == ["p-2: act-1"]


async def test_an_altered_message_breaks_its_chain_and_no_other(
    broker: EmbeddedNats, client: Client, start: Start
) -> None:
    js, chain, other = client.jetstream(), Chain("p-1"), Chain("p-2")
    for _ in range(2):
        await js.publish(chain.subject, chain.next())
    await js.publish(chain.subject, chain.next(previous="0" * 64))
    await js.publish(other.subject, other.next())
    notifier = start(broker.url)
    await awaited(lambda: "p-2: act-1" in notifier.pages)
    assert notifier.pages == ["p-1: act-1", "p-1: act-2", "p-2: act-1"]
    assert [line for line in notifier.lines if line.startswith("GAP")] == [
        "GAP care.out.alert.p-1: 3 does not follow 2"
    ]


async def test_killed_at_any_instant_it_repeats_at_most_the_page_in_hand(
    broker: EmbeddedNats, client: Client, start: Start
) -> None:
    js, chain, count = client.jetstream(), Chain("p-1"), 200
    for _ in range(count):
        await js.publish(chain.subject, chain.next())
    notifier = start(broker.url)
    for moment in (20, 90, 160):
        await awaited(lambda moment=moment: len(notifier.pages) >= moment)
        await asyncio.to_thread(notifier.stop)
        notifier.start()
    await awaited(lambda: notifier.last(chain.subject) == count)
    pages = Counter(notifier.pages)
    assert set(pages) == {f"p-1: act-{number}" for number in range(1, count + 1)}
    assert sum(pages.values()) <= count + 3
    assert not [line for line in notifier.lines if line.startswith("GAP")]
