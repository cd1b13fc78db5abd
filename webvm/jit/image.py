"""The machine as an engine runs it: the interpreter module, its layout, and the oracle behind it.

The escape executes one instruction in the oracle over a space's state. Knows how registers lie in that state; knows
nothing of Linux: what a trap means is for whoever reads the stop code.
"""
import logging
import struct
from types import ModuleType

from ..x86 import system, x87                                       # noqa: F401  register their meanings
from ..x86.decode import TooLong, Truncated, Undefined, decode
from ..x86.meaning import MEANINGS
from ..x86.oracle import PYTHON_MEANINGS, GuestFault, Oracle, State, SystemCall, Trap
from . import build
from . import layout as at
from .handler import STOPS
from .interpreter import BASELINE

log = logging.getLogger("webvm.cpu")

_GPR = struct.Struct("<16Q")
_BASES = struct.Struct("<3Q")                                       # FS_BASE GS_BASE RIP
_CONTROL = struct.Struct("<III")                                    # DF MXCSR EFLAGS_REST
_X87 = struct.Struct("<HHB")
_ARITHMETIC = 0x8D5
_EXECUTE, _READ, _WRITE = at.EXECUTE, at.READ, at.WRITE
PAGE = 4096


class Left(Exception):
    """A hook of the kernel said to leave."""


class SpaceMemory:
    """Guest memory for the oracle: permissions as the kernel sees them, faults through its hook."""

    def __init__(self, space):
        self.space = space

    def _allow(self, address: int, length: int, access: int) -> None:
        space = self.space
        for page in range(address // PAGE, (address + length - 1) // PAGE + 1):
            first = max(address, page * PAGE)
            if first + 1 > space.limit:
                space.on_fault(first, access)
                raise Left
            while not space.perms(page, 1)[0] & access:
                if not space.on_fault(first, access):
                    raise Left

    def read(self, address, length):
        self._allow(address, length, _READ)
        return self.space.read(address, length)

    def write(self, address, data):
        self._allow(address, len(data), _WRITE)
        self.space.write(address, data)

    def check_write(self, address, length): self._allow(address, length, _WRITE)

    def code(self, address: int) -> bytes:
        """Up to 15 bytes of an instruction; fewer where the next page may not be executed."""
        self._allow(address, 1, _EXECUTE)
        room = PAGE - address % PAGE
        if room < 15 and self.space.perms(address // PAGE + 1, 1)[0] & _EXECUTE:
            room = 15
        return self.space.read(address, min(room, 15))


def read_state(space) -> State:
    """The registers of the thread loaded in a space."""
    raw = space.context()
    fs_base, gs_base, rip = _BASES.unpack_from(raw, at.FS_BASE)
    df, mxcsr, rest = _CONTROL.unpack_from(raw, at.DF)
    fcw, fsw, ftw = _X87.unpack_from(raw, at.FCW)
    return State(gpr=list(_GPR.unpack_from(raw, at.GPR)),
                 xmm=[int.from_bytes(raw[at.VECTOR + 32 * n:at.VECTOR + 32 * n + 16], "little") for n in range(16)],
                 rip=rip, flags=space.rflags & _ARITHMETIC, rest=rest, df=df, fs_base=fs_base, gs_base=gs_base,
                 mxcsr=mxcsr, fcw=fcw, fsw=fsw, ftw=ftw,
                 x87=[int.from_bytes(raw[at.X87 + 16 * n:at.X87 + 16 * n + 10], "little") for n in range(8)])


def write_state(space, state: State) -> None:
    raw = bytearray(space.context())
    _GPR.pack_into(raw, at.GPR, *state.gpr)
    _BASES.pack_into(raw, at.FS_BASE, state.fs_base, state.gs_base, state.rip)
    _CONTROL.pack_into(raw, at.DF, state.df, state.mxcsr, state.rest)
    _X87.pack_into(raw, at.FCW, state.fcw, state.fsw, state.ftw)
    for n, value in enumerate(state.xmm):
        raw[at.VECTOR + 32 * n:at.VECTOR + 32 * n + 16] = value.to_bytes(16, "little")
    for n, value in enumerate(state.x87):
        raw[at.X87 + 16 * n:at.X87 + 16 * n + 10] = value.to_bytes(10, "little")
    space.load_context(bytes(raw))
    space.rflags = state.flags | state.df << 10 | state.rest


class Image:
    """What an engine needs of the processor. `features`: CPUID features beyond x86-64 with SSE2."""

    def __init__(self, features: frozenset[str] = BASELINE, wasm: bytes | None = None):
        self.features = features
        self.layout: ModuleType = at
        self.wasm = build.interpreter(features) if wasm is None else wasm
        self.escapes: dict[str, int] = {}                           # mnemonic -> how often the oracle ran it

    def escape(self, space) -> int:
        """Executes the instruction at RIP. 0: go on at RIP; else a stop code."""
        memory, rip = SpaceMemory(space), space.rip
        insn = None
        try:
            insn = self._fetch(memory, rip)
            self.escapes[insn.mnemonic] = self.escapes.get(insn.mnemonic, 0) + 1
            state = read_state(space)
            Oracle(insn, state, memory).step()
        except Left:
            return at.LEFT
        except Undefined as wrong:
            log.error("%s at %#x: no such instruction (SIGILL)", wrong.bytes[:15].hex(" "), rip)
            return at.PROTECTION if isinstance(wrong, TooLong) else at.ILLEGAL
        except GuestFault as fault:                                 # raised by meanings that form addresses themselves
            space.on_fault(fault.address, _WRITE if fault.access == "w" else _READ)
            return at.LEFT
        except Trap as trap:
            if trap.vector == "UD" and insn.meaning not in MEANINGS and insn.meaning not in PYTHON_MEANINGS:
                log.error("%s at %#x: %s is not implemented (SIGILL)", space.read(rip, insn.length).hex(" "), rip, insn)
            if trap.vector == "BP":
                write_state(space, state)
            return STOPS[trap.vector]
        except SystemCall:
            write_state(space, state)
            return 0 if space.on_syscall() else at.LEFT
        write_state(space, state)
        return 0

    def _fetch(self, memory: SpaceMemory, rip: int):
        code = memory.code(rip)
        try:
            return decode(code, rip, features=self.features)
        except Truncated:
            memory._allow(rip + len(code), 1, _EXECUTE)             # the kernel hears of the page that is missing
            return decode(memory.code(rip), rip, features=self.features)
