"""A policy: levels of care, moves, guards and rules, as data that a program can change.

A policy is a YAML file. It is checked once when loaded, and known by the SHA-256 of its text.
"""

from collections.abc import Iterator, Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any, Final

import yaml
from pydantic import ValidationError

from pathway.conditions import in_words
from pathway.policy_checks import faults
from pathway.policy_rows import (
    NO_STATE,
    OPEN_STATES,
    Guard,
    Level,
    Limit,
    Move,
    Policy,
    Question,
    Rule,
    is_event_rule,
)

__all__ = [
    "ENGINE",
    "NO_STATE",
    "OPEN_STATES",
    "Guard",
    "Level",
    "Limit",
    "Move",
    "Policy",
    "PolicyError",
    "Question",
    "Rule",
    "default",
    "is_event_rule",
    "load",
    "load_file",
]

ENGINE: Final = 1  # raised whenever the fold would say something else about the same facts

Path_ = Sequence[int | str]


class PolicyError(Exception):
    """The policy cannot be used; the text names line, row and what is wrong."""

    code = "policy_invalid"


def load(text: str) -> Policy:
    """Read and check a policy. Raises PolicyError, which names the line and the row."""
    body = _parse(text)
    try:
        policy = Policy.model_validate(body)
    except ValidationError as error:
        fault = error.errors(include_url=False)[0]
        raise PolicyError(_at(text, body, fault["loc"], in_words(fault))) from None
    policy.identify(text)
    for place, what in faults(policy):
        raise PolicyError(_at(text, body, place, what))
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


_Safe: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # in C where the wheel has it


class _Loader(_Safe):  # type: ignore[misc]
    """YAML in which one key does not stand twice in a mapping: the last would win unseen."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:  # noqa: FBT001, FBT002 - the library's signature
        seen: set[str] = set()
        for key, _ in node.value:
            if key.value in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"{key.value!r} stands twice in one mapping", key.start_mark
                )
            seen.add(key.value)
        mapping: dict[Any, Any] = super().construct_mapping(node, deep)
        return mapping


def _parse(text: str) -> dict[str, Any]:
    try:
        body = yaml.load(text, _Loader)  # noqa: S506 - a safe loader
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f"line {mark.line + 1}: " if mark else ""
        what = " ".join(str(getattr(error, "problem", None) or error).split())
        raise PolicyError(f"{place}not YAML: {what}") from None
    except (ValueError, RecursionError) as error:  # such as a date that does not exist
        raise PolicyError(f"not YAML: {error}") from None
    if not isinstance(body, dict):
        raise PolicyError("a policy is a mapping with name, version, levels, moves and rules")
    return body


def _at(text: str, body: Mapping[str, Any], place: Path_, what: str) -> str:
    """The fault with its line and row, as in `line 12: rules [no-contact] mode: ...`."""
    words: list[str] = []
    node: Any = body
    for part in place:
        node = _step(node, part)
        named = isinstance(node, dict) and isinstance(part, int) and node.get("id")
        words.append(f"[{named}]" if named else str(part))
    where = f"{' '.join(words)}: " if words else ""
    return f"line {_line(text, place)}: {where}{what}"


def _step(node: object, part: int | str) -> object:
    if isinstance(node, dict):
        return node.get(part)
    if isinstance(node, list) and isinstance(part, int) and part < len(node):
        return node[part]
    return None


def _line(text: str, place: Path_) -> int:
    """The line of a place, or of the nearest thing around it that is there."""
    node = yaml.compose(text, _Loader)
    line = 0
    for part in place if node else ():
        found = next(_children(node, part), None)
        if found is None:
            break
        mark, node = found
        line = mark.line
    return int(line) + 1


def _children(node: yaml.Node | None, part: int | str) -> Iterator[tuple[yaml.Mark, yaml.Node]]:
    if isinstance(node, yaml.MappingNode):
        yield from ((key.start_mark, value) for key, value in node.value if key.value == part)
    elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
        yield node.value[part].start_mark, node.value[part]
