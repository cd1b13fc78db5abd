"""The kernel alone: a Space whose guest is a Python generator instead of machine code.

    def program(space):
        pid = yield call(39)            # rax, as a signed number
        yield touch(0x1000, W)          # a memory access; True if the kernel let it happen
        yield spin                      # a run without a system call, which spends `space.fuel`

A signal handler is entered by a value of class Handler coming out of the yield; `yield call(15)` leaves it.
"""

import asyncio
import struct
from dataclasses import dataclass

from tests.engines.pages import Paged
from webvm.fs.tmpfs import Tmpfs
from webvm.kernel.cpu import FUEL, LEFT, PAGE, RAX, RCX, RDI, RSP, R11, W
from webvm.kernel.filesystems import equip
from webvm.kernel.kernel import Kernel
from webvm.kernel.path import Mounts
from webvm.linux.elf import EHDR, ELFMAG, PHDR

ENTRY, DATA = 0x401000, 0x400000
ARGUMENTS = (7, 6, 2, 10, 8, 9)
spin = "spin"


@dataclass
class call:
    number: int
    args: tuple

    def __init__(self, number, *args):
        self.number, self.args = number, args


@dataclass
class touch:
    address: int
    access: int


@dataclass
class trap:
    code: int


@dataclass
class Handler:
    signo: int
    info: int
    context: int


