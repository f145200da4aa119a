"""Did anything get lost, doubled, reordered or altered? Asked from outside.

This file trusts nothing of the program: it imports nothing of it, knows only the contract, and
sees what foreign clients published, what they can read from the outbound stream, and what plain
SQL finds in the database.

    evidence = await collect(sent, broker_url, database_url)
    assert findings(evidence) == []

`sent` may come from any number of senders, and the messages from any number of workers, one after
another or side by side. The events must have been sent with `PATHWAY_RECEIPTS=all`.
"""

import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import nats
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy

from tests.faults.tables import Tables, read_tables
from tests.faults.transparency import Log, LogError

CHAINED: Final = ("transition", "recommendation", "alert")
OWN_SOURCES: Final = "/pathway/"  # what the worker itself journals starts so
PAGE: Final = 500  # messages asked for at once
SHOWN: Final = 5  # findings of one kind

Name = tuple[str, str]  # an event's source and id


@dataclass(slots=True)
class Sent:
    """A message that a foreign client published, perhaps several times.

    Attributes:
        name: the event's source and id; None where the message is not meant to be accepted.
        attempts: how often it was published.
        stored: how often the broker acknowledged it; it may have stored it more often.
    """

    subject: str
    body: bytes = field(repr=False)
    name: Name | None
    attempts: int = 0
    stored: int = 0


@dataclass(slots=True, frozen=True)
class Heard:
    """A message as a subscriber gets it."""

    subject: str
    message_id: str  # the broker's header
    body: bytes
    fields: dict[str, Any]

    @property
    def kind(self) -> str:
        """The third token of its subject."""
        return self.subject.split(".")[2]


@dataclass(slots=True)
class Evidence:
    """All that is known from outside.

    Attributes:
        paths: where each patient's transitions must lead in the end, by patient; those of others
            are not looked at.
    """

    sent: list[Sent]
    heard: list[Heard]
    tables: Tables
    paths: dict[str, list[str]] = field(default_factory=dict)

    def of(self, *kinds: str) -> list[Heard]:
        """Messages of some kinds, in the order of the stream."""
        return [each for each in self.heard if each.kind in kinds]

    def receipts(self, outcome: str) -> list[dict[str, Any]]:
        """The data of the receipts that say so, each once: senders tell them by their id."""
        told = {each.fields["id"]: each.fields["data"] for each in self.of("receipt")}
        return [data for data in told.values() if data["outcome"] == outcome]


async def collect(
    sent: Iterable[Sent],
    broker: str,
    database: str,
    paths: dict[str, list[str]] | None = None,
    prefix: str = "care",
) -> Evidence:
    """Read the whole outbound stream and the database, once both are at rest."""
    return Evidence(
        list(sent), await listen(broker, prefix), await read_tables(database), paths or {}
    )


async def listen(broker: str, prefix: str = "care") -> list[Heard]:
    """Everything on the outbound stream, as a subscriber who comes late reads it."""
    client = await nats.connect(broker.split(","))
    try:
        js = client.jetstream()
        stream = f"{prefix.upper()}_OUT"
        state = (await js.stream_info(stream)).state
        subscription = await js.pull_subscribe(
            f"{prefix}.out.>",
            stream=stream,
            config=ConsumerConfig(
                deliver_policy=DeliverPolicy.ALL, ack_policy=AckPolicy.NONE, mem_storage=True
            ),
        )
        heard: list[Heard] = []
        sequence = 0
        while sequence < state.last_seq:
            for message in await subscription.fetch(PAGE, timeout=10):
                sequence = message.metadata.sequence.stream
                message_id = (message.headers or {}).get("Nats-Msg-Id", "")
                fields = json.loads(message.data)
                heard.append(Heard(message.subject, message_id, message.data, fields))
        assert len(heard) == state.messages, "the stream has more than this subscriber was given"
        return heard
    finally:
        await client.close()


