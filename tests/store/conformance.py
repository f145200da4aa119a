"""What every store must do; inherited once a database, which gives the fixture `url`.

`url` names an empty, migrated database.
"""

# ruff: noqa: ASYNC251 - nothing else runs in these loops

import time
from collections.abc import AsyncIterator

import pytest
from msgspec.structs import astuple, replace

from pathway.audit.tree import Tree, leaf_hash
from pathway.store.base import (
    CheckpointRow,
    Commit,
    Found,
    JournalRow,
    KeyRow,
    Known,
    OutboxRow,
    ParkedRow,
    Sought,
    Store,
    Vitals,
)
from pathway.store.errors import (
    ClockWentBackError,
    ConflictError,
    StaleOwnerError,
    StoreError,
    UnstorableError,
)
from pathway.store.open import open_store
from schemas.inbound import policy_adopted

from .processes import another, look_on, write_on
from .rows import (
    SOURCE,
    Announced,
    entry,
    full,
    message,
    order,
    poison,
    rules,
    said,
    snapshot,
    told,
)

EMPTY = {"journal": 0, "patients": 0, "outbox": 0, "unpublished": 0, "parked": 0}
SIZE = 16  # journal rows of a `full` commit
MANY = 2500  # more than several statements' worth of keys


@pytest.mark.anyio
class StoreConformance:
    @pytest.fixture
    async def store(self, url: str) -> AsyncIterator[Store]:
        store = open_store(url)
        await store.open()
        await store.claim()
        yield store
        await store.close()

    # -- one commit ----------------------------------------------------------------------------

    async def test_an_empty_store_holds_nothing(self, store: Store) -> None:
        assert await store.counts() == EMPTY
        assert await store.last_recorded_at() == 0
        assert await store.next_due() is None
        assert await store.census() == {}
        assert await store.known([]) == {}
        assert await store.known([("a", "b")]) == {}
        assert await store.policies() == []

    async def test_numbers_and_positions_are_dense(self, store: Store) -> None:
        assert (await store.commit(full(10, size=2)))[:2] == (1, 10)
        number, recorded_at, sent = await store.commit(full(10 + 1, size=3))
        assert (number, recorded_at) == (2, 11)
        assert [row.position for row in sent] == [3, 4, 5]
        assert {row.recorded_at for row in sent} == {11}
        assert (await store.commit(Commit(recorded_at=12)))[0] == 3
        assert [row async for row in store.messages(since=11)] == sent

    async def test_what_was_written_comes_back(self, store: Store) -> None:
        first = full(7, size=1)
        await store.commit(first)
        patient = first.patients[0].patient
        given_here = {"commit": 1, "recorded_at": 7}
        assert await store.journal(patient) == [replace(first.journal[0], **given_here)]
        assert await store.patients([patient, "nobody"]) == {patient: first.patients[0]}
        assert await store.ledger_of(patient) == {"k": first.ledger[0]}
        assert await store.parked() == [replace(first.parked[0], recorded_at=7)]
        assert await store.policies() == first.policies

    @pytest.mark.parametrize(
        "bad",
        [
            Commit(9, journal=[entry("new"), entry("old"), entry("newer")]),
            Commit(9, journal=[entry("new"), entry("new")]),
            Commit(9, journal=[entry("new")], outbox=[message("m2"), message("m1")]),
        ],
        ids=["journaled before", "twice in one commit", "a message's id"],
    )
    async def test_a_duplicate_rolls_everything_back(self, store: Store, bad: Commit) -> None:
        await store.commit(Commit(5, journal=[entry("old")], outbox=[message("m1")]))
        bad.patients, bad.ledger = [snapshot("p1")], [said("p1", "k")]
        before = await store.counts()
        with pytest.raises(ConflictError) as caught:
            await store.commit(bad)
        assert caught.value.code == "store_conflict"
        assert await store.counts() == before
        assert await store.ledger_of("p1") == {}
        assert (await store.last_recorded_at(), await store.known([(SOURCE, "new")])) == (5, {})
        number, _, sent = await store.commit(Commit(9, outbox=[message("m2")]))
        assert (number, sent[0].position) == (2, 2), "a rolled back commit leaves no gap"

    async def test_one_bad_row_rolls_everything_back(self, store: Store) -> None:
        bad = full(1)
        bad.outbox[7] = replace(bad.outbox[7], body=None)
        with pytest.raises(StoreError):
            await store.commit(bad)
        assert await store.counts() == EMPTY

    @pytest.mark.parametrize(
        "row", [replace(entry("e"), id="\ud800"), replace(entry("e"), revision=2**63)]
    )
    async def test_a_value_that_no_row_holds_is_told(self, store: Store, row: JournalRow) -> None:
        with pytest.raises(UnstorableError):
            await store.commit(Commit(1, journal=[row], patients=[snapshot("p1")]))
        assert await store.counts() == EMPTY

    async def test_recorded_at_never_decreases(self, store: Store) -> None:
        await store.commit(Commit(100))
        await store.commit(Commit(100))
        with pytest.raises(ClockWentBackError) as caught:
            await store.commit(Commit(99))
        assert caught.value.code == "clock_went_back"
        assert await store.last_recorded_at() == 100

    # -- the owner -----------------------------------------------------------------------------

    async def test_a_stale_owner_cannot_commit(self, store: Store, url: str) -> None:
        other = open_store(url)
        await other.open()
        try:
            with pytest.raises(StaleOwnerError):
                await other.commit(full(1))
            mine = await store.claim()
            assert await other.claim() == mine + 1
            with pytest.raises(StaleOwnerError) as caught:
                await store.commit(full(1))
            assert caught.value.code == "stale_owner"
            assert await store.counts() == EMPTY
            assert (await other.commit(full(1)))[0] == 1
        finally:
            await other.close()

    # -- finding -------------------------------------------------------------------------------

    async def test_thousands_of_keys_are_found(self, store: Store) -> None:
        await store.commit(full(1, size=MANY))
        names = [f"1-{position}" for position in range(MANY)]
        none = [f"2-{position}" for position in range(MANY)]
        known = await store.known([(SOURCE, name) for name in names + none])
        assert known == {(SOURCE, name): Known(f"p{name}", entry(name).raw) for name in names}
        pairs = [(f"p{name}", entry(name).identity) for name in names + none]
        assert (await store.look(Sought(identities=pairs))).identities == set(pairs[:MANY])
        ledger = await store.ledger([(f"p{name}", "k") for name in names + none])
        assert ledger == {(f"p{name}", "k"): said(f"p{name}", "k") for name in names}
        assert len(await store.patients({f"p{name}" for name in names + none})) == MANY

    async def test_both_halves_of_a_key_count(self, store: Store) -> None:
        rows = [entry("1", source="a"), entry("2", source="b")]
        await store.commit(Commit(1, journal=rows, ledger=[said("p1", "k1"), said("p2", "k2")]))
        assert await store.known([("a", "2"), ("b", "1"), ("A", "1")]) == {}
        assert await store.ledger([("p1", "k2"), ("p2", "k1"), ("P1", "k1")]) == {}

    async def test_a_key_with_a_control_character_hides_no_other(self, store: Store) -> None:
        await store.commit(Commit(1, journal=[entry("e")]))
        odd = [(SOURCE, "a\x1fb"), (SOURCE, "e"), ("\x1f", "e"), (SOURCE, "\x1e")]
        assert set(await store.known(odd)) == {(SOURCE, "e")}
        assert await store.known(odd[:1]) == {}

    async def test_a_repeated_identity_is_found_once(self, store: Store) -> None:
        rows = [entry("1", identity="s"), entry("2", identity="s")]
        await store.commit(Commit(1, journal=rows))
        sought = Sought(identities=[("p1", "s"), ("p1", "s"), ("p2", "s")])
        assert (await store.look(sought)).identities == {("p1", "s")}

    async def test_one_look_finds_what_single_ones_find(self, store: Store) -> None:
        written = full(1, size=3)
        written.keys = [KeyRow("p1-0", b"wrapped"), KeyRow("gone", b"")]
        await store.commit(written)
        ids = [(row.source, row.id) for row in written.journal] + [(SOURCE, "unheard of")]
        asked = Sought(
            ids=ids,
            identities=[("p1-1", entry("1-1").identity), ("p1-1", "another")],
            keys=["p1-0", "gone", "nobody"],
            patients=["p1-2", "nobody"],
        )
        found = await store.look(asked)
        assert found.known == await store.known(ids)
        assert len(found.known) == 3
        assert found.identities == {("p1-1", entry("1-1").identity)}
        assert found.keys == {"p1-0": b"wrapped", "gone": b""}
        assert found.patients == await store.patients(["p1-2"])
        assert await store.look(Sought()) == Found()

    async def test_snapshots_and_ledger_rows_are_replaced(self, store: Store) -> None:
        first = Commit(1, patients=[snapshot("p1", "iop", 5)], ledger=[said("p1", "k", 0)])
        second = Commit(2, patients=[snapshot("p1", "php")], ledger=[said("p1", "k", 1)])
        await store.commit(first)
        await store.commit(second)
        assert await store.patients(["p1"]) == {"p1": second.patients[0]}
        assert await store.ledger([("p1", "k")]) == {("p1", "k"): second.ledger[0]}
        assert await store.next_due() is None

    async def test_the_journal_keeps_the_order_of_writing(self, store: Store) -> None:
        for number, ids in enumerate((["z", "a", "m"], ["c", "b"]), start=1):
            await store.commit(Commit(number, journal=[entry(id_) for id_ in ids]))
        rows = await store.journal("p1")
        assert [(row.commit, row.id) for row in rows] == [
            (1, "z"),
            (1, "a"),
            (1, "m"),
            (2, "c"),
            (2, "b"),
        ]

    # -- the audit log -------------------------------------------------------------------------

    async def test_entries_are_leaves_of_one_tree(self, store: Store) -> None:
        texts = [str(number) for number in range(700)]
        for number, start in enumerate((0, 1, 5, 5, 300), start=1):
            stop = {0: 1, 1: 5, 5: 300, 300: 700}[start] if number != 3 else start
            await store.commit(Commit(number, entries=[told(each) for each in texts[start:stop]]))
        expected, nodes = Tree().extend(leaf_hash(each.encode()) for each in texts)
        assert await store.tree() == expected
        rows = [row async for row in store.entries()]
        assert [(row.sequence, row.leaf.decode()) for row in rows] == list(enumerate(texts))
        assert (rows[4].commit, rows[5].commit, rows[4].sealed) == (2, 4, b"\x004")
        some = [row.sequence async for row in store.entries(3, 9)]
        assert some == [3, 4, 5, 6, 7, 8]
        hashes = [leaf_hash(row.leaf) for row in rows]
        assert await store.hashes(0, 0, 700) == hashes
        assert await store.hashes(0, 4, 301) == hashes[4:301]
        assert await store.hashes(8, 0, 9) == [node.hash for node in nodes if node.level == 8]
        assert [each async for part in store.leaves(699) for each in part] == hashes[699:]

    async def test_one_patients_entries_are_found(self, store: Store) -> None:
        rows = [told("a"), told("b", "p2"), told("c", None), told("d")]
        await store.commit(Commit(1, entries=rows))
        found = [(row.sequence, row.patient) async for row in store.entries(patient="p1")]
        assert found == [(0, "p1"), (3, "p1")]
        assert [row.patient async for row in store.entries()] == ["p1", "p2", None, "p1"]

    async def test_a_rolled_back_commit_leaves_the_tree(self, store: Store) -> None:
        await store.commit(Commit(1, journal=[entry("old")], entries=[told("a")]))
        before = await store.tree()
        with pytest.raises(ConflictError):
            await store.commit(Commit(2, journal=[entry("old")], entries=[told("b")]))
        assert await store.tree() == before
        await store.commit(Commit(2, entries=[told("c")]))
        assert [row.leaf async for row in store.entries()] == [b"a", b"c"]

    async def test_the_head_is_announced_last(self, store: Store) -> None:
        first = Commit(1, outbox=[message("m")], entries=[told("a")], announcement=Announced())
        _, _, sent = await store.commit(first)
        assert [(row.id, row.position) for row in sent] == [("m", 1), ("audit-1", 2)]
        assert sent[1].body == (await store.tree()).root()
        _, _, sent = await store.commit(Commit(2, entries=[told("b")], announcement=Announced()))
        assert [(row.id, row.position, row.recorded_at) for row in sent] == [("audit-2", 3, 2)]
        assert [row.id async for row in store.messages()] == ["m", "audit-1", "audit-2"]

    async def test_a_patient_gets_one_key(self, store: Store) -> None:
        await store.commit(Commit(1, keys=[KeyRow("p2", b"2"), KeyRow("p1", b"1")]))
        assert await store.keys(["p1", "p2", "p3"]) == {"p1": b"1", "p2": b"2"}
        assert await store.keys([]) == {}
        with pytest.raises(ConflictError):
            await store.commit(Commit(2, keys=[KeyRow("p1", b"other")]))
        assert await store.keys(["p1"]) == {"p1": b"1"}

    async def test_keys_are_wrapped_anew_unless_somebody_was_quicker(self, store: Store) -> None:
        names = [f"p{number:03}" for number in range(400)]
        rows = [KeyRow(name, name.encode()) for name in names]
        await store.commit(Commit(1, keys=[*rows, KeyRow("erased", b"")]))
        assert [row async for row in store.wrapped_keys()] == rows
        changes = [(name, name.encode(), b"new") for name in names]
        changes += [("p000", b"other", b"bad"), ("erased", b"old", b"bad"), ("nobody", b"", b"bad")]
        assert await store.rewrap(changes) == 400
        assert await store.rewrap([]) == 0
        assert await store.keys([*names, "erased"]) == dict.fromkeys(names, b"new") | {
            "erased": b""
        }

    async def test_everybody_who_stands_anywhere_is_found(self, store: Store) -> None:
        names = [f"p{number:03}" for number in range(600)]
        for number, part in enumerate([names[::2], names[1::2]], 1):
            await store.commit(
                Commit(
                    number,
                    journal=[entry(f"{number}-{name}", name) for name in part[:100]],
                    patients=[snapshot(name) for name in part[50:200]],
                    ledger=[said(name, key) for name in part[200:250] for key in "ab"],
                    outbox=[message(f"{number}-{name}", name) for name in [*part[250:], "_"]],
                    entries=[told(f"{number}-{name}", name) for name in part[::3]],
                )
            )
        await store.commit(Commit(3, entries=[replace(told("x", "A"), patient=None)]))
        await store.commit(Commit(4, entries=[told("y", "only-audited")]))
        assert [key async for key in store.everybody()] == ["only-audited", *names]

    async def test_entries_are_appended_by_who_owns_nothing(self, store: Store, url: str) -> None:
        await store.commit(Commit(100, outbox=[message("m")], entries=[told("a")]))
        reader = open_store(url)
        await reader.open()
        try:
            await reader.append([told("look")], Announced(7))
        finally:
            await reader.close()
        assert [(row.leaf, row.commit) async for row in store.entries()] == [
            (b"a", 1),
            (b"look", 2),
        ]
        assert (await store.tree()).size == 2
        assert [(row.id, row.recorded_at) for row in await store.unpublished(9, after=1)] == [
            ("audit-2", 7)
        ]
        assert await store.last_recorded_at() == 100, "a reader's clock is not the worker's"
        number, _, sent = await store.commit(Commit(100, outbox=[message("n")]))
        assert (number, sent[0].position) == (3, 3)

    # -- orders --------------------------------------------------------------------------------

    async def test_orders_are_kept_until_they_are_done(self, store: Store) -> None:
        later, first = order("2", 9), order("1", 5)
        await store.give([later])
        await store.give([first])
        assert await store.orders(9) == [first, later]
        await store.commit(Commit(1, orders=[replace(first, state="committed")]))
        await store.commit(Commit(2, orders=[replace(later, state="refused", detail="why")]))
        assert await store.orders(9) == [replace(first, state="committed")]
        await store.note("1", "p1")
        await store.note("1", "p2 p3")
        await store.note("2", "p4")
        await store.finish("1")
        await store.finish("2")
        await store.note("1", "p5")
        assert await store.orders(9) == []
        assert await store.order("1") == replace(first, state="done", detail="p1 p2 p3")
        assert await store.order("2") == replace(later, state="refused", detail="why")
        assert await store.order("3") is None

    async def test_nothing_but_the_log_is_left_of_who_is_erased(self, store: Store) -> None:
        for number, patient in enumerate(("p1", "p2", "p11"), start=1):
            await store.commit(
                Commit(
                    number,
                    journal=[entry(patient, patient)],
                    patients=[snapshot(patient, next_due=3)],
                    ledger=[said(patient, "k")],
                    outbox=[message(f"m-{patient}", patient)],
                    parked=[replace(poison(number), subject=f"care.events.x.y.{patient}")],
                    entries=[told(patient, patient)],
                    keys=[KeyRow(patient, patient.encode())],
                )
            )
        named = ParkedRow(9, "care.events.x.y.p2", "bad_time", "", None, None, b'{"subject":"p1"}')
        await store.commit(Commit(4, parked=[named]))
        await store.commit(Commit(5, outbox=[message("erased", "p1", 2)], erased="p1"))
        await store.scrub()
        assert await store.keys(["p1", "p2", "p11"]) == {"p1": b"", "p2": b"p2", "p11": b"p11"}
        assert (await store.patients(["p1", "p2", "p11"])).keys() == {"p2", "p11"}
        assert await store.due(9, 9) == [(3, "p11"), (3, "p2")]
        assert await store.ledger_of("p1") == {}
        assert await store.ledger_of("p2") != {}
        body = message("m").body
        assert {row.id: row.body async for row in store.messages()} == {
            "m-p1": b"",
            "m-p2": body,
            "m-p11": body,
            "erased": body,
        }
        assert [row.id for row in await store.unpublished(9)] == ["m-p2", "m-p11", "erased"]
        payloads = {row.stream_sequence: row.raw for row in await store.parked()}
        assert payloads == {1: b"", 2: b"\xff", 3: b"\xff", 9: b""}
        assert len(await store.journal("p1")) == 1
        assert [row.patient async for row in store.entries()] == ["p1", "p2", "p11"]

    async def test_what_another_worker_parked_after_an_erasure_is_emptied(
        self, store: Store
    ) -> None:
        await store.commit(Commit(1, keys=[KeyRow("p1", b"wrapped")], outbox=[message("m")]))
        await store.commit(Commit(2, erased="p1"))
        late = replace(poison(1), subject="care.events.x.y.p1")
        other = replace(poison(2), subject="care.events.x.y.p11")
        await store.commit(Commit(3, parked=[late, other]))
        await store.empty_parked("p1")
        assert [row.raw for row in await store.parked()] == [b"", other.raw]

    async def test_a_checkpoint_is_kept_once(self, store: Store) -> None:
        assert await store.last_checkpoint() is None
        for size, note in ((3, b"three"), (1, b"one"), (3, b"other")):
            await store.keep_checkpoint(CheckpointRow(size, note, 7))
        assert await store.last_checkpoint() == CheckpointRow(3, b"three", 7)
        found = [row async for row in store.checkpoints()]
        assert found == [CheckpointRow(1, b"one", 7), CheckpointRow(3, b"three", 7)]
        assert [row.size async for row in store.checkpoints(1)] == [3]

    async def test_the_whole_journal_is_read_in_order(self, store: Store) -> None:
        for number in range(1, 4):
            rows = [entry(f"{number}-{i}", f"p{i % 3}") for i in range(200)]
            await store.commit(Commit(number, journal=rows))
        found = [(row.commit, row.id) async for row in store.journaled()]
        assert found == [(n, f"{n}-{i}") for n in range(1, 4) for i in range(200)]

    # -- relay, scheduler, looking -------------------------------------------------------------

    async def test_published_messages_are_not_sent_again(self, store: Store) -> None:
        _, _, sent = await store.commit(full(1, size=5))
        assert await store.unpublished(10) == sent
        assert await store.unpublished(2, after=1) == sent[1:3]
        await store.mark_published([1, 2, 4])
        await store.mark_published([])
        assert [row.position for row in await store.unpublished(10)] == [3, 5]
        assert (await store.counts())["unpublished"] == 2
        assert len([row async for row in store.messages()]) == 5

    async def test_due_patients_come_earliest_first(self, store: Store) -> None:
        due = {"a": 30, "B": 10, "c": 20, "A": 20, "d": None, "e": 31}
        await store.commit(Commit(1, patients=[snapshot(p, None, t) for p, t in due.items()]))
        assert await store.due(30, 10) == [(10, "B"), (20, "A"), (20, "c"), (30, "a")]
        assert await store.due(30, 2) == [(10, "B"), (20, "A")]
        assert await store.due(30, 2, after=(20, "A")) == [(20, "c"), (30, "a")]
        assert await store.due(9, 10) == []
        assert await store.next_due() == 10
        assert [await store.next_due(each) for each in (10, 20, 31)] == [20, 30, None]

    async def test_census_counts_by_state(self, store: Store) -> None:
        states = {"a": "iop", "b": "iop", "c": "php", "d": None}
        await store.commit(Commit(1, patients=[snapshot(p, s) for p, s in states.items()]))
        assert await store.census() == {"iop": 2, "none": 1, "php": 1}

    async def test_patients_are_counted_by_the_policy_in_force(self, store: Store) -> None:
        old, new, newest = (f"{number}" * 64 for number in (1, 2, 3))
        people = [replace(snapshot(name), policy=old) for name in "abcd"]
        adopted = [
            replace(entry(event.id, event.patient, source=event.source), time=event.time)
            for event in (
                policy_adopted("a", 5, name="p", version="2", digest=new, signed_by="x"),
                policy_adopted("b", 6, name="p", version="3", digest=newest, signed_by="x"),
                policy_adopted("b", 5, name="p", version="2", digest=new, signed_by="x"),
            )
        ]
        await store.commit(Commit(1, patients=people, journal=adopted))
        assert await store.in_force() == {old[:16]: 2, new[:16]: 1, newest[:16]: 1}

    async def test_patient_keys_come_in_code_point_order(self, store: Store) -> None:
        keys = [f"{first}{number}" for first in "Ba-_9Z" for number in range(100)]
        await store.commit(Commit(1, patients=[snapshot(key) for key in keys]))
        assert [key async for key in store.patient_keys()] == sorted(keys)

    async def test_messages_can_be_narrowed(self, store: Store) -> None:
        sent: list[OutboxRow] = []
        for number in range(1, 4):
            rows = [message(f"{number}-{i}", f"p{i % 2}") for i in range(300)]
            sent += (await store.commit(Commit(number, outbox=rows)))[2]
        assert [row async for row in store.messages()] == sent
        of_one = [row for row in sent if row.patient == "p1"]
        assert [row async for row in store.messages(patient="p1")] == of_one
        late = [row for row in of_one if row.recorded_at >= 3]
        assert [row async for row in store.messages(patient="p1", since=3)] == late

    async def test_messages_are_read_on_from_a_position(self, store: Store) -> None:
        _, _, sent = await store.commit(full(1, size=5))
        await store.mark_published([1, 4])
        assert await store.messages_after(0, 10) == sent
        assert await store.messages_after(2, 2) == sent[2:4]
        assert await store.messages_after(5, 10) == []

    async def test_vitals_tell_how_the_database_is_doing(self, store: Store, url: str) -> None:
        empty = await store.vitals(0)
        assert astuple(empty) == (True, 0, None, 0, 0, 0, 0, None)
        late = [snapshot(f"late{due}", next_due=due) for due in (5, 6, 7)]
        await store.commit(replace(full(1, size=3), patients=late))
        await store.commit(full(2, size=4))
        await store.mark_published([1, 2, 3, 5])
        await store.keep_checkpoint(CheckpointRow(3, b"three", 9))
        found = await store.vitals(6)
        assert found == Vitals(
            owned=True,
            unpublished=3,
            oldest=2,
            parked=2,
            due=2,
            entries=7,
            signed=3,
            signed_at=9,
        )
        other = open_store(url)
        await other.open()
        await other.claim()
        assert not (await store.vitals(6)).owned
        assert (await other.vitals(6)).owned
        await other.close()

    async def test_parked_rows_are_kept_once_and_discarded(self, store: Store) -> None:
        await store.commit(Commit(1, parked=[poison(7), poison(3)]))
        with pytest.raises(ConflictError):  # it must get another number, or it would be lost
            await store.commit(Commit(2, parked=[poison(7, "too_large")]))
        parked = await store.parked()
        assert [(row.stream_sequence, row.reason, row.recorded_at) for row in parked] == [
            (3, "not_json", 1),
            (7, "not_json", 1),
        ]
        assert await store.parked_one(7) == parked[1]
        assert await store.parked_at([3, 4, 7]) == {3, 7}
        assert await store.parked_at([]) == set()
        assert await store.discard_parked([7, 8]) == 1
        assert await store.discard_parked([]) == 0
        assert await store.parked_one(7) is None

    async def test_a_policy_is_kept_once(self, store: Store) -> None:
        await store.commit(Commit(1, policies=[rules("d1"), rules("d2")]))
        await store.commit(Commit(2, policies=[rules("d1")]))
        assert await store.policies() == [rules("d1"), rules("d2")]

    async def test_a_read_only_store_looks_but_never_writes(self, store: Store, url: str) -> None:
        await store.commit(full(1))
        looker = open_store(url, read_only=True)
        await looker.open()
        try:
            assert await looker.counts() == await store.counts()
            assert len(await looker.patients(["p1-0"])) == 1
            for attempt in (looker.claim, lambda: looker.discard_parked([1])):
                with pytest.raises(StoreError):
                    await attempt()
            await store.commit(full(2))
            assert await looker.last_recorded_at() == 2
        finally:
            await looker.close()

    async def test_a_closed_store_says_so(self, url: str) -> None:
        store = open_store(url)
        with pytest.raises(StoreError):
            await store.counts()
        await store.open()
        await store.close()
        await store.close()
        with pytest.raises(StoreError):
            await store.counts()

    # -- processes -----------------------------------------------------------------------------

    async def assert_consistent(self, url: str, reported: int) -> None:
        """Every commit is there as a whole, and none is missing among those reported."""
        store = open_store(url)
        await store.open()
        await store.claim()  # a server may only now find that the writer is gone
        counts = await store.counts()
        commits = await store.last_recorded_at()  # the writer counts its commits by it
        assert commits >= reported
        whole = dict.fromkeys(("journal", "patients", "outbox", "unpublished"), SIZE) | {
            "parked": 1
        }
        assert counts == {table: rows * commits for table, rows in whole.items()}
        positions = [row.position async for row in store.messages()]
        assert positions == list(range(1, SIZE * commits + 1))
        assert (await store.commit(full(commits + 1)))[0] == commits + 1
        await store.close()

    async def test_a_kill_in_the_middle_of_a_commit_leaves_nothing_of_it(self, url: str) -> None:
        with another(write_on, url, deadly_at=3) as writer:
            assert [writer.recv(), writer.recv()] == [1, 2]
            with pytest.raises(EOFError):
                writer.recv()
        await self.assert_consistent(url, 2)

    async def test_a_kill_at_any_instant_leaves_whole_commits(self, url: str) -> None:
        for wait in (0.0, 0.011, 0.023):
            with another(write_on, url) as writer:
                reported = writer.recv()
                time.sleep(wait)
            await self.assert_consistent(url, reported)

    async def test_another_process_reads_whole_commits_meanwhile(
        self, store: Store, url: str
    ) -> None:
        with another(look_on, url, until=50 * SIZE) as looker:
            assert looker.recv() == "ready"
            for number in range(1, 51):
                await store.commit(full(number))
            seen = looker.recv()
        assert seen[0] == EMPTY
        whole = [each["outbox"] == SIZE * each["parked"] == each["journal"] for each in seen]
        assert all(whole)
