"""Faults are exact: an instruction that could not access memory has changed nothing, and can be restarted.

Also code that changes under the interpreter's feet, and addresses at and beyond the edges of memory.
"""
import os
import random
import struct

import pytest

from tests.jit.test_interpreter import difference, report
from tests.x86 import machines
from webvm.engine.native import NativeEngine
from webvm.jit import image, layout
from webvm.jit.handler import STOPS
from webvm.x86.meaning import MEANINGS

SEED = int(os.environ.get("WEBVM_SEED", 1))
CODE, DATA = machines.CODE, machines.DATA
RX, RW, RWX = 5 | 32, 3 | 32, 7 | 32
RAX, RCX, RDX, RBX, RSP, RSI, RDI = 0, 1, 2, 3, 4, 6, 7


class Guest:
    """A space with code and data, whose faults are recorded; `grant` maps a page's number to what a fault there gives."""

    def __init__(self, engine: NativeEngine | None = None):
        self.space = (engine or NativeEngine(image.Image())).space()
        self.space.on_fault, self.space.on_syscall = self.fault, lambda registers: False
        self.faults, self.grant = [], {}
        self.space.protect(CODE >> 12, 4, RX)
        self.space.protect(DATA >> 12, 2, RW)

    def fault(self, address, access):
        self.faults.append((address, access))
        permission = self.grant.get(address >> 12)
        if permission is None:
            return False
        self.space.protect(address >> 12, 1, permission)
        return True

    def run(self, code=b"", at=CODE, fuel=1000):
        if code:
            self.space.write(at, code)
        self.space.rip = at
        return self.space.run(fuel)


@pytest.fixture
def guest(): return Guest()


def test_memory_form_of_every_row_restarts_after_a_fault():
    """The data pages are absent, then there: the same instruction gives what it gives without a fault."""
    rng, failures, n = random.Random(SEED), [], 0
    interpreter = machines.Interpreter()
    space = interpreter.space
    for row in machines.rows():
        if row.meaning not in MEANINGS:
            continue
        strings = row.rep or row.repz
        for size in (2, 4, 8):
            code = machines.encode(row, rng, size, not strings)
            if code is None:
                continue
            state, data = machines.random_state(rng, True, strings), rng.randbytes(machines.DATA_SIZE)
            wanted = interpreter.run(code, state, data)
            space.protect(DATA >> 12, 2, 0)
            failed = interpreter.run(code, state, data)
            space.protect(DATA >> 12, 2, RW)
            if not failed.end.startswith("fault"):
                continue                                   # touches no memory
            n += 1
            wrong = difference(machines.Outcome(state, data, failed.end), failed)
            if not strings and wrong:                      # a repeated string counts as it goes
                failures.append(f"{code.hex()} {row}: before / after the fault {wrong}")
                continue
            again = interpreter.run(code, failed.state, data)
            wrong = difference(wanted, again)
            if wrong:
                failures.append(f"{code.hex()} {row}: without / after a fault {wrong}")
    assert n > 300
    report(failures)


def test_access_over_the_end_of_a_page_faults_on_the_byte_that_is_refused(guest):
    guest.space.set(RBX, DATA + 0x1FFD)
    assert guest.run(bytes.fromhex("488b03")) == layout.LEFT                    # mov rax, [rbx]
    assert guest.faults == [(DATA + 0x2000, layout.READ)]
    assert guest.space.rip == CODE


def test_access_over_a_page_boundary_works_when_both_pages_are_there(guest):
    guest.grant[(DATA + 0x2000) >> 12] = RW
    guest.space.set(RBX, DATA + 0x1FFD)
    guest.space.set(RAX, 0x1122334455667788)
    assert guest.run(bytes.fromhex("488903 488b0b 0f05".replace(" ", ""))) == layout.LEFT
    assert guest.space.read(DATA + 0x1FFD, 8) == bytes.fromhex("8877665544332211")
    assert guest.faults == [(DATA + 0x2000, layout.WRITE)]


@pytest.mark.parametrize("address", [1 << 32, (1 << 32) + DATA, 1 << 44, 1 << 63, (1 << 64) - 4, (1 << 64) - 8 + 3])
def test_address_beyond_four_gigabytes_faults_and_never_aliases(guest, address):
    guest.space.set(RBX, address)
    for code in ("488b03", "488903", "0f1003", "ff33"):
        guest.faults.clear()
        assert guest.run(bytes.fromhex(code)) == layout.LEFT
        assert guest.faults[0][0] == address and guest.space.rip == CODE


