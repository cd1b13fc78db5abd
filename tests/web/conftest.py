"""Sites to test, a static host for them, and a browser."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from playwright.sync_api import Error, sync_playwright

from webvm import site

PROJECT = Path(__file__).resolve().parents[2]
CHROMIUM = "/usr/bin/chromium"


@pytest.fixture(scope="session")
def browser():
    """A Chromium for all tests; each opens contexts of its own."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-dev-shm-usage"])
        yield browser
        browser.close()


@pytest.fixture(scope="session")
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


@pytest.fixture(scope="session")
def fake_source(tmp_path_factory):
    """The project, with fake_machine.py for its machine."""
    source = tmp_path_factory.mktemp("project")
    shutil.copytree(PROJECT / "webvm", source / "webvm", ignore=shutil.ignore_patterns("__pycache__", "_generated"))
    shutil.copy(Path(__file__).parent / "fake_machine.py", source / "webvm/machine.py")
    for name in ("pyproject.toml", "README.md"):
        shutil.copy(PROJECT / name, source)
    (source / "web").symlink_to(PROJECT / "web")
    return source


@pytest.fixture(scope="session")
def fake_site(fake_source, tmp_path_factory):
    """The folder of a site whose machine is the fake one."""
    out = tmp_path_factory.mktemp("site")
    site.build(out, fake_source)
    return out


@pytest.fixture(scope="session")
def fake_address(fake_site, serve):
    return serve(fake_site)


@pytest.fixture
def open_page(browser):
    """Open an address in a fresh profile: answers the page, which keeps `requests` and `problems` it saw."""
    contexts = []

    def start(address, context=None, until="window.vm", **options):
        if context is None:
            context = browser.new_context(viewport={"width": 1000, "height": 640}, **options)
            contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(60_000)
        page.requests, page.problems = [], []
        context.on("request", lambda request: page.requests.append(request.url))
        page.on("pageerror", lambda error: page.problems.append(str(error)))
        page.on("console", lambda message: page.problems.append(message.text) if message.type == "error" else None)
        page.goto(address)
        if until:
            page.wait_for_function(f"{until} || document.querySelector('#state').dataset.phase === 'failed'")
            assert page.evaluate(f"!!({until})"), page.inner_text("#panel-text") + "\n" + "\n".join(page.problems)
        return page

    yield start
    for context in contexts:
        context.close()
