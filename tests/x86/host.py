"""Judges of x87 instructions: the processor that runs the tests (x86-64 Linux only: `available`), and unicorn.

One instruction at a time, in a page of machine code: FRSTOR loads the case, the instruction runs, FNSAVE stores what it
left. FNSAVE does not wait, so exceptions may be unmasked.
"""
import ctypes
import mmap
import platform
import resource
import struct
import sys
from dataclasses import dataclass

import unicorn
from unicorn import x86_const as u

available = sys.platform == "linux" and platform.machine() == "x86_64"

_ENVIRONMENT = struct.Struct("<7I")
_PROLOGUE = bytes.fromhex("DD27" "FF7108" "9D" "488B01")          # frstor [rdi]; push [rcx + 8]; popfq; mov rax, [rcx]
_EPILOGUE = bytes.fromhex("DD32" "9C" "8F4108" "488901" "C3")     # fnsave [rdx]; pushfq; pop [rcx + 8]; mov [rcx], rax; ret
SAVED = 108
HERE = -1


@dataclass
class Unit:
    """The x87 as FNSAVE tells it. `registers`: ST(0) first; `tags`: the full tag word, by physical register."""
    fcw: int
    fsw: int
    tags: int
    registers: tuple[int, ...]
    fip: int = 0
    fop: int = 0
    fdp: int = 0

    def pack(self) -> bytes:
        return (_ENVIRONMENT.pack(self.fcw, self.fsw, self.tags, self.fip, self.fop << 16, self.fdp, 0)
                + b"".join(x.to_bytes(10, "little") for x in self.registers))

    @classmethod
    def unpack(cls, raw: bytes) -> "Unit":
        *words, fip, opcode, fdp, _ = _ENVIRONMENT.unpack_from(raw)
        registers = tuple(int.from_bytes(raw[at:at + 10], "little") for at in range(28, SAVED, 10))
        return cls(*(word & 0xFFFF for word in words), registers, fip, opcode >> 16 & 0x7FF, fdp)

    def say_here(self, code: int, operand: int):
        """Puts HERE for a pointer to the instruction in question, and for one to its operand."""
        self.fip = HERE if self.fip == code & 0xFFFFFFFF else self.fip
        self.fdp = HERE if self.fdp == operand & 0xFFFFFFFF else self.fdp


class Host:
    """Executes instructions whose memory operand, if any, is [rsi]."""

    def __init__(self):
        self.page = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
        self.functions: dict[bytes, object] = {}
        self.end = 0
        self.base = ctypes.addressof(ctypes.c_char.from_buffer(self.page))
        self.before, self.after = ctypes.create_string_buffer(SAVED), ctypes.create_string_buffer(SAVED)
        self.space = ctypes.create_string_buffer(528)
        self.memory = (ctypes.c_char * 512).from_buffer(self.space, -ctypes.addressof(self.space) & 15)
        self.registers = (ctypes.c_uint64 * 2)()

    def _function(self, code: bytes):
        if code not in self.functions:
            stub = _PROLOGUE + code + _EPILOGUE
            if self.end + len(stub) > len(self.page):
                self.functions.clear()
                self.end = 0
            self.page[self.end:self.end + len(stub)] = stub
            self.functions[code] = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * 4)(self.base + self.end)
            self.end += len(stub)
        return self.functions[code]

    def run(self, code: bytes, unit: Unit, memory: bytes, rax: int = 0, flags: int = 0) -> tuple[Unit, bytes, int, int]:
        """(unit, memory, RAX, RFLAGS) after the instruction. No exception may be pending in `unit`."""
        function, switches = self._function(code), None
        while switches != (switches := resource.getrusage(resource.RUSAGE_THREAD).ru_nivcsw):
            # Once more after a switch to another program: AMD's processors lose the pointers there.
            self.before.raw, self.memory.raw = unit.pack(), memory.ljust(512, b"\0")
            self.registers[:] = rax, flags | 0x202
            function(self.before, self.memory, self.after, self.registers)
        after = Unit.unpack(self.after.raw)
        where = ctypes.cast(function, ctypes.c_void_p).value + len(_PROLOGUE)
        after.say_here(where, ctypes.addressof(self.memory))
        return after, self.memory.raw[:len(memory)], self.registers[0], self.registers[1]


class Unicorn:
    """The same on unicorn. QEMU's arithmetic is exact, but it knows no overflow of the stack, and no C1."""
    CODE, DATA = 0x10000, 0x20000
    BEFORE, AFTER, MEMORY, REGISTERS, STACK = DATA, DATA + 0x200, DATA + 0x400, DATA + 0x600, DATA + 0x1000

    def __init__(self):
        self.uc = unicorn.Uc(unicorn.UC_ARCH_X86, unicorn.UC_MODE_64)
        self.uc.mem_map(self.CODE, 0x10000)
        self.uc.mem_map(self.DATA, 0x1000)
        self.places: dict[bytes, int] = {}

    def run(self, code: bytes, unit: Unit, memory: bytes) -> tuple[Unit, bytes]:
        """(unit, memory) after the instruction."""
        uc = self.uc
        stub = _PROLOGUE + code + _EPILOGUE
        if code not in self.places:
            self.places[code] = self.CODE + 64 * len(self.places)
            uc.mem_write(self.places[code], stub)
        uc.mem_write(self.BEFORE, unit.pack())
        uc.mem_write(self.MEMORY, memory)
        for register, value in ((u.UC_X86_REG_RDI, self.BEFORE), (u.UC_X86_REG_RSI, self.MEMORY), (u.UC_X86_REG_RDX, self.AFTER),
                                (u.UC_X86_REG_RCX, self.REGISTERS), (u.UC_X86_REG_RSP, self.STACK)):
            uc.reg_write(register, value)
        uc.emu_start(self.places[code], self.places[code] + len(stub) - 1)
        return Unit.unpack(bytes(uc.mem_read(self.AFTER, SAVED))), bytes(uc.mem_read(self.MEMORY, len(memory)))
