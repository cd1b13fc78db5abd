"""One instruction on three machines: the oracle, the generated interpreter, unicorn.

A case is code bytes, a `State` and a page of data; each machine answers an `Outcome`. Cases are made from the opcode
tables: every row, each operand size, register and memory forms.
"""
import random
import struct
from dataclasses import dataclass, field
from itertools import takewhile

import unicorn
from unicorn import x86_const as u

from webvm.engine.native import NativeEngine
from webvm.jit import image as machine_image
from webvm.jit import layout
from webvm.jit.handler import STOPS
from webvm.x86 import ieee, opcodes
from webvm.x86.decode import decode
from webvm.x86.oracle import GuestFault, Oracle, State, SystemCall, Trap
from webvm.x86.primitives import canonical
from webvm.x86.processor import CPUS

FEATURES = CPUS["max"]

CODE, DATA, DATA_SIZE = 0x400000, 0x500000, 0x2000
MIDDLE = DATA + 0x1000
ARITHMETIC = 0x8D5
PREFIXES = frozenset(b"\x26\x2e\x36\x3e\x64\x65\x66\x67\xf0\xf2\xf3")
BOUNDARY = (0, 1, 2, 3, 4, 7, 8, 15, 16, 31, 32, 63, 64, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000,
            0xFFFFFFFF, 0x100000000, 0x7FFFFFFFFFFFFFFF, 0x8000000000000000, 0xFFFFFFFFFFFFFFFF, 0xFFFFFFFFFFFFFF80)
FLOATS = [struct.unpack("<Q", struct.pack("<d", x))[0] for x in
          (0.0, -0.0, 1.0, -1.5, 2.5, 3.5, 1e10, -2147483648.0, 2147483647.5, 1e300, 5e-324, 9.3e18, float("inf"))]
SINGLES = [struct.unpack("<I", struct.pack("<f", x))[0] for x in
           (0.0, -0.0, 1.0, -1.5, 2.5, 1e10, -2147483648.0, 3e38, 1e-45, float("inf"), 0.1)]


def repeats(code: bytes) -> bool:
    """Whether there is a REP prefix, so that one instruction may take several steps."""
    prefixes = takewhile(lambda byte: byte in PREFIXES or 0x40 <= byte < 0x50, code)
    return not {0xF2, 0xF3}.isdisjoint(prefixes)


@dataclass
class Outcome:
    """What an instruction left: the state, the data, and how it ended ("ok", "UD", "DE", "BP", "GP", "syscall")."""
    state: State
    data: bytes
    end: str
    unseen: int = field(default=0, kw_only=True)       # exceptions that may be missing in MXCSR: in regions, those nobody looks for


class PageMemory:
    """The data pages for the oracle."""

    def __init__(self, data: bytes): self.data = bytearray(data)

    def _at(self, address, length, access):
        if not (DATA <= address and address + length <= DATA + DATA_SIZE):
            raise GuestFault(address, access)
        return address - DATA

    def read(self, address, length):
        at = self._at(address, length, "r")
        return bytes(self.data[at:at + length])

    def check_write(self, address, length): self._at(address, length, "w")

    def write(self, address, data):
        at = self._at(address, len(data), "w")
        self.data[at:at + len(data)] = data


def on_oracle(code: bytes, state: State, data: bytes) -> Outcome:
    state, memory, end = state.copy(), PageMemory(data), "ok"
    insn = decode(code, CODE, features=FEATURES)
    try:
        while True:
            Oracle(insn, state, memory, FEATURES).step()
            if state.rip != CODE or insn.rep is None:
                break
    except Trap as trap:
        end = trap.vector
    except SystemCall:
        end = "syscall"
    except GuestFault as fault:
        end = f"fault {fault.address:#x}"
    return Outcome(state, bytes(memory.data), end)


