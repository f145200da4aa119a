"""What a person types, against a real broker and database."""

import json
import stat
from collections import Counter
from pathlib import Path
from urllib.request import urlopen

from jsonschema import Draft202012Validator

from handlers.simulation import cohort, to_jsonl
from handlers.simulation.mess import Mess, Tally
from schemas.instants import parse_instant
from tests.acceptance.commands import Result, Up, pathway, rows, running_up
from tests.acceptance.downstream import Message, assert_complete, chains
from tests.acceptance.events import admission, event, new_patient

START = parse_instant("2024-01-08T00:00:00Z")


def of(messages: list[Message], patient: str) -> list[Message]:
    return [message for message in messages if message.subject.endswith(f".{patient}")]


# -- publishing and looking ------------------------------------------------------------------------


def test_a_patient_is_admitted(up: Up) -> None:
    patient = new_patient()
    up.publish(*admission(patient), event(patient, "safety.reported"))
    timeline = up.timeline(patient)
    assert (timeline["patient"], timeline["state"], timeline["episode"]) == (patient, "iop", 1)
    assert [(move["sequence"], move["from"], move["to"]) for move in timeline["transitions"]] == [
        (1, None, "referral"),
        (2, "referral", "screening"),
        (3, "screening", "iop"),
    ]
    assert_complete(up.messages())

    assert set(timeline) >= {
        "patient", "episode", "state", "since", "transitions", "recommendations", "alerts",
        "waiting", "due",
    }  # fmt: skip
    assert set(timeline["transitions"][0]) >= {
        "sequence", "from", "to", "effective_at", "recorded_at", "basis", "rule", "causes",
        "superseded",
    }  # fmt: skip
    assert set(timeline["recommendations"][0]) >= {
        "recommendation_id", "to", "rule", "effective_at", "causes", "status",
    }  # fmt: skip
    assert set(timeline["alerts"][0]) >= {
        "alert_id", "alert", "severity", "rule", "effective_at", "causes", "status",
    }  # fmt: skip
    assert set(timeline["due"][0]) >= {"rule", "at"}

    # For a person it is the same, in lines.
    told = up.run("timeline", patient)
    assert (told.code, told.err) == (0, "")
    assert told.out.startswith(f"{patient}: iop since 2026-01-08T17:30:00Z (episode 1)\n")
    assert "  2026-01-08 17:30  screening → iop" in told.out


def said(up: Up) -> int:
    """Messages about patients; looks and checkpoints are told at any time."""
    return sum(message.kind != "audit" for message in up.messages())


def test_publishing_twice_changes_nothing(up: Up) -> None:
    patient = new_patient()
    up.publish(*admission(patient))
    before, told = up.timeline(patient), said(up)
    # Another library writes the same event differently.
    otherwise = [json.dumps(each, sort_keys=True).encode() for each in admission(patient)]
    up.publish(*admission(patient), *otherwise)
    assert up.timeline(patient) == before
    assert said(up) == told
    journaled = rows(up.database, "SELECT id FROM journal WHERE source = '/ehr/example'")
    assert [key for (key,) in journaled].count(f"{patient}-referral.received") == 1


def test_a_file_is_as_good_as_standard_input(up: Up, tmp_path: Path) -> None:
    patient = new_patient()
    file = tmp_path / "events.jsonl"
    file.write_text("\n".join(json.dumps(each) for each in admission(patient)) + "\n\n")
    assert up.run("publish", file) == Result(0, "published 5 events\n", "")
    up.settle()
    assert up.state(patient) == "iop"


def test_a_whole_clinic_with_all_its_mess(tmp_path: Path) -> None:
    tally = Tally()
    mess = Mess(malformed=0.02, lines=True)
    lines = [
        line.encode()
        for line in to_jsonl(cohort(20, 5, START, mess, tally=tally))
    ]  # fmt: skip
    with running_up(tmp_path, clock="2026-06-01T00:00:00Z", settle="0.1") as up:
        up.publish(*lines)
        assert up.census()["patients"] == 20
        assert Counter(row["reason"] for row in up.parked()) == tally.reasons
        outside = "SELECT COUNT(*) FROM journal WHERE source <> '/pathway/clock'"
        assert rows(up.database, outside) == [(tally.events,)]
        assert_complete(up.messages())


# -- restart ---------------------------------------------------------------------------------------


def test_a_restart_goes_on_with_its_data(tmp_path: Path) -> None:
    patient = new_patient()
    with running_up(tmp_path, clock="2026-06-01T00:00:00Z", settle="0.1") as up:
        up.publish(*admission(patient))
        old, timeline = up.messages(), up.timeline(patient)
        assert up.stop() == 0
        assert not up.endpoints_file.exists()
        # Looking needs nothing that runs.
        assert up.timeline(patient) == timeline
        assert up.parked() == []

        up.settings["clock"] = "2026-07-01T00:00:00Z"
        up.start()
        assert up.census() == {"patients": 1, "states": {"iop": 1}}
        up.publish(event(patient, "safety.reported", id=f"{patient}-s"))
        everything = up.messages()
        assert_complete(everything)
        new = everything[len(old) :]
        assert "clinical_review" in {message.data.get("alert") for message in new}

        # And of these, only what was recorded since then is sent again.
        assert up.run("republish", "--since", "2026-06-15T00:00:00Z").code == 0
        # Within a subject the order is kept; across subjects there is none.
        assert chains(up.messages()[len(everything) :]) == chains(new)