class ScriptedSpace(Paged):
    trap_error = 0
    limit = 0x10000000

    def __init__(self, program):
        self.pages, self.permissions = {}, bytearray(self.limit // PAGE)
        self.registers, self.rip, self.rflags, self.fs_base, self.gs_base = [0] * 16, 0, 0x202, 0, 0
        self.instructions, self.released = 0, False
        self.program = program(self)
        self.action, self.expected, self.answer = None, None, None
        self.fuel = 0

    def run(self, fuel):
        self.fuel = fuel
        if self.rip == ENTRY and self.expected is None:
            self.on_fault(DATA, W)          # programs put their structures at 0x400800
        while True:
            if self.action is not None and self.rip == self.expected - 2:       # the call is made again
                action = self.action
            else:
                try:
                    action = self.program.send(self._answer())
                except StopIteration:
                    action = call(231, 0)
            self.action = None
            self.instructions += 1
            if action is spin:
                self.answer = None
                return FUEL
            if isinstance(action, trap):
                self.answer = None
                return action.code
            if isinstance(action, touch):
                self.answer = self.on_fault(action.address, action.access)
                if not self.answer:
                    return LEFT
                continue
            self.action, self.expected = action, self.rip + 2 if self.rip != (self.expected or 0) - 2 else self.expected
            self.rip = self.expected
            self.set(RAX, action.number)
            for register, value in zip(ARGUMENTS, action.args):
                self.set(register, value & (1 << 64) - 1)
            self.set(RCX, self.rip)
            self.set(R11, self.rflags)
            if action.number == 15:
                self.set(RSP, self.get(RSP) + 8)            # the handler's RET took the restorer's address
            result = self.on_syscall(tuple(self.registers[r] for r in (0, 7, 6, 2, 10, 8, 9)))
            if result is False:
                return LEFT
            if result is not True:
                self.set(RAX, result & (1 << 64) - 1)

    def _answer(self):
        if self.action is None:
            if self.expected is not None and self.rip not in (self.expected, ENTRY):
                return self._handler()
            return self.answer
        if self.action.number != 15 and self.rip != self.expected:
            return self._handler()
        self.expected = self.rip
        value = self.get(RAX)
        return value - (1 << 64) if value >> 63 else value

    def _handler(self):
        self.expected = self.rip
        return Handler(self.get(RDI), self.get(6), self.get(2))

    def get(self, reg):
        return self.registers[reg]

    def set(self, reg, value):
        self.registers[reg] = value

    def fxsave(self):
        return bytes(512)

    def reset_floats(self):
        pass

    def heed_exceptions(self):
        pass

    def fxrstor(self, image):
        pass

    def context(self):
        return struct.pack("<20Q", *self.registers, self.rip, self.rflags, self.fs_base, self.gs_base)

    def load_context(self, context):
        *self.registers, self.rip, self.rflags, self.fs_base, self.gs_base = struct.unpack("<20Q", context)

    def _parts(self, address, length):
        while length > 0:
            step = min(length, PAGE - address % PAGE)
            yield self.pages.setdefault(address // PAGE, bytearray(PAGE)), address % PAGE, step
            address, length = address + step, length - step

    def read(self, address, length):
        return b"".join(bytes(page[at:at + n]) for page, at, n in self._parts(address, length))

    def write(self, address, data):
        data = bytes(data)
        for page, at, n in self._parts(address, len(data)):
            page[at:at + n], data = data[:n], data[n:]

    def fill(self, address, length, byte=0):
        self.write(address, bytes([byte]) * length)

    def copy(self, other, address, length):
        self.write(address, other.read(address, length))

    def protect(self, first, pages, permissions):
        self.permissions[first:first + pages] = bytes([permissions]) * pages

    def release(self):
        self.released = True


class ScriptedEngine:
    """Gives each new address space the next of PROGRAMS."""

    def __init__(self, *programs):
        self.programs, self.spaces = list(programs), []
        self.shed = lambda: None

    def space(self):
        if not self.programs:
            raise MemoryError("no program is left")
        self.spaces.append(ScriptedSpace(self.programs.pop(0)))
        return self.spaces[-1]


def image(*, e_type=2, machine=62, loads=((0x400000, 0, 0x2000, 0x2000),), interpreter=b"", ident=ELFMAG + bytes([2, 1, 1])):
    """A little ELF file; loads: (vaddr, offset, filesz, memsz)."""
    headers = [PHDR.pack(1, 7, offset, vaddr, vaddr, filesz, memsz, PAGE) for vaddr, offset, filesz, memsz in loads]
    if interpreter:
        headers.insert(0, PHDR.pack(3, 4, 0x1800, 0x401800, 0x401800, len(interpreter), len(interpreter), 1))
    data = EHDR.pack(ident, e_type, machine, 1, ENTRY, 64, 0, 0, 64, 56, len(headers), 0, 0, 0) + b"".join(headers)
    return data.ljust(0x1800, b"\0") + interpreter.ljust(0x800, b"\0")


class Machine:
    """A kernel over a file system in memory that holds `files`, running PROGRAMS."""

    def __init__(self, *programs, files=None, strace=False, clock=None, yield_=None):
        self.engine = ScriptedEngine(*programs)
        self.fs = Tmpfs(mode=0o755)
        self.log, self.trace = [], []
        self.kernel = Kernel(self.engine, Mounts(self.fs), clock, yield_, log=self.log.append)
        self.console = bytearray()
        equip(self.kernel, self.console.extend)
        self.files = {b"program": image(), **(files or {})}
        if strace:
            self.kernel.strace = lambda task, text: self.trace.append(text)

    async def spawn(self, argv=(b"/program",), **options):
        for name, content in self.files.items():
            inode = await self.fs.root.create(name, 0o755, 0, 0)
            await inode.write(0, content)
        return await self.kernel.spawn(list(argv), **options)

    def run(self, argv=(b"/program",), during=None, **options):
        """The wait status; DURING(task) is awaited while the program runs."""
        async def main():
            task = await self.spawn(argv, **options)
            loop = asyncio.ensure_future(self.kernel.run())
            try:
                waiting = asyncio.ensure_future(self.kernel.wait(task))
                if during is not None:
                    await during(task)
                await asyncio.wait([waiting, loop], timeout=60, return_when=asyncio.FIRST_COMPLETED)
                if loop.done():
                    loop.result()
                assert waiting.done(), "the program did not end"
                return waiting.result()
            finally:
                self.kernel.scheduler.stop()
                await asyncio.wait([loop])
        return asyncio.run(main())
