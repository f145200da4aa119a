"""History under another rule set: what would have come otherwise, and nothing is touched."""

import hashlib
import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import structlog
from typer.testing import CliRunner

from handlers.cli import app
from pathway import policy
from pathway.backtest import CHANGES, Window
from pathway.backtesting import Trial, Tried, backtest_some
from tests.keys import MASTER_TEXT

from .clinic import NOW, copied, source

RULE = "no-shows-in-a-row"
DEFAULT = policy.default().text
STRICTER = DEFAULT.replace(
    "{no_show_run: {at_least: 3, while_in: [iop, php]}}",
    "{no_show_run: {at_least: 2, while_in: [iop, php]}}",
).replace("value: 3\n    unit: no-shows in a row", "value: 2\n    unit: no-shows in a row")


def patients(path: Path) -> list[str]:
    with closing(sqlite3.connect(path)) as database:
        return [row[0] for row in database.execute("SELECT patient FROM patients")]


def tried(path: Path, text: str, window: Window | None = None) -> Tried:
    return backtest_some(Trial(source(path), text, window or Window(NOW)), patients(path))


def test_the_same_rules_say_the_same(original: Path) -> None:
    found = tried(original, DEFAULT.replace("version: 1.0.0", "version: 1.0.1"))
    assert found == Tried(patients=len(patients(original)))


def test_a_stricter_rule_speaks_earlier_or_anew_and_no_other_speaks_otherwise(
    original: Path,
) -> None:
    found = tried(original, STRICTER)
    rules = {what[1] for what, _ in found.totals}
    assert RULE in rules
    # An alert that comes may be overdue, and may be what keeps others quiet; nobody moves.
    assert rules <= {RULE, "no-contact", "urgent-overdue", "clinical-review", "no-shows-many"}
    counts = {change: found.totals[("alert", RULE, "outreach"), change] for change in CHANGES}
    assert counts["new"] + counts["earlier"] > 0
    assert counts["gone"] == counts["later"] == 0
    assert found.moved == []
    for each in found.changed:
        for one in each.differences:
            if one.before and one.after and one.change == "earlier":
                assert one.after.at < one.before.at


def test_a_patient_who_would_be_elsewhere_is_told(original: Path) -> None:
    strict = DEFAULT.replace(
        "{criterion: {name: safe_home, is: true}}", "{criterion: {name: safe_home, is: false}}"
    )
    found = tried(original, strict)
    assert found.moved
    each = found.moved[0].shape()
    assert each["before"]["state"] != each["after"]["state"]
    assert {one["change"] for one in each["effects"]} <= set(CHANGES)


def test_only_what_began_in_the_window_counts(original: Path) -> None:
    everything = tried(original, STRICTER)
    onsets = sorted(one.at for each in everything.changed for one in each.differences)
    middle = onsets[len(onsets) // 2]
    late = tried(original, STRICTER, Window(NOW, since=middle))
    assert all(one.at >= middle for each in late.changed for one in each.differences)
    assert sum(late.totals.values()) == sum(at >= middle for at in onsets)
    early = tried(original, STRICTER, Window(NOW, until=middle - 1))
    assert 0 < sum(early.totals.values()) <= sum(at < middle for at in onsets)


def test_erased_patients_are_counted_and_skipped(original: Path, tmp_path: Path) -> None:
    path = copied(original, tmp_path)
    erased = patients(path)[0]
    with closing(sqlite3.connect(path)) as database:
        database.execute("UPDATE patient_keys SET wrapped = x'' WHERE patient = ?", (erased,))
        database.commit()
    found = tried(path, STRICTER)
    assert (found.erased, found.patients) == (1, len(patients(path)) - 1)
    assert erased not in {each.patient for each in found.changed}


def test_the_command_shows_a_table_and_one_object_and_writes_nothing(
    original: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = copied(original, tmp_path)
    before = hashlib.sha256(path.read_bytes()).digest()
    file = tmp_path / "stricter.yaml"
    file.write_text(STRICTER)
    monkeypatch.setenv("PATHWAY_DATABASE_URL", f"sqlite:///{path}")
    monkeypatch.setenv("PATHWAY_MASTER_KEY", MASTER_TEXT)
    answer = json.loads(command("backtest", str(file), "--json"))
    assert answer["patients"] == len(patients(path))
    direct = tried(path, STRICTER)
    expected = sorted((each.shape() for each in direct.changed), key=lambda each: each["patient"])
    assert answer["changed"] == json.loads(json.dumps(expected))
    assert answer["policy"]["digest"] == policy.load(STRICTER).digest
    (row,) = [row for row in answer["totals"] if row["rule"] == RULE]
    assert row["new"] == direct.totals[("alert", RULE, "outreach"), "new"]
    one = answer["changed"][0]["patient"]
    lines = command("backtest", str(file), "--patient", one).splitlines()
    assert lines[0].endswith("1 patients: 1 would differ, 0 at another level today")
    assert any(line.startswith(f"{one}: ") for line in lines)
    assert any(RULE in line for line in lines)
    assert hashlib.sha256(path.read_bytes()).digest() == before


def command(*arguments: str) -> Any:  # noqa: ANN401 - what it printed
    try:
        done = CliRunner().invoke(app, list(arguments), catch_exceptions=False)
    finally:
        structlog.reset_defaults()  # else logs go to the runner's closed stream
    assert done.exit_code == 0, done.output
    return done.output
