"""The simulated clinic: reproducible, within the contract, true to the published figures."""

import json
import os
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from datetime import date, datetime
from itertools import islice, pairwise
from statistics import median
from typing import Any

import pytest

from handlers.simulation import (
    CLEAN,
    STORY_PATIENT,
    Mess,
    Message,
    Tally,
    admission_days,
    cohort,
    hours,
    malformed,
    story,
    to_jsonl,
)
from handlers.simulation.event import Fact, envelope
from handlers.simulation.shares import OUTCOMES
from schemas import inbound
from schemas.envelope import Rejected
from schemas.instants import DAY, HOUR, parse_instant

START = date(2020, 1, 6)
NOW = parse_instant("2026-01-01T00:00:00Z")
# Every flaw often enough to be seen in a small cohort.
ROUGH = Mess(0.08, 0.08, 0.08, 0.08, 0.08, 0.08)
DAYS_TOLERATED = 3  # of a median; its standard error with 240 patients is below 2
SHARE_TOLERATED = 0.03  # more than three standard errors with 3,500 patients

Journeys = dict[str, list[inbound.Event]]


def _journeys(messages: Iterable[Message]) -> Journeys:
    journeys: Journeys = defaultdict(list)
    for message in messages:
        event = inbound.read(message.body, message.subject, now=NOW)
        journeys[event.patient].append(event)
    return journeys


@pytest.fixture(scope="module")
def clean() -> Journeys:
    return _journeys(cohort(400, 1, START, CLEAN))


@pytest.fixture(scope="module")
def told() -> list[inbound.Event]:
    return [inbound.read(one.body, one.subject, now=NOW) for one in story(START)]


def test_the_same_arguments_give_the_same_bytes() -> None:
    assert list(cohort(30, 5, START, ROUGH)) == list(cohort(30, 5, START, ROUGH))


def test_another_seed_gives_another_clinic() -> None:
    assert list(cohort(30, 5, START)) != list(cohort(30, 6, START))


def test_the_bytes_do_not_hang_on_hash_order_or_on_the_machines_time_zone() -> None:
    script = (
        "import hashlib, datetime; from handlers.simulation import cohort, story\n"
        "said = [*cohort(40, 9, datetime.date(2020, 1, 6)), *story(0)]\n"
        "print(hashlib.sha256(repr(said).encode()).hexdigest())"
    )
    digests = {
        subprocess.run(
            [sys.executable, "-c", script],
            env=os.environ | {"PYTHONHASHSEED": seed, "TZ": zone, "PYTHONTZPATH": ""},
            check=True,
            capture_output=True,
        ).stdout
        for seed, zone in (("1", "UTC"), ("2", "Asia/Tokyo"))
    }
    assert len(digests) == 1


def test_a_patients_truth_does_not_depend_on_the_mess() -> None:
    """Once revisions and retractions are applied, what stands is the clinic without mess."""

    def truth(messages: Iterable[Message]) -> set[tuple[str, int, str]]:
        events: dict[tuple[str, str], tuple[inbound.Event, dict[str, Any]]] = {}
        taken_back = set()
        for event, fields in _accepted(messages):
            if event.type == "care.event.retracted.v1":
                taken_back.add((event.patient, fields["data"]["source"], fields["data"]["id"]))
                continue
            known = events.get((event.patient, event.identity))
            if known is None or known[0].revision < event.revision:
                events[event.patient, event.identity] = (event, fields)
        return {
            (
                event.type,
                event.time,
                json.dumps(fields["data"] | {"revision": None}, sort_keys=True),
            )
            for event, fields in events.values()
            if (event.patient, event.source, event.id) not in taken_back
        }

    assert truth(cohort(60, 3, START, ROUGH)) == truth(cohort(60, 3, START, CLEAN))


def _accepted(messages: Iterable[Message]) -> Iterator[tuple[inbound.Event, dict[str, Any]]]:
    for message in messages:
        try:
            event = inbound.read(message.body, message.subject, now=NOW)
        except Rejected:
            continue
        yield event, json.loads(message.body)


