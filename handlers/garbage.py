"""Python's garbage collector, tuned for a worker that keeps many thousand charts in memory."""

import gc
from typing import Final

# Allocations between looks at the youngest objects, and how many of those looks make one at the
# next older ones. As Python comes (700, 10, 10), a fifth of the worker's time went into walking
# over cached charts, which hold no cycles; what does, such as an exception, can wait a moment.
THRESHOLDS: Final = (50_000, 20, 100)


def tune() -> None:
    """Leave alone what was imported, and look at the rest less often; for the whole process."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*THRESHOLDS)
