"""webvm.browser.indexeddb, in Pyodide in Chromium."""

import hashlib

import pytest

from . import code_stores, stores


@pytest.mark.parametrize("check", stores.CONTRACT, ids=lambda check: check.__name__)
def test_store(page, check):
    page.call("check_store", check.__name__)


def test_the_second_visit_fetches_no_block(page, image):
    first, second = (page.call("visit", page.server.url + "/image") for _ in range(2))
    assert first["hash"] == second["hash"] == hashlib.sha256(image[100_000:1_100_000]).hexdigest()
    assert first["blocks_fetched"] >= 16 and first["store_hits"] == 0
    assert second["blocks_fetched"] == 0 and second["store_hits"] == first["blocks_fetched"] and second["requests"] == 1


def test_a_replaced_image_is_read_anew(page, image):
    page.call("visit", page.server.url + "/image")
    page.server.files["/image"], page.server.etag = image[::-1], '"two"'
    again = page.call("visit", page.server.url + "/image")
    assert again["hash"] == hashlib.sha256(image[::-1][100_000:1_100_000]).hexdigest()
    assert again["store_hits"] == 0


def broken(name, body, of="IDBObjectStore.prototype"):
    """JavaScript that replaces a method and returns what puts it back."""
    return f"(() => {{ const sound = {of}.{name}; {of}.{name} = function (...args) {{ {body} }}; return () => {{ {of}.{name} = sound; }}; }})()"


def patience(told):
    """Seconds that a store waits: few only where it waits for nothing."""
    return 0.2 if told == "does not answer" else 60


@pytest.mark.parametrize("javascript, told", [
    (broken("open", "throw new DOMException('no', 'SecurityError');", "IDBFactory.prototype"), "SecurityError"),
    (broken("open", "return {};", "IDBFactory.prototype"), "does not answer"),
    (broken("get", "throw new DOMException('worn out', 'UnknownError');"), "worn out"),
    (broken("get", "if (typeof args[0] === 'string') return sound.apply(this, args); return {};"), "does not answer"),
    (broken("put", "if (typeof args[0] === 'string') return sound.apply(this, args); throw new DOMException('full', 'QuotaExceededError');"), "QuotaExceededError"),
], ids=["refused", "opening hangs", "reading fails", "reading hangs", "full"])
def test_storage_that_is_refused_broken_or_full_is_gone_without(page, javascript, told):
    troubles = page.call("with_storage", javascript, patience(told))
    assert len(troubles) == 1 and told in troubles[0] and "going on without" in troubles[0]


def test_older_images_make_room_and_storage_that_is_really_full_is_gone_without(page):
    page = page.with_quota(6 << 20)
    assert page.call("with_much_to_keep", 2) == []
    troubles = page.call("with_much_to_keep", 0)        # beside that image, which is not under this one's prefix
    assert len(troubles) == 1 and "QuotaExceededError" in troubles[0]
    page.close()


def test_sound_storage_is_no_trouble(page):
    assert page.call("with_storage", "() => {}", patience(None)) == []


def test_an_image_takes_no_more_than_the_limit(page):
    troubles = page.call("with_limit")
    assert len(troubles) == 1 and "full" in troubles[0]


def test_a_tab_with_an_old_image_puts_nothing_among_the_blocks_of_the_new(page):
    found, told = page.call("other_tab")
    assert found == 0 and "another tab" in told


@pytest.mark.parametrize("check", code_stores.CONTRACT, ids=lambda check: check.__name__)
def test_code_store(page, check):
    page.call("check_code_store", check.__name__)


@pytest.mark.parametrize("javascript, told", [
    (broken("open", "throw new DOMException('no', 'SecurityError');", "IDBFactory.prototype"), "SecurityError"),
    (broken("open", "return {};", "IDBFactory.prototype"), "does not answer"),
], ids=["refused", "opening hangs"])
def test_code_store_that_is_refused_says_so(page, javascript, told):
    errors = page.call("broken_code_store", javascript, patience(told))
    assert len(errors) == 5 and all(told in error for error in errors)