def test_the_tally_agrees_with_what_a_worker_meets() -> None:
    tally = Tally()
    seen: set[tuple[str, str]] = set()
    met = Tally()
    latest: dict[str, int] = {}
    overtaken = 0
    for message in cohort(200, 2, START, ROUGH, tally=tally):
        try:
            event = inbound.read(message.body, message.subject, now=NOW)
        except Rejected as rejected:
            met.malformed += 1
            met.reasons[rejected.reason.value] += 1
            continue
        if (event.source, event.id) in seen:
            met.duplicates += 1
            continue
        seen.add((event.source, event.id))
        met.events += 1
        met.revisions += event.revision > 0
        met.retractions += event.type == "care.event.retracted.v1"
        overtaken += event.time < latest.get(event.patient, 0)
        latest[event.patient] = max(event.time, latest.get(event.patient, 0))
    met.late, met.out_of_order = tally.late, tally.out_of_order
    assert met == tally
    assert tally.late > 0
    assert 0 < tally.out_of_order < overtaken
    assert set(tally.reasons) == {kind.reason for kind in malformed.KINDS.values()}


def test_the_tally_counts_what_has_been_taken_so_far() -> None:
    tally = Tally()
    assert len(list(islice(cohort(50, 2, START, tally=tally), 100))) == 100
    assert tally.messages == 100


def test_the_usual_mess_is_as_rare_as_it_says() -> None:
    tally, usual = Tally(), Mess()
    assert sum(1 for _ in cohort(400, 8, START, tally=tally)) == tally.messages
    for count, share in (
        (tally.duplicates, usual.duplicates),
        (tally.late, usual.late),
        (tally.out_of_order, usual.out_of_order),
        (tally.revisions, usual.revised),
        (tally.retractions, usual.retracted),
        (tally.malformed, usual.malformed),
    ):
        assert 0.6 * share < count / tally.events < 1.2 * share


def test_a_duplicate_says_what_has_been_said_before() -> None:
    said: dict[tuple[str, str], list[inbound.Event]] = defaultdict(list)
    for event, _ in _accepted(cohort(100, 4, START, Mess(0.5, 0, 0, 0, 0, 0))):
        said[event.source, event.id].append(event)
    twice = [events for events in said.values() if len(events) > 1]
    assert all(inbound.content(first.raw) == inbound.content(second.raw) for first, second in twice)
    identical = sum(first.raw == second.raw for first, second in twice)
    assert 0.6 < identical / len(twice) < 0.8


@pytest.mark.parametrize("name", malformed.KINDS)
def test_each_malformed_message_is_parked_for_its_reason(name: str) -> None:
    fact = Fact(NOW - DAY - NOW % DAY, "contact.made", {"channel": "phone", "reached": True})
    message = malformed.spoil(name, envelope("p-1", "e-1", fact), "clinic")
    assert message.subject.startswith("clinic.events.")
    assert not set(message.subject) & set(" \t\r\n*>")
    with pytest.raises(Rejected) as parked:
        inbound.read(message.body, message.subject, now=NOW, prefix="clinic")
    assert parked.value.reason == malformed.KINDS[name].reason


def test_no_malformed_message_takes_the_id_of_a_well_formed_one() -> None:
    good, bad = set(), set()
    for message in cohort(20, 4, START, Mess(malformed=1)):
        try:
            event = inbound.read(message.body, message.subject, now=NOW)
        except Rejected as rejected:
            bad.add((rejected.source, rejected.id))
        else:
            good.add((event.source, event.id))
    assert len(bad) > 100
    assert not good & bad


def test_messages_arrive_after_they_happened_and_stop_at_the_given_instant() -> None:
    until = parse_instant("2020-03-01T00:00:00Z")
    whole = list(cohort(60, 3, START, ROUGH))
    cut = list(cohort(60, 3, START, ROUGH, until=until))
    assert cut == whole[: len(cut)]
    assert 0 < len(cut) < len(whole)
    assert all(event.time <= until for event, _ in _accepted(cut))


def test_without_mess_each_patient_arrives_in_order(clean: Journeys) -> None:
    for events in clean.values():
        times = [event.time for event in events]
        assert times == sorted(times)
        assert events[0].type == "care.referral.received.v1"
        assert len({(event.source, event.id) for event in events}) == len(events)


