"""A page in headless Chromium with webvm.block in Pyodide, served by the tests' own server, so that it can misbehave."""

import io
import json
import shutil
import zipfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import sync_playwright

from .server import serving

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
PYODIDE = ROOT / "web/node_modules/pyodide"
INDEX = """<!doctype html><link rel="icon" href="data:,"><script type="module">
    import { loadPyodide } from "/pyodide/pyodide.mjs";
    window.started = (async () => {
        const pyodide = await loadPyodide();
        pyodide.unpackArchive(await (await fetch("/sources.zip")).arrayBuffer(), "zip", { extractDir: "/src" });
        pyodide.runPython("import sys; sys.path.insert(0, '/src')");
        window.call = (name, args) => pyodide.runPythonAsync(
            `import json; from block import in_page; json.dumps(await in_page.${name}(*json.loads(args)))`,
            { globals: pyodide.toPy({ args }) });
    })();
</script>"""


def sources() -> bytes:
    """What the page imports; of webvm.browser only what is tested here, since the rest needs a whole machine."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for path in [ROOT / "webvm/__init__.py", *(ROOT / "webvm/block").glob("*.py"),
                     *(ROOT / "webvm/browser" / name for name in ("__init__.py", "transport.py", "database.py", "indexeddb.py", "codestore.py"))]:
            archive.write(path, path.relative_to(ROOT))
        for name in ("__init__.py", "in_page.py", "stores.py", "code_stores.py"):
            archive.write(HERE / name, Path("block") / name)
    return buffer.getvalue()


class Page:
    """`server` to be made to misbehave, `call` to run a function of in_page.py.

    Playwright has a thread of its own: it leaves an event loop running in its thread, where asyncio.run then refuses to.
    """

    def __init__(self, server, thread, page):
        self.server = server
        self._thread = thread
        self._page = page

    def call(self, name: str, *args):
        call = "([name, args]) => call(name, args)"
        return json.loads(self._thread.submit(self._page.evaluate, call, [name, json.dumps(args)]).result())

    def with_quota(self, size: int) -> "Page":
        """Another page, of another origin, which may store `size` bytes from its first one on."""
        origin = self.server.url.replace("127.0.0.1", "localhost")

        def start():
            page = self._page.context.browser.new_page()
            page.context.new_cdp_session(page).send("Storage.overrideQuotaForOrigin", {"origin": origin, "quotaSize": size})
            return load(page, origin)

        return Page(self.server, self._thread, self._thread.submit(start).result())

    def close(self) -> None:
        self._thread.submit(self._page.close).result()


def load(page, origin: str):
    page.goto(origin + "/index.html")
    page.evaluate("window.started")
    return page


@contextmanager
def opened():
    if not PYODIDE.is_dir():
        raise FileNotFoundError(f"{PYODIDE} is missing; run ./scripts/setup")
    files = {f"/pyodide/{path.name}": path.read_bytes() for path in PYODIDE.iterdir() if path.is_file()}
    files |= {"/index.html": INDEX.encode(), "/sources.zip": sources()}

    def start():
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        return load(browser.new_page(), server.url)

    with serving(files) as server, ThreadPoolExecutor(1) as thread:
        playwright = thread.submit(sync_playwright().start).result()
        try:
            yield Page(server, thread, thread.submit(start).result())
        finally:
            thread.submit(playwright.stop).result()