def findings(evidence: Evidence) -> list[str]:
    """Everything that is wrong, in words; empty if nothing is."""
    found: list[str] = []
    for check in CHECKS:
        some = list(check(evidence))
        found += some[:SHOWN]
        if len(some) > SHOWN:
            found.append(f"… and {len(some) - SHOWN} more from {check.__name__}")
    return found


# -- one effect for each event ---------------------------------------------------------------------


def every_event_has_one_effect(evidence: Evidence) -> Iterator[str]:
    """One journal row and one `applied` receipt for each event, and one more receipt a repetition.

    Where the broker's acknowledgement was lost, a message may have been stored without our
    knowing; then there may be as many receipts as it was tried.
    """
    stored, attempts = _counts(evidence.sent)
    rows = Counter(
        (row.source, row.id)
        for row in evidence.tables.journal
        if not row.source.startswith(OWN_SOURCES)
    )
    applied = Counter(_named(data) for data in evidence.receipts("applied"))
    repeated = Counter(_named(data) for data in evidence.receipts("duplicate"))
    for name in attempts.keys() | rows.keys() | applied.keys():
        known = rows[name] == applied[name] == 1
        in_all = applied[name] + repeated[name]
        if not known and (stored[name] or rows[name] or applied[name]):
            yield f"{name}: {rows[name]} journal rows, {applied[name]} receipts that it was applied"
        elif not stored[name] <= in_all <= attempts[name]:
            yield f"{name}: {in_all} receipts for {stored[name]} to {attempts[name]} messages"


def what_is_refused_is_parked_once(evidence: Evidence) -> Iterator[str]:
    """A row and a receipt for each message that could not be accepted, with the same reason."""
    bad = [each for each in evidence.sent if each.name is None]
    least, most = sum(each.stored for each in bad), sum(each.attempts for each in bad)
    receipts = Counter(data["reason"] for data in evidence.receipts("parked"))
    rows = Counter(row.reason for row in evidence.tables.parked)
    if not least <= rows.total() <= most:
        yield f"{rows.total()} parked rows for {least} to {most} bad messages"
    if rows != receipts:
        yield f"parked rows {dict(rows)} but receipts {dict(receipts)}"


def _counts(sent: Iterable[Sent]) -> tuple[Counter[Name], Counter[Name]]:
    stored: Counter[Name] = Counter()
    attempts: Counter[Name] = Counter()
    for each in sent:
        if each.name is not None:
            stored[each.name] += each.stored
            attempts[each.name] += each.attempts
    return stored, attempts


def _named(receipt: dict[str, Any]) -> Name:
    return receipt["event"]["source"], receipt["event"]["id"]


# -- what subscribers get --------------------------------------------------------------------------


def chains_are_complete(evidence: Evidence) -> Iterator[str]:
    """Each chain counts from 1 without gap or repetition; each link names the bytes before it."""
    previous: dict[str, str | None] = defaultdict(lambda: None)
    numbers: Counter[str] = Counter()
    for each in evidence.of(*CHAINED):
        numbers[each.subject] += 1
        data = each.fields["data"]
        if data["sequence"] != numbers[each.subject]:
            yield f"{each.subject}: {data['sequence']} where {numbers[each.subject]} comes next"
        if data["previous"] != previous[each.subject]:
            yield f"{each.subject}: {data['sequence']} does not name the bytes before it"
        previous[each.subject] = hashlib.sha256(each.body).hexdigest()


def outbox_and_broker_agree(evidence: Evidence) -> Iterator[str]:
    """The broker has every message of the outbox, with the same bytes, and no other.

    What is not chained may have been stored twice, since it says nothing of its forerunner.
    """
    heard: dict[str, list[Heard]] = defaultdict(list)
    for each in evidence.heard:
        heard[each.fields["id"]].append(each)
        if each.message_id != each.fields["id"]:
            yield f"{each.subject}: header and message have two ids"
    known = set()
    for row in evidence.tables.outbox:
        copies = heard[row.id]
        known.add(row.id)
        if not row.published:
            yield f"outbox {row.position} waits"
        if not copies or (len(copies) > 1 and row.kind in CHAINED):
            yield f"outbox {row.position} ({row.kind}) is {len(copies)} times at the broker"
        if any(copy.body != row.body or copy.subject != row.subject for copy in copies):
            yield f"outbox {row.position} differs from what the broker has"
    for strange in heard.keys() - known:
        yield f"the broker has {strange}, the outbox has not"


