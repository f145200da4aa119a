"""Makes the wall clock of an interpreter that finds this on its path jump with a file's content.

The monotonic clock goes on, as it does on a real machine. (libfaketime is of no use here: it
also twists the timed waits of the interpreter's own lock, and a jump slows all threads down.)
"""

import os
import time
from pathlib import Path

_dial = Path(os.environ["JUMPING_CLOCK"])
_time_ns = time.time_ns


def _jumped_ns() -> int:
    return _time_ns() + int(_dial.read_text()) * 10**9


time.time_ns = _jumped_ns
time.time = lambda: _jumped_ns() / 10**9
