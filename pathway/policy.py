"""A policy: levels of care, moves, guards and rules, as data that a program can change.

A policy is a YAML file. It is checked once when loaded, and known by the SHA-256 of its text.
"""

import hashlib
from collections.abc import Iterator, Mapping
from functools import cached_property
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, ValidationError

from pathway.conditions import AnyCondition, Condition
from pathway.conditions.administrative import Undetermined
from pathway.weeks import calendar
from schemas.facts import State
from schemas.instants import DAY, HOUR

ENGINE: Final = 1  # raised whenever the fold would say something else about the same facts

OPEN_STATES: Final = frozenset(
    {"referral", "screening", "step_down", "iop", "php", "residential", "aftercare"}
)
NO_STATE: Final = "none"  # before the first referral
Name = Annotated[str, Field(pattern=r"^[a-z0-9_]{1,64}$")]
RowId = Annotated[str, Field(pattern=r"^[a-z0-9-]{1,64}$")]
Severity = Literal["info", "warning", "urgent"]
Urgency = Literal["routine", "urgent"]
Status = Literal["law", "standard", "seed", "site"]


class PolicyError(Exception):
    """The policy cannot be used; the text names the row and what is wrong."""

    code = "policy_invalid"


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
    value: int
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
    version: int = Field(ge=1)
    title: str
    states: list[State | Literal["none"]] | Literal["any"]
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

    @property
    def threshold(self) -> str:
        """The limit in words."""
        if self.value is None:
            return self.when.describe()
        return f"{self.value} {self.unit}" if self.unit else str(self.value)


class Policy(_Row):
    """A whole rule set; compiled parts are made once and kept."""

    name: Name
    version: Annotated[str, Field(pattern=r"^[0-9A-Za-z.+-]{1,32}$")]
    zone: str = Field(description="IANA time zone of the program")
    levels: list[Level] = Field(min_length=1)
    moves: list[Move] = Field(min_length=1)
    guards: list[Guard] = []
    limits: list[Limit]
    uncounted_kinds: list[str] = Field(
        default=[], description="kinds of session that count toward no hours"
    )
    rules: list[Rule]

    _text: str = PrivateAttr(default="")
    _digest: str = PrivateAttr(default="")
    _modes: dict[str, dict[str | None, list[Rule]]] = PrivateAttr(default_factory=dict)
    _readers: dict[tuple[str | None, frozenset[str]], list[Rule]] = PrivateAttr(
        default_factory=dict
    )

    @property
    def text(self) -> str:
        """The file as it was read."""
        return self._text

    @property
    def digest(self) -> str:
        """SHA-256 of the text, in hex: the policy's identity."""
        return self._digest

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

    def rules_reading(self, state: str | None, topics: set[str]) -> list[Rule]:
        """The rules about a state of affairs that read any of the topics, in policy order."""
        wanted = (state, frozenset(topics))
        found = self._readers.get(wanted)
        if found is None:
            by_topic = self.state_rules[state]
            ids = {rule.id for topic in topics for rule in by_topic.get(topic, ())}
            found = self._readers[wanted] = [rule for rule in self.rules if rule.id in ids]
        return found

    @cached_property
    def state_rules(self) -> dict[str | None, dict[str, list[Rule]]]:
        """State, then topic, to the rules that are true of a state of affairs."""
        index: dict[str | None, dict[str, list[Rule]]] = {}
        for state in (None, *(level.id for level in self.levels)):
            topics = index.setdefault(state, {})
            for rule in self.rules:
                if rule.holds_in(state) and not is_event_rule(rule.when):
                    for topic in (*rule.when.topics(), "all"):
                        topics.setdefault(topic, []).append(rule)
        return index

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

    def guards_on(self, source: str | None, to: str) -> Iterator[Guard]:
        """The guards of one move, in the order of the file."""
        for guard in self.guards:
            if guard.into == to and (guard.from_ is None or source in guard.from_):
                yield guard

    def is_lower(self, source: str | None, to: str) -> bool:
        """Is this a step to less care, or out of care?"""
        return to in LEAVING or self.state(to).rank < self.state(source).rank


LEAVING: Final = frozenset({"step_down", "aftercare", "discharged"})
_NO_LEVEL: Final = Level(id="referral", title="no state", rank=0)
REQUIRED_LIMITS: Final = (
    "blocked-decision",
    "decline-silence",
    "late-charting",
    "urgent-overdue",
)


def is_event_rule(condition: Condition) -> bool:
    """Does the rule speak of one event (then each event is an alert of its own)?"""
    return any(part.on_event for part in condition.parts())


def load(text: str) -> Policy:
    """Read and check a policy. Raises PolicyError, which names the row."""
    try:
        body = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise PolicyError(_yaml_fault(error)) from None
    if not isinstance(body, dict):
        raise PolicyError("a policy is a mapping with name, version, levels, moves and rules")
    try:
        policy = Policy.model_validate(body)
    except ValidationError as error:
        raise PolicyError(_row_fault(body, error)) from None
    policy._text = text  # noqa: SLF001 - the private attributes are this module's own
    policy._digest = hashlib.sha256(text.encode()).hexdigest()  # noqa: SLF001
    _check(policy)
    return policy


