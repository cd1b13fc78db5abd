"""Regions that cannot go on: faults, code that changes, budgets, calls that do not come back the way they went.

Every program here runs as a region as well as in the interpreter, and must give the same.
"""
import random
import struct
from functools import lru_cache

import pytest

from tests.jit.regions import (CODE, DATA, DATA_SIZE, MIDDLE, R15, RAX, RBX, RCX, RDI, RDX, READ, RSI, RSP, RW, RWX, RX,
                               STACK, STACK_SIZE, TOP, Guest, engine)
from tests.jit.test_interpreter import difference
from tests.x86 import machines
from webvm.jit import layout as at
from webvm.jit.inline import MOST_OPS
from webvm.jit.options import Options
from webvm.wasm import encoding as w
from webvm.x86 import ieee

PAGE = 4096
OTHER = CODE + PAGE                         # code that is apart from CODE, so that writing to one leaves the other
NUMBER = {"RAX": RAX, "RCX": RCX, "RDX": RDX, "RSI": RSI, "RDI": RDI, "R15": R15}


_engine = lru_cache(engine)


@pytest.fixture(params=[True, False], ids=["copies", "no copies"])
def engines(request):
    """Functions are copied into the regions that call them, or not."""
    return _engine("interp"), _engine(options=Options(inline=request.param))


class Pair:
    """The same program with and without regions."""

    def __init__(self, engines, code: str | bytes, *, other: str = "", writable=False, **registers):
        self.code, self.registers = bytes.fromhex(code) if isinstance(code, str) else code, registers
        self.other = bytes.fromhex(other)
        self.plain, self.guest = (Guest(e, RWX if writable else RX) for e in engines)
        self.both = self.plain, self.guest

    def start(self, machine, **more):
        state = machines.State(rip=CODE)
        state.gpr[RBX], state.gpr[RSP] = MIDDLE, TOP
        for name, value in (self.registers | more).items():
            state.gpr[NUMBER[name]] = value
        machine.space.write(CODE, self.code)
        if self.other:
            machine.space.write(OTHER, self.other)
        machine.load(state, bytes(DATA_SIZE), bytes(STACK_SIZE))

    def warmed(self, *entries, fuel=1000, **more):
        """Both have executed it once with those registers; then what begins at the entries is a region. Both stand at the start."""
        for machine in self.both:
            self.start(machine, **more)
            machine.run(fuel)
            machine.end = ""
        done = self.guest.translate(entries or [CODE])
        assert done == len(entries or [CODE]) and all(self.guest.is_region(rip) for rip in entries or [CODE])
        code = self.code
        for machine in self.both:
            machine.faults = []
            self.code = b""                                # writing it would drop the region
            other, self.other = self.other, b""
            self.start(machine)
            self.code, self.other = code, other
        return self

    def agree(self, fuel=1000, end=None, flags=True, most=1000):
        """Runs both to their end, which must be the same; the region must have been used. What the guest is like."""
        outcomes, before = [], self.guest.in_regions
        for machine in self.both:
            for _ in range(most):
                how = machine.run(fuel)
                if how != "fuel":
                    break
            outcomes.append(machine.outcome(how))
        wanted, found = outcomes
        assert difference(wanted, found, 0x8D5 if flags else 0) == ""
        assert found.end == wanted.end and self.guest.faults == self.plain.faults
        assert end is None or found.end == end
        assert self.guest.in_regions > before
        return found


# ---------------------------------------------------------------------------------------------- faults

# mov rcx, 7 ; add rdx, rcx ; mov [rdi], rdx ; xor eax, eax ; inc rdx ; mov rsi, [rdi + 8] ; sub ecx, 1 ; syscall
ACCESSES = "48c7c107000000 4801ca 488917 31c0 48ffc2 488b7708 83e901 0f05"


