"""What a policy is made of: levels of care, moves, guards, limits and rules.

Each row checks itself here; what no single row can show is in `pathway/policy_checks.py`.
"""

import hashlib
from collections.abc import Callable
from functools import cached_property
from typing import Annotated, Final, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr

from pathway.conditions import AnyCondition, Condition, Outlook, Tri, View, is_timed
from pathway.weeks import Calendar, calendar
from schemas.facts import State
from schemas.instants import DAY, HOUR

OPEN_STATES: Final = frozenset(
    {"referral", "screening", "step_down", "iop", "php", "residential", "aftercare"}
)
NO_STATE: Final = "none"  # before the first referral
Name = Annotated[str, Field(pattern=r"^[a-z0-9_]{1,64}$")]
RowId = Annotated[str, Field(pattern=r"^[a-z0-9-]{1,64}$")]
Severity = Literal["info", "warning", "urgent"]
Urgency = Literal["routine", "urgent"]
Status = Literal["law", "standard", "seed", "site"]


class _Row(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


class Level(_Row):
    """One state and what it is: hours a week and days a week as planned and required."""

    id: State
    title: str
    rank: int = Field(description="higher is more care; 0 for states without a level of care")
    hours_at_least: int | None = None
    hours_below: int | None = None


class Move(_Row):
    """Edges of the graph: who or what moves a patient along them."""

    from_: list[State | Literal["none"]] = Field(alias="from", min_length=1)
    to: State
    by: Literal["referral", "screening", "decision", "discharge"]
    flag: RowId | None = None  # this move is legal, but always noted as an exception


class Guard(_Row):
    """What must hold on a move. `block` stops it, `flag` lets it pass and notes it."""

    id: RowId
    into: State
    from_: list[State] | None = Field(default=None, alias="from")
    requires: AnyCondition
    mode: Literal["block", "flag"]
    title: str
    source: str


class Limit(_Row):
    """A number that the engine itself needs."""

    id: RowId
    value: int = Field(ge=1)
    unit: Literal["hours", "days"]
    title: str
    source: str
    status: Status

    @property
    def span(self) -> int:
        """Microseconds."""
        return self.value * (HOUR if self.unit == "hours" else DAY)


class Rule(_Row):
    """One rule: in which states, when, and what it then says."""

    id: RowId
    area: str = Field(default="", description="the heading under which people find it")
    version: int = Field(ge=1)
    title: str
    states: Annotated[list[State | Literal["none"]], Field(min_length=1)] | Literal["any"]
    when: AnyCondition
    mode: Literal["alert", "recommend", "automatic"]
    alert: Name | None = None
    severity: Severity | None = None
    to: State | None = None
    urgency: Urgency = "routine"
    value: int | float | str | None = None
    unit: str | None = None
    source: str
    status: Status

    def holds_in(self, state: str | None) -> bool:
        """Does the rule speak of patients in this state?"""
        return self.states == "any" or (state or NO_STATE) in self.states

    @cached_property
    def question(self) -> "Question":
        """How the rule is asked; made once, as it is asked with every event."""
        timer = f"rule:{self.id}" if is_timed(self.when) else None
        return Question(self, self.id, timer, self.when.test, self.when.outlook)

    @property
    def threshold(self) -> str:
        """The limit in words."""
        if self.value is None:
            return self.when.describe()
        return f"{self.value} {self.unit}" if self.unit else str(self.value)


class Question(NamedTuple):
    """A rule about a state of affairs, taken apart for whoever asks it.

    Attributes:
        timer: the id of the rule's timer; None if time alone never changes the answer.
        test: asks whether it holds.
        outlook: the same, and when time alone may change that.
    """

    rule: Rule
    id: str
    timer: str | None
    test: Callable[[View], Tri]
    outlook: Callable[[View], Outlook]


class Policy(_Row):
    """A whole rule set; compiled parts are made once and kept."""

    name: Name
    version: Annotated[str, Field(pattern=r"^[0-9A-Za-z.+-]{1,32}$")]
    zone: str = Field(description="IANA time zone of the program")
    levels: list[Level] = Field(min_length=1)
    moves: list[Move] = Field(min_length=1)
    guards: list[Guard] = []
    limits: list[Limit]
    uncounted_kinds: list[Literal["group", "individual", "workshop", "family", "medication"]] = (
        Field(default=[], description="kinds of session that count toward no hours")
    )
    rules: list[Rule]

    _text: str = PrivateAttr(default="")

    def identify(self, text: str) -> None:
        """Note the file as it was read; once, on loading."""
        self._text = text

    @property
    def text(self) -> str:
        """The file as it was read."""
        return self._text

    # Everything below is asked for with every event: cached in the instance, since a private
    # attribute of pydantic costs a slow look-up each time.

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the text, in hex: the policy's identity."""
        return hashlib.sha256(self._text.encode()).hexdigest()

    @cached_property
    def _modes(self) -> dict[str, dict[str | None, list[Rule]]]:
        return {}

    @cached_property
    def _questions(self) -> dict[tuple[str | None, frozenset[str]], list[Question]]:
        return {}

    @cached_property
    def _guards(self) -> dict[tuple[str | None, str], list[Guard]]:
        return {}

    @cached_property
    def _rules_by_id(self) -> dict[str, Rule]:
        return {rule.id: rule for rule in self.rules}

    @cached_property
    def _levels_by_id(self) -> dict[str | None, Level]:
        return {level.id: level for level in self.levels}

    @cached_property
    def _limits_by_id(self) -> dict[str, int]:
        return {limit.id: limit.span for limit in self.limits}

    @cached_property
    def order(self) -> dict[str, int]:
        """Rule id to its place in the file."""
        return {rule.id: place for place, rule in enumerate(self.rules)}

    @cached_property
    def event_rules(self) -> dict[str, list[Rule]]:
        """Topic to the rules that are true of a single event."""
        index: dict[str, list[Rule]] = {}
        for rule in self.rules:
            if is_event_rule(rule.when):
                for topic in rule.when.topics():
                    index.setdefault(topic, []).append(rule)
        return index

    def recommending(self, state: str | None) -> list[Rule]:
        """The rules that may recommend something in a state, in policy order."""
        return self._by_mode("recommend").get(state, [])

    def automatic(self, state: str | None) -> list[Rule]:
        """The rules that may move by themselves in a state, in policy order."""
        return self._by_mode("automatic").get(state, [])

    @cached_property
    def has_automatic(self) -> bool:
        """Does any rule move patients by itself?"""
        return any(rule.mode == "automatic" for rule in self.rules)

    def _by_mode(self, mode: str) -> dict[str | None, list[Rule]]:
        found = self._modes.get(mode)
        if found is None:
            states = [None, *(level.id for level in self.levels)]
            rules = [rule for rule in self.rules if rule.mode == mode]
            found = {state: [r for r in rules if r.holds_in(state)] for state in states}
            self._modes[mode] = found
        return found

    def questions(self, state: str | None, topics: set[str]) -> list[Question]:
        """The rules about a state of affairs that read any of the topics, in policy order."""
        wanted = (state, frozenset(topics))
        found = self._questions.get(wanted)
        if found is None:
            by_topic = self.state_rules[state]
            ids = {rule.id for topic in topics for rule in by_topic.get(topic, ())}
            found = [rule.question for rule in self.rules if rule.id in ids]
            self._questions[wanted] = found
        return found

    @cached_property
    def state_rules(self) -> dict[str | None, dict[str, list[Rule]]]:
        """State, then topic, to the rules that are true of a state of affairs."""
        index: dict[str | None, dict[str, list[Rule]]] = {}
        for state in (None, *(level.id for level in self.levels)):
            topics = index.setdefault(state, {})
            for rule in self.rules:
                if rule.holds_in(state) and not is_event_rule(rule.when):
                    for topic in (*self._topics(rule), "all"):
                        topics.setdefault(topic, []).append(rule)
        return index

    def _topics(self, rule: Rule) -> frozenset[str]:
        """What a rule reads, the rules that it asks about included."""
        asked = [name for part in rule.when.parts() for name in part.rules_asked()]
        return rule.when.topics().union(*(self.rule(name).when.topics() for name in asked))

    @cached_property
    def flags(self) -> dict[tuple[str, str], str]:
        """Edges that are always noted as an exception."""
        return {
            (source, move.to): move.flag
            for move in self.moves
            if move.flag is not None
            for source in move.from_
        }

    @cached_property
    def calendar(self) -> Calendar:
        """Weeks and business days in the program's zone."""
        return calendar(self.zone)

    @cached_property
    def late_charting(self) -> int:
        """How long after its end a clinic week closes, in microseconds."""
        return self.limit("late-charting")

    def rule(self, rule_id: str) -> Rule:
        """The rule of that id. Raises KeyError."""
        return self._rules_by_id[rule_id]

    def state(self, state: str | None) -> Level:
        """What a state is; a state without a level of care before the first referral."""
        return self._levels_by_id.get(state) or _NO_LEVEL

    def limit(self, limit_id: str) -> int:
        """One of the engine's own numbers, in microseconds."""
        return self._limits_by_id[limit_id]

    def guards_on(self, source: str | None, to: str) -> list[Guard]:
        """The guards of one move, in the order of the file."""
        found = self._guards.get((source, to))
        if found is None:
            into = [guard for guard in self.guards if guard.into == to]
            found = [guard for guard in into if guard.from_ is None or source in guard.from_]
            self._guards[source, to] = found
        return found

    def is_lower(self, source: str | None, to: str) -> bool:
        """Is this a step to less care, or out of care? From no level, step-down is one."""
        have, get = self.state(source).rank, self.state(to).rank
        return to in OUT_OF_CARE or get < have or (not have and to == "step_down")


OUT_OF_CARE: Final = frozenset({"aftercare", "discharged"})
_NO_LEVEL: Final = Level(id="referral", title="no state", rank=0)


def is_event_rule(condition: Condition) -> bool:
    """Does the rule speak of one event (then each event is an alert of its own)?"""
    return any(part.on_event for part in condition.parts())
