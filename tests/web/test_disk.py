"""The page's disk: fetched once, kept in the browser, forgotten on demand, and missed with a sentence."""

import os

import pytest

from .conftest import build

SIZE = 20 * 65536


@pytest.fixture(scope="module")
def image():
    return os.urandom(SIZE)


@pytest.fixture(scope="module")
def disk_address(fake_source, image, tmp_path_factory, serve):
    folder = tmp_path_factory.mktemp("disk")
    (folder / "image.ext4").write_bytes(image)
    build(folder / "site", fake_source, folder / "image.ext4")
    return serve(folder / "site")


@pytest.fixture
def context(browser):
    context = browser.new_context()
    yield context
    context.close()


def read(page, offset, length):
    ran = page.evaluate("at => vm.run(['disk', ...at]).then(ran => [...ran.stdoutBytes])", [str(offset), str(length)])
    return bytes(ran)


def chunks(page):
    return [url for url in page.requests if url.endswith(".zlib")]


def kept(page):
    """Wait until everything fetched is in the browser's store."""
    page.wait_for_function("""async () => {
        const [{ name }] = await indexedDB.databases();
        const open = indexedDB.open(name);
        const db = await new Promise(done => open.onsuccess = () => done(open.result));
        const count = db.transaction("blocks").objectStore("blocks").count();
        await new Promise(done => count.onsuccess = done);
        db.close();
        return count.result === (await vm.stats()).blocks_fetched;
    }""")


def test_second_visit_fetches_no_block_and_a_cleared_cache_fetches_them_again(open_page, context, disk_address, image):
    page = open_page(disk_address, context)
    assert read(page, 100_000, 300_000) == image[100_000:400_000]
    stats = page.evaluate("vm.stats()")
    assert stats["blocks_fetched"] == len(set(chunks(page))) == len(chunks(page)) and stats["store_hits"] == 0
    assert page.inner_text("#cached") == "0"
    kept(page)

    page.requests.clear()
    page.reload()
    page.wait_for_function("window.vm")
    assert read(page, 100_000, 300_000) == image[100_000:400_000]
    assert chunks(page) == []
    page.wait_for_function("Number(document.querySelector('#cached').textContent) > 4")

    page.click("#clear")
    page.wait_for_selector("#notice:has-text('are gone')")
    page.reload()
    page.wait_for_function("window.vm")
    assert read(page, 100_000, 10) == image[100_000:100_010]
    assert len(chunks(page)) > 0


def test_storage_refused_is_told_and_gone_without(open_page, context, disk_address, image):
    context.route("**/worker.js", lambda route: route.fulfill(
        body="IDBFactory.prototype.open = () => { throw new DOMException('not in private windows', 'SecurityError'); };\n"
             + route.fetch().text(), content_type="text/javascript"))
    page = open_page(disk_address, context, until=None)
    page.wait_for_selector("#notice:has-text('cannot keep disk blocks')")
    page.wait_for_function("window.vm")
    assert read(page, 5, 70_000) == image[5:70_005]


def test_network_that_goes_is_told_and_that_it_is_back_too(open_page, context, disk_address, image):
    page = open_page(disk_address, context)
    context.route("**/*.zlib", lambda route: route.abort("internetdisconnected"))
    page.evaluate("() => { window.reading = vm.run(['disk', '1000000', '8']).then(ran => [...ran.stdoutBytes]) }")
    page.wait_for_selector("#notice:has-text('trying again')")
    context.unroute("**/*.zlib")
    assert bytes(page.evaluate("reading")) == image[1_000_000:1_000_008]
    page.wait_for_selector("#notice", state="hidden")
