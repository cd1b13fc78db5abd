"""Random loops over memory, with general and vector registers mixed as compilers mix them: interpreter and regions.

Pointers walk up and down by constants, off the ends of what is there too; scalar and packed floating point use the same
registers. Where pages are asked for as they are needed, all registers are the same at each fault.
WEBVM_SEED=n replays, WEBVM_ROUNDS=n does more.
"""
import random
import struct
from dataclasses import replace

import pytest

from tests.jit.regions import CODE, CODE_SIZE, DATA, DATA_SIZE, MIDDLE, R15, READ, STACK_SIZE, TOP, Assembly, Guest, engine
from tests.jit.test_interpreter import difference, report
from tests.jit.test_region import ROUNDS, SEED
from tests.x86 import machines
from webvm.jit import layout as at
from webvm.jit.cfg import COPY, OUTER
from webvm.jit.instruction import DEFERRED, EASY, LOOSE
from webvm.jit.options import Options
from webvm.x86.ieee import DE, EXCEPTIONS, PE

POINTERS, INDEX, NUMBERS = (7, 8, 9, 10), 11, (0, 1, 2, 6)         # rdi r8 r9 r10; r11; rax rcx rdx rsi


def modrm(prefix: str, wide: bool, opcode: str, reg: int, rm: int) -> bytes:
    """An instruction on two registers."""
    return bytes.fromhex(prefix) + bytes([0x40 | 8 * wide | (reg >> 3) << 2 | rm >> 3]) + bytes.fromhex(opcode) + bytes(
        [0xC0 | (reg & 7) << 3 | rm & 7])


def memory(rng, prefix: str, wide: bool, opcode: str, reg: int, aligned: bool = False) -> bytes:
    """With memory for one: off a pointer, off a pointer and the index, or at a constant address."""
    base, disp = rng.choice(POINTERS), 8 * rng.randrange(-6, 6) + (rng.randrange(8) if rng.random() < .2 else 0)
    kind = rng.random()
    if aligned:
        disp, kind = disp & -16, kind if kind < .1 else 1
    rex = 0x40 | 8 * wide | (reg >> 3) << 2
    if kind < .1:
        where = bytes([(reg & 7) << 3 | 4, 0x25]) + struct.pack("<i", MIDDLE + disp)
    elif kind < .4:
        rex |= 2 | base >> 3
        where = bytes([0x80 | (reg & 7) << 3 | 4, rng.randrange(4) << 6 | (INDEX & 7) << 3 | base & 7]) + struct.pack("<i", disp)
    else:
        rex |= base >> 3
        where = bytes([0x80 | (reg & 7) << 3 | base & 7]) + (b"\x24" if base & 7 == 4 else b"") + struct.pack("<i", disp)
    return bytes.fromhex(prefix) + bytes([rex]) + bytes.fromhex(opcode) + where


SCALAR = [("f2", "0f58"), ("f2", "0f59"), ("f2", "0f5c"), ("f2", "0f5e"), ("f2", "0f51"), ("f2", "0f5d"), ("f2", "0f10"), ("f3", "0f58"),
          ("f3", "0f59"), ("f3", "0f10"), ("f3", "0f5a"), ("f2", "0f5a"), ("", "0f2e"), ("66", "0f2f"), ("f2", "0f10"), ("f2", "0f10")]
PACKED = [("66", "0f58"), ("66", "0f59"), ("", "0f58"), ("66", "0f14"), ("66", "0f15"), ("66", "0f57"), ("66", "0f54"), ("66", "0ffe"),
          ("66", "0fef"), ("66", "0f28"), ("66", "0f28"), ("", "0f28"), ("66", "0f6f"), ("", "0f12"), ("", "0f16"), ("f3", "0f7e"),
          ("66", "0fd4"), ("66", "0f6c"), ("66", "0f62")]
ALIGNED = [("66", "0f28"), ("", "0f29"), ("66", "0f58"), ("66", "0f7f"), ("66", "0f57")]
HALVES = [("66", "0f16"), ("66", "0f12"), ("f3", "0f7e"), ("", "0f10"), ("66", "0f10"), ("f2", "0f10"), ("f3", "0f10"), ("f3", "0fe6")]
STORES = [("f2", "0f11"), ("f2", "0f11"), ("f3", "0f11"), ("66", "0f13"), ("66", "0f17"), ("", "0f11"), ("66", "0fd6"), ("66", "0f7e")]