def test_the_endpoints_are_for_the_owner_alone(up: Up) -> None:
    assert stat.S_IMODE(up.endpoints_file.stat().st_mode) == 0o600
    endpoints = json.loads(up.endpoints_file.read_text())
    assert set(endpoints) == {"broker", "database", "board", "metrics"}
    assert endpoints["broker"] not in up.said


def test_its_health_and_its_numbers_can_be_asked_for(up: Up) -> None:
    up.publish(event(new_patient(), "referral.received"))
    assert up.run("health") == Result(0, "ready\n", "")
    url = json.loads(up.endpoints_file.read_text())["metrics"]
    with urlopen(url) as answer:  # noqa: S310 - of ours
        page = answer.read().decode()
    applied = 'pathway_events_total{outcome="applied",type="care.referral.received.v1"}'
    assert float(page.split(f"{applied} ")[1].split()[0]) >= 1


def test_a_second_one_on_the_same_data_is_refused(up: Up) -> None:
    refused = up.run("up")
    assert refused.code == 1
    assert refused.error == "data_in_use"


# -- republish -------------------------------------------------------------------------------------


def test_republish_says_the_same_again(up: Up) -> None:
    patient, other = new_patient(), new_patient()
    up.publish(*admission(patient), *admission(other))
    before = up.messages()
    mine = of(before, patient)

    again = up.run("republish", "--patient", patient)
    assert again == Result(0, f"republished {len(mine)} messages\n", "")
    assert chains(up.messages()[len(before) :]) == chains(mine)

    # And the chain goes on behind it, for everybody.
    up.publish(event(patient, "safety.reported", id=f"{patient}-s"))
    more = of(up.messages(), patient)[2 * len(mine) :]
    assert more
    assert_complete([*mine, *more])


# -- parked ----------------------------------------------------------------------------------------


def test_a_parked_event_can_be_looked_at_and_thrown_away(up: Up) -> None:
    patient = new_patient()
    bad = event(patient, "referral.received", data={"referral_id": 7})
    up.publish(bad)
    (row,) = (row for row in up.parked() if row["id"] == bad["id"])
    assert (row["source"], row["reason"]) == ("/ehr/example", "invalid_data")
    shown = up.run("parked", "show", str(row["number"]))
    assert json.loads(shown.out.splitlines()[-1]) == bad
    assert up.run("parked", "discard", str(row["number"])).code == 0
    gone = up.run("parked", "discard", str(row["number"]))
    assert (gone.code, gone.error) == (1, "unknown_number")
    left = up.run("parked", "list")
    assert f" {row['number']}  " not in left.out


def test_a_parked_event_goes_through_once_its_cause_is_gone(tmp_path: Path) -> None:
    patient = new_patient()
    with running_up(tmp_path, clock="2026-01-01T00:00:00Z", settle="0.1") as up:
        up.publish(*admission(patient))  # from the future, for this clock
        parked = up.parked()
        assert [row["reason"] for row in parked] == ["time_in_future"] * 5
        up.stop()
        up.settings["clock"] = "2026-06-01T00:00:00Z"
        up.start()
        first = str(parked[0]["number"])
        assert up.run("parked", "redrive", first) == Result(0, "redriven 1 events\n", "")
        up.settle()
        assert up.state(patient) == "referral"
        assert up.run("parked", "redrive") == Result(0, "redriven 4 events\n", "")
        up.settle()
        assert up.parked() == []
        assert up.state(patient) == "iop"


def test_what_is_still_wrong_is_parked_again(up: Up) -> None:
    up.publish(event(new_patient(), "referral.received", data={}))
    before = up.parked()
    assert up.run("parked", "redrive").code == 0
    up.settle()
    after = up.parked()
    assert [(row["id"], row["reason"]) for row in after] == [
        (row["id"], row["reason"]) for row in before
    ]
    assert min(row["number"] for row in after) > max(row["number"] for row in before)


# -- definitions -----------------------------------------------------------------------------------


def test_everything_published_validates_against_the_schemas(up: Up, tmp_path: Path) -> None:
    patient = new_patient()
    wrong = event(patient, "contact.made", data={})
    up.publish(*admission(patient), event(patient, "safety.reported"), wrong)
    assert pathway("schemas", tmp_path).code == 0
    messages = of(up.messages(), patient)
    assert {message.kind for message in messages} == {
        "transition", "recommendation", "alert", "receipt",
    }  # fmt: skip
    for message in messages:
        schema = json.loads((tmp_path / f"{message.event['type']}.json").read_text())
        Draft202012Validator(schema).validate(message.event)


def test_what_simulate_prints_can_be_published(up: Up) -> None:
    simulated = pathway("simulate", "--patients", "2", "--seed", "9", "--clean", "--start",
                        "2024-01-08T00:00:00Z")  # fmt: skip
    up.publish(*simulated.out.encode().splitlines())
    assert up.state("s9-000000")
    assert up.state("s9-000001")


# -- misuse ----------------------------------------------------------------------------------------


def test_an_unknown_command_is_one_line() -> None:
    unknown = pathway("nope")
    assert (unknown.code, unknown.error) == (2, "usage")


def test_unknown_things_have_a_code_of_their_own(up: Up) -> None:
    stranger = up.run("timeline", "nobody")
    assert (stranger.code, stranger.error) == (1, "unknown_patient")
    number = up.run("parked", "show", "999999")
    assert (number.code, number.error) == (1, "unknown_number")
