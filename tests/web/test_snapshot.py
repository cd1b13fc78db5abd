"""A machine from a memory snapshot and one from a fresh Python are the same, and no two are alike in their dice."""

import json

import pytest

from .conftest import build


@pytest.fixture(scope="module")
def plain_address(fake_source, tmp_path_factory, serve):
    out = tmp_path_factory.mktemp("plain")
    build(out, fake_source, snapshot=False)
    return serve(out)


def test_page_without_a_snapshot_installs_the_wheel_with_micropip(open_page, plain_address):
    page = open_page(plain_address)
    assert any("/micropip-" in url for url in page.requests) and any("/webvm-" in url for url in page.requests)
    assert not any("/snapshot-" in url for url in page.requests)
    assert page.evaluate("vm.run(['cat'], { stdin: 'plain' }).then(ran => ran.stdout)") == "plain"
    stats = page.evaluate("vm.stats()")
    assert 0 < stats["boot"]["pyodide"] < stats["boot"]["python"] <= stats["boot"]["machine"]


def test_page_with_a_snapshot_installs_nothing(open_page, fake_address):
    page = open_page(fake_address)
    assert any("/snapshot-" in url for url in page.requests)
    assert not any(url.endswith(".whl") for url in page.requests)
    assert page.problems == []


def test_random_numbers_differ_between_two_starts_from_one_snapshot(open_page, fake_address):
    draw = "vm.run(['random']).then(ran => ran.stdout)"
    first, second = open_page(fake_address).evaluate(draw), open_page(fake_address).evaluate(draw)
    assert len(json.loads(first)) == 2
    assert not set(json.loads(first)) & set(json.loads(second))


def test_clock_of_a_restored_machine_is_right(open_page, fake_address):
    page = open_page(fake_address)
    before, guest, after = page.evaluate("""async () => {
        const before = Date.now() / 1000, { stdout } = await vm.run(["clock"]);
        return [before, Number(stdout), Date.now() / 1000];
    }""")
    assert before - 1 < guest < after + 1
