"""Each way to lie in a bundle has its name."""

import json
from base64 import b64encode
from dataclasses import replace
from pathlib import Path

import pytest

from pathway.audit.bundle import ENTRIES, BundleEntry
from pathway.audit.canonical import canonical
from pathway.audit.entry import Entry, Subject, event_entry
from pathway.audit.problems import Finding
from pathway.audit.tree import leaf_hash
from pathway.audit.verify import verify_bundle
from tests.unit.audit_forgery import TRUSTED, found, lines, problems_after, renumbered, rewrite
from tests.unit.audit_logs import (
    EVENT_TYPE,
    PATIENT,
    POLICY,
    START,
    Log,
    event,
    raw_event,
    small_log,
)


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    small_log().write(tmp_path / "bundle", unsealed=True)
    return tmp_path / "bundle"


@pytest.fixture
def part(tmp_path: Path) -> Path:
    small_log().write_partial(tmp_path / "part", [1, 4, 5, 9])
    return tmp_path / "part"


def test_an_altered_entry(bundle: Path) -> None:
    def alter(all_lines: list[bytes]) -> list[bytes]:
        all_lines[4] = all_lines[4].replace(b'"after":"iop"', b'"after":"php"')
        return all_lines

    assert problems_after(bundle, alter) == {(Finding.ENTRY_ALTERED, 4)}


def test_a_removed_entry(bundle: Path) -> None:
    assert problems_after(bundle, lambda all_lines: all_lines[:4] + all_lines[5:]) == {
        (Finding.ENTRY_REMOVED, 4)
    }


def test_a_removed_entry_with_the_others_renumbered(bundle: Path) -> None:
    assert problems_after(bundle, lambda all_: renumbered(all_[:4] + all_[5:])) == {
        (Finding.ENTRY_REMOVED, 4)
    }


def test_an_inserted_entry(bundle: Path) -> None:
    line = BundleEntry(index=4, leaf=event(3).leaf).line()
    problems = problems_after(bundle, lambda all_: renumbered([*all_[:4], line, *all_[4:]]))
    assert problems == {(Finding.ENTRY_INSERTED, 4)}


def test_reordered_entries(bundle: Path) -> None:
    problems = problems_after(bundle, lambda all_: [*all_[:4], all_[5], all_[4], *all_[6:]])
    assert problems == {(Finding.ENTRY_REORDERED, 5), (Finding.ENTRY_TIME, 5)}


def test_a_wrong_number(bundle: Path) -> None:
    def number(all_lines: list[bytes]) -> list[bytes]:
        all_lines[4] = all_lines[4].replace(b'"index":4', b'"index":44')
        return all_lines

    assert problems_after(bundle, number) == {(Finding.ENTRY_INDEX, 4)}


def test_altered_sealed_bytes(bundle: Path) -> None:
    def alter(all_lines: list[bytes]) -> list[bytes]:
        fields = json.loads(all_lines[4])
        fields["sealed"] = fields["sealed"][:-8] + "AAAAAAA="
        all_lines[4] = canonical(fields) + b"\n"
        return all_lines

    assert problems_after(bundle, alter) == {(Finding.SEALED_ALTERED, 4)}


def test_altered_opened_content(bundle: Path) -> None:
    def alter(all_lines: list[bytes]) -> list[bytes]:
        all_lines[4] = all_lines[4].replace(rb"\"score\":4", rb"\"score\":5")
        return all_lines

    assert problems_after(bundle, alter) == {(Finding.OPENED_MISMATCH, 4)}


def with_event(bundle: Path, place: int, raw: bytes) -> set[tuple[Finding, int | None]]:
    def alter(all_lines: list[bytes]) -> list[bytes]:
        fields = json.loads(all_lines[place])
        fields["event"] = b64encode(raw).decode()
        all_lines[place] = canonical(fields) + b"\n"
        return all_lines

    return problems_after(bundle, alter)


def test_an_altered_event(bundle: Path) -> None:
    altered = raw_event("e-4").replace(b'"score":4', b'"score":5')
    assert with_event(bundle, 4, altered) == {(Finding.OPENED_MISMATCH, 4)}


def test_an_event_where_there_was_none(bundle: Path) -> None:
    assert with_event(bundle, -1, raw_event("e-4")) == {(Finding.OPENED_MISMATCH, 12)}


def test_an_entry_that_names_another_event_than_it_seals(tmp_path: Path) -> None:
    log = Log()
    subject = Subject("/ehr/example", "e-2", EVENT_TYPE, raw_event("e-3"))
    sealed = event_entry(
        PATIENT, subject, POLICY, recorded_at=START, engine=1, before=None, after=None
    )
    line = BundleEntry(
        0, sealed.leaf, sealed.sealed, None, PATIENT.entry_key("/ehr/example", "e-2"), 0
    )
    log.append(sealed)
    log.checkpoint()
    log.write(tmp_path / "bundle")
    entry = replace(line, event=raw_event("e-3"))
    assert problems_after(tmp_path / "bundle", lambda _: [entry.line()]) == {
        (Finding.OPENED_MISMATCH, 0)
    }


def test_sealed_bytes_where_nothing_was_sealed(bundle: Path) -> None:
    def add(all_lines: list[bytes]) -> list[bytes]:
        all_lines[-1] = all_lines[-1].replace(b'"sealed":null', b'"sealed":"AAAA"')
        return all_lines

    assert problems_after(bundle, add) == {(Finding.SEALED_ALTERED, 12)}


