"""Reads the worked examples, folds them and tells what came of them, in the same words."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pathway.chart import Chart, advance, speak
from pathway.effects import Ended, Raised
from pathway.fold import Folded, fold
from pathway.policy import Policy, default, load
from pathway.standing import standing
from pathway.weeks import calendar
from schemas.envelope import Rejected
from schemas.inbound import Event, TimeAdvanced, time_advanced
from schemas.instants import parse_instant
from schemas.outbound import PolicyReference
from tests.examples.script import DAYS, PATIENT, WHEN, Script, Wrong

if TYPE_CHECKING:
    from datetime import datetime

HERE = Path(__file__).parent
NOTHING = "nothing"


class BadExample(Exception):  # noqa: N818 - what the writer is told
    """An example that cannot be read; the text names file, line and what is wrong."""


@dataclass
class Line:
    """One line that says something, and where it stands."""

    file: str
    number: int
    text: str

    def wrong(self, what: object) -> BadExample:
        return BadExample(f"{self.file}, line {self.number}: {what}")


@dataclass
class Example:
    """One worked example as written.

    Attributes:
        about: the rules of which everything that they say is listed.
        expected: the `expect` lines, without that word.
    """

    title: str
    heading: Line
    zone: str | None = None
    about: list[str] = field(default_factory=list)
    happened: list[Line] = field(default_factory=list)
    expected: list[Line] = field(default_factory=list)

    @property
    def id(self) -> str:
        return f"{Path(self.heading.file).stem}: {self.title}"


def examples() -> list[Example]:
    """Every example in this folder."""
    return [each for path in sorted(HERE.glob("*.txt")) for each in read_file(path)]


def read_file(path: Path) -> list[Example]:
    """The examples of one file. Raises BadExample."""
    return parse(path.read_text(encoding="utf-8"), path.name)


def parse(text: str, file: str) -> list[Example]:
    """The examples in a text. Raises BadExample."""
    found: list[Example] = []
    for number, raw in enumerate(text.splitlines(), 1):
        line = Line(file, number, " ".join(raw.split("#")[0].split()))
        if not line.text:
            continue
        word, _, rest = line.text.partition(" ")
        if word == "example":
            found.append(Example(rest, line))
            continue
        if not found:
            raise line.wrong("the first line is `example` and a title")
        _put(found[-1], line, word, rest)
    titles = [each.title for each in found]
    for each in found:
        _check(each, titles)
    return found


def _put(example: Example, line: Line, word: str, rest: str) -> None:
    if word == "zone":
        example.zone = rest
    elif word == "about":
        example.about += re.split(r", *", rest)
    elif word == "expect":
        example.expected.append(Line(line.file, line.number, rest))
    elif word in {"start", "each", "until"} or word[:1].isdigit():
        example.happened.append(line)
    else:
        raise line.wrong(
            f"{word!r} is none of: example, zone, about, start, each, until, expect, or a date"
        )


def _check(example: Example, titles: list[str]) -> None:
    if not example.title or titles.count(example.title) > 1:
        raise example.heading.wrong("an example needs a title that no other one has")
    if not example.expected:
        raise example.heading.wrong("nothing is expected; write at least `expect nothing`")
    known = {*_policy(example.zone).order, *ENGINE_RULES}
    for rule in example.about:
        if rule not in known:
            raise example.heading.wrong(f"about: there is no rule {rule!r}")
    for line in example.expected:
        if not any(re.fullmatch(pattern, line.text) for pattern in EXPECTATIONS):
            raise line.wrong(f"cannot understand {line.text!r}")
        rule = re.search(r"\(([a-z0-9-]+)\)", line.text)
        if rule and rule[1] not in known:
            raise line.wrong(f"there is no rule {rule[1]!r}")


ENGINE_RULES = ("decision-refused", "decision-lapsed", "urgent-overdue", "placement-contradicted")
MOMENT = rf"(?:just after )?{WHEN}"
_END = rf"(?:, (?:cleared|closed|confirmed|declined|withdrawn) {MOMENT})?"
EXPECTATIONS = (
    NOTHING,
    rf"alert \w+ \([a-z0-9-]+\) at {MOMENT}{_END}",
    rf"recommendation \w+ \([a-z0-9-]+\) at {MOMENT}{_END}",
    rf"transition \w+ to \w+ at {MOMENT}(?:, exceptions [a-z0-9, -]+)?",
    rf"state \w+(?: since {MOMENT})?",
    rf"said {WHEN} (?:superseded )?transition \w+ to \w+(?: at {MOMENT}(?:, late)?)?",
    rf"said {WHEN} (?:alert|recommendation) \w+ \([a-z0-9-]+\) at {MOMENT}(?:, late)?",
    (
        rf"said {WHEN} (?:cleared|closed|withdrawn|confirmed|declined)"
        r" (?:alert|recommendation) \w+ \([a-z0-9-]+\)"
    ),
    rf"waiting \w+ until {MOMENT}",
    r"no waiting decision",
)


@cache
def _policy(zone: str | None) -> Policy:
    if zone is None:
        return default()
    text = default().text
    return load(re.sub(r"(?m)^zone: .*$", f"zone: {zone}", text, count=1))


def policy_of(example: Example) -> Policy:
    """The default policy, in the example's zone."""
    return _policy(example.zone)


