"""The page, its API and its worker, around a machine that is a fake: what is typed, drawn, counted and said."""

import re
import zlib
from urllib.parse import urlsplit

import pytest

from webvm.browser.console import HIGH

from .conftest import eventually


def screen(page):
    return page.evaluate("vm.screen()")


def see(page, text):
    """Wait until the screen shows `text`."""
    page.wait_for_function("text => vm.screen().includes(text)", arg=text)


def enter(page, line):
    page.evaluate("line => vm.type(line + '\\n')", line)


@pytest.fixture(scope="module")
def shared(browser, open_page_in, fake_address):
    """One page for the tests that leave it as it was."""
    context = browser.new_context(viewport={"width": 1000, "height": 640})
    page = open_page_in(context, fake_address)
    yield page
    context.close()


@pytest.fixture
def page(shared):
    """The shared page with an empty screen."""
    shared.evaluate("vm.type('\\x03')")
    shared.evaluate("new Promise(done => vm.terminal.write('', done)).then(() => vm.terminal.reset())")
    enter(shared, "echo ready")
    see(shared, "\nready\nfake$")
    shared.evaluate("vm.terminal.clear()")
    return shared


def test_page_asks_only_its_own_host_and_has_nothing_to_complain_about(shared, fake_address):
    see(shared, "fake$")
    assert len(shared.requests) > 8
    assert {urlsplit(url).netloc for url in shared.requests if not url.startswith("data:")} == {urlsplit(fake_address).netloc}
    assert shared.problems == []


def test_page_needs_no_isolation_and_no_service_worker(shared):
    assert shared.evaluate("crossOriginIsolated") is False
    assert shared.evaluate("navigator.serviceWorker.getRegistrations().then(all => all.length)") == 0


def test_keys_reach_the_machine_and_its_output_the_screen(page):
    page.keyboard.type("echo hello")
    page.keyboard.press("Enter")
    see(page, "hello\nfake$")


def test_utf8_goes_both_ways(page):
    enter(page, "echo Größe 漢字 🙂")
    see(page, "\nGröße 漢字 🙂\n")


def test_large_paste_loses_nothing(page):
    text = "".join(f"line {number} of a large paste\r" for number in range(12_000))
    enter(page, "count")
    page.evaluate("text => vm.terminal.paste(text)", text)
    page.evaluate("vm.type('\\x04')")
    data = text.encode()
    see(page, f"{len(data)} {zlib.crc32(data):08x}")


def test_paste_is_bracketed_when_the_guest_asks(page):
    enter(page, "count")
    page.evaluate("new Promise(done => vm.terminal.write('\\x1b[?2004h', done))")
    page.evaluate("vm.terminal.paste('a\\nb')")
    page.evaluate("vm.terminal.write('\\x1b[?2004l')")
    page.evaluate("vm.type('\\x04')")
    data = b"\x1b[200~a\rb\x1b[201~"
    see(page, f"{len(data)} {zlib.crc32(data):08x}")


def test_ctrl_c_stops_a_machine_that_computes_and_the_bar_shows_it_busy(page):
    enter(page, "spin")
    page.wait_for_function("parseInt(document.querySelector('#cpu').textContent) > 50")
    page.keyboard.press("Control+c")
    see(page, "^C\nfake$")
    page.wait_for_function("document.querySelector('#cpu').textContent === '0 %'")


def test_endless_output_is_held_back_and_ctrl_c_stops_it(page):
    enter(page, "yes")
    see(page, "y" * 70)
    most = page.evaluate("""async () => {
        let coming = 0, most = 0, times = 0;
        const write = vm.terminal.write.bind(vm.terminal);
        vm.terminal.write = (data, done) => {
            most = Math.max(most, coming += data.length);
            times++;
            write(data, () => { coming -= data.length; done(); });
        };
        const start = Date.now();
        while (times < 20 || Date.now() < start + 1500) await new Promise(done => setTimeout(done, 50));
        delete vm.terminal.write;
        return most;
    }""")
    assert 0 < most < 2 * HIGH
    page.keyboard.press("Control+c")
    see(page, "^C\nfake$")


def test_resize_reaches_the_machine(page):
    enter(page, "size")
    page.wait_for_function("/\\d+x\\d+/.test(vm.screen())")
    before = re.search(r"(\d+)x(\d+)", screen(page)).groups()
    page.set_viewport_size({"width": 640, "height": 400})
    page.wait_for_function("before => vm.terminal.cols < before", arg=int(before[0]))
    enter(page, "size")
    page.wait_for_function("/\\d+x\\d+[^]*\\d+x\\d+/.test(vm.screen())")
    after = re.findall(r"(\d+)x(\d+)", screen(page))[-1]
    assert (int(after[0]), int(after[1])) == tuple(page.evaluate("[vm.terminal.cols, vm.terminal.rows]"))
    page.set_viewport_size({"width": 1000, "height": 640})
    page.wait_for_function("before => vm.terminal.cols === before", arg=int(before[0]))


def test_typed_control_characters_are_not_taken_by_the_page(page):
    enter(page, "count")
    for key in ("Control+a", "Control+w", "Control+l", "Escape", "Tab"):
        page.keyboard.press(key)
    page.evaluate("vm.type('\\x04')")
    data = b"\x01\x17\x0c\x1b\t"
    see(page, f"{len(data)} {zlib.crc32(data):08x}")


