"""Regions verified against the interpreter, while any program runs: a `Translator` that trusts none of them.

Where a region stands a stub is entered instead, which leaves `run`. Then the region is executed for a while from the state
there; all is put back, and the interpreter executes until it stands where the region came out. Registers, flags and every
page written must be the same; else `Difference` says what is not. A page is kept before it is written first: in both
executions only pages already kept may be written, and an access to another one is answered here. Whatever has effects that
could not be taken back (system calls, faults, instructions executed elsewhere) ends both executions and is not done in them.

Slow, and for finding bugs of ours only. Knows spaces as the translator does.
"""
import struct
from contextlib import contextmanager
from dataclasses import replace

from ..wasm.module import Module
from ..x86.decode import Truncated, Undefined, decode
from ..x86.ieee import DE, EXCEPTIONS
from ..x86.meaning import RSP
from . import layout as at
from .assembler import Function, c32, invoke, invoke_indirect
from .decoder import Tables
from .frame import PARAMETERS, RESULTS
from .handler import R_DISP, R_HANDLER, R_SLOT, R_TARGET
from .interpreter import REGION_SHARE
from .regions import Translator

ENTRIES = 200                   # entries into each region that are verified; later ones are trusted
FUEL = 2000                     # what a region may execute in one
SPARE = 300                     # instructions that the interpreter may execute beyond what the region says it did
PATH = 40                       # of those it executed, how many are shown
LEAVE, INTERPRET, ENTER, ENTERED = range(4)     # what a stub does: cell CHECK
R_REGION, R_TRUSTED = R_DISP, R_TARGET        # of the record at an entry: the region's slot, since R_SLOT has the stub's; 1: not verified

_PAGE = 4096
_U32, _U64 = struct.Struct("<I"), struct.Struct("<Q")
_WITHHELD = at.WRITE | at.MAY_WRITE
_WITHHOLD = bytes(b & ~_WITHHELD for b in range(256))
_GENERAL = "rax rcx rdx rbx rsp rbp rsi rdi r8 r9 r10 r11 r12 r13 r14 r15".split()
_PARTS = ([(name, at.GPR + 8 * n, 8) for n, name in enumerate(_GENERAL)] + [(f"ymm{n}", at.VECTOR + 32 * n, 32) for n in range(16)]
          + [(f"x87 register {n}", at.X87 + 16 * n, 10) for n in range(8)]
          + [("fs base", at.FS_BASE, 8), ("gs base", at.GS_BASE, 8), ("df", at.DF, 4), ("mxcsr", at.MXCSR, 4), ("fcw", at.FCW, 2),
             ("fsw", at.FSW, 2), ("ftw", at.FTW, 1), ("fop", at.FOP, 2), ("fip", at.FIP, 8), ("fdp", at.FDP, 8)])
_ARITHMETIC = 0x8D5


class Difference(Exception):
    """A region did what the interpreter does not do. Its text is for people."""


