"""`python -m bench.flow`: the flow without a broker, in CPU time, which other people's load does not blur.

Prints microseconds an event: of the thread that thinks, of the whole process, and by the clock.
"""

import argparse
import asyncio
import cProfile
import pstats
import sys
import tempfile
import time
from base64 import b64decode
from pathlib import Path

from bench import workload
from bench.setting import MASTER_KEY, NOW, postgres, quiet
from pathway import policy
from pathway.audit.sealing import KeyRing, MasterKey
from pathway.batch import Incoming, Terms
from pathway.process import Processor
from pathway.shelf import PolicyShelf
from pathway.store.migrate import upgrade
from pathway.store.open import open_store
from pathway.vault import Vault

BATCH = 512


async def flow(database: str, patients: int, profile: cProfile.Profile | None) -> None:
    """Take the whole workload in batches."""
    upgrade(database)
    store = open_store(database)
    await store.open()
    vault = Vault(store, KeyRing(MasterKey(b64decode(MASTER_KEY))))
    processor = Processor(store, vault, PolicyShelf(policy.default()), Terms(), lambda: NOW)
    await processor.start()
    letters = workload.letters(patients, "care")
    messages = [
        Incoming(letter.body, letter.subject, place)
        for place, letter in enumerate(letters, start=1)
    ]
    clocks = (time.thread_time, time.process_time, time.perf_counter)
    began = [clock() for clock in clocks]
    if profile:
        profile.enable()
    for start in range(0, len(messages), BATCH):
        await processor.take(messages[start : start + BATCH])
    if profile:
        profile.disable()
    spent = [(clock() - start) / len(messages) * 1e6 for clock, start in zip(clocks, began)]
    await workload.verify(store, patients)
    await store.close()
    sys.stdout.write("µs an event: thread {:.1f}, process {:.1f}, wall {:.1f}\n".format(*spent))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--patients", type=int, default=500)
    parser.add_argument("--postgres", action="store_true")
    parser.add_argument("--profile", action="store_true", help="where the time goes, by function")
    parser.add_argument("--sort", default="tottime")
    options = parser.parse_args()
    quiet()
    profile = cProfile.Profile() if options.profile else None
    with tempfile.TemporaryDirectory() as name, postgres() as server:
        database = server if options.postgres else f"sqlite:///{Path(name)}/a.db"
        asyncio.run(flow(database, options.patients, profile))
    if profile:
        pstats.Stats(profile).sort_stats(options.sort).print_stats(60)


if __name__ == "__main__":
    main()
