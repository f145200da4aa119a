"""`pathway demo`, as a newcomer sees it, and what it leaves behind."""

import re
import shlex
import subprocess
from pathlib import Path

import pytest

from tests.acceptance.commands import PATHWAY, environment, pathway

MOST_LINES = 45


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[str], Path]:
    """The demo's lines, and the data directory that it keeps."""
    data = tmp_path_factory.mktemp("demo") / "kept"
    done = subprocess.run(
        [PATHWAY, "demo", "--patients", "30", "--data", str(data)],
        capture_output=True,
        text=True,
        env=environment(),
        timeout=150,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout.splitlines(), data


def place(lines: list[str], pattern: str) -> int:
    """Where the first line is that matches."""
    found = [number for number, line in enumerate(lines) if re.search(pattern, line)]
    assert found, f"no line says {pattern!r}:\n" + "\n".join(lines)
    return found[0]


def test_it_fits_a_screen_and_says_what_this_is(shown: tuple[list[str], Path]) -> None:
    lines, _ = shown
    assert len(lines) <= MOST_LINES
    assert "care pathway worker" in lines[0].lower()


def test_one_patients_weeks_are_told_in_order(shown: tuple[list[str], Path]) -> None:
    lines, _ = shown
    story = [
        r"wk  1 \w{3} · IOP confirmed by physician",
        r"wk  3 \w{3} · three no-shows in a row → outreach alert \(site policy\)",
        r"· .*PHP recommended",
        r"· PHP confirmed by licensed clinician",
        r"· IOP confirmed by physician",
        r"· .*discharge recommended",
        r"· discharge declined by licensed clinician",
        r"· correction: .*superseded",
        r"· step-down confirmed by physician",
        r"· aftercare plan complete .*aftercare recommended",
        r"wk 12 \w{3} · aftercare confirmed by physician",
    ]
    start = 0
    for pattern in story:
        start += place(lines[start:], pattern) + 1


def test_the_cohort_the_crash_and_the_counts_come_after_the_story(
    shown: tuple[list[str], Path],
) -> None:
    lines, _ = shown
    bars = place(lines, r"^  iop +\d+ █")
    crash = place(
        lines,
        r"^worker killed after event \d+, restarted: "
        r"lost 0, applied twice 0, sequence gaps 0$",
    )
    counts = place(
        lines, r"\d+ events: \d+ duplicates, \d+ late, \d+ parked; \d+ events per second"
    )
    assert place(lines, "wk 12") < bars < crash < counts


def test_the_three_commands_work_after_it_has_exited(shown: tuple[list[str], Path]) -> None:
    lines, data = shown
    tries = lines[place(lines, "^Try:") + 1 :]
    assert len(tries) == 3
    for line in tries:
        _, *arguments = shlex.split(line)
        assert str(data) in arguments
        result = pathway(*arguments)
        assert (result.code, result.err) == (0, ""), line
        assert result.out
    assert pathway("timeline", "P-0001", "--data", data, "--json").json["state"] == "aftercare"


def test_it_counts_as_json(tmp_path: Path) -> None:
    report = pathway("demo", "--patients", "10", "--data", tmp_path / "d", "--json").json
    assert report["verified"] is True
    assert report["events"] == report["applied"] + report["duplicates"] + report["parked"]
    assert set(report) == {
        "patients", "events", "applied", "duplicates", "parked", "late", "transitions",
        "events_per_second", "verified",
    }  # fmt: skip


def test_it_clears_nothing_that_is_not_its_own(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("keep me")
    result = pathway("demo", "--data", tmp_path)
    assert (result.code, result.error) == (1, "demo_failed")
    assert (tmp_path / "mine.txt").read_text() == "keep me"
