"""Verification of regions while programs run: right ones pass and change nothing, wrong ones are found and told."""
import os
import random
import re
import struct
from functools import lru_cache

import pytest

from tests.jit.regions import (CODE, CODE_SIZE, DATA, MIDDLE, RAX, RBX, RCX, RDI, RDX, RSP, RW, TOP, Generator, Guest, beginning,
                               engine, pieces)
from tests.jit.test_interpreter import difference
from tests.x86 import machines
from webvm.engine.native import NativeEngine
from webvm.jit import check, regions
from webvm.jit import image as machine_image
from webvm.jit import layout as at
from webvm.jit.options import Options
from webvm.jit.region import Region
from webvm.wasm import encoding as w

SEED = int(os.environ.get("WEBVM_SEED", 1))


@lru_cache
def plain(): return engine("interp")


def checking(options: Options = Options()) -> NativeEngine:
    """An engine whose code is soon hot, and whose regions are verified."""
    image = machine_image.Image(machines.FEATURES, options=options, check=True)
    image.warm, image.rehot = 2, 2
    return NativeEngine(image)


@pytest.fixture(autouse=True)
def eager(monkeypatch):
    monkeypatch.setattr(regions, "SLICE", 1)
    monkeypatch.setattr(regions, "SHARE", 0)


def run(guest, fuel=200) -> str:
    for _ in range(5000):
        end = guest.run(fuel)
        if end != "fuel":
            return end
        guest.wait()
    raise AssertionError("endless")


def both(code: str, guest=None, prepare=lambda machine: None, **registers):
    """Runs the code plainly and checked; the outcomes are the same. The checked guest."""
    guest = guest or Guest(checking())
    outcomes = []
    for machine in (Guest(plain()), guest):
        state = machines.State(rip=CODE)
        state.gpr[RBX], state.gpr[RSP] = MIDDLE, TOP
        for name, value in registers.items():
            state.gpr[{"RAX": RAX, "RCX": RCX, "RDX": RDX, "RDI": RDI}[name]] = value
        machine.space.write(CODE, bytes.fromhex(code))
        machine.load(state)
        prepare(machine)
        outcomes.append(machine.outcome(run(machine)))
        outcomes[-1].data += machine.space.read(0x900000, 0x10000)
    assert difference(*outcomes) == ""
    assert guest.translator.verified
    return guest


# loop: mov [rdi], rcx ; add rdi, 8 ; dec ecx ; jnz loop ; syscall
FILL = "48890f 4883c708 ffc9 75f5 0f05"


def test_checked_loop_does_what_the_loop_does_with_faults_and_all():
    def prepare(machine):
        machine.grant |= dict.fromkeys(range(0x900, 0x910), RW)
    guest = both(FILL, prepare=prepare, RCX=8000, RDI=0x900004)
    assert len(guest.faults) == 16


def test_system_calls_and_instructions_left_to_the_oracle_happen_once():
    """loop: mov eax, 39 ; syscall ; add rdx, rax ; fsqrt ; fnsave [rbx] ; dec esi ; jnz loop ; xor eax, eax ; syscall"""
    calls = {}

    def prepare(machine):
        machine.space.set(6, 300)
        calls[machine] = 0

        def answer():
            if machine.space.get(RAX) != 39:
                return False
            calls[machine] += 1
            machine.space.set(RAX, calls[machine])
            return True
        machine.calls = answer
    guest = both("b827000000 0f05 4801c2 d9fa dd33 ffce 75ee 31c0 0f05", prepare=prepare)
    assert list(calls.values()) == [300, 300] and guest.space.get(RDX) == sum(range(301))
    assert guest.engine.image.escapes == {"fsqrt": 300, "fnsave": 300}


def test_code_that_rewrites_itself_is_checked():
    """loop: mov al, 0 ; add rdx, rax ; test cl, 63 ; jnz over ; inc byte [the 0] ; over: dec ecx ; jnz loop ; syscall"""
    def prepare(machine):
        machine.space.protect(CODE >> 12, 1, 7 | 32)
    guest = both("b000 4801c2 f6c13f 7506 fe05f1ffffff ffc9 75ec 0f05", prepare=prepare, RCX=4096)
    assert guest.space.get(RAX) == 64 and guest.translator.verified > 3


