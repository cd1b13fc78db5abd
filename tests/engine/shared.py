"""What every engine does: one suite, collected by test_native.py and carried into the page by test_browser.py.

A test takes `make`, which makes an engine for the toy interpreter (toy.py) with the options given. No pytest here: Pyodide
does not have it.
"""

import contextlib
import struct

from webvm.engine import EngineError, EngineTrap, OutOfMemory, OutOfSpaces
from webvm.engine import space as engine_space
from webvm.engine.space import PAGE
from webvm.jit import layout as L

from . import toy
from .toy import ADDI, ESCAPE, HOT, ILLEGAL, INT3, JUMP, LOAD, OUTSIDE, RECURSE, STORE, SYSCALL, UNREACHABLE, code

R, W, X, PRESENT = 1, 2, 4, 32
TEXT, DATA = 0x400000, 0x600000
RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI = range(8)


@contextlib.contextmanager
def raises(kind):
    try:
        yield
    except kind:
        return
    raise AssertionError(f"{kind.__name__} was not raised")


def program(make, *instructions, **options):
    """A space with the instructions at TEXT and a writable page at DATA, ready to run."""
    space = make(**options).space()
    load(space, *instructions)
    return space


def load(space, *instructions):
    space.protect(TEXT >> 12, 1, R | X | PRESENT)
    space.protect(DATA >> 12, 1, R | W | PRESENT)
    space.write(TEXT, code(*instructions))
    space.rip = TEXT


def test_instructions_run_until_the_fuel_is_gone(make):
    space = program(make, (ADDI, RAX, 0, 5), (JUMP, 0, 0, TEXT))
    assert space.run(10) == L.FUEL
    assert (space.get(RAX), space.rip, space.instructions) == (25, TEXT, 10)
    assert space.run(1) == L.FUEL
    assert (space.get(RAX), space.rip, space.instructions) == (30, TEXT + 8, 11)


def test_stop_codes_come_back_with_an_exact_rip(make):
    space = program(make, (ADDI, RAX, 0, 1), (INT3,), (ILLEGAL,))
    assert (space.run(100), space.rip) == (L.BREAKPOINT, TEXT + 16)
    assert (space.run(100), space.rip) == (L.ILLEGAL, TEXT + 16)


def test_registers_hold_64_bits(make):
    space = program(make)
    values = [(0x0123456789ABCDEF * (i + 1)) & (1 << 64) - 1 for i in range(16)]
    values[3], values[4] = 1 << 63, (1 << 64) - 1
    for i, value in enumerate(values):
        space.set(i, value)
    space.rip, space.fs_base, space.gs_base = 0xFFFFFFFF80000001, 0x8000000000000002, 0x7FFF00000003
    assert [space.get(i) for i in range(16)] == values
    assert (space.rip, space.fs_base, space.gs_base) == (0xFFFFFFFF80000001, 0x8000000000000002, 0x7FFF00000003)
    space.set(RDX, -22)
    assert space.get(RDX) == (1 << 64) - 22
    assert space.peek(L.ZERO, 8) == bytes(8)


def test_rflags_go_through_the_module(make):
    space = program(make)
    assert space.rflags == 0x202
    space.rflags = 0x246
    assert space.rflags == 0x246


def answered(space, register, then):
    """Has system calls give 7 and go on at `then`; a list that gets rip and the register at each."""
    seen = []

    def on_syscall(registers):
        seen.append((space.rip, space.get(register)))
        space.set(RAX, 7)
        space.rip = then
        return True
    space.on_syscall = on_syscall
    return seen


def test_a_system_call_goes_on_where_the_hook_says(make):
    space = program(make, (SYSCALL,), (ADDI, RAX, 0, 1), (INT3,), (ADDI, RAX, 0, 100), (INT3,))
    seen = answered(space, RAX, TEXT + 24)
    assert space.run(100) == L.BREAKPOINT
    assert (seen, space.get(RAX), space.rip) == ([(TEXT + 8, 0)], 107, TEXT + 40)


def test_a_system_call_leaves_when_the_hook_says(make):
    space = program(make, (SYSCALL,), (ADDI, RAX, 0, 1), (INT3,))
    space.on_syscall = lambda registers: False
    assert (space.run(100), space.rip, space.get(RAX)) == (L.LEFT, TEXT + 8, 0)
    assert (space.run(100), space.get(RAX)) == (L.BREAKPOINT, 1)


REGISTERS = 0, 7, 6, 2, 10, 8, 9            # of a system call


def test_the_result_of_a_system_call_is_in_rax_once_the_hook_is_over(make):
    """Whatever its size, whether the hook is asked from Wasm or by `call`; and it gets the arguments in their order."""
    small = [0, 7, -1, -38, (1 << 31) - 1, -(1 << 31)]
    for value in [*small, 1 << 31, (1 << 31) + 1, (1 << 32) - 1, -(1 << 31) - 1, 0x123456789ABCDEF0, (1 << 63) - 1, -(1 << 63)]:
        for from_wasm in (True, False):
            space = program(make, (SYSCALL,), (ADDI, RBX, 0, 1), (INT3,))
            for i in range(16):
                space.set(i, 1 << 63 | i)
            space.set(RBX, 0)
            seen = []
            space.on_syscall = lambda registers: seen.append(registers) or value
            assert space.run(100) == L.BREAKPOINT if from_wasm else space.call() is True
            assert seen == [tuple(1 << 63 | i for i in REGISTERS)]
            assert (space.get(RAX), space.get(RBX)) == (value & (1 << 64) - 1, from_wasm)
            space.release()


def test_a_hook_that_answers_no_number_leaves_rax_as_it_is(make):
    space = program(make, (SYSCALL,), (SYSCALL,), (INT3,))
    space.set(RAX, 3)
    space.on_syscall = lambda registers: True
    assert (space.call(), space.get(RAX)) == (True, 3)
    assert (space.run(100), space.get(RAX)) == (L.BREAKPOINT, 3)
    space.on_syscall, space.rip = lambda registers: False, TEXT
    assert (space.call(), space.run(100), space.get(RAX), space.rip) == (False, L.LEFT, 3, TEXT + 8)


def test_a_hook_that_fails_keeps_no_result_for_the_next(make):
    space = program(make, (SYSCALL,), (SYSCALL,), (SYSCALL,), (INT3,))
    answers = [9, KeyError(), True]

    def on_syscall(registers):
        answer = answers.pop(0)
        if isinstance(answer, KeyError):
            space.write(DATA, b"written")
            raise answer
        return answer
    space.on_syscall = on_syscall
    with raises(KeyError):
        space.run(100)
    assert (space.get(RAX), space.read(DATA, 7)) == (9, b"written")
    space.set(RAX, 3)
    assert (space.run(100), space.get(RAX)) == (L.BREAKPOINT, 3)