class Interpreter:
    """The generated interpreter under wasmtime. `escaped` counts what it left to the oracle."""
    ENDS = {layout.FUEL: "ok"} | {stop: vector for vector, stop in STOPS.items()}

    def __init__(self, wasm: bytes | None = None):
        """wasm: another interpreter for FEATURES."""
        self.image = machine_image.Image(FEATURES, wasm)
        self.space = NativeEngine(self.image).space()
        self.space.on_fault, self.space.on_syscall = self._fault, self._syscall
        self.space.protect(CODE >> 12, 1, 5 | 32)
        self.space.protect(DATA >> 12, DATA_SIZE >> 12, 3 | 32)

    def _fault(self, address, access):
        self.end = f"fault {address:#x}" if canonical(address) else "SS" if self.space.by_stack(address) else "GP"
        return False

    def _syscall(self, registers):
        self.end = "syscall"
        return False

    def run(self, code: bytes, state: State, data: bytes, fuel: int = 1) -> Outcome:
        space = self.space
        space.write(CODE, code + b"\xf4" * 16)          # HLT: nothing that what follows could be joined with
        space.write(DATA, data)
        machine_image.write_state(space, state)
        self.end = ""
        rip = CODE
        while rip == CODE:
            stop = space.run(fuel)
            rip = space.rip
            if fuel > 1 or stop != layout.FUEL or not repeats(code):
                break
        end = self.end or "ok" * space.stepping if stop == layout.LEFT else self.ENDS[stop]      # steps follow where TF was set
        return Outcome(machine_image.read_state(space), space.read(DATA, DATA_SIZE), end)


class Unicorn:
    def __init__(self):
        uc = self.uc = unicorn.Uc(unicorn.UC_ARCH_X86, unicorn.UC_MODE_64)
        uc.ctl_set_cpu_model(u.UC_CPU_X86_EPYC_ROME)
        uc.mem_map(CODE, 0x1000)
        uc.mem_map(DATA, DATA_SIZE)
        uc.hook_add(unicorn.UC_HOOK_INTR, self._interrupt)
        uc.hook_add(unicorn.UC_HOOK_INSN, self._syscall, None, 1, 0, u.UC_X86_INS_SYSCALL)
        self.gpr = [getattr(u, f"UC_X86_REG_{n}") for n in
                    "RAX RCX RDX RBX RSP RBP RSI RDI R8 R9 R10 R11 R12 R13 R14 R15".split()]
        self.ymm = [getattr(u, f"UC_X86_REG_YMM{n}") for n in range(16)]

    def _interrupt(self, uc, number, _):
        self.end = {0: "DE", 3: "BP", 6: "UD", 13: "GP"}.get(number, f"interrupt {number}")
        uc.emu_stop()

    def _syscall(self, uc, _):
        self.end = "syscall"
        uc.emu_stop()

    def run(self, code: bytes, state: State, data: bytes, length: int) -> Outcome:
        uc, self.end = self.uc, "ok"
        uc.mem_write(CODE, code + bytes(16))
        uc.ctl_remove_cache(CODE, CODE + 64)
        uc.mem_write(DATA, data)
        for number, value in zip(self.gpr, state.gpr):
            uc.reg_write(number, value)
        for number, low, high in zip(self.ymm, state.xmm, state.upper):
            uc.reg_write(number, high << 128 | low)
        for n in range(8):
            uc.reg_write(u.UC_X86_REG_FP0 + n, (state.x87[n] & (1 << 64) - 1, 0xFFFF))
        uc.reg_write(u.UC_X86_REG_MXCSR, state.mxcsr)
        uc.reg_write(u.UC_X86_REG_FPCW, state.fcw)
        uc.reg_write(u.UC_X86_REG_FPSW, state.fsw)
        uc.reg_write(u.UC_X86_REG_FS_BASE, state.fs_base)
        uc.reg_write(u.UC_X86_REG_EFLAGS, state.flags | state.df << 10 | state.rest | 0x202)
        try:
            uc.emu_start(CODE, CODE + length, count=0 if repeats(code) else 1)
        except unicorn.UcError as error:
            if self.end == "ok":
                self.end = {unicorn.UC_ERR_INSN_INVALID: "UD"}.get(error.errno, "fault")
        eflags = uc.reg_read(u.UC_X86_REG_EFLAGS)
        ymm = [uc.reg_read(n) for n in self.ymm]
        after = State(gpr=[uc.reg_read(n) for n in self.gpr], xmm=[x & (1 << 128) - 1 for x in ymm], upper=[x >> 128 for x in ymm],
                      rip=uc.reg_read(u.UC_X86_REG_RIP), flags=eflags & ARITHMETIC, df=eflags >> 10 & 1,
                      rest=eflags & 0x244100, fs_base=state.fs_base, mxcsr=state.mxcsr,
                      x87=[uc.reg_read(u.UC_X86_REG_FP0 + n)[0] for n in range(8)])
        return Outcome(after, bytes(uc.mem_read(DATA, DATA_SIZE)), self.end)


