"""What crossing into an engine costs. `python -m tests.engine.bench` prints microseconds, wasmtime and Chromium, as JSON."""

import json
import time

from . import shared
from .toy import ADDI, JUMP, LOAD, SYSCALL

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
    space.on_syscall = lambda: True
    result["system call hook"] = round(microseconds(lambda: space.run(10000), 1) / 5000, 3)

    def answered():
        space.syscall_args()
        space.set(0, 0)
        return True
    space.on_syscall = answered
    result["system call hook, arguments taken, rax set"] = round(microseconds(lambda: space.run(10000), 1) / 5000, 3)

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
        ("syscall_args",                 lambda: space.syscall_args(), 3000),
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

    space.protect(0x10000, 2560, R | W | PRESENT)
    space.fill(0x10000000, 10 << 20, 1)
    other.protect(0x10000, 2560, R | W | PRESENT)
    result["copy 10 MiB, first time"] = microseconds(lambda: other.copy(space, 0x10000000, 10 << 20), 1, 1)
    result["copy 10 MiB, again"] = microseconds(lambda: other.copy(space, 0x10000000, 10 << 20), 1)
    result["release 10 MiB"] = microseconds(other.release, 1, 1)
    return result


def main():
    import wasmtime

    from webvm.engine.native import NativeEngine

    from . import page, toy
    image = toy.Toy(bytes(wasmtime.wat2wasm(toy.WAT)))
    native = figures(lambda **options: NativeEngine(image, cache=False, **options))
    print(json.dumps({"wasmtime": native, "chromium": page.run("in_page.figures")}, indent=1))


if __name__ == "__main__":
    main()
