"""Regions against the interpreter and the oracle: every row of the tables, and random programs.

WEBVM_SEED=n replays, WEBVM_ROUNDS=n does more; the seed of a failure is printed.
"""
import os
import random
from dataclasses import fields, replace

import pytest

from tests.jit.regions import (CODE, CODE_SIZE, DATA_SIZE, MIDDLE, RCX, READ, SMALL_ENDINGS, STACK_SIZE, TOP, Generator, Guest, beginning,
                               engine, on_oracle, pieces)
from tests.jit.test_interpreter import cases, difference, report
from tests.x86 import machines
from tests.x86.test_mxcsr import cases as numbers
from tests.x86.test_mxcsr import number
from webvm.engine.native import NativeEngine
from webvm.jit import image as machine_image
from webvm.jit import regions
from webvm.jit.inline import address_of
from webvm.jit.instruction import DEFERRED, EASY
from webvm.jit.options import Options
from webvm.jit.template import HOLE
from webvm.wasm import encoding as w
from webvm.x86 import ieee
from webvm.x86.decode import decode

SEED = int(os.environ.get("WEBVM_SEED", 1))
ROUNDS = int(os.environ.get("WEBVM_ROUNDS", 1))
NO_STACK = bytes(STACK_SIZE)
SWITCHES = [f.name for f in fields(Options)]


@pytest.fixture(scope="module")
def interpreter(): return Guest(engine("interp"))


@pytest.fixture(scope="module")
def pool(): return pieces()


def put(guest: Guest, code: bytes): guest.space.write(CODE, code.ljust(CODE_SIZE, b"\xf4"))


# ---------------------------------------------------------------------------------------------- single instructions

ROOM = 64                                    # each has this much, and a jump to where nothing may be executed


def judged(some, interpreter, guest) -> list[str]:
    """Cases (code, state, data, text), each made a region; those where it differs from the interpreter."""
    code, failures = bytearray(), []
    for k, (body, *_) in enumerate(some):
        out = b"\xe9" + (0x100000 - ROOM * k - len(body) - 5).to_bytes(4, "little")
        code += (body + out).ljust(ROOM, b"\xf4")
    for machine in (interpreter, guest):
        put(machine, bytes(code))
    placed = []
    for k, (_, state, data, text) in enumerate(some):
        state = state.copy()
        state.rip = CODE + ROOM * k
        placed.append((state, data, text))
        guest.load(state, data)
        guest.run(1)                                       # so that it is decoded
    made = guest.translate([state.rip for state, *_ in placed])
    assert made > len(some) // 2
    for state, data, text in placed:
        outcomes = []
        for machine in (interpreter, guest):
            machine.load(state, data, NO_STACK)
            outcomes.append(machine.outcome(machine.run(2000)))
        wrong = difference(*outcomes)
        if wrong or outcomes[0].end != outcomes[1].end:
            failures.append(f"{text}: interpreter / region {wrong} {outcomes[0].end} / {outcomes[1].end}")
    return failures


def test_region_of_every_row_agrees_with_the_interpreter(interpreter):
    """One instruction, then a jump out. The interpreter's own test asks the oracle the same."""
    guest, some, failures, n = Guest(engine()), [], [], 0
    for row, code, state, data in cases(ROUNDS):
        n += 1
        some.append((code, state, data, f"{code.hex()} {decode(code, CODE, features=machines.FEATURES)} {row}"))
        if len(some) == CODE_SIZE // ROOM:
            failures += judged(some, interpreter, guest)
            some = []
    failures += judged(some, interpreter, guest) if some else []
    assert n > 1500
    report(failures)


def test_lanes_and_bytes_that_an_immediate_names(interpreter):
    """pslldq, psrldq, pinsrw, pextrw, pinsrd, pextrb, insertps, each with all its numbers."""
    rng, guest, some = random.Random(SEED), Guest(engine()), []
    for opcode, numbers in (("660f73f9", 18), ("660f73d9", 18), ("660fc4c8", 9), ("660fc5c1", 9), ("660f3a22c8", 5), ("660f3a14c8", 17),
                            ("660f3a21ca", 256)):
        for number in range(numbers):
            state = machines.random_state(rng, True, False)
            code = bytes.fromhex(opcode) + bytes([number])
            some.append((code, state, rng.randbytes(DATA_SIZE), f"{code.hex()} {decode(code, CODE)}"))
    report(judged(some, interpreter, guest))


