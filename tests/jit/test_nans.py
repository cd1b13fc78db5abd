"""Which of two NaNs an operation gives in a region: that of this machine's processor, whatever compiles the region.

Engines may exchange the operands of sums and products. WEBVM_SEED=n replays, WEBVM_ROUNDS=n does more.
"""
import os
import random
from dataclasses import replace

import pytest

from tests.jit.regions import CODE, DATA_SIZE, MIDDLE, Guest, engine
from tests.jit.test_region import compared, interpreter, pool       # noqa: F401  fixtures
from tests.jit.turbofan import V8S, Regions
from tests.x86 import machines, native
from webvm.jit.instruction import DEFERRED, LOOSE, MENDED
from webvm.jit.options import Options
from webvm.x86 import ieee

SEED = int(os.environ.get("WEBVM_SEED", 1))
ROUNDS = int(os.environ.get("WEBVM_ROUNDS", 1))
ROOM, REGISTERS, MOST, MANY = 128, 4, 14, 200
NEAR = 128                                   # bytes from MIDDLE that operands in memory are of

needs_processor = pytest.mark.skipif(bool(native.missing), reason=f"the processor is not asked: it needs {native.missing}")


def number(rng, f: ieee.Format) -> int:
    """Mostly NaNs of both kinds and signs; some infinities and zeros, which make another."""
    sign, m = rng.getrandbits(1) << f.bits - 1, rng.getrandbits(f.precision - 2) or 1
    match rng.randrange(10):
        case 0: return sign | f.infinity
        case 1: return sign
        case 2: return sign | f.bias + rng.randrange(-9, 9) << f.precision - 1 | m
        case 3 | 4 | 5: return sign | f.infinity | m
    return sign | f.infinity | f.quiet | m


def numbers(rng, f): return sum(number(rng, f) << k for k in range(0, 128, f.bits))


def instruction(rng, single: bool) -> bytes:
    """Over a few registers, or with an operand in memory: sums and products twice as often as all else."""
    scalar, memory = rng.random() < .5, rng.random() < .3
    prefix = {(0, 0): b"\x66", (0, 1): b"", (1, 0): b"\xf2", (1, 1): b"\xf3"}[scalar, single]
    x, y = rng.randrange(REGISTERS), rng.randrange(REGISTERS)
    operand = bytes([0x43 | x << 3, rng.randrange(-NEAR, NEAR, 16) & 255]) if memory else bytes([0xC0 | x << 3 | y])
    if not {"avx", "fma"} - native.HOST and rng.random() < .3:
        z, kind = rng.randrange(REGISTERS), rng.randrange(4)
        if kind < 2:                                       # vadd, vmul
            pp = {b"": 0, b"\x66": 1, b"\xf3": 2, b"\xf2": 3}[prefix]
            return bytes([0xC5, 0x80 | (15 - z) << 3 | pp, 0x58 + kind]) + operand
        order, what = rng.choice((0x90, 0xA0, 0xB0)), rng.choice((8, 10, 12, 14)) + scalar
        return bytes([0xC4, 0xE2, (not single) << 7 | (15 - z) << 3 | 1, order + what]) + operand         # vfmadd and its like
    match rng.randrange(12):
        case 0: return (b"\xf2" if single else b"\x66") + b"\x0f" + rng.choice((b"\x7c", b"\xd0", b"\x7d")) + operand      # haddp, addsubp, hsubp
        case 1: return b"\x66\x0f\x3a" + (b"\x40" if single else b"\x41") + operand + bytes([rng.randrange(256)])               # dpp
        case 2: return (b"" if single else b"\x66") + b"\x0f\x28" + operand                                                 # movap
        case 3: return prefix + b"\x0f" + rng.choice((b"\x5c", b"\x5e", b"\x51", b"\x5d", b"\x5f", b"\x10")) + operand
    return prefix + b"\x0f" + rng.choice((b"\x58", b"\x59")) + operand


def programs(rng, n: int):
    """(instructions, state, data)"""
    for _ in range(n):
        single = rng.random() < .5
        f = ieee.SINGLE if single else ieee.DOUBLE
        state = machines.random_state(rng, True, False)
        state.xmm = [numbers(rng, f) for _ in range(16)]
        state.gpr[3], state.mxcsr = MIDDLE, ieee.RESET | ieee.PE
        yield [instruction(rng, single) for _ in range(rng.randrange(1, MOST))], state


def on_processor(some, data: bytes) -> list[list[int]]:
    """What each leaves in the vector registers."""
    processor, states = native.Native(), [state for _, state in some]
    try:
        for step in range(MOST):
            there = [k for k, (code, _) in enumerate(some) if step < len(code)]
            for k, left in zip(there, processor.run_many([(some[k][0][step], replace(states[k], rip=CODE), data) for k in there])):
                assert left.end == "ok", left.end
                states[k] = left.state
    finally:
        processor.close()
    return [state.xmm for state in states]


