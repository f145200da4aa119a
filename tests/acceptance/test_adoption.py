"""A policy goes into force by a signed fact, through the real command line."""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from pathway import policy
from tests.acceptance.commands import Up, rows, running_up, until
from tests.acceptance.events import admission, event, new_patient

DEFAULT = policy.default()
STRICTER = policy.load(
    DEFAULT.text.replace("version: 1.0.0", "version: 1.1.0")
    .replace(
        "{no_show_run: {at_least: 3, while_in: [iop, php]}}",
        "{no_show_run: {at_least: 2, while_in: [iop, php]}}",
    )
    .replace("value: 3\n    unit: no-shows in a row", "value: 2\n    unit: no-shows in a row")
)
SETTINGS = {"clock": "2026-06-01T00:00:00Z", "settle": "0.1", "checkpoint_every": "0.2"}
RULE = "no-shows-in-a-row"


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("policy") / "stricter.yaml"
    path.write_text(STRICTER.text)
    return path


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    directory = tmp_path_factory.mktemp("up")
    with running_up(directory, **SETTINGS) as running:
        yield running


def missed(patient: str, *days: int) -> list[dict[str, Any]]:
    """No-shows in the program on these days of April 2026."""
    example = event(patient, "attendance.recorded")
    return [
        example
        | {
            "id": f"{patient}-missed-{day}",
            "time": f"2026-04-{day:02}T17:00:00Z",
            "data": example["data"]
            | {
                "session_id": f"missed-{day}",
                "scheduled_start": f"2026-04-{day:02}T14:00:00Z",
                "status": "no_show",
                "attended_minutes": 0,
            },
        }
        for day in days
    ]


def outreach(up: Up, patient: str) -> list[str]:
    alerts = up.timeline(patient)["alerts"]
    return [alert["effective_at"] for alert in alerts if alert["rule"] == RULE]


def adopters(up: Up) -> list[str]:
    """Patients of whom the journal has an adoption."""
    found = rows(up.database, "SELECT patient FROM journal WHERE type = 'care.policy.adopted.v1'")
    return sorted(patient for (patient,) in found)


def test_chosen_patients_come_under_it_from_an_instant_on(up: Up, file: Path) -> None:
    early, late, other = new_patient(), new_patient(), new_patient()
    for patient in (early, late, other):
        up.publish(*admission(patient), *missed(patient, 6, 8))
        assert outreach(up, patient) == []
    signed = ("--signed-by", "dr-1")
    adopt = ("policy", "adopt", file, *signed)
    done = up.run(*adopt, "--patient", early, "--from", "2026-04-07T00:00:00Z")
    assert (done.code, done.err) == (0, "")
    assert "1.1.0" in done.out
    assert up.run(*adopt, "--patient", late).code == 0
    up.settle()
    # Two misses are enough from April 7; where it counts from today on, they are enough today.
    assert outreach(up, early) == ["2026-04-08T17:00:00Z"]
    assert outreach(up, late) == ["2026-06-01T00:00:00Z"]
    assert outreach(up, other) == []
    assert adopters(up) == [early, late]
    # Twice the same is one fact more at most, and nothing is said anew.
    assert up.run(*adopt, "--patient", early, "--from", "2026-04-07T00:00:00Z").code == 0
    assert adopters(up) == [early, late]


def test_the_sign_off_is_an_entry_and_everything_holds(up: Up, file: Path) -> None:
    patient = new_patient()
    up.publish(*admission(patient))
    adopt = ("policy", "adopt", file, "--signed-by", "dr-2", "--all")
    assert up.run(*adopt).code == 0
    up.settle()
    known = {key for (key,) in rows(up.database, "SELECT patient FROM patients")}
    assert set(adopters(up)) == known
    leaves = [json.loads(leaf) for (leaf,) in rows(up.database, "SELECT leaf FROM audit")]
    (entry,) = [each for each in leaves if each.get("signed_by") == "dr-2"]
    assert (entry["kind"], entry["patient"]) == ("policy", None)
    assert entry["policy"] == {"name": "iop", "version": "1.1.0", "digest": STRICTER.digest}
    facts = [
        each for each in leaves if each.get("event", {}).get("type") == "care.policy.adopted.v1"
    ]
    assert {"by": "dr-2", "role": None} in [each["decided"] for each in facts]
    stored = dict(rows(up.database, "SELECT digest, text FROM policies"))
    assert stored == {DEFAULT.digest: DEFAULT.text, STRICTER.digest: STRICTER.text}
    assert up.run("replay", "--json").json["mismatches"] == 0
    until(lambda: up.run("verify").code == 0)  # once a checkpoint is there


@pytest.mark.parametrize(
    ("chosen", "code"),
    [
        (("--patient", "nobody"), "unknown_patient"),
        (("--all", "--from", "2026-06-01T00:00:01Z"), "time_in_future"),
        ((), "usage"),
        (("--all", "--patient", "a"), "usage"),
    ],
)
def test_what_cannot_be_adopted_is_refused(
    up: Up, file: Path, chosen: tuple[str, ...], code: str
) -> None:
    before = adopters(up)
    assert up.run("policy", "adopt", file, "--signed-by", "dr-3", *chosen).error == code
    assert adopters(up) == before


def test_a_restart_adopts_nothing_and_says_so(up: Up, file: Path) -> None:
    pinned = {key for (key,) in rows(up.database, "SELECT patient FROM patients")}
    newest = STRICTER.text.replace("version: 1.1.0", "version: 1.2.0")
    other = file.with_name("newest.yaml")
    other.write_text(newest)
    up.stop()
    up.settings["policy"] = str(other)
    up.start()
    line = next(line for line in up.said.splitlines() if "policy_not_adopted" in line)
    told = json.loads(line)
    assert told["policy"] == policy.load(newest).digest[:16]
    assert told["others"] == {STRICTER.digest[:16]: len(pinned)}
    patient = new_patient()
    up.publish(*admission(patient))
    found = dict(rows(up.database, "SELECT patient, policy FROM patients"))
    assert found[patient] == policy.load(newest).digest, "who comes new"
    until(lambda: up.run("verify").code == 0)


def test_whose_adoption_fails_is_named(tmp_path: Path, file: Path) -> None:
    with running_up(tmp_path, **SETTINGS) as up:
        broken, other = new_patient(), new_patient()
        up.publish(*admission(broken), *admission(other))
        up.stop()
        with closing(sqlite3.connect(up.database)) as database, database:
            whose = "UPDATE patient_keys SET wrapped = zeroblob(69) WHERE patient = ?"
            database.execute(whose, (broken,))
        up.start()
        done = up.run("policy", "adopt", file, "--signed-by", "dr-1", "--all")
        assert (done.code, done.error) == (1, "not_adopted")
        assert broken in done.err
        assert other not in done.err
        assert adopters(up) == [other]
