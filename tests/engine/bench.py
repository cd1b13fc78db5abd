"""What crossing into an engine costs. `python -m tests.engine.bench` prints microseconds, wasmtime and Chromium, as JSON."""

import json
import time

from webvm.engine import EngineTrap

from . import shared, toy
from .toy import ADDI, INT3, JUMP, LOAD, SYSCALL

R, W, PRESENT = 1, 2, 32


def microseconds(f, n, rounds=3) -> float:
    """Of one call of f, best of some rounds of n."""
    best = float("inf")
    for _ in range(rounds):
        start = time.perf_counter()
        for _ in range(n):
            f()
        best = min(best, time.perf_counter() - start)
    return round(best / n * 1e6, 2)


def figures(make) -> dict[str, float]:
    engine = make(kept_spaces=0)
    result = {}

    def fresh():
        engine.space().release()
    result["new space, and dropping it"] = microseconds(fresh, 50)

    engine = make()
    spaces = [engine.space() for _ in range(20)]
    for space in spaces:
        space.release()

    def reused():
        engine.space().release()
    result["reused space, nothing in it"] = microseconds(reused, 100)

    space, other = engine.space(), engine.space()
    shared.load(space, (ADDI, 0, 0, 1), (JUMP, 0, 0, shared.TEXT))
    result["run, enter and leave"] = microseconds(lambda: space.run(1), 3000)

    shared.load(space, (SYSCALL,), (JUMP, 0, 0, shared.TEXT))
    space.on_syscall = lambda registers: True
    result["system call hook"] = round(microseconds(lambda: space.run(10000), 1) / 5000, 3)

    space.on_syscall = lambda registers: 0
    result["system call hook, rax set"] = round(microseconds(lambda: space.run(10000), 1) / 5000, 3)

    shared.load(space, (LOAD, 0, 3, 0x9000000), (JUMP, 0, 0, shared.TEXT))
    space.on_fault = lambda addr, access: space.set(3, 1 << 40) or False
    space.set(3, 0)
    result["fault hook, and leaving"] = microseconds(lambda: space.run(1), 3000)

    data = bytes(4096)
    for what, f, n in (
        ("get a register",               lambda: space.get(3), 5000),
        ("set a register",               lambda: space.set(3, 1 << 63), 5000),
        ("rip",                          lambda: space.rip, 5000),
        ("rflags",                       lambda: space.rflags, 3000),
        ("context",                      lambda: space.context(), 3000),
        ("fxsave",                       lambda: space.fxsave(), 300),
        ("read 8 bytes",                 lambda: space.read(shared.DATA, 8), 3000),
        ("read 4 KiB",                   lambda: space.read(shared.DATA, 4096), 3000),
        ("write 8 bytes",                lambda: space.write(shared.DATA, data[:8]), 3000),
        ("write 4 KiB",                  lambda: space.write(shared.DATA, data), 3000),
        ("write 64 KiB",                 lambda: space.write(shared.DATA, data * 16), 300),
        ("fill 64 KiB",                  lambda: space.fill(shared.DATA, 65536), 300),
        ("protect 16 pages",             lambda: space.protect(0x1000, 16, R | W | PRESENT), 3000),
        ("perms of 16 pages",            lambda: space.perms(0x1000, 16), 3000),
    ):
        result[what] = microseconds(f, n)

    space.release()
    result.update(of_regions(make))

    space, other = engine.space(), engine.space()
    space.protect(0x10000, 2560, R | W | PRESENT)
    space.fill(0x10000000, 10 << 20, 1)
    other.protect(0x10000, 2560, R | W | PRESENT)
    result["copy 10 MiB, first time"] = microseconds(lambda: other.copy(space, 0x10000000, 10 << 20), 1, 1)
    result["copy 10 MiB, again"] = microseconds(lambda: other.copy(space, 0x10000000, 10 << 20), 1)
    result["release 10 MiB"] = microseconds(other.release, 1, 1)
    return result


def of_regions(make) -> dict[str, float]:
    result = {}
    engine = make()
    for n in (1, 20, 200):
        wasm = toy.assembled(f"regions{n}")
        space = engine.space()

        def timed(what: str, f, each):
            """The mean: a browser's clock is too coarse for a single call."""
            start = time.perf_counter()
            results = [f(x) for x in each]
            result[what.format(n)] = round((time.perf_counter() - start) / len(each) * 1e6, 1)
            return results
        modules = timed("compile a module of {}" + f", {len(wasm)} bytes", engine.compile_regions,
                        [wasm + bytes([0, 3, 1, 120, i]) for i in range(20)])    # custom sections: V8 knows equal modules again
        slots = timed("link a module of {}, first", lambda module: space.link(module, n), modules)
        slots += timed("link a module of {}, again", lambda module: space.link(module, n), modules)
        timed("unlink {}", space.unlink, slots)

    space = engine.space()
    shared.load(space, (INT3,))
    space.run(1)
    slot, = space.link(engine.compile_regions(toy.assembled("deep")), 1)
    result["find"] = microseconds(lambda: space.find(shared.TEXT), 3000)
    result["install"] = microseconds(lambda: space.install(shared.TEXT, slot, shared.TEXT, shared.TEXT + 7), 3000)
    result["hot, nothing"] = microseconds(space.hot, 3000)
    for when in ("at first", "optimised"):
        deep = 16
        while reaches(space, deep * 9 // 8):
            deep = deep * 9 // 8
        for _ in range(2000):
            reaches(space, 100)
        result[f"how many regions can call each other, {when}"] = deep
    return result


def reaches(space, depth: int) -> bool:
    """Whether that many regions can call each other, and the last one the kernel."""
    asked = []
    space.on_syscall = lambda registers: asked.append(0) is not None
    space.set(7, shared.TEXT)
    space.set(0, depth)
    space.rip = shared.TEXT
    try:
        space.run(1)
    except EngineTrap:
        return False
    return bool(asked)


def main():
    from webvm.engine.native import NativeEngine

    from . import page
    image = toy.Toy(toy.assembled("toy"))
    native = figures(lambda **options: NativeEngine(image, cache=False, **options))
    print(json.dumps({"wasmtime": native, "chromium": page.run("in_page.figures")}, indent=1))


if __name__ == "__main__":
    main()
