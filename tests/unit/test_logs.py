"""What reaches the logs: JSON where no person looks, and never what an event says."""

import json
from collections.abc import Iterator

import pytest
import structlog

from handlers.logs import configure


@pytest.fixture(autouse=True)
def _as_before(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delenv("PATHWAY_LOG_LEVEL", raising=False)
    yield
    structlog.reset_defaults()


def test_json_elsewhere_than_on_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    configure("info")
    structlog.get_logger().info("worker_started", patient="p-1")
    out, err = capsys.readouterr()
    assert out == ""
    said = json.loads(err)
    assert (said["event"], said["patient"], said["level"]) == ("worker_started", "p-1", "info")
    assert said["timestamp"].endswith("Z")


def test_the_level_can_be_set(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    configure("warning")
    structlog.get_logger().info("quiet")
    monkeypatch.setenv("PATHWAY_LOG_LEVEL", "debug")
    configure("warning")
    structlog.get_logger().debug("loud")
    assert json.loads(capsys.readouterr().err)["event"] == "loud"


@pytest.mark.parametrize("terminal", [True, False])
def test_an_error_is_logged_without_its_text(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *, terminal: bool
) -> None:
    """The text of an error may quote the event that caused it."""
    monkeypatch.setattr("sys.stderr.isatty", lambda: terminal, raising=False)
    configure()
    said = "score 27"
    try:
        int(said)
    except ValueError:
        structlog.get_logger().exception("fold_failed", patient="p-1")
    logged = capsys.readouterr().err
    assert "fold_failed" in logged
    assert "ValueError" in logged
    assert "test_logs.py" in logged
    assert said not in logged
