"""How the interpreter counts arrivals at blocks and enters regions, with regions written by hand.

A region of these tests does little: it is there to see who enters it, and what its answer leads to.
"""
import random
import struct

import pytest

from tests.jit.test_faults import CODE, RAX, RBX, RCX, RDX, RSI, RSP, RWX, RX, SEED, Guest
from tests.x86.machines import DATA
from webvm.engine.native import NativeEngine
from webvm.jit import image, regions
from webvm.jit import layout as at
from webvm.jit.assembler import Function, X, c32, invoke
from webvm.jit.decoder import INDEX_LIMIT
from webvm.jit.frame import PARAMETERS, RESULTS
from webvm.jit.handler import R_COUNT
from webvm.jit.options import Options
from webvm.wasm import encoding as w
from webvm.wasm.module import Module

PAGE = 4096
TARGET = CODE + PAGE + 0x100                            # apart from CODE: writing there must not drop what was decoded here
IMPORTS = {"enter": (PARAMETERS, RESULTS), "syscall_out": ("i32", "i32"), "escape_out": ("i32", "i32"), "flags": ("", "i32"),
           "divide": ("i64 i64 i64", "i64"), "clock": ("", "f64")}


def cell(op, where): return c32(0).load(op, where)


class Region(Function):
    """The one function of a region module, under construction."""

    def __init__(self):
        module = Module()
        module.import_memory("env", "memory", at.BIAS // 65536 + 16, 65536)
        self.imports = {name: module.import_function("env", name, *types) for name, types in IMPORTS.items()}
        super().__init__(module, "0", PARAMETERS, RESULTS, export=True)
        self.depth_left, self.rip, self.rsp = self.params

    def count(self, register=RAX):
        self.store("i64.store", 0, cell("i64.load", 8 * register) + 1, 8 * register)

    def leave(self, stop: int, rip: int):
        self.store("i64.store", 0, rip, at.RIP)
        self.store("i32.store", 0, stop, at.STOP)
        self.ret(0)

    def ret(self, value): super().ret(value, self.rsp)
    def ask(self, name, *args: X, type="i32") -> X: return invoke(self.imports[name], *args, type=type)

    def ret_entered(self, rip: X):
        """As `enter` answers."""
        self.out.append(rip.raw + self.depth_left.raw + self.rsp.raw + w.call(self.imports["enter"]) + w.RETURN)


class HotGuest(Guest):
    def __init__(self, engine: NativeEngine):
        super().__init__(engine)
        self.set_warmth(10, 25)

    def set_warmth(self, warm, rehot):
        self.set_cell(at.WARM, warm)
        self.set_cell(at.REHOT, rehot)

    def cell(self, where): return struct.unpack("<I", self.space.peek(where, 4))[0]
    def cell64(self, where): return struct.unpack("<Q", self.space.peek(where, 8))[0]
    def set_cell(self, where, value): self.space.poke(where, struct.pack("<I", value))

    def hot(self) -> list[int]:
        n = self.cell(at.HOT_COUNT)
        return list(struct.unpack(f"<{n}I", self.space.peek(at.HOT, 4 * n)))

    def put(self, address, text): self.space.write(address, bytes.fromhex(text))

    def call(self, export, *args): return self.space._call(export, *args)

    def install(self, region: Region, rip: int, first=None, last=None) -> int:
        return self.call("install", rip, self.link(region), rip if first is None else first, rip if last is None else last)

    def link(self, region: Region) -> int:
        region.done()
        return self.space.link(self.space.engine.compile_regions(region.module.encode()), 1)[0]

    def decoded(self, text: str, where=TARGET):
        """Code there that has been executed once."""
        self.put(where, text)
        self.run(at=where, fuel=1)
        assert self.call("find", where)


@pytest.fixture(scope="module")
def engine():
    engine = NativeEngine(image.Image())
    engine.hot = None                                          # nobody empties HOT, or installs other regions
    yield engine
    engine.close()


@pytest.fixture
def guest(engine):
    guest = HotGuest(engine)
    yield guest
    guest.space.release()


# ---------------------------------------------------------------------------------------------- counting

LOOP = "ffc9 75fc 0f05"                                # loop: dec ecx ; jnz loop ; syscall


@pytest.mark.parametrize("rounds, reports", [(10, 0), (11, 1), (12, 1), (35, 1), (36, 2), (61, 3)])
def test_loop_is_reported_when_warm_and_again_each_rehot_rounds(guest, rounds, reports):
    """The first round of the loop is an arrival from outside; here it comes by a fall through, which is not counted."""
    guest.space.set(RCX, rounds)
    assert guest.run(bytes.fromhex("eb00" + LOOP)) == at.LEFT
    assert guest.hot() == [CODE + 2] * reports


@pytest.mark.parametrize("rounds, reports", [(at.EARLY, 0), (at.EARLY + 1, 1), (at.EARLY + 100, 1), (at.EARLY + 101, 2)])
def test_code_that_is_expected_is_reported_early(guest, rounds, reports):
    guest.set_warmth(1000, 100)
    bit = at.expected_bit(CODE + 2)
    guest.space.poke(at.EXPECTED + (bit >> 3), bytes([1 << (bit & 7)]))
    guest.space.set(RCX, rounds)
    assert guest.run(bytes.fromhex("eb00" + LOOP)) == at.LEFT
    assert guest.hot() == [CODE + 2] * reports


def test_code_beside_what_is_expected_is_not_reported_early(guest):
    guest.set_warmth(1000, 100)
    bit = at.expected_bit(CODE + 2)
    around = bytearray(b"\xff" * at.EXPECTED_BYTES)
    around[bit >> 3] ^= 1 << (bit & 7)
    guest.space.poke(at.EXPECTED, around)
    guest.space.set(RCX, 900)
    assert guest.run(bytes.fromhex("eb00" + LOOP), fuel=10000) == at.LEFT
    assert guest.hot() == []


def test_counter_of_zero_is_never_hot(guest):
    guest.set_warmth(0, 0)
    guest.space.set(RCX, 100000)
    assert guest.run(bytes.fromhex("eb00" + LOOP), fuel=1 << 20) == at.LEFT
    assert guest.hot() == []


@pytest.mark.parametrize("code", ["b90f000000 e8f6100000 ffc9 75f7 0f05", "b90f000000 ffd3 ffc9 75fa 0f05"])
def test_calls_are_counted_where_they_arrive(guest, code):
    """mov ecx, 15 ; loop: call TARGET or call rbx ; dec ecx ; jnz loop ; syscall"""
    guest.space.set(RSP, DATA + 0x1000)
    guest.space.set(RBX, TARGET)
    guest.put(TARGET, "c3")
    assert guest.run(bytes.fromhex(code)) == at.LEFT
    assert guest.hot().count(TARGET) == 1 and CODE + 5 in guest.hot()


@pytest.mark.parametrize("rounds, reports", [(9, 0), (10, 1), (34, 1), (35, 2)])
def test_returns_and_indirect_jumps_are_counted_where_they_arrive(guest, rounds, reports):
    guest.space.set(RSP, DATA + 0x1000)
    guest.space.set(RBX, TARGET)
    guest.space.set(RCX, rounds)
    guest.put(TARGET, "4883c302 c3")                       # add rbx, 2 ; ret
    # loop: call TARGET ; after: jmp rdx ; there: dec ecx ; jnz loop ; syscall
    guest.space.set(RDX, CODE + 7)
    assert guest.run(bytes.fromhex("e8fb100000 ffe2 ffc9 75f5 0f05")) == at.LEFT
    assert sorted(guest.hot()) == sorted([CODE, CODE + 5, CODE + 7, TARGET] * reports)


def test_forward_branches_and_blocks_run_through_are_not_counted(guest):
    """loop: jmp over ; over: jz past ; past: 70 NOPs, more than a block holds ; dec ecx ; jnz loop ; syscall"""
    code = bytes.fromhex("eb00 7400") + b"\x90" * 70 + bytes.fromhex("ffc9 75b2 0f05")
    guest.space.set(RCX, 100)
    assert guest.run(code, fuel=100000) == at.LEFT
    assert set(guest.hot()) == {CODE}


def test_ring_that_is_full_drops_reports(guest):
    guest.set_warmth(1, 1)
    guest.set_cell(at.HOT_COUNT, at.HOT_MAX - 2)
    before = guest.space.peek(at.HOT + 4 * at.HOT_MAX, 64)
    guest.space.set(RCX, 100)
    assert guest.run(bytes.fromhex("eb00" + LOOP)) == at.LEFT
    assert guest.cell(at.HOT_COUNT) == at.HOT_MAX
    assert guest.space.peek(at.HOT + 4 * at.HOT_MAX - 8, 8) == struct.pack("<II", CODE, CODE + 2)     # the run began at CODE
    assert guest.space.peek(at.HOT + 4 * at.HOT_MAX, 64) == before


@pytest.mark.parametrize("warm", [0, 1, 2, 7])
def test_one_step_is_one_instruction_whatever_lies_between(guest, warm):
    """Run in one go and step by step: the same addresses, and each instruction is counted once, COUNT and GOTO never."""
    guest.set_warmth(warm, warm)
    # loop: call f ; 70 NOPs ; dec ecx ; cmp ecx, 0 ; jne loop ; syscall       f: jmp rdx ; there: ret
    code = bytes.fromhex("e8fb100000") + b"\x90" * 70 + bytes.fromhex("ffc9 83f900 75ae 0f05")
    guest.put(TARGET, "ffe2 c3")
    steps = 5 * (1 + 2 + 70 + 3)

    def start():
        guest.space.set(RSP, DATA + 0x1000)
        guest.space.set(RDX, TARGET + 2)
        guest.space.set(RCX, 5)
        return guest.space.instructions

    before = start()
    assert guest.run(code, fuel=10000) == at.LEFT
    assert guest.space.instructions - before == steps

    guest.space.write(CODE, code)                              # forgets what was decoded
    before, seen = start(), []
    guest.space.rip = CODE
    while (stop := guest.space.run(1)) == at.FUEL:
        seen.append(guest.space.rip)
    assert stop == at.LEFT and guest.space.instructions - before == steps
    assert len(seen) == steps - 5                              # a comparison and its branch are one step
    assert seen[:3] == [TARGET, TARGET + 2, CODE + 5] and seen[3:73] == list(range(CODE + 6, CODE + 76))


# ---------------------------------------------------------------------------------------------- entering


def counting_region(rip=TARGET + 2) -> Region:
    region = Region()
    region.count()
    region.ret(rip)
    return region


WAYS = {"call": "e8fb100000 0f05", "call rbx": "ffd3 0f05", "jmp rbx": "ffe3", "push rbx, ret": "53 c3"}


@pytest.mark.parametrize("code", WAYS.values(), ids=WAYS)
def test_region_is_entered_and_its_answer_is_where_execution_goes_on(guest, code):
    """TARGET: inc edx ; syscall. The region stands for the first, and counts in RAX."""
    guest.decoded("ffc2 0f05")
    assert guest.install(counting_region(), TARGET) == 1
    for register, value in ((RSP, DATA + 0x1000), (RBX, TARGET), (RAX, 0), (RDX, 0)):
        guest.space.set(register, value)
    for n in (1, 2):
        assert guest.run(bytes.fromhex(code)) == at.LEFT
        assert (guest.space.get(RAX), guest.space.get(RDX)) == (n, 0)
        assert guest.space.rip == TARGET + 4


def test_region_is_entered_by_the_loop_it_stands_for_and_by_run(guest):
    """jmp loop ; loop: dec ecx ; jnz loop ; syscall, linked while there was no region yet"""
    guest.space.set(RCX, 5)
    code = bytes.fromhex("eb00" + LOOP)
    assert guest.run(code, fuel=4) == at.FUEL
    region = Region()
    region.count()
    region.ret(CODE + 4)                                       # the jnz, flags as they are
    assert guest.install(region, CODE + 2) == 1
    guest.space.set(RAX, 0)
    assert guest.space.run(4) == at.FUEL
    assert guest.space.get(RAX) == 2
    guest.space.rip = CODE + 2
    assert guest.space.run(1) == at.FUEL
    assert guest.space.get(RAX) == 3 and guest.space.rip == CODE + 4


def test_region_that_answers_its_own_address_ends_with_the_fuel(guest):
    guest.decoded("ffc2 0f05")
    assert guest.install(counting_region(TARGET), TARGET) == 1
    guest.space.set(RAX, 0)
    before = guest.space.instructions
    assert guest.run(at=TARGET, fuel=50) == at.FUEL
    assert guest.space.get(RAX) == 50 and guest.space.rip == TARGET
    assert guest.space.instructions == before                  # none of it was an instruction of the interpreter's


@pytest.mark.parametrize("stop", [at.LEFT, at.FUEL])
def test_region_that_leaves_ends_the_run_where_it_says(guest, stop):
    guest.decoded("ffc2 0f05")
    region = Region()
    region.leave(stop, CODE + 0x77)
    guest.install(region, TARGET)
    assert guest.run(at=TARGET) == stop and guest.space.rip == CODE + 0x77


@pytest.mark.parametrize("fuel", [1, 2])
def test_retried_instruction_is_interpreted_even_where_a_region_begins(guest, fuel):
    """However little fuel there is, the run gets past it."""
    guest.decoded("ffc2 0f05")
    region = Region()
    region.count()
    region.leave(at.RETRY, TARGET)
    guest.install(region, TARGET)
    guest.space.set(RAX, 0)
    guest.space.set(RDX, 0)
    before = guest.space.instructions
    assert guest.run(at=TARGET, fuel=fuel) == (at.FUEL if fuel == 1 else at.LEFT)
    assert (guest.space.get(RAX), guest.space.get(RDX)) == (1, 1)
    assert guest.space.instructions - before == 1
    guest.space.rip = TARGET                                   # and the region is there still
    guest.space.run(1)
    assert guest.space.get(RAX) == 2


def test_instruction_retried_may_be_anywhere_and_may_fault(guest):
    guest.decoded("ffc2 0f05")
    guest.put(CODE + 0x200, "488b03 0f05")                     # mov rax, [rbx]
    region = Region()
    region.leave(at.RETRY, CODE + 0x200)
    guest.install(region, TARGET)
    guest.space.set(RBX, 0x7000000)
    assert guest.run(at=TARGET) == at.LEFT
    assert guest.faults == [(0x7000000, at.READ)] and guest.space.rip == CODE + 0x200


@pytest.mark.parametrize("rip", [0, 0x1_0000_0000 + CODE, 0x6000000])
def test_retry_where_nothing_can_be_executed_faults(guest, rip):
    guest.decoded("ffc2 0f05")
    region = Region()
    region.leave(at.RETRY, rip)
    guest.install(region, TARGET)
    assert guest.run(at=TARGET) == at.LEFT
    assert guest.faults == [(rip, at.EXECUTE)] and guest.space.rip == rip


def test_regions_account_for_their_instructions(guest):
    guest.decoded("ffc2 0f05")
    region = Region()
    region.store("i32.store", 0, cell("i32.load", at.REGION_FUEL) - 37, at.REGION_FUEL)
    region.ret(TARGET + 2)
    guest.install(region, TARGET)
    before = guest.space.instructions
    for n in (1, 2):
        assert guest.run(at=TARGET, fuel=100) == at.LEFT
        assert guest.space.instructions - before == 37 * n
        assert guest.cell64(at.REGION_INSTRUCTIONS) == 37 * n
        assert guest.cell(at.REGION_FUEL) == 0


@pytest.mark.parametrize("fuel, share", [(1, 8), (1000, 8000), ((1 << 27) - 1, (1 << 30) - 8), (1 << 27, 1 << 30),
                                         ((1 << 31) - 1, 1 << 30)])
def test_fuel_of_regions_is_eight_times_the_run_s(guest, fuel, share):
    guest.decoded("ffc2 0f05")
    region = Region()
    region.store("i64.store", 0, cell("i32.load", at.REGION_FUEL).wide(), 8 * RAX)
    region.leave(at.LEFT, TARGET)
    guest.install(region, TARGET)
    guest.run(at=TARGET, fuel=fuel)
    assert guest.space.get(RAX) == share


# ---------------------------------------------------------------------------------------------- installing, forgetting


def test_region_needs_a_block_and_pages_that_may_be_executed(guest):
    assert guest.call("find", TARGET) == 0
    assert guest.install(counting_region(), TARGET) == 0
    guest.decoded("ffc2 0f05")
    assert guest.install(counting_region(), TARGET, TARGET, DATA) == 0
    assert guest.install(counting_region(), TARGET, TARGET, CODE - 1) == 0
    guest.space.set(RAX, 0)
    assert guest.run(at=TARGET) == at.LEFT
    assert guest.space.get(RAX) == 0                           # nothing was entered
    permissions = guest.space.peek(at.PERMISSIONS + (CODE >> 12), 4)
    assert [p & at.CODE for p in permissions] == [0, at.CODE, 0, 0]


def has_counted(guest) -> bool:
    """Whether the region at TARGET is entered."""
    guest.space.set(RAX, 0)
    assert guest.run(at=TARGET) == at.LEFT
    return guest.space.get(RAX) == 1


@pytest.mark.parametrize("where, k", [(None, 0), (0, 0), (0, 2999), (1, 0), (1, 3)])
def test_region_needs_the_very_code_that_it_was_made_from(guest, where, k):
    data = random.Random(SEED).randbytes(3000)
    guest.space.write(CODE + 2 * PAGE, data)
    guest.decoded("ffc2 0f05")
    pieces = [bytearray(data), bytearray.fromhex("ffc2 0f05")]
    if where is not None:
        pieces[where][k] ^= 1
    ranges = list(zip((CODE + 2 * PAGE, TARGET), map(bytes, pieces)))
    assert guest.space.install_ranges(TARGET, guest.link(counting_region()), ranges) == (where is None)
    assert has_counted(guest) == (where is None)
    permissions = guest.space.peek(at.PERMISSIONS + (CODE >> 12), 4)
    assert [p & at.CODE for p in permissions] == [0, at.CODE, at.CODE if where is None else 0, 0]


def test_code_that_a_region_needs_may_be_long_and_must_be_executable(guest):
    data = random.Random(SEED).randbytes(2 * PAGE)
    guest.space.write(CODE + 2 * PAGE, data)
    guest.space.write(DATA, data)
    guest.decoded("ffc2 0f05")
    slot, ranges = guest.link(counting_region()), [(CODE + 2 * PAGE, data[:k]) for k in (8000, 8192, 5000, 8000)]
    assert sum(len(code) for _, code in ranges) > 4 * at.HOT_MAX
    assert not guest.space.install_ranges(TARGET, slot, [(DATA, data[:10])]) and not has_counted(guest)
    assert guest.space.install_ranges(TARGET, slot, ranges) and has_counted(guest)
    guest.space.write(CODE + 4 * PAGE - 1, b"x")
    assert not has_counted(guest)
    assert not guest.space.install_ranges(TARGET, slot, ranges)


def test_find_decodes_nothing(guest):
    guest.put(CODE, "9090")
    assert guest.call("find", CODE) == 0
    guest.run(at=CODE, fuel=1)
    assert guest.call("find", CODE) and not guest.call("find", CODE + 1)


def test_writing_is_withheld_from_every_page_a_region_depends_on(guest):
    guest.space.protect(CODE >> 12, 4, RWX)
    guest.decoded("ffc2 0f05")
    guest.install(counting_region(), TARGET, CODE + PAGE, CODE + 3 * PAGE - 1)
    permissions = guest.space.peek(at.PERMISSIONS + (CODE >> 12), 4)
    assert [bool(p & at.WRITE) for p in permissions] == [True, False, False, True]
    assert [bool(p & at.MAY_WRITE) for p in permissions] == [True] * 4


@pytest.mark.parametrize("page", [0, 1, 2])
@pytest.mark.parametrize("how", ["guest", "kernel", "protect", "unmap"])
def test_region_is_gone_when_a_page_it_depends_on_changes(guest, how, page):
    """TARGET: inc edx ; syscall. Pages 0 and 2 have no block in them, only the region depends on them."""
    guest.space.protect(CODE >> 12, 4, RWX)
    guest.decoded("ffc2 0f05")
    assert guest.install(counting_region(), TARGET, CODE, CODE + 3 * PAGE - 1) == 1
    epoch, address = guest.cell(at.EPOCH), CODE + page * PAGE + 0x800
    match how:
        case "guest":
            guest.put(CODE + 3 * PAGE, "8803 0f05")            # mov [rbx], al ; syscall
            guest.space.set(RBX, address)
            assert guest.run(at=CODE + 3 * PAGE) == at.LEFT and not guest.faults
        case "kernel":
            guest.space.write(address, b"x")
        case "protect":
            guest.space.protect(address >> 12, 1, RX)
        case "unmap":
            guest.space.protect(address >> 12, 1, 0)
            if page == 1:
                guest.space.protect(address >> 12, 1, RX)
    assert guest.cell(at.EPOCH) > epoch
    guest.space.set(RAX, 0)
    guest.space.set(RDX, 0)
    assert guest.run(at=TARGET) == at.LEFT
    assert (guest.space.get(RAX), guest.space.get(RDX)) == (0, 1)


def test_region_that_is_gone_leaves_a_block_that_counts(guest):
    guest.space.protect(CODE >> 12, 4, RWX)
    guest.space.set(RCX, 3)
    assert guest.run(bytes.fromhex("eb00" + LOOP)) == at.LEFT   # the loop is linked
    assert guest.install(counting_region(CODE + 2), CODE + 2, CODE, CODE + PAGE) == 1
    guest.space.write(CODE + PAGE, b"x")
    guest.space.set(RCX, 12)
    guest.space.set(RAX, 0)
    assert guest.run(at=CODE) == at.LEFT
    assert guest.space.get(RAX) == 0 and guest.hot() == [CODE + 2]


def test_forgetting_what_nothing_depends_on_keeps_the_epoch(guest):
    guest.space.protect(CODE >> 12, 4, RWX)
    guest.decoded("ffc2 0f05")
    epoch = guest.cell(at.EPOCH)
    guest.space.write(CODE + 2 * PAGE, b"x")
    guest.space.protect(CODE + 3 * PAGE >> 12, 1, RX)
    assert guest.cell(at.EPOCH) == epoch


def test_region_can_be_replaced(guest):
    guest.decoded("ffc2 0f05")
    guest.install(counting_region(), TARGET)
    other = Region()
    other.count(RSI)
    other.ret(TARGET + 2)
    assert guest.install(other, TARGET) == 1
    guest.space.set(RAX, 0)
    guest.space.set(RSI, 0)
    guest.run(at=TARGET)
    assert (guest.space.get(RAX), guest.space.get(RSI)) == (0, 1)


def test_emptied_arena_has_no_regions(guest):
    guest.decoded("ffc2 0f05")
    guest.install(counting_region(), TARGET)
    guest.set_cell(at.ARENA_NEXT, at.BIAS - 40)                # full
    guest.run(bytes.fromhex("0f05"))
    assert guest.call("find", TARGET) == 0
    guest.space.set(RAX, 0)
    assert guest.run(at=TARGET) == at.LEFT and guest.space.get(RAX) == 0


def test_full_block_index_takes_no_region_until_it_is_emptied(guest):
    guest.decoded("ffc2 0f05")
    guest.set_cell(at.BLOCK_COUNT, INDEX_LIMIT)
    assert guest.install(counting_region(), TARGET) == 0
    guest.run(bytes.fromhex("0f05"))
    guest.decoded("ffc2 0f05")
    assert guest.install(counting_region(), TARGET) == 1


def test_hash_table_grows_with_what_is_decoded_and_keeps_it(guest):
    blocks, area = 70_000, 0x800000                             # each a JMP to the next
    guest.space.protect(area // PAGE, 2 * blocks // PAGE + 1, RWX)
    first = guest.cell(at.HASH_MASK)
    guest.space.write(area, bytes.fromhex("eb00") * blocks + bytes.fromhex("0f05"))
    assert guest.run(at=area, fuel=2 * blocks) == at.LEFT
    assert guest.cell(at.FLUSHES) == 1 and guest.cell(at.HASH_MASK) > 16 * blocks > first
    assert all(guest.call("find", area + 2 * k) for k in range(blocks)) and not guest.call("find", area + 1)
    assert guest.install(counting_region(), area) == 1
    assert guest.run(at=area) == at.LEFT and guest.space.get(RAX) == 1
    guest.call("forget", area // PAGE, 16)
    assert not guest.call("find", area) and not guest.call("find", area + 16 * PAGE - 2) and guest.call("find", area + 16 * PAGE)


# ---------------------------------------------------------------------------------------------- what regions call


def test_enter_goes_from_region_to_region_until_the_depth_is_used_up(guest):
    """Each call enters the same region once more; the innermost is told the address it asked for."""
    guest.decoded("ffc2 0f05")
    region = Region()
    region.count()
    region.ret_entered(c32(TARGET))
    guest.install(region, TARGET)
    guest.space.set(RAX, 0)
    assert guest.run(at=TARGET, fuel=1) == at.FUEL
    assert guest.space.get(RAX) == at.DEPTH_LIMIT + 1 and guest.space.rip == TARGET


@pytest.mark.parametrize("decoded", [False, True])
def test_enter_answers_the_address_where_there_is_no_region(guest, decoded):
    guest.decoded("ffc2 0f05")
    guest.put(CODE + 0x300, "ffc6 0f05")                       # inc esi
    if decoded:
        guest.run(at=CODE + 0x300)
    region = Region()
    region.ret_entered(c32(CODE + 0x300))
    guest.install(region, TARGET)
    guest.space.set(RSI, 5)
    assert guest.run(at=TARGET) == at.LEFT
    assert guest.space.get(RSI) == 6


@pytest.mark.parametrize("more", [0, 7])
def test_what_regions_leave_for_is_hot_sooner(guest, more):
    """An arrival by way of `enter` counts for 1 + more, but for the last `rehot` ones; one that the interpreter makes counts once."""
    guest.set_warmth(100, 20)
    guest.set_cell(at.MORE_ARRIVALS, more)
    guest.decoded("ffc2 0f05")
    guest.decoded("ffc6 0f05", CODE + 0x300)
    region = Region()
    region.ret_entered(c32(CODE + 0x300))
    guest.install(region, TARGET)
    left = guest.cell(guest.call("find", CODE + 0x300) + R_COUNT)

    def rounds(start, most=200):
        for n in range(1, most):
            guest.run(at=start)
            if guest.hot():
                return n
    quick = -(-(left - 20 - more) // (1 + more))
    slow = left - quick * (1 + more)
    assert left > 90 and 12 < slow <= 20 + more and rounds(TARGET) == quick + slow
    assert guest.hot() == [CODE + 0x300]


def test_without_the_switch_it_is_not():
    for exits, more in (True, regions.EXIT - 1), (False, 0):
        engine = NativeEngine(image.Image(options=Options(exits=exits)))
        space = engine.space()
        assert struct.unpack("<I", space.peek(at.MORE_ARRIVALS, 4)) == (more,)
        space.release()
        engine.close()


def test_enter_of_address_zero_faults_there(guest):
    guest.decoded("ffc2 0f05")
    region = Region()
    region.ret_entered(c32(0))
    guest.install(region, TARGET)
    assert guest.run(at=TARGET) == at.LEFT
    assert guest.faults == [(0, at.EXECUTE)] and guest.space.rip == 0


def syscall_region(out="syscall_out", argument=TARGET + 2) -> Region:
    """Asks, and counts in RDX if it may go on."""
    region = Region()
    rip = region.local(value=region.ask(out, c32(argument)))
    with region.if_(rip.is_zero()):
        region.ret(0)
    region.count(RDX)
    region.ret(rip)
    return region


def test_system_call_of_a_region_is_as_the_interpreter_s(guest):
    guest.decoded("0f05 0f05")
    guest.install(syscall_region(), TARGET)
    calls = []

    def syscall(registers):
        calls.append((guest.space.rip, guest.space.get(RCX), guest.space.get(11)))
        return len(calls) == 1
    guest.space.on_syscall = syscall
    guest.space.rflags = 0x8D5 | 0x202
    guest.space.set(RDX, 0)
    assert guest.run(at=TARGET) == at.LEFT                     # the region's, and that after it
    assert calls[0] == (TARGET + 2, TARGET + 2, 0x8D5 | 0x202)
    assert guest.space.get(RDX) == 1 and guest.space.rip == TARGET + 4


def test_region_leaves_when_the_kernel_says_so(guest):
    guest.decoded("0f05 f4")
    guest.install(syscall_region(), TARGET)
    guest.space.set(RDX, 0)
    assert guest.run(at=TARGET) == at.LEFT
    assert guest.space.get(RDX) == 0 and guest.space.rip == TARGET + 2


@pytest.mark.parametrize("out, argument", [("syscall_out", TARGET + 2), ("escape_out", TARGET)])
def test_region_does_not_go_on_after_code_was_forgotten(guest, out, argument):
    guest.space.protect(CODE >> 12, 4, RWX)
    guest.decoded("0f05 ffc1 0f05")                            # syscall ; inc ecx ; syscall
    guest.install(syscall_region(out, argument), TARGET)
    guest.run(bytes.fromhex("90 0f05"), at=CODE + 2 * PAGE)
    calls = []

    def syscall(registers):
        calls.append(guest.space.rip)
        guest.space.set(RCX, 5)
        guest.space.write(CODE + 2 * PAGE, b"\x90")
        return len(calls) == 1
    guest.space.on_syscall = syscall
    guest.space.set(RDX, 0)
    assert guest.run(at=TARGET) == at.LEFT
    assert guest.space.get(RDX) == 0 and len(calls) == 2 and guest.space.rip == TARGET + 6


@pytest.mark.parametrize("rip", [0, 0x1_0000_0000 + TARGET])
def test_region_does_not_go_on_where_it_could_not_say(guest, rip):
    """The kernel may move RIP anywhere during a call."""
    guest.decoded("0f05 f4")
    guest.install(syscall_region(), TARGET)

    def syscall(registers):
        guest.space.rip = rip
        return True
    guest.space.on_syscall = syscall
    guest.space.set(RDX, 0)
    assert guest.run(at=TARGET) == at.LEFT
    assert guest.space.get(RDX) == 0 and guest.faults == [(rip, at.EXECUTE)] and guest.space.rip == rip


def test_escape_of_a_region_executes_the_instruction_elsewhere(guest):
    guest.decoded("ffc2 0f05")                                 # inc edx
    guest.install(syscall_region("escape_out", TARGET), TARGET)
    guest.space.set(RDX, 5)
    assert guest.run(at=TARGET) == at.LEFT
    assert guest.space.get(RDX) == 7 and guest.space.rip == TARGET + 4


def test_escape_of_a_region_that_traps_leaves_with_its_code(guest):
    guest.decoded("ffc2 0f05")
    guest.put(CODE + 0x300, "0f0b")                            # ud2
    guest.install(syscall_region("escape_out", CODE + 0x300), TARGET)
    assert guest.run(at=TARGET) == at.ILLEGAL and guest.space.rip == CODE + 0x300


def test_regions_can_ask_for_flags_division_and_the_clock(guest):
    guest.decoded("39c0 0f05")                                 # cmp eax, eax ; run by `decoded`, so ZF and PF are set
    region = Region()
    region.store("i64.store", 0, region.ask("flags").wide(), 8 * RCX)
    operands = [cell("i64.load", 8 * register) for register in (RDX, RAX, RBX)]
    region.store("i64.store", 0, region.ask("divide", *operands, type="i64"), 8 * RDX)
    region.store("f64.store", 0, region.ask("clock", type="f64"), 8 * 8)
    region.leave(at.LEFT, TARGET)
    guest.install(region, TARGET)
    rng = random.Random(SEED)
    divisor = rng.getrandbits(63) | 1 << 63
    high, low = rng.randrange(divisor), rng.getrandbits(64)
    for register, value in ((RDX, high), (RAX, low), (RBX, divisor)):
        guest.space.set(register, value)
    assert guest.run(at=TARGET) == at.LEFT
    assert guest.space.get(RCX) == 0x44 and guest.space.get(RDX) == (high << 64 | low) // divisor
    clock, = struct.unpack("<d", guest.space.peek(8 * 8, 8))
    assert clock > 0
