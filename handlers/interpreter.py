"""Python itself, tuned for a worker that keeps many charts in memory while a thread commits."""

import gc
import sys
from typing import Final

# Allocations between looks at the youngest objects, and how many of those looks make one at the
# next older ones. As Python comes (700, 10, 10), a fifth of the worker's time went into walking
# over cached charts, which hold no cycles; what does, such as an exception, can wait a moment.
THRESHOLDS: Final = (50_000, 20, 100)

# Seconds after which a thread that only computes gives Python's lock away. A commit to SQLite
# wants it for a moment after every statement: at Python's 5 ms it takes as long as all the fold.
SWITCH: Final = 0.0002


def tune() -> None:
    """Look at garbage less often, never at what was imported; switch sooner. For the process."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*THRESHOLDS)
    sys.setswitchinterval(SWITCH)
