"""A Debian shell in the page, end to end: the real machine, the real image, typed at and read from the screen."""

import asyncio
import json
import re
import subprocess
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import pytest
from playwright import sync_api

from webvm.practice import WARM, practise

from .conftest import PROJECT, build, eventually

IMAGE = PROJECT / "build/standard.ext4"
PROMPT = "user@webvm:~$"
TIMEOUT = 60_000


@pytest.fixture(scope="module")
def address(serve):
    assert IMAGE.exists(), f"{IMAGE} is missing: run ./scripts/setup"
    out = PROJECT / "build/site"
    build(out, PROJECT, IMAGE)
    return serve(out)


@pytest.fixture(scope="module")
def context(browser):
    """One profile for all tests, so that the disk is fetched once."""
    context = browser.new_context(viewport={"width": 1000, "height": 640})
    yield context
    context.close()


def at_prompt(page):
    page.wait_for_function("prompt => window.vm && vm.screen().endsWith(prompt)", arg=PROMPT, timeout=TIMEOUT)


@pytest.fixture(scope="module")
def first_visit(open_page_in, context, address):
    """The page of the first visit, and what it had fetched when the prompt was there."""
    page = open_page_in(context, address)
    at_prompt(page)
    page.at_first_prompt = page.evaluate("vm.stats()")
    return page


@pytest.fixture
def page(first_visit):
    """The shell at its prompt on an empty screen."""
    first_visit.evaluate("vm.terminal.clear()")
    at_prompt(first_visit)
    return first_visit


def do(page, line):
    """Type a line, wait for the next prompt, and answer what stands between."""
    page.evaluate("line => { vm.terminal.clear(); vm.type(line + '\\n'); }", line)
    page.wait_for_function(
        "([line, prompt]) => vm.screen().includes(line) && vm.screen().endsWith('\\n' + prompt)", arg=[line, PROMPT], timeout=TIMEOUT)
    return page.evaluate("vm.screen()").split("\n", 1)[1].rpartition(PROMPT)[0].rstrip("\n")


def see(page, text):
    page.wait_for_function("text => vm.screen().includes(text)", arg=text, timeout=TIMEOUT)


def parts_of_disk(page):
    return {url for url in page.requests if url.endswith((".zlib", ".pack"))}


def test_prompt_comes_with_little_of_the_disk(first_visit):
    stats = first_visit.at_first_prompt
    assert 0 < stats["bytes_fetched"] <= 8_000_000
    assert 0 < stats["boot"]["python"] <= stats["boot"]["machine"] <= stats["boot"]["prompt"]


def test_prompt_comes_with_few_requests_of_the_disk(first_visit):
    """Those that the packs for a start leave, which were made on another day."""
    assert first_visit.at_first_prompt["requests"] < 10


def test_nothing_is_asked_of_another_host(first_visit, address):
    assert {urlsplit(url).netloc for url in first_visit.requests if not url.startswith("data:")} == {urlsplit(address).netloc}


def test_machine_is_x86_64(page):
    assert do(page, "uname -m") == "x86_64"


def test_system_is_debian_13(page):
    text = do(page, "cat /etc/os-release")
    assert 'VERSION_ID="13"' in text and "\nID=debian" in text


def test_directory_has_as_many_entries_as_the_image(page):
    listing = subprocess.run(["debugfs", "-R", "ls -p /usr/bin", IMAGE], capture_output=True, text=True, check=True).stdout
    entries = [line for line in listing.splitlines() if line.startswith("/")]
    assert do(page, "ls -la /usr/bin | wc -l") == str(len(entries) + 1)      # and the line of the total


def test_loop_through_a_pipe_is_sorted(page):
    assert do(page, "for i in 1 2 3; do echo $i; done | sort -r") == "3\n2\n1"


def test_python_computes(page):
    assert do(page, "python3 -c 'print(sum(range(10**5)))'") == "4999950000"