def numbers_are_dense(evidence: Evidence) -> Iterator[str]:
    """Journal and outbox count from 1 without a gap, and the head knows how many there are."""
    tables = evidence.tables
    for name, numbers, count in (
        ("journal", [row.seq for row in tables.journal], tables.head.journal),
        ("outbox", [row.position for row in tables.outbox], tables.head.outbox),
    ):
        if numbers != list(range(1, count + 1)):
            yield f"{name}: {len(numbers)} rows up to {max(numbers, default=0)}, head says {count}"


def patients_end_where_they_must(evidence: Evidence) -> Iterator[str]:
    """What stands of the transitions is the expected path, for subscribers and in the database."""
    standing: dict[str, dict[str, str]] = defaultdict(dict)
    for each in evidence.of("transition"):
        told = standing[each.fields["subject"]]
        data = each.fields["data"]
        if each.fields["type"] == "care.transition.occurred.v1":
            told[each.fields["id"]] = data["effective_at"] + " " + data["to"]
        elif each.fields["type"] == "care.transition.superseded.v1":
            told.pop(data["supersedes"])
    for patient, path in evidence.paths.items():
        told_path = [each.rpartition(" ")[2] for each in sorted(standing[patient].values())]
        if told_path != path:
            yield f"{patient}: told {told_path}, expected {path}"
        if evidence.tables.states.get(patient) != (path[-1] if path else None):
            yield f"{patient}: is {evidence.tables.states.get(patient)}, expected {path[-1:]}"


# -- the audit log ---------------------------------------------------------------------------------


def the_log_is_one_tree(evidence: Evidence) -> Iterator[str]:
    """The leaves as published give every head that was published or signed."""
    try:
        log = Log.of(each.body for each in evidence.of("audit"))
    except LogError as error:
        yield f"the audit log as published: {error}"
        return
    yield from log.contradictions(evidence.tables.checkpoints)
    if log.size != evidence.tables.head.tree_size:
        yield f"{log.size} entries were published, the head says {evidence.tables.head.tree_size}"
    yield from _entries_explain_everything(evidence, [json.loads(leaf) for leaf in log.leaves])


def _entries_explain_everything(
    evidence: Evidence, entries: Sequence[dict[str, Any]]
) -> Iterator[str]:
    """One entry for each journal row and parked message; each chained message is named once."""
    of_events = Counter(
        (each["event"]["source"], each["event"]["id"])
        for each in entries
        if each["kind"] == "event"
    )
    journal = Counter((row.source, row.id) for row in evidence.tables.journal)
    if of_events != journal:
        odd = [*(of_events - journal), *(journal - of_events)]
        yield f"{len(odd)} journal rows and entries do not match, such as {odd[0]}"
    told = {data["id"] for data in (each.fields for each in evidence.of("receipt"))}
    parked = [each["receipt"] for each in entries if each["kind"] == "parked"]
    if len(parked) != len(set(parked)) or not told.issuperset(parked):
        yield "entries of parked messages name no receipt, or one twice"
    if len(parked) != len(evidence.tables.parked):
        yield f"{len(parked)} entries for {len(evidence.tables.parked)} parked messages"
    named = Counter(name for each in entries for name in each.get("messages", ()))
    said = Counter(each.fields["id"] for each in evidence.of(*CHAINED))
    if named != said:
        yield f"{len([*(named - said), *(said - named)])} messages are not named by one entry each"


CHECKS: Final[tuple[Callable[[Evidence], Iterator[str]], ...]] = (
    every_event_has_one_effect,
    what_is_refused_is_parked_once,
    chains_are_complete,
    outbox_and_broker_agree,
    numbers_are_dense,
    patients_end_where_they_must,
    the_log_is_one_tree,
)