def piece(rng, vectors: tuple[int, ...]) -> bytes:
    x, y, n, p = rng.choice(vectors), rng.choice(vectors), rng.choice(NUMBERS), rng.choice(POINTERS)
    if rng.random() < .08:
        prefix, opcode = rng.choice(ALIGNED)
        return memory(rng, prefix, False, opcode, x, True)
    match rng.randrange(20):
        case 0 | 1: return memory(rng, "", True, rng.choice(("8b", "89", "01", "03", "39")), n)
        case 2: return memory(rng, "", False, rng.choice(("8b", "89", "31", "88", "0fb6", "63")), n)
        case 3 | 4 | 5: return modrm(*_op(rng.choice(SCALAR), x, y))
        case 6 | 7 | 8:
            prefix, opcode = rng.choice(SCALAR)
            return memory(rng, prefix, False, opcode, x)
        case 9 | 10: return modrm(*_op(rng.choice(PACKED), x, y))
        case 11:
            prefix, opcode = rng.choice(HALVES)
            return memory(rng, prefix, False, opcode, x)
        case 12 | 13 | 14:
            prefix, opcode = rng.choice(STORES)
            return memory(rng, prefix, False, opcode, x)
        case 15: return modrm(rng.choice(("f2", "f3")), rng.random() < .5, "0f2a", x, n)                       # cvtsi2s?
        case 16: return modrm(rng.choice(("f2", "f3")), rng.random() < .5, rng.choice(("0f2c", "0f2d")), n, x)
        case 17: return modrm("66", rng.random() < .5, rng.choice(("0f6e", "0f7e")), x, n)                     # movd, movq
        case 18: return modrm("66", False, "0fef", x, x)                                                       # pxor x, x
        case 19: return modrm("", True, "83", rng.choice((0, 5)), p) + bytes([rng.choice((1, 4, 8, 8, 16, 64))])


def _op(op, x, y): return op[0], False, op[1], x, y


def steps(rng) -> bytes:
    """Pointers and the index move on."""
    code = b""
    for n in (*POINTERS, INDEX):
        if rng.random() < .6:
            match rng.randrange(4):
                case 0: code += modrm("", True, "ff", rng.randrange(2), n)                                     # inc, dec
                case 1: code += modrm("", True, "81", 0, n) + struct.pack("<i", rng.choice((-1024, -24, 128, 4000, 5000)))
                case _: code += modrm("", True, "83", rng.choice((0, 0, 5)), n) + bytes([rng.choice((1, 4, 8, 8, 16))])
    return code


def loops(rng) -> bytes:
    """A few loops, one after another or one in another."""
    a = Assembly()
    vectors = tuple(rng.sample(range(16), rng.choice((2, 3, 6))))

    def some(most):
        for _ in range(rng.randrange(most)):
            a(piece(rng, vectors))
            kind, here = rng.random(), len(a.code)
            if kind < .1:                                    # over the next one, perhaps
                a.rel(f"0f{0x80 + rng.randrange(16):02x}", ("skip", here))
                a(piece(rng, vectors))
                a.label(("skip", here))
            elif kind < .11:
                a.rel(f"0f{0x80 + rng.randrange(16):02x}", "out")

    def loop(depth):
        head = len(a.code)
        middle = rng.random() < .5
        a(modrm("", True, "89", INDEX, 5), modrm("", True, "81", 4, 5), struct.pack("<i", 7))                 # ebp: rounds, 1 to 8
        if rng.random() < .5:
            a(modrm("", True, "83", 0, 5), bytes([rng.randrange(40)]))
        counted = rng.random() < .8
        if middle:
            a.rel("e9", ("middle", head))
        a.label(("head", head))
        some(3)
        if middle:
            a.label(("middle", head))
        if depth and rng.random() < .4:
            a("55")                                          # push rbp
            loop(depth - 1)
            a("5d")
        some(8)
        a(steps(rng))
        some(2)
        a("4983ef01")                                        # sub r15, 1 ; js out
        a.rel("0f88", "out")
        if counted:
            a("4883ed01")                                    # sub rbp, 1 ; jns head
            a.rel("0f89", ("head", head))
        else:
            a.rel(f"0f{0x80 + rng.randrange(16):02x}", ("head", head))

    for _ in range(rng.randrange(1, 4)):
        some(4)
        loop(2)
    some(4)
    a.label("out")
    a("0f05")
    return a.encode()


