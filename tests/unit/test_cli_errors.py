"""Every error is one line with a stable code, and says what to do next."""

import os
import re
import sqlite3
import subprocess
import sys
from base64 import b64encode
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
import typer

from handlers.cli import app, main, root
from handlers.cli.advice import NEXT, advised
from handlers.settings import Settings
from pathway.store.migrate import upgrade
from tests.unit.test_docs import commands, error_codes, logged_codes

Run = Callable[..., tuple[int, str, str]]
LINE = re.compile(r"error\[([a-z_]+)\]: (.+)\n")
SECRET = b64encode(bytes(32)).decode()


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    """Run `pathway …` in a directory with a few wrong things; returns code, error code, text."""
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("PATHWAY_")]:
        monkeypatch.delenv(name)
    (tmp_path / "file").touch()
    (tmp_path / "empty").mkdir()
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged" / "endpoints.json").write_text("{bro")
    (tmp_path / "data").mkdir()
    upgrade(f"sqlite:///{tmp_path}/data/pathway.db")
    (tmp_path / "ahead").mkdir()
    upgrade(f"sqlite:///{tmp_path}/ahead/pathway.db")
    with closing(sqlite3.connect(tmp_path / "ahead" / "pathway.db")) as newer:
        newer.execute("UPDATE alembic_version SET version_num = '9999'")
        newer.commit()
    (tmp_path / "junk").mkdir()
    (tmp_path / "junk" / "pathway.db").write_bytes(b"no database at all, but long enough" * 40)
    (tmp_path / "event").write_text("{}\n")

    def pathway(*arguments: str, **settings: str) -> tuple[int, str, str]:
        for name, value in settings.items():
            monkeypatch.setenv(f"PATHWAY_{name.upper()}", value)
        monkeypatch.setattr("sys.argv", ["pathway", *arguments])
        with pytest.raises(SystemExit) as left:
            main()
        out, err = capsys.readouterr()
        assert out == ""
        found = LINE.fullmatch(err)
        assert found, err
        assert isinstance(left.value.code, int)
        return left.value.code, found[1], found[2]

    return pathway


@pytest.mark.parametrize(
    ("line", "settings", "code", "said"),
    [
        ("census --data nowhere", {}, "not_found", "no database in nowhere: run `pathway up` here"),
        ("census", {}, "not_found", "no database in .pathway: run `pathway up` here, give --data"),
        ("publish event --data empty", {}, "not_found", "no broker in empty: run `pathway up`"),
        ("worker", {}, "not_found", "PATHWAY_BROKER_URL"),
        ("publish event --data damaged", {}, "not_found", "damaged/endpoints.json is damaged: run"),
        ("census --data junk", {}, "store_corrupt", "restore a backup"),
        (
            "timeline nobody --data data",
            {"master_key": SECRET},
            "unknown_patient",
            "`pathway parked list` shows",
        ),
        ("parked show 7 --data data", {}, "unknown_number", "`pathway parked list` shows"),
        ("parked discard 7 --data data", {}, "unknown_number", "`pathway parked list` shows"),
        ("explain nobody --data data", {}, "master_key_missing", "set PATHWAY_MASTER_KEY"),
        ("replay --data data", {"master_key": "x"}, "key_unusable", "mend that file or variable"),
        (
            "replay --data data",
            {"master_key_file": "no"},
            "key_unusable",
            "cannot read no: No such",
        ),
        ("replay --data data", {"master_key_file": "file"}, "key_unusable", "chmod 600 it"),
        ("audit export b --data data", {}, "key_unusable", "set PATHWAY_AUDIT_KEY_FILE"),
        ("publish nothing --data data", {}, "file_unreadable", "No such file or directory; next:"),
        ("publish empty --data data", {}, "file_unreadable", "Is a directory; next: check"),
        ("schemas file", {}, "file_unusable", "file: File exists; next: choose another"),
        ("verify --key x --data data", {}, "note_malformed", "check --key"),
        ("verify empty --checkpoint no", {}, "file_unusable", "no: No such file"),
        ("policy check nothing", {}, "policy_invalid", "cannot read nothing"),
        ("policy check file", {}, "policy_invalid", "`pathway policy check FILE`"),
        ("diagram --format svg", {}, "diagram_unavailable", "install Graphviz"),
        ("publish event", {"broker_url": "nats://127.0.0.1:1"}, "broker_unavailable", "start it"),
        ("publish event", {"broker_url": "nonsense"}, "broker_unavailable", "PATHWAY_BROKER_URL"),
        ("census", {"database_url": "oracle://u:s@h/d"}, "store_unavailable", "use sqlite:///PATH"),
        ("census", {"database_url": "sqlite:///new.db"}, "schema_behind", "run `pathway migrate`"),
        ("census --data ahead", {}, "schema_ahead", "knows only"),
        ("census", {"batch_size": "0"}, "settings_invalid", "PATHWAY_BATCH_SIZE"),
        ("census", {"clock": "noon"}, "settings_invalid", "correct that variable or unset it"),
        ("demo --data empty/..", {}, "demo_failed", "give another --data"),
    ],
    ids=lambda each: each if isinstance(each, str) else "",
)
def test_a_failure_says_what_is_wrong_and_what_to_do(
    run: Run, monkeypatch: pytest.MonkeyPatch, line: str, settings: dict[str, str],
    code: str, said: str,
) -> None:  # fmt: skip
    monkeypatch.setenv("PATH", "nowhere")  # without Graphviz
    left, found, text = run(*line.split(), **settings)
    assert (left, found) == (1, code), text
    assert said in text
    assert NEXT[code] in text
    assert text.count(NEXT[code]) == 1


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("nope", "No such command 'nope'; next: see `pathway --help`"),
        ("parked nope", "next: see `pathway parked --help`"),
        ("timeline", "Missing argument 'patient'; next: see `pathway timeline --help`"),
        ("census --nope", "No such option: --nope; next: see `pathway census --help`"),
        ("explain p --at noon --data data", "'noon' is no instant; write one such as 2026-03-01T"),
        ("republish --since 2026-13-01T00:00:00Z", "is no instant; write one such as"),
        ("replay --until 2026-01-01 --data data", "is no instant; write one such as"),
        ("simulate --start x", "--start is an instant such as"),
        ("diagram --format png", "next: see `pathway diagram --help`"),
        ("migrate", "set PATHWAY_DATABASE_URL"),
        ("explain p --why-not moon --data data", "--why-not takes one of aftercare, discharged"),
    ],
)
def test_misuse_says_where_help_is(run: Run, line: str, said: str) -> None:
    left, code, text = run(*line.split(), master_key=SECRET)
    assert (left, code) == (2, "usage")
    assert said in text
    assert re.search(r"; next: see `pathway[a-z ]* --help`$", text)


