"""The kernel's Cpu protocol on Unicorn: an independent CPU under our kernel.

Tests run whole programs on it, to try the kernel without our interpreter and to compare our interpreter with.
It is slow (tens of milliseconds a process); fuel counts from the last system call or fault (its own timeout, which would be
faster, stops at inexact states).
"""

import re
import struct

import unicorn
from unicorn import x86_const as u

from tests.engines.pages import Paged

PAGE = 4096
R, W, X, PRESENT = 1, 2, 4, 32
FUEL, LEFT, ILLEGAL, DIVIDE, BREAKPOINT, PROTECTION = 1, 2, 3, 4, 5, 6
GPR = [u.UC_X86_REG_RAX, u.UC_X86_REG_RCX, u.UC_X86_REG_RDX, u.UC_X86_REG_RBX, u.UC_X86_REG_RSP, u.UC_X86_REG_RBP,
       u.UC_X86_REG_RSI, u.UC_X86_REG_RDI] + [getattr(u, f"UC_X86_REG_R{i}") for i in range(8, 16)]
INTERRUPTS = {0: DIVIDE, 3: BREAKPOINT, 6: ILLEGAL, 13: PROTECTION}
ACCESS = {unicorn.UC_MEM_READ_UNMAPPED: R, unicorn.UC_MEM_READ_PROT: R, unicorn.UC_MEM_WRITE_UNMAPPED: W,
          unicorn.UC_MEM_WRITE_PROT: W, unicorn.UC_MEM_FETCH_UNMAPPED: X, unicorn.UC_MEM_FETCH_PROT: X}
ACCESS_BITS = R | W | X
ONLY_ACCESS = bytes(b & ACCESS_BITS for b in range(256))
ZERO = bytes(PAGE)
SCRATCH = 0xF8000000            # a page of ours: fxsave [rip + n] at 0, fxrstor [rip + n] at 16, the image at 2048