def load_file(path: Path) -> Policy:
    """Read and check a policy file. Raises PolicyError."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise PolicyError(f"cannot read {path}: {error}") from None
    return load(text)


def default() -> Policy:
    """The policy that ships with the worker."""
    text = resources.files("pathway").joinpath("policies/iop.yaml").read_text(encoding="utf-8")
    return load(text)


def _yaml_fault(error: yaml.YAMLError) -> str:
    mark = getattr(error, "problem_mark", None)
    place = f"line {mark.line + 1}: " if mark else ""
    return f"{place}not YAML: {getattr(error, 'problem', None) or error}"


def _row_fault(body: Mapping[str, Any], error: ValidationError) -> str:
    fault = error.errors(include_url=False)[0]
    place: list[str] = []
    node: Any = body
    for part in fault["loc"]:
        node = _step(node, part)
        named = isinstance(node, dict) and isinstance(part, int) and node.get("id")
        place.append(f"[{named}]" if named else str(part))
    message = fault["msg"].removeprefix("Value error, ")
    return f"{' '.join(place)}: {message}"


def _step(node: object, part: int | str) -> object:
    if isinstance(node, dict):
        return node.get(part)
    if isinstance(node, list) and isinstance(part, int) and part < len(node):
        return node[part]
    return None


def _check(policy: Policy) -> None:
    """What no single row can show by itself."""
    _check_unique("levels", [level.id for level in policy.levels])
    _check_unique("guards", [guard.id for guard in policy.guards])
    _check_unique("limits", [limit.id for limit in policy.limits])
    _check_unique("rules", [rule.id for rule in policy.rules])
    for needed in REQUIRED_LIMITS:
        if needed not in {limit.id for limit in policy.limits}:
            raise PolicyError(f"limits: {needed} is missing")
    try:
        calendar(policy.zone)
    except (KeyError, ValueError, OSError):
        raise PolicyError(f"zone: {policy.zone!r} is not an IANA time zone") from None
    _check_graph(policy)
    for guard in policy.guards:
        _check_time_free(guard)
    for rule in policy.rules:
        _check_rule(policy, rule)


def _check_unique(table: str, ids: list[str]) -> None:
    for row_id in ids:
        if ids.count(row_id) > 1:
            raise PolicyError(f"{table} [{row_id}]: this id stands twice")


def _check_graph(policy: Policy) -> None:
    levels = {level.id for level in policy.levels}
    edges = _edges(policy, levels)
    reached = _reached(edges)
    for level in policy.levels:
        if level.id not in reached:
            raise PolicyError(f"levels [{level.id}]: no move leads there")
        if level.id in OPEN_STATES and not any(start == level.id for start, _ in edges):
            raise PolicyError(f"levels [{level.id}]: no move leads out")


def _edges(policy: Policy, levels: set[State]) -> set[tuple[str, str]]:
    edges: set[tuple[str, str]] = set()
    for place, move in enumerate(policy.moves):
        for source in move.from_:
            if {source, move.to} - levels - {NO_STATE}:
                raise PolicyError(f"moves {place}: {source} or {move.to} is not a level")
            if (source, move.to) in edges and move.by != "screening":
                raise PolicyError(f"moves {place}: {source} to {move.to} stands twice")
            edges.add((source, move.to))
    return edges


def _reached(edges: set[tuple[str, str]]) -> set[str]:
    reached, frontier = {NO_STATE}, [NO_STATE]
    while frontier:
        source = frontier.pop()
        for start, to in edges:
            if start == source and to not in reached:
                reached.add(to)
                frontier.append(to)
    return reached


def _check_time_free(guard: Guard) -> None:
    timed = [part for part in guard.requires.parts() if type(part).due is not Condition.due]
    timed = [part for part in timed if not hasattr(part, "inside")]
    if timed:
        raise PolicyError(f"guards [{guard.id}]: a guard cannot wait for time to pass")


def _check_rule(policy: Policy, rule: Rule) -> None:
    where = f"rules [{rule.id}]"
    says_alert = rule.mode == "alert"
    if says_alert and (rule.alert is None or rule.severity is None or rule.to is not None):
        raise PolicyError(f"{where}: mode alert needs alert and severity, and no `to`")
    if not says_alert and (rule.to is None or rule.alert is not None):
        raise PolicyError(f"{where}: mode {rule.mode} needs `to`, and no `alert`")
    if not says_alert and is_event_rule(rule.when):
        raise PolicyError(f"{where}: a condition on one event can alert, not move")
    for part in rule.when.parts():
        for other in part.rules if isinstance(part, Undetermined) else ():
            if other not in policy.order:
                raise PolicyError(f"{where}: undetermined names an unknown rule {other!r}")
    if rule.to is not None:
        _check_target(policy, rule, rule.to, where)


def _check_target(policy: Policy, rule: Rule, to: State, where: str) -> None:
    sources = [level.id for level in policy.levels] if rule.states == "any" else rule.states
    for source in sources:
        moves = [m for m in policy.moves if source in m.from_ and m.to == to]
        if not any(move.by in {"decision", "discharge"} for move in moves):
            raise PolicyError(f"{where}: there is no move from {source} to {to}")
        if rule.mode == "automatic" and (policy.is_lower(source, to)):
            raise PolicyError(f"{where}: automatic is never allowed for discharge or a lower level")