def test_what_a_hook_permits_is_permitted_when_the_guest_goes_on(make):
    """However often that changes meanwhile, and in whatever order."""
    space = program(make, (SYSCALL,), (LOAD, RAX, RSI, 0), (INT3,))
    first, faults = (DATA >> 12) + 4, []
    stored = {perm: space.engine.stored[perm] for perm in (0, PRESENT, R | PRESENT, R | W | PRESENT)}
    space.set(RSI, (first + 1) * PAGE)
    changes = [(2, 1, R | PRESENT), (3, 4, R | W | PRESENT), (0, 2, PRESENT), (1, 1, R | PRESENT), (5, 1, 0), (6, 1, 0), (6, 1, R | PRESENT), (40, 2, R | PRESENT)]

    def change(registers):
        for page, n, perm in changes:
            space.protect(first + page, n, perm)
        return True

    def fault(address, access):
        faults.append(address)
        space.protect(first + 1, 1, R | PRESENT)
        return True
    space.on_syscall, space.on_fault = change, fault
    assert space.run(100) == L.BREAKPOINT and not faults
    wanted = [PRESENT, R | PRESENT, R | PRESENT, R | W | PRESENT, R | W | PRESENT, 0, R | PRESENT, 0]
    assert list(space.perms(first, 8)) == wanted
    assert list(space.peek(L.PERMISSIONS + first, 8)) == [stored[perm] for perm in wanted]
    assert list(space.peek(L.PERMISSIONS + first + 40, 2)) == [stored[R | PRESENT]] * 2
    space.rip, changes[:] = TEXT, [(1, 1, 0)]
    assert space.run(100) == L.BREAKPOINT and faults == [(first + 1) * PAGE]


