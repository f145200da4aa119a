"""The command line without a broker: help, misuse, and one line for every error."""

import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from jsonschema import Draft202012Validator

from handlers.cli import app, main
from pathway import policy

Run = Callable[..., tuple[int, str, str]]

# Those that the contract names.
COMMANDS = {
    "up", "worker", "migrate", "publish", "republish", "census", "timeline", "parked list",
    "parked show", "parked redrive", "parked discard", "policy check", "diagram", "schemas",
    "simulate", "demo",
}  # fmt: skip


def commands(group: Any, *path: str) -> Iterator[tuple[str, ...]]:  # noqa: ANN401 - typer's own
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, *path, name)
        else:
            yield (*path, name)


ALL = list(commands(typer.main.get_command(app)))


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    """Run `pathway …` in this process, in an empty directory; returns code, stdout, stderr."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")
    for name in ("BROKER_URL", "DATABASE_URL", "DATA", "CLOCK", "POLICY"):
        monkeypatch.delenv(f"PATHWAY_{name}", raising=False)

    def pathway(*arguments: str | Path) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["pathway", *map(str, arguments)])
        with pytest.raises(SystemExit) as left:
            main()
        out, err = capsys.readouterr()
        assert isinstance(left.value.code, int)
        return left.value.code, out, err

    return pathway


def one_line(code: str, err: str) -> bool:
    return err.startswith(f"error[{code}]: ") and err.endswith("\n") and err.count("\n") == 1


def test_the_commands_of_the_contract_are_there() -> None:
    assert {" ".join(path) for path in ALL} >= COMMANDS


@pytest.mark.parametrize("path", ALL, ids=" ".join)
def test_every_command_explains_itself(run: Run, path: tuple[str, ...]) -> None:
    code, out, err = run(*path, "--help")
    assert (code, err) == (0, "")
    usage, described = out.split("\n\n")[:2]
    assert usage.startswith("Usage: ")
    assert f" {' '.join(path)}" in usage
    assert described.strip().endswith(".")


def test_the_whole_explains_itself(run: Run) -> None:
    code, out, err = run("--help")
    assert (code, err) == (0, "")
    assert all(path[0] in out for path in ALL)


def test_nothing_asked_is_misuse_with_help(run: Run) -> None:
    for path in ((), ("parked",), ("policy",)):
        code, out, err = run(*path)
        assert (code, out) == (2, "")
        assert err.startswith("Usage: ")


@pytest.mark.parametrize(
    "arguments",
    [
        ("nope",),
        ("parked", "nope"),
        ("census", "--nope"),
        ("timeline",),
        ("parked", "show", "x"),
        ("republish", "--since", "yesterday"),
        ("simulate", "--patients", "0"),
        ("simulate", "--start", "tomorrow"),
        ("diagram", "--format", "png"),
        ("migrate",),
    ],
    ids=" ".join,
)
def test_misuse_is_one_line(run: Run, arguments: tuple[str, ...]) -> None:
    code, out, err = run(*arguments)
    assert (code, out) == (2, "")
    assert one_line("usage", err), err


def test_a_good_policy(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "own.yaml"
    file.write_text(policy.default().text)
    code, out, err = run("policy", "check", file)
    assert (code, err) == (0, "")
    assert policy.default().digest in out


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        (("id: no-shows-in-a-row", "id: 7!"), "7!"),
        (("no_show_run: {at_least", "no_show_run: {at_mast"), "no-shows-in-a-row"),
        (("no_show_run:", "no_show_walk:"), "no-shows-in-a-row"),
        (("to: residential\n    urgency: urgent", "to: moon\n    urgency: urgent"), "screen-"),
        (("name: iop", "name: [iop"), ""),
    ],
)
def test_a_bad_policy_is_named(
    run: Run, tmp_path: Path, wrong: tuple[str, str], named: str
) -> None:
    text = policy.default().text
    assert wrong[0] in text
    file = tmp_path / "own.yaml"
    file.write_text(text.replace(*wrong, 1))
    code, out, err = run("policy", "check", file)
    assert (code, out) == (1, "")
    assert one_line("policy_invalid", err), err
    assert named in err


# -- what needs neither broker nor database --------------------------------------------------------


def test_diagrams(run: Run) -> None:
    code, mermaid, _ = run("diagram")
    assert code == 0
    assert "stateDiagram-v2" in mermaid
    assert "step_down --> aftercare" in mermaid
    code, dot, _ = run("diagram", "--format", "dot")
    assert code == 0
    assert dot.startswith("digraph")
    assert "step_down -> aftercare" in dot


def test_schemas_are_json_schemas(run: Run, tmp_path: Path) -> None:
    assert run("schemas", tmp_path / "made" / "here")[0] == 0
    files = {file.name: file for file in (tmp_path / "made" / "here").glob("care.*.json")}
    assert {"care.referral.received.v1.json", "care.transition.occurred.v1.json"} <= set(files)
    for file in files.values():
        Draft202012Validator.check_schema(json.loads(file.read_text()))


def test_beside_the_schemas_is_the_asyncapi_document(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATHWAY_PREFIX", "clinic")
    assert run("schemas", tmp_path)[0] == 0
    document = json.loads((tmp_path / "asyncapi.json").read_text())
    assert document["asyncapi"] == "3.0.0"
    assert document["channels"]["alert"]["address"] == "clinic.out.alert.{patient}"


def test_simulate_says_the_same_every_time(run: Run) -> None:
    first = run("simulate", "--patients", "5", "--seed", "7")
    assert first[0] == 0
    assert first == run("simulate", "--patients", "5", "--seed", "7")
    assert first != run("simulate", "--patients", "5", "--seed", "8")
    assert all(json.loads(line)["type"] for line in first[1].splitlines())


@pytest.mark.parametrize(
    "command",
    [
        ("census",),
        ("timeline", "p"),
        ("parked", "list"),
        ("parked", "show", "1"),
        ("parked", "redrive"),
        ("republish",),
        ("publish", "-"),
    ],
    ids=" ".join,
)
@pytest.mark.parametrize("data", [(), ("--data", "nowhere")], ids=["default", "named"])
def test_without_data_there_is_one_line(
    run: Run, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...], data: tuple[str, ...]
) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"{}\n")))
    code, out, err = run(*command, *data)
    assert (code, out) == (1, "")
    assert one_line("not_found", err), err


def test_without_the_broker_there_is_one_line(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATHWAY_BROKER_URL", "nats://127.0.0.1:1")
    (tmp_path / "events").write_text("{}\n")
    code, out, err = run("publish", tmp_path / "events")
    assert (code, out) == (1, "")
    assert one_line("broker_unavailable", err), err


def test_a_file_that_is_not_there(run: Run) -> None:
    code, _, err = run("publish", "no-such-file")
    assert code == 1
    assert one_line("file_unreadable", err)


def test_a_policy_that_is_not_there(run: Run) -> None:
    code, _, err = run("policy", "check", "nothing.yaml")
    assert code == 1
    assert one_line("policy_invalid", err)


def test_a_directory_that_cannot_be_made(run: Run, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    code, _, err = run("schemas", tmp_path / "file" / "schemas")
    assert code == 1
    assert one_line("file_unusable", err), err


def test_a_setting_that_cannot_be_used(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATHWAY_CLOCK", "noon")
    code, _, err = run("census")
    assert code == 1
    assert one_line("settings_invalid", err)
    assert "PATHWAY_CLOCK" in err


def test_migrate_makes_a_database_that_commands_can_read(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATHWAY_DATABASE_URL", f"sqlite:///{tmp_path}/p.db")
    assert run("migrate", "--check")[0] == 1
    code, _, err = run("census")
    assert code == 1
    assert one_line("schema_behind", err)
    assert run("migrate")[0] == 0
    assert run("migrate", "--check")[0] == 0
    code, out, err = run("census", "--json")
    assert (code, err) == (0, "")
    assert json.loads(out) == {"patients": 0, "states": {}}


def test_a_secret_is_not_told(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATHWAY_DATABASE_URL", "oracle://user:hunter2@host/db")
    code, _, err = run("census")
    assert code == 1
    assert one_line("store_unavailable", err)
    assert "hunter2" not in err


@pytest.mark.parametrize("option", ["--reason", "--legal-basis", "--actor"])
@pytest.mark.parametrize("text", ["", "x" * 129], ids=["empty", "long"])
def test_what_the_log_keeps_for_ever_is_short(run: Run, option: str, text: str) -> None:
    given = {"--reason": "request"} | {option: text}
    words = [word for pair in given.items() for word in pair]
    code, out, err = run("erase", "p1", *words)
    assert (code, out) == (2, "")
    assert err.startswith("error[usage]: ")
