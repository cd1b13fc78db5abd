"""A page that runs Python of this folder in Pyodide, in a worker of headless Chromium, as the real page does."""

import contextlib
import http.server
import io
import json
import shutil
import threading
import zipfile
from pathlib import Path
from urllib.parse import urlsplit

from playwright.sync_api import sync_playwright

from .. import toy

HERE = Path(__file__).parent
ROOT = HERE.parents[2]
PYODIDE = ROOT / "web/node_modules/pyodide"


def sources() -> bytes:
    """A zip of what the page imports: the engine, the layout, and this folder as the package engine_tests."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for path in [*(ROOT / "webvm/engine").glob("*.py"), ROOT / "webvm/jit/layout.py"]:
            archive.write(path, path.relative_to(ROOT))
        for path in HERE.parent.glob("*.py"):
            archive.write(path, Path("engine_tests") / path.name)
        for name in toy.MODULES:
            archive.writestr(f"engine_tests/{name}.wasm", toy.assembled(name))
    return buffer.getvalue()


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        path = urlsplit(self.path).path.lstrip("/") or "index.html"
        if path == "sources.zip":
            body = sources()
        elif path == "engine.js":
            body = (ROOT / "web/engine.js").read_bytes()
        elif path.startswith("pyodide/"):
            body = (PYODIDE / path.removeprefix("pyodide/")).read_bytes()
        else:
            body = (HERE / path).read_bytes()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Content-Type", self.TYPES.get(path.rpartition(".")[2], "application/octet-stream"))
        self.end_headers()
        self.wfile.write(body)

    TYPES = {"html": "text/html", "js": "text/javascript", "mjs": "text/javascript", "wasm": "application/wasm"}

    def log_message(self, *args):
        pass


def chromium() -> str:
    for name in ("chromium", "chromium-browser", "google-chrome"):
        if path := shutil.which(name):
            return path
    raise FileNotFoundError("no Chromium in the PATH; as root: apt-get install chromium")


@contextlib.contextmanager
def served():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def run(name: str):
    """What the function (`module.function`) returns, from JSON."""
    if not PYODIDE.is_dir():
        raise FileNotFoundError(f"{PYODIDE} is missing; run ./scripts/setup")
    with served() as address, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
        try:
            page = browser.new_page()
            page.goto(f"{address}?run={name}")
            answer = page.evaluate("window.results")
        finally:
            browser.close()
    if "failed" in answer:
        raise RuntimeError(answer["failed"])
    return json.loads(answer["result"])
