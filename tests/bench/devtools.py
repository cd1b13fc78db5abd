"""A Chromium told what to do over its debugging pipe, as little as possible.

For measuring memory: Playwright has DevTools' network domain on, for which the process of the page keeps a copy of each answer
that it fetches, up to 100 MB of them.
"""

import contextlib
import fcntl
import json
import os
import subprocess
import sys
import tempfile
import time

STARTER = "import os, sys; os.dup2(int(sys.argv[1]), 3); os.dup2(int(sys.argv[2]), 4); os.execv(sys.argv[3], sys.argv[3:])"


class DevtoolsError(Exception):
    """What the browser says about a call, or an exception of the page's."""


class Browser:
    def __init__(self, program: str, *arguments: str):
        self._closing = contextlib.ExitStack()
        profile = self._closing.enter_context(tempfile.TemporaryDirectory(ignore_cleanup_errors=True))
        (commands, self._out), (self._in, answers) = os.pipe(), os.pipe()
        theirs = [fcntl.fcntl(fd, fcntl.F_DUPFD, 10) for fd in (commands, answers)]         # not 3 or 4, which they become
        for fd in commands, answers:
            os.close(fd)
        command = [program, "--headless=new", "--remote-debugging-pipe", "--no-first-run", "--disable-extensions", "--disable-gpu",
                   f"--user-data-dir={profile}", *arguments, "about:blank"]
        self._process = subprocess.Popen([sys.executable, "-c", STARTER, *map(str, theirs), *command], pass_fds=theirs,
                                         stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self._closing.callback(self._end)
        for fd in theirs:
            os.close(fd)
        self._received, self._calls, self._gone = b"", 0, set()        # sessions of pages that are no more
        self.version = self.send("Browser.getVersion")["product"].partition("/")[2]

    def _end(self):
        for fd in self._out, self._in:
            os.close(fd)
        self._process.terminate()
        self._process.wait()

    def close(self):
        self._closing.close()

    def send(self, method: str, session: str | None = None, **parameters) -> dict:
        """What the method answers."""
        self._calls += 1
        call = {"id": self._calls, "method": method, "params": parameters} | ({"sessionId": session} if session else {})
        data = json.dumps(call).encode() + b"\0"
        while data:
            data = data[os.write(self._out, data):]
        while True:
            answer = self._receive()
            if answer.get("id") == self._calls:
                if "error" in answer:
                    raise DevtoolsError(f"{method}: {answer['error']['message']}")
                return answer["result"]
            if answer.get("method") in ("Inspector.targetCrashed", "Target.detachedFromTarget"):
                self._gone.add(answer["params"].get("sessionId") or answer.get("sessionId"))
            if session in self._gone:
                raise DevtoolsError("the page crashed")

    def _receive(self) -> dict:
        while b"\0" not in self._received:
            data = os.read(self._in, 1 << 20)
            if not data:
                raise DevtoolsError("the browser has ended")
            self._received += data
        answer, _, self._received = self._received.partition(b"\0")
        return json.loads(answer)

    def open(self, address: str) -> "Page":
        return Page(self, address)


class Page:
    def __init__(self, browser: Browser, address: str):
        self._browser = browser
        self._target = browser.send("Target.createTarget", url=address)["targetId"]
        self._session = browser.send("Target.attachToTarget", targetId=self._target, flatten=True)["sessionId"]
        browser.send("Inspector.enable", self._session)

    def evaluate(self, expression: str, *arguments):
        """The value of an expression; or what a function answers to the arguments. Promises are waited for."""
        if arguments:
            expression = f"({expression})({', '.join(map(json.dumps, arguments))})"
        answer = self._browser.send("Runtime.evaluate", self._session, expression=expression, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in answer:
            thrown = answer["exceptionDetails"]
            raise DevtoolsError(thrown.get("exception", {}).get("description") or thrown["text"])
        return answer["result"].get("value")

    def wait_for(self, expression: str, seconds: float = 120) -> None:
        """Until the expression is true."""
        end = time.monotonic() + seconds
        while not self.evaluate(expression):
            if time.monotonic() > end:
                raise DevtoolsError(f"not so after {seconds} s: {expression}")
            time.sleep(0.05)

    def close(self) -> None:
        self._browser.send("Target.closeTarget", targetId=self._target)
