"""What is told about a worker: the arithmetic, and the documents about it."""

import re
from bisect import bisect_right
from math import fsum
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from handlers.watch import families, look
from handlers.watch.families import FAMILIES, Family
from handlers.watch.histogram import SECONDS, Histogram
from handlers.watch.metrics import Metrics
from pathway import policy
from pathway.batch import Outcome
from pathway.store.base import OutboxRow
from tests.unit.test_docs import OPERATIONS, ROOT, rows

# -- arithmetic ------------------------------------------------------------------------------------


@given(st.lists(st.one_of(st.sampled_from(SECONDS), st.floats(0, 1000)), max_size=60))
def test_many_at_once_count_as_one_by_one(values: list[float]) -> None:
    at_once, one_by_one = Histogram(SECONDS), Histogram(SECONDS)
    at_once.observe_all(values)
    for value in values:
        one_by_one.observe(value)
    assert at_once.buckets() == one_by_one.buckets()
    assert at_once.sum == pytest.approx(fsum(values))
    for bound, count in at_once.buckets():
        assert count == bisect_right(sorted(values), float(bound))


def published_after(metrics: Metrics, position: int) -> float:
    """How many messages' times are counted once this one is published."""
    row = OutboxRow("id", "p", "alert", 1, "s", b"", 0, position)
    metrics.published(row)
    (page,) = [m for m in metrics.page({}).collect() if m.name == families.PUBLISH]
    return next(each.value for each in page.samples if each.name.endswith("_count"))


def committed(metrics: Metrics, *positions: int) -> None:
    rows = [OutboxRow("id", "p", "alert", 1, "s", b"", 0, position) for position in positions]
    metrics.committed(Outcome(outbox=rows))


def test_only_messages_of_this_process_are_timed() -> None:
    metrics = Metrics(policy.default())
    assert published_after(metrics, 3) == 0
    committed(metrics, 5, 6)
    committed(metrics, 7)
    assert published_after(metrics, 4) == 0
    assert published_after(metrics, 5) == 1
    assert published_after(metrics, 7) == 2
    assert published_after(metrics, 8) == 2
    committed(metrics, 10)  # 8 and 9 were committed by somebody else
    assert published_after(metrics, 9) == 2
    assert published_after(metrics, 10) == 3


def test_what_is_remembered_of_commits_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("handlers.watch.metrics.REMEMBERED", 3)
    metrics = Metrics(policy.default())
    for position in range(1, 50):
        committed(metrics, position)
        assert len(metrics._last) == len(metrics._committed_at) <= 6
    assert published_after(metrics, 2) == 0
    assert published_after(metrics, 49) == 1


def test_what_may_happen_is_counted_from_the_start() -> None:
    page = {metric.name: metric for metric in Metrics(policy.default()).page({}).collect()}
    assert {each.value for each in page["pathway_events_parked"].samples} == {0.0}
    edges = {(e.labels["from"], e.labels["to"]) for e in page["pathway_transitions"].samples}
    assert ("none", "referral") in edges
    assert ("iop", "php") in edges
    alerts = {each.labels["alert"] for each in page["pathway_alerts"].samples}
    assert {"placement_contradicted", "screening_overdue", "overdue"} <= alerts


# -- documents -------------------------------------------------------------------------------------


def line(family: Family) -> str:
    labels = ", ".join(f"`{label}`" for label in family.labels) or "–"  # noqa: RUF001 - as the pages
    return f"| `{family.name}` | {family.kind} | {labels} | {family.unit} | {family.text} |"


def test_every_metric_is_in_the_table_as_it_is_told() -> None:
    described = rows(OPERATIONS, "Metrics")
    metrics = {name: text for name, text in described.items() if name.startswith("pathway_")}
    assert metrics == {name: line(family) for name, family in FAMILIES.items()}


def test_a_name_tells_the_unit() -> None:
    for family in FAMILIES.values():
        base = family.name.removesuffix("_total")
        assert base.endswith("_seconds") == (family.unit == "seconds"), family.name
        assert family.name.endswith("_total") == (family.kind == "counter")


def test_every_alert_is_in_the_table_with_its_severity() -> None:
    text = (ROOT / "deploy" / "prometheus" / "alerts.yaml").read_text(encoding="utf-8")
    rules = [rule for group in yaml.safe_load(text)["groups"] for rule in group["rules"]]
    described = rows(OPERATIONS, "Metrics")
    alerts = {name: row for name, row in described.items() if name.startswith("Pathway")}
    assert set(alerts) == {rule["alert"] for rule in rules}
    for rule in rules:
        assert f" | {rule['labels']['severity']} | " in alerts[rule["alert"]]


def test_every_check_is_in_the_table() -> None:
    assert tuple(rows(OPERATIONS, "Probes")) == look.CHECKS


def test_every_code_of_a_check_is_described() -> None:
    """As far as the codes are written there; those of errors are in their own table."""
    watch = Path(look.__file__).read_text(encoding="utf-8")
    codes = set(re.findall(r'found\.checks\["\w+"\] = "(\w+)"', watch))
    assert codes >= {"broker_unreachable", "consumer_missing"}
    probes = OPERATIONS.split("## Probes")[1].split("## Metrics")[0]
    codes |= {"starting", "stopping", "pull_ended", "batch_handed_back", "part_failed"}
    assert {code for code in codes if f"`{code}`" not in probes} == set()