def _pages(address, length):
    """(page, first byte, end) of each page that [address, address+length) touches."""
    end = address + length
    while address < end:
        stop = min((address // PAGE + 1) * PAGE, end)
        yield address // PAGE, address % PAGE, stop - address // PAGE * PAGE
        address = stop


class UnicornEngine:
    def __init__(self, spaces=100):
        self.spaces = spaces

    def space(self):
        if not self.spaces:
            raise MemoryError("no more address spaces")
        self.spaces -= 1
        return UnicornSpace(self)


class UnicornSpace(Paged):
    trap_error = 0
    limit = 0xF0000000

    def __init__(self, engine):
        self.engine = engine
        self.uc = uc = unicorn.Uc(unicorn.UC_ARCH_X86, unicorn.UC_MODE_64)
        uc.ctl_set_cpu_model(u.UC_CPU_X86_QEMU64)
        uc.hook_add(unicorn.UC_HOOK_INSN, self._syscall, None, 1, 0, u.UC_X86_INS_SYSCALL)
        uc.hook_add(unicorn.UC_HOOK_MEM_UNMAPPED | unicorn.UC_HOOK_MEM_PROT, self._memory)
        uc.hook_add(unicorn.UC_HOOK_INTR, self._interrupt)
        uc.reg_write(u.UC_X86_REG_CR4, uc.reg_read(u.UC_X86_REG_CR4) | 0x600)       # OSFXSR, OSXMMEXCPT
        uc.reg_write(u.UC_X86_REG_CR0, uc.reg_read(u.UC_X86_REG_CR0) & ~4 | 2)     # MP, not EM
        uc.reg_write(u.UC_X86_REG_MXCSR, 0x1F80)
        uc.reg_write(u.UC_X86_REG_FPCW, 0x37F)
        uc.mem_map(SCRATCH, PAGE)
        uc.mem_write(SCRATCH, b"\x0f\xae\x05" + struct.pack("<I", 2048 - 7))
        uc.mem_write(SCRATCH + 16, b"\x0f\xae\x0d" + struct.pack("<I", 2048 - 16 - 7))
        self.permissions = bytearray(self.limit // PAGE)
        self.hidden = {}                # page -> content, of pages without access
        self.instructions = 0
        self.pending = None

    # -- running

    def run(self, fuel):
        uc = self.uc
        while True:
            self.pending = None
            try:
                uc.emu_start(uc.reg_read(u.UC_X86_REG_RIP), (1 << 64) - 1, count=fuel)
            except unicorn.UcError as error:
                if self.pending is None:
                    if error.errno == unicorn.UC_ERR_INSN_INVALID:
                        return ILLEGAL
                    raise
            if self.pending is None:
                self.instructions += fuel
                return FUEL
            if isinstance(self.pending, int):
                return self.pending
            if self.pending == "syscall":
                rip, rflags = self.rip, self.rflags
                self.set(1, rip)
                self.set(11, rflags)
                result = self.on_syscall(tuple(self.get(r) for r in (0, 7, 6, 2, 10, 8, 9)))
                if result is False:
                    return LEFT
                if result is not True:
                    self.set(0, result & (1 << 64) - 1)
            elif not isinstance(self.pending, tuple) or not self.on_fault(*self.pending):
                return LEFT

    def _syscall(self, uc, _):
        self.pending = "syscall"
        uc.emu_stop()

    def _memory(self, uc, access, address, size, value, _):
        first = address
        while ACCESS[access] != X and first < self.limit and self.permissions[first // PAGE] & ACCESS[access]:
            first = (first // PAGE + 1) * PAGE              # the access crosses into a page that is not permitted
        if ACCESS[access] == X or first < self.limit and self.permissions[first // PAGE] & ACCESS_BITS:
            self.pending = first, ACCESS[access]
        # Granted inside the hook: Unicorn does not restore the flags of an instruction it gives up.
        elif self.on_fault(first, ACCESS[access]):
            return True
        else:
            self.pending = "fault"
        return False

    def _interrupt(self, uc, number, _):
        self.pending = INTERRUPTS[number]
        uc.emu_stop()

    # -- registers

    def get(self, reg):
        return self.uc.reg_read(GPR[reg])

    def set(self, reg, value):
        self.uc.reg_write(GPR[reg], value)

    def _register(name):
        return property(lambda self: self.uc.reg_read(name), lambda self, value: self.uc.reg_write(name, value))

    rip = _register(u.UC_X86_REG_RIP)
    rflags = _register(u.UC_X86_REG_RFLAGS)
    fs_base = _register(u.UC_X86_REG_FS_BASE)
    gs_base = _register(u.UC_X86_REG_GS_BASE)

    def fxsave(self):
        self._scratch_run(0)
        return bytes(self.uc.mem_read(SCRATCH + 2048, 512))

    def reset_floats(self):
        self.fxrstor((0x37F).to_bytes(24, "little") + (0x1F80).to_bytes(488, "little"))

    def heed_exceptions(self):
        pass            # it notes them always

    def fxrstor(self, image):
        self.uc.mem_write(SCRATCH + 2048, bytes(image))
        self._scratch_run(16)

    def _scratch_run(self, offset):
        """Unicorn gives no access to the x87 registers: execute FXSAVE or FXRSTOR."""
        rip = self.rip
        self.uc.emu_start(SCRATCH + offset, SCRATCH + offset + 7)
        self.rip = rip

    def context(self):
        return struct.pack("<20Q", *(self.get(r) for r in range(16)), self.rip, self.rflags, self.fs_base,
                           self.gs_base) + self.fxsave()

    def load_context(self, context):
        values = struct.unpack_from("<20Q", context)
        for r in range(16):
            self.set(r, values[r])
        self.rip, self.rflags, self.fs_base, self.gs_base = values[16:]
        self.fxrstor(context[160:])

    # -- memory

    # Unicorn allows mapping inside a hook, changing a mapping not.  So a page without access is not mapped there at all: its
    # content, if it has any, waits in `hidden`.

    def read(self, address, length):
        return b"".join(bytes(self.hidden.get(page, ZERO)[low:high]) if not self.permissions[page] & ACCESS_BITS
                        else bytes(self.uc.mem_read(page * PAGE + low, high - low))
                        for page, low, high in _pages(address, length))

    def write(self, address, data):
        position = 0
        for page, low, high in _pages(address, len(data)):
            part = bytes(data[position:position + high - low])
            position += high - low
            if self.permissions[page] & ACCESS_BITS:
                self.uc.mem_write(page * PAGE + low, part)
            else:
                self.hidden.setdefault(page, bytearray(PAGE))[low:high] = part

    def fill(self, address, length, byte=0):
        self.write(address, bytes([byte]) * length)

    def copy(self, other, address, length):
        self.write(address, other.read(address, length))

    def protect(self, first, pages, permissions):
        for run in re.finditer(rb"([\0- ])\1*", self.permissions[first:first + pages].translate(ONLY_ACCESS), re.S):
            start, count, had = first + run.start(), run.end() - run.start(), run[0][0]
            if had and permissions & ACCESS_BITS:
                self.uc.mem_protect(start * PAGE, count * PAGE, permissions & ACCESS_BITS)
            elif had:
                for page in range(start, start + count):
                    self.hidden[page] = bytearray(self.uc.mem_read(page * PAGE, PAGE))
                self.uc.mem_unmap(start * PAGE, count * PAGE)
            elif permissions & ACCESS_BITS:
                self.uc.mem_map(start * PAGE, count * PAGE, permissions & ACCESS_BITS)
                for page in range(start, start + count):
                    if page in self.hidden:
                        self.uc.mem_write(page * PAGE, bytes(self.hidden.pop(page)))
        self.permissions[first:first + pages] = bytes([permissions]) * pages

    def release(self):
        self.engine.spaces += 1
        self.uc = self.on_syscall = self.on_fault = None