def played(example: Example, policy: Policy) -> Script:
    """The example's events. Raises BadExample."""
    script = Script(policy)
    for line in example.happened:
        try:
            _play(script, line.text)
        except Wrong as error:
            raise line.wrong(error) from None
        except Rejected as error:
            raise line.wrong(f"no such event: {error}") from None
    return script


def _play(script: Script, text: str) -> None:
    word, _, rest = text.partition(" ")
    if word == "until":
        script.until(rest)
    elif word == "start":
        state, _, when = rest.partition(" ")
        script.start(state, when)
    elif word == "each":
        pattern = (
            rf"((?:{'|'.join(DAYS)})(?: (?:{'|'.join(DAYS)}))*)"
            r" from (\d{4}-\d\d-\d\d) to (\d{4}-\d\d-\d\d) (\d\d:\d\d) (.+)"
        )
        match = re.fullmatch(pattern, rest)
        if not match:
            raise Wrong("each is written: each Mon Wed from DATE to DATE TIME what happened")
        script.each(*match.groups())
    else:
        match = re.fullmatch(rf"({WHEN}) (.+)", text)
        if not match or not match[3]:
            raise Wrong("a line is a date, a time and what happened")
        script.happened(match[1], match[4])


def messages(example: Example, policy: Policy) -> Iterator[str]:
    """What was published as the events arrived one by one, in the words of `said` lines."""
    script = played(example, policy)
    chart, ledger = Chart.new(PATIENT, policy.digest), {}
    reference = PolicyReference(name=policy.name, version=policy.version, digest=policy.digest)
    told: dict[str, str] = {}
    history: list[Event] = []
    for event in sorted(script.events, key=script.arrival):
        now = script.arrival(event)
        news = (
            [event]
            if isinstance(event.data, TimeAdvanced)
            else [time_advanced(PATIENT, now), event]
        )
        advanced = advance({policy.digest: policy}, chart, news, history)
        history += news
        speech = speak(
            chart,
            advanced,
            ledger,
            prefix="care",
            recorded_at=now,
            policies={policy.digest: reference},
        )
        for row in speech.messages:
            yield f"said {_when(now, policy)} {_message(json.loads(row.body), told, policy)}"


