"""What the process of the page holds, as Linux counts it."""

from pathlib import Path

import pytest

from tests.bench.devtools import Browser

from .conftest import CHROMIUM, PROJECT, build

SIZE = 100                      # MB that a program writes to


@pytest.fixture
def browser():
    browser = Browser(CHROMIUM, "--no-sandbox", "--disable-dev-shm-usage")
    yield browser
    browser.close()


def field(browser, name: str) -> int:
    """Of the largest renderer, in MB."""
    processes = [process["id"] for process in browser.send("SystemInfo.getProcessInfo")["processInfo"] if process["type"] == "renderer"]
    texts = [Path(f"/proc/{number}/status").read_text() for number in processes]
    return max(int(text.partition(name + ":")[2].split()[0]) >> 10 for text in texts)


def test_memory_of_programs_that_have_ended_is_given_back(serve, browser):
    out = PROJECT / "build/site"
    build(out, PROJECT, PROJECT / "build/standard.ext4")
    page = browser.open(serve(out) + "?code-cache=off")
    page.wait_for("window.vm && vm.screen().endsWith('user@webvm:~$')")
    before = 0
    for turn in range(5):
        result = page.evaluate("argv => vm.run(argv)", ["python3", "-c", f"print(len(b'x' * ({SIZE} << 20)))"])
        assert (result["status"], result["stdout"]) == (0, f"{SIZE << 20}\n")
        before = before or field(browser, "VmHWM")
    assert before > 2 * SIZE                                # the first has had it
    assert field(browser, "VmHWM") < before + SIZE // 2     # and the others no more
    assert field(browser, "VmRSS") < before - SIZE // 2
