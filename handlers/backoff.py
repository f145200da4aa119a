"""Why the relay is held up, and when it is worth another try."""

import time

import structlog

log = structlog.get_logger()

FIRST, LAST = 0.1, 5.0  # seconds between tries; doubles in between


class Backoff:
    """The reason that holds us up, if any, as a stable code, and the instant of the next try."""

    def __init__(self) -> None:
        self._failures = 0
        self.reason: str | None = None
        self.resume_at = 0.0  # on the monotonic clock

    @property
    def waiting(self) -> bool:
        """Whether it is too early for another try."""
        return time.monotonic() < self.resume_at

    def block(self, code: str, detail: str) -> None:
        """Wait, longer each time; what fails while waiting was under way and does not count."""
        if self.waiting:
            return
        if code != self.reason:
            log.warning("relay_blocked", code=code, detail=detail)
        self.reason = code
        self.resume_at = time.monotonic() + min(LAST, FIRST * 2**self._failures)
        self._failures = min(self._failures + 1, 16)

    def unblock(self) -> None:
        """Something went through."""
        if self.reason:
            log.info("relay_unblocked", code=self.reason)
        self.reason, self._failures, self.resume_at = None, 0, 0.0
