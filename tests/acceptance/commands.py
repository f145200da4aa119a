"""The real command line: commands that end, and processes that run until they are stopped."""

import asyncio
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nats
from nats.js.errors import NotFoundError

from handlers.clocks import parse_clock
from tests.acceptance.downstream import Message, read

PATHWAY = Path(sys.executable).parent / "pathway"
POLL = 0.05  # seconds between looks at a condition
PATIENCE = 40.0  # seconds that a condition may take on a noisy machine


@dataclass(frozen=True, slots=True)
class Result:
    """What a command left."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:  # noqa: ANN401 - any JSON
        """The one object that `--json` prints."""
        assert self.code == 0, self.err
        (line,) = self.out.splitlines()
        return json.loads(line)

    @property
    def error(self) -> str:
        """The stable code of the one line on stderr."""
        (line,) = self.err.splitlines()
        assert self.out == ""
        assert line.startswith("error["), line
        return line.removeprefix("error[").partition("]")[0]


def environment(more: Mapping[str, str] | None = None) -> dict[str, str]:
    """Ours without any setting of the developer's own, and with the speed of an installed command.

    Told not to keep what it compiles, Python needs half as long again to start.
    """
    own = {name: value for name, value in os.environ.items() if not name.startswith("PATHWAY_")}
    own.pop("PYTHONDONTWRITEBYTECODE", None)
    return own | dict(more or {})


def pathway(
    *arguments: str | Path,
    stdin: bytes = b"",
    cwd: Path | None = None,
    timeout: float = 60,
    **settings: str,
) -> Result:
    """Run one command to its end; settings are `PATHWAY_*` without the prefix."""
    done = subprocess.run(
        [PATHWAY, *map(str, arguments)],
        input=stdin,
        capture_output=True,
        env=environment(_named(settings)),
        cwd=cwd,
        timeout=timeout,
        check=False,
    )
    return Result(done.returncode, done.stdout.decode(), done.stderr.decode())


def _named(settings: Mapping[str, str]) -> dict[str, str]:
    return {f"PATHWAY_{name.upper()}": value for name, value in settings.items()}


def until(condition: Callable[[], object], seconds: float = PATIENCE) -> None:
    """Wait for a condition; fails if it does not come to hold."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition never held"
        time.sleep(POLL)


class Running:
    """A `pathway` process in a group of its own; its logs are kept in a file."""

    def __init__(self, directory: Path, *arguments: str | Path, **settings: str) -> None:
        self.log = directory / "stderr.log"
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [PATHWAY, *map(str, arguments)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=log,
                env=environment(_named(settings)),
                start_new_session=True,
            )

    @property
    def said(self) -> str:
        """Its log so far."""
        return self.log.read_text()

    @property
    def alive(self) -> bool:
        return self.process.poll() is None

    def await_said(self, text: str) -> None:
        """Wait until its log says so."""

        def said() -> bool:
            assert text in self.said or self.alive, self.said
            return text in self.said

        until(said)

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Signal it by its own pid; returns its exit code."""
        if self.alive:
            self.process.send_signal(number)
        try:
            return self.process.wait(PATIENCE)
        finally:
            self.process.kill()
            self.process.wait()


class Up:
    """`pathway up --data DIR`, and what one can ask of it."""

    def __init__(self, directory: Path, **settings: str) -> None:
        self.data = directory / "data"
        self.settings = settings  # of the next start
        self._directory = directory
        self._running: Running | None = None

    def start(self) -> None:
        """Run it; returns when it says that it is ready."""
        running = Running(self._directory, "up", "--data", self.data, **self.settings)
        self._running = running

        def ready() -> bool:
            assert running.alive, running.said
            return self.endpoints_file.exists()

        until(ready)

    def stop(self) -> int:
        """SIGTERM; returns the exit code."""
        assert self._running is not None
        return self._running.stop()

    @property
    def endpoints_file(self) -> Path:
        return self.data / "endpoints.json"

    @property
    def broker(self) -> str:
        return str(json.loads(self.endpoints_file.read_text())["broker"])

    @property
    def database(self) -> Path:
        return self.data / "pathway.db"

    @property
    def said(self) -> str:
        return self._running.said if self._running else ""

    def run(self, *arguments: str | Path, stdin: bytes = b"") -> Result:
        """A command on this data directory."""
        return pathway(*arguments, "--data", self.data, stdin=stdin)

    def publish(self, *events: Mapping[str, Any] | bytes) -> None:
        """Publish through the command, then wait until all is processed and told."""
        lines = [e if isinstance(e, bytes) else json.dumps(e).encode() for e in events]
        result = self.run("publish", "-", stdin=b"\n".join(lines) + b"\n")
        assert result == Result(0, f"published {len(lines)} events\n", "")
        self.settle()

    def settle(self) -> None:
        """Wait until nothing is left to process, to fire or to publish."""
        now = parse_clock(self.settings.get("clock", "")).now()
        until(lambda: settled(self.broker, self.database, now))

    def messages(self) -> list[Message]:
        """All that was ever published on CARE_OUT, in the order of the stream."""
        return asyncio.run(read(self.broker))

    def timeline(self, patient: str) -> Any:  # noqa: ANN401 - any JSON
        return self.run("timeline", patient, "--json").json

    def state(self, patient: str) -> Any:  # noqa: ANN401 - text or None
        """Where the patient is, read from the database: cheaper than a command."""
        states = dict(rows(self.database, "SELECT patient, state FROM patients"))
        return states[patient]

    def census(self) -> Any:  # noqa: ANN401 - any JSON
        return self.run("census", "--json").json

    def parked(self) -> Any:  # noqa: ANN401 - any JSON
        return self.run("parked", "list", "--json").json["parked"]


@contextmanager
def running_up(directory: Path, **settings: str) -> Iterator[Up]:
    """`pathway up` for the length of a test."""
    up = Up(directory, **settings)
    up.start()
    try:
        yield up
    finally:
        up.stop()


def settled(broker: str, database: Path, now: int) -> bool:
    """Is the inbound stream empty, no timer due, and everything in the outbox published?"""
    ((due,),) = rows(database, f"SELECT COUNT(*) FROM patients WHERE next_due <= {now}")  # noqa: S608
    ((unpublished,),) = rows(database, "SELECT COUNT(*) FROM outbox WHERE published = 0")
    # The database first: it is the cheaper one to ask.
    return not due and not unpublished and asyncio.run(waiting_events(broker)) == 0


async def waiting_events(broker: str) -> int | None:
    """Events at the broker that no worker has acknowledged; None without a stream."""
    client = await nats.connect(broker)
    try:
        return (await client.jetstream().stream_info("CARE_EVENTS")).state.messages
    except NotFoundError:
        return None
    finally:
        await client.close()


def rows(database: Path, statement: str) -> list[tuple[Any, ...]]:
    """Look into the database itself, as somebody who does not trust the program."""
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True, timeout=10)) as connection:
        return connection.execute(statement).fetchall()
