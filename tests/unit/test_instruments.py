"""What can be read from a response, and what is set aside."""

import json
from pathlib import Path

import pytest

from pathway.instruments import INSTRUMENTS, NAMES, items_of, measures_of, read
from schemas.inbound import AssessmentCompleted

AHRQ = Path(__file__).parents[3] / "shared" / "data" / "ahrq-phq9.events.jsonl"
BAM = {str(number): 1 for number in (1, 2, 3, 4, 5, 6, 8, 9, 10, 11, 12, 13, 14, 15, 16)}
USUAL = dict(INSTRUMENTS.keys())


def response(instrument: str, **fields: object) -> AssessmentCompleted:
    data = {"assessment_id": "a", "instrument": instrument, "variant": USUAL.get(instrument)}
    return AssessmentCompleted.model_validate(data | fields)


def phq9(*answers: int, **fields: object) -> AssessmentCompleted:
    items = {str(number): answer for number, answer in enumerate(answers, 1)}
    return response("PHQ-9", items=items, **fields)


HIGHEST = {
    "PHQ-9": 27,
    "GAD-7": 21,
    "CIWA-Ar": 67,
    "COWS": 48,
    "AUDIT": 40,
    "AUDIT-C": 12,
    "DAST-10": 10,
    "PCL-5": 80,
    "WHODAS-2.0": 48,
}


@pytest.mark.parametrize(("instrument", "highest"), HIGHEST.items())
def test_totals_within_range_stand_and_no_others(instrument: str, highest: int) -> None:
    for score in (0, highest):
        assert read(response(instrument, score=score)).measures == {"total": score}
    for score in (-1, highest + 1):
        reading = read(response(instrument, score=score))
        assert (reading.measures, reading.set_aside) == ({}, "out_of_range")


def test_every_instrument_is_in_the_table() -> None:
    assert {*HIGHEST, "BAM", "C-SSRS", "UDS"} == NAMES


def test_the_total_is_recomputed_from_the_items() -> None:
    assert read(phq9(3, 3, 3, 3, 3, 3, 2, 0, 0)).measures == {"total": 20}
    assert read(phq9(3, 3, 3, 3, 3, 3, 3, 3, 3, score=27)).measures == {"total": 27}


@pytest.mark.parametrize(
    ("given", "fault"),
    [
        (phq9(1, 0, 0, 0, 0, 0, 0, 0, 0, score=2), "items_disagree"),
        (phq9(1, 0, 0, 0, 0, 0, 0, 0, 0, score=34), "out_of_range"),
        (phq9(4, 0, 0, 0, 0, 0, 0, 0, 0), "out_of_range"),
        (phq9(-1, 0, 0, 0, 0, 0, 0, 0, 0), "out_of_range"),
        (phq9(0, 0, 0, 0, 0, 0, 0, 0), "items_incomplete"),
        (response("PHQ-9", variant="modified", score=3), "unknown_variant"),
        (response("PHQ9", score=3), "unknown_instrument"),
        (response("BAM", items=BAM, variant="continuous"), "unknown_variant"),
        (response("BAM", items=BAM, variant=None), "unknown_variant"),
        (response("BAM", score=3), "items_missing"),
        (response("BAM", items=BAM | {"4": 5}), "out_of_range"),
        (response("C-SSRS", items={"4": 2}), "out_of_range"),
        (response("C-SSRS", items={"6": 1}), "unknown_item"),
        (response("C-SSRS", items={"1": 1, "q4": 1}), "unknown_item"),
        (response("C-SSRS", score=3), "items_missing"),
        (response("UDS", items={"thc": 2}), "out_of_range"),
        (response("UDS", score=1), "items_missing"),
        (response("CIWA-Ar", items={"nausea": 3}), "items_missing"),
        (response("WHODAS-2.0", variant=None, score=3), "unknown_variant"),
    ],
)
def test_what_cannot_be_trusted_is_set_aside(given: AssessmentCompleted, fault: str) -> None:
    reading = read(given)
    assert (dict(reading.measures), reading.set_aside) == ({}, fault)


def test_an_item_beyond_the_scored_ones_does_no_harm() -> None:
    """Item 10 of the PHQ-9 asks about difficulty and is not scored; BAM has two such items."""
    assert read(phq9(1, 0, 0, 0, 0, 0, 0, 0, 0, 3)).measures == {"total": 1}
    assert read(response("BAM", items=BAM | {"7": 1, "17": 4})).set_aside is None


def test_bam_subscales() -> None:
    assert read(response("BAM", items=BAM)).measures == {"use": 3, "risk": 6, "protective": 6}
    top = dict.fromkeys(BAM, 4)
    assert read(response("BAM", items=top)).measures == {"use": 12, "risk": 24, "protective": 24}


@pytest.mark.parametrize(
    ("items", "high"),
    [
        ({"1": 1, "2": 1, "3": 1}, 0),
        ({"4": 1}, 1),
        ({"5": 1}, 1),
        ({"6_3m": 1}, 1),
        ({"6_lifetime": 1, "6_3m": 0}, 0),
        ({"1": 0, "2": 0, "3": 0, "4": 0, "5": 0, "6_lifetime": 0, "6_3m": 0}, 0),
    ],
)
def test_suicide_risk(items: dict[str, int], high: int) -> None:
    assert read(response("C-SSRS", items=items)).measures == {"high": high}


def test_any_unexpected_analyte_makes_the_result_unexpected() -> None:
    assert read(response("UDS", items={"thc": 0, "opiates": 0})).measures == {"unexpected": 0}
    assert read(response("UDS", items={"thc": 0, "opiates": 1})).measures == {"unexpected": 1}


@pytest.mark.skipif(not AHRQ.exists(), reason="the records from outside are not here")
def test_real_responses() -> None:
    """The public records: of 21 responses 4 totals are impossible and 2 disagree with the items."""
    events = [json.loads(line) for line in AHRQ.read_text().splitlines()]
    faults = [
        read(AssessmentCompleted.model_validate(event["data"])).set_aside
        for event in events
        if event["type"] == "care.assessment.completed.v1"
    ]
    assert len(faults) == 21
    assert faults.count("out_of_range") == 4
    assert faults.count("items_disagree") == 2
    assert faults.count(None) == 15


def test_names_for_rules() -> None:
    assert measures_of("PHQ-9") == {"total"}
    assert measures_of("BAM") == {"use", "risk", "protective"}
    assert items_of("PHQ-9") == {str(number) for number in range(1, 10)}
    assert items_of("UDS") is None
    with pytest.raises(ValueError, match="unknown instrument"):
        items_of("PHQ9")
