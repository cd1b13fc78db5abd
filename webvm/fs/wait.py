"""Waiting without a scheduler: who waits awaits a `Wait`, who changes something wakes a `WaitQueue`.

Knows nothing of tasks. A `Wait` is what the coroutine yields to whoever drives it: it has `add_done_callback`, and the
callbacks run inside `wake`, with no turn of an event loop. It also looks enough like an asyncio future that the same
coroutine can be awaited from ordinary asyncio code; then its callback is scheduled on the loop, as asyncio demands.

A wake-up says "look again", never "it is yours": every waiter loops over its condition.
"""

import asyncio
from functools import partial


class Interrupted(Exception):
    """Thrown into a waiting coroutine when a signal must be delivered: EINTR, or a restart of the call.

    Code that has already moved bytes catches it and returns what it moved.
    """


class Wait:
    """One suspension; done after the first `wake` of any queue it listens to, or of itself (a timer may call it)."""

    __slots__ = ("_queues", "_done", "_callbacks", "_asyncio_future_blocking")

    def __init__(self, queues=()):
        self._queues = queues
        self._done = False
        self._callbacks = []
        self._asyncio_future_blocking = False
        for queue in queues:
            queue.waits[self] = None

    def __await__(self):
        try:
            if not self._done:
                self._asyncio_future_blocking = True
                yield self
        finally:
            self.forget()

    def done(self) -> bool:
        return self._done

    def wake(self):
        """Resume whoever awaits this; further calls do nothing."""
        if self._done:
            return
        self._done = True
        self.forget()
        callbacks, self._callbacks = self._callbacks, []
        for call in callbacks:
            call()

    def forget(self):
        """Listen to no queue any more."""
        for queue in self._queues:
            queue.waits.pop(self, None)

    def add_done_callback(self, callback, *, context=None):
        if context is None:
            call = partial(callback, self)
        else:  # asyncio gives a context, and forbids entering a task from inside another one
            call = partial(self.get_loop().call_soon, callback, self, context=context)
        if self._done:
            call()
        else:
            self._callbacks.append(call)

    # What asyncio.Task asks of the thing it was handed.

    def get_loop(self):
        return asyncio.get_running_loop()

    def result(self):
        return None

    def cancel(self, msg=None) -> bool:
        """Not by itself: the task that awaits this is resumed, and finds that it is cancelled."""
        self.wake()
        return False


class WaitQueue:
    """Those who wait for one thing to change."""

    __slots__ = ("waits",)

    def __init__(self):
        self.waits = {}  # Wait -> None, in order of arrival

    def wait(self) -> Wait:
        """`await queue.wait()` returns after the next `wake`."""
        return Wait((self,))

    def wake(self):
        """Let everybody look again."""
        if self.waits:
            for wait in list(self.waits):
                wait.wake()


def wait_any(queues) -> Wait:
    """`await wait_any(queues)` returns after the next `wake` of any of them."""
    return Wait(tuple(queues))


def after(seconds: float, callback):
    """Call back once the time is over, from the event loop; a handle with `cancel()`."""
    return asyncio.get_running_loop().call_later(seconds, callback)
