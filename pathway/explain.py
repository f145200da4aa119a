"""Why a patient is where they are, what is said of them, and what another state would take.

Everything is folded anew from the journal, so the past can be asked too: as it was at an
effective instant, and as it was known at a recorded one.
"""

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pathway.alerts import ENGINE_ALERTS
from pathway.conditions import Condition, View
from pathway.effects import Raised
from pathway.fold import Folded, fold
from pathway.judgment import candidates, rank
from pathway.policy import NO_STATE, Policy, Rule
from pathway.record import BEFORE_ALL, Snapshot
from pathway.standing import Standing, standing
from pathway.store.base import JournalRow
from pathway.timeline import due, waiting
from schemas.inbound import Event, reread
from schemas.instants import format_instant

Answer = dict[str, Any]


@dataclass(slots=True, frozen=True)
class Asked:
    """What is asked: both instants are µs, None = now.

    Attributes:
        at: effective time.
        as_known_at: recorded time.
        why_not: a state that the patient is not in.
    """

    at: int | None = None
    as_known_at: int | None = None
    why_not: str | None = None


def explain(
    patient: str, rows: Iterable[JournalRow], policies: Mapping[str, Policy], asked: Asked
) -> Answer | None:
    """The `--json` shape of `pathway explain`; None if nothing was known of the patient then."""
    folded = folded_anew(patient, rows, policies, asked)
    return None if folded is None else _Account(policies, folded, asked.at).answer(asked.why_not)


def folded_anew(
    patient: str, rows: Iterable[JournalRow], policies: Mapping[str, Policy], asked: Asked
) -> Folded | None:
    """What one patient's opened journal came to; None if nothing was known then."""
    known = [
        row for row in rows if asked.as_known_at is None or row.recorded_at <= asked.as_known_at
    ]
    if not known:
        return None
    facts = _until([reread(row.raw) for row in known], asked.at)
    return fold(policies, known[0].policy, patient, facts)


def _until(events: list[Event], at: int | None) -> Standing:
    """What stands; asked for an instant, what had happened by then and not a timer later."""
    stands = standing(events)
    if at is None:
        return stands
    facts = [fact for fact in stands.facts if fact.time <= at]
    until = facts[-1].time if facts else BEFORE_ALL[0]
    return Standing(facts, until, at, stands.awaited)


