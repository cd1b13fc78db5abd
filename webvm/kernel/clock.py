"""Time for the kernel: nanoseconds of the host's clocks, and callbacks at a time. Knows the event loop, and no task.

A browser shows its clocks rounded: the wall clock to whole milliseconds, the monotonic one to between 5 microseconds and a
millisecond. Programs take two readings in a row for the same moment (vim waits for ever for a key when a millisecond passes
between them), so the wall clock is read off the finer one, and rounding never shows as a whole millisecond.
"""

import asyncio
import time

MILLISECOND = 1_000_000
STEP = 900_000                  # of a clock of whole milliseconds, between readings less than two of them apart
MOST_APART = 2 * MILLISECOND    # of the host's wall clock and ours


class Clock:
    """The host's clocks, by functions that answer nanoseconds; a test passes a clock of its own with the same three methods."""

    def __init__(self, monotonic=time.monotonic_ns, realtime=time.time_ns):
        self._monotonic, self._realtime = monotonic, realtime
        self._last = 0
        self._offset = realtime() - monotonic()

    def monotonic(self) -> int:
        now = self._monotonic()
        if now % MILLISECOND == 0 and now - self._last < 2 * MILLISECOND:
            now = min(now, self._last + STEP)
        self._last = now
        return now

    def realtime(self) -> int:
        now, shown = self.monotonic() + self._offset, self._realtime()
        if abs(now - shown) > MOST_APART:       # somebody set the clock, or the machine slept
            self._offset += shown - now
            now = shown
        return now

    def call_at(self, when: int, callback):
        """Call back at WHEN on the monotonic clock, from the event loop; returns a handle with `cancel()`."""
        delay = max(when - self._monotonic(), 0) / 1e9
        return asyncio.get_running_loop().call_later(min(delay, 1e9), callback)
