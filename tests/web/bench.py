"""How long the page takes, as JSON:  python -m tests.web.bench [SITE]

Milliseconds from navigation to the shell's prompt, on a first and a second visit, beside a bare loadPyodide() in the same
browser and profile; then programs by vm.run, each twice: with its blocks still on the server, and with them here. SITE is a
folder made by `webvm site` with the standard image, build/site unless said otherwise; served by http.server.
"""

import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

from playwright.sync_api import sync_playwright

from .conftest import CHROMIUM, PROJECT

ROUNDS = 5
PROGRAMS = {
    "ls": ["bash", "-c", "ls -la /usr/bin"],
    "python3": ["python3", "-c", "print(1)"],
    "git": ["git", "--version"],
    "200 forks": ["dash", "-c", "i=0; while [ $i -lt 200 ]; do /bin/true; i=$((i+1)); done"],
}
BARE = """([pyodide, lock]) => new Promise((done, fail) => {
    const code = `onmessage = async ({ data: [pyodide, lock] }) => {
        const start = performance.now();
        try {
            const { loadPyodide } = await import(pyodide + "pyodide.mjs");
            await loadPyodide({ lockFileURL: lock });
            postMessage(performance.now() - start);
        } catch (error) {
            postMessage(String(error));
        }
    }`;
    const worker = new Worker(URL.createObjectURL(new Blob([code], { type: "text/javascript" })), { type: "module" });
    worker.onmessage = ({ data }) => { worker.terminate(); typeof data === "number" ? done(data) : fail(new Error(data)); };
    worker.postMessage([pyodide, lock].map(name => new URL(name, location).href));
})"""


def visit(page, address):
    """Milliseconds from navigation to the prompt, and the counters then."""
    start = time.perf_counter()
    page.goto(address, wait_until="commit")
    page.wait_for_function("() => window.vm && vm.screen().endsWith('user@webvm:~$')", polling=10)
    return (time.perf_counter() - start) * 1000, page.evaluate("vm.stats()")


def run(page, argv):
    """Milliseconds that a program takes."""
    took, status = page.evaluate(
        "async argv => { const t = performance.now(); const { status } = await vm.run(argv); return [performance.now() - t, status]; }", argv)
    assert status == 0, argv
    return round(took)


def measure(browser, address, site):
    first, second, bare, figures = [], [], [], {}
    for _ in range(ROUNDS):
        context = browser.new_context()
        page = context.new_page()
        page.set_default_timeout(120_000)
        took, at_prompt = visit(page, address)
        first.append(took)
        time.sleep(1)           # until the blocks are kept
        took, again = visit(page, address)
        second.append(took)
        figures = {
            "first visit": {"boot": at_prompt["boot"], "disk bytes": at_prompt["bytes_fetched"], "disk blocks": at_prompt["blocks_fetched"]},
            "second visit": {"boot": again["boot"], "disk blocks": again["blocks_fetched"], "kept blocks": again["store_hits"]},
        }
        page.goto(address + "style.css")
        bare.append(page.evaluate(BARE, [site["pyodide"], site["lock"]]))
        context.close()
    median = {name: round(statistics.median(times)) for name, times in (("first", first), ("second", second), ("bare", bare))}
    return {
        "navigation to prompt, first visit (ms)": median["first"],
        "navigation to prompt, second visit (ms)": median["second"],
        "bare loadPyodide (ms)": median["bare"],
        "second visit / bare": round(median["second"] / median["bare"], 2),
    } | figures


def programs(browser, address):
    context = browser.new_context()
    page = context.new_page()
    page.set_default_timeout(120_000)
    visit(page, address)
    times = {name: {"first (ms)": run(page, argv), "again (ms)": run(page, argv)} for name, argv in PROGRAMS.items()}
    context.close()
    return times


def main(folder):
    server = subprocess.Popen([sys.executable, "-u", "-m", "http.server", "0", "--bind", "127.0.0.1", "--directory", folder],
                              stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        address = f"http://localhost:{server.stdout.readline().split(' port ')[1].split()[0]}/"
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-dev-shm-usage"])
            figures = measure(browser, address, json.loads((Path(folder) / "site.json").read_text()))
            figures["programs"] = programs(browser, address)
            figures["browser"] = browser.version
            browser.close()
    finally:
        server.kill()
    print(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else PROJECT / "build/site")
