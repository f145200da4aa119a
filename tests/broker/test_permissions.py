"""The shipped NATS accounts against those who would do more than they may, on a real server."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import nats
import nats.errors
import pytest
from nats.aio.client import Client
from nats.js.api import RawStreamMsg
from nats.js.errors import NotFoundError

from handlers.app import Worker
from handlers.settings import Settings
from pathway.store.migrate import upgrade
from tests.acceptance.commands import pathway
from tests.broker.clinic import CLOCK, Fields, encode, event, new_patient
from tests.keys import MASTER_TEXT
from tests.nats_servers import running

pytestmark = pytest.mark.anyio

DEPLOY = Path(__file__).parents[2] / "deploy" / "nats"
EXAMPLE = Path(__file__).parents[2] / "examples" / "notifier.py"
ROLES = ("worker", "operator", "ehr", "app", "notifier", "auditor")
OUTSIDERS = ("ehr", "app", "notifier", "auditor")
# Of `only-for-this-test`, at bcrypt's least cost: each login here takes a millisecond.
PASSWORD = "only-for-this-test"  # noqa: S105
HASH = "$2y$04$eV97nwM8jcstp0wWDx3OcuhJXSuw4.RXsPMQsQt5JYlyzyctwL0Oa"
SETTINGS = {
    "sources": "ehr=urn:ehr:*, app=urn:app:*",
    "subscribers": (
        "notifier=care.out.alert.*, notifier=care.out.transition.*, auditor=care.out.audit"
    ),
    "master_key": MASTER_TEXT,
    "clock": CLOCK,
    "settle": 0.05,
    "checkpoint_every": 3600,
}


class Stack:
    """A server with the shipped accounts, and a worker that has made its streams."""

    worker: Worker

    def __init__(self, directory: Path, port: int) -> None:
        self.directory = directory
        self.port = port
        self.refused: list[str] = []

    def url(self, role: str, password: str = PASSWORD) -> str:
        return f"nats://{role}:{password}@127.0.0.1:{self.port}"

    @asynccontextmanager
    async def as_(self, role: str) -> AsyncIterator[Client]:
        """A client with a role's credentials; what the server refuses it is noted."""

        async def note(error: Exception) -> None:
            self.refused.append(str(error))

        client = await nats.connect(self.url(role), allow_reconnect=False, error_cb=note)
        try:
            yield client
        finally:
            await client.close()

    async def last(self, stream: str, subject: str) -> RawStreamMsg | None:
        """What a stream holds last on a subject, asked with all rights."""
        async with self.as_("root") as client:
            try:
                return await client.jetstream().get_last_msg(stream, subject)
            except NotFoundError:
                return None

    async def said(self, kind: str, patient: str, sequence: int = 0) -> RawStreamMsg:
        """The last message of a kind about a patient, once there is one as late as that."""
        async with asyncio.timeout(20):
            while True:
                found = await self.last("CARE_OUT", f"care.out.{kind}.{patient}")
                if found is not None:
                    data = json.loads(found.data or b"")["data"]
                    if data.get("sequence", 0) >= sequence:
                        return found
                await asyncio.sleep(0.02)

    def violations(self) -> int:
        """How often the server has refused somebody something."""
        return (self.directory / "server.log").read_text().count(" Violation ")

    async def counts(self) -> dict[str, int]:
        """How many messages each stream has ever taken."""
        async with self.as_("root") as client:
            js = client.jetstream()
            names = ("CARE_EVENTS", "CARE_OUT")
            return {name: (await js.stream_info(name)).state.last_seq for name in names}


def configuration(directory: Path) -> Path:
    """The shipped accounts with passwords of the test's own, and one user who may do anything."""
    accounts = (DEPLOY / "accounts.conf").read_text(encoding="utf-8")
    root = f'users: [\n      {{user: root, password: "{HASH}"}}'
    assert accounts.count("jetstream: enabled\n    users: [") == 1
    accounts = accounts.replace("users: [", root, 1)
    (directory / "accounts.conf").write_text(accounts)
    lines = [f'{role.upper()}_PASSWORD: "{HASH}"\n' for role in ROLES]
    (directory / "passwords.conf").write_text("".join(lines))
    config = directory / "server.conf"
    config.write_text(
        f"""listen: "127.0.0.1:-1", ports_file_dir: {json.dumps(str(directory))}
jetstream {{ store_dir: {json.dumps(str(directory))} }}
include "accounts.conf"
"""
    )
    return config


