"""Time for the kernel: nanoseconds of the host's clocks, and callbacks at a time. Knows the event loop, and no task.

The event loop calls back while nothing runs. While guest code does, the loop would come to its timers only a turn later than it could,
as they queue up behind what asked for that turn: so whoever runs code looks at `due`, stops in time and calls `run_due`.

A browser shows its clocks rounded: the wall clock to whole milliseconds, the monotonic one to between 5 microseconds and a
millisecond. Programs take two readings in a row for the same moment (vim waits for ever for a key when a millisecond passes
between them), so the wall clock is read off the finer one, and rounding never shows as a whole millisecond.
"""

import asyncio
import time

MILLISECOND = 1_000_000
STEP = 900_000                  # of a clock of whole milliseconds, between readings less than two of them apart
MOST_APART = 2 * MILLISECOND    # of the host's wall clock and ours
NEVER = 1 << 63


class Timer:
    def __init__(self, clock, when, callback):
        self.when = when
        self._clock, self._callback = clock, callback
        delay = max(when - clock.host(), 0) / 1e9
        self._handle = asyncio.get_running_loop().call_later(min(delay, 1e9), self.expire)

    def cancel(self):
        self._handle.cancel()
        self._clock.timers.discard(self)

    def expire(self):
        self.cancel()
        self._callback()


class Clock:
    """The host's clocks, by functions that answer nanoseconds; a test passes a clock of its own with the same methods."""

    def __init__(self, monotonic=time.monotonic_ns, realtime=time.time_ns):
        self.host, self._realtime = monotonic, realtime
        self.timers = set()
        self.due = NEVER                # no timer that is set is due before
        self.on_timer = lambda when: None       # called when one is set that is due then
        self._last = 0
        self._offset = realtime() - monotonic()

    def monotonic(self) -> int:
        now = self.host()
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
        """Call back at WHEN on the monotonic clock, from the event loop or from `run_due`; returns a handle with `cancel()`."""
        timer = Timer(self, when, callback)
        self.timers.add(timer)
        self.due = min(self.due, when)
        self.on_timer(when)
        return timer

    def run_due(self) -> None:
        """Call back now for what is due."""
        now = self.host()
        for timer in sorted((timer for timer in self.timers if timer.when <= now), key=lambda timer: timer.when):
            if timer in self.timers:            # none before it has cancelled it
                timer.expire()
        self.due = min((timer.when for timer in self.timers), default=NEVER)
