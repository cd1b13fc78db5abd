"""What runs inside the page: the shared suite over webvm.engine.browser, and what only the browser has."""

import gc
import json
import traceback

from webvm.engine import OutOfSpaces
from webvm.engine.browser import COLLECT, BrowserEngine

from . import bench, shared, toy
from .shared import program
from .toy import ADDI, INT3

IMAGE = toy.Toy(toy.assembled("toy"))


def make(image=IMAGE, **options):
    return BrowserEngine(image, **options)


def test_pyodides_own_memory_may_grow(make):
    space = program(make, (ADDI, 0, 0, 1), (INT3,))
    space.write(shared.DATA, b"before")
    blocks = [bytearray(16 << 20) for _ in range(8)]           # the staging area's view is detached by this
    assert space.read(shared.DATA, 6) == b"before"
    del blocks
    space.write(shared.DATA, b"after!")
    assert (space.run(10), space.get(0), space.read(shared.DATA, 6)) == (shared.L.BREAKPOINT, 1, b"after!")


def test_a_module_compiled_by_the_page_is_taken(make):
    import js
    from pyodide.ffi import to_js
    engine = make(module=js.WebAssembly.Module.new(to_js(IMAGE.wasm)))
    assert program(lambda: engine, (ADDI, 0, 0, 1), (INT3,)).run(10) == shared.L.BREAKPOINT


def test_a_module_compiled_beside_can_be_linked_before_it_is_ready(make):
    engine = make()
    space = program(lambda: engine, (ADDI, 0, 0, 1), (INT3,))
    regions = engine.compile_beside(toy.assembled("regions"))
    assert not regions.ready                    # nobody has given the browser a turn
    assert len(space.link(regions, 3)) == 3 and regions.ready


def test_dropped_memories_are_collected(make):
    """More memories than V8 can have at a time, one after the other."""
    engine = make(kept_spaces=0)
    regions = engine.compile_regions(toy.assembled("regions"))
    for _ in range(300):
        space = program(lambda: engine, (ADDI, 0, 0, 1), (INT3,))
        assert space.run(10) == shared.L.BREAKPOINT
        assert space.install(shared.TEXT, space.link(regions, 3)[0], shared.TEXT, shared.TEXT + 7)
        space.release()


def test_the_browser_is_asked_to_free_large_memories_that_were_dropped(make):
    """That it does is seen in tests/web/test_memory.py."""
    class Js:
        asked = 0

        def __getattr__(self, name):
            return getattr(js, name)

        def collect(self):
            self.asked += 1
            js.collect()
    engine = make(kept_bytes=1 << 20)
    js, engine.js = engine.js, Js()
    for bytes_, asked in ((COLLECT, 1), (2 << 20, 1), (COLLECT, 2), (COLLECT // 2, 2), (COLLECT // 2, 3), (4096, 3)):
        space = program(lambda: engine, (ADDI, 0, 0, 1), (INT3,))
        space.protect(0x20000, bytes_ >> 12, shared.R | shared.W | shared.PRESENT)
        assert space.run(10) == shared.L.BREAKPOINT
        space.release()
        assert engine.js.asked == asked
        assert engine.dropped < COLLECT


def test_the_default_number_of_spaces_fits(make):
    engine = make()
    spaces = [engine.space() for _ in range(engine.max_spaces)]
    shared.load(spaces[-1], (INT3,))
    assert spaces[-1].run(10) == shared.L.BREAKPOINT
    for space in spaces:
        space.release()


def test_a_browser_without_room_has_no_more_spaces(make):
    engine = make(max_spaces=10_000)
    spaces = []
    with shared.raises(OutOfSpaces):
        for _ in range(10_000):
            spaces.append(engine.space())
    assert engine.live == len(spaces) >= 100
    spaces.pop().release()
    space = program(lambda: engine, (INT3,))
    assert space.run(10) == shared.L.BREAKPOINT
    for space in spaces:
        space.release()


def own_tests() -> dict:
    return {name: f for name, f in globals().items() if name.startswith("test_")}


def suite() -> str:
    """Run everything. JSON: test -> "" or the traceback."""
    results = {}
    for name, test in {**shared.all_tests(), **own_tests()}.items():
        engines = []

        def tracked(**options):
            engines.append(make(**options))
            return engines[-1]
        try:
            test(tracked)
            results[name] = ""
        except Exception:      # whatever it is, it is the test's result
            results[name] = traceback.format_exc()
        for engine in engines:
            engine.close()
        gc.collect()           # hooks refer to the spaces they were set in
    return json.dumps(results)


def figures() -> str:
    return json.dumps(bench.figures(make))