def test_selection_is_copied_with_ctrl_shift_c(page, fake_address):
    page.context.grant_permissions(["clipboard-read", "clipboard-write"], origin=fake_address)
    enter(page, "echo copied")
    see(page, "\ncopied\n")
    page.evaluate("vm.terminal.selectAll()")
    page.keyboard.press("Control+Shift+c")
    eventually(page, "navigator.clipboard.readText().then(text => text.includes('copied'))")
    page.evaluate("vm.terminal.clearSelection()")


def test_guest_sets_the_clipboard_by_osc_52(page, fake_address):
    page.context.grant_permissions(["clipboard-read", "clipboard-write"], origin=fake_address)
    page.evaluate("vm.terminal.write('\\x1b]52;c;ZnJvbSBndWVzdA==\\x07')")
    eventually(page, "navigator.clipboard.readText().then(text => text === 'from guest')")


def test_run_gives_status_and_both_streams_as_text_and_bytes(page):
    assert page.evaluate("vm.run(['cat'], { stdin: 'grün' })") | {"stdoutBytes": 0, "stderrBytes": 0} == {
        "status": 0, "stdout": "grün", "stderr": "", "stdoutBytes": 0, "stderrBytes": 0}
    assert page.evaluate("vm.run(['cat'], { stdin: new Uint8Array([0, 255, 10]) }).then(ran => [...ran.stdoutBytes])") == [0, 255, 10]
    assert page.evaluate("vm.run(['no-such']).then(ran => [ran.status, ran.stdout, ran.stderr])") == [127, "", "no-such: not found\n"]
    ran = page.evaluate("vm.run(['env'], { env: { A: '1', B: 'zwei' }, cwd: '/tmp' })")
    assert (ran["stdout"], ran["stderr"]) == ("A=1\nB=zwei\n", "/tmp")


def test_files_are_written_and_read_back(page):
    assert page.evaluate("""async () => {
        await vm.writeFile("/a", new Uint8Array([1, 0, 200]));
        await vm.writeFile("/b", "é");
        return [[...await vm.readFile("/a")], [...await vm.readFile("/b")]];
    }""") == [[1, 0, 200], [0xC3, 0xA9]]


def test_errors_of_the_guest_have_their_errno_as_code(page):
    error = page.evaluate("vm.readFile('/missing').catch(error => [error.name, error.code, error.message])")
    assert error == ["WebVMError", "ENOENT", "readFile /missing: ENOENT"]


def test_errors_of_ours_reject_the_call_and_nothing_else(page):
    assert page.evaluate("vm.run(['crash']).catch(error => error.message)") == "AssertionError: a bug of ours"
    assert page.evaluate("vm.run(['cat'], { stdin: 'still there' }).then(ran => ran.stdout)") == "still there"
    page.problems.clear()


def test_stats_have_boot_milliseconds_by_phase_and_the_counters(page):
    stats = page.evaluate("vm.stats()")
    boot = stats["boot"]
    assert 0 < boot["python"] <= boot["machine"] <= boot["prompt"]
    assert {"instructions", "faults", "system_calls", "busy_ms", "blocks_fetched", "bytes_fetched", "store_hits"} <= set(stats)


def test_perf_is_the_machines_table(page):
    assert page.evaluate("vm.perf()") == "a table"


@pytest.mark.parametrize(("query", "options"), [
    ("", {"tier": "jit", "jit_off": [], "code_cache": True, "traced": [], "shipped_code": None, "cpu": None}),
    ("?tier=interp&jit-off=cover,structured&code-cache=off&trace=asm,wat", {"tier": "interp", "jit_off": ["cover", "structured"], "code_cache": False, "traced": ["asm", "wat"], "shipped_code": None, "cpu": None}),
])
def test_options_in_the_address_reach_the_machine(open_page, fake_address, query, options):
    page = open_page(fake_address + query)
    assert page.evaluate("vm.run(['options']).then(ran => JSON.parse(ran.stdout))") == options
    assert page.problems == []


def test_login_shell_comes_back_after_exit(page):
    enter(page, "exit")
    see(page, "exit\nfake$")


def test_reset_starts_a_pristine_machine(page):
    page.evaluate("vm.writeFile('/kept', 'x')")
    page.evaluate("vm.reset()")
    see(page, "fake$")
    assert page.evaluate("vm.readFile('/kept').catch(error => error.code)") == "ENOENT"


def test_light_and_dark_follow_the_browser(page):
    for scheme, background in ("light", "#fbfbf9"), ("dark", "#14161a"), ("light", "#fbfbf9"):
        page.emulate_media(color_scheme=scheme)
        page.wait_for_function("background => vm.terminal.options.theme.background === background", arg=background)
        assert page.evaluate("getComputedStyle(document.body).getPropertyValue('--page')") == background


def test_touch_keys_type_what_a_touch_keyboard_lacks(open_page, fake_address):
    page = open_page(fake_address, has_touch=True, is_mobile=True)
    enter(page, "count")
    for key in ("Escape", "Tab", "ArrowUp"):
        page.tap(f'[data-key="{key}"]')
    page.tap('[data-text="|"]')
    page.tap('[data-key="Control"]')
    page.keyboard.press("d")
    data = b"\x1b\t\x1b[A|"
    see(page, f"{len(data)} {zlib.crc32(data):08x}")
    assert page.get_attribute('[data-key="Control"]', "aria-pressed") == "false"


def test_machine_runs_without_an_element(page):
    assert page.evaluate("""async () => {
        const { WebVM } = await import("./webvm.js");
        const vm = await WebVM.boot();
        const ran = await vm.run(["cat"], { stdin: "unseen" });
        vm.type("echo typed\\n");
        while (!vm.screen().includes("\\ntyped")) await new Promise(done => setTimeout(done, 20));
        return ran.stdout;
    }""") == "unseen"
