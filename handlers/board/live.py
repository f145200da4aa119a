"""Telling open pages that something changed: server-sent events, no payload but the hint."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, field
from typing import Final

HEARTBEAT: Final = 15.0  # seconds; a comment that keeps proxies from closing the line
SPACING: Final = 1.0  # seconds between two hints to one page, however much happens
LISTENERS: Final = 200  # open pages at a time; more are turned away


class TooManyListenersError(Exception):
    """So many pages are open that another would be a burden on the worker."""


@dataclass(slots=True, eq=False)
class _Listener:
    """One open page; `patient` None hears of everybody."""

    patient: str | None
    news: asyncio.Event = field(default_factory=asyncio.Event)


class Live:
    """The open pages of this process."""

    def __init__(self) -> None:
        self._listeners: set[_Listener] = set()
        self._closed = False

    def tell(self, patients: Iterable[str]) -> None:
        """These patients changed."""
        changed = set(patients)
        for listener in self._listeners:
            if changed and (listener.patient is None or listener.patient in changed):
                listener.news.set()

    def close(self) -> None:
        """End every stream, so that the server can stop; browsers connect again by themselves."""
        self._closed = True
        for listener in self._listeners:
            listener.news.set()

    def listen(self, patient: str | None) -> AsyncIterator[str]:
        """The event stream for one page. Raises TooManyListenersError."""
        if len(self._listeners) >= LISTENERS:
            raise TooManyListenersError
        listener = _Listener(patient)
        self._listeners.add(listener)
        return self._stream(listener)

    async def _stream(self, listener: _Listener) -> AsyncIterator[str]:
        try:
            yield "retry: 2000\n\n"
            while not self._closed:
                try:
                    async with asyncio.timeout(HEARTBEAT):
                        await listener.news.wait()
                except TimeoutError:
                    yield ": still here\n\n"
                    continue
                listener.news.clear()
                if not self._closed:
                    yield "event: changed\ndata:\n\n"
                    await asyncio.sleep(SPACING)
        finally:
            self._listeners.discard(listener)
