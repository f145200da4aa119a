"""`examples/publisher.py` as a process: what became of each event, and nothing given up."""

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nats
import pytest

from handlers import streams
from handlers.embedded import EmbeddedNats
from handlers.streams import StreamLimits, StreamNames
from tests.acceptance.commands import PATIENCE, POLL, Up, running_up
from tests.acceptance.events import admission, event, new_patient

PUBLISHER = Path(__file__).parents[2] / "examples" / "publisher.py"


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    """With receipts for everything."""
    directory = tmp_path_factory.mktemp("up")
    clock = "2026-06-01T00:00:00Z"
    with running_up(directory, clock=clock, settle="0.1", receipts="all") as running:
        yield running


def published(file: Path, *events: dict[str, Any]) -> list[str | Path]:
    """The command that publishes them."""
    file.write_text("\n".join(json.dumps(each) for each in events) + "\n")
    return [sys.executable, PUBLISHER, file]


def test_the_publisher_says_what_became_of_each_event(up: Up, tmp_path: Path) -> None:
    patient = new_patient()
    command = published(tmp_path / "events.jsonl", *admission(patient))
    first = subprocess.run([*command, up.broker], capture_output=True, text=True, check=False)
    assert (first.returncode, first.stderr) == (0, "")
    lines = first.stdout.splitlines()
    ids = [each["id"] for each in admission(patient)]
    assert [line.partition(" at ")[0] for line in lines[:5]] == [f"{i}: stored" for i in ids]
    assert sorted(lines[5:]) == sorted(f"{i}: applied" for i in ids)

    bad = event(patient, "contact.made", data={"channel": "pigeon", "reached": True})
    command = published(tmp_path / "more.jsonl", admission(patient)[0], bad)
    again = subprocess.run([*command, up.broker], capture_output=True, text=True, check=False)
    assert (again.returncode, again.stderr) == (1, "")
    assert sorted(again.stdout.splitlines()[2:]) == [
        f"{patient}-contact.made: parked invalid_data",
        f"{patient}-referral.received: duplicate",
    ]
    assert up.state(patient) == "iop"


@pytest.mark.anyio
async def test_what_the_broker_does_not_take_is_published_again(tmp_path: Path) -> None:
    broker = EmbeddedNats(tmp_path / "broker", fast=True)
    await broker.start()
    client = await nats.connect(broker.url)
    js, names = client.jetstream(), StreamNames()
    await js.add_stream(streams.out_config(names, StreamLimits()))
    command = published(tmp_path / "events.jsonl", *admission("p-1"))
    errors = tmp_path / "errors.txt"
    with errors.open("wb") as stderr:
        process = await asyncio.create_subprocess_exec(
            *command, broker.url, stdout=subprocess.PIPE, stderr=stderr
        )
    async with asyncio.timeout(PATIENCE):
        while "p-1-referral.received: again" not in errors.read_text():  # noqa: ASYNC110
            await asyncio.sleep(POLL)
        await streams.declare(js, names)
        out, _ = await process.communicate()
    assert process.returncode == 0
    stored = [line for line in out.decode().splitlines() if ": stored at " in line]
    assert [line.partition(": ")[0] for line in stored] == [each["id"] for each in admission("p-1")]
    assert (await js.stream_info("CARE_EVENTS")).state.messages == len(stored)
    await client.close()
    await broker.stop()