def beginning(rng):
    state = machines.random_state(rng, True, False)
    data = b"".join(struct.pack("<d", rng.choice((rng.uniform(-9, 9), rng.uniform(-1e6, 1e6), rng.randrange(-5, 5), 1e300, 1e-300, -0.0)))
                    if rng.random() < .9 else rng.randbytes(8) for _ in range(DATA_SIZE // 8))
    for n in POINTERS:
        state.gpr[n] = rng.choice((MIDDLE, MIDDLE, DATA + 0x100, DATA + DATA_SIZE - 0x100)) + 8 * rng.randrange(-20, 20)
        state.gpr[n] &= -16 if rng.random() < .7 else -1
    state.gpr[INDEX], state.gpr[4], state.gpr[R15] = rng.randrange(16), TOP, rng.choice((20, 100, 400))
    state.rip, state.watched = CODE, rng.random() < .2       # regions are exact then
    if rng.random() < .2:
        state.mxcsr, state.watched = machines.control(rng), rng.choice((state.watched, 1 | at.UNPLAIN))
    elif rng.random() < .6:
        state.mxcsr |= PE
    for n in range(16):
        state.xmm[n] = int.from_bytes(data[16 * n:16 * n + 16], "little")
    return state, data, bytes(STACK_SIZE)


def compared(seed, interpreter, guest, hidden: int | None) -> str:
    """A program in both, what differs. hidden: the permission of pages before they are asked for."""
    rng = random.Random(seed)
    code = loops(rng)
    state, data, stack = beginning(rng)
    for machine in (interpreter, guest):
        machine.show()
        machine.space.write(CODE, code.ljust(CODE_SIZE, b"\xf4"))
        machine.load(state, data, stack)
    for n in POINTERS:                                       # so that it goes further at first
        guest.space.set(n, state.gpr[n] & -16)
    guest.run(rng.choice((50, 1000)))
    heads = [CODE, *(rip for rip in range(CODE, CODE + len(code)) if rng.random() < .4)]
    guest.translate([rip for rip in heads if guest.space.find(rip)], rng)
    outcomes = []
    for machine, fuel in (interpreter, 1 << 16), (guest, rng.choice((50, 1 << 16))):
        machine.load(state, data, stack)
        machine.seen = []
        if hidden is not None:
            machine.hide(hidden)
        for _ in range(5000):
            end = machine.run(fuel)
            if end != "fuel":
                break
        outcomes.append(machine.outcome(end))
    unseen = EXCEPTIONS if guest.translator.options.loose_floats else DE
    for state in (*interpreter.seen, *guest.seen, *(outcome.state for outcome in outcomes)):
        state.mxcsr &= ~unseen
    for a, b in zip(interpreter.seen, guest.seen):
        wrong = difference(machines.Outcome(a, b"", "fault"), machines.Outcome(b, b"", "fault"), 0)
        if wrong:
            return f"at a fault: {wrong}"
    if interpreter.faults != guest.faults:
        return f"faults: {interpreter.faults} / {guest.faults}"
    wanted, found = outcomes
    return difference(wanted, found, 0x8D5 if wanted.end == "syscall" else 0) or (
        "" if wanted.end == found.end else f"end: {wanted.end} / {found.end}")


@pytest.fixture(scope="module")
def interpreter(): return Guest(engine("interp"))


@pytest.mark.parametrize("without, hidden", [
    ("", None), ("", 0), ("", READ), ("hoist", 0), ("nests", 0), ("lanes", 0), ("comparisons", None), ("loose_floats", None)])
def test_random_loops_agree_with_the_interpreter(interpreter, without, hidden):
    options = replace(Options(), **{without: False}) if without else Options()
    guest, failures, faults, strips, added, ways = Guest(engine(options=options)), [], 0, [], set(), set()

    def trace(region, *_):
        ways.add(region.floats)
        strips.extend(b.start for b in region.graph.blocks.values() if b.strip)
        added.update(name >> 32 for name in region.graph.blocks)

    guest.translator.trace = trace
    for seed in range(1000 * SEED, 1000 * SEED + 60 * ROUNDS):
        wrong = compared(seed, interpreter, guest, hidden)
        faults += len(guest.faults)
        if wrong:
            failures.append(f"program {seed}: {wrong}")
    assert faults > 5 and guest.in_regions > 1500, (faults, guest.in_regions)
    assert (len(strips) > 20) == options.hoist, len(strips)
    assert ways >= {DEFERRED, EASY} and (LOOSE in ways) == options.loose_floats, ways
    assert added == ({0, COPY >> 32, OUTER >> 32} if options.nests else {0})
    report(failures)
