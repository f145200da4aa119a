"""The checker itself: it trusts nothing of ours, and it sees each thing that can go wrong."""

import ast
import json
from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import pytest

from tests.faults.checker import CHAINED, Evidence, Heard, Sent, findings
from tests.faults.journeys import JOURNEY, event, journeys
from tests.faults.scene import Scene

HERE = Path(__file__).parent
INDEPENDENT = (
    "checker",
    "tables",
    "transparency",
    "journeys",
    "sender",
    "poison",
    "protocol",
    "proxy",
)


@pytest.mark.parametrize("name", INDEPENDENT)
def test_what_judges_or_sends_imports_nothing_of_the_program(name: str) -> None:
    for node in ast.walk(ast.parse((HERE / f"{name}.py").read_text())):
        modules = []
        if isinstance(node, ast.Import):
            modules = [each.name for each in node.names]
        elif isinstance(node, ast.ImportFrom):
            modules = [node.module or ""]
        for module in modules:
            assert module.split(".")[0] not in {"pathway", "handlers", "schemas"}
            if module.startswith("tests"):
                assert module.removeprefix("tests.faults.") in INDEPENDENT


# -- what it must see ------------------------------------------------------------------------------


def _first(evidence: Evidence, *kinds: str) -> int:
    return next(i for i, each in enumerate(evidence.heard) if each.kind in kinds)


def _altered(heard: Heard, old: bytes, new: bytes) -> Heard:
    assert old in heard.body
    body = heard.body.replace(old, new)
    return replace(heard, body=body, fields=json.loads(body))


def lost_event(evidence: Evidence) -> None:
    some = event("somebody-else", 0)
    some.attempts = some.stored = 1
    evidence.sent.append(some)


def lost_duplicate(evidence: Evidence) -> None:
    evidence.sent[0].attempts += 1
    evidence.sent[0].stored += 1


def unknown_event(evidence: Evidence) -> None:
    del evidence.sent[0]


def journaled_twice(evidence: Evidence) -> None:
    evidence.tables.journal.append(evidence.tables.journal[0])


def not_journaled(evidence: Evidence) -> None:
    del evidence.tables.journal[-1]


def told_as_applied_twice(evidence: Evidence) -> None:
    place = next(
        i
        for i, each in enumerate(evidence.heard)
        if each.fields["data"].get("outcome") == "applied"
    )
    fields = evidence.heard[place].fields
    again = replace(evidence.heard[place], fields=fields | {"id": "another"}, message_id="another")
    evidence.heard.append(again)


def lost_bad_message(evidence: Evidence) -> None:
    evidence.sent.append(Sent("care.events.x.y.z", b"{", None, 1, 1))


def parked_twice(evidence: Evidence) -> None:
    evidence.tables.parked.append(evidence.tables.parked[0])


def lost_message(evidence: Evidence) -> None:
    del evidence.heard[_first(evidence, *CHAINED)]


def doubled_message(evidence: Evidence) -> None:
    place = _first(evidence, *CHAINED)
    evidence.heard.insert(place, evidence.heard[place])


def swapped_messages(evidence: Evidence) -> None:
    heard, (one, two) = evidence.heard, _two_of_one_chain(evidence)
    heard[one], heard[two] = heard[two], heard[one]


def altered_message(evidence: Evidence) -> None:
    place = _two_of_one_chain(evidence)[0]
    evidence.heard[place] = _altered(evidence.heard[place], b'"late":true', b'"late":false')


def _two_of_one_chain(evidence: Evidence) -> tuple[int, int]:
    first = _first(evidence, "transition")
    subject = evidence.heard[first].subject
    others = [i for i, each in enumerate(evidence.heard) if each.subject == subject]
    return others[0], others[1]


def waiting_row(evidence: Evidence) -> None:
    evidence.tables.outbox[3] = replace(evidence.tables.outbox[3], published=0)


def gap_in_the_outbox(evidence: Evidence) -> None:
    evidence.tables.outbox[3] = replace(evidence.tables.outbox[3], position=10**6)


def wrong_state(evidence: Evidence) -> None:
    evidence.tables.states[next(iter(evidence.paths))] = "php"


def wrong_path(evidence: Evidence) -> None:
    next(iter(evidence.paths.values())).append("php")


def lost_entries(evidence: Evidence) -> None:
    del evidence.heard[_first(evidence, "audit")]


def altered_entry(evidence: Evidence) -> None:
    place = _first(evidence, "audit")
    old = evidence.heard[place]
    evidence.heard[place] = _altered(old, b'"outcome":"applied"', b'"outcome":"Applied"')


def forged_checkpoint(evidence: Evidence) -> None:
    lines = evidence.tables.checkpoints[-1].split(b"\n")
    lines[2] = lines[2][:-4] + b"AAA="
    evidence.tables.checkpoints[-1] = b"\n".join(lines)


HARM: tuple[Callable[[Evidence], None], ...] = (
    lost_event,
    lost_duplicate,
    unknown_event,
    journaled_twice,
    not_journaled,
    told_as_applied_twice,
    lost_bad_message,
    parked_twice,
    lost_message,
    doubled_message,
    swapped_messages,
    altered_message,
    waiting_row,
    gap_in_the_outbox,
    wrong_state,
    wrong_path,
    lost_entries,
    altered_entry,
    forged_checkpoint,
)


@pytest.mark.anyio
async def test_it_finds_nothing_in_an_undisturbed_run_and_every_harm_done_to_it(
    scene: Scene,
) -> None:
    load = journeys(20)
    assert any(len(path) == 6 for path in load.paths.values())
    assert len(load.messages) > 10 * len(JOURNEY)
    await scene.start()
    await scene.publish(load)
    evidence = await scene.settle_and_judge()
    assert {each.kind for each in evidence.heard} == {*CHAINED, "receipt", "audit"}
    for harm in HARM:
        spoiled = deepcopy(evidence)
        harm(spoiled)
        assert findings(spoiled), harm.__name__
