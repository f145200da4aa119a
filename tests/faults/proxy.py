"""A TCP proxy whose line can be cut."""

import asyncio
from contextlib import suppress
from typing import Literal

CHUNK = 64 * 1024  # bytes

Line = Literal["open", "cut", "silent"]


class Proxy:
    """Forwards connections to a port on this machine.

    `cut`: connections break, and new ones are refused. `silent`: what is sent arrives nowhere
    and nobody is told, as behind a firewall that forgot its table; connections from before stay
    silent for ever, even when the line is open again.
    """

    def __init__(self, target: int) -> None:
        self._target = target
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._line: Line = "open"
        self._generation = 0
        self.port = 0

    async def start(self) -> None:
        """Listen, on the same port as before if there was one."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Break every connection and refuse new ones."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for writer in list(self._writers):
            writer.transport.abort()

    async def cut(self) -> None:
        """Break the line."""
        await self.stop()

    def silence(self) -> None:
        """Let the line swallow everything."""
        self._line = "silent"
        self._generation += 1

    async def mend(self) -> None:
        """Let new connections through."""
        self._line = "open"
        if self._server is None:
            await self.start()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        generation = self._generation
        try:
            there_reader, there_writer = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:
            writer.transport.abort()
            return
        self._writers |= {writer, there_writer}
        try:
            await asyncio.gather(
                self._forward(reader, there_writer, generation),
                self._forward(there_reader, writer, generation),
            )
        finally:
            self._writers -= {writer, there_writer}

    async def _forward(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, generation: int
    ) -> None:
        with suppress(OSError):
            while data := await reader.read(CHUNK):
                if self._generation == generation and self._line == "open":
                    writer.write(data)
                    await writer.drain()
        if self._generation == generation:
            writer.transport.abort()
