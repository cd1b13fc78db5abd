"""SSE's numbers under every setting of MXCSR: this machine's processor against oracle and interpreter, exceptions included.

WEBVM_SEED=n replays; the seed of a failure is printed. WEBVM_ROUNDS multiplies the cases.
"""
import os
import random
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.jit.test_interpreter import difference, report
from tests.kernel.world import World
from tests.x86 import machines, native
from tests.x86.machines import CODE, DATA_SIZE
from webvm.engine.native import NativeEngine
from webvm.jit.image import Image
from webvm.jit.options import Options
from webvm.x86 import ieee
from webvm.x86.decode import decode
from webvm.x86.meaning import MEANINGS
from webvm.x86.primitives import bits_f32, bits_f64, f32_bits
from webvm.x86.vectors import split

SEED = int(os.environ.get("WEBVM_SEED", 1))
ROUNDS = int(os.environ.get("WEBVM_ROUNDS", 1))

needs_processor = pytest.mark.skipif(bool(native.missing), reason=f"the processor is not asked: it needs {native.missing}")

# Approximations differ between processors; here they are better than any (see sse.py, and the last test of instructions).
APPROXIMATE = {"rcpps", "rcpss", "rsqrtps", "rsqrtss"}


def is_float(row) -> bool:
    name = row.meaning
    return name not in APPROXIMATE and (name.startswith("cvt") or name.endswith(("ps", "pd", "ss", "sd", "sd_sse")) and name.startswith((
        "add", "sub", "mul", "div", "sqrt", "min", "max", "cmp", "comi", "ucomi", "hadd", "hsub", "round", "dp")))


ROWS = [row for row in machines.rows() if row.meaning in MEANINGS and not row.rep and not row.repz and is_float(row)]


# ---------------------------------------------------------------------------------------------- cases


