"""Every small change that a hand could make to the default policy's rules, one at a time."""

import copy
from collections.abc import Iterator
from typing import Any

import yaml
from pydantic import ValidationError

from pathway.policy import OPEN_STATES, Policy, default

Path = tuple[int | str, ...]


def mutants() -> Iterator[tuple[str | None, str, Policy]]:
    """The rule or None for the rest, what was changed, and the policy with that one change."""
    body = yaml.safe_load(default().text)
    for place, rule in enumerate(body["rules"]):
        for what, changed in _changes(rule):
            policy = _policy(_put(body, "rules", place, changed), f"{rule['id']} {what}")
            if policy is not None:
                yield rule["id"], what, policy
    for what, altered in _other_tables(body):
        policy = _policy(altered, what)
        if policy is not None:
            yield None, what, policy


def _other_tables(body: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for place, limit in enumerate(body["limits"]):
        for value in (limit["value"] - 1, limit["value"] + 1):
            changed = {**limit, "value": value}
            yield f"limit {limit['id']} {value}", _put(body, "limits", place, changed)
    for place, level in enumerate(body["levels"]):
        hours = level.get("hours_at_least")
        for value in (hours - 1, hours + 1) if hours else ():
            changed = {**level, "hours_at_least": value}
            yield f"level {level['id']} {value} h", _put(body, "levels", place, changed)
    for place, guard in enumerate(body["guards"]):
        rest = [each for at, each in enumerate(body["guards"]) if at != place]
        yield f"without guard {guard['id']}", {**body, "guards": rest}
    for place, move in enumerate(body["moves"]):
        for source in move["from"]:
            rest = [each for each in move["from"] if each != source]
            altered = _put(body, "moves", place, {**move, "from": rest or ["discharged"]})
            yield f"without the move from {source} to {move['to']}", altered
        if "flag" in move:
            unflagged = {key: value for key, value in move.items() if key != "flag"}
            what = f"without the flag {move['flag']} from {move['from'][0]}"
            yield what, _put(body, "moves", place, unflagged)
    yield "medication counts", {**body, "uncounted_kinds": []}


def _put(body: dict[str, Any], table: str, place: int, row: dict[str, Any]) -> dict[str, Any]:
    rows = [row if at == place else each for at, each in enumerate(body[table])]
    return {**body, table: rows}


def _policy(body: dict[str, Any], name: str) -> Policy | None:
    try:
        policy = Policy.model_validate(body)
    except ValidationError:
        return None  # what the policy language itself refuses
    policy.identify(name)
    return policy


def _changes(rule: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, node in _nodes(rule["when"], ("when",)):
        for what, value in _other_values(node):
            yield f"{' '.join(map(str, path))}: {what}", _with(rule, path, value)
    states = [*OPEN_STATES, "none", "discharged"] if rule["states"] == "any" else rule["states"]
    for state in states if len(states) > 1 else ():
        rest = [each for each in states if each != state]
        yield f"not in {state}", {**rule, "states": rest}


def _nodes(node: object, path: Path) -> Iterator[tuple[Path, object]]:
    yield path, node
    if isinstance(node, dict):
        for key, value in node.items():
            yield from _nodes(value, (*path, key))
    elif isinstance(node, list):
        for place, value in enumerate(node):
            yield from _nodes(value, (*path, place))


def _other_values(node: object) -> Iterator[tuple[str, object]]:
    if isinstance(node, bool):
        yield f"{not node}", not node
    elif isinstance(node, int):
        yield from ((str(other), other) for other in (node - 1, node + 1) if other > 0)
    elif isinstance(node, list) and len(node) > 1:
        for place, part in enumerate(node):
            yield f"without {part}", [each for at, each in enumerate(node) if at != place]


def _with(rule: dict[str, Any], path: Path, value: object) -> dict[str, Any]:
    changed = copy.deepcopy(rule)
    node: Any = changed
    for part in path[:-1]:
        node = node[part]
    node[path[-1]] = value
    return changed
