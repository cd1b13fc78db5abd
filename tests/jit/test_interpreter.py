"""The generated interpreter against the oracle, and the oracle against unicorn, over the whole table.

WEBVM_SEED=n replays; the seed of a failure is printed.
"""
import os
import random
import struct
from collections import Counter

import pytest

from tests.x86 import machines
from tests.x86.forms import shift_count
from webvm.jit.interpreter import build
from webvm.x86 import ieee
from webvm.x86.decode import decode
from webvm.x86.insn import Mem, Reg
from webvm.x86.meaning import CF, MEANINGS, OF, PF, RAX, SF, ZF
from webvm.x86.opcodes import VEX
from webvm.x86.oracle import PYTHON_MEANINGS
from webvm.x86.undefined import undefined_flags

SEED = int(os.environ.get("WEBVM_SEED", 1))
ROUNDS = int(os.environ.get("WEBVM_ROUNDS", 4))
_ALL = 0x8D5


# Where unicorn is no judge: approximations with more bits than a processor gives; unicorn stops differently.
# FXSAVE has x87's control words in it, which these cases do not set in unicorn (test_x87 asks the processor).
NOT_JUDGED = {"fxsave", "fxrstor", "cpuid", "rcpps", "rcpss", "rsqrtps", "rsqrtss", "syscall",
              "lahf", "sahf",       # unicorn takes REX for a change of AH there
              "dpps", "dppd", "addsubps", "addsubpd", "haddps", "haddpd", "hsubps", "hsubpd",      # and adds in another order, as NaNs tell (test_mxcsr asks the processor)
              "blsi", "bzhi"}       # its carry is wrong, and its limit


@pytest.fixture(scope="module")
def interpreter(): return machines.Interpreter()


@pytest.fixture(scope="module")
def unicorn(): return machines.Unicorn()


def cases(rounds):
    """(row, code, state, data) from the seed."""
    rng = random.Random(SEED)
    for row in machines.rows():
        if row.meaning not in MEANINGS or row.meaning in ("rdtsc", "rdtscp"):      # never the same twice
            continue
        for size in (2, 4, 8):
            for memory in (False, True):
                for _ in range(rounds * (6 if row.meaning in machines.TEXT else 1)):
                    code = machines.encode(row, rng, size, memory)
                    if code is None:
                        continue
                    state = machines.random_state(rng, memory, row.rep or row.repz or row.meaning in ("maskmovq", "xlat"))
                    if row.meaning in ("maskmovq",):
                        state.gpr[7] = machines.MIDDLE
                    data = rng.randbytes(machines.DATA_SIZE)
                    yield row, code, state, machines.of_text(rng, state, data) if row.meaning in machines.TEXT else data


def difference(a, b, flags=_ALL, x87=80) -> str:
    """What differs between two outcomes, as text; empty when nothing does. x87: so many bits of its registers count, and its
    control words where that is all."""
    found = []
    jumped_out = a.end == "ok" and b.end.startswith("fault") and a.state.rip == b.state.rip and not 0 <= a.state.rip - machines.CODE < 16
    if a.end.split()[0] != b.end.split()[0] and not jumped_out:
        return f"end: {a.end} / {b.end}"
    for n, (x, y) in enumerate(zip(a.state.gpr, b.state.gpr)):
        if x != y:
            found.append(f"r{n}: {x:#x} / {y:#x}")
    for n, (x, y) in enumerate(zip(a.state.xmm, b.state.xmm)):
        if x != y:
            found.append(f"xmm{n}: {x:#034x} / {y:#034x}")
    for n, (x, y) in enumerate(zip(a.state.upper, b.state.upper)):
        if x != y:
            found.append(f"upper half of ymm{n}: {x:#034x} / {y:#034x}")
    for n, (x, y) in enumerate(zip(a.state.x87, b.state.x87)):
        if (x ^ y) & (1 << x87) - 1:
            found.append(f"x87 register {n}: {x:#x} / {y:#x}")
    if (a.state.flags ^ b.state.flags) & flags:
        found.append(f"flags: {a.state.flags:#x} / {b.state.flags:#x} under {flags:#x}")
    for name in ("rip", "df", "rest", "mxcsr", "fcw", "fsw", "ftw")[:None if x87 == 80 else 4]:
        if (getattr(a.state, name) ^ getattr(b.state, name)) & ~(a.unseen | b.unseen if name == "mxcsr" else 0):
            found.append(f"{name}: {getattr(a.state, name):#x} / {getattr(b.state, name):#x}")
    if a.data != b.data:
        at = next(k for k in range(len(a.data)) if a.data[k] != b.data[k])
        found.append(f"data at +{at:#x}: {a.data[at:at + 16].hex()} / {b.data[at:at + 16].hex()}")
    return "; ".join(found)


def report(failures):
    if failures:
        shown = "\n".join(failures[:40])
        pytest.fail(f"{len(failures)} cases differ (WEBVM_SEED={SEED}):\n{shown}")


