"""From nothing to a login shell: what `web/worker.js` calls once Python runs.

Knows the order in which the parts come up, and turns what goes wrong into one sentence.
"""

import asyncio
import random
import time
import traceback

from js import Object, console
from pyodide.ffi import to_js

from webvm.browser.codestore import CodeStore
from webvm.browser.console import Console
from webvm.browser.database import taken
from webvm.browser.indexeddb import IndexedDBStore
from webvm.browser.transport import FetchTransport
from webvm.browser.turn import Turn
from webvm.machine import BadImage, BlockError, Errno, Machine, NoSuchOption, Stats, open_device

MOST_SHIPPED = 4 << 20  # bytes of one file of translated code that came with the site
RESPAWN = 1.0           # seconds: a login shell that lives shorter than this is not started again


async def _fetch(url: str) -> bytes:
    """A file of the site; raises OSError."""
    answer = await FetchTransport(idle=10, total=60).get(url, {}, MOST_SHIPPED, "default")
    if answer.status != 200 or len(answer.body) > MOST_SHIPPED:
        raise OSError(f"{url}: status {answer.status}")
    return answer.body


class Session:
    """One machine and one page."""

    def __init__(self, page):
        """`page`: output(Uint8Array), prompt(), notice(sentence or ""), failed(sentence)."""
        self._page = page
        self._console = Console(self._output)
        self._prompted = False          # a program has written to the terminal
        self._machine = None
        self._stats = Stats()
        self._store, self._code_store = IndexedDBStore(), CodeStore()
        self._tasks = []
        self._calls = {"perf": self._perf, "run": self._run, "readFile": self._read_file, "writeFile": self._write_file, "clearCache": self._clear_cache}

    async def boot(self, disk: str | None, interpreter, columns: int, rows: int, options) -> bool:
        """Whether the machine is up; the page has been told why when it is not.

        `disk`: address of the image; `interpreter`: its WebAssembly.Module, or None for the package's own; `options`: more of
        Machine.boot, as a JavaScript object; `code_cache` is whether there is to be one, `shipped_code` the address of a folder.
        """
        options = options.to_py()
        options["cpu"] = options.get("cpu") or None
        options["code_cache"] = self._code_store if options["code_cache"] else None
        folder = options["shipped_code"]
        options["shipped_code"] = (lambda name: _fetch(f"{folder}{name}")) if folder else None
        random.seed()       # a restored snapshot comes with the generator's state of the moment it was taken
        try:
            device = await open_device(disk, FetchTransport(), self._store, stats=self._stats, on_trouble=self._page.notice) if disk else None
            self._machine = await Machine.boot(
                interpreter=interpreter, device=device, output=self._console.write, columns=columns, rows=rows, yield_=Turn(),
                **options)
        except (BlockError, BadImage) as error:
            self._page.failed(f"The disk cannot be used. {error}")
            return False
        except NoSuchOption as error:
            self._page.failed(f"The machine cannot be started like this: {error}.")
            return False
        self._console.flow = self._machine.console
        self._tasks += [asyncio.ensure_future(self._watch(work)) for work in (self._login(), self._machine.stopped())]
        return True

    async def _watch(self, work) -> None:
        """Tell the page when the machine breaks down in `work`."""
        try:
            await work
        except BaseException as error:      # whatever it is, it is a bug of ours, and nobody else would hear of it
            console.error("".join(traceback.format_exception(error)))
            self._page.failed(f"The machine broke down: {type(error).__name__}: {error}")

    def _output(self, data: bytes) -> None:
        if not self._prompted and self._machine.stats()["system_calls"]:    # before that, it is the machine's greeting
            self._prompted = True
            self._page.prompt()
        self._page.output(to_js(data))

    async def _login(self) -> None:
        """Start the login shell, and again whenever it ends, as getty does."""
        while True:
            start = time.monotonic()
            try:
                status = await self._machine.shell()
            except Errno as error:
                self._page.failed(f"The login shell could not be started: {error}.")
                return
            if time.monotonic() - start < RESPAWN:
                self._page.failed(f"The login shell ended at once, with status {status}.")
                return

    # From the page, in the order of its messages.

    def input(self, data) -> None:
        self._machine.console.input(data.to_bytes())

    def resize(self, columns: int, rows: int) -> None:
        self._machine.console.resize(columns, rows)

    def drawn(self, count: int) -> None:
        self._console.drawn(count)

    def stats(self):
        """Counters, as a JavaScript object; those of the disk alone until the machine is up."""
        machine = self._machine.stats() if self._machine else {}
        return to_js(machine | self._stats.as_dict(), dict_converter=Object.fromEntries)

    async def call(self, name: str, *arguments):
        """[value, null], or [null, name of the error number] when the guest's kernel says no."""
        try:
            return to_js([await self._calls[name](*arguments), None])
        except Errno as error:
            return to_js([None, error.name])

    async def _perf(self):
        return await self._machine.perf()

    async def _run(self, argv, stdin, env, cwd):
        status, stdout, stderr = await self._machine.run(
            argv.to_py(), stdin=stdin.to_bytes(), env=env.to_py() if env else None, cwd=cwd)
        return [status, stdout, stderr]

    async def _read_file(self, path):
        return await self._machine.read_file(path)

    async def _write_file(self, path, data):
        await self._machine.write_file(path, taken(data))

    async def _clear_cache(self):
        await self._store.clear()
        await self._code_store.clear()