def test_facts_are_not_revisions_of_each_other(clean: Journeys) -> None:
    for events in clean.values():
        assert len({event.identity for event in events}) == len(events)


def test_sessions_end_within_clinic_hours(clean: Journeys) -> None:
    for events in clean.values():
        for event in events:
            if isinstance(event.data, inbound.AttendanceRecorded):
                ended = datetime.fromtimestamp(event.time / 1_000_000, hours.ZONE)
                assert 9 <= ended.hour < 22
                assert ended.weekday() < 5
                length = event.data.scheduled_minutes * 60_000_000
                assert event.time - event.data.scheduled_start == length


def test_totals_agree_with_their_items(clean: Journeys) -> None:
    seen = Counter[str]()
    for events in clean.values():
        for event in events:
            answers = event.data
            if isinstance(answers, inbound.AssessmentCompleted) and answers.items:
                seen[answers.instrument] += 1
                if answers.score is not None:
                    assert answers.score == sum(answers.items.values())
                    assert all(0 <= points <= 3 for points in answers.items.values())
                seen["item 9"] += answers.instrument == "PHQ-9" and answers.items["9"] > 0
    assert {"PHQ-9", "GAD-7", "BAM", "UDS", "C-SSRS", "item 9"} <= set(seen)
    assert 0.02 < seen["item 9"] / seen["PHQ-9"] < 0.25


def test_every_type_that_a_clinic_can_send_is_sent(clean: Journeys) -> None:
    sent = {event.type for events in clean.values() for event in events}
    outside = {name for name, kind in inbound.EVENT_TYPES.items() if not kind.internal}
    # A closed alert needs an id that only the worker knows; a retraction is mess.
    assert outside - sent == {"care.alert.closed.v1", "care.event.retracted.v1"}


def test_shares_and_stays_are_the_published_ones() -> None:
    stays: dict[str, list[float]] = defaultdict(list)
    for events in _journeys(
        message
        for message in cohort(4000, 11, START, CLEAN)
        if ".decision." in message.subject or ".discharge." in message.subject
    ).values():
        if stay := _first_stay(events):
            ending, days = stay
            stays[ending].append(days)
    admitted = sum(map(len, stays.values()))
    assert admitted > 0.85 * 4000
    for outcome in OUTCOMES:
        drawn = stays[outcome.ending]
        assert abs(len(drawn) / admitted - outcome.share) < SHARE_TOLERATED
        assert abs(median(drawn) - outcome.median_days) <= DAYS_TOLERATED


_ENDINGS = {
    "step_down": "completed",
    "residential": "transferred",
    "transferred": "transferred",
    "lost_contact": "dropped_out",
    "left_against_advice": "dropped_out",
    "attendance": "terminated",
    "terminated": "terminated",
    "medical": "other",
    "incarcerated": "other",
    "died": "other",
    "other": "other",
}


def _first_stay(events: list[inbound.Event]) -> tuple[str, float] | None:
    """Return how the first stay in IOP ended, and its days in IOP."""
    days, entered = 0.0, None
    for event in events:
        data = event.data
        if isinstance(data, inbound.DecisionRecorded) and data.to == "iop":
            entered = event.time
        elif entered is not None:
            days += (event.time - entered) / DAY
            entered = None
            left = data.reason if isinstance(data, inbound.DischargeRecorded) else _to(data)
            if left != "php":
                return _ENDINGS[left], days
    return None


def _to(data: inbound.Fact) -> str:
    assert isinstance(data, inbound.DecisionRecorded)
    return data.to


def test_a_large_clinic_streams() -> None:
    """Taking the first messages admits the first patients only."""
    assert admission_days(100_000) == 2500
    first = list(islice(cohort(100_000, 1, START), 2000))
    assert len({message.subject.rsplit(".", 1)[1] for message in first}) < 1000