def test_a_leaf_list_that_lies_while_the_entries_do_not(bundle: Path) -> None:
    rewrite(bundle, "leaves.bin", lambda raw: raw[:100] + b"lies" + raw[104:])
    assert found(bundle) == {Finding.LEAVES_ALTERED}
    rewrite(bundle, "leaves.bin", lambda raw: raw[:200] + raw[232:])
    assert found(bundle) == {Finding.LEAVES_ALTERED}


def test_an_entry_altered_together_with_the_leaf_list(bundle: Path) -> None:
    all_lines = (bundle / ENTRIES).read_bytes().splitlines(keepends=True)
    changed = all_lines[5].replace(b'"after":"iop"', b'"after":"php"')
    leaf = BundleEntry.parse(changed).leaf
    rewrite(bundle, ENTRIES, lines(lambda all_: [*all_[:5], changed, *all_[6:]]))
    rewrite(bundle, "leaves.bin", lambda raw: raw[:160] + leaf_hash(leaf) + raw[192:])
    report = verify_bundle(bundle, TRUSTED)
    (problem,) = report.problems
    assert problem.name == Finding.ROOT_MISMATCH
    assert "entries 4 to 7" in problem.detail
    assert report.size == 4


def test_a_log_cut_short(bundle: Path) -> None:
    rewrite(bundle, ENTRIES, lines(lambda all_: all_[:9]))
    rewrite(bundle, "leaves.bin", lambda raw: raw[: 9 * 32])
    (problem,) = verify_bundle(bundle, TRUSTED).problems
    assert (problem.name, problem.index) == (Finding.ENTRY_REMOVED, 9)


def test_an_entry_recorded_before_the_one_before(tmp_path: Path) -> None:
    log = Log()
    log.append(event(2), event(1))
    log.checkpoint()
    log.write(tmp_path / "bundle")
    (problem,) = verify_bundle(tmp_path / "bundle", TRUSTED).problems
    assert (problem.name, problem.index) == (Finding.ENTRY_TIME, 1)


def test_a_leaf_that_is_not_canonical_or_no_entry(tmp_path: Path) -> None:
    log = Log()
    leaf = event(1).leaf
    log.append(Entry(leaf.replace(b'"after":', b'"after": ')), Entry(b'{"kind":"other"}'))
    log.append(Entry(leaf.replace(b"2026-01-05T08:00:01Z", b"soon")))
    log.checkpoint()
    log.write(tmp_path / "bundle")
    report = verify_bundle(tmp_path / "bundle", TRUSTED)
    malformed = [(each.name, each.index) for each in report.problems]
    assert malformed == [(Finding.ENTRY_MALFORMED, index) for index in range(3)]


# -- partial bundles -----------------------------------------------------------------------------


def edited_part(part: Path, place: int, **changes: object) -> set[Finding]:
    def edit(all_lines: list[bytes]) -> list[bytes]:
        fields = json.loads(all_lines[place]) | changes
        fields = {name: value for name, value in fields.items() if value != "absent"}
        all_lines[place] = canonical(fields) + b"\n"
        return all_lines

    rewrite(part, ENTRIES, lines(edit))
    return found(part)


def test_a_proof_that_proves_nothing(part: Path) -> None:
    assert edited_part(part, 1, proof=[]) == {Finding.PROOF_INVALID}


def test_an_entry_without_proof(part: Path) -> None:
    assert edited_part(part, 1, proof="absent") == {Finding.PROOF_INVALID}


def test_an_entry_under_another_number(part: Path) -> None:
    assert edited_part(part, 1, index=3) == {Finding.PROOF_INVALID}


def test_an_entry_that_is_not_the_proved_one(part: Path) -> None:
    other = json.loads(event(4).leaf)
    assert Finding.ENTRY_ALTERED in edited_part(part, 1, entry=other)


def test_an_entry_altered_with_its_leaf_hash(part: Path) -> None:
    other = event(4).leaf
    changes = {"entry": json.loads(other), "leaf": leaf_hash(other).hex()}
    problems = edited_part(part, 1, **changes)
    assert Finding.PROOF_INVALID in problems


def test_entries_out_of_order(part: Path) -> None:
    rewrite(part, ENTRIES, lines(lambda all_: [all_[1], all_[0], *all_[2:]]))
    assert found(part) == {Finding.ENTRY_REORDERED, Finding.ENTRY_TIME}


def test_checkpoints_not_shown_to_extend_each_other(part: Path) -> None:
    def cut(all_lines: list[bytes]) -> list[bytes]:
        return [canonical({"note": json.loads(line)["note"]}) + b"\n" for line in all_lines]

    rewrite(part, "checkpoints.jsonl", lines(cut))
    assert found(part) == {Finding.CHECKPOINT_FORK}


def test_spare_bits_of_a_proof_are_not_passed_over(part: Path) -> None:
    def bend(all_lines: list[bytes]) -> list[bytes]:
        fields = json.loads(all_lines[1])
        proof = fields["consistency"][0]
        fields["consistency"][0] = proof[:-2] + chr(ord(proof[-2]) + 1) + "="
        return [all_lines[0], canonical(fields) + b"\n", *all_lines[2:]]

    rewrite(part, "checkpoints.jsonl", lines(bend))
    assert found(part) == {Finding.CHECKPOINT_FORK}