def test_hot_code_is_translated_and_its_functions_are_listed(page):
    before = page.evaluate("vm.stats()")
    assert page.evaluate("vm.perf()") == ""
    assert page.evaluate("vm.run(['python3', '-c', 'for i in range(200000): pass']).then(ran => ran.status)") == 0
    stats, table = page.evaluate("vm.stats()"), page.evaluate("vm.perf()")
    assert stats["regions"] > before["regions"] and stats["region_instructions"] > before["region_instructions"]
    assert stats["translate_us"] > 0 and stats["compile_us"] > 0 and 0 < stats["region_share"] < 1
    assert re.search(r"%  +[0-9a-f]+  \w+\+0x\w+  /usr/bin/python3", table), table


def test_ctrl_c_stops_a_loop_without_system_calls(page):
    page.evaluate("vm.type('while :; do :; done\\n')")
    page.wait_for_function("parseInt(document.querySelector('#cpu').textContent) > 50", timeout=TIMEOUT)
    page.keyboard.press("Control+c")
    see(page, f"^C\n{PROMPT}")
    assert do(page, "echo $?") == "130"


def test_job_control(page):
    assert re.fullmatch(r"\[1\] \d+", do(page, "sleep 100 &"))
    assert re.fullmatch(r"\[1\]\+ +Running +sleep 100 &", do(page, "jobs"))
    page.evaluate("vm.terminal.clear(); vm.type('fg\\n')")
    see(page, "\nsleep 100")
    page.keyboard.press("Control+z")
    see(page, "Stopped")
    at_prompt(page)
    do(page, "kill %1")
    do(page, "wait")
    assert do(page, "jobs") == ""
    assert do(page, "pgrep -x sleep; echo $?") == "1"


def test_vim_opens_edits_and_saves(page):
    do(page, "printf 'one\\ntwo\\n' > poem")
    page.evaluate("vm.type('vim.tiny poem\\n')")
    page.wait_for_function("vm.terminal.buffer.active.type === 'alternate' && vm.screen().includes('two')", timeout=TIMEOUT)
    page.keyboard.type("Gothree")
    page.keyboard.press("Escape")
    page.keyboard.type(":wq")
    page.keyboard.press("Enter")
    for _ in range(20):             # vim may wait for one more key, see README, Quirks
        try:
            page.wait_for_function("vm.terminal.buffer.active.type === 'normal'", timeout=TIMEOUT / 20)
            break
        except sync_api.TimeoutError:
            page.keyboard.press("Escape")
    at_prompt(page)
    assert do(page, "cat poem") == "one\ntwo\nthree"


def test_guest_hears_of_a_resize(page):
    page.set_viewport_size({"width": 800, "height": 500})
    page.wait_for_function("vm.terminal.cols < 100")
    rows, columns = page.evaluate("[vm.terminal.rows, vm.terminal.cols]")
    assert do(page, "stty size") == f"{rows} {columns}"
    page.set_viewport_size({"width": 1000, "height": 640})


def test_programs_run_beside_the_terminal(page):
    assert page.evaluate("vm.run(['sort', '-r'], { stdin: '1\\n3\\n2\\n' }).then(ran => [ran.status, ran.stdout, ran.stderr])") == [0, "3\n2\n1\n", ""]
    assert page.evaluate("vm.run(['sh', '-c', 'echo $A; pwd; exit 3'], { env: { A: 'b' }, cwd: '/usr' }).then(ran => [ran.status, ran.stdout])") == [3, "b\n/usr\n"]
    assert page.evaluate("vm.run(['no-such']).then(ran => ran.status)") == 127


def test_files_pass_between_page_and_guest(page):
    page.evaluate("vm.writeFile('/tmp/from-page', 'Größe\\n')")
    assert do(page, "cat /tmp/from-page") == "Größe"
    do(page, "printf '\\1\\0\\377' > /tmp/from-guest")
    assert page.evaluate("vm.readFile('/tmp/from-guest').then(bytes => [...bytes])") == [1, 0, 255]


