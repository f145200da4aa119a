"""Logs: readable on a terminal, JSON elsewhere; on stderr, since stdout is for results.

Never a patient's data beyond the pseudonymous key: events are logged by code and key, and no
message body, score or text is ever a field.
"""

import logging
import os
import sys
import traceback

import structlog


def configure(default: str = "warning") -> None:
    """Set up structlog for this process, at `PATHWAY_LOG_LEVEL` if that is set."""
    name = os.environ.get("PATHWAY_LOG_LEVEL", default).upper()
    level = getattr(logging, name, logging.INFO)
    on_terminal = sys.stderr.isatty()
    renderer: structlog.typing.Processor = (
        structlog.dev.ConsoleRenderer() if on_terminal else structlog.processors.JSONRenderer()
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.ExceptionRenderer(_where),
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=False,
    )
    logging.getLogger("asyncio").setLevel(logging.ERROR)  # it warns of TLS that the library closes
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr, format="%(message)s")


def _where(exc_info: structlog.typing.ExcInfo) -> str:
    """Where it was raised and its type; never its text, which may quote an event."""
    kind, _, frames = exc_info
    return "".join(traceback.format_tb(frames)) + kind.__name__