@pytest.fixture(scope="module")
def judged():
    """Programs that fit the code's room, the data they are over, and what the processor makes of them."""
    rng = random.Random(SEED)
    data = b"".join(numbers(rng, f).to_bytes(16, "little") for f in (ieee.SINGLE, ieee.DOUBLE) * (DATA_SIZE // 32))
    some = [list(programs(rng, MANY)) for _ in range(ROUNDS)]
    return data, [(part, on_processor(part, data)) for part in some]


def guest_of(part, data, way) -> tuple[Guest, Regions, list]:
    """With a region for each program; none for the interpreter."""
    code, states = bytearray(), []
    for k, (body, state) in enumerate(part):
        body = b"".join(body)
        code += (body + b"\xe9" + (0x100000 - ROOM * k - len(body) - 5).to_bytes(4, "little")).ljust(ROOM, b"\xf4")
        states.append(replace(state, rip=CODE + ROOM * k))
    floats, options = (WAYS | MENDING).get(way, (None, None))
    guest = Guest(engine(options=options) if options else engine("interp"))
    if options:
        guest.translator.exchanges = way in MENDING
    regions = Regions(guest)
    guest.space.write(CODE, bytes(code))
    for state in states:
        guest.load(state, data)
        guest.run(1)                                       # so that it is decoded
    assert not options or guest.translate([state.rip for state in states]) == len(states)
    assert not options or {code.floats for code in guest.translator._code.values()} == {floats}
    guest.load(states[0], data)
    return guest, regions, states


# How regions do it, and with which options: without a choice, and with one.
WAYS = {LOOSE: (LOOSE, Options()), DEFERRED: (DEFERRED, Options(loose_floats=False))}
MENDING = {MENDED[way]: (MENDED[way], options) for way, (_, options) in WAYS.items()} | {"alone": (MENDED[LOOSE], Options(nan_groups=False))}


def wrong_in(part, wanted, found) -> list[str]:
    return [f"{' '.join(i.hex() for i in code)}: xmm{n} {a:032x} / {b:032x}" for (code, _), a_, b_ in zip(part, wanted, found)
            for n, (a, b) in enumerate(zip(a_, b_)) if a != b]


@needs_processor
@pytest.mark.parametrize("way", WAYS | MENDING)
def test_nans_in_regions_are_those_of_the_processor(judged, way):
    data, parts = judged
    for part, wanted in parts:
        guest, _, states = guest_of(part, data, way)
        found = []
        for state in states:
            guest.load(state, data)
            found.append(guest.outcome(guest.run(2000)).state.xmm)
        assert not wrong_in(part, wanted, found), f"seed {SEED}"


@needs_processor
@pytest.mark.parametrize("v8, way", [(v8, way) for v8 in V8S for way in (LOOSE if v8 == "chromium" else MENDED[DEFERRED], MENDED[LOOSE], "interpreter")])
def test_nans_where_turbofan_compiled_are_those_of_the_processor(judged, v8, way):
    """Mended, where the engine says of itself that it exchanges operands."""
    data, parts = judged
    for part, wanted in parts:
        _, regions, states = guest_of(part, data, way)
        left, exchanges = regions.run(v8, states)
        wrong = wrong_in(part, wanted, [state.xmm for state in left])
        assert not wrong or exchanges and way in WAYS, f"seed {SEED}: {len(wrong)} of {len(part)}: {wrong[:5]}"


@pytest.mark.parametrize("nans", [True, False])
def test_regions_that_do_not_choose_go_where_the_engine_turns_out_to_exchange_operands(nans):
    guest = Guest(engine(options=Options(nans=nans)))
    guest.space.write(CODE, bytes.fromhex("f20f58c1 e9f80f0000"))
    state = machines.random_state(random.Random(SEED), False, False)
    state.mxcsr = ieee.RESET
    for exchanges in (False, True):
        guest.space.exchanges = lambda rounds: exchanges
        guest.load(state)
        guest.run(1)
        guest.translator.asked = 0
        guest.translator.hot(guest.space)
        assert guest.is_region(CODE) is (exchanges and not nans)
        if not guest.is_region(CODE):
            assert guest.translate([CODE]) == 1
        assert {code.floats for code in guest.translator._code.values()} == {MENDED[LOOSE] if exchanges and nans else LOOSE}


@pytest.mark.parametrize("way", MENDING)
def test_random_programs_agree_with_regions_that_choose(interpreter, pool, way):                 # noqa: F811
    guest, failures = Guest(engine(options=MENDING[way][1])), []
    guest.translator.exchanges = True
    pool, seen = pool + [p for p in pool if not p.exact] * 3, set()
    for seed in range(1000 * SEED, 1000 * SEED + 40 * ROUNDS):
        wrong = compared(seed, pool, interpreter, guest, hidden=(None, 0)[seed & 1])
        if wrong:
            failures.append(f"program {seed}: {wrong}")
        for code in guest.translator._code.values():
            seen.add(code.floats)
    assert guest.in_regions > 1000 and MENDING[way][0] in seen, seen
    assert not failures, failures[:5]
