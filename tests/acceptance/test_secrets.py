"""What is secret stays so: nowhere in logs, errors, command lines or files that others can read."""

import json
import stat
from pathlib import Path

import pytest

from tests.acceptance.commands import Up, pathway
from tests.broker.clinic import encode, event


def secrets_of(up: Up) -> set[str]:
    """Everything secret that a data directory knows."""
    endpoints = json.loads(up.endpoints_file.read_text())
    files = [*up.data.glob("*.key"), up.data / "nats" / "store.key"]
    keys = {path.read_text().strip() for path in files}
    token = endpoints["board"].partition("token=")[2]
    return {endpoints["broker"].partition("//")[2].partition("@")[0], token} | keys


def test_the_secrets_of_up_are_seen_by_its_owner_alone(up: Up) -> None:
    secrets = secrets_of(up)
    assert len(secrets) == 5  # broker, board, patients' keys, checkpoints, the broker's files
    assert all(len(secret) >= 20 for secret in secrets)
    up.publish(encode(event("S-1")), b"not json")
    lines = b"".join(
        path.read_bytes()
        for path in Path("/proc").glob("[0-9]*/cmdline")
        if path.parent.exists() and path.parent.name != "self"
    ).decode(errors="replace")
    for secret in secrets:
        assert secret not in up.said
        assert secret not in lines
    assert stat.S_IMODE(up.endpoints_file.stat().st_mode) == 0o600
    assert stat.S_IMODE(up.data.stat().st_mode) == 0o700
    open_to_others = [
        path
        for path in up.data.rglob("*")
        if path.is_file()
        and path.stat().st_mode & (stat.S_IRGRP | stat.S_IROTH)
        and any(secret.encode() in path.read_bytes() for secret in secrets)
    ]
    assert open_to_others == []


@pytest.mark.parametrize(
    ("command", "code"),
    [
        (("census",), "store_unavailable"),
        (("publish", "-"), "broker_unavailable"),
        (("migrate",), "store_unavailable"),
        (("worker",), "key_unusable"),
    ],
)
def test_no_error_quotes_a_password(command: tuple[str, ...], code: str) -> None:
    done = pathway(
        *command,
        broker_url="nats://u:hunter2@127.0.0.1:1",
        database_url="postgresql://u:hunter2@127.0.0.1:1/x?sslmode=nonsense-hunter2",
        master_key="hunter2",
    )
    assert (done.code, done.error) == (1, code)
    assert "hunter2" not in done.err


def test_keys_are_made_once_and_for_their_owner_alone(tmp_path: Path) -> None:
    directory = tmp_path / "keys"
    made = pathway("keys", directory).out.splitlines()
    assert made == [str(directory / name) for name in ("master.key", "audit.key")]
    first = [Path(each).read_text() for each in made]
    assert {Path(each).stat().st_mode & 0o777 for each in made} == {0o600}
    again = pathway("keys", directory)
    assert (again.code, [Path(each).read_text() for each in made]) == (0, first)
    assert not any(text.strip() in again.out for text in first)