def test_reload_gives_a_pristine_machine_and_fetches_no_block_again(page):
    """Last: it reloads the page that the other tests share."""
    assert do(page, "echo kept > mine; sync; cat mine") == "kept"
    eventually(page, """async () => {
        const { name } = (await indexedDB.databases()).find(({ name }) => name !== "webvm code");
        const open = indexedDB.open(name);
        const db = await new Promise(done => open.onsuccess = () => done(open.result));
        const count = db.transaction("blocks").objectStore("blocks").count();
        await new Promise(done => count.onsuccess = done);
        db.close();
        return count.result === (await vm.stats()).blocks_fetched;
    }""")
    fetched = parts_of_disk(page)
    page.requests.clear()
    page.reload()
    at_prompt(page)
    assert do(page, "cat mine") == "cat: mine: No such file or directory"
    assert len(fetched) > 5 and not fetched & parts_of_disk(page)
    assert page.evaluate("vm.stats()")["store_hits"] > 50


def test_the_second_visit_uses_the_translated_code_of_the_first(browser, open_page_in, address):
    context = browser.new_context(viewport={"width": 1000, "height": 640})
    loop = "i=0; while [ $i -lt 30000 ]; do i=$((i + 1)); done; echo $i"
    first = open_page_in(context, address)
    at_prompt(first)
    assert do(first, loop) == "30000"
    eventually(first, "vm.stats().then(stats => stats.regions && stats.code_kept === stats.region_modules)")
    stats = first.evaluate("vm.stats()")
    assert not stats["code_loaded"]
    first.close()

    second = open_page_in(context, address)
    at_prompt(second)
    assert do(second, loop) == "30000"
    again = second.evaluate("vm.stats()")
    assert again["code_loaded"] and again["translated_instructions"] < stats["translated_instructions"]
    assert again["region_share"] > 0.5
    second.evaluate("vm.clearCache()")
    second.close()

    third = open_page_in(context, f"{address}?code-cache=off")
    at_prompt(third)
    assert do(third, loop) == "30000"
    stats = third.evaluate("vm.stats()")
    assert not stats["code_kept"] and not stats["code_loaded"] and stats["region_share"] > 0.5
    context.close()


def test_a_first_visit_uses_the_code_that_came_with_the_site_unless_it_is_damaged(browser, open_page_in, serve, address, tmp_path):
    loop = "i=0; while [ $i -lt 30000 ]; do i=$((i + 1)); done; echo $i"
    for path in (PROJECT / "build/site").iterdir():
        (tmp_path / path.name).symlink_to(path)
    with ThreadPoolExecutor(1) as pool:                     # as in conftest.build
        files = pool.submit(asyncio.run, practise(IMAGE, turns=[(WARM, [("bash", loop.replace("30000", "8000"))])])).result()
    (tmp_path / "shipped").mkdir()
    for name, data in files.items():
        (tmp_path / "shipped" / name).write_bytes(data)
    fields = json.loads((tmp_path / "site.json").read_text()) | {"code": "shipped/"}
    (tmp_path / "site.json").unlink()
    (tmp_path / "site.json").write_text(json.dumps(fields))
    ours = serve(tmp_path)

    def first_visit(query=""):
        context = browser.new_context(viewport={"width": 1000, "height": 640})
        page = open_page_in(context, ours + query)
        at_prompt(page)
        assert do(page, loop) == "30000"
        stats, problems = page.evaluate("vm.stats()"), page.problems
        context.close()
        return stats, problems

    stats, problems = first_visit()
    assert stats["code_shipped"] and stats["region_share"] > 0.5 and not stats["code_loaded"] and not problems
    made, _ = first_visit("?code-cache=off")
    assert not made["code_shipped"] and stats["translated_instructions"] < made["translated_instructions"] / 2
    for name, data in files.items():
        if name != "index":
            (tmp_path / "shipped" / name).write_bytes(data[:40] + bytes(len(data) - 40))
    stats, problems = first_visit()
    assert not stats["code_shipped"] and stats["region_share"] > 0.5 and not problems
