"""webvm.engine.native: the shared suite, and what only wasmtime has."""

import contextlib
import hashlib
import re
import resource
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import wasmtime

from webvm.engine import EngineError, EngineTrap, OutOfMemory, OutOfSpaces, native
from webvm.engine.native import NativeEngine
from webvm.jit import layout as L

from . import toy
from .shared import *  # noqa: F403
from .shared import DATA, program


@pytest.fixture(scope="session")
def image():
    return toy.Toy(toy.assembled("toy"))


@pytest.fixture(scope="session")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def make(image, cache):
    return lambda image=image, **options: NativeEngine(image, cache=cache, **options)


def works(image, cache):
    space = program(lambda: NativeEngine(image, cache=cache), (toy.ADDI, 0, 0, 3), (toy.INT3,))
    return space.run(10) == L.BREAKPOINT and space.get(0) == 3


def test_compiled_modules_are_taken_from_the_cache(image, tmp_path, monkeypatch):
    assert works(image, tmp_path / "new")
    file, = (tmp_path / "new").iterdir()
    monkeypatch.setattr(wasmtime.Module, "__init__", None)      # compiling is impossible now
    assert works(image, tmp_path / "new")


@pytest.mark.parametrize("damage", [
    lambda b: b[:100],
    lambda b: b"",
    lambda b: b[:5000] + bytes([b[5000] ^ 1]) + b[5001:],
    lambda b: b[:32] + b[32:] + b"more",
])
def test_a_damaged_cache_file_is_replaced(image, tmp_path, damage):
    assert works(image, tmp_path)
    file, = tmp_path.iterdir()
    good = file.read_bytes()
    file.write_bytes(damage(good))
    assert works(image, tmp_path)
    assert [f.read_bytes()[32:] for f in tmp_path.iterdir()] == [good[32:]]


def test_a_cache_file_wasmtime_refuses_is_replaced(image, tmp_path):
    assert works(image, tmp_path)
    file, = tmp_path.iterdir()
    foreign = b"compiled by something else"
    file.write_bytes(hashlib.sha256(foreign).digest() + foreign)
    assert works(image, tmp_path)
    assert file.stat().st_size > 1000


def test_a_cache_that_cannot_be_written_is_gone_without(image, tmp_path):
    (tmp_path / "file").write_bytes(b"")
    assert works(image, tmp_path / "file")
    assert works(image, False)


