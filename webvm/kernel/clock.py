"""Time for the kernel: nanoseconds of the host's clocks, and callbacks at a time. Knows the event loop, and no task."""

import asyncio
import time


class Clock:
    """The host's clocks; a test passes one of its own with the same three methods."""

    def monotonic(self) -> int:
        return time.monotonic_ns()

    def realtime(self) -> int:
        return time.time_ns()

    def call_at(self, when: int, callback):
        """Call back at WHEN on the monotonic clock, from the event loop; returns a handle with `cancel()`."""
        delay = max(when - time.monotonic_ns(), 0) / 1e9
        return asyncio.get_running_loop().call_later(min(delay, 1e9), callback)
