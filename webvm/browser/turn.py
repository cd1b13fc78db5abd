"""A turn of the browser's event loop for a machine that computes.

`await turn()` lets messages, timers and fetches through. asyncio.sleep(0) does that too, but takes three times as long in
Pyodide (125 against 40 us): it goes through the loop's own queue. Here the message's handler resumes the task itself.
"""

import asyncio

from js import MessageChannel
from pyodide.ffi import create_proxy


class Turn:
    """Looks like an asyncio future that is done when the message has arrived. One task may wait at a time."""

    def __init__(self):
        self._channel = MessageChannel.new()
        self._channel.port1.onmessage = create_proxy(self._arrive)
        self._post = self._channel.port2.postMessage
        self._resume = None
        self._asyncio_future_blocking = False

    def __call__(self) -> "Turn":
        return self

    def __await__(self):
        self._post(0)
        self._asyncio_future_blocking = True
        yield self

    def _arrive(self, event) -> None:
        callback, context = self._resume
        self._resume = None
        context.run(callback, self)

    # What asyncio.Task asks of what it waits for.

    def add_done_callback(self, callback, *, context) -> None:
        self._resume = callback, context

    def get_loop(self):
        return asyncio.get_running_loop()

    def result(self) -> None:
        return None

    def cancel(self, msg=None) -> bool:
        return False