@pytest.fixture(scope="session")
async def stack(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    """With a worker at work for the whole session, under the worker's own credentials."""
    directory = tmp_path_factory.mktemp("permissions")
    async with running(configuration(directory), directory) as port:
        made = Stack(directory, port)
        database = f"sqlite:///{directory}/pathway.db"
        upgrade(database)
        made.worker = worker = Worker(Settings(**SETTINGS), made.url("worker"), database)
        async with worker.app.lifespan_context():
            await worker.app.start()
            assert made.violations() == 0
            yield made
            await worker.app.stop()


@pytest.fixture
def patient() -> str:
    return new_patient()


def named(fields: Fields, publisher: str) -> str:
    """The subject of an event through a publisher."""
    entity, verb = fields["type"].removeprefix("care.").removesuffix(".v1").split(".")
    return f"care.events.{publisher}.{entity}-{verb}.{fields['subject']}"


async def asked(client: Client, subject: str, body: Any = None) -> dict[str, Any] | None:  # noqa: ANN401
    """The answer to a request; None if nobody who may hears it."""
    data = b"" if body is None else json.dumps(body).encode()
    try:
        reply = await client.request(subject, data, timeout=0.5)
    except (nats.errors.TimeoutError, nats.errors.NoRespondersError):
        return None
    answer: dict[str, Any] = json.loads(reply.data)
    return None if "error" in answer else answer


async def pulled(client: Client, consumer: str) -> list[str]:
    """The subjects of all that a consumer has for us, acknowledged."""
    js = client.jetstream(prefix="care.api")
    subscription = await js.pull_subscribe_bind(consumer, "CARE_OUT")
    subjects: list[str] = []
    while True:
        try:
            messages = await subscription.fetch(100, timeout=0.5)
        except (nats.errors.TimeoutError, TimeoutError):
            return subjects
        for message in messages:
            subjects.append(message.subject)
            await message.ack_sync()


# -- what they may ---------------------------------------------------------------------------------


async def test_a_publisher_publishes_and_a_notifier_and_an_auditor_read(
    stack: Stack, patient: str
) -> None:
    """Through the whole worker, each with its own credentials and no more."""
    fields = event(patient, source="urn:ehr:1")
    refused = stack.violations()
    async with stack.as_("ehr") as ehr:
        ack = await ehr.jetstream().publish(named(fields, "ehr"), encode(fields))
        assert ack.stream == "CARE_EVENTS"
    heard: list[str] = []
    async with stack.as_("notifier") as notifier, stack.as_("auditor") as auditor:
        async with asyncio.timeout(20):
            while f"care.out.transition.{patient}" not in heard:
                heard += await pulled(notifier, "notifier")
            audit: list[str] = []
            while not audit:
                audit += await pulled(auditor, "auditor")
    assert "care.out.audit" not in heard
    assert set(audit) == {"care.out.audit"}
    assert await stack.last("CARE_EVENTS", ">") is None  # acknowledged, so gone
    assert stack.violations() == refused  # nobody, the worker included, had to ask for more


async def test_the_example_notifier_pages_with_a_notifiers_credentials(
    stack: Stack, patient: str, tmp_path: Path
) -> None:
    report = {"report_id": "r-1", "kind": "suicidal_ideation", "severity": "high"}
    async with stack.as_("ehr") as ehr:
        for kind, more in (
            ("referral.received", {}),
            ("safety.reported", {"data": report, "time": "2026-05-31T23:00:00Z"}),
        ):
            fields = event(patient, kind, source="urn:ehr:1", **more)
            await ehr.jetstream().publish(named(fields, "ehr"), encode(fields))
    await stack.said("alert", patient)
    notifier = await asyncio.create_subprocess_exec(
        sys.executable,
        EXAMPLE,
        stack.url("notifier"),
        tmp_path / "notifier.db",
        "care.api",
        stdout=asyncio.subprocess.PIPE,
    )
    assert notifier.stdout is not None
    try:
        async with asyncio.timeout(30):
            async for line in notifier.stdout:
                assert not line.startswith(b"GAP")
                if line.startswith(b"PAGE") and patient.encode() in line:
                    break
    finally:
        notifier.kill()
        await notifier.wait()


async def test_a_worker_that_remembers_nothing_may_look_where_a_chain_stands(
    stack: Stack, patient: str
) -> None:
    async with stack.as_("ehr") as ehr:
        for kind, sequence in (("referral.received", 1), ("screening.started", 2)):
            assert stack.worker.relay is not None
            stack.worker.relay._heads._known.clear()
            fields = event(patient, kind, source="urn:ehr:1")
            await ehr.jetstream().publish(named(fields, "ehr"), encode(fields))
            await stack.said("transition", patient, sequence)


async def test_the_commands_work_with_a_publishers_and_an_operators_credentials(
    stack: Stack, patient: str
) -> None:
    line = encode(event(patient, source="urn:ehr:1"))
    place = {"broker_url": stack.url("ehr"), "publisher": "ehr"}
    done = await asyncio.to_thread(pathway, "publish", "-", stdin=line, **place)
    assert (done.code, done.err) == (0, "")
    database = f"sqlite:///{stack.directory}/pathway.db"
    place = {"broker_url": stack.url("operator"), "database_url": database}
    done = await asyncio.to_thread(pathway, "republish", **place)
    assert (done.code, done.err) == (0, "")


# -- the source belongs to the credential ----------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "accepted"), [("urn:ehr:1", True), ("urn:app:1", False), ("urn:else", False)]
)
async def test_a_source_counts_only_from_its_own_publisher(
    stack: Stack, patient: str, source: str, *, accepted: bool
) -> None:
    fields = event(patient, source=source)
    async with stack.as_("ehr") as ehr:
        await ehr.jetstream().publish(named(fields, "ehr"), encode(fields))
    kind = "transition" if accepted else "receipt"
    message = await stack.said(kind, patient)
    if not accepted:
        assert json.loads(message.data or b"")["data"]["reason"] == "source_not_allowed"
        assert await stack.last("CARE_OUT", f"care.out.transition.{patient}") is None