def test_interpreter_agrees_with_oracle_on_every_row(interpreter):
    failures, n = [], 0
    for row, code, state, data in cases(ROUNDS):
        a, b = machines.on_oracle(code, state, data), interpreter.run(code, state, data)
        wrong = difference(a, b)
        n += 1
        if wrong:
            failures.append(f"{code.hex()} {decode(code, machines.CODE, features=machines.FEATURES)} {row}: oracle / interpreter {wrong}")
    assert n > 3000
    report(failures)


def test_oracle_agrees_with_unicorn_on_every_row(unicorn):
    failures = []
    for row, code, state, data in cases(1):
        if row.map >= VEX and row.feature[:3] != "bmi" or row.feature in ("xsave", "sha"):
            continue                                     # it takes AVX for SSE, and has no SHA; the processor judges these (test_forms)
        if row.meaning in NOT_JUDGED or row.meaning in PYTHON_MEANINGS or row.meaning == "test" and row.reg == 1:      # unicorn lacks F6 /1
            continue
        insn = decode(code, machines.CODE, features=machines.FEATURES)
        if row.opcode in (0x0D, 0x18) and row.map == 1 and isinstance(insn.operands[0], Reg):
            continue                                     # nor has it the register forms in the place of prefetches
        if row.meaning in ("shld", "shrd") and (insn.size == 2 or isinstance(insn.operands[0], Mem) and insn.operands[0].rip):
            continue                                     # 16-bit counts above 16 are undefined; unicorn's RIP is one off
        if row.map in (2, 3) and row.operands[0].place == "P" and b"@" < code[:1] < b"P" and code[0] & 5:
            continue                                     # REX names MMX registers here that do not exist
        if row.meaning == "palignr" and row.operands[0].place == "P" and insn.operands[2].value > 16:
            continue                                     # it shifts by such counts modulo something
        if row.meaning.startswith(("phadd", "phsub")) and insn.operands[0] == insn.operands[1]:
            continue                                     # it overwrites what it has still to read
        if row.meaning in machines.TEXT and insn.operands[2].value & 12 == 12:
            continue                                     # strings that only begin within the other are none to it
        if row.meaning in ("pcmpestri", "pcmpestrm") and (insn.size == 8 or any(state.gpr[n] & 0xFFFFFFFF == 1 << 31 for n in (0, 2))):
            continue                                     # it takes 64-bit lengths from elsewhere; the least integer crashes it
        a = machines.on_oracle(code, state, data)
        if a.end in ("UD", "GP", "SS") or a.end.startswith("fault"):
            continue
        if a.end == "DE":                                # an exception leaves its mark on the next case
            assert machines.Unicorn().run(code, state, data, insn.length).end == "DE", (code.hex(), insn)
            continue
        if row.meaning in ("bsf", "bsr") and a.state.flags >> ZF & 1:
            continue                                     # of zero: processors leave all 64 bits, unicorn clears 32
        b = unicorn.run(code, state, data, insn.length)
        if row.meaning in ("bt", "bts", "btr", "btc") and b.end == "fault":
            continue                                     # unicorn reads the whole operand around the bit, past the data
        if row.meaning == "cmpxchg" and insn.size == 4 and a.state.flags >> ZF & 1:
            b.state.gpr[RAX] = a.state.gpr[RAX]          # where equal, processors leave all 64 bits, unicorn clears 32
        elif row.meaning == "cmpxchg" and insn.size == 4 and isinstance(insn.operands[0], Reg):
            n = insn.operands[0].number
            b.state.gpr[n] = a.state.gpr[n]              # and of the other where not
        elif row.meaning == "pdep" and insn.size == 4:
            b.state.gpr[insn.operands[0].number] &= 0xFFFFFFFF       # it takes all 64 bits of the mask (test_forms asks the processor)
        b.state.upper = a.state.upper                    # of AVX, which it has not: some leave anything there
        b.state.mxcsr |= a.state.mxcsr & ieee.EXCEPTIONS     # which unicorn tells STMXCSR only (test_mxcsr asks the processor)
        count = shift_count(insn, state) if insn.operands else 0
        wrong = difference(a, b, _ALL & ~undefined_flags(row.meaning, 8 * insn.size, count), x87=64 * any(o.place in "PQN" for o in row.operands))
        if wrong:
            failures.append(f"{code.hex()} {insn} {row}: oracle / unicorn {wrong}")
    report(failures)


