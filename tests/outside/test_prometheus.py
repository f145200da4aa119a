"""Rules and dashboard by Prometheus' own tools, and against what a live worker tells."""

import asyncio
import json
import re
import shutil
import socket
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlencode
from urllib.request import urlopen

import pytest
import yaml

from handlers.board.beside import BoardBeside
from tests.broker.clinic import Clinic, event, new_patient
from tests.broker.conftest import anyio_backend, client, clinic, names, server
from tests.broker.watched import Numbers, Probes

__all__ = ["anyio_backend", "client", "clinic", "names", "server"]  # the broker's fixtures

HERE = Path(__file__).parent
DEPLOY = HERE.parents[1] / "deploy"
RULES = DEPLOY / "prometheus" / "alerts.yaml"
DASHBOARD: dict[str, Any] = json.loads((DEPLOY / "grafana" / "dashboard.json").read_text("utf-8"))
GIVEN = {"instance", "job", "le"}  # labels that Prometheus adds, and those of its own metrics
OURS = re.compile(r"\b((?:pathway|process)_[a-z_]+)(?:\{([^}]*)\})?")
promtool = pytest.mark.skipif(
    shutil.which("promtool") is None, reason="promtool is not here (Debian: prometheus)"
)


def run(*words: str, given: str | None = None) -> str:
    done = subprocess.run(
        ["promtool", *words], input=given, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def rules() -> list[dict[str, Any]]:
    text = yaml.safe_load(RULES.read_text(encoding="utf-8"))
    return [rule for group in text["groups"] for rule in group["rules"]]


def panels() -> Iterator[dict[str, Any]]:
    yield from (panel for panel in DASHBOARD["panels"] if panel["type"] != "row")


def expressions() -> dict[str, str]:
    """Every expression of rules and dashboard, by where it stands."""
    found = {rule["alert"]: rule["expr"] for rule in rules()}
    for panel in panels():
        for target in panel["targets"]:
            found[f"{panel['title']} {target['refId']}"] = target["expr"]
    return found


def filled(text: str) -> str:
    """A panel's expression as Grafana sends it."""
    for name, value in {"$__rate_interval": "5m", "$__range": "1h", "$instance": ".*"}.items():
        text = text.replace(name, value)
    return text


@promtool
def test_each_rule_is_raised_and_silent_where_it_should_be() -> None:
    run("check", "rules", str(RULES))
    run("test", "rules", str(HERE / "prometheus" / "alerts_test.yaml"))


def test_each_rule_is_tested_and_says_what_it_is() -> None:
    cases = yaml.safe_load((HERE / "prometheus" / "alerts_test.yaml").read_text(encoding="utf-8"))
    raised = {
        each["alertname"]
        for case in cases["tests"]
        for each in case["alert_rule_test"]
        if each.get("exp_alerts")
    }
    silent = {each["alertname"] for each in cases["tests"][0]["alert_rule_test"]}
    assert raised == silent == {rule["alert"] for rule in rules()}
    assert {rule["labels"]["severity"] for rule in rules()} == {"critical", "warning"}
    assert all(set(rule["annotations"]) == {"summary", "description"} for rule in rules())


@promtool
def test_prometheus_can_read_what_the_dashboard_asks(tmp_path: Path) -> None:
    written = [
        {"record": f"panel:{place}", "expr": filled(text)}
        for place, text in enumerate(expressions().values())
    ]
    assert "$" not in str(written)
    file = tmp_path / "rules.yaml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": written}]}), "utf-8")
    run("check", "rules", str(file))


def test_the_dashboard_is_laid_out_without_overlap() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        at = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(at["x"], at["x"] + at["w"])
            for y in range(at["y"], at["y"] + at["h"])
        }
        assert at["x"] + at["w"] <= 24
        assert not cells & taken, panel["title"]
        taken |= cells
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(set(ids)) == len(ids)


def test_the_dashboard_names_no_data_source_of_somebody_s() -> None:
    assert {panel["datasource"]["uid"] for panel in panels()} == {"${datasource}"}
    assert {each["name"] for each in DASHBOARD["templating"]["list"]} == {"datasource", "instance"}


@pytest.fixture
async def numbers(clinic: Clinic) -> Numbers:
    """The page of a worker at work."""
    probes = Probes.make()
    board = BoardBeside("127.0.0.1", None, "a-token-of-many-letters")  # it watches the log
    worker = clinic.worker([probes.beside], beside=[board], checkpoint_every=0.05)
    async with clinic.working(worker):
        await clinic.publish(event(new_patient()))
        await clinic.done(worker)
        async with asyncio.timeout(10):
            found = await probes.numbers()
            late = ("pathway_checkpoint_age_seconds", "pathway_audit_log_holds")
            while any(found.get(name) is None for name in late):
                await asyncio.sleep(0.05)
                found = await probes.numbers()
        return found


