"""The benchmark's own way to a browser."""

import pytest

from tests.web.conftest import CHROMIUM

from .devtools import Browser, DevtoolsError

PAGE = "data:text/html,<title>there</title>"


@pytest.fixture(scope="module")
def browser():
    browser = Browser(CHROMIUM, "--no-sandbox", "--disable-dev-shm-usage")
    yield browser
    browser.close()


def test_a_page_answers_values_and_promises(browser):
    page = browser.open(PAGE)
    page.wait_for("document.title === 'there'")
    assert page.evaluate("6 * 7") == 42
    assert page.evaluate("async (a, b) => { await null; return [...a, b]; }", [1, "ü"], None) == [1, "ü", None]
    assert page.evaluate("'x'.repeat(3_000_000)") == "x" * 3_000_000
    assert browser.version.split(".")[0].isdigit()
    page.close()


def test_exceptions_and_what_never_comes_true_are_told(browser):
    page = browser.open(PAGE)
    with pytest.raises(DevtoolsError, match="no such thing"):
        page.evaluate("Promise.reject(new Error('no such thing'))")
    with pytest.raises(DevtoolsError, match="not so after 0.2 s"):
        page.wait_for("false", 0.2)
    page.close()


def test_a_page_that_crashes_is_told_and_others_are_well(browser):
    page, other = browser.open(PAGE), browser.open(PAGE)
    with pytest.raises(DevtoolsError):
        browser.send("Page.crash", page._session)
        page.evaluate("1")
    assert other.evaluate("2") == 2
    other.close()
