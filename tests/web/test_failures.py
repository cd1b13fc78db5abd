"""What a person reads when something is missing or broken: a sentence, soon, and a way on."""

import shutil

import pytest

FAILED = "document.querySelector('#state').dataset.phase === 'failed'"


@pytest.fixture
def spoilt(fake_site, tmp_path, serve):
    """A copy of the site to break: its folder and its address."""
    folder = tmp_path / "site"
    shutil.copytree(fake_site, folder)
    return folder, serve(folder)


def sentence(page):
    text = page.inner_text("#panel-text")
    assert page.is_visible("#panel") and page.is_visible("#retry") and page.get_attribute("#panel", "role") == "alert"
    return text


@pytest.mark.parametrize("name", ["sign extension", "saturating float conversion", "bulk memory", "SIMD", "tail calls"])
def test_browser_without_a_wasm_feature_gets_a_sentence(browser, fake_address, name):
    context = browser.new_context()
    page = context.new_page()
    page.goto(fake_address + "features.js")
    refused = page.evaluate("""async (name) => {
        const seen = [];
        const validate = WebAssembly.validate;
        WebAssembly.validate = (bytes) => { seen.push(String(bytes)); return validate(bytes); };
        const { missingSentence } = await import("/features.js");
        if (missingSentence()) throw new Error("this browser has everything");
        for (const bytes of seen) {
            WebAssembly.validate = (other) => String(other) !== bytes;
            if (missingSentence().includes(name)) return bytes;
        }
    }""", name)
    page.add_init_script(f"WebAssembly.validate = (bytes) => String(bytes) !== '{refused}'")
    page.goto(fake_address)
    page.wait_for_function(FAILED)
    assert f"it lacks WebAssembly {name}." in sentence(page)
    context.close()


def test_browser_without_wasm_gets_a_sentence(browser, fake_address):
    context = browser.new_context()
    page = context.new_page()
    page.add_init_script("delete globalThis.WebAssembly")
    page.goto(fake_address)
    page.wait_for_function(FAILED)
    assert "it lacks WebAssembly." in sentence(page)
    context.close()


@pytest.mark.parametrize("pattern", ["pyodide-*/pyodide.asm.wasm", "pyodide-*/python_stdlib.zip", "snapshot-*", "pyodide-*/pyodide.mjs",
                                     "wheels-*/pyodide-lock.json", "site.json"])
def test_missing_file_of_the_site_is_named(spoilt, open_page, pattern):
    folder, address = spoilt
    path, = folder.glob(pattern)
    path.unlink()
    page = open_page(address, until=None)
    page.wait_for_function(FAILED)
    assert path.name in sentence(page)


def test_damaged_snapshot_is_told(spoilt, open_page):
    folder, address = spoilt
    path, = folder.glob("snapshot-*")
    path.write_bytes(path.read_bytes()[:100_000])
    page = open_page(address, until=None)
    page.wait_for_function(FAILED)
    assert path.name in sentence(page)


def test_network_that_goes_while_loading_is_told(open_page, browser, fake_address):
    context = browser.new_context()
    context.route("**/snapshot-*", lambda route: route.abort("internetdisconnected"))
    page = open_page(fake_address, context, until=None)
    page.wait_for_function(FAILED)
    assert "does not answer" in sentence(page)
    context.close()


@pytest.mark.parametrize("disk, told", [("nowhere/", "nowhere/manifest.json: not found"), ("site.json", "not a chunk manifest"),
                                        ("nowhere.ext4", "nowhere.ext4: not found")])
def test_unusable_disk_is_told(open_page, fake_address, disk, told):
    page = open_page(f"{fake_address}?disk={disk}", until=None)
    page.wait_for_function(FAILED)
    text = sentence(page)
    assert text.startswith("The disk cannot be used. ") and told in text


def test_option_that_there_is_not_is_told(open_page, fake_address):
    page = open_page(f"{fake_address}?tier=wrong", until=None)
    page.wait_for_function(FAILED)
    assert sentence(page) == "The machine cannot be started like this: no such tier: wrong."


def test_machine_that_breaks_down_is_told(open_page, fake_address):
    page = open_page(fake_address)
    page.evaluate("vm.type('break\\n')")
    page.wait_for_function(FAILED)
    assert sentence(page) == "The machine broke down: AssertionError: on purpose"
    assert page.inner_text("#panel-title") == "The machine stopped"
    assert page.evaluate("vm.run(['cat']).catch(error => error.message)") == "There is no machine."


@pytest.mark.parametrize("name", ["page.js", "webvm.js", "vendor/xterm.mjs"])
def test_page_whose_own_module_is_missing_says_so(spoilt, open_page, name):
    folder, address = spoilt
    (folder / name).unlink()
    page = open_page(address, until=None)
    page.wait_for_function(FAILED)
    assert "missing on the server" in page.inner_text("#panel-text")


def test_worker_that_does_not_load_is_told(spoilt, open_page):
    folder, address = spoilt
    (folder / "engine.js").unlink()
    page = open_page(address, until=None)
    page.wait_for_function(FAILED)
    assert "a file of the page is missing" in sentence(page)


def test_page_opened_as_a_file_says_what_it_needs(browser, fake_site):
    context = browser.new_context()
    page = context.new_page()
    page.goto((fake_site / "index.html").as_uri())
    assert "http.server" in page.inner_text("#panel-text")
    context.close()