@pytest.mark.parametrize("address, permissions", [
    (0, ()), (CODE, ()), (0x40000000, ()), (DATA - 4, ()), (DATA - 12, ()), (DATA + 0x1FF0, ()), (DATA + 0x1FF4, ()),
    (DATA + 0x1FFC, ()), (DATA + 0xFFC, ()), (DATA + 0xFF9, (RW, READ)), (DATA + 0xFFC, (READ, RW)), (DATA + 0xFFC, (RW, 0)),
    (DATA + 0xFF4, (RW, 0)), (1 << 32, ()), ((1 << 32) + DATA, ()), ((1 << 32) - 4, ()), ((1 << 32) - 12, ()),
    ((1 << 64) - 8, ()), ((1 << 64) - 12, ()), (1 << 63, ()), (0x1000_0000_0000, ())])
@pytest.mark.parametrize("options", [Options(), Options(cover=False), Options(dead_flags=False)], ids=["all", "no cover", "exact flags"])
def test_access_that_faults_in_a_region_has_changed_nothing(address, permissions, options, engines):
    pair = Pair((engines[0], _engine(options=options)), ACCESSES, RDI=MIDDLE, RDX=5)
    pair.warmed()
    for machine in pair.both:
        for k, permission in enumerate(permissions):
            machine.space.protect((DATA >> 12) + k, 1, permission)
        machine.space.set(RDI, address)
    found = pair.agree(flags=not options.dead_flags)
    if found.end.startswith("fault"):
        assert found.state.gpr[RDX] in (12, 13) and found.state.gpr[RCX] == 7


@pytest.mark.parametrize("flags", [True, False])
def test_page_that_a_fault_brings_lets_the_code_go_on(flags, engines):
    pair = Pair((engines[0], _engine(options=Options(dead_flags=not flags))), ACCESSES, RDI=MIDDLE, RDX=5).warmed()
    for machine in pair.both:
        machine.seen = []
        machine.space.set(RDI, DATA + 0x1FF4)
        machine.grant[(DATA >> 12) + 2] = RW
        machine.space.protect((DATA >> 12) + 1, 1, 0)
        machine.grant[(DATA >> 12) + 1] = READ
    pair.plain.grant[DATA + 0x1000 >> 12] = pair.guest.grant[DATA + 0x1000 >> 12] = RW
    found = pair.agree(end="syscall")
    assert pair.guest.faults == [(DATA + 0x1FF4, at.WRITE), (DATA + 0x2000, at.READ)]
    assert found.state.gpr[RDX] == 13
    for a, b in zip(pair.plain.seen, pair.guest.seen):
        assert difference(machines.Outcome(a, b"", "fault"), machines.Outcome(b, b"", "fault", unseen=ieee.EXCEPTIONS), 0x8D5 if flags else 0) == ""


def test_fault_handler_may_change_registers(engines):
    """As a SIGSEGV handler does that returns: the access is made again with the registers it set."""
    pair = Pair(engines, ACCESSES, RDI=MIDDLE, RDX=5).warmed()
    for machine in pair.both:
        machine.space.set(RDI, 0x40000000)
        assert machine.run().startswith("fault") and machine.space.rip == CODE + 10
        machine.space.set(RDI, MIDDLE + 64)
        machine.space.set(RDX, 100)
    outcomes = [machine.outcome(machine.run()) for machine in pair.both]
    assert difference(*outcomes) == "" and outcomes[0].end == "syscall"
    assert outcomes[1].data[MIDDLE + 64 - DATA] == outcomes[1].state.gpr[RDX] - 1 == 100


@pytest.mark.parametrize("address", [DATA, DATA + 16, DATA + 8, DATA + 17, MIDDLE - 0x58])
def test_vectors_in_a_loop_are_aligned_or_trap(address, engines):
    """mov ecx, 5 ; loop: movaps xmm0, [rdi + 16] ; movaps [rdi], xmm0 ; add rdi, 32 ; dec ecx ; jnz loop ; syscall"""
    pair = Pair(engines, "b905000000 0f284710 0f2907 4883c720 ffc9 75f1 0f05", RDI=address)
    found = pair.warmed(RDI=DATA).agree(end="syscall" if address % 16 == 0 else "GP")
    assert found.state.gpr[RDI] == address + (160 if address % 16 == 0 else 0)