def numbers_in_a_row(rng, registers: int, room: int = ROOM - 14, single: bool | None = None) -> bytes:
    """Instructions over the numbers in a few registers: moves, conversions, arithmetic, comparisons, all doubles or all singles."""
    code, single = bytearray(), rng.random() < .3 if single is None else single
    while len(code) < room:
        scalar, kind = rng.random() < .6, rng.random()
        prefix = {(0, 0): b"\x66", (0, 1): b"", (1, 0): b"\xf2", (1, 1): b"\xf3"}[scalar, single]
        modrm = bytes([0xC0 | rng.randrange(registers) << 3 | rng.randrange(registers)])
        if kind < .65:
            code += prefix + bytes([0x0F, rng.choice((0x58, 0x5C, 0x59, 0x59, 0x5E, 0x51, 0x5D, 0x5F))]) + modrm
        elif kind < .8:
            code += prefix + bytes([0x0F, 0x10]) + modrm
        elif kind < .9:
            code += (b"" if single else b"\x66") + bytes([0x0F, rng.choice((0x2E, 0x2F))]) + modrm
        elif kind < .95:
            code += (b"\xf3" if single else b"\xf2") + b"\x0f\x2a" + modrm
        else:
            code += prefix + b"\x0f\xc2" + modrm + bytes([rng.randrange(8)])
    return bytes(code)


