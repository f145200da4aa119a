"""`make bench`: ceilings and the worker, in one go on this machine; ratios are what counts.

A machine's speed changes within a minute: all is measured in rounds, and of each ratio to the
ceiling of its own round the median is told.
"""

import argparse
import asyncio
import json
import platform
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

import nats

from bench import ceilings, workload
from bench.setting import Databases, databases, quiet, settings
from bench.worker import fill, latency, throughput
from handlers import interpreter
from handlers.embedded import EmbeddedNats
from pathway import policy
from pathway.chart import Chart, advance
from schemas.inbound import reread

RESULTS = Path(__file__).parent / "results"
KINDS = ("sqlite", "postgres")


async def ceiling(url: str, label: str, tag: str, patients: int) -> tuple[float, float]:
    """Events a second, and microseconds of CPU an event, of one of the ceilings."""
    chosen = settings(f"c{label}{tag}")
    letters = workload.letters(patients, chosen.prefix)
    await fill(url, chosen, letters)
    client = await nats.connect(url)  # a work queue has one consumer a subject: make room for it
    for consumer in await client.jetstream().consumers_info(chosen.names.events):
        await client.jetstream().delete_consumer(chosen.names.events, consumer.name)
    await client.close()
    measured = ceilings.raw if label == "raw" else ceilings.faststream
    subject, count = chosen.names.events_subject, len(letters)
    rate, cpu = await measured(url, chosen.names.events, subject, count)
    return rate, cpu / count * 1e6


def replay(patients: int) -> float:
    """Events a second of reading and folding whole histories, on one core."""
    chosen = policy.default()
    histories: dict[str, list[bytes]] = {}
    for letter in workload.letters(patients, "care", duplicates=0):
        histories.setdefault(letter.subject.rpartition(".")[2], []).append(letter.body)
    began = time.perf_counter()
    for key, bodies in histories.items():
        chart = Chart.new(key, chosen.digest)
        advance({chosen.digest: chosen}, chart, [], [reread(body) for body in bodies])
    return sum(map(len, histories.values())) / (time.perf_counter() - began)


async def one_round(
    url: str, made: Databases, patients: int, tag: str
) -> tuple[dict[str, float], dict[str, float]]:
    """Everything but latency and replay, one after the other: events a second, µs of CPU each."""
    rates: dict[str, float] = {}
    cpu: dict[str, float] = {}
    for label in ("raw", "faststream"):
        rates[label], cpu[label] = await ceiling(url, label, tag, patients)
    for relay in (False, True):
        for kind in KINDS:
            label = f"{kind}_relay" if relay else kind
            prefix = f"b{label.replace('_', '')}{tag}"
            rates[label], cpu[label] = await throughput(
                url, made.make(kind), prefix, patients, relay=relay
            )
    return rates, cpu


async def measure(made: Databases, patients: int, paced: int, rounds: int) -> dict[str, Any]:
    """Everything, with a broker for each round: what it keeps of one must not burden the next."""
    rates: list[dict[str, float]] = []
    cpu: list[dict[str, float]] = []
    waits: dict[str, dict[str, float]] = {}
    for number in range(rounds):
        last = number == rounds - 1
        with tempfile.TemporaryDirectory() as name:
            broker = EmbeddedNats(Path(name), fast=True)
            await broker.start()
            try:
                speed, work = await one_round(broker.url, made, patients, str(number))
                for kind in KINDS if paced and last else ():
                    waits[kind] = await latency(broker.url, made.make(kind), f"l{kind}", paced)
            finally:
                await broker.stop()
        rates.append(speed | {"replay": replay(patients)})
        cpu.append(work)
    return {"rates": rates, "cpu": cpu, "latency": waits}


def result(found: dict[str, Any], patients: int) -> dict[str, Any]:
    """What is kept: medians of the rounds, the ratios to the higher ceiling, and where it was.

    The ratios of CPU time say the same of a machine with company; they leave out that the
    database's thread or server works beside the flow.
    """
    rates, cpu = found["rates"], found["cpu"]
    shares = [_shares(each) for each in rates]
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "python": platform.python_version(),
        "machine": platform.machine(),
        "patients": patients,
        "rounds": len(rates),
        "events_per_second": {name: round(each) for name, each in _medians(rates).items()},
        "ratios": {name: round(each, 3) for name, each in _medians(shares).items()},
        "ratios_by_round": {kind: [round(each[kind], 3) for each in shares] for kind in KINDS},
        "cpu_ratios": {
            name: round(median(min(c["raw"], c["faststream"]) / c[name] for c in cpu), 3)
            for name in cpu[0]
        },
        "cpu_us_per_event": {name: round(each, 1) for name, each in _medians(cpu).items()},
        "latency_ms": found["latency"],
    }


def _medians(rounds: list[dict[str, float]]) -> dict[str, float]:
    return {name: median(each[name] for each in rounds) for name in rounds[0]}


def _shares(rates: dict[str, float]) -> dict[str, float]:
    highest = max(rates["raw"], rates["faststream"])
    return {name: rate / highest for name, rate in rates.items()}


def show(kept: dict[str, Any]) -> None:
    """A table for people, then one line for programs."""
    say = sys.stdout.write
    say(f"{'':<15}{'events/s':>10}{'of ceiling':>12}{'CPU µs/event':>14}\n")
    for name, rate in kept["events_per_second"].items():
        cpu = kept["cpu_us_per_event"].get(name, "")
        say(f"{name:<15}{rate:>10,}{kept['ratios'][name]:>12.2f}{cpu:>14}\n")
    for kind, waits in kept["latency_ms"].items():
        text = ", ".join(f"{name} {each} ms" for name, each in waits.items())
        say(f"{kind}: published to transition received at 200 events/s: {text}\n")
    say(json.dumps(kept) + "\n")


def main() -> None:
    """Measure, print, keep."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--patients", type=int, default=1000)
    parser.add_argument("--paced", type=int, default=2000, help="events for latency; 0 = none")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--keep", action="store_true", help="write bench/results/<time>.json")
    options = parser.parse_args()
    quiet()
    interpreter.tune()
    with databases() as made:
        found = asyncio.run(measure(made, options.patients, options.paced, options.rounds))
    kept = result(found, options.patients)
    show(kept)
    if options.keep:
        RESULTS.mkdir(exist_ok=True)
        path = RESULTS / f"{kept['at'].replace(':', '')}.json"
        path.write_text(json.dumps(kept, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