def test_jump_beyond_four_gigabytes_faults_at_the_target(guest):
    guest.space.set(RAX, 0x1_0000_0000 + CODE)
    assert guest.run(bytes.fromhex("ffe0")) == layout.LEFT
    assert guest.faults == [(0x1_0000_0000 + CODE, layout.EXECUTE)]
    assert guest.space.rip == 0x1_0000_0000 + CODE


def test_write_needs_a_writable_page_and_code_an_executable_one(guest):
    guest.space.set(RBX, CODE + 0x1000)
    assert guest.run(bytes.fromhex("8803")) == layout.LEFT
    assert guest.faults == [(CODE + 0x1000, layout.WRITE)]
    guest.faults.clear()
    assert guest.run(at=DATA) == layout.LEFT
    assert guest.faults == [(DATA, layout.EXECUTE)] and guest.space.rip == DATA


def test_instruction_over_a_page_boundary_asks_for_the_second_page(guest):
    guest.space.protect((CODE >> 12) + 4, 1, 0)
    end = CODE + 0x4000
    guest.space.write(end - 2, bytes.fromhex("48b8 1122334455667788 0f05".replace(" ", "")))     # movabs rax, ...
    assert guest.run(at=end - 2) == layout.LEFT
    assert guest.faults == [(end, layout.EXECUTE)] or guest.faults == [(end + 7, layout.EXECUTE)]
    guest.grant[end >> 12] = RX
    assert guest.run(at=end - 2) == layout.LEFT
    assert guest.space.get(RAX) == 0x8877665544332211


def test_code_that_rewrites_the_next_instruction_executes_what_it_wrote(guest):
    guest.space.protect(CODE >> 12, 1, RWX)
    # mov byte [rip + 1], 7 ; mov al, 1 (the 1 is what is overwritten) ; syscall
    code = bytes.fromhex("c60501000000 07 b001 0f05".replace(" ", ""))
    assert guest.run(code) == layout.LEFT
    assert guest.space.get(RAX) & 0xFF == 7


def test_rewritten_loop_body_executes_its_new_bytes_each_time(guest):
    guest.space.protect(CODE >> 12, 1, RWX)
    # loop: mov al, 0 ; add rdx, rax ; inc byte [rip - 10] (the 0) ; dec ecx ; jnz loop ; syscall
    code = bytes.fromhex("b000 4801c2 fe05f6ffffff ffc9 75f1 0f05".replace(" ", ""))
    guest.space.set(RCX, 10)
    guest.space.set(RAX, 0)
    guest.space.set(RDX, 0)
    assert guest.run(code) == layout.LEFT
    assert guest.space.get(RDX) == sum(range(10))


def test_unmapped_code_faults_although_it_was_decoded(guest):
    assert guest.run(bytes.fromhex("90900f05")) == layout.LEFT and not guest.faults
    guest.space.protect(CODE >> 12, 1, 0)
    assert guest.run() == layout.LEFT
    assert guest.faults == [(CODE, layout.EXECUTE)]


def test_arena_that_fills_up_is_emptied_and_execution_goes_on(guest):
    """Blocks of NOPs, more than the arena holds: each NOP block is 64 records, decoded anew when it was dropped."""
    size = 20 << 20
    guest.space.protect(0x1000000 >> 12, size >> 12, RX)
    guest.space.write(0x1000000, b"\x90" * (size - 2) + b"\x0f\x05")
    before = guest.space.instructions
    assert guest.run(at=0x1000000, fuel=1 << 30) == layout.LEFT
    assert guest.space.instructions - before > size - 3
    flushes, = struct.unpack("<I", guest.space.peek(layout.FLUSHES, 4))
    assert flushes > 1


def test_fuel_ends_an_endless_loop(guest):
    assert guest.run(bytes.fromhex("ebfe"), fuel=12345) == layout.FUEL
    assert guest.space.rip == CODE


def test_random_bytes_never_leave_the_guest(guest):
    """Whatever the bytes, `run` comes back with a stop code, and the machine's own tables are as before."""
    rng = random.Random(SEED)
    guest.space.on_syscall = lambda registers: True
    for _ in range(1500):
        for n in range(16):
            guest.space.set(n, rng.choice((rng.getrandbits(64), DATA + rng.randrange(0x2000), rng.getrandbits(32))))
        stop = guest.run(rng.randbytes(32).ljust(64, b"\xf4"), fuel=200)
        assert stop in {layout.FUEL, layout.LEFT, layout.STEP, *STOPS.values()}, f"WEBVM_SEED={SEED}"
        assert guest.space.peek(layout.ZERO, 8) == bytes(8)
