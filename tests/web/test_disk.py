"""The page's disk: fetched once, kept in the browser, forgotten on demand, and missed with a sentence."""

import json
import os
import shutil

import pytest

from webvm.block import write_chunks

from .conftest import build, eventually

SIZE = 20 * 65536


@pytest.fixture(scope="module")
def image():
    return os.urandom(SIZE)


@pytest.fixture(scope="module")
def disk_folder(fake_source, image, tmp_path_factory):
    folder = tmp_path_factory.mktemp("disk")
    (folder / "image.ext4").write_bytes(image)
    build(folder / "site", fake_source, folder / "image.ext4")
    return folder / "site"


@pytest.fixture(scope="module")
def disk_address(disk_folder, serve):
    return serve(disk_folder)


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
    eventually(page, """async () => {
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


@pytest.fixture(scope="module")
def packed_folder(disk_folder, tmp_path_factory):
    """The same site, whose disk has packs: one that a start needs, and another."""
    out = tmp_path_factory.mktemp("packed") / "site"
    shutil.copytree(disk_folder, out)
    manifest = write_chunks(disk_folder.parent / "image.ext4", out / "disk", together=[[0, 2, 3], [10, 12]])
    fields = json.loads((out / "site.json").read_text())
    fields["boot"]["packs"] = {f"disk/{manifest.packs[0].path}": 3}
    (out / "site.json").write_text(json.dumps(fields))
    return out


def of_disk(page, folder):
    """What the page asked for of the disk: sizes by path."""
    paths = [url.partition("/disk/")[2] for url in page.requests if "/disk/" in url]
    assert len(set(paths)) == len(paths)
    return {path: (folder / "disk" / path).stat().st_size for path in paths}


def test_packs_begin_beside_python_and_are_fetched_kept_and_counted_once(open_page, context, packed_folder, serve, image):
    start, other = (f"packs/{pack['name']}.pack" for pack in json.loads((packed_folder / "disk/manifest.json").read_text())["packs"])
    begun, held = [], []        # Python's memory is held until the pack is asked for: a page that first loads Python never starts

    def hold(route):
        route.continue_() if begun else held.append(route)

    def release(request):
        if request.url.endswith(start):
            begun.append(request)
            while held:
                held.pop().continue_()

    context.route("**/snapshot-*", hold)
    context.on("request", release)
    page = open_page(serve(packed_folder), context)
    assert read(page, 3 * 65536, 65536) == image[3 * 65536:4 * 65536]
    asked, stats = of_disk(page, packed_folder), page.evaluate("vm.stats()")
    assert set(asked) == {"manifest.json", start} and stats["blocks_fetched"] == 3
    assert stats["requests"] == len(asked) and stats["bytes_fetched"] == sum(asked.values())

    assert read(page, 12 * 65536, 65536) == image[12 * 65536:13 * 65536]
    assert set(of_disk(page, packed_folder)) == {"manifest.json", start, other}
    kept(page)
    page.requests.clear()
    page.reload()
    page.wait_for_function("window.vm")
    for number in (0, 2, 3, 10, 12):
        assert read(page, number * 65536, 65536) == image[number * 65536:(number + 1) * 65536]
    stats = page.evaluate("vm.stats()")
    assert set(of_disk(page, packed_folder)) == {"manifest.json"} and stats["requests"] == 1
    assert stats["blocks_fetched"] == 0 and stats["store_hits"] == 5

    page.evaluate("vm.clearCache()")
    page.requests.clear()
    page.reload()
    page.wait_for_function("window.vm")
    assert set(of_disk(page, packed_folder)) == {"manifest.json", start}


def test_a_pack_that_failed_to_come_early_is_asked_for_again(open_page, context, packed_folder, serve, image):
    attempts = []

    def once(route):
        attempts.append(route.request.url)
        route.abort("connectionreset") if len(attempts) == 1 else route.continue_()

    context.route("**/*.pack", once)
    page = open_page(serve(packed_folder), context)
    assert read(page, 2 * 65536, 9) == image[2 * 65536:2 * 65536 + 9]
    stats = page.evaluate("vm.stats()")
    assert len(attempts) == 2 and stats["retries"] == 1 and stats["requests"] == 3
