"""Downstream: page people, survive a restart, and prove that no message was missed.

    python examples/notifier.py [BROKER_URL [STATE.db [API_PREFIX]]]

Each subject is a chain: `sequence` counts from 1, `previous` is the SHA-256 of the message before.
The broker hands out one message at a time and the next only after this one is stored here, so an
interruption costs a repetition and never the order. An alert of long ago (`late`) pages nobody,
unless it is urgent and still stands once all that was published is read. A page goes out before it
is remembered, under the alert's id: twice rather than never.
"""
# ruff: noqa: INP001, T201 - a script, and it prints

import asyncio
import hashlib
import json
import sqlite3
import sys
from contextlib import suppress

import nats
from nats.aio.msg import Msg
from nats.js import JetStreamContext
from nats.js.api import ConsumerConfig

SUBJECTS = ["care.out.alert.*", "care.out.transition.*"]  # the latter tell of erasures
TABLES = """
CREATE TABLE IF NOT EXISTS chains (subject TEXT PRIMARY KEY, sequence INTEGER, digest TEXT);
CREATE TABLE IF NOT EXISTS standing (alert_id TEXT PRIMARY KEY, patient TEXT, alert TEXT);
"""


def page(alert_id: str, patient: str, alert: str) -> None:
    """Wake somebody; here, a line on standard output."""
    print(f"PAGE {alert_id} {patient}: {alert}", flush=True)


def is_next(state: sqlite3.Connection, message: Msg, sequence: int, previous: str | None) -> bool:
    """Is it the next of its chain? Then that is remembered; a gap is told, the rest is known."""
    found = state.execute("SELECT * FROM chains WHERE subject = ?", [message.subject]).fetchone()
    _, last, digest = found or (message.subject, 0, None)
    if (sequence, previous) != (last + 1, digest):
        if sequence > last:
            print(f"GAP {message.subject}: {sequence} does not follow {last}", flush=True)
        return False
    digest = hashlib.sha256(message.data).hexdigest()
    state.execute("REPLACE INTO chains VALUES (?, ?, ?)", [message.subject, sequence, digest])
    return True


def take(state: sqlite3.Connection, message: Msg) -> None:
    """Act on one message, once."""
    event = json.loads(message.data)
    data = event["data"]
    if event["type"] == "care.patient.erased.v1":
        forget(state, event["subject"])
    if not event["type"].startswith("care.alert.") or not is_next(
        state, message, data["sequence"], data["previous"]
    ):
        return
    if event["type"] == "care.alert.cleared.v1":
        state.execute("DELETE FROM standing WHERE alert_id = ?", [data["alert_id"]])
    elif not data["late"]:
        page(data["alert_id"], event["subject"], data["alert"])
    elif data["severity"] == "urgent":
        row = [data["alert_id"], event["subject"], data["alert"]]
        state.execute("REPLACE INTO standing VALUES (?, ?, ?)", row)


def forget(state: sqlite3.Connection, patient: str) -> None:
    """Keep nothing of an erased patient, not even the key."""
    state.execute("DELETE FROM chains WHERE subject = ?", [f"care.out.alert.{patient}"])
    state.execute("DELETE FROM standing WHERE patient = ?", [patient])


def page_what_stands(state: sqlite3.Connection) -> None:
    """All is read: the urgent alerts of long ago that nothing has cleared."""
    for row in state.execute("SELECT * FROM standing").fetchall():
        page(*row)
    state.execute("DELETE FROM standing")


async def read(js: JetStreamContext, state: sqlite3.Connection) -> None:
    """Read on where the broker knows that we are, until something is wrong with it."""
    one_by_one = ConsumerConfig(max_ack_pending=1, ack_wait=2, filter_subjects=SUBJECTS)
    consumer = await js.pull_subscribe("", "notifier", "CARE_OUT", one_by_one)
    while True:
        try:
            (message,) = await consumer.fetch(1, timeout=1)
        except TimeoutError:
            found = await consumer.consumer_info()
            if not found.num_pending and not found.num_ack_pending:  # quiet, not merely slow
                with state:
                    page_what_stands(state)
            continue
        with state:
            take(state, message)
        await message.ack()


async def main(
    url: str = "nats://127.0.0.1:4222", path: str = "notifier.db", prefix: str = "$JS.API"
) -> None:
    """Read for ever; the broker may come and go."""
    state = sqlite3.connect(path)
    state.executescript(TABLES)
    client = await nats.connect(url, max_reconnect_attempts=-1)
    while True:
        try:
            await read(client.jetstream(prefix=prefix), state)
        except (nats.errors.Error, TimeoutError) as error:
            print(f"again in a second: {error!r}", file=sys.stderr)
            await asyncio.sleep(1)


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        asyncio.run(main(*sys.argv[1:]))
