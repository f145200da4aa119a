"""What was said: chains without gaps, and a subscriber who knows what is true."""

import json
from collections.abc import Iterator, Sequence

from hypothesis import given

from pathway.effects import Raised, stable_id
from pathway.standing import standing
from pathway.store.base import OutboxRow
from schemas.instants import format_instant, parse_instant
from tests.properties.disorder import Case, cases
from tests.properties.subscriber import CONTRADICTED, Subscriber
from tests.properties.worker import MemoryWorker, worked


def history(case: Case) -> Iterator[tuple[MemoryWorker, Sequence[OutboxRow]]]:
    """The worker after each commit, with what that commit said."""
    worker = MemoryWorker(case.pinned, reload=True)
    for batch in case.batches:
        told = worker.take(batch)
        if told is not None:
            yield worker, told.messages


@given(cases())
def test_a_subscriber_knows_what_stands_after_every_commit(case: Case) -> None:
    subscriber = Subscriber()
    for worker, messages in history(case):
        subscriber.hear(messages)
        assert worker.chart is not None
        snapshot = worker.chart.snapshot
        told = {key for key, data in subscriber.alerts.items() if data["alert"] != CONTRADICTED}
        assert told == {alert.id for alert in snapshot.alerts.values()}
        standing = snapshot.recommendation
        assert set(subscriber.recommendations) == ({standing.id} if standing else set())


@given(cases())
def test_the_transitions_told_are_a_path_to_where_the_patient_stands(case: Case) -> None:
    subscriber = Subscriber()
    for worker, messages in history(case):
        subscriber.hear(messages)
        assert worker.chart is not None
        record = worker.chart.snapshot.record
        since = None if record.since is None else format_instant(record.since)
        if subscriber.current is not None:
            assert subscriber.current == {"state": record.state, "since": since}
        true = [
            (format_instant(move.at), move.said["from"], move.said["to"])
            for move in worker.effects
            if isinstance(move, Raised) and move.kind == "transition"
        ]
        told = [(m["effective_at"], m["from"], m["to"]) for m in subscriber.moves.values()]
        assert sorted(told, key=repr) == sorted(true, key=repr)
        assert [to for _, _, to in true[:-1]] == [start for _, start, _ in true[1:]]
        assert (true[-1][2] if true else None) == record.state


@given(cases())
def test_withdrawn_newest_first_then_new_oldest_first(case: Case) -> None:
    place: dict[str, int] = {}  # message id of a transition -> how many messages came before
    count = 0
    for _, messages in history(case):
        superseded, occurred = [], []
        withdrawing = True
        for row in messages:
            message = json.loads(row.body)
            data, verb = message["data"], message["type"].split(".")[2]
            count += 1
            place[row.id] = count
            if verb == "superseded":
                assert withdrawing
                superseded.append(place[data["supersedes"]])
            elif data.get("resolution") != "withdrawn":
                withdrawing = False
            if verb != "superseded" and data.get("alert") != CONTRADICTED and not withdrawing:
                occurred.append(parse_instant(data["effective_at"]))
        assert superseded == sorted(superseded, reverse=True)
        assert occurred == sorted(occurred)


@given(cases())
def test_a_refold_of_what_was_said_says_nothing(case: Case) -> None:
    """So it does not matter which commits could extend the snapshot and which could not."""
    for worker, _ in history(case):
        again = worker.refold()
        assert not again.messages
        assert again.refolded


@given(cases())
def test_a_contradiction_stands_only_on_a_standing_decision_with_less_ground(case: Case) -> None:
    for worker, _ in history(case):
        stands = {(each.source, each.id) for each in standing(worker.history).facts}
        moves = {each.key: each for each in worker.effects if isinstance(each, Raised)}
        for key, row in worker.ledger.items():
            if CONTRADICTED not in key or row.status != "standing":
                continue
            transition = json.loads(key)[3]
            *_, kind, source, event_id = json.loads(transition)
            assert kind == "fact"
            assert (source, event_id) in stands
            if transition in moves:  # it is carried out all the same
                assert "rule" not in moves[transition].said


@given(cases())
def test_a_message_id_follows_from_patient_key_revision_and_verb(case: Case) -> None:
    worker = worked(case.pinned, case.batches, reload=False)
    possible = {
        stable_id(worker.chart.patient, row.key, revision, verb)  # type: ignore[union-attr]
        for row in worker.ledger.values()
        for revision in range(row.revision + 1)
        for verb in ("raised", "withdrawn", "cleared", "closed", "confirmed", "declined")
    }
    assert {row.id for row in worker.outbox} <= possible
    emissions = sum(row.revision + 1 for row in worker.ledger.values())
    assert len(worker.outbox) == emissions


@given(cases())
def test_no_message_says_more_than_it_may(case: Case) -> None:
    """No instrument, score, item or free text of any event."""
    worker = worked(case.pinned, case.batches, reload=False)
    text = b"".join(row.body for row in worker.outbox).lower()
    for word in (b"phq", b"gad-7", b"c-ssrs", b"ciwa", b"thc", b"score", b"items", b"knows better"):
        assert word not in text