async def test_nobody_publishes_under_another_name_or_none(stack: Stack, patient: str) -> None:
    fields = event(patient, source="urn:ehr:1")
    plain = f"care.events.referral.received.{patient}"
    before = await stack.counts()
    for role in ("app", "notifier", "auditor"):
        async with stack.as_(role) as client:
            subjects = named(fields, "ehr"), plain, f"care.events.ehr.x.{patient}.y"
            answers = await asyncio.gather(*(asked(client, each, fields) for each in subjects))
        assert answers == [None, None, None]
    assert (await stack.counts())["CARE_EVENTS"] == before["CARE_EVENTS"]


# -- what they may not -----------------------------------------------------------------------------


@pytest.mark.parametrize("role", OUTSIDERS)
async def test_nobody_else_writes_messages(stack: Stack, patient: str, role: str) -> None:
    """Neither directly nor by having an answer sent to where the messages are."""
    target = f"care.out.transition.{patient}"
    async with stack.as_(role) as client:
        assert await asked(client, target, {"forged": True}) is None
        fields = event(patient, source=f"urn:{role}:1")
        await client.publish(named(fields, role), encode(fields), reply=target)
        for prefix in ("$JS.API", "care.api"):
            for consumer in ("notifier", role):
                info = f"{prefix}.CONSUMER.INFO.CARE_OUT.{consumer}"
                await client.publish(info, b"", reply=target)
        await client.flush()
    found = await stack.last("CARE_OUT", target)
    if role in {"ehr", "app"}:  # the event itself was good: only the worker speaks of it
        found = await stack.said("transition", patient)
        assert json.loads(found.data or b"")["data"]["sequence"] == 1
    else:
        assert found is None


@pytest.mark.parametrize("role", ["notifier", "auditor"])
async def test_a_subscriber_cannot_have_its_messages_delivered_as_events(
    stack: Stack, role: str
) -> None:
    before = await stack.counts()
    async with stack.as_(role) as client:
        for target in ("care.events.ehr.referral-received.P1", "care.events.a.b.P1"):
            await client.publish(f"care.api.CONSUMER.MSG.NEXT.CARE_OUT.{role}", b"1", reply=target)
        await client.flush()
        assert await asked(client, f"care.api.CONSUMER.INFO.CARE_OUT.{role}") is not None
    assert (await stack.counts())["CARE_EVENTS"] == before["CARE_EVENTS"]


ADMINISTRATION = (
    "$JS.API.INFO",
    "$JS.API.STREAM.NAMES",
    "$JS.API.STREAM.LIST",
    *(
        f"$JS.API.STREAM.{verb}.{stream}"
        for verb in ("INFO", "DELETE", "PURGE", "UPDATE", "CREATE", "MSG.GET", "MSG.DELETE")
        for stream in ("CARE_EVENTS", "CARE_OUT")
    ),
    "$JS.API.STREAM.CREATE.OWN",
    "$JS.API.DIRECT.GET.CARE_OUT",
    "$JS.API.CONSUMER.INFO.CARE_EVENTS.pathway-worker",
    "$JS.API.CONSUMER.DELETE.CARE_EVENTS.pathway-worker",
    "$JS.API.CONSUMER.MSG.NEXT.CARE_EVENTS.pathway-worker",
    "$JS.API.CONSUMER.CREATE.CARE_EVENTS",
    "$JS.API.CONSUMER.CREATE.CARE_OUT",
    "$JS.API.CONSUMER.CREATE.CARE_OUT.own.care.out.audit",
    "$JS.API.CONSUMER.DURABLE.CREATE.CARE_OUT.own",
    "$SYS.REQ.SERVER.PING",
    "$SYS.REQ.ACCOUNT.CARE.INFO",
)