def stub() -> bytes:
    """The module of the function that stands for every region."""
    m = Module()
    m.import_memory("env", "memory", at.BIAS // 65536 + 16, 65536)
    table = m.import_table("env", "table")
    find = m.import_function("env", "find", "i32", "i32")
    f = Function(m, "0", PARAMETERS, RESULTS, export=True)
    depth, rip, rsp = f.params
    mode = f.local(value=c32(0).load("i32.load", at.CHECK))
    record = f.local(value=invoke(find, rip))
    slot = record.load("i32.load", R_REGION)
    with f.if_(mode >= ENTER):
        with f.if_(mode == ENTER):
            f.store("i32.store", 0, FUEL, at.REGION_FUEL)
            f.store("i32.store", 0, ENTERED, at.CHECK)
        answer = f.local(value=invoke_indirect(m.type(PARAMETERS, RESULTS), slot, depth, rip, rsp, table=table, also=(rsp,)))
        with f.if_((mode == ENTER) & answer.is_zero() & (c32(0).load("i32.load", at.STOP) == at.RETRY)):
            f.store("i32.store", 0, at.LEFT, at.STOP)
            f.store("i32.store", 0, 1, at.CHECK_RETRY)
        f.ret(answer, rsp)
    with f.if_((mode == LEAVE) & record.load("i32.load", R_TRUSTED)):
        f.tail(m.type(PARAMETERS, RESULTS), slot, depth, rip, rsp, table=table)
    f.store("i64.store", 0, rip.wide(), at.RIP)
    f.store("i64.store", 0, rsp, at.GPR + 8 * RSP)
    f.store("i32.store", 0, at.RETRY, at.STOP)
    with f.if_(mode == INTERPRET):
        f.ret(0, rsp)
    with f.if_(rip == c32(0).load("i32.load", at.CHECK_PASS)):
        f.store("i32.store", 0, 0, at.CHECK_PASS)
        f.ret(0, rsp)
    f.store("i32.store", 0, at.FUEL, at.STOP)
    count = f.local(value=c32(0).load("i32.load", at.HOT_COUNT))
    with f.if_(count >= at.HOT_MAX):
        f.set(count, 0)
    f.store("i32.store", count << 2, rip, at.HOT)
    f.store("i32.store", 0, count + 1, at.HOT_COUNT)
    f.ret(0, rsp)
    f.done()
    return m.encode()


class Checker(Translator):
    """A Translator whose regions are verified. `entries`: how often each."""

    def __init__(self, features, options, entries: int = ENTRIES):
        super().__init__(features, replace(options, calls_flags=False))     # or flags might be old where it comes out
        self.entries = entries
        self.strict = True
        self.verified = 0                               # entries into regions
        self._stubs: dict = {}                          # space -> slot
        self._left: dict = {}                           # space -> {entry: how often it is still to be verified}
        self.written: dict = {}                        # entry -> pages it wrote the last time
        self._busy = False

    def released(self, space) -> None:
        super().released(space)
        self._stubs.pop(space, None)
        self._left.pop(space, None)

    def _install(self, space, batch, rip) -> bool:
        installed = super()._install(space, batch, rip)
        record = space.find(rip)
        if record and _u32(space, record + R_HANDLER) == Tables.ENTER:
            if space not in self._stubs:
                self._stubs[space], = space.link(space.engine.compile_regions(stub()), 1)
            space.poke(record + R_REGION, space.peek(record + R_SLOT, 4))
            space.poke(record + R_SLOT, _U32.pack(self._stubs[space]))
            space.poke(record + R_TRUSTED, bytes(4))
            self._left.setdefault(space, {})[rip] = self.entries
        return installed

    def _slot_at(self, space, record) -> bytes:
        slot = space.peek(record + R_SLOT, 4)
        return space.peek(record + R_REGION, 4) if slot == _U32.pack(self._stubs.get(space, 0)) else slot

    def hot(self, space) -> None:
        if self._busy or space.engine.raised:
            return
        reported = space.hot()
        others = [rip for rip in reported if not self._is_stub(space, rip)]
        if others:
            space.poke(at.HOT, struct.pack(f"<{len(others)}I", *others))
            space.poke(at.HOT_COUNT, _U32.pack(len(others)))
            super().hot(space)
        rip = space.rip
        if rip in reported and self._is_stub(space, rip):
            self._busy = True
            try:
                _Check(self, space, rip).verify()
            finally:
                self._busy = False
            self.verified += 1
            left = self._left[space]
            left[rip] -= 1
            if not left[rip]:                           # trusted from now on
                space.poke(space.find(rip) + R_TRUSTED, _U32.pack(1))

    def _is_stub(self, space, rip) -> bool:
        record = space.find(rip)
        return bool(record and space in self._stubs and _u32(space, record + R_HANDLER) == Tables.ENTER
                    and _u32(space, record + R_SLOT) == self._stubs[space])


def _u32(space, address) -> int: return _U32.unpack(space.peek(address, 4))[0]


class _Check:
    """One entry into one region."""

    def __init__(self, checker: Checker, space, rip: int):
        self.checker, self.space, self.entry = checker, space, rip
        self.before = space.context()
        self.kept: dict[int, bytes] = {}                # page -> what was in it
        self.ended = ""                                 # by a hook: "syscall", "fault", "elsewhere"
        self.path: list[int] = []                       # where the interpreter has been
        self.nearest: list[str] | None = None           # the differences of the state most like the region's

    def verify(self) -> None:
        space = self.space
        counters = self._counters()
        with self._alone():
            for page in self.checker.written.get(self.entry, ()):
                self._keep(page)
            self._execute_region()
            self.checker.written[self.entry] = [page for page, was in self.kept.items() if self._content(page) != was]
            result = _Result(self)
            steps = self._follow(result)
            if steps is None and _is_branch(space.read(result.rip, 2)):
                # The interpreter joins comparisons with the branch after them, and does not stop between.
                result.load(self)
                self._run(INTERPRET)
                steps = self._follow(_Result(self))
            if steps is None:
                raise Difference(self._report(result))
            result.load(self)
            if result.ended == "syscall":               # it is still to be made
                space.rip -= 2
            if result.ended or not steps:
                space.poke(at.CHECK_PASS, _U32.pack(space.rip & 0xFFFFFFFF))
        for where, n in zip((at.INSTRUCTIONS, at.REGION_INSTRUCTIONS), counters):
            space.poke(where, _U64.pack(n + steps))

    def _counters(self) -> list[int]:
        return [_U64.unpack(self.space.peek(where, 8))[0] for where in (at.INSTRUCTIONS, at.REGION_INSTRUCTIONS)]

    # ---- nobody else hears of what is executed here

    @contextmanager
    def _alone(self):
        space = self.space
        image, n = space.engine.image, space.pages
        hooks = space.on_syscall, space.on_fault
        permissions, *numbers = (space.peek(table, n) for table in (at.PERMISSIONS, at.READABLE, at.WRITABLE))
        space.on_syscall, space.on_fault = self._syscall, self._fault
        image.escape = self._escape
        space.poke(at.PERMISSIONS, permissions.translate(_WITHHOLD))
        for table in (at.READABLE, at.WRITABLE):
            space.poke(table, bytes(n))
        for table in (at.LATELY, at.LATELY_WRITABLE):       # nor do regions remember
            space.poke(table, bytes(16 * at.LATELY_MAX))
        try:
            yield
        finally:
            del image.escape
            space.on_syscall, space.on_fault = hooks
            now = space.peek(at.PERMISSIONS, n)
            if now.translate(_WITHHOLD) != permissions.translate(_WITHHOLD):    # code was decoded meanwhile
                permissions = bytes((a | at.CODE) & ~at.WRITE if b & at.CODE else a for a, b in zip(permissions, now))
            space.poke(at.PERMISSIONS, permissions)
            for table, was in zip((at.READABLE, at.WRITABLE), numbers):
                space.poke(table, was)
            space.poke(at.CHECK, _U32.pack(LEAVE))

    def _syscall(self, registers) -> bool:
        self.ended = "syscall"
        return False

    def _escape(self, space) -> int:
        self.ended = "elsewhere"
        return at.LEFT

    def _fault(self, address: int, access: int) -> bool:
        """True where the page has only been withheld until it is kept."""
        page = address >> 12
        if address < self.space.limit and access & at.WRITE and page not in self.kept and self._keep(page):
            return True
        self.ended = "fault"
        return False

    def _keep(self, page: int) -> bool:
        """Keeps what is in a page, and lets it be written; not where the kernel does not, or where there is code."""
        space = self.space
        permission, = space.peek(at.PERMISSIONS + page, 1)
        if permission & at.CODE or not space.perms(page, 1)[0] & at.WRITE:
            return False
        self.kept[page] = self._content(page)
        space.poke(at.PERMISSIONS + page, bytes([permission | _WITHHELD]))
        return True

    def _content(self, page: int) -> bytes: return self.space.peek(at.BIAS + page * _PAGE, _PAGE)

    def _back(self) -> None:
        """All as it was at the entry."""
        for page, was in self.kept.items():
            self.space.poke(at.BIAS + page * _PAGE, was)
        self.space.load_context(self.before)

    def _run(self, mode: int) -> None:
        self.ended = ""
        self.space.poke(at.CHECK, _U32.pack(mode))
        self.space.run(1)

    # ---- the two executions

    def _execute_region(self) -> None:
        """Leaves the state as the region leaves it, having seen to it that it could write where it wanted to."""
        space = self.space
        while True:
            space.poke(at.CHECK_RETRY, bytes(4))
            before = self._counters()[1]
            self._run(ENTER)
            # the run has counted with the fuel of its own, which the stub replaced; and `resume` takes as much for one
            nested, used = _u32(space, at.NESTED), self._counters()[1] - before
            left = (((1 << REGION_SHARE) * (1 - nested) - used) + (1 << 31) & 0xFFFFFFFF) - (1 << 31)
            self.executed = FUEL - left
            retried = bool(_u32(space, at.CHECK_RETRY))
            # flags that nobody reads may be old in the middle of a block
            self.in_the_middle = retried or left < 0 or self.ended in ("fault", "elsewhere")
            if not retried:
                return
            state, n = _Result(self), len(self.kept)
            self._run(INTERPRET)                        # the instruction that it could not execute
            if len(self.kept) == n:
                state.load(self)
                self.ended = ""
                return
            self._back()

    def _follow(self, result: "_Result") -> int | None:
        """Interprets until all is as the region left it; after how many instructions that was, None where it never was."""
        space, ended, rip = self.space, result.ended, result.rip
        self.path.clear()
        self._back()
        self.ended = ""
        for steps in range(self.executed + SPARE):
            if space.rip == rip and (self.ended == ended or ended != "syscall"):
                differences = result.differences(self)
                if not differences:
                    return steps
                if self.nearest is None or len(differences) < len(self.nearest):
                    self.nearest, self.nearest_at = differences, steps
            if self.ended:
                break
            self.path.append(space.rip)
            self._run(INTERPRET)
        return None

    # ---- what is wrong

    def _report(self, result: "_Result") -> str:
        lines = [f"the region at {self.entry:#x} came out at {result.rip:#x}{' by a ' + result.ended if result.ended else ''}, "
                 f"having executed about {self.executed} instructions."]
        if self.nearest is None:
            end = f" before a {self.ended}" if self.ended else ""
            lines.append(f"The interpreter did not come there in {len(self.path)} instructions{end}; it was last at {self.space.rip:#x}.")
        else:
            lines.append("The interpreter came there, but with (region / interpreter)")
            lines += [f"  {text}" for text in self.nearest]
        path = self.path if self.nearest is None else self.path[:self.nearest_at]
        lines.append(f"The last of the {len(path)} instructions that it executed:")
        lines += [f"  {rip:8x}  {self._text(rip)}" for rip in path[-PATH:]]
        return "\n".join(lines)

    def _text(self, rip: int) -> str:
        try:
            return str(decode(self.space.read(rip, 15), rip, features=self.space.engine.image.features))
        except (Undefined, Truncated):
            return "?"


class _Result:
    """Registers and the pages kept, as they are now."""

    def __init__(self, check: _Check):
        space = check.space
        self.context, self.rip, self.ended = space.context(), space.rip, check.ended
        self.flags = space.rflags & _ARITHMETIC if not check.in_the_middle else None
        self.pages = {page: check._content(page) for page in check.kept}

    def load(self, check: _Check) -> None:
        for page, was in check.kept.items():
            check.space.poke(at.BIAS + page * _PAGE, self.pages.get(page, was))
        check.space.load_context(self.context)

    def differences(self, check: _Check) -> list[str]:
        """Between this and how the interpreter stands now."""
        space, mine = check.space, self.context
        theirs, found = space.context(), []
        if mine[:at.FLAG_A] != theirs[:at.FLAG_A] or mine[at.DF:] != theirs[at.DF:]:
            for name, where, size in _PARTS:
                a, b = (int.from_bytes(context[where:where + size], "little") for context in (mine, theirs))
                if name == "mxcsr":                     # regions add no exceptions where nobody watches, and not each DE
                    unseen = DE if mine[at.WATCHED] else EXCEPTIONS
                    a, b = a & ~unseen, b & ~unseen
                if a != b:
                    found.append(f"{name}: {a:#x} / {b:#x}")
        if found and check.nearest is not None and len(found) >= len(check.nearest):
            return found                                # no need to look at more
        if self.flags is not None and (flags := space.rflags & _ARITHMETIC) != self.flags:
            found.append(f"flags: {self.flags:#x} / {flags:#x}")
        for page, was in check.kept.items():
            a, b = self.pages.get(page, was), check._content(page)
            if a != b:
                k = next(k for k in range(_PAGE) if a[k] != b[k])
                found.append(f"memory at {page * _PAGE + k:#x}: {a[k:k + 16].hex(' ')} / {b[k:k + 16].hex(' ')}")
        return found


def _is_branch(code: bytes) -> bool:
    """Whether it is Jcc."""
    return code[0] >> 4 == 7 or code[0] == 0x0F and code[1] >> 4 == 8