# ---------------------------------------------------------------------------------------------- making cases


def rows():
    """Every row of the tables that the processor with most features has."""
    seen = {}
    for entry in opcodes.view(FEATURES):
        for row in entry if isinstance(entry, tuple) else (entry,):
            for one in (row, row and row.with_w):
                if one is not None:
                    seen[one.index] = one
    return list(seen.values())


def encode(row, rng: random.Random, size: int, memory: bool) -> bytes | None:
    """Random bytes of the row's form with operand size 2, 4 or 8; None where there is no such form."""
    if memory and (not row.has_modrm or row.mod == "reg" or row.mod3) or not memory and row.mod == "mem":
        return None
    if row.f64 and size == 2:
        return None                    # Intel ignores 66 there; unicorn, as AMD, does not
    sized = any(o.size in (opcodes.SIZE_V, opcodes.SIZE_Z) for o in row.operands) or not row.operands
    prefix = b"\x66" if size == 2 and (row.prefix in (None, "NFx") or row.prefix in ("F2", "F3") and sized) else b""
    if row.rep or row.repz:
        prefix += rng.choice((b"", b"\xf3", b"\xf2"))
    if size == 2 and not prefix:
        return None
    prefix += {"66": b"\x66", "F3": b"\xf3", "F2": b"\xf2"}.get(row.prefix, b"")
    vex = row.map >= opcodes.VEX
    rex = 0x48 if size == 8 else 0x40 if vex else rng.choice((0, 0, 0x40))
    if rex or rng.random() < .3:
        rex = (rex or 0x40) | rng.randrange(8)
        if row.with_rexb or memory or row.rm is not None:
            rex &= ~1
        if memory:
            rex &= ~2
        if row.reg is not None:
            rex &= ~4                  # has no effect on a processor; unicorn takes it for another opcode
    if vex:
        vvvv = 0 if row.v1111 else rng.randrange(16)
        if row.w0 and rex & 8 or row.w1 and not rex & 8:
            return None
        long = row.l1 or not row.lz and rng.random() < .5
        out = bytes([0xC4, (~rex & 7) << 5 | row.map & 3, (rex & 8) << 4 | (15 - vvvv) << 3 | long << 2 | row.classes[0]])
    else:
        out = prefix + (bytes([rex]) if rex else b"")
        out += {0: b"", 1: b"\x0f", 2: b"\x0f\x38", 3: b"\x0f\x3a"}[row.map]
    out += bytes([row.opcode])
    if row.has_modrm:
        reg = rng.randrange(8) if row.reg is None else row.reg
        if not memory:
            rm = rng.randrange(8) if row.rm is None else row.rm
            out += bytes([0xC0 | reg << 3 | rm])
        else:
            form = rng.randrange(5)
            if form == 0:
                out += bytes([0x00 | reg << 3 | 3])                                        # [rbx]
            elif form == 1:
                out += bytes([0x40 | reg << 3 | 3, rng.randrange(256)])                    # [rbx + disp8]
            elif form == 2:
                out += bytes([0x80 | reg << 3 | 4, rng.randrange(4) << 6 | 6 << 3 | 3]) + struct.pack("<i", rng.randrange(-256, 256))
            elif form == 3:
                out += bytes([0x00 | reg << 3 | 4, 0x25]) + struct.pack("<i", MIDDLE + rng.randrange(-256, 256))   # absolute
            else:
                out += bytes([0x00 | reg << 3 | 5]) + struct.pack("<i", MIDDLE - CODE + rng.randrange(-256, 256))  # rip
    if row.imm == "o":
        return out + struct.pack("<Q", MIDDLE + rng.randrange(-256, 256))
    osize = 8 if row.f64 or row.d64 and size == 4 else size
    length = {None: 0, "b": 1, "w": 2, "d": 4, "z": 2 if osize == 2 else 4, "v": osize, "wb": 3}[row.imm]
    immediate = rng.choice(BOUNDARY) if rng.random() < .5 else rng.getrandbits(64)
    if row.imm == "w":
        immediate &= 0x7FFF            # unicorn extends the sign of RET's
    if row.meaning.startswith("cmp") and row.map == 1 and row.opcode == 0xC2:
        immediate &= 7                 # processors ignore the upper bits; unicorn has #UD
    return out + (immediate & (1 << 8 * length) - 1).to_bytes(length, "little")