def test_the_cache_is_where_xdg_says(image, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert works(image, True)
    assert len(list((tmp_path / "xdg/webvm").iterdir())) == 1
    monkeypatch.setenv("XDG_CACHE_HOME", "")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert works(image, True)
    assert len(list((tmp_path / "home/.cache/webvm").iterdir())) == 1


def test_an_interpreter_of_another_shape_is_refused():
    lacks_exports = '(module (import "env" "memory" (memory 1)))'
    takes_i64 = toy.WAT.replace('(func (export "set_eflags") (param i32) (i32.store (i32.const %d) (local.get 0)))' % L.EFLAGS_REST,
                                '(func (export "set_eflags") (param i64))')
    wants_more = toy.WAT.replace('(import "env" "escape"', '(import "env" "more" (func)) (import "env" "escape"')
    lacks_table = toy.WAT.replace('(table (export "table")', '(table')
    for wat in (lacks_exports, takes_i64, wants_more, lacks_table):
        assert wat != toy.WAT
        with pytest.raises(EngineError):
            NativeEngine(toy.Toy(bytes(wasmtime.wat2wasm(wat))), cache=False)


@contextlib.contextmanager
def limited(which, line, headroom):
    """This process may take `headroom` bytes more than /proc/self/status shows in the line."""
    kib = int(re.search(rf"^{line}:\s+(\d+) kB$", Path("/proc/self/status").read_text(), re.M)[1])
    soft, hard = resource.getrlimit(which)
    resource.setrlimit(which, (kib * 1024 + headroom, hard))
    try:
        yield
    finally:
        resource.setrlimit(which, (soft, hard))


def test_a_host_without_room_has_no_more_spaces(make):
    engine = make()
    with limited(resource.RLIMIT_AS, "VmSize", 1 << 30), pytest.raises(OutOfSpaces):
        engine.space()
    assert engine.live == 0
    assert program(lambda: engine, (toy.INT3,)).run(10) == L.BREAKPOINT


def test_a_host_without_memory_refuses_growth(make):
    space = program(make, (toy.INT3,))
    with limited(resource.RLIMIT_DATA, "VmData", 64 << 20), pytest.raises(OutOfMemory):
        space.write(0x2000_0000, b"far")
    assert space.run(10) == L.BREAKPOINT
    space.write(0x2000_0000, b"far")
    assert space.read(0x2000_0000, 3) == b"far"


def test_a_space_dropped_is_out_of_reach(make):
    engine = make(kept_spaces=0)
    space, other = program(lambda: engine, (toy.INT3,)), engine.space()
    space.release()
    for use in (lambda: space.run(1), lambda: space.rflags, lambda: space.get(0), lambda: space.write(DATA, b"x"),
                lambda: space.fill(DATA, 1), lambda: other.copy(space, DATA, 1), lambda: space.protect(1, 1, 1)):
        with pytest.raises((AttributeError, KeyError, IndexError, ValueError, AssertionError)):
            use()


def in_thread(stack: int, f):
    """What f returns in a thread with so much stack, or the exception it raises."""
    result = []

    def target():
        try:
            result.append(f())
        except Exception as error:
            result.append(error)
    before = threading.stack_size(stack)
    try:
        thread = threading.Thread(target=target)
        thread.start()
        thread.join()
    finally:
        threading.stack_size(before)
    return result[0]


@pytest.mark.parametrize("stack", [256 << 10, 1 << 20, 3 << 20, 64 << 20])
def test_exhausting_the_stack_traps_however_small_it_is(make, stack):
    def exhaust():
        engine = make()
        space = program(lambda: engine, (toy.RECURSE,))
        for _ in range(2):
            with pytest.raises(EngineTrap):
                space.run(10)
        return engine.wasm_stack, native.stack_bytes()
    limit, given = in_thread(stack, exhaust)                # the C library may give the larger stack of a thread gone
    assert limit == min(4 << 20, given // 2) and given >= stack


def test_a_thread_with_less_stack_than_the_engine_counts_on_is_refused(make, monkeypatch):
    engine = make()
    assert isinstance(in_thread(8 << 20, engine.space), native.NativeSpace)
    monkeypatch.setattr(native, "stack_bytes", lambda: 4 << 20)
    with pytest.raises(EngineError):
        engine.space()


def test_a_space_with_many_instances_is_not_used_again(make):
    engine = make()
    regions = engine.compile_regions(toy.assembled("regions"))
    for links, reused in ((512, True), (513, False)):
        space = engine.space()
        for _ in range(links):
            space.unlink(space.link(regions, 3))
        space.release()
        assert (engine.space() is space) == reused
        engine.close()


def test_a_space_links_more_modules_than_wasmtime_allows_by_default(make):
    engine = make()
    space, regions = engine.space(), engine.compile_regions(toy.assembled("regions"))
    for _ in range(10_050):
        space.unlink(space.link(regions, 3))


def test_closing_does_not_wait_for_what_is_still_to_be_compiled(make):
    engine = make()
    space, wasm = engine.space(), toy.assembled("regions200")
    several = [engine.compile_regions(wasm, wait=False) for _ in range(100)]
    assert not several[-1].ready
    engine.close()
    assert not several[-1].ready and engine.counters.modules < 100
    for _ in range(2):
        with pytest.raises(EngineError):
            space.link(several[-1], 200)


def test_an_engine_left_open_lets_the_process_end():
    program = """if True:
        from tests.engine import toy
        from webvm.engine.native import NativeEngine
        engine = NativeEngine(toy.Toy(toy.assembled("toy")), cache=False)
        wasm = toy.assembled("regions200")
        for _ in range(100):
            engine.compile_regions(wasm, wait=False)
        print("done")"""
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120)
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "done\n", "")


def test_two_hundred_spaces_live_at_once(make):
    engine = make()
    spaces = [engine.space() for _ in range(200)]
    assert len({id(s) for s in spaces}) == 200