@pytest.mark.parametrize("role", OUTSIDERS)
async def test_nobody_outside_administers(stack: Stack, role: str) -> None:
    other = "auditor" if role != "auditor" else "notifier"
    more = [f"$JS.API.CONSUMER.{verb}.CARE_OUT.{other}" for verb in ("INFO", "DELETE", "MSG.NEXT")]
    more.append(f"$JS.API.CONSUMER.DELETE.CARE_OUT.{role}")
    async with stack.as_(role) as client:
        own = [each.replace("$JS.API", "care.api") for each in [*ADMINISTRATION, *more]]
        subjects = {*ADMINISTRATION, *more, *own}
        answers = await asyncio.gather(*(asked(client, each) for each in subjects))
    assert [each for each in answers if each is not None] == []
    assert len(await stack.counts()) == 2  # both streams are there


async def test_the_worker_may_do_what_erasing_a_patient_takes(stack: Stack, patient: str) -> None:
    fields = event(patient, source="urn:ehr:1")
    async with stack.as_("ehr") as ehr:
        await ehr.jetstream().publish(named(fields, "ehr"), encode(fields))
    await stack.said("transition", patient)
    database = f"sqlite:///{stack.directory}/pathway.db"
    order = "erase", patient, "--yes", "--reason", "asked", "--legal-basis", "order"
    done = await asyncio.to_thread(pathway, *order, database_url=database)
    assert (done.code, done.err) == (0, "")
    last = await stack.last("CARE_OUT", f"care.out.*.{patient}")
    assert json.loads((last and last.data) or b"")["type"] == "care.patient.erased.v1"


@pytest.mark.parametrize("role", ["worker", "operator"])
async def test_not_even_insiders_take_a_stream_away(stack: Stack, role: str) -> None:
    subjects = [
        f"$JS.API.STREAM.{verb}.{stream}"
        for verb in ("DELETE", "PURGE")
        for stream in ("CARE_EVENTS", "CARE_OUT")
    ]
    async with stack.as_(role) as client:
        answers = await asyncio.gather(*(asked(client, each, {"seq": 1}) for each in subjects))
    assert {each is None for each in answers} == {True}


async def test_nobody_outside_hears_events_messages_or_answers_of_others(
    stack: Stack, patient: str
) -> None:
    """Even by listening to everything: the server refuses what is not theirs, or has none."""
    heard: list[str] = []

    async def hear(message: Any) -> None:  # noqa: ANN401 - nats.aio.msg.Msg
        heard.append(message.subject)

    fields = event(patient, source="urn:ehr:1")
    async with stack.as_("app") as app, stack.as_("notifier") as notifier:
        for client in (app, notifier):
            for subject in (">", "care.>", "care.events.>", "care.out.>", "_INBOX.>", "$JS.>"):
                await client.subscribe(subject, cb=hear)
            await client.flush()
        async with stack.as_("ehr") as ehr:
            await ehr.jetstream().publish(named(fields, "ehr"), encode(fields))
        await stack.said("transition", patient)
        await app.flush()
        await notifier.flush()
    assert heard == []
    assert any("ermissions violation" in each.lower() for each in stack.refused)


@pytest.mark.parametrize(
    "login", ["", "ehr@", "ehr:wrong@", f"nobody:{PASSWORD}@", f"{HASH}@", f"ehr:{HASH}@"]
)
async def test_nobody_connects_without_credentials(stack: Stack, login: str) -> None:
    """The hash, if it ever leaks, is no password."""
    with pytest.raises(nats.errors.Error):
        await nats.connect(f"nats://{login}127.0.0.1:{stack.port}", allow_reconnect=False)


def test_every_password_is_left_to_a_file() -> None:
    text = (DEPLOY / "accounts.conf").read_text(encoding="utf-8")
    for role in ROLES:
        assert text.count(f"user: {role}, password: ${role.upper()}_PASSWORD") == 1
    assert text.count("password:") == len(ROLES)
