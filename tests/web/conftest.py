"""Sites to test, a static host for them, and a browser."""

import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from playwright.sync_api import sync_playwright

from webvm import site

PROJECT = Path(__file__).resolve().parents[2]
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), "chromium")


def build(*arguments, **options):
    """site.build, away from the thread in which Playwright's event loop runs: it runs one of its own. Without translated code
    of the image unless asked for: that takes a while."""
    options = {"code": False} | options
    with ThreadPoolExecutor(1) as pool:
        pool.submit(site.build, *arguments, **options).result()


@pytest.fixture(scope="package")
def browser():
    """A Chromium for all tests; each opens contexts of its own."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-dev-shm-usage"])
        yield browser
        browser.close()


@pytest.fixture(scope="package")
def serve():
    """Serve a folder as any static host does, with nothing but Python's own server; answers the address."""
    servers = []

    def start(folder):
        server = subprocess.Popen([sys.executable, "-u", "-m", "http.server", "0", "--bind", "127.0.0.1", "--directory", folder],
                                  stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        servers.append(server)
        port = server.stdout.readline().split(" port ")[1].split()[0]
        return f"http://localhost:{port}/"

    yield start
    for server in servers:
        server.kill()
        server.wait()


@pytest.fixture(scope="package")
def fake_source(tmp_path_factory):
    """The project, with fake_machine.py for its machine."""
    source = tmp_path_factory.mktemp("project")
    shutil.copytree(PROJECT / "webvm", source / "webvm", ignore=shutil.ignore_patterns("__pycache__", "_generated"))
    shutil.copy(Path(__file__).parent / "fake_machine.py", source / "webvm/machine.py")
    for name in ("pyproject.toml", "README.md"):
        shutil.copy(PROJECT / name, source)
    (source / "web").symlink_to(PROJECT / "web")
    return source


@pytest.fixture(scope="package")
def fake_site(fake_source, tmp_path_factory):
    """The folder of a site whose machine is the fake one."""
    out = tmp_path_factory.mktemp("site")
    build(out, fake_source)
    return out


@pytest.fixture(scope="package")
def fake_address(fake_site, serve):
    return serve(fake_site)


def watch(page):
    """Note in the page what it asks for and complains of."""
    page.requests, page.problems = [], []
    page.context.on("request", lambda request: page.requests.append(request.url))
    page.on("pageerror", lambda error: page.problems.append(str(error)))
    page.on("console", lambda message: page.problems.append(message.text) if message.type in ("error", "warning") else None)
    return page


def eventually(page, expression, seconds=60):
    """Wait until a promise comes true. (Playwright's wait_for_function waits for no promise: it takes that itself for truth.)"""
    deadline = time.monotonic() + seconds
    while not page.evaluate(expression):
        assert time.monotonic() < deadline, expression
        page.wait_for_timeout(50)


@pytest.fixture(scope="package")
def open_page_in():
    """Open an address in a context: answers the page, once `until` holds there (not at all when None)."""
    def start(context, address, until="window.vm"):
        page = watch(context.new_page())
        page.set_default_timeout(60_000)
        page.goto(address)
        if until:
            page.wait_for_function(f"{until} || document.querySelector('#state').dataset.phase === 'failed'")
            assert page.evaluate(f"!!({until})"), page.inner_text("#panel-text") + "\n" + "\n".join(page.problems)
        return page

    return start


@pytest.fixture
def open_page(browser, open_page_in):
    """The same, in a fresh profile unless one is given."""
    contexts = []

    def start(address, context=None, until="window.vm", **options):
        if context is None:
            context = browser.new_context(viewport={"width": 1000, "height": 640}, **options)
            contexts.append(context)
        return open_page_in(context, address, until)

    yield start
    for context in contexts:
        context.close()