@pytest.mark.parametrize("code, registers", [
    ("48f7f9", {}), ("f7f1", {}), ("48f7f1", {}), ("66f7f1", {}), ("f6f1", {}), ("f7f9", {}), ("f6f9", {}), ("48f73b", {}),
    ("48f7f1", {"RDX": 9, "RCX": 3}), ("48f7f9", {"RDX": 1 << 63, "RCX": 1}), ("f7f9", {"RAX": 1 << 31, "RDX": (1 << 64) - 1, "RCX": (1 << 64) - 1})])
def test_division_error_in_a_region_is_exact(code, registers, engines):
    """add rsi, 1 ; (division) ; xor esi, esi ; syscall"""
    pair = Pair(engines, f"4883c601 {code} 31f6 0f05", **({"RSI": 41, "RDX": 0, "RAX": 100, "RCX": 7}))
    for machine in pair.both:
        machine.space.set(RBX, MIDDLE)
    pair.warmed()
    for machine in pair.both:
        for name, value in ({"RCX": 0} | registers).items():
            machine.space.set(NUMBER[name], value)
    found = pair.agree(end="DE")
    assert found.state.gpr[RSI] == 42 and found.state.rip == CODE + 4


@pytest.mark.parametrize("target", [0, 0x40000000, (1 << 32) - 1, 1 << 32, (1 << 32) + OTHER, 1 << 47, (1 << 63) + OTHER, (1 << 64) - 1])
@pytest.mark.parametrize("code", ["48ffc3 50 c3", "48ffc3 ffe0", "48ffc3 ffd0"], ids=["push rax, ret", "jmp rax", "call rax"])
def test_jump_to_what_is_no_code_faults_there(code, target, engines):
    pair = Pair(engines, code, other="0f05", RAX=OTHER).warmed()
    for machine in pair.both:
        machine.space.set(RAX, target)
    found = pair.agree()
    assert found.end.startswith(("fault", "GP")) and found.state.gpr[RBX] == MIDDLE + 1


def test_undefined_instruction_in_a_region_traps_there(engines):
    """inc eax ; jz (never before) ; .. ud2"""
    pair = Pair(engines, "ffc0 7402 0f05 ffc1 0f0b", RAX=5).warmed()
    for machine in pair.both:
        machine.space.set(RAX, 0xFFFFFFFF)
    found = pair.agree(end="UD")
    assert found.state.rip == CODE + 8 and found.state.gpr[RCX] == 1


# loop: mov [rdi], rcx ; add rdi, 8 ; dec ecx ; jnz loop ; syscall
FILL = "48890f 4883c708 ffc9 75f5 0f05"


def test_loop_over_pages_that_are_not_there_yet(engines):
    pair = Pair(engines, FILL, RDI=MIDDLE, RCX=3).warmed()
    for machine in pair.both:
        machine.grant |= dict.fromkeys(range(0x900, 0x940), RW)
        machine.space.set(RDI, 0x900FFC)
        machine.space.set(RCX, 4000)
    pair.agree(end="syscall", fuel=100000)
    assert len(pair.guest.faults) == 9
    assert pair.guest.space.read(0x900000, 0x8000) == pair.plain.space.read(0x900000, 0x8000)
    assert pair.guest.in_regions > 0.9 * 4 * 4000