def test_counters_have_each_instruction_once():
    def instructions(guest):
        prepare = guest.space.instructions
        both(FILL, guest, RDI=DATA, RCX=900)
        return guest.space.instructions - prepare
    assert instructions(Guest(checking())) == pytest.approx(4 * 900, rel=0.02)


def test_random_programs_are_verified():
    guest, wanted, pool = Guest(checking()), Guest(plain()), pieces()
    for seed in range(1000 * SEED, 1000 * SEED + 60):
        rng = random.Random(seed)
        code, labels = Generator(rng, pool).program(rng.randrange(1, 4), 12)
        state, data, stack = beginning(rng, labels, 150)
        outcomes = []
        for machine in (wanted, guest):
            machine.space.write(CODE, code.ljust(CODE_SIZE, b"\xf4"))
            machine.load(state, data, stack)
            outcomes.append(machine.outcome(run(machine)))
        assert difference(*outcomes, 0x8D5 if outcomes[0].end == "syscall" else 0) == "", f"program {seed}"
    assert guest.translator.verified > 50


def test_region_is_trusted_once_it_was_verified_often_enough():
    guest = Guest(checking())
    guest.translator.entries = 5
    both(FILL, guest, RDI=0x900000, RCX=8000, prepare=lambda machine: machine.space.protect(0x900, 16, RW))
    assert 5 <= guest.translator.verified <= 15
    assert guest.in_regions > 20000


# ---------------------------------------------------------------------------------------------- wrong regions


def wrong(monkeypatch, name, change, code=FILL, **registers) -> str:
    """The report of a translator of which a method is changed."""
    original = getattr(Region, name)
    monkeypatch.setattr(Region, name, lambda self, *args: change(original, self, *args))
    with pytest.raises(check.Difference) as found:
        both(code, **{"RCX": 900, "RDI": DATA} | registers)
    return str(found.value)


def test_register_that_is_not_stored_is_found(monkeypatch):
    text = wrong(monkeypatch, "_stores", lambda stores, region, mask: stores(region, mask & ~(1 << RDI)))
    assert "the region at 0x400000 came out at" in text and re.search(r"^  rdi: 0x500\w+ / 0x50\w+$", text, re.M)
    assert re.search(r"^ +400003  add rdi, 0x8$", text, re.M)


def test_memory_that_is_wrong_is_found(monkeypatch):
    def change(write, region, k, value):
        return write(region, k, value + 1 if region.kinds[k] == "m" else value)
    assert "memory at 0x50" in wrong(monkeypatch, "write", change)


def test_flags_that_are_wrong_are_found(monkeypatch):
    """loop: mov [rdi], rcx ; sub rdi, -8 ; jmp rax (to what follows) ; dec ecx ; jnz loop ; syscall"""
    def change(store, region):
        return store(region) + w.i32(0) + w.i64(0x1234 << 48) + w.access("i64.store", at.FLAG_A)
    text = wrong(monkeypatch, "_store_known_flags", change, "48890f 4883eff8 ffe0 ffc9 75f3 0f05", RAX=CODE + 9)
    assert "flags: 0x" in text


def test_region_that_takes_the_wrong_way_is_found(monkeypatch):
    """loop: mov [rdi], rcx ; add rdi, 8 ; cmp rcx, 500 ; jl over ; inc edx ; over: dec ecx ; jnz loop ; syscall"""
    def change(condition, region, cc):
        return condition(region, cc ^ 1 if cc == 12 else cc)
    text = wrong(monkeypatch, "condition", change, "48890f 4883c708 4881f9f4010000 7c02 ffc2 ffc9 75ea 0f05")
    assert "rdx" in text or "did not come there" in text


def test_machine_is_as_it_was_after_a_difference(monkeypatch):
    """Permissions and hooks are those of before, so that whoever gets the report may look."""
    original = Region._stores
    monkeypatch.setattr(Region, "_stores", lambda self, mask: original(self, mask & ~(1 << RDI)))
    guest = Guest(checking())
    hooks = guest.space.on_fault, guest.space.on_syscall
    with pytest.raises(check.Difference):
        both(FILL, guest, RCX=900, RDI=DATA)
    assert (guest.space.on_fault, guest.space.on_syscall) == hooks
    assert guest.space.peek(at.PERMISSIONS + (DATA >> 12), 1)[0] & at.WRITE
    assert struct.unpack("<I", guest.space.peek(at.CHECK, 4)) == (0,)
