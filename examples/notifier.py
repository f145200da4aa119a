"""Downstream: page people, survive a restart, and prove that no message was missed.

    python examples/notifier.py [BROKER_URL [STATE.db]]

Every subject is a chain: `sequence` counts from 1, `previous` is the SHA-256 of the message
before. A late alert (imported history) pages nobody, unless it is urgent and still stands once
everything published has been read. A page is sent before it is remembered: twice rather than
never.
"""
# ruff: noqa: INP001, T201 - a script, and it prints

import asyncio
import hashlib
import json
import sqlite3
import sys
from contextlib import suppress

import nats
import nats.errors
from nats.aio.msg import Msg

TABLES = """
CREATE TABLE IF NOT EXISTS heads (subject TEXT PRIMARY KEY, sequence INT, digest TEXT);
CREATE TABLE IF NOT EXISTS urgent (alert_id TEXT PRIMARY KEY, alert TEXT, patient TEXT);
"""


def page(patient: str, alert: str) -> None:
    """Wake somebody; here, a line on standard output."""
    print(f"PAGE {patient}: {alert}", flush=True)


def accept(state: sqlite3.Connection, message: Msg) -> bool:
    """Take the next message of its chain; False if one before it is missing."""
    event = json.loads(message.data)
    data = event["data"]
    known = state.execute("SELECT * FROM heads WHERE subject = ?", (message.subject,)).fetchone()
    _, sequence, digest = known or ("", 0, None)
    if data["sequence"] <= sequence:
        return True  # delivered or published once more
    if (data["sequence"], data["previous"]) != (sequence + 1, digest):
        print(f"GAP {message.subject}: {data['sequence']} came after {sequence}", flush=True)
        return False
    digest = hashlib.sha256(message.data).hexdigest()
    state.execute(
        "INSERT OR REPLACE INTO heads VALUES (?, ?, ?)",
        (message.subject, data["sequence"], digest),
    )
    if event["type"] == "care.alert.cleared.v1":
        state.execute("DELETE FROM urgent WHERE alert_id = ?", (data["alert_id"],))
    elif event["type"] == "care.alert.raised.v1" and not data["late"]:
        page(event["subject"], data["alert"])
    elif event["type"] == "care.alert.raised.v1" and data["severity"] == "urgent":
        row = (data["alert_id"], data["alert"], event["subject"])
        state.execute("INSERT OR REPLACE INTO urgent VALUES (?, ?, ?)", row)
    return True


def page_what_still_stands(state: sqlite3.Connection) -> None:
    """All is read: late urgent alerts that nothing has cleared do need somebody."""
    for alert, patient in state.execute("SELECT alert, patient FROM urgent").fetchall():
        page(patient, alert)
    state.execute("DELETE FROM urgent")


async def main(url: str, path: str) -> None:
    """Read for ever; the durable consumer remembers the place, the database the proof."""
    state = sqlite3.connect(path)
    state.executescript(TABLES)
    client = await nats.connect(url, max_reconnect_attempts=-1)
    consumer = await client.jetstream().pull_subscribe("care.out.alert.>", durable="notifier")
    while True:
        try:
            messages = await consumer.fetch(100, timeout=1)
        except (nats.errors.TimeoutError, TimeoutError):
            with state:
                page_what_still_stands(state)
            continue
        for message in messages:
            with state:
                accepted = accept(state, message)
            await (message.ack() if accepted else message.nak(delay=5))


if __name__ == "__main__":
    given = dict(enumerate(sys.argv))
    with suppress(KeyboardInterrupt):
        asyncio.run(main(given.get(1, "nats://127.0.0.1:4222"), given.get(2, "notifier.db")))
