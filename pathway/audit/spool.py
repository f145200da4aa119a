"""Checkpoints that stand, kept on disk while a log is checked: a log has any number of them."""

from collections.abc import Iterator
from struct import Struct
from tempfile import SpooledTemporaryFile
from types import TracebackType
from typing import Final, Self

from pathway.audit.checkpoints import Checkpoint
from pathway.audit.tree import HASH_SIZE

_RECORD: Final = Struct(f">Q{HASH_SIZE}s")  # size and root
_IN_MEMORY: Final = 1024 * 1024  # bytes
_AT_ONCE: Final = 1024  # records


class CheckpointSpool:
    """Write first, then read as often as needed, also side by side."""

    def __init__(self, origin: str) -> None:
        self._origin = origin
        self._file = SpooledTemporaryFile[bytes](max_size=_IN_MEMORY)
        self._count = 0

    def add(self, checkpoint: Checkpoint) -> None:
        """Keep its size and root."""
        self._file.seek(self._count * _RECORD.size)
        self._file.write(_RECORD.pack(checkpoint.size, checkpoint.root))
        self._count += 1

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Checkpoint]:
        place = 0
        while place < self._count:
            self._file.seek(place * _RECORD.size)
            some = self._file.read(min(_AT_ONCE, self._count - place) * _RECORD.size)
            for size, root in _RECORD.iter_unpack(some):
                yield Checkpoint(self._origin, size, root)
                place += 1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()
