"""Rules of the house that no tool checks: who may know whom, and what no file may hold."""

import ast
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# Each may import itself and those before it.
LAYERS = ("schemas", "pathway", "handlers", "tests")
# What the pathway knows nothing of: no broker, no web, no terminal.
OUTSIDE = {"nats", "faststream", "starlette", "typer", "click", "rich", "uvicorn"}
OUTSIDE |= {"prometheus_client", "opentelemetry"}  # it is counted and traced from outside
LOGGED = {"debug", "info", "warning", "error", "exception", "critical"}
# Names under which an event's content travels.
CONTENT = {"raw", "body", "data", "event", "fields", "items", "score", "text", "payload"}


def modules(layer: str) -> Iterator[Path]:
    return (ROOT / layer).rglob("*.py")


def imported(file: Path) -> Iterator[tuple[str, int]]:
    """Every absolute module name that a file imports, wherever in it."""
    package = file.relative_to(ROOT).with_suffix("").parts
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(package[: -node.level]) if node.level else ""
            yield ".".join(part for part in (base, node.module) if part), node.lineno


@pytest.mark.parametrize("layer", LAYERS)
def test_no_layer_knows_those_above_it(layer: str) -> None:
    above = set(LAYERS[LAYERS.index(layer) + 1 :])
    wrong = [
        f"{file.relative_to(ROOT)}:{line} imports {name}"
        for file in modules(layer)
        for name, line in imported(file)
        if name.partition(".")[0] in above
    ]
    assert wrong == []


@pytest.mark.parametrize("layer", ["schemas", "pathway"])
def test_the_inside_knows_no_broker_no_web_and_no_terminal(layer: str) -> None:
    wrong = [
        f"{file.relative_to(ROOT)}:{line} imports {name}"
        for file in modules(layer)
        for name, line in imported(file)
        if name.partition(".")[0] in OUTSIDE
    ]
    assert wrong == []


def test_one_module_alone_knows_the_state_machine_library() -> None:
    users = {
        str(file.relative_to(ROOT))
        for layer in LAYERS[:3]
        for file in modules(layer)
        for name, _ in imported(file)
        if name.partition(".")[0] == "transitions"
    }
    assert users == {"pathway/machine.py"}


def test_the_flow_of_time_comes_in_from_outside() -> None:
    """The fold and what it calls have no clock, no chance and no environment of their own."""
    pure = [
        "fold",
        "reduce",
        "moves",
        "judgment",
        "alerts",
        "ledger",
        "machine",
        "record",
        "effects",
    ]
    wrong = [
        f"pathway/{name}.py:{line} imports {module}"
        for name in pure
        for module, line in imported(ROOT / "pathway" / f"{name}.py")
        if module.partition(".")[0] in {"time", "random", "os", "secrets", "asyncio", "socket"}
    ]
    assert wrong == []


# -- what no tracked file may hold -----------------------------------------------------------------

# Written so that this file itself does not match.
HOMES = re.compile(r"(?<![\w./~-])/(?:home|Users|root|work)/\w")
INDEX = re.compile(
    "|".join((r"--(?:extra-)?" + "index-url", "pypi" + r"\.org/simple", "index" + "_url"))
)


def tracked() -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, check=False, text=True,
    )  # fmt: skip
    if listed.returncode != 0:
        pytest.skip("not a git checkout")
    return [path for name in listed.stdout.split("\0") if name and (path := ROOT / name).is_file()]


def offending(pattern: re.Pattern[str]) -> list[str]:
    found = []
    for file in tracked():
        try:
            lines = file.read_text(encoding="utf-8").splitlines()
        except UnicodeDecodeError:
            continue
        found += [
            f"{file.relative_to(ROOT)}:{number}"
            for number, line in enumerate(lines, 1)
            if pattern.search(line)
        ]
    return found


def test_no_file_holds_a_path_of_somebody_s_machine() -> None:
    assert offending(HOMES) == []


def test_no_file_names_a_package_index() -> None:
    assert offending(INDEX) == []


# -- logs ------------------------------------------------------------------------------------------


def log_calls() -> Iterator[tuple[str, ast.Call]]:
    for layer in LAYERS[:3]:
        for file in modules(layer):
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
                if (
                    isinstance(node, ast.Call)
                    and isinstance(node.func, ast.Attribute)
                    and node.func.attr in LOGGED
                    and isinstance(node.func.value, ast.Name)
                    and node.func.value.id == "log"
                ):
                    yield f"{file.relative_to(ROOT)}:{node.lineno}", node


def names_in(value: ast.expr) -> set[str]:
    """The names and attributes that an argument reads; of what is only counted, none."""
    if isinstance(value, ast.Call) and isinstance(value.func, ast.Name) and value.func.id == "len":
        return set()
    return {
        node.attr if isinstance(node, ast.Attribute) else node.id
        for node in ast.walk(value)
        if isinstance(node, ast.Attribute | ast.Name)
    }


def test_log_calls_hold_no_content_of_an_event() -> None:
    """The message is a constant, and no argument reads a payload, a score or a text."""
    calls = list(log_calls())
    assert len(calls) > 10
    wrong = [
        where
        for where, call in calls
        if not (len(call.args) == 1 and isinstance(call.args[0], ast.Constant))
        or any(
            keyword.arg is None or names_in(keyword.value) & CONTENT for keyword in call.keywords
        )
    ]
    assert wrong == []
