"""`make bench-growth`: the flow on a database that has grown, beside an empty one.

Fills a SQLite file by plain SQL with patients and their journal, messages and audit entries, then
takes the workload of new patients, whose keys lie scattered among the others'. By default 10^6
patients and 10^7 journal rows: some 40 GB and ten minutes; `--patients`, `--events` make it less.
"""

# ruff: noqa: S608 - what is put into these texts are texts from this file

import argparse
import asyncio
import json
import resource
import sqlite3
import sys
import time
from contextlib import closing

from bench.flow import flow
from bench.setting import NOW, databases, quiet

ROUNDS = 3  # the best of each counts: a machine with company is slow by turns

INDEXES = "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL"
PATIENT = (
    "substr(hex(value * 2654435761 % 4294967296 + 4294967296), 1, 16)"  # scattered, all distinct
)
COUNT = (
    "WITH RECURSIVE n (value) AS (SELECT 0 UNION ALL SELECT value + 1 FROM n WHERE value < :last)"
)
OF_PATIENTS = f"""{COUNT} INSERT INTO patients (patient, policy, state, episode, since, engine,
    snapshot, chains) SELECT {PATIENT}, '-', 'iop', 1, :now, 1, zeroblob(3400), x'7b7d' FROM n"""
OF_KEYS = f"{COUNT} INSERT INTO patient_keys SELECT {PATIENT}, zeroblob(69) FROM n"
# Rows in the order of time: each belongs to another patient than the one before.
OWNER = PATIENT.replace("value", "(value * 48271 % :patients)")
OF_JOURNAL = f"""{COUNT} INSERT INTO journal SELECT value + 1, value / 500 + 1, :now, '/ehr',
    lower(hex(randomblob(8))), {OWNER}, 'care.attendance.recorded.v1', 'session ' || value, 0, :now,
    zeroblob(560), '-' FROM n"""
OF_OUTBOX = f"""{COUNT} INSERT INTO outbox SELECT value + 1, lower(hex(randomblob(16))), {OWNER},
    'alert', 1, 'care.out.alert.' || {OWNER}, :now, 1, zeroblob(800) FROM n"""
# The tree's own rows are few and left out: new entries are numbered from 0, these below.
OF_AUDIT = f"""{COUNT} INSERT INTO audit SELECT -1 - value, value / 500 + 1, {OWNER},
    zeroblob(700), zeroblob(100) FROM n"""
HEAD = """UPDATE log_head SET "commit" = :last / 500 + 1, recorded_at = :now, journal = :last + 1,
    outbox = :last + 1, tree_size = 0, tree = x''"""


def grow(database: str, patients: int, events: int) -> None:
    """Fill an empty database; indexes are made anew at the end, which is faster."""
    rows = {"now": NOW, "patients": patients, "last": patients * events - 1}
    few = {"now": NOW, "last": patients - 1}
    with closing(sqlite3.connect(database.removeprefix("sqlite:///"))) as connection, connection:
        connection.execute("PRAGMA synchronous = OFF")
        indexes = connection.execute(INDEXES).fetchall()
        for name, _ in indexes:
            connection.execute(f"DROP INDEX {name}")
        connection.execute(OF_PATIENTS, few)
        connection.execute(OF_KEYS, few)
        for statement in (OF_JOURNAL, OF_OUTBOX, OF_AUDIT):
            connection.execute(statement, rows)
        connection.execute(HEAD, rows)
        for _, text in indexes:
            connection.execute(text)


def main() -> None:
    """Fill, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--patients", type=int, default=1_000_000)
    parser.add_argument("--events", type=int, default=10, help="journal rows of each")
    parser.add_argument("--new", type=int, default=1000, help="patients of the workload")
    options = parser.parse_args()
    quiet()
    best = {"empty": float("inf"), "grown": float("inf")}
    with databases() as made:
        began = time.perf_counter()
        grown = made.make("sqlite")
        grow(grown, options.patients, options.events)
        filling = time.perf_counter() - began
        for number in range(ROUNDS):
            for name, fastest in best.items():
                database, first, beside = grown, number * options.new, options.patients
                if name == "empty":
                    database, first, beside = made.make("sqlite"), 0, 0
                spent = asyncio.run(flow(database, options.new, first=first, beside=beside))
                best[name] = min(fastest, spent)
    result = {
        "patients": options.patients,
        "journal_rows": options.patients * options.events,
        "filled_in_s": round(filling),
        "us_per_event": {name: round(each, 1) for name, each in best.items()},
        "ratio": round(best["empty"] / best["grown"], 3),
        "resident_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    }
    sys.stdout.write(json.dumps(result) + "\n")


if __name__ == "__main__":
    main()
