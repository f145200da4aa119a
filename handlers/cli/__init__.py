"""The command line: every command, registered by importing its module."""

from handlers.cli import (
    auditing,
    defining,
    demonstrating,
    erasing,
    eventing,
    exporting,
    looking,
    probing,
    running,
)
from handlers.cli.root import app, main

__all__ = [
    "app",
    "auditing",
    "defining",
    "demonstrating",
    "erasing",
    "eventing",
    "exporting",
    "looking",
    "main",
    "probing",
    "running",
]