def _message(message: dict[str, Any], told: dict[str, str], policy: Policy) -> str:
    data = message["data"]
    at = _when(parse_instant(data["effective_at"]), policy)
    ending = f" at {at}, late" if data["late"] else f" at {at}"
    match message["type"].split(".")[1:3]:
        case ["transition", "occurred"]:
            told[message["id"]] = f"transition {data['from'] or 'none'} to {data['to']}"
            return told[message["id"]] + ending
        case ["transition", _]:
            return f"superseded {told[data['supersedes']]}"
        case [kind, verb]:
            name = f"{kind} {data.get('alert') or data['to']} ({data['rule']})"
            return name + ending if verb == "raised" else f"{data['resolution']} {name}"
    raise AssertionError(message["type"])


def outcome(example: Example, policy: Policy) -> Folded:
    """Fold the example under a policy."""
    script = played(example, policy)
    return fold({policy.digest: policy}, policy.digest, PATIENT, standing(script.events))


def rules_of(example: Example) -> set[str]:
    """The rules of which the example lists everything that they say."""
    named = (_rule(line.text) for line in example.expected)
    return {*example.about, *(rule for rule in named if rule)}


def raised_in(example: Example) -> set[str]:
    """The rules that say something in the example."""
    named = (_rule(line.text) for line in example.expected if not _is_said(line.text))
    return {rule for rule in named if rule}


def differences(example: Example, policy: Policy) -> list[str]:
    """What does not come out as expected, a line each: `missing` and `unexpected`."""
    got = list(_told(outcome(example, policy), policy))
    wanted = [_normal(line.text) for line in example.expected if line.text != NOTHING]
    if any(map(_is_said, wanted)):
        since = min(filter(_is_said, wanted))
        got += [line for line in messages(example, policy) if line[:21] >= since[:21]]
    about = rules_of(example)
    moves = {_is_said(line) for line in wanted if " to " in line}
    missing = [f"missing:    expect {line}" for line in wanted if line not in got]
    extra = [
        f"unexpected: expect {line}"
        for line in got
        if line not in wanted
        and (_rule(line) in about or (" to " in line and _is_said(line) in moves))
    ]
    return missing + extra


def _is_said(line: str) -> bool:
    return line.startswith("said ")


def _rule(line: str) -> str | None:
    match = re.search(r"(?:alert|recommendation) \w+ \(([a-z0-9-]+)\)", line)
    return match[1] if match else None


def _normal(line: str) -> str:
    """A date without a time is midnight."""
    return re.sub(r"(\d{4}-\d\d-\d\d)(?! \d\d:)", r"\1 00:00", line)


def _told(folded: Folded, policy: Policy) -> Iterator[str]:
    """Everything that came of it, in the words of `expect` lines."""
    ends = {e.key: e for e in folded.effects if isinstance(e, Ended)}
    for effect in folded.effects:
        if isinstance(effect, Raised):
            yield _raised(effect, ends.get(effect.key), policy)
    record, waiting = folded.snapshot.record, folded.snapshot.waiting
    if record.state is None or record.since is None:
        yield "state none"
    else:
        yield f"state {record.state}"
        yield f"state {record.state} since {_when(record.since, policy)}"
    yield (
        f"waiting {waiting.to} until {_when(waiting.until, policy)}"
        if waiting
        else "no waiting decision"
    )


def _raised(effect: Raised, end: Ended | None, policy: Policy) -> str:
    said, at = effect.said, _when(effect.at, policy)
    if effect.kind == "transition":
        noted = said["exceptions"]
        text = f"transition {said['from'] or 'none'} to {said['to']} at {at}"
        text += f", exceptions {', '.join(map(str, noted))}" if noted else ""  # type: ignore[call-overload]
        return text
    name = said["alert"] if effect.kind == "alert" else said["to"]
    text = f"{effect.kind} {name} ({said['rule']}) at {at}"
    return f"{text}, {end.resolution} {_when(end.at, policy)}" if end else text


def _when(instant: int, policy: Policy) -> str:
    local: datetime = calendar(policy.zone).local(instant)
    text = f"{local:%Y-%m-%d %H:%M}"
    text = f"{text}:{local:%S}" if local.second else text
    return f"just after {text}" if local.microsecond == 1 else text