TEXT = {"pcmpestri", "pcmpestrm", "pcmpistri", "pcmpistrm"}


def of_text(rng: random.Random, state: State, data: bytes) -> bytes:
    """Gives a state strings in vectors, lengths around a vector's, and the data for them: few different elements, and zeros."""
    few = bytes(rng.choice((0, 1, 1, 2, 0x61, 0x61, 0x80, 0xFF)) for _ in range(64))
    state.xmm = [int.from_bytes(rng.sample(few, 16), "little") for _ in range(16)]
    for register in (0, 2):
        state.gpr[register] = rng.choice((0, 1, 3, 7, 8, 9, 15, 16, 17, -3, -16, 1 << 31, 1 << 63, rng.getrandbits(64))) & (1 << 64) - 1
    return bytes(rng.choices(few, k=len(data)))


def control(rng: random.Random) -> int:
    """MXCSR: half of the time all exceptions masked."""
    masks = 0x3F if rng.random() < .6 else rng.getrandbits(6) if rng.random() < .5 else 0x3F ^ 1 << rng.randrange(6)
    return (masks << ieee.MASKS | rng.choice((0, 0, 1, 2, 3)) << ieee.RC | rng.choice((0, 0, 0x8000, 0x40, 0x8040))
            | rng.choice((0, 0, ieee.PE, 0x3F, rng.getrandbits(6))))


def random_state(rng: random.Random, memory: bool, strings: bool) -> State:
    def integer():
        return rng.choice(BOUNDARY) if rng.random() < .6 else rng.getrandbits(64)

    def vector():
        return sum((rng.choice(FLOATS) if rng.random() < .4 else rng.choice(SINGLES) << 32 | rng.choice(SINGLES)
                    if rng.random() < .5 else integer()) << shift for shift in (0, 64))
    state = State(gpr=[integer() for _ in range(16)], xmm=[vector() for _ in range(16)], rip=CODE,
                  flags=rng.getrandbits(12) & ARITHMETIC, df=rng.randrange(2), rest=rng.choice((0, 1 << 21)),
                  fs_base=MIDDLE, x87=[rng.getrandbits(64) for _ in range(8)])
    rng, outer = random.Random(state.xmm[0]), rng       # what comes of a seed is as it was before there was AVX
    state.upper = [vector() for _ in range(16)]
    rng = outer
    state.gpr[4] = MIDDLE + 8 * rng.randrange(-16, 16)
    if memory:
        state.gpr[3], state.gpr[6] = MIDDLE + rng.randrange(-64, 64), rng.randrange(64)
    if strings:
        state.gpr[6], state.gpr[7] = (MIDDLE + rng.randrange(-128, 128) for _ in range(2))
        state.gpr[1] = rng.randrange(5)
    return state