@pytest.mark.parametrize("deferred", [True, False])
def test_numbers_of_every_kind_in_a_row(interpreter, deferred):
    """What regions know of numbers before an operation, which tests it spares: a few numbers are denormal, infinite, NaNs, too large or too
    small for the product. Exceptions, but for that of a denormal operand, are the interpreter's."""
    options = replace(Options(), loose_floats=False, deferred=deferred)
    rng, guest, failures = random.Random(SEED), Guest(engine(options=options)), []
    controls = (ieee.RESET, ieee.RESET, ieee.RESET | ieee.FTZ | ieee.DAZ)[:2 if deferred else 3]
    raised = (ieee.PE, ieee.PE, ieee.PE | ieee.IE | ieee.OE, *[0] * deferred)
    for _ in range(3 * ROUNDS):
        some = []
        for _ in range(CODE_SIZE // ROOM):
            state, code, strange = machines.random_state(rng, True, False), numbers_in_a_row(rng, 5), rng.random() < .6
            f = ieee.SINGLE if code[0] in (0x0F, 0xF3) else ieee.DOUBLE
            for n in range(5):
                lanes = [number(rng, f) if strange and rng.random() < .2 else
                         rng.getrandbits(f.precision - 1) | f.bias + rng.randrange(-40, 40) << f.precision - 1 for _ in range(128 // f.bits)]
                state.xmm[n] = sum(lane << f.bits * k for k, lane in enumerate(lanes))
            state.mxcsr = rng.choice(controls) | rng.choice(raised)
            some.append((code, state, bytes(DATA_SIZE), f"{code.hex()} under {state.mxcsr:#x}"))
        failures += judged(some, interpreter, guest)
    assert {code.floats for code in guest.translator._code.values()} == {DEFERRED if deferred else EASY}
    report(failures)


def test_operations_on_numbers_whose_exceptions_are_deferred(interpreter):
    """Each instruction that may raise some, with numbers of every kind, after some have been raised and not: the same in MXCSR, but for DE."""
    rng, some, failures, n = random.Random(SEED), [], [], 0
    guest = Guest(engine(options=replace(Options(), loose_floats=False)))
    for row, code, state, data in numbers(rng, 6 * ROUNDS):
        state.mxcsr = ieee.RESET | rng.choice((0, ieee.PE, ieee.PE, ieee.PE, ieee.PE | ieee.IE, ieee.PE | ieee.IE | ieee.OE, ieee.PE | ieee.UE))
        some.append((code, state, data, f"{code.hex()} {decode(code, CODE, features=machines.FEATURES)} under {state.mxcsr:#x}"))
        n += 1
        if len(some) == CODE_SIZE // ROOM:
            failures += judged(some, interpreter, guest)
            some = []
    assert n > 800
    failures += judged(some, interpreter, guest) if some else []
    assert {code.floats for code in guest.translator._code.values()} == {DEFERRED}
    report(failures)


def test_a_denormal_factor_is_an_exception_that_is_deferred(interpreter):
    """Also where the product is normal, so that there is no other; not where an operand is zero, or small but normal."""
    rng, some, wanted = random.Random(SEED), [], []
    guest = Guest(engine(options=replace(Options(), loose_floats=False)))
    for k in range(CODE_SIZE // ROOM):
        state, f, packed = machines.random_state(rng, False, False), rng.choice((ieee.SINGLE, ieee.DOUBLE)), rng.random() < .5
        least = 1 << f.precision - 1
        for n in (1, 2):
            near = rng.choice((0, rng.randrange(1, least), rng.randrange(least, 5 * least), f.bias + rng.randrange(9) << f.precision - 1))
            state.xmm[n] = near << rng.choice((0, f.bits)) * packed
        state.mxcsr = ieee.RESET | ieee.PE | rng.choice((0, ieee.UE))
        prefix = {(0, 64): b"\xf2", (0, 32): b"\xf3", (1, 64): b"\x66", (1, 32): b""}[packed, f.bits]
        some.append((prefix + bytes.fromhex("0f59ca"), state, bytes(DATA_SIZE), ""))
    report(judged(some, interpreter, guest))
    for k, (_, state, data, _) in enumerate(some):
        found = []
        for machine in (interpreter, guest):
            machine.load(replace(state, rip=CODE + ROOM * k), data, NO_STACK)
            found.append(machine.outcome(machine.run(2000)).state.mxcsr)
        wanted.append(found[0] & ieee.DE)
        assert found[0] == found[1], (k, state.xmm[1:3])
    assert {code.floats for code in guest.translator._code.values()} == {DEFERRED}
    assert 0.2 < sum(map(bool, wanted)) / len(wanted) < 0.8


@pytest.mark.parametrize("templates", [True, False])
def test_deferred_exceptions_are_there_at_a_fault(interpreter, templates):
    """Between operations that raise some: a load that faults, or not, and one that a check further up covers."""
    rng, some, ends = random.Random(SEED), [], []
    guest = Guest(engine(options=replace(Options(), loose_floats=False, dead_flags=False, templates=templates)))
    for k in range(CODE_SIZE // ROOM):
        state, single = machines.random_state(rng, True, False), k % 3 == 0
        f = ieee.SINGLE if single else ieee.DOUBLE
        load = rng.choice((b"\x48\x8b\x03", b"\xf2\x0f\x58\x43\x08", b"\xf3\x0f\x58\x03",
                           b"\x0f\xae\x5b\x04\x83\x63\x04\xfd"))        # STMXCSR; without DE
        code = numbers_in_a_row(rng, 3, 16, single) + load + numbers_in_a_row(rng, 3, 8, single) + b"\x48\x8b\x0b"
        state.xmm = [sum(number(rng, f) << i for i in range(0, 128, f.bits)) for _ in range(16)]
        state.gpr[3] = rng.choice((machines.MIDDLE, 0x123000))
        ends.append(state.gpr[3] != machines.MIDDLE)
        state.mxcsr = ieee.RESET | rng.choice((0, ieee.PE))
        some.append((code, state, bytes(DATA_SIZE), f"{code.hex()} under {state.mxcsr:#x}"))
    failures = judged(some, interpreter, guest)
    assert {code.floats for code in guest.translator._code.values()} == {DEFERRED} and 10 < sum(ends) < len(ends) - 10
    report(failures)


# ---------------------------------------------------------------------------------------------- programs


def compared(seed, pool, interpreter, guest, exact: bool = False, hidden: int | None = None, flags: bool = False, small: bool = False) -> str:
    """A random program as oracle (if exact), interpreter and regions; what differs. hidden: the permission of pages before they
    are asked for; the registers at each fault are compared then, and `flags` too. small: of more functions, smaller ones."""
    rng = random.Random(seed)
    generator = Generator(rng, [p for p in pool if p.exact] if exact else pool)
    code, labels = generator.program(rng.randrange(4, 9), 5, 1, SMALL_ENDINGS) if small else generator.program(rng.randrange(1, 4), 12)
    state, data, stack = beginning(rng, labels, rng.choice((5, 40, 150)))
    for machine in (interpreter, guest):
        machine.show()
        put(machine, code)
        machine.load(state, data, stack)
    guest.run(5000 if small else rng.choice((5, 50, 5000)))                   # some of it is decoded, some ways are linked
    guest.translate([rip for rip in rng.sample(list(labels.values()), len(labels)) if rng.random() < .6], rng)
    outcomes = []
    for machine, fuel in (interpreter, 1 << 16), (guest, rng.choice((50, 200, 1 << 16))):
        machine.load(state, data, stack)
        if hidden is not None:
            machine.hide(hidden)
            machine.seen = []
        for _ in range(5000):
            end = machine.run(fuel)
            if end != "fuel":
                break
        outcomes.append(machine.outcome(end))
    wanted, found = outcomes
    if hidden is not None:
        for a, b in zip(interpreter.seen, guest.seen):
            wrong = difference(machines.Outcome(a, b"", "fault"), machines.Outcome(b, b"", "fault", unseen=ieee.EXCEPTIONS), 0x8D5 if flags else 0)
            if wrong:
                return f"at a fault: {wrong}"
        if interpreter.faults != guest.faults:
            return f"faults: {interpreter.faults} / {guest.faults}"
    if exact:
        wrong = difference(on_oracle(code, state, data, stack), wanted)
        if wrong:
            return f"oracle / interpreter {wrong}"
    return difference(wanted, found, 0x8D5 if flags or wanted.end == "syscall" else 0) or (
        "" if wanted.end == found.end else f"end: {wanted.end} / {found.end}")


def test_random_programs_agree_on_oracle_interpreter_and_regions(interpreter, pool):
    guest, failures = Guest(engine()), []
    for seed in range(1000 * SEED, 1000 * SEED + 200 * ROUNDS):
        wrong = compared(seed, pool, interpreter, guest, seed % 2 == 0)
        if wrong:
            failures.append(f"program {seed}: {wrong}")
    assert guest.in_regions > 10000
    report(failures)


@pytest.mark.parametrize("switch", SWITCHES)
def test_random_programs_agree_without_each_optimisation(interpreter, pool, switch):
    guest, failures = Guest(engine(options=Options(**{switch: False}))), []
    for seed in range(1000 * SEED, 1000 * SEED + 60 * ROUNDS):
        wrong = compared(seed, pool, interpreter, guest)
        if wrong:
            failures.append(f"program {seed} without {switch}: {wrong}")
    assert guest.in_regions > 3000
    report(failures)


def test_random_programs_agree_when_translated_as_they_run(interpreter, pool, monkeypatch):
    """Twice in small slices: regions take the interpreter's place while it is in the middle of loops and calls, and others theirs."""
    monkeypatch.setattr(regions, "SLICE", 1)
    monkeypatch.setattr(regions, "SHARE", 0)
    image = machine_image.Image(machines.FEATURES)
    image.warm, image.rehot = 2, 3
    image.translator.strict = True
    guest, failures = Guest(NativeEngine(image)), []
    for seed in range(1000 * SEED, 1000 * SEED + 80 * ROUNDS):
        rng = random.Random(seed)
        code, labels = Generator(rng, pool).program(rng.randrange(1, 4), 12)
        state, data, stack = beginning(rng, labels, 150)
        fuel, outcomes = rng.choice((20, 200)), []
        for machine in (interpreter, guest, guest):
            machine.show()
            if len(outcomes) < 2:
                put(machine, code)
            machine.load(state, data, stack)
            for _ in range(5000):
                end = machine.run(fuel if machine is guest else 1 << 16)
                if end != "fuel":
                    break
                guest.wait()
            outcomes.append(machine.outcome(end))
        wanted, *found = outcomes
        for other in found:
            wrong = difference(wanted, other, 0x8D5 if end == "syscall" else 0)
            if wrong:
                failures.append(f"program {seed}: {wrong}")
    assert guest.in_regions > 10000
    report(failures)


@pytest.mark.parametrize("hidden", [0, READ], ids=["absent", "read only"])
@pytest.mark.parametrize("dead_flags", [True, False])
def test_registers_at_faults_in_random_programs_are_exact(pool, hidden, dead_flags):
    """Data and stack come as they are asked for and go again: each fault is where the interpreter's is, with the same registers.
    With dead_flags flags that nobody reads are not computed, so a handler may see old ones."""
    interpreter, guest = Guest(engine("interp")), Guest(engine(options=Options(dead_flags=dead_flags)))
    failures, faults = [], 0
    for seed in range(1000 * SEED, 1000 * SEED + 60 * ROUNDS):
        wrong = compared(seed, pool, interpreter, guest, hidden=hidden, flags=not dead_flags)
        faults += len(guest.faults)
        if wrong:
            failures.append(f"program {seed}: {wrong}")
    assert faults > 100 and guest.in_regions > 3000
    report(failures)


@pytest.mark.parametrize("inline, pointers, hidden", [(True, True, None), (True, True, 0), (True, True, READ), (True, False, None),
                                                      (False, True, None)])
def test_programs_of_small_functions_agree(interpreter, pool, inline, pointers, hidden):
    """Functions that return elsewhere, leave the stack for another one or are never returned to, in copies too; some are called
    through pointers, which change."""
    guest, failures, starts, choices = Guest(engine(options=Options(inline=inline, pointers=pointers))), [], [], []
    def trace(region, *_):
        starts.extend(region.graph.blocks)
        choices.extend(block for block in region.graph.blocks.values() if block.end == "choice")
    guest.translator.trace = trace
    for seed in range(1000 * SEED, 1000 * SEED + 100 * ROUNDS):
        wrong = compared(seed, pool, interpreter, guest, hidden=hidden, small=True)
        if wrong:
            failures.append(f"program {seed}: {wrong}")
    copied = sum(start != address_of(start) for start in starts)
    assert guest.in_regions > 3000 and (copied > (30 if pointers else 20) if inline else copied == 0), (guest.in_regions, copied)
    assert len(choices) > 8 if inline and pointers else not choices, len(choices)
    report(failures)


def test_templates_change_no_byte(pool):
    """What was emitted for an instruction once is what would be emitted again, in other regions and among other instructions."""
    guest, compared = Guest(engine()), 0
    for seed in range(1000 * SEED, 1000 * SEED + 90 * ROUNDS):
        rng = random.Random(seed)
        code, labels = Generator(rng, pool).program(rng.randrange(1, 4), 12)
        put(guest, code)
        guest.load(*beginning(rng, labels, 50))
        guest.run(5000)
        made = guest.translator
        options = Options(runs=rng.random() < .8, cover=rng.random() < .8)
        for entries in [rng.sample(list(labels.values()), rng.randrange(1, len(labels))) for _ in range(3)]:
            modules = []
            for templates in (True, False):
                made.options = replace(options, templates=templates)
                modules.append(made.module(made._graphs(guest.space, entries)[0], guest.space.read)[0])
            assert modules[0] == modules[1], f"program {seed}"
            compared += len(modules[0])
    assert compared > 100_000
    assert sum(t.count for t in made._templates.values()) > 1000


# ---------------------------------------------------------------------------------------------- what went wrong once


def same(text: str, interpreter, guest, prepare=None) -> machines.Outcome:
    """Code, which ends with a system call, from a simple state, on both; it is a region as a whole."""
    outcomes = []
    for machine in (interpreter, guest):
        state, data = machines.State(rip=CODE), bytes(DATA_SIZE)
        state.gpr[3], state.gpr[4] = MIDDLE, TOP
        if prepare:
            data = prepare(state) or data
        put(machine, bytes.fromhex(text))
        machine.load(state, data, NO_STACK)
        machine.run()
        if machine is guest:
            assert guest.translate([CODE]) == 1
        machine.load(state, data, NO_STACK)
        outcomes.append(machine.outcome(machine.run()))
    assert difference(*outcomes) == ""
    assert outcomes[1].end == "syscall"
    return outcomes[1]


def test_long_chain_of_branches_is_one_region(interpreter):
    """290 times, each inside the one before: sub eax, 1 ; jc to the end"""
    chain = "".join("83e801 0f82" + (9 * (289 - k)).to_bytes(4, "little").hex() for k in range(290))
    for times in 300, 100:
        def prepare(state):
            state.gpr[0] = times
        assert same(chain + "0f05", interpreter, Guest(engine()), prepare).state.gpr[0] in (10, 0xFFFFFFFF)


def test_repeated_comparison_ends_although_its_flags_are_dead(interpreter):
    """mov ecx, 20 ; mov rdi, rbx ; repne scasb ; sub edx, edx ; syscall"""
    def prepare(state):
        state.gpr[0] = 0x55
        return bytes(0x1000) + b"123\x55567".ljust(0x1000, b"\0")
    found = same("b914000000 4889df f2ae 29d2 0f05", interpreter, Guest(engine()), prepare)
    assert found.state.gpr[7] == MIDDLE + 4


def test_what_cannot_be_translated_is_left_to_the_interpreter_and_the_rest_is_not(monkeypatch, caplog):
    """Two loops, one after the other; a bug of ours concerns the first."""
    monkeypatch.setattr(regions, "SLICE", 1)
    monkeypatch.setattr(regions, "SHARE", 0)
    image = machine_image.Image(machines.FEATURES)
    image.warm, image.rehot, image.translator.beside = 2, 3, False
    guest, module = Guest(NativeEngine(image)), image.translator.module
    first, second = CODE + 5, CODE + 14

    def broken(graphs, *more):
        assert all(first not in graph.entries for graph in graphs), "a bug"
        return module(graphs, *more)
    monkeypatch.setattr(image.translator, "module", broken)
    # mov ecx, 50 ; first: dec ecx ; jnz first ; mov ecx, 50 ; second: dec ecx ; jnz second ; syscall
    guest.space.write(CODE, bytes.fromhex("b932000000 ffc9 75fc b932000000 ffc9 75fc 0f05"))
    for _ in range(3):
        guest.space.rip = CODE
        while (end := guest.run(40)) == "fuel":
            guest.wait()
        assert end == "syscall" and guest.space.get(RCX) == CODE + 20
    assert not image.translator.broken and guest.is_region(second) and not guest.is_region(first) and guest.in_regions > 30
    assert [record.getMessage() for record in caplog.records] == [f"the code at {first:x} could not be translated"]


def test_code_may_have_the_numbers_that_marks_are_made_of(interpreter):
    """Constants of all pieces of a mark, each beside each, twice, so that templates are used. With 64 bits: mov rax; mov r8; movq xmm0, rax ;
    movq xmm1, r8 ; punpcklqdq xmm0, xmm1. With 32: or rax ; add rcx ; mov [rbx - 16], rax ; mov dword [rbx + 240] ; movups [rbx + 256], xmm0"""
    marks = sorted({mark[k:k + 8] for mark in (w.HINT, HOLE) for k in range(10)})
    for first in marks:
        text = ""
        for second in marks:
            text += f"48b8 {first.hex()} 49b8 {second.hex()} 66480f6ec0 66490f6ec8 660f6cc1"
            text += f"480d {first[4:].hex()} 4881c1 {second[:4].hex()} 488943f0 c783f0000000 {first[4:].hex()} 0f118300010000"
        outcome = same(text + text + "0f05", interpreter, Guest(engine()))
        assert outcome.state.xmm[0] == int.from_bytes(first + marks[-1], "little")


def test_register_that_nothing_is_done_with_needs_no_local(interpreter):
    """nop ax ; nop di ; nop r9d ; prefetchw [rsi] ; syscall"""
    same("660f1fc0 660f1fc7 410f1fc1 0f0d0e 0f05", interpreter, Guest(engine()))