def test_what_a_hook_stores_is_there_for_the_guest_and_for_itself(make):
    """A write may wait until the hook returns, or something else happens to memory: nobody may notice."""
    engine = make()
    other = engine.space()
    space = program(lambda: engine, (SYSCALL,), (LOAD, RBX, RSI, 0), (INT3,))
    for s in (space, other):
        s.protect(DATA // PAGE, 2, R | W | PRESENT)
    word = struct.Struct("<Q")
    old, new, third = (word.pack(n * 0x0101010101010101) for n in (1, 2, 3))
    place = DATA + PAGE - 4                     # in two pages

    def stores(): return space.try_write(place, new)
    hooks = {
        "stored":       (lambda: stores() and 5, new),
        "written":      (lambda: space.write(place, new) or 5, new),
        "left":         (lambda: not stores(), new),
        "twice":        (lambda: stores() and space.try_write(place, third), third),
        "elsewhere":    (lambda: stores() and space.try_write(place + 8, third), new),
        "other space":  (lambda: stores() and other.try_write(place, third) and other.read(place, 8) == third, new),
        "copied":       (lambda: stores() and other.copy(space, place, 8) is None and other.read(place, 8) == new, new),
        "filled":       (lambda: stores() and space.fill(place, 8) is None, bytes(8)),
        "read":         (lambda: stores() and (space.read(place, 8), space.try_read(place, 8)) == (new, new), new),
        "registers":    (lambda: stores() and space.load_context(space.context()) is None and space.rflags == 0x202, new),
        "large":        (lambda: stores() and space.write(DATA + 2 * PAGE, bytes(70000)) is None, new),
        "nested":       (lambda: stores() and other.run(100) == L.BREAKPOINT, new),
        "grown":        (lambda: stores() and space.write(place + (64 << 20), third) is None, new),
        "unmapped":     (lambda: stores() and not space.try_write(DATA + 2 * PAGE - 4, new), new),
    }
    for what, (hook, wanted) in hooks.items():
        space.write(place, old)
        load(other, (INT3,))
        space.rip, space.on_syscall = TEXT, lambda registers: hook()
        space.set(RSI, place)
        space.set(RBX, 0)
        left = what == "left"
        assert space.run(100) == (L.LEFT if left else L.BREAKPOINT), what
        assert space.read(place, 8) == wanted, what
        assert space.get(RBX) == (0 if left else word.unpack(wanted)[0]), what


def test_bytes_that_a_call_is_expected_to_read_are_those_of_memory(make):
    engine = make()
    engine.expect({1: (2, 3), 300: (1, 2)})
    space = program(lambda: engine, *[(SYSCALL,)] * 40, (INT3,))
    space.protect(DATA // PAGE, 3, R | W | PRESENT)
    content = bytes(i * 7 % 251 for i in range(3 * PAGE))
    space.write(DATA, content)
    seen = []

    def ask(number, address, n, do):
        space.on_syscall = lambda registers: seen.append(do(address, n)) is not None
        for register, value in zip(REGISTERS, (number, address, address, n) if number == 1 else (number, address, n)):
            space.set(register, value)
        assert space.run(1000) == L.LEFT
        return seen.pop()
    for number in (1, 300, 7):
        for address, n in ((DATA, 1), (DATA + 5, 4096), (DATA, 8192), (DATA + 100, 8192 + 50)):
            first = address - DATA
            assert ask(number, address, n, space.try_read) == content[first:first + n]
        assert ask(number, DATA + 1, 10, lambda address, n: space.try_read(address + 1, n)) == content[2:12]
        assert ask(number, DATA, 8, lambda address, n: (space.try_write(address + 2, b"new"), space.try_read(address, n))
                   ) == (True, content[:2] + b"new" + content[5:8])
        space.write(DATA, content)
        assert ask(number, DATA, 8, lambda address, n: (space.fill(address + 6, 2), space.try_read(address, n))) == (None, content[:6] + bytes(2))
        space.write(DATA, content)
        assert ask(number, DATA + 3 * PAGE - 4, 8, space.try_read) is None             # beyond what may be read
        assert ask(number, 1 << 40, 8, space.try_read) is None
        assert ask(number, space.limit - 4, 1 << 20, space.try_read) is None


def test_a_fault_is_answered_and_the_access_retried(make):
    space = program(make, (LOAD, RAX, RBX, 0), (ADDI, RAX, 0, 1), (STORE, RAX, RBX, 8), (INT3,))
    space.set(RBX, 0x9000FF0)
    faults = []

    def on_fault(addr, access):
        faults.append((addr, access, space.rip))
        if access == R:
            space.write(0x9000000, bytes(0xFF0) + struct.pack("<Q", 41))
        space.protect(0x9000, 1, R | PRESENT if access == R else R | W | PRESENT)
        return True
    space.on_fault = on_fault
    assert space.run(100) == L.BREAKPOINT
    assert faults == [(0x9000FF0, R, TEXT), (0x9000FF8, W, TEXT + 16)]
    assert space.read(0x9000FF0, 16) == struct.pack("<QQ", 41, 42)


def test_a_fault_leaves_with_exact_registers(make):
    space = program(make, (ADDI, RAX, 0, 1), (LOAD, RAX, RBX, 0), (INT3,))
    space.set(RBX, 0x9000000)
    space.on_fault = lambda addr, access: False
    assert (space.run(100), space.rip, space.get(RAX)) == (L.LEFT, TEXT + 8, 1)


def test_a_fault_reports_all_64_bits_of_the_address(make):
    space = program(make, (LOAD, RAX, RBX, -1), (INT3,))
    faults = []
    space.on_fault = lambda addr, access: faults.append((addr, access)) or False
    for address in (1 << 32, 0x7FFF_FFFF_F000, 1 << 63, 0xF000_0000, (1 << 64) - 4096):
        space.rip = TEXT
        space.set(RBX, address + 1)
        assert space.run(100) == L.LEFT
    assert faults == [(a, R) for a in (1 << 32, 0x7FFF_FFFF_F000, 1 << 63, 0xF000_0000, (1 << 64) - 4096)]


def test_a_jump_to_a_page_not_executable_faults(make):
    space = program(make, (JUMP, 0, 0, DATA))
    faults = []
    space.on_fault = lambda addr, access: faults.append((addr, access, space.rip)) or False
    assert space.run(100) == L.LEFT
    assert faults == [(DATA, X, DATA)]


def test_an_exception_in_a_hook_is_raised_after_leaving(make):
    space = program(make, (SYSCALL,), (LOAD, RAX, RBX, 0), (ESCAPE,), (INT3,))

    def fails(*args):
        raise LookupError("from the hook")
    space.on_syscall = space.on_fault = fails
    for rip in (TEXT + 8, TEXT + 8):           # of the system call, then of the load that faults
        with raises(LookupError):
            space.run(100)
        assert space.rip == rip
    space.rip = TEXT + 16
    space.set(RAX, 13)
    with raises(LookupError):
        space.run(100)
    space.set(RAX, 0)
    assert space.run(100) == L.BREAKPOINT      # nothing of it is left over


def test_interrupts_in_a_hook_are_kept_too(make):
    space = program(make, (SYSCALL,), (INT3,))

    def interrupted(registers):
        raise KeyboardInterrupt
    space.on_syscall = interrupted
    with raises(KeyboardInterrupt):
        space.run(100)
    assert space.run(100) == L.BREAKPOINT


def test_an_escape_runs_the_oracle_over_the_state(make):
    space = program(make, (ESCAPE,), (ESCAPE,), (INT3,))
    assert (space.run(100), space.get(RBX), space.rip) == (L.BREAKPOINT, 2, TEXT + 24)
    space.rip = TEXT
    space.set(RAX, 6)
    assert (space.run(100), space.rip) == (L.PROTECTION, TEXT)


def test_a_trap_is_a_typed_error_and_the_engine_survives_it(make):
    engine = make()
    space, other = engine.space(), engine.space()
    for opcode in (UNREACHABLE, RECURSE, OUTSIDE):
        load(space, (opcode,))
        with raises(EngineTrap):
            space.run(100)
        for survivor in (space, other):
            load(survivor, (INT3,))
            assert survivor.run(100) == L.BREAKPOINT


def test_spaces_do_not_see_each_other(make):
    engine = make()
    a, b = engine.space(), engine.space()
    load(a, (ADDI, RAX, 0, 1), (INT3,))
    load(b, (ADDI, RAX, 0, 2), (INT3,))
    a.write(DATA, b"a's")
    assert (a.run(9), b.run(9), a.get(RAX), b.get(RAX)) == (L.BREAKPOINT, L.BREAKPOINT, 1, 2)
    assert (a.read(DATA, 3), b.read(DATA, 3)) == (b"a's", bytes(3))


def test_a_hook_may_run_another_space(make):
    engine = make()
    a, b = engine.space(), engine.space()
    load(a, (SYSCALL,), (SYSCALL,), (INT3,))
    load(b, (SYSCALL,), (INT3,))
    order = []
    b.on_syscall = lambda registers: order.append("b") or True

    def on_syscall(registers):
        order.append("a")
        b.rip = TEXT
        assert b.run(100) == L.BREAKPOINT
        return True
    a.on_syscall = on_syscall
    assert a.run(100) == L.BREAKPOINT
    assert order == ["a", "b", "a", "b"]


def test_a_trap_under_a_hook_is_the_hooks_exception(make):
    engine = make()
    a, b = engine.space(), engine.space()
    load(a, (SYSCALL,), (INT3,))
    load(b, (UNREACHABLE,))
    a.on_syscall = lambda registers: b.run(100) == 0
    with raises(EngineTrap):
        a.run(100)
    assert a.run(100) == L.BREAKPOINT


def test_memory_is_read_as_written(make):
    space = make().space()
    for n in (0, 1, 4095, 4096, 65535, 65536, 65537, 300_000):
        data = bytes(i * 31 + n & 0xFF for i in range(n))
        for kind in (bytes, bytearray, memoryview):
            space.fill(0x700000, n + 4, 0xEE)
            space.write(0x700001, kind(data))
            assert space.read(0x700000, n + 2) == b"\xEE" + data + b"\xEE", n


def test_fill_sets_every_byte_of_the_range_and_no_other(make):
    space = make().space()
    space.fill(0x700000, 100, 0xFF)
    space.fill(0x70000A, 80)
    assert space.read(0x700000, 101) == b"\xFF" * 10 + bytes(80) + b"\xFF" * 10 + b"\0"


def test_memory_untouched_is_zero_and_grows_on_demand(make):
    space = make().space()
    assert space.read(0x3000_0000, 100) == bytes(100)
    space.write(0x4000_0000, b"far away")
    assert space.read(0x4000_0000, 9) == b"far away\0"


def test_growing_keeps_registers_and_memory(make):
    space = program(make, (LOAD, RAX, RBX, 0), (INT3,))
    space.set(RBX, 0x2000_0000)
    space.on_fault = lambda addr, access: space.protect(addr >> 12, 1, R | W | PRESENT) or space.set(RCX, 5) or True
    assert (space.run(10), space.get(RAX), space.get(RCX), space.rip) == (L.BREAKPOINT, 0, 5, TEXT + 16)
    space.set(RDX, 99)
    assert (space.get(RDX), space.read(TEXT, 1)) == (99, bytes([LOAD]))


def test_an_access_may_reach_over_the_end_of_the_last_page(make):
    space = program(make, (STORE, RAX, RBX, 0), (LOAD, RCX, RBX, 0), (INT3,))
    space.set(RAX, 0x1122334455667788)
    for end in (0x2000_0000, 0x2000_1000, 0x2001_0000, 0x3000_0000):
        space.protect((end >> 12) - 1, 1, R | W | PRESENT)
        space.set(RBX, end - 1)
        space.rip = TEXT
        assert (space.run(10), space.get(RCX)) == (L.BREAKPOINT, 0x1122334455667788)


def test_memory_beyond_the_limit_is_refused(make):
    space = make().space()
    assert space.limit % 4096 == 0 and space.limit + L.BIAS <= 1 << 32
    with raises(OutOfMemory):
        space.write(space.limit - 1, b"ab")


def test_permissions_are_what_the_kernel_set(make):
    space = program(make, (INT3,))
    space.protect(0x900, 3, R | W | PRESENT)
    space.protect(0x901, 1, PRESENT)
    assert space.perms(0x8FF, 5) == bytes([0, R | W | PRESENT, PRESENT, R | W | PRESENT, 0])
    for perm in range(8):
        space.protect(0x900, 1, perm | PRESENT)
        assert space.perms(0x900, 1) == bytes([perm | PRESENT])
    space.protect(0x900, 3, 0)
    assert space.perms(0x900, 3) == bytes(3)


def test_memory_is_read_and_written_where_the_kernel_permits_it(make):
    """Data of a page, of several, across a border; nothing happens unless all of it is permitted."""
    space = program(make, (INT3,))
    first, border = 0x900 << 12, 0x901 << 12
    space.protect(0x900, 4, R | W | PRESENT)
    for perm in [*range(8), *(p | PRESENT for p in range(8))]:
        for page in (0x900, 0x901, 0x903):
            space.protect(page, 1, perm)
            for addr, n in ((first, 1), (first + 9, 4000), (border - 1, 2), (border - 8, 8), (first, 4 << 12), (border, 8192)):
                data = bytes([perm + 1]) * n
                touched = addr >> 12 <= page <= addr + n - 1 >> 12
                before = space.read(addr, n)
                assert space.try_read(addr, n) == (before if perm & R or not touched else None)
                assert space.try_write(addr, data) == bool(perm & W or not touched)
                assert space.read(addr, n) == (data if perm & W or not touched else before)
            space.protect(page, 1, R | W | PRESENT)
    for addr in (0x904 << 12, (0x904 << 12) - 1, space.limit - 1, (1 << 64) - 1):
        assert (space.try_read(addr, 2), space.try_write(addr, b"ab")) == (None, False)


def test_what_is_written_where_the_kernel_permits_it_is_no_code_any_more(make):
    space = stale(make)
    assert space.try_write(TEXT, code((ADDI, RAX, 0, 10)))
    assert (space.run(10), space.get(RAX)) == (L.BREAKPOINT, 11)


def test_code_pages_keep_the_kernels_permissions(make):
    space = program(make, (INT3,))
    space.protect(TEXT >> 12, 1, R | W | X | PRESENT)
    assert space.run(10) == L.BREAKPOINT
    assert space.peek(L.PERMISSIONS + (TEXT >> 12), 1)[0] & L.CODE
    assert space.perms(TEXT >> 12, 1) == bytes([R | W | X | PRESENT])


def stale(make):
    """A space that has decoded `add rax, 1; int3` on a page of rwx, with rip back at the start."""
    space = program(make, (ADDI, RAX, 0, 1), (INT3,))
    space.protect(TEXT >> 12, 1, R | W | X | PRESENT)
    space.run(10)
    space.rip = TEXT
    return space


def test_writing_drops_code(make):
    space = stale(make)
    space.write(TEXT + 8 - 4, struct.pack("<i", 10))
    assert (space.run(10), space.get(RAX)) == (L.BREAKPOINT, 11)


def test_writing_over_several_pages_drops_code_in_the_last(make):
    space = stale(make)
    space.write(TEXT - 2 * 4096, bytes(2 * 4096) + code((ADDI, RAX, 0, 10)))
    assert (space.run(10), space.get(RAX)) == (L.BREAKPOINT, 11)


def test_filling_drops_code(make):
    space = stale(make)
    space.fill(TEXT, 16)
    assert space.run(10) == L.ILLEGAL


def test_copying_drops_code(make):
    space = stale(make)
    other = space.engine.space()
    load(other, (ADDI, RAX, 0, 10), (INT3,))
    space.copy(other, TEXT, 4096)
    assert (space.run(10), space.get(RAX)) == (L.BREAKPOINT, 11)


def test_protecting_drops_code(make):
    space = stale(make)
    space.poke(L.BIAS + TEXT + 4, struct.pack("<i", 10))      # behind the engine's back: the old code still runs
    assert (space.run(10), space.get(RAX)) == (L.BREAKPOINT, 2)
    space.rip = TEXT
    space.protect(TEXT >> 12, 1, R | X | PRESENT)
    assert space.perms(TEXT >> 12, 1) == bytes([R | X | PRESENT])
    assert (space.run(10), space.get(RAX)) == (L.BREAKPOINT, 12)


def test_the_lowest_pages_have_no_permissions(make):
    space = make().space()
    with raises(ValueError):
        space.protect(15, 2, R | PRESENT)
    space.protect(0, 16, 0)
    space.protect(16, 1, R | PRESENT)


def test_guest_stores_to_code_need_no_kernel(make):
    space = stale(make)
    space.write(TEXT, code((STORE, RCX, RDX, 8), (ADDI, RAX, 0, 1), (INT3,)))
    space.set(RDX, TEXT)
    space.set(RCX, int.from_bytes(code((ADDI, RAX, 0, 50)), "little"))
    assert (space.run(10), space.get(RAX)) == (L.BREAKPOINT, 51)


def test_copying_takes_contents_only(make):
    engine = make()
    parent, child = engine.space(), engine.space()
    parent.protect(0x20000, 600, R | W | PRESENT)
    data = bytes(i * 7 & 0xFF for i in range(4096)) * 600
    parent.write(0x2000_0000, data)
    parent.set(RAX, 5)
    child.copy(parent, 0x2000_0000, len(data))
    assert child.read(0x2000_0000, len(data)) == data
    assert (child.get(RAX), child.perms(0x20000, 1)) == (0, b"\0")
    parent.write(0x2000_0000, b"changed")
    assert child.read(0x2000_0000, 7) == data[:7]
    child.copy(parent, 0x3000_0000, 4096)                     # not backed in either
    assert child.read(0x3000_0000, 4096) == bytes(4096)


def test_adopting_takes_the_chosen_pages_and_their_permissions(make):
    parent = program(make, (INT3,))
    parent.protect(0x20, 6, R | W | PRESENT)
    parent.write(0x20000, b"".join(bytes([n]) * 4096 for n in range(1, 7)))
    chosen = bytes([0, R | PRESENT, R | W | PRESENT, 0, 0, PRESENT, 0, 0])
    child = parent.engine.space()
    child.adopt(parent, 0x1F, chosen)
    assert child.perms(0x1F, 8) == chosen
    assert [child.read(0x20000 + n * 4096, 4096) for n in range(6)] == [bytes([n]) * 4096 for n in (1, 2, 0, 0, 5, 0)]
    stored = [L.READ | L.PRESENT, L.READ | L.WRITE | L.MAY_WRITE | L.PRESENT]
    assert list(child.peek(L.PERMISSIONS + 0x20, 2)) == stored


def test_contexts_switch_all_registers(make):
    space = program(make)
    fresh = space.context()
    for i in range(16):
        space.set(i, i + 1 << 40)
    space.rip, space.fs_base, space.rflags = 0x1234, 0x5678, 0x246
    space.poke(L.VECTOR, bytes(range(256)))
    saved, image = space.context(), space.fxsave()
    assert len(saved) == L.CONTEXT
    space.load_context(fresh)
    assert ([space.get(i) for i in range(16)], space.rip, space.rflags) == ([0] * 16, TEXT, 0x202)
    space.load_context(saved)
    assert [space.get(i) for i in range(16)] == [i + 1 << 40 for i in range(16)]
    assert (space.rip, space.fs_base, space.rflags, space.fxsave()) == (0x1234, 0x5678, 0x246, image)


def test_fxsave_of_a_fresh_space_is_the_reset_state(make):
    image = make().space().fxsave()
    expected = bytearray(512)
    struct.pack_into("<HHB", expected, 0, 0x37F, 0, 0)
    struct.pack_into("<II", expected, 24, 0x1F80, 0xFFFF)
    assert image == bytes(expected)


def test_fxsave_stores_x87_in_stack_order(make):
    space = make().space()
    for i in range(8):
        space.poke(L.X87 + 16 * i, bytes([0x10 + i]) * 10)
    for i in range(16):
        space.poke(L.VECTOR + 32 * i, bytes([0x80 + i]) * 16 + b"\xEE" * 16)
    space.poke(L.FSW, (6 << 11 | 0x41).to_bytes(2, "little"))
    space.poke(L.FTW, b"\xC0")
    image = space.fxsave()
    assert image[:6] == bytes([0x7F, 0x03, 0x41, 0x30, 0xC0, 0])
    assert [image[32 + 16 * i:48 + 16 * i] for i in range(8)] == [bytes([0x10 + (6 + i) % 8]) * 10 + bytes(6) for i in range(8)]
    assert image[160:416] == b"".join(bytes([0x80 + i]) * 16 for i in range(16))
    assert image[416:] == bytes(96)


def test_fxrstor_undoes_fxsave(make):
    space = make().space()
    image = bytearray(512)
    image[160:416] = bytes(i & 0xFF for i in range(256))
    for i in range(8):
        image[32 + 16 * i:42 + 16 * i] = bytes([i + 1]) * 10
    struct.pack_into("<HHB", image, 0, 0x27F, 3 << 11, 0x18)
    struct.pack_into("<II", image, 24, 0x9FC0, 0xFFFF)
    space.fxrstor(bytes(image))
    assert space.fxsave() == bytes(image)
    assert space.peek(L.X87 + 16 * 3, 10) == b"\1" * 10
    struct.pack_into("<I", image, 24, 0xFFFF1F80)             # reserved bits of MXCSR
    space.fxrstor(bytes(image))
    assert struct.unpack_from("<I", space.fxsave(), 24) == (0x1F80,)


def test_released_spaces_come_back_as_if_new(make):
    engine = make()
    untouched = engine.space()
    fresh = untouched.peek(0, L.BIAS)
    space = engine.space()
    load(space, (SYSCALL,), (STORE, RAX, RBX, 0), (INT3,))
    space.on_syscall = lambda registers: True
    space.set(RBX, DATA)
    space.set(RAX, (1 << 64) - 1)
    assert space.run(100) == L.BREAKPOINT
    space.protect(0x20000, 100, R | W | PRESENT)
    space.fill(0x2000_0000, 100 * 4096, 0xAA)
    space.protect(0x20000, 50, PRESENT)                       # no permission, but still there
    space.write(0x2100_0000, b"written, never permitted")
    for i in range(1000):
        space.write(0x2200_0000 + 8192 * i, b"written before it is permitted")
        space.protect(0x22000 + 2 * i, 1, R | PRESENT)
    space.poke(L.BIAS + 0x2200_0000 + 999 * 8192 + 4096, b"an access reached over the end of its page")
    space.rflags, space.fs_base = 0x246, 1
    space.fxrstor(b"\x55" * 512)
    space.release()
    again = engine.space()
    assert again is space, "released spaces are reused"
    assert again.peek(0, L.BIAS) == fresh
    assert toy.DECODE_TABLE in fresh
    for addr, n in ((TEXT, 4096), (DATA, 4096), (0x2000_0000, 100 * 4096), (0x2100_0000, 4096), (0x2200_0000, 1000 * 8192)):
        assert again.read(addr, n) == bytes(n), hex(addr)
    load(again, (ADDI, RAX, 0, 1), (INT3,))
    assert (again.run(100), again.get(RAX), again.instructions) == (L.BREAKPOINT, 1, 2)


def test_a_hook_may_release_the_space_it_was_called_for(make):
    for kept in (0, 8):
        engine = make(max_spaces=2, kept_spaces=kept)
        for _ in range(5):
            space = program(lambda: engine, (SYSCALL,), (INT3,))

            def exits(registers):
                space.fill(DATA, 4096, 1)
                space.release()
                other = program(lambda: engine, (ADDI, RAX, 0, 1), (INT3,))     # execve goes on elsewhere
                assert other is not space and other.run(9) == L.BREAKPOINT
                other.release()
                return False
            space.on_syscall = exits
            assert space.run(100) == L.LEFT
        space = engine.space()
        assert (engine.live, space.read(DATA, 4096), space.get(RAX)) == (1, bytes(4096), 0)


def test_closing_lets_kept_spaces_go(make):
    engine = make()
    space = program(lambda: engine, (INT3,))
    space.release()
    assert engine._kept == [space]
    engine.close()
    assert engine._kept == []


def test_a_released_space_has_no_kernel(make):
    engine = make()
    space = engine.space()
    space.on_syscall = lambda registers: True
    space.release()
    again = engine.space()
    load(again, (SYSCALL,), (INT3,))
    with raises(AssertionError):
        again.run(100)


def test_what_waits_for_reuse_is_bounded_together_and_by_what_it_ever_held(make):
    engine = make(kept_spaces=4, kept_bytes=1 << 20)
    one, other = engine.space(), engine.space()
    for space in (one, other):
        space.protect(0x20000, 150, R | W | PRESENT)
        space.release()
    assert engine.space() is one
    one.release()                               # empty now, but its Memory is as big as it was
    third = engine.space()
    assert third is one
    third.release()
    fresh = engine.space(), engine.space()
    fresh[1].protect(0x20000, 150, R | W | PRESENT)
    for space in fresh:
        space.release()
    assert engine.space() is one and engine.space() is not fresh[1]


def test_reuse_has_bounds_and_an_off_switch(make):
    engine = make(kept_spaces=2, kept_bytes=1 << 20)
    big, *small = (engine.space() for _ in range(4))
    big.protect(0x20000, 257, R | W | PRESENT)
    for space in (big, *small):
        space.release()
    again = {id(engine.space()) for _ in range(4)}
    assert {id(s) for s in small[:2]} <= again and not {id(big), id(small[2])} & again
    for pages, kept in ((257, False), (100, True)):         # what is no longer there when it is released counts too, once
        engine = make(kept_bytes=1 << 20)
        space = engine.space()
        for _ in range(5):
            for first in (0x20000, 0x20000 + pages // 2):
                space.protect(first, pages // 2 + 1, R | W | PRESENT)
            space.protect(0x20000, pages + 1, 0)
        space.release()
        assert (engine.space() is space) == kept
    engine = make(kept_spaces=0)
    space = engine.space()
    space.release()
    assert engine.space() is not space


def test_spaces_that_wait_for_reuse_can_be_let_go(make):
    engine = make()
    used, waits = engine.space(), engine.space()
    load(used, (ADDI, RAX, 0, 5), (INT3,))
    waits.release()
    engine.shed()
    assert engine.space() is not waits and used.run(10) == L.BREAKPOINT and used.get(RAX) == 5
    used.release()
    assert engine.space() is used


def test_spaces_run_out_and_come_back(make):
    engine = make(max_spaces=3)
    spaces = [engine.space() for _ in range(3)]
    with raises(OutOfSpaces):
        engine.space()
    spaces[1].release()
    load(engine.space(), (INT3,))
    with raises(OutOfSpaces):
        engine.space()


def test_many_spaces_live_and_die(make):
    engine = make(kept_spaces=0)
    for round in range(3):
        spaces = [engine.space() for _ in range(80)]
        for i, space in enumerate(spaces):
            load(space, (ADDI, RAX, 0, i), (INT3,))
        for i, space in enumerate(spaces):
            assert (space.run(10), space.get(RAX)) == (L.BREAKPOINT, i)
            space.release()


def image(**more):
    """The toy, with more members."""
    toys = toy.Toy(toy.assembled("toy"))
    vars(toys).update(more)
    return toys


def test_single_steps_are_the_images(make):
    steps = []

    def step(space):
        steps.append((engine.running, space.rip))
        space.rip += 8
        return L.STEP
    engine = make(image=image(step=step))
    space = program(lambda: engine, (SYSCALL,), (ADDI, RAX, 0, 1), (INT3,))

    def on_syscall(registers):
        space.rflags |= 0x100
        return True
    space.on_syscall = on_syscall
    assert (space.run(100), space.rip, steps) == (L.LEFT, TEXT + 8, [])
    assert (space.run(100), space.rip, steps) == (L.STEP, TEXT + 16, [(space, TEXT + 8)])
    stepped = space.context()
    space.rflags &= ~0x100
    assert (space.run(100), len(steps)) == (L.BREAKPOINT, 1)
    space.load_context(stepped)
    assert (space.run(100), len(steps)) == (L.STEP, 2)
    space.release()
    again = engine.space()
    assert again is space
    load(again, (ADDI, RAX, 0, 1), (INT3,))
    assert (again.run(100), len(steps)) == (L.BREAKPOINT, 2)


def linked(make, *instructions, name="regions", count=3):
    """A space with the instructions at TEXT, decoded by a run, and the slots of a region module linked to it."""
    space = program(make, *instructions)
    space.run(100)
    space.rip = TEXT
    return space, space.link(space.engine.compile_regions(toy.assembled(name)), count)


def test_hot_code_is_reported_when_the_run_is_over(make):
    seen = []
    engine = make(image=image(warm=5, rehot=50, hot=lambda space: seen.append((space, engine.running, space.hot(), space.hot()))))
    space = program(lambda: engine, (HOT,), (ADDI, RAX, 0, 1), (HOT,), (INT3,))
    assert struct.unpack("<II", space.peek(L.WARM, 4) + space.peek(L.REHOT, 4)) == (5, 50)
    assert space.run(1) == L.FUEL
    assert space.run(1) == L.FUEL          # nothing became hot
    assert space.run(10) == L.BREAKPOINT
    assert [(s, hot, again) for s, _, hot, again in seen] == [(space, [TEXT], []), (space, [TEXT + 16], [])]


def test_hot_code_is_reported_although_a_hook_failed(make):
    seen = []
    space = program(make, (HOT,), (SYSCALL,), (INT3,), image=image(warm=5, rehot=5, hot=lambda space: seen.append(space.hot())))

    def fails(registers):
        raise LookupError("from the hook")
    space.on_syscall = fails
    with raises(LookupError):
        space.run(10)
    assert seen == [[TEXT]]
    assert space.run(10) == L.BREAKPOINT


def test_a_failing_report_leaves_nothing_behind(make):
    def fails(space):
        space.hot()
        raise LookupError("from the report")
    space = program(make, (HOT,), (SYSCALL,), (INT3,), image=image(warm=5, rehot=5, hot=fails))

    def also_fails(registers):
        raise KeyError("from the hook")
    space.on_syscall = also_fails
    with raises(LookupError):
        space.run(10)
    assert space.run(10) == L.BREAKPOINT


def test_hot_code_of_a_space_released_meanwhile_is_not_reported(make):
    for kept in (0, 8):
        seen = []
        space = program(make, (HOT,), (SYSCALL,), image=image(warm=5, rehot=5, hot=seen.append), kept_spaces=kept)
        space.on_syscall = lambda registers, space=space: space.release()
        assert space.run(10) == L.LEFT
        assert not seen


def test_nothing_is_counted_where_nobody_asks(make):
    space = program(make, (HOT,), (INT3,))
    assert struct.unpack("<II", space.peek(L.WARM, 4) + space.peek(L.REHOT, 4)) == (0x7FFFFFFF, 0x7FFFFFFF)
    assert (space.run(10), space.hot()) == (L.BREAKPOINT, [])


def test_installed_functions_stand_for_code(make):
    space, (adds, _, _) = linked(make, (ADDI, RAX, 0, 1), (INT3,), (ADDI, RAX, 0, 10), (INT3,))
    assert adds == toy.HANDLERS
    assert space.find(TEXT) and space.find(TEXT) % 16 == 0
    assert not space.find(TEXT + 16), "it was not decoded"
    assert not space.install(TEXT + 16, adds, TEXT + 16, TEXT + 23)
    assert space.install(TEXT, adds, TEXT, TEXT + 7)
    space.set(RDI, TEXT + 16)
    assert (space.run(10), space.get(RAX), space.rip) == (L.BREAKPOINT, 111, TEXT + 32)
    count, = struct.unpack("<I", space.peek(L.BLOCK_COUNT, 4))
    assert struct.unpack("<II", space.peek(L.BLOCKS + 16 * count - 16, 8)) != (TEXT, TEXT + 7), "only decoded since"


def test_install_passes_all_32_bits(make):
    space, slots = linked(make, (INT3,))
    before, = struct.unpack("<I", space.peek(L.BLOCK_COUNT, 4))
    assert space.install(TEXT, slots[0], 0x8000_0001, 0xFFFF_FFFE)
    assert struct.unpack("<II", space.peek(L.BLOCKS + 16 * before, 8)) == (0x8000_0001, 0xFFFF_FFFE)
    assert space.find(0xFFFF_FFF8) == 0


def test_regions_reach_the_kernel_and_each_other(make):
    space, (adds, asks, calls) = linked(make, (JUMP, 0, 0, TEXT + 8), (JUMP, 0, 0, TEXT + 16), (INT3,))
    assert space.install(TEXT, calls, TEXT, TEXT + 7) and space.install(TEXT + 8, asks, TEXT, TEXT + 7)
    seen = answered(space, RBX, TEXT + 16)
    space.set(RDI, TEXT + 8)
    assert (space.run(10), space.get(RAX), space.get(RBX), space.rip) == (L.BREAKPOINT, 7, 1, TEXT + 24)
    assert seen == [(TEXT + 8, 0)]


def test_a_hook_under_a_region_may_leave(make):
    space, (_, asks, calls) = linked(make, (JUMP, 0, 0, TEXT + 8), (JUMP, 0, 0, TEXT + 16), (INT3,))
    space.install(TEXT, calls, TEXT, TEXT + 7)
    space.install(TEXT + 8, asks, TEXT, TEXT + 7)
    space.set(RDI, TEXT + 8)
    space.on_syscall = lambda registers: False
    assert (space.run(10), space.get(RBX), space.rip) == (L.LEFT, 1, TEXT + 8)


def test_writing_over_code_drops_what_stands_for_it(make):
    space, slots = linked(make, (ADDI, RAX, 0, 1), (INT3,))
    space.install(TEXT, slots[0], TEXT, TEXT + 7)
    space.set(RDI, TEXT + 8)
    assert (space.run(10), space.get(RAX)) == (L.BREAKPOINT, 101)
    space.write(TEXT, code((ADDI, RAX, 0, 2)))
    space.rip = TEXT
    assert (space.run(10), space.get(RAX)) == (L.BREAKPOINT, 103)


def test_unlinked_slots_are_empty_and_used_again(make):
    space, slots = linked(make, (ADDI, RAX, 0, 1), (INT3,))
    regions = space.engine.compile_regions(toy.assembled("regions"))
    space.install(TEXT, slots[0], TEXT, TEXT + 7)
    space.unlink(slots)
    space.rip = TEXT
    with raises(EngineTrap):
        space.run(10)
    with raises(AssertionError):
        space.unlink(slots[:1])
    used = set()
    for _ in range(100):
        again = space.link(regions, 3)
        assert len(set(again)) == 3
        used.update(again)
        space.unlink(again[:1])
        space.unlink(again[1:])
    assert len(used) == 3
    assert space.link(regions, 0) == []


def test_linked_slots_are_all_different_and_after_the_modules_own(make):
    space, slots = linked(make, (INT3,))
    regions = space.engine.compile_regions(toy.assembled("regions"))
    for _ in range(100):
        slots += space.link(regions, 3)
    assert len(set(slots)) == len(slots) == 303 and min(slots) == toy.HANDLERS
    assert space.install(TEXT, slots[300], TEXT, TEXT + 7)
    space.set(RDI, TEXT + 8)
    space.rip = TEXT
    space.run(1)
    assert space.get(RAX) == 100


def test_a_region_module_that_does_not_fit_is_refused(make):
    space, slots = linked(make, (INT3,))
    engine = space.engine
    for wasm in (b"", b"not wasm", toy.assembled("regions")[:-3]):
        with raises(EngineError):
            engine.compile_regions(wasm)
    for name, count in (("misfit", 1), ("stranger", 1), ("regions", 4)):
        regions = engine.compile_regions(toy.assembled(name))
        with raises(EngineError):
            space.link(regions, count)
    regions = engine.compile_regions(toy.assembled("regions"))
    assert space.link(regions, 2) == [slots[-1] + 1, slots[-1] + 2], "no slot was lost"


def test_a_full_table_is_reported(make):
    space, slots = linked(make, (INT3,))
    regions = space.engine.compile_regions(toy.assembled("regions"))
    limit, engine_space.MAX_SLOTS = engine_space.MAX_SLOTS, 100
    try:
        with raises(OutOfMemory):
            for _ in range(50):
                slots += space.link(regions, 3)
        assert len(slots) == 99
        space.unlink(slots[:3])
        assert sorted(space.link(regions, 3)) == slots[:3]
    finally:
        engine_space.MAX_SLOTS = limit


def test_many_slots_are_emptied_at_once(make):
    space, _ = linked(make, (INT3,))
    regions = space.engine.compile_regions(toy.assembled("regions200"))
    for _ in range(engine_space.MAX_SLOTS // 200):
        space.link(regions, 200)
    space.release()
    again = space.engine.space()
    assert again.link(regions, 200)


def test_an_image_is_told_of_every_space_that_is_made_or_used_again(make):
    created = []
    engine = make(image=image(created=lambda space: (created.append(space), space.poke(4096, b"mark"))))
    first = engine.space()
    assert created == [first] and first.peek(4096, 4) == b"mark"
    first.poke(4096, b"gone")
    first.release()
    assert engine.space() is first
    assert created == [first, first] and first.peek(4096, 4) == b"mark"


def test_released_spaces_forget_their_links(make):
    gone = []
    engine = make(image=image(released=gone.append))
    space, slots = linked(lambda: engine, (ADDI, RAX, 0, 1), (INT3,))
    space.install(TEXT, slots[0], TEXT, TEXT + 7)
    space.release()
    assert gone == [space]
    again = engine.space()
    assert again is space
    load(again, (ADDI, RAX, 0, 1), (INT3,))
    assert (again.run(10), again.get(RAX)) == (L.BREAKPOINT, 1)
    again.rip = TEXT
    assert again.install(TEXT, slots[0], TEXT, TEXT + 7)      # even if a slot of the old program is remembered:
    with raises(EngineTrap):
        again.run(10)
    regions = engine.compile_regions(toy.assembled("regions"))
    assert sorted(again.link(regions, 3)) == slots
    again.release()
    assert gone == [space, space]


def test_a_region_may_be_on_the_stack_when_its_space_is_released(make):
    for kept in (0, 8):
        gone = []
        engine = make(image=image(released=gone.append), kept_spaces=kept)
        for n in range(3):
            space, (_, asks, calls) = linked(lambda: engine, (JUMP, 0, 0, TEXT + 8), (JUMP, 0, 0, TEXT + 16), (INT3,))
            space.install(TEXT, calls, TEXT, TEXT + 7)
            space.install(TEXT + 8, asks, TEXT, TEXT + 7)
            space.set(RDI, TEXT + 8)

            def exits(registers):
                space.release()
                assert len(gone) == n, "its frames are still there"
                return False
            space.on_syscall = exits
            assert space.run(10) == L.LEFT
            assert len(gone) == n + 1


def test_regions_that_exhaust_the_stack_trap(make):
    space, (slot,) = linked(make, (INT3,), (INT3,), name="deep", count=1)
    space.install(TEXT, slot, TEXT, TEXT + 7)
    for deep in (toy.DEPTH - 1, toy.DEPTH - 1):
        space.set(RDI, TEXT)
        space.set(RAX, deep)
        space.rip = TEXT
        with raises(EngineTrap):
            space.run(10)
    space.set(RAX, 0)
    space.rip = TEXT + 8
    assert space.run(10) == L.BREAKPOINT


def test_the_kernel_can_be_asked_from_deep_down(make):
    """From as deep as regions may go: the hook's own frames need some of the stack."""
    space, (slot,) = linked(make, (INT3,), (INT3,), name="deep", count=1)
    space.install(TEXT, slot, TEXT, TEXT + 7)
    space.set(RDI, TEXT)
    space.set(RAX, 300)
    depths = []
    space.on_syscall = lambda registers: depths.append(space.get(RAX)) or repr([[[[{}]]]]) == ""
    assert space.run(10) == L.LEFT
    assert (depths, space.get(RAX)) == ([0], 300)


def test_a_region_module_may_be_compiled_beside_the_guest(make):
    space, _ = linked(make, (ADDI, RAX, 0, 1), (INT3,), (ADDI, RAX, 0, 10), (INT3,))
    engine = space.engine
    before = engine.counters.modules
    several = [engine.compile_regions(toy.assembled("regions"), wait=False) for _ in range(20)]
    assert (space.run(10), space.get(RAX)) == (L.BREAKPOINT, 2)
    slots = [space.link(regions, 3)[0] for regions in reversed(several)]
    assert all(regions.ready for regions in several) and engine.counters.modules == before + 20
    space.set(RDI, TEXT + 16)
    for slot in slots:
        space.rip = TEXT
        space.install(TEXT, slot, TEXT, TEXT + 7)
        space.run(1)
    assert space.get(RAX) == 2002


def test_a_region_module_that_cannot_be_compiled_beside_the_guest_fails_when_linked(make):
    space, _ = linked(make, (INT3,))
    bad = space.engine.compile_regions(b"not wasm", wait=False)
    good = space.engine.compile_regions(toy.assembled("regions"), wait=False)
    for _ in range(2):
        with raises(EngineError):
            space.link(bad, 1)
    assert bad.ready and len(space.link(good, 3)) == 3


def test_what_regions_executed_is_counted_beyond_the_end_of_a_space(make):
    engine = make()
    first, second = program(lambda: engine, (INT3,)), program(lambda: engine, (INT3,))
    for space, n in ((first, 5), (second, 70)):
        space.poke(L.REGION_INSTRUCTIONS, (n + (1 << 32)).to_bytes(8, "little"))
    assert (first.region_instructions, engine.region_instructions) == (5 + (1 << 32), 75 + (2 << 32))
    first.release()
    assert engine.region_instructions == 75 + (2 << 32)
    again = engine.space()
    assert (again.region_instructions, engine.region_instructions) == (0, 75 + (2 << 32))


def test_functions_in_tables_are_counted_while_they_are_there(make):
    engine = make()
    first, second = program(lambda: engine, (INT3,)), program(lambda: engine, (INT3,))
    regions = engine.compile_regions(toy.assembled("regions20"))
    slots = first.link(regions, 3)
    second.link(regions, 3)
    assert engine.slots == 6
    first.unlink(slots[1:])
    assert engine.slots == 4
    second.release()
    assert engine.slots == 1


def test_region_modules_are_counted(make):
    engine = make()
    assert engine.counters == engine_space.Counters()
    space = program(lambda: engine, (INT3,))
    wasm = toy.assembled("regions20")
    one, two = engine.compile_regions(wasm), engine.compile_regions(wasm)
    space.link(one, 20)
    space.link(one, 5)
    counters = engine.counters
    assert (counters.modules, counters.module_bytes, counters.links, counters.linked_functions) == (2, 2 * len(wasm), 2, 25)
    assert (len(engine.regions), sum(r.n_bytes for r in engine.regions)) == (2, 2 * len(wasm))
    del two
    assert len(engine.regions) == 1
    for _ in range(1000):                                  # the clock of a page is coarse
        if counters.compile_seconds > 0 and counters.link_seconds > 0:
            break
        engine.compile_regions(wasm)
        space.unlink(space.link(one, 5))
    assert counters.compile_seconds > 0 and counters.link_seconds > 0


def all_tests() -> dict:
    return {name: f for name, f in globals().items() if name.startswith("test_")}
