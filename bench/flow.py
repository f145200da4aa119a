"""`python -m bench.flow`: the flow without a broker, in CPU time.

Prints microseconds an event: of the thread that thinks, of the whole process, and by the clock.
Between batches a piece of work that never changes is timed, too: on a machine with company the
quotient of the two says more than either.
"""

import argparse
import asyncio
import cProfile
import json
import pstats
import sys
import time
from base64 import b64decode

from bench import workload
from bench.setting import MASTER_KEY, NOW, databases, quiet
from handlers import interpreter
from pathway import policy
from pathway.audit.sealing import KeyRing, MasterKey
from pathway.batch import Incoming, Terms
from pathway.process import Processor
from pathway.shelf import PolicyShelf
from pathway.store.open import open_store
from pathway.vault import Vault

BATCH = 4096
WEIGHED = 512  # events whose time is divided by that of one yardstick


async def flow(
    database: str,
    patients: int,
    profile: cProfile.Profile | None = None,
    *,
    first: int = 0,
    beside: int | None = None,
) -> float:
    """Take the whole workload in batches; returns microseconds an event by the clock.

    With `beside`, the workload comes to a database that holds so many other patients, and those
    numbered up to `first`.
    """
    store = open_store(database)
    await store.open()
    vault = Vault(store, KeyRing(MasterKey(b64decode(MASTER_KEY))))
    processor = Processor(store, vault, PolicyShelf(policy.default()), Terms(), lambda: NOW)
    await processor.start()
    letters = workload.letters(patients, "care", first=first, scattered=beside is not None)
    messages = [
        Incoming(letter.body, letter.subject, place)
        for place, letter in enumerate(letters, start=1)
    ]
    interpreter.tune()
    clocks = (time.thread_time, time.process_time, time.perf_counter)
    spent, yardstick = [0.0, 0.0, 0.0], 0.0
    for start in range(0, len(messages), BATCH):
        began = [clock() for clock in clocks]
        if profile:
            profile.enable()
        departed = asyncio.Event()
        task = asyncio.create_task(processor.take(messages[start : start + BATCH], departed.set))
        await departed.wait()  # by now the batch before has landed
        if profile:
            profile.disable()
        for place, clock in enumerate(clocks):
            spent[place] += clock() - began[place]
        yardstick += _yardstick()
    await task
    await workload.verify(store, first + patients, beside or 0)
    await store.close()
    each = [seconds / len(messages) * 1e6 for seconds in spent]
    sys.stdout.write("µs an event: thread {:.1f}, process {:.1f}, wall {:.1f}; ".format(*each))
    one = yardstick / -(-len(messages) // BATCH)
    sys.stdout.write(f"thread to yardstick {each[0] * WEIGHED / 1e6 / one:.2f}\n")
    return each[-1]


def _yardstick() -> float:
    """CPU seconds of some Python that never changes."""
    began = time.thread_time()
    document = {str(number): [number, {"half": number / 2}] for number in range(100)}
    for _ in range(100):
        json.loads(json.dumps(document, sort_keys=True))
    return time.thread_time() - began


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
    with databases() as made:
        database = made.make("postgres" if options.postgres else "sqlite")
        asyncio.run(flow(database, options.patients, profile))
    if profile:
        pstats.Stats(profile).sort_stats(options.sort).print_stats(60)


if __name__ == "__main__":
    main()