def test_what_nobody_thought_of_is_one_line_without_its_text(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise KeyError("the patient's name")

    monkeypatch.setattr(root, "app", broken)
    left, code, text = run("census")
    assert (left, code) == (1, "unexpected")
    assert text.startswith("KeyError in test_cli_errors.py line ")
    assert "name" not in text
    monkeypatch.setenv("PATHWAY_LOG_LEVEL", "debug")
    with pytest.raises(KeyError):
        main()


@pytest.mark.parametrize(
    "arguments", [("simulate", "--patients", "30"), ("diagram",)], ids=" ".join
)
def test_a_reader_who_has_seen_enough_is_no_error(arguments: tuple[str, ...]) -> None:
    command = [Path(sys.executable).parent / "pathway", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout
        assert process.stderr
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 1


# -- the table -------------------------------------------------------------------------------------


def test_every_code_has_its_advice() -> None:
    logged_only = logged_codes()
    codes = {code for code in error_codes() if code not in logged_only}
    assert codes - set(NEXT) == {"usage"}
    assert set(NEXT) - codes == set()


def test_advice_is_one_clause_and_names_commands_and_settings_that_exist() -> None:
    known = set(commands(typer.main.get_command(app)))
    settings = {f"PATHWAY_{name.upper()}" for name in Settings.model_fields} | {"PATHWAY_LOG_LEVEL"}
    for advice in NEXT.values():
        assert advice == advice.strip().rstrip(".")
        for named in re.findall(r"`(pathway [a-z ]+)", advice):
            assert named.strip() in known
        assert set(re.findall(r"PATHWAY_[A-Z_]+", advice)) <= settings


def test_advice_is_not_said_twice() -> None:
    assert advised("schema_behind", "too old: run `pathway migrate`") == (
        "too old: run `pathway migrate`"
    )
    assert advised("schema_behind", "too old") == "too old; next: run `pathway migrate`"
    assert advised("of_another_program", "text") == "text"
