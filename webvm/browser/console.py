"""The machine's terminal as the page sees it: bytes out in batches, bytes in, and a limit on what is on its way.

Knows neither what draws the bytes nor who writes them. The page says how many bytes it has drawn (`drawn`); when too
many are on their way the guest's writes to the terminal wait, as they would on a slow line.
"""

import asyncio
from collections.abc import Callable
from typing import Protocol

BATCH = 1 << 16         # bytes that are sent at once, without waiting for the next turn of the event loop
HIGH = 1 << 19          # bytes on their way at which the guest's output is stopped
LOW = 1 << 17           # and at which it goes on


class Flow(Protocol):
    """The terminal's output flow, as Ctrl-S and Ctrl-Q control it by hand."""

    def pause(self) -> None: ...
    def resume(self) -> None: ...


class Console:
    def __init__(self, send: Callable[[bytes], None]):
        self.flow: Flow | None = None           # set once there is a machine
        self._send = send
        self._parts: list[bytes] = []
        self._length = 0                        # of the parts
        self._coming = 0                        # bytes written and not yet drawn
        self._paused = False

    def write(self, data: bytes) -> None:
        """Output of the guest."""
        if not data:
            return
        if not self._parts:
            asyncio.get_running_loop().call_soon(self.flush)
        self._parts.append(bytes(data))
        self._length += len(data)
        self._coming += len(data)
        if self._length >= BATCH:
            self.flush()
        if self._coming >= HIGH and not self._paused and self.flow:
            self._paused = True
            self.flow.pause()

    def flush(self) -> None:
        if self._parts:
            data = b"".join(self._parts)
            self._parts.clear()
            self._length = 0
            self._send(data)

    def drawn(self, count: int) -> None:
        """The page has drawn `count` more bytes."""
        self._coming -= count
        if self._paused and self._coming <= LOW:
            self._paused = False
            self.flow.resume()