@pytest.mark.parametrize("code", ["f3a4", "f348a5", "f3aa", "f348ab", "f3a6", "f2ae"])
@pytest.mark.parametrize("df", [0, 1])
def test_repeated_string_that_faults_has_counted_so_far(code, df, engines):
    pair = Pair(engines, f"{'fd' if df else 'fc'} {code} ffc0 0f05", RSI=MIDDLE, RDI=MIDDLE, RCX=4, RAX=1).warmed()
    for machine in pair.both:
        machine.space.set(RCX, 10000)
        machine.space.set(RSI, DATA + 0x800)
        machine.space.set(RDI, DATA + 0x1000)
        machine.space.write(DATA, bytes(range(1, 129)) * (DATA_SIZE // 128) if code == "f2ae" else bytes(DATA_SIZE))
        machine.space.set(RAX, 0)
    found = pair.agree(fuel=100000)
    assert found.end.startswith("fault") and 0 < found.state.gpr[RCX] < 10000


# ---------------------------------------------------------------------------------------------- code that changes


def test_region_that_rewrites_its_own_loop_executes_what_it_wrote():
    """loop: mov al, 0 ; add rdx, rax ; inc byte [rip - 10] (the 0) ; dec ecx ; jnz loop ; syscall. Where the head of the loop checks
    that it may be written, the region would never execute anything."""
    engines = _engine("interp"), _engine(options=Options(hoist=False))
    pair = Pair(engines, "b000 4801c2 fe05f6ffffff ffc9 75f1 0f05", writable=True, RCX=2)
    for machine in pair.both:
        machine.space.write(CODE + 1, b"\0")
    for machine in pair.both:
        pair.start(machine)
        machine.run()
    for machine in pair.both:
        pair.start(machine)
        machine.run(1)                                     # decoded once more
    assert pair.guest.translate([CODE]) == 1
    for machine in pair.both:
        machine.space.set(RCX, 10)
        machine.space.set(RDX, 0)
        machine.space.rip = CODE
    found = pair.agree(end="syscall")
    assert found.state.gpr[RDX] == sum(range(10))


@pytest.mark.parametrize("where", ["callee", "caller", "after the call"])
def test_region_that_rewrites_the_code_of_a_frame_above_or_below(where, engines):
    """loop: mov [rdi], al ; call OTHER ; add edx, 1 ; dec ecx ; jnz loop ; syscall    OTHER: mov [rsi], al ; add edx, 0x10 ; ... ; ret

    OTHER is too long to be copied. AL is a new immediate of an addition, and comes to be 5 in the third round.
    """
    pair = Pair(engines, "8807 e8f90f0000 83c201 ffc9 75f2 0f05", other="8806 83c210" + "90" * MOST_OPS + "c3", writable=True,
                RDI=MIDDLE, RSI=MIDDLE, RCX=3, RAX=5)
    pair.warmed(CODE, OTHER)
    target, pointer = {"callee": (OTHER + 4, RDI), "caller": (CODE + 9, RSI), "after the call": (CODE + 9, RDI)}[where]
    for machine in pair.both:
        machine.space.set(pointer, target)
    found = pair.agree(end="syscall")
    assert found.state.gpr[RDX] == {"callee": 3 * 6, "caller": 3 * 0x15, "after the call": 3 * 0x15}[where]


@pytest.mark.parametrize("change", ["write", "munmap", "mprotect", "write there"])
@pytest.mark.parametrize("depth", [1, 3])
def test_system_call_that_changes_code_stops_the_frames_above_it(change, depth, engines):
    """CODE: call OTHER ; add edx, 1 ; dec ecx ; jnz CODE ; mov eax, 60 ; syscall
    OTHER: dec r15 ; jz 1f ; call OTHER ; ret ; 1: mov eax, 9 ; syscall ; ret

    The call with EAX = 9 changes the addition, or takes its page away.
    """
    pair = Pair(engines, "e8fb0f0000 83c201 ffc9 75f4 b83c000000 0f05", other="49ffcf 7406 e8f6ffffff c3 b809000000 0f05 c3",
                writable=True, RCX=2, R15=depth)
    rounds = []

    def calls(machine):
        def syscall():
            if machine.space.get(RAX) != 9:
                return False
            machine.space.set(R15, depth)
            if rounds and machine.space.get(RDX) == 1:
                match change:
                    case "write":
                        machine.space.write(CODE + 7, b"\x40")
                    case "write there":
                        machine.space.write(OTHER + 16, b"\xcc")
                    case "munmap":
                        machine.space.protect(CODE >> 12, 1, 0)
                    case "mprotect":
                        machine.space.protect(CODE >> 12, 1, READ)
            machine.space.set(RCX, max(3 - machine.space.get(RDX), 1))
            return True
        return syscall
    for machine in pair.both:
        machine.calls = calls(machine)
    pair.warmed(CODE, OTHER)
    rounds.append(1)
    found = pair.agree()
    match change:
        case "write":
            assert found.state.gpr[RDX] > 0x40 and found.end == "syscall"
        case "write there":
            assert found.end == "BP"
        case _:
            assert found.end.startswith("fault") and found.state.rip == CODE + 5


def test_page_of_a_region_that_loses_execution_is_not_executed(engines):
    """A jump to the next page and back: the region covers both."""
    pair = Pair(engines, "ffc1 e9f90f0000 0f05", other="ffc2 e900f0ffff", RAX=1)
    pair.warmed()
    for machine in pair.both:
        machine.space.protect(OTHER >> 12, 1, READ)
    outcomes = [machine.outcome(machine.run()) for machine in pair.both]
    assert difference(*outcomes) == "" and outcomes[1].end == outcomes[0].end == f"fault {OTHER:#x} 4"


def test_region_is_not_put_back_while_a_page_of_it_may_not_be_executed(engines):
    """The same, reported hot again afterwards: the bytes are those of before, but only the first page is executable."""
    pair = Pair(engines, "ffc1 e9f90f0000 0f05", other="ffc2 e900f0ffff", RAX=1)
    pair.warmed()
    for machine in pair.both:
        machine.space.protect(OTHER >> 12, 1, READ)
        assert machine.run() == f"fault {OTHER:#x} 4"
        machine.space.rip = CODE
    space = pair.guest.space
    space.poke(at.HOT, struct.pack("<I", CODE))
    space.poke(at.HOT_COUNT, struct.pack("<I", 1))
    pair.guest.translator.hot(space)
    outcomes = [machine.outcome(machine.run()) for machine in pair.both]
    assert difference(*outcomes) == "" and outcomes[1].end == outcomes[0].end == f"fault {OTHER:#x} 4"


# ---------------------------------------------------------------------------------------------- budget


@pytest.mark.parametrize("code", ["ebfe", "ffc0 ebfc", "ffc0 7bfc 74fa 75f8", "e800000000 58 ebf8", "488d05f9ffffff ffe0",
                                  "eb00 ffc0 7400 ebf8"])
def test_endless_loop_leaves_with_exact_registers_and_goes_on(code, engines):
    pair = Pair((engines[0], _engine(options=Options(dead_flags=False))), code, RAX=0).warmed(fuel=50)
    plain, guest = pair.both
    for _ in range(5):
        assert guest.run(1000) == "fuel"
        for _ in range(30000):                             # the interpreter gets there too
            if (plain.space.rip, plain.space.get(RAX)) == (guest.space.rip, guest.space.get(RAX)):
                break
            assert plain.run(1) == "fuel"
        assert difference(plain.outcome("fuel"), guest.outcome("fuel")) == ""
    assert guest.in_regions > 10000


def test_repeated_string_leaves_when_the_budget_is_used_up(engines):
    pair = Pair(engines, "f3aa 0f05", RDI=MIDDLE, RCX=3, RAX=7).warmed()
    for machine in pair.both:
        machine.space.protect(0x900, 0x100, RW)
        machine.space.set(RDI, 0x900000)
        machine.space.set(RCX, 0x100000)
    guest = pair.guest
    assert guest.run(20) == "fuel"                         # a page at a time
    assert guest.space.rip == CODE and 0 < guest.space.get(RCX) < 0x100000
    assert guest.space.get(RDI) - 0x900000 == 0x100000 - guest.space.get(RCX)
    pair.agree(end="syscall", fuel=1 << 16)
    assert guest.space.read(0x900000, 0x100000) == b"\7" * 0x100000


@pytest.mark.parametrize("fuel", [8, 9, 30])
def test_little_fuel_still_makes_progress(fuel, engines):
    """Regions may spend eight times the fuel, which is to be more than a block has instructions: loops of blocks as long as
    they may be, in one of which an access is always refused."""
    for head in "90", "488b07":
        pair = Pair(engines, head + "90" * 60 + f"ffc9 75{0xfc - 60 - len(head) // 2:02x} 0f05", RCX=2, RDI=MIDDLE).warmed()
        for machine in pair.both:
            machine.space.set(RDI, DATA + 0xFFC)           # across the pages: for the interpreter
            machine.space.set(RCX, 20)
        pair.agree(fuel=fuel, end="syscall", most=2000)


# ---------------------------------------------------------------------------------------------- calls

# CODE: call OTHER ; syscall       OTHER: inc rax ; dec ecx ; jz 1f ; call OTHER ; add rdx, rax ; 1: ret
RECURSION = "e8fb0f0000 0f05", "48ffc0 ffc9 7408 e8f4ffffff 4801c2 c3"


@pytest.mark.parametrize("depth", [1, 2, at.DEPTH_LIMIT - 1, at.DEPTH_LIMIT, at.DEPTH_LIMIT + 1, at.DEPTH_LIMIT + 2, 1000])
@pytest.mark.parametrize("direct", [True, False])
def test_recursion_of_any_depth(depth, direct, engines):
    engines = engines[0], _engine(options=Options(direct_calls=direct))
    pair = Pair(engines, RECURSION[0], other=RECURSION[1], RCX=3).warmed(CODE, OTHER)
    for machine in pair.both:
        machine.space.set(RCX, depth)
        machine.space.protect(0x6F0, 0x10, RW)
    found = pair.agree(end="syscall", fuel=1 << 16)
    assert found.state.gpr[RAX] == depth and found.state.gpr[RDX] == depth * (depth - 1)


def test_return_to_another_place_unwinds_all_frames(engines):
    """As longjmp: RECURSION, but the innermost goes back to the outermost stack pointer.

    CODE: mov rbp, rsp ; call OTHER ; inc rsi ; (landing) syscall
    OTHER: dec ecx ; jz 1f ; call OTHER ; inc rdi ; ret ; 1: mov rsp, rbp ; jmp landing
    """
    code, other = "4889e5 e8f80f0000 48ffc6 0f05", "ffc9 7409 e8f7ffffff 48ffc7 c3 4889ec e9f6efffff"
    pair = Pair(engines, code, other=other, RCX=3).warmed(CODE, OTHER)
    for machine in pair.both:
        machine.space.set(RCX, 50)
    found = pair.agree(end="syscall")
    assert (found.state.gpr[RSI], found.state.gpr[RDI], found.state.gpr[RSP]) == (0, 0, TOP)


def test_stack_switch_inside_a_call_resumes_where_the_other_stack_says(engines):
    """Two coroutines: each call of OTHER swaps RSP with [rbx] and returns on the other stack.

    CODE: call OTHER ; add rdx, 1 ; dec ecx ; jnz CODE ; syscall      CODE + 0x40: call OTHER ; add rsi, 1 ; jmp CODE + 0x40
    OTHER: xchg rsp, [rbx] ; ret
    """
    code = bytes.fromhex("e8fb0f0000 4883c201 ffc9 75f3 0f05").ljust(0x40, b"\xcc") + bytes.fromhex("e8bb0f0000 4883c601 ebf5")
    pair = Pair(engines, code, other="488723 c3", RCX=3)
    original = pair.start

    def start(machine, **more):
        original(machine, **more)
        machine.space.write(STACK + 0x800, struct.pack("<Q", CODE + 0x40))
        machine.space.write(MIDDLE, struct.pack("<Q", STACK + 0x800))
    pair.start = start
    pair.warmed(CODE, CODE + 0x40, OTHER)
    for machine in pair.both:
        machine.space.set(RCX, 500)
    found = pair.agree(end="syscall", fuel=1 << 16)
    assert found.state.gpr[RDX] == 500 and found.state.gpr[RSI] == 499


def test_flags_survive_call_and_return(engines):
    """cmp eax, ecx ; call OTHER ; ja +2 ; inc edx ; setc sil ; syscall      OTHER: ret, or lea and ret"""
    for other in ("c3", "488d4001 c3"):
        pair = Pair(engines, "39c8 e8f90f0000 7702 ffc2 400f92c6 0f05", other=other, RAX=5, RCX=5).warmed(CODE, OTHER)
        for a, b in ((5, 6), (6, 5), (0, 0xFFFFFFFF)):
            for machine in pair.both:
                machine.space.rip = CODE
                machine.space.set(RAX, a)
                machine.space.set(RCX, b)
                machine.space.set(RDX, 0)
            pair.agree(end="syscall")


def test_system_calls_in_a_loop_keep_the_registers_the_kernel_set(engines):
    """loop: mov eax, 39 ; syscall ; add rdx, rax ; dec ebp ; jnz loop ; xor eax, eax ; syscall"""
    pair = Pair(engines, "b827000000 0f05 4801c2 83ed01 75f1 31c0 0f05")
    for machine in pair.both:
        def calls(space=machine.space):
            if space.get(RAX) != 39:
                return False
            space.set(RAX, 1000 + space.get(5))
            return True
        machine.calls = calls
    original = pair.start

    def start(machine, **more):
        original(machine, **more)
        machine.space.set(5, 20)
    pair.start = start
    pair.warmed()
    found = pair.agree(end="syscall")
    assert found.state.gpr[RDX] == sum(1000 + n for n in range(1, 21))


def test_random_jump_tables_reach_every_target(engines):
    """A switch in a loop: lea rsi, [rip + table] ; movzx eax, byte [rdi] ; inc rdi ; jmp [rsi + rax * 8]"""
    rng = random.Random(1)
    head = bytes.fromhex("488d35f9000000 0fb607 48ffc7 ff24c6")
    body = bytearray(head.ljust(0x20, b"\x90"))
    cases = []
    for k in range(8):
        cases.append(CODE + len(body))
        body += bytes.fromhex("4881c2") + struct.pack("<I", 1 << 3 * k)                          # add rdx, 8 ** k
        body += b"\xe9" + struct.pack("<i", -(len(body) + 5))
    cases.append(CODE + len(body))
    body += bytes.fromhex("0f05")
    table = struct.pack("<9Q", *cases)
    pair = Pair(engines, bytes(body).ljust(0x100, b"\xcc") + table)
    steps = [rng.randrange(8) for _ in range(500)] + [8]

    def start(machine, **more):
        original(machine, **more)
        machine.space.write(DATA, bytes(steps))
        machine.space.set(RDI, DATA)
    original, pair.start = pair.start, start
    pair.warmed(CODE, *sorted({cases[k] for k in steps[:30]}), fuel=100000)
    found = pair.agree(end="syscall", fuel=1 << 16)
    assert found.state.gpr[RDX] == sum(8 ** k for k in steps[:-1])


def test_modules_are_evicted_and_their_code_goes_on():
    """Two loops in turn, with room for one module: each is dropped for the other, and both count right."""
    guest = Guest(engine())
    translator = guest.translator
    translator.most_modules = 1
    loops = [CODE, CODE + 0x100]
    for address in loops:
        guest.space.write(address, bytes.fromhex("48ffc0 48ffc9 75f8 c3"))          # inc rax; dec rcx; jnz; ret
    out = TOP - 8
    guest.space.write(out, (0x600000).to_bytes(8, "little"))
    total = 0
    for turn in range(6):
        address = loops[turn % 2]
        guest.space.set(RCX, 1000)
        guest.space.set(RSP, out)
        guest.space.rip = address
        guest.run()
        total += 1000
        assert guest.space.get(RAX) == total and guest.space.rip == 0x600000
        assert guest.translate([address]) == 1 and guest.is_region(address)
        translator._evict()
        assert len(translator._batches) == 1 and not guest.is_region(loops[1 - turn % 2])
    assert translator.counters.evicted == 5


def test_modules_that_no_process_has_are_evicted_first():
    """The loop of a process that has ended goes, though that of the one that goes on was installed before."""
    ended = Guest(engine())
    translator, going_on = ended.translator, Guest(ended.engine)
    for guest, address in (going_on, CODE), (ended, CODE + 0x100):
        guest.space.write(address, bytes.fromhex("48ffc0 48ffc9 75f8 c3"))              # inc rax; dec rcx; jnz; ret
        guest.space.write(TOP - 8, (0x600000).to_bytes(8, "little"))
        guest.space.set(RCX, 1000)
        guest.space.set(RSP, TOP - 8)
        guest.space.rip = address
        guest.run()
        assert guest.translate([address]) == 1 and guest.is_region(address)
    ended.space.release()
    translator.most_modules = 1
    translator._evict()
    assert len(translator._batches) == 1 and going_on.is_region(CODE)


# mov rax, [rdi] ; mov rdx, [rdi + 8] ; test rax, rax ; jne 1f ; inc ecx ; 1: add rax, [rdi + 8] ; jne 1f ; inc ecx ; 1: mov [rdi + 8], rax ; syscall
BRANCHES = "488b07 488b5708 4885c0 7502 ffc1 48034708 7502 ffc1 48894708 0f05"


@pytest.mark.parametrize("beyond, direct", [(True, True), (True, False), (False, True), (False, False)])
@pytest.mark.parametrize("address", [MIDDLE, DATA + DATA_SIZE - 8, DATA + DATA_SIZE - 12, (1 << 64) - 8, (1 << 32) - 8, DATA - 8])
def test_a_check_is_for_the_blocks_that_follow(address, beyond, direct, engines):
    """Reads need no second check there; the first write has one. A displacement is part of an access only where the register is
    an address itself."""
    pair = Pair((engines[0], _engine(options=Options(beyond=beyond, direct=direct))), BRANCHES, RDI=MIDDLE)
    bodies = []
    pair.guest.translator.trace = lambda region, body, _: bodies.append(body)
    pair.warmed()
    body = max(bodies, key=len)
    assert body.count(w.access("i32.load8_u", at.READABLE)) == (1 if beyond else 2) and body.count(w.access("i32.load8_u", at.WRITABLE)) == 1
    assert (w.access("i64.load", at.BIAS + 8) in body) == direct
    for machine in pair.both:
        machine.space.set(RDI, address)
    found = pair.agree(flags=False)
    assert found.end == "syscall" if address == MIDDLE else found.end.startswith("fault")


# mov rax, [rdi - 16] ; mov rdx, [rdi - 8] ; add rax, [rdi + 32] ; mov [rdi + 40], rax ; syscall
AROUND = "488b47f0 488b57f8 48034720 48894728 0f05"


@pytest.mark.parametrize("direct", [True, False])
@pytest.mark.parametrize("address", [MIDDLE, DATA + 16, DATA + 8, DATA + DATA_SIZE - 48, DATA + DATA_SIZE - 40, 0, 8, at.LEAST - 32,
                                     (1 << 32) - 48, (1 << 32) + 8, (1 << 64) - 32])
def test_accesses_around_what_their_register_points_to(address, direct):
    """No page below LEAST can be accessed, so the register alone is an address where one of these can; its 32 bits are all."""
    pair = Pair((_engine("interp"), _engine(options=Options(direct=direct))), AROUND, RDI=MIDDLE)
    bodies = []
    pair.guest.translator.trace = lambda region, body, _: bodies.append(body)
    pair.warmed()
    assert (w.access("i64.load", at.BIAS - 16) in bodies[0]) == (w.access("i64.store", at.BIAS + 40) in bodies[0]) == direct
    for machine in pair.both:
        machine.space.write(DATA, bytes(range(256)) * (DATA_SIZE // 256))
        machine.space.set(RDI, address)
    found = pair.agree(flags=False)
    assert found.end == "syscall" if DATA + 16 <= address <= DATA + DATA_SIZE - 48 else found.end.startswith("fault")


@pytest.mark.parametrize("direct", [True, False])
@pytest.mark.parametrize("first", [0, 1 << 61, 3 << 61, (1 << 64) - 8])
@pytest.mark.parametrize("away", [0, 1 << 32])
def test_indexed_accesses_of_a_loop_by_32_bits(first, away, direct):
    """1: mov rax, [rsi + 8*rcx + 16] ; add rdx, rax ; mov [rsi + 8*rcx - 64], rdx ; inc rcx ; dec edi ; jne 1b ; syscall

    The head checks with 64 bits, by which some of these are out of reach."""
    pair = Pair((_engine("interp"), _engine(options=Options(direct=direct))),
                "488b44ce10 4801c2 488954cec0 48ffc1 ffcf 75ed 0f05", RSI=MIDDLE, RDI=4, RCX=0)
    pair.warmed()
    for machine in pair.both:
        machine.space.write(DATA, bytes(range(256)) * (DATA_SIZE // 256))
        for register, value in (RSI, MIDDLE + away), (RCX, first), (RDI, 40), (RDX, 0):
            machine.space.set(register, value)
    found = pair.agree()
    assert found.end == "syscall" if not away else found.end.startswith("fault")