def number(rng, f: ieee.Format, near=None) -> int:
    """Bits of every kind of number. `near`: with an exponent close to that number's."""
    fraction, most = f.precision - 1, 2 * f.bias + 1
    sign, m, form = rng.getrandbits(1) << f.bits - 1, rng.getrandbits(fraction), rng.randrange(16)
    match rng.randrange(4):
        case 0: m = m >> (k := rng.randrange(fraction)) << k              # few bits: exact results, ties
        case 1: m = rng.choice((0, 1, (1 << fraction) - 1, 1 << fraction - 1, (1 << fraction) - 2))
    if form < 5:
        e = f.bias + rng.randrange(-70, 70) if near is None or rng.random() < .3 else (near >> fraction & most) + rng.randrange(-3, 4)
    elif form < 7:
        e = rng.randrange(most)
    elif form < 8:
        e = rng.choice((1, 2, 3, most - 1, most - 2, most // 2, most // 4, most // 2 - fraction, 20))
    elif form < 10:
        return sign
    elif form < 12:
        return sign | m >> rng.randrange(fraction)                       # denormal
    elif form < 13:
        return sign | f.infinity
    elif form < 14:
        return sign | f.infinity | (m or 1)                               # a NaN of either kind
    elif form < 15:
        return sign | f.infinity | f.quiet | m
    else:
        e = f.bias + rng.randrange(20, 70)
    return sign | min(max(e, 0), most - 1) << fraction | m


def vector(rng, f, near: int) -> int:
    mask = (1 << f.bits) - 1
    if rng.random() < .2:
        return number(rng, f, near & mask) * (1 + (1 << 64) + (0 if f.bits == 64 else 1 << 32 | 1 << 96))
    return sum(number(rng, f, near >> k & mask) << k for k in range(0, 128, f.bits))


def formats(row):
    """Of source and destination, roughly: what random operands are made of."""
    single = row.meaning.endswith(("ps", "ss")) or "ps2" in row.meaning or "ss2" in row.meaning
    return ieee.SINGLE if single else ieee.DOUBLE


def cases(rng, rounds):
    for row in ROWS:
        for size in (4, 8):
            for memory in (False, True):
                for _ in range(rounds):
                    code = machines.encode(row, rng, size, memory)
                    if code is None:
                        continue
                    state = machines.random_state(rng, memory, False)
                    f = formats(row)
                    state.xmm[0] = vector(rng, f, ieee.RESET)
                    for n in range(1, 16):
                        state.xmm[n] = vector(rng, f, state.xmm[n - 1])
                    state.x87 = [rng.choice((rng.getrandbits(64), number(rng, f) | number(rng, f) << 32)) & (1 << 64) - 1 for _ in range(8)]
                    state.gpr[0] = rng.getrandbits(64) >> rng.randrange(64)
                    state.mxcsr = machines.control(rng)
                    data = vector(rng, f, state.xmm[3]).to_bytes(16, "little") * (DATA_SIZE // 16)
                    if memory:
                        state.gpr[3], state.gpr[6] = machines.MIDDLE, 16 * rng.randrange(4)
                        insn = decode(code, CODE, features=machines.FEATURES)
                        at = next(o for o in insn.operands if hasattr(o, "disp"))
                        address = at.disp + (state.gpr[at.base] if at.base is not None else 0) + (state.gpr[at.index] * at.scale if at.index is not None else 0)
                        if address % 16 or at.segment:
                            continue
                    yield row, code, state, data


def test_there_are_rows():
    assert len(ROWS) > 65


def on_processor(some: list) -> list:
    """What this machine's processor makes of (code, state, data)."""
    processor = native.Native()
    try:
        return processor.run_many(some)
    finally:
        processor.close()


@needs_processor
def test_processor_oracle_and_interpreter_agree_whatever_mxcsr_says():
    rng, interpreter, failures, traps, n = random.Random(SEED), machines.Interpreter(), [], 0, 0
    some = [case for case in cases(rng, 12 * ROUNDS) if not case[0].feature or case[0].feature in native.HOST]
    processor = native.Native()
    try:
        wanted = processor.run_many([(code, state, data) for _, code, state, data in some])
    finally:
        processor.close()
    for (row, code, state, data), a in zip(some, wanted):
        text = f"{code.hex()} {decode(code, CODE, features=machines.FEATURES)} under {state.mxcsr:#x}"
        traps += a.end == "XM"
        n += 1
        for name, b in (("oracle", machines.on_oracle(code, state, data)), ("interpreter", interpreter.run(code, state, data))):
            wrong = difference(a, b, x87=64)
            if not wrong and a.state.mxcsr != b.state.mxcsr:
                wrong = f"mxcsr: {a.state.mxcsr:#x} / {b.state.mxcsr:#x}"
            if wrong:
                failures.append(f"{text}: processor / {name} {wrong}")
    assert n > 1500 and traps > 100
    report(failures)


@needs_processor
def test_exact_results_are_told_from_others():
    """Where the precision exception is not there yet: of numbers with few bits, and of some that are nearly such."""
    rng, interpreter, failures, exact, some = random.Random(SEED), machines.Interpreter(), [], 0, []
    for _ in range(1500 * ROUNDS):
        op, f = rng.choice((0x58, 0x5C, 0x59, 0x5E, 0x51, 0x5A)), rng.choice((ieee.DOUBLE, ieee.SINGLE))
        state = machines.random_state(rng, False, False)
        for n in (1, 2):
            x = float(rng.choice((rng.getrandbits(rng.randrange(1, 54)), rng.randrange(20)) * 2 + (0.0, 1.0)) * rng.choice((-1, 1, 1)) * 2.0 ** rng.randrange(-9, 9))
            if op == 0x51 and rng.random() < .7:
                x = rng.randrange(1 << 26) ** 2.0
            b = bits_f64(x) if f is ieee.DOUBLE else bits_f32(x)
            state.xmm[n] = b + (rng.random() < .05) << 64 | b + (rng.random() < .05)
        state.mxcsr = machines.control(rng) & ~ieee.PE if rng.random() < .3 else ieee.RESET
        some.append((bytes([0xF2 if f is ieee.DOUBLE else 0xF3, 0x0F, op, 0xCA]), state, bytes(DATA_SIZE)))
    for (code, state, data), a in zip(some, on_processor(some)):
        exact += a.end == "ok" and not a.state.mxcsr & ieee.PE
        for name, b in (("oracle", machines.on_oracle(code, state, data)), ("interpreter", interpreter.run(code, state, data))):
            wrong = difference(a, b, x87=64) or (f"mxcsr: {a.state.mxcsr:#x} / {b.state.mxcsr:#x}" if a.state.mxcsr != b.state.mxcsr else "")
            failures += [f"{code.hex()} of {state.xmm[1]:x}, {state.xmm[2]:x} under {state.mxcsr:#x}: processor / {name} {wrong}"] if wrong else []
    assert len(some) * .2 < exact < len(some) * .9
    report(failures)


@needs_processor
def test_approximations_are_as_near_as_the_processor_says_and_special_cases_are_the_same():
    rng, interpreter, failures = random.Random(SEED), machines.Interpreter(), []
    some = []
    for k in range(400 * ROUNDS):
        state = machines.random_state(rng, False, False)
        state.xmm = [vector(rng, ieee.SINGLE, state.xmm[n - 1]) for n in range(16)]
        state.mxcsr = machines.control(rng)
        some.append((bytes.fromhex(rng.choice(("0f53", "f30f53", "0f52", "f30f52"))) + bytes([0xC0 | rng.randrange(64)]), state, bytes(DATA_SIZE)))
    for (code, state, data), a in zip(some, on_processor(some)):
        b = interpreter.run(code, state, data)
        failures += [f"{code.hex()}: oracle / interpreter {wrong}"] if (wrong := difference(machines.on_oracle(code, state, data), b)) else []
        assert a.end == b.end == "ok" and a.state.mxcsr == b.state.mxcsr == state.mxcsr
        for x, y in zip(a.state.xmm, b.state.xmm):
            for p, q in zip(split(x, 32), split(y, 32)):
                p32, q32 = f32_bits(p), f32_bits(q)
                if p != q and not (p32 * q32 > 0 and abs(p32 - q32) <= abs(p32) * 1.5 * 2 ** -12):
                    failures.append(f"{code.hex()}: processor / interpreter {p:#x} / {q:#x}")
    report(failures)


# ---------------------------------------------------------------------------------------------- a program

COMPILER = shutil.which("gcc")


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    folder = tmp_path_factory.mktemp("mxcsr")
    source = Path(__file__).with_name("mxcsr.c")
    flags = "-O1 -static -fno-builtin -frounding-math -ftrapping-math -fno-stack-protector -w".split()
    subprocess.run([COMPILER, *flags, "-o", folder / "mxcsr", source, "-lm"], check=True)
    return folder, subprocess.run([folder / "mxcsr"], capture_output=True, check=True).stdout


@pytest.mark.skipif(bool(native.missing), reason=f"no program is compared with the processor: it needs {native.missing}")
@pytest.mark.parametrize("options", [{}, {"tier": "interp"}, {"options": Options(loose_floats=False)}, {"options": Options(loose_floats=False, deferred=False)}],
                         ids=["jit", "interp", "exact", "at once"])
def test_a_program_prints_what_it_prints_on_the_processor(options, program):
    folder, expected = program
    world = World(engine=NativeEngine(Image(**options)), guest=str(folder))
    assert world.run(b"/guest/mxcsr") == (0, expected, b"")
