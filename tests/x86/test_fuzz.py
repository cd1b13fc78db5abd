"""Random byte strings, see fuzz.py. WEBVM_FUZZ=n tries n of them, WEBVM_SEED=n others."""
import os
import struct

from tests.jit.regions import CODE, DATA, TOP, Guest, engine
from tests.jit.test_region import NO_STACK, put
from tests.x86 import fuzz, machines

SEED = int(os.environ.get("WEBVM_SEED", 1))
STRINGS = int(os.environ.get("WEBVM_FUZZ", 20 * fuzz.BATCH))


def test_random_bytes_do_no_harm():
    tally = fuzz.fuzz(STRINGS, SEED)
    assert tally.failures == [], f"WEBVM_SEED={SEED}"
    assert tally.strings == STRINGS and STRINGS / 10 < tally.undefined < STRINGS / 2
    assert STRINGS < 10000 or tally.regions > 100


def test_what_follows_pop_rsp_is_checked_by_the_rsp_that_was_popped():
    """Once it was taken for RSP + 8: pop rsp ; pop rdx ; push rdx ; syscall."""
    guest = Guest(engine())
    put(guest, bytes.fromhex("5c 5a 52 0f05"))
    state = machines.State(rip=CODE)
    state.gpr[4] = TOP
    for popped, end in ((DATA + 8, "syscall"), (0x27000000, f"fault {0x27000000:#x} 1")):
        stack = bytearray(NO_STACK)
        struct.pack_into("<Q", stack, 0x2000, popped)
        guest.load(state, bytes(machines.DATA_SIZE), bytes(stack))
        guest.run(1)
        guest.translate([CODE])
        assert guest.is_region(CODE)
        guest.load(state, bytes(machines.DATA_SIZE), bytes(stack))
        assert guest.run() == end


def test_a_loop_of_nothing_but_an_instruction_in_python_ends_when_its_fuel_does():
    """jmp far [rbx], which leads to itself: a region that spent nothing went round for ever."""
    guest = Guest(engine())
    put(guest, bytes.fromhex("90 ff2b"))
    state, data = machines.State(rip=CODE), bytearray(machines.DATA_SIZE)
    state.gpr[3] = machines.MIDDLE
    struct.pack_into("<IH", data, 0x1000, CODE + 1, 0x33)
    guest.load(state, bytes(data))
    guest.run(5)
    assert guest.translate([CODE + 1]) == 1
    state.rip = CODE + 1
    guest.load(state, bytes(data))
    assert guest.run(50) == "fuel"