@promtool
@pytest.mark.anyio
async def test_promtool_finds_nothing_to_say_about_the_metrics(numbers: Numbers) -> None:
    assert run("check", "metrics", given=numbers.page) == ""


@pytest.mark.anyio
async def test_what_rules_and_dashboard_ask_for_is_told(numbers: Numbers) -> None:
    """Names and labels: a panel without data looks like a clinic without trouble."""
    labels: dict[str, set[str]] = {}
    for family in numbers.families.values():
        for sample in family.samples:
            labels.setdefault(sample.name, set()).update(sample.labels)
    seen: set[str] = set()
    for where, text in expressions().items():
        used = set()
        for name, matchers in OURS.findall(text):
            assert name in labels, f"{where}: {name}"
            used |= labels[name]
            asked = set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", matchers))
            assert asked <= labels[name] | GIVEN, where
            seen.add(re.sub(r"_(bucket|sum|count)$", "", name))
        for group in re.findall(r"\bby \(([^)]*)\)", text):
            assert set(re.findall(r"\w+", group)) <= used | GIVEN, where
    told = {name for name in labels if name.startswith("pathway_")}
    assert {re.sub(r"_(bucket|sum|count)$", "", name) for name in told} - seen == set()


# -- a Prometheus of our own -----------------------------------------------------------------------


class Prometheus:
    """A real server that scrapes one worker every second, with our rules."""

    def __init__(self, directory: Path, target: str) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self._address = f"127.0.0.1:{free.getsockname()[1]}"
        config = {
            "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
            "rule_files": [str(RULES)],
            "scrape_configs": [
                {"job_name": "pathway", "static_configs": [{"targets": [target]}]},
            ],
        }
        self._config = directory / "prometheus.yaml"
        self._config.write_text(yaml.safe_dump(config), encoding="utf-8")
        self._data = directory / "data"

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        process = await asyncio.create_subprocess_exec(
            "prometheus",
            f"--config.file={self._config}",
            f"--storage.tsdb.path={self._data}",
            f"--web.listen-address={self._address}",
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
        try:
            yield
        finally:
            process.terminate()
            await process.wait()

    async def ask(self, path: str, **query: str) -> Any:  # noqa: ANN401 - JSON
        """The data of an answer; None while it does not answer."""
        url = f"http://{self._address}/api/v1/{path}?{urlencode(query)}"

        def get() -> Any:  # noqa: ANN401
            try:
                with urlopen(url, timeout=5) as answer:
                    return json.load(answer)["data"]
            except HTTPError as error:
                with error:
                    if error.code != 503:  # still starting
                        raise AssertionError(error.read()) from None
                return None
            except URLError:
                return None

        return await asyncio.to_thread(get)

    async def until(self, path: str, holds: Callable[[Any], bool], **query: str) -> Any:  # noqa: ANN401
        found = None
        try:
            async with asyncio.timeout(30):
                while (found := await self.ask(path, **query)) is None or not holds(found):  # noqa: ASYNC110
                    await asyncio.sleep(0.1)
        except TimeoutError:
            raise AssertionError(found) from None
        return found


@pytest.mark.skipif(shutil.which("prometheus") is None, reason="no prometheus here (Debian's own)")
@pytest.mark.anyio
async def test_a_real_prometheus_scrapes_a_worker_and_evaluates_it_all(
    clinic: Clinic, tmp_path: Path
) -> None:
    probes = Probes.make()
    async with clinic.working(clinic.worker([probes.beside])) as worker:
        await clinic.publish(event(new_patient()))
        await clinic.done(worker)
        prometheus = Prometheus(tmp_path, probes.beside.url.removeprefix("http://"))
        async with prometheus.running():
            ready = "min(pathway_ready)"
            found = await prometheus.until("query", lambda it: it["result"], query=ready)
            assert found["result"][0]["value"][1] == "1"
            (target,) = (await prometheus.ask("targets"))["activeTargets"]
            assert (target["health"], target["lastError"]) == ("up", "")

            def evaluated(answer: Any) -> bool:  # noqa: ANN401
                return all(r["health"] == "ok" for g in answer["groups"] for r in g["rules"])

            await prometheus.until("rules", evaluated)
            for where, text in expressions().items():
                assert await prometheus.ask("query", query=filled(text)) is not None, where
