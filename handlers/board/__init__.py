"""The board: a read-only web view of the clinic, for people who look rather than read."""

from handlers.board.app import make_board
from handlers.board.reader import BoardReader

__all__ = ["BoardReader", "make_board"]