class _Account:
    """One folded patient, put into words."""

    def __init__(self, policies: Mapping[str, Policy], folded: Folded, at: int | None) -> None:
        self._policies = policies
        self._snapshot: Snapshot = folded.snapshot
        self._effects = {e.key: e for e in folded.effects if isinstance(e, Raised)}
        self._policy = policies[self._snapshot.policy]
        clock = self._snapshot.horizon if at is None else at
        self._view = View(self._policy, self._snapshot, self._snapshot.record, clock)

    def answer(self, why_not: str | None) -> Answer:
        record = self._snapshot.record
        answer: Answer = {
            "state": record.state,
            "since": record.since and format_instant(record.since),
            **self._ground(),
            "recommended": self._recommended(),
            "alerts": [self._alert(key) for key in self._snapshot.alerts],
            "waiting": waiting(self._snapshot),
            "due": due(self._snapshot),
        }
        if why_not is not None:
            answer["why_not"] = self._why_not(why_not)
        return answer

    def _ground(self) -> Answer:
        """On whose decision, or by which rule, the present state was entered."""
        moves = [e for e in self._effects.values() if e.kind == "transition"]
        if not moves:
            return dict.fromkeys(("basis", "decided_by", "inputs", "threshold", "source"))
        move = moves[-1]
        decided = None
        if "decided_by" in move.basis:
            decided = {"name": move.basis["decided_by"], "role": move.basis["role"]}
        rule_id = move.said.get("rule")
        return {
            "basis": move.said["basis"],
            "rule": rule_id,
            "decided_by": decided,
            "inputs": move.basis.get("inputs", {}),
            **self._limits(move.policy, rule_id),
            "exceptions": move.said["exceptions"],
            "override": move.basis.get("override"),
        }

    def _limits(self, digest: str, rule_id: object) -> Answer:
        policy = self._policies[digest]
        if not isinstance(rule_id, str) or rule_id not in policy.order:
            engine = ENGINE_ALERTS.get(str(rule_id))
            return {"threshold": engine.title if engine else None, "source": None}
        rule = policy.rule(rule_id)
        return {"threshold": rule.threshold, "source": rule.source}

    def _recommended(self) -> Answer | None:
        held = self._snapshot.recommendation
        if held is None:
            return None
        effect = self._effects[held.key]
        return {
            "recommendation_id": held.id,
            "to": held.to,
            "rule": held.rule,
            "title": self._title(effect),
            "urgency": held.urgency,
            "since": format_instant(held.at),
            "inputs": effect.basis.get("inputs", {}),
            **self._limits(effect.policy, held.rule),
            "supporting": [rule.id for rule in self._candidates() if rule.id != held.rule],
        }

    def _candidates(self) -> list[Rule]:
        found = candidates(self._policy, self._snapshot)
        return sorted(found, key=lambda rule: rank(self._policy, rule), reverse=True)

    def _alert(self, key: str) -> Answer:
        held, effect = self._snapshot.alerts[key], self._effects[key]
        return {
            "alert_id": held.id,
            "alert": held.name,
            "severity": held.severity,
            "rule": held.rule,
            "title": self._title(effect),
            "since": format_instant(held.at),
            "inputs": effect.basis.get("inputs", {}),
            **self._limits(effect.policy, held.rule),
        }

    def _title(self, effect: Raised) -> str:
        rule_id = str(effect.said["rule"])
        policy = self._policies[effect.policy]
        if rule_id in policy.order:
            return policy.rule(rule_id).title
        return ENGINE_ALERTS[rule_id].title

    # -- why not ---------------------------------------------------------------------------------

    def _why_not(self, to: str) -> Answer:
        """The legal way there, and what is missing for its first step."""
        state = self._snapshot.record.state or NO_STATE
        path = shortest_path(self._policy, state, to)
        unmet = self._blocking(state, path[1]) if len(path) > 1 else []
        return {"path": path, "unmet": unmet or self._not_recommended(path)}

    def _blocking(self, state: str, to: str) -> list[Answer]:
        return [
            self._missing(guard.id, part)
            for guard in self._policy.guards_on(state, to)
            if guard.mode == "block"
            for part in guard.requires.unmet(self._view)
        ]

    def _not_recommended(self, path: list[str]) -> list[Answer]:
        """No guard blocks: then what keeps the nearest rule from recommending the first step."""
        nearest: list[Answer] = []
        for rule in self._policy.recommending(self._snapshot.record.state):
            if len(path) > 1 and rule.to == path[1]:
                parts = [self._missing(rule.id, p) for p in rule.when.unmet(self._view)]
                if parts and (not nearest or len(parts) < len(nearest)):
                    nearest = parts
        return nearest

    def _missing(self, name: str, part: Condition) -> Answer:
        values = part.inputs(self._view)
        value = next(iter(values.values())) if len(values) == 1 else values
        return {"guard": name, "value": value, "needed": part.describe()}


def shortest_path(policy: Policy, start: str, goal: str) -> list[str]:
    """The fewest moves from one state to another; empty if there is no way."""
    queue, before = deque([start]), {start: ""}
    while queue:
        state = queue.popleft()
        if state == goal and state != start:
            break
        for move in policy.moves:
            if state in move.from_ and move.to not in before:
                before[move.to] = state
                queue.append(move.to)
    if goal not in before or goal == start:
        return []
    path = [goal]
    while before[path[-1]]:
        path.append(before[path[-1]])
    return path[::-1]