def test_lines_are_what_a_publisher_can_send() -> None:
    tally = Tally()
    mess = Mess(malformed=0.2, lines=True)
    messages = list(cohort(20, 3, START, mess, prefix="clinic", tally=tally))
    lines = list(to_jsonl(messages, "clinic"))
    assert len(lines) == len(messages) == tally.messages
    assert tally.malformed > 0
    assert all(type(json.loads(line)) is dict for line in lines)
    assert not any("\n" in line for line in lines)


def test_what_cannot_be_a_line_is_left_out() -> None:
    messages = list(cohort(60, 3, START, Mess(malformed=0.2)))
    assert 0 < len(list(to_jsonl(messages))) < len(messages)


def test_the_story_is_the_same_every_time_and_begins_on_a_monday() -> None:
    assert (
        story(date(2020, 1, 6))
        == story(date(2020, 1, 1))
        == story(parse_instant("2020-01-03T12:00:00Z"))
    )
    assert parse_instant(json.loads(story(START)[0].body)["time"]) == parse_instant(
        "2020-01-06T09:00:00-06:00"
    )


def test_the_story_is_told_in_order_within_twelve_weeks(told: list[inbound.Event]) -> None:
    assert {event.patient for event in told} == {STORY_PATIENT}
    assert all(first.time <= second.time for first, second in pairwise(told))
    assert 11 * 7 * DAY < told[-1].time - told[0].time < 12 * 7 * DAY
    assert len({event.identity for event in told}) == len(told)


def test_the_storys_decisions(told: list[inbound.Event]) -> None:
    decisions = [
        (_week(told, event), event.data.to, event.data.confirm, event.data.role)
        for event in told
        if isinstance(event.data, inbound.DecisionRecorded)
    ]
    assert decisions == [
        (1, "iop", True, "physician"),
        (4, "php", True, "licensed_clinician"),
        (7, "iop", True, "physician"),
        (8, "discharged", False, "licensed_clinician"),
        (9, "step_down", True, "physician"),
        (10, "step_down", True, "physician"),
        (12, "aftercare", True, "physician"),
    ]


def test_the_storys_no_shows_ask_for_outreach_and_then_for_a_discharge(
    told: list[inbound.Event],
) -> None:
    sessions = [
        (_week(told, event), event.data.status)
        for event in told
        if isinstance(event.data, inbound.AttendanceRecorded)
    ]
    absent = [index for index, (_, status) in enumerate(sessions) if status == "no_show"]
    assert [sessions[index][0] for index in absent] == [3, 3, 3, 7, 7, 8]
    assert absent[2] - absent[0] == 2
    assert absent[4] - absent[3] == 1


def test_the_storys_scores_rise_to_a_step_up_and_fall_to_a_step_down(
    told: list[inbound.Event],
) -> None:
    scores = [
        event.data.score
        for event in told
        if isinstance(event.data, inbound.AssessmentCompleted) and event.data.instrument == "PHQ-9"
    ]
    assert scores == [16, 15, 21, 17, 13, 12, 9, 7, 6, 4]


def test_the_storys_weeks_in_php_have_twenty_hours(told: list[inbound.Event]) -> None:
    attended = Counter[int]()
    for event in told:
        if isinstance(event.data, inbound.AttendanceRecorded):
            attended[_week(told, event)] += event.data.attended_minutes
    assert attended[5] == attended[6] == 20 * 60
    assert all(9 * 60 <= attended[week] < 20 * 60 for week in (2, 8, 9, 10))


def test_the_storys_premature_decision_is_taken_back(told: list[inbound.Event]) -> None:
    retractions = [event for event in told if isinstance(event.data, inbound.EventRetracted)]
    assert len(retractions) == 1
    data = retractions[0].data
    assert isinstance(data, inbound.EventRetracted)
    taken_back = next(one for one in told if (one.source, one.id) == (data.source, data.id))
    assert isinstance(taken_back.data, inbound.DecisionRecorded)
    assert taken_back.data.to == "step_down"
    assert (_week(told, taken_back), _week(told, retractions[0])) == (9, 10)


def _week(told: list[inbound.Event], event: inbound.Event) -> int:
    monday = told[0].time - 9 * HOUR  # the referral comes at nine
    return (event.time - monday) // (7 * DAY) + 1
