"""Late, corrected and retracted facts are seen for what they are; cut-offs come from the policy."""

import json
from typing import Any

from handlers.board.cutoffs import cutoffs
from handlers.board.facts import describe, entries
from handlers.board.lanes import Axis
from handlers.board.picture import ticks
from handlers.board.words import Times, age, basis
from pathway.policy import default
from pathway.store.base import JournalRow
from schemas import inbound
from schemas.examples import EXAMPLES
from schemas.instants import DAY, HOUR, WEEK, format_instant, parse_instant

T = parse_instant("2026-02-02T15:00:00Z")


def row(kind: str, id_: str, at: int, commit: int, **data: Any) -> JournalRow:  # noqa: ANN401 - JSON
    example = EXAMPLES[f"care.{kind}.v1"]
    fields = example | {
        "id": id_,
        "subject": "p1",
        "time": format_instant(at),
        "data": example["data"] | data,
    }
    raw = json.dumps(fields).encode()
    fact = inbound.reread(raw)
    return JournalRow(
        fact.source, id_, "p1", fact.type, fact.identity, fact.revision, at, raw, "", commit, T
    )


def test_a_fact_after_later_ones_is_late() -> None:
    rows = [
        row("contact.made", "a", T + DAY, 1, contact_id="a"),
        row("contact.made", "b", T, 2, contact_id="b"),
        row("contact.made", "c", T + DAY + HOUR, 2, contact_id="c"),
    ]
    assert [(e.fact.id, e.late) for e in entries(rows)] == [
        ("b", True),
        ("a", False),
        ("c", False),
    ]


def test_within_one_batch_nothing_is_late() -> None:
    rows = [row("contact.made", x, T + at * DAY, 1, contact_id=x) for x, at in (("a", 2), ("b", 0))]
    assert not any(entry.late for entry in entries(rows))


def test_corrected_and_retracted_facts_stay_visible() -> None:
    source = EXAMPLES["care.contact.made.v1"]["source"]
    rows = [
        row("contact.made", "a", T, 1, contact_id="x", reached=False),
        row("contact.made", "a2", T, 2, contact_id="x", reached=True, revision=1),
        row("contact.made", "b", T + HOUR, 3, contact_id="y"),
        row("event.retracted", "r", T + DAY, 4, source=source, id="b"),
    ]
    told = {entry.fact.id: entry.note for entry in entries(rows)}
    assert told == {
        "a": "replaced by a correction",
        "a2": "correction no. 1",
        "b": "taken back",
        "r": "",
    }


def test_every_type_of_fact_has_words() -> None:
    for kind, example in EXAMPLES.items():
        fact = inbound.EVENT_TYPES[kind]
        if not fact.internal:
            text = describe(inbound.reread(json.dumps(example).encode()))
            assert text
            assert "_" not in text


def test_cut_offs_are_the_policys() -> None:
    found = cutoffs(default())
    assert {(c.sign, c.value) for c in found["PHQ-9/total"]} == {("<", 5), ("<", 15), ("≥", 20)}
    (severe,) = [c for c in found["GAD-7/total"] if c.value == 15]
    assert severe.rules == ("severe anxiety",)


def test_a_basis_is_one_sentence_with_its_source() -> None:
    policy = default()
    for rule in policy.rules:
        text = basis(policy, rule.id)
        assert text.endswith(").")
        assert rule.source in text
    assert basis(policy, "urgent-overdue") == "An urgent alert that nobody closed in time."
    assert basis(None, "some-rule") == "Rule some-rule."


def test_ticks_are_mondays_then_months() -> None:
    times = Times("America/Chicago")
    few = ticks(Axis(T, T + 6 * WEEK, times))
    assert {times.local(at).weekday() for at, _ in few} == {0}
    many = ticks(Axis(T, T + 60 * WEEK, times))
    assert {times.local(at).day for at, _ in many} == {1}
    assert len(many) <= 14


def test_ages_are_in_their_greatest_unit() -> None:
    assert age(T, T + 30 * HOUR // 60) == "30 min"
    assert age(T, T + 30 * HOUR) == "30 h"
    assert age(T, T + 3 * DAY) == "3 days"
    assert age(T + DAY, T) == "0 min"
