"""The command line: every command, registered by importing its module."""

from handlers.cli import (
    adopting,
    auditing,
    backtesting,
    defining,
    demonstrating,
    doctor,
    erasing,
    eventing,
    exporting,
    looking,
    probing,
    rotating,
    running,
)
from handlers.cli.root import app, main

__all__ = [
    "adopting",
    "app",
    "auditing",
    "backtesting",
    "defining",
    "demonstrating",
    "doctor",
    "erasing",
    "eventing",
    "exporting",
    "looking",
    "main",
    "probing",
    "rotating",
    "running",
]