def test_comparison_joined_with_branch_is_the_same_as_apart(interpreter):
    """Each comparison followed by each Jcc: two steps of the oracle are one of the interpreter."""
    rng, failures, n = random.Random(SEED), [], 0
    for row in machines.rows():
        if row.meaning not in ("cmp", "test"):
            continue
        for size in (2, 4, 8):
            for memory in (False, True):
                first = machines.encode(row, rng, size, memory)
                if first is None:
                    continue
                for cc in range(16):
                    state, data = machines.random_state(rng, memory, False), rng.randbytes(machines.DATA_SIZE)
                    if rng.random() < .3:
                        state.gpr[rng.randrange(8)] = state.gpr[rng.randrange(8)] if not memory else 0
                    middle = machines.on_oracle(first, state, data)
                    if middle.end != "ok":
                        continue
                    flags = middle.state
                    holds = oracle_condition(flags.flags, cc)
                    before = interpreter.space.instructions
                    after = interpreter.run(first + bytes([0x70 | cc, 4]), state, data)
                    n += 1
                    flags.rip += 2 + 4 * holds
                    wrong = difference(middle, after)
                    if wrong or interpreter.space.instructions - before != 2:
                        failures.append(f"{first.hex()} j{cc}: apart / joined {wrong}")
    assert n > 500
    report(failures)


def test_cases_of_the_loop_do_what_handlers_do(interpreter):
    """Loops of random instructions, most of which the loop has cases for, in an interpreter that has them and in one that has none and joins
    nothing. They fault anywhere, and are stopped wherever their fuel ends."""
    rng, handlers, ends = random.Random(SEED), machines.Interpreter(build(machines.FEATURES, fuse=False, within=False)), Counter()
    wanted = {"mov", "movzx", "movsxd", "lea", "push", "pop", "add", "sub", "and", "or", "xor", "shl", "shr", "sar", "cmp", "test", "adc", "bt"}
    some = [row for row in machines.rows() if row.map < VEX and row.meaning in wanted]
    assert {row.meaning for row in some} == wanted
    for _ in range(150 * ROUNDS):
        code = b"\xe8\0\0\0\0"                            # call the next
        while len(code) < 70:
            code += machines.encode(rng.choice(some), rng, rng.choice((4, 4, 8, 8, 2)), rng.random() < .2) or b""
            there = struct.pack("<I", machines.CODE + len(code) + 7 if rng.random() < .95 else 0x7000000)
            code += rng.choice((b"", b"", b"\xe8\0\0\0\0", b"\x90\x68" + there + b"\xc3", b"\xb8" + there + b"\xff" + rng.choice((b"\xe0", b"\xd0")),
                                bytes([0x70 | rng.randrange(16), rng.choice((0, 1, 3))]), bytes([0x70 | rng.randrange(16), 0])))
        code += rng.choice((b"\xeb", b"\x74", b"\x75", b"\x77")) + bytes([rng.choice((-len(code) - 2, -20, 0)) & 0xFF])
        state, data = machines.random_state(rng, True, False), rng.randbytes(machines.DATA_SIZE)
        state.gpr[4] = machines.MIDDLE + 8 * rng.randrange(-16, 16)
        before = interpreter.space.instructions
        a = interpreter.run(code, state, data, rng.randrange(1, 120))
        n = interpreter.space.instructions - before
        before = handlers.space.instructions
        b = handlers.run(code, state, data, n if a.end == "ok" else n + 3)
        wrong = difference(a, b)
        assert not wrong and handlers.space.instructions - before == n, f"WEBVM_SEED={SEED} {code.hex()} {n} instructions: cases / handlers {wrong}"
        ends[a.end.split()[0], n // 8] += 1
    assert ends["ok", 0] and ends["fault", 0] and sum(k for (end, tens), k in ends.items() if tens > 1) > 50, ends


def test_wide_division_agrees_with_the_oracle(interpreter):
    rng, failures = random.Random(SEED), []
    for _ in range(400):
        state, data = machines.random_state(rng, False, False), bytes(machines.DATA_SIZE)
        divisor = rng.choice((rng.getrandbits(64) | 1 << 63, rng.getrandbits(rng.randrange(1, 65)) | 1, (1 << 64) - 1, 10 ** 19,
                              (1 << 63 | rng.getrandbits(2) << 32 | 0xFFFFFFFF - rng.getrandbits(2)) >> rng.randrange(40)))
        near = max(divisor - rng.getrandbits(rng.randrange(1, 40)), 0)
        state.gpr[3], state.gpr[2] = divisor, rng.choice((rng.randrange(divisor), near, divisor - 1, divisor, 0))
        for code in ("48f7f3", "48f7fb"):                      # div rbx, idiv rbx
            wrong = difference(machines.on_oracle(bytes.fromhex(code), state, data), interpreter.run(bytes.fromhex(code), state, data))
            if wrong:
                failures.append(f"{code} {state.gpr[2]:#x}:{state.gpr[0]:#x} / {divisor:#x}: oracle / interpreter {wrong}")
    report(failures)


def oracle_condition(packed: int, cc: int) -> bool:
    cf, zf, sf, of, pf = (packed >> n & 1 for n in (CF, ZF, SF, OF, PF))
    return bool((of, cf, zf, cf | zf, sf, pf, sf ^ of, zf | sf ^ of)[cc >> 1] ^ (cc & 1))
