"""The oracle: meanings run over Python ints, one instruction at a time. The definition of correct.

Slow and complete. The generated code is compared with it, and leaves to it what it has no form for: instructions
whose meaning is Python (`python_meaning`: x87 where it is not common), odd prefixes, 128-bit dividends.
"""
from __future__ import annotations

import time
from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import Protocol

from . import avx, bmi, crypto, ieee, integer, pcmpstr, sse, sse3, sse4, sse_floats     # noqa: F401  register their meanings
from .insn import Imm, Insn, Mem, Reg, Rel
from .meaning import AF, ARITHMETIC, CF, MEANINGS, OF, PF, RBP, RCX, RSP, SF, ZF, Int, Machine, Vec
from .primitives import M64, PRIM, canonical, signed
from .processor import CPUS, DEFAULT
from .x87_state import execute

PYTHON_MEANINGS = {}


def python_meaning(*names):
    """Registers a meaning that needs the oracle itself (`m.state`, `m.memory`, `m.insn`). A generated form, if there is one, is
    registered later, and leaves to this one what is not common."""
    def register(function):
        for n in names or (function.__name__.rstrip("_"),):
            assert n not in PYTHON_MEANINGS and n not in MEANINGS, f"{n} has two meanings"
            PYTHON_MEANINGS[n] = function
        return function
    return register


class Trap(Exception):
    """The instruction raised an exception of the processor: "UD", "DE", "BP", "GP", "MF", "XM", "SS", "OF", "DB". AFTER: those that
    leave RIP behind the instruction."""
    AFTER = {"BP", "OF", "DB"}

    def __init__(self, vector: str, error: int = 0):
        """error: its error code."""
        super().__init__(vector)
        self.vector, self.error = vector, error


class SystemCall(Exception):
    """SYSCALL was executed; RIP, RCX and R11 are set."""


class GuestFault(Exception):
    """Memory at `address` may not be accessed ("r", "w")."""

    def __init__(self, address: int, access: str):
        super().__init__(f"{access} {address:#x}")
        self.address, self.access = address, access


class Memory(Protocol):
    def read(self, address: int, length: int) -> bytes: """Raises GuestFault."""
    def write(self, address: int, data: bytes) -> None: """Raises GuestFault, then with nothing written."""
    def check_write(self, address: int, length: int) -> None: """Raises GuestFault where a write would."""


@dataclass
class State:
    """The registers a program sees. `flags` has the six arithmetic flags at their places in EFLAGS."""
    gpr: list[int] = field(default_factory=lambda: [0] * 16)
    xmm: list[int] = field(default_factory=lambda: [0] * 16)
    upper: list[int] = field(default_factory=lambda: [0] * 16)     # bits 128 to 255 of the vector registers
    rip: int = 0
    flags: int = 0
    rest: int = 0
    df: int = 0
    fs_base: int = 0
    gs_base: int = 0
    selectors: int = 0                                   # of ES, DS, FS, GS, 16 bits each
    mxcsr: int = 0x1F80
    watched: int = 0                                     # see Machine.cell
    fcw: int = 0x37F
    fsw: int = 0
    ftw: int = 0                                         # bit n: physical x87 register n is in use
    fop: int = 0                                         # opcode of the x87 instruction that raised an unmasked exception
    fip: int = 0                                         # where the last x87 instruction was
    fdp: int = 0                                         # of what raised an unmasked exception, the operand in memory
    x87: list[int] = field(default_factory=lambda: [0] * 8)    # physical registers, 80 bits; MMX in the lower 64

    def copy(self) -> State:
        return State(*(list(v) if isinstance(v, list) else v for v in (getattr(self, f.name) for f in fields(self))))

    def restore(self, other: State) -> None:
        for f in fields(self):
            setattr(self, f.name, getattr(other, f.name))


STACK = {"push", "pop", "pushf", "popf", "call", "call_indirect", "callf", "ret", "retf", "iret", "enter", "leave", "push_seg", "pop_seg"}
_KINDS = {"g": "r", "x": "x", "m": "q", "s": "S", "f": "f"}


def _kind(operand) -> str:
    if isinstance(operand, Reg):
        return _KINDS.get(operand.kind, "?")
    return {Mem: "m", Imm: "i", Rel: "j"}[type(operand)]


class Oracle(Machine):
    """Runs one instruction: `Oracle(insn, state, memory).step()`. `features`: what CPUID is to say."""

    def __init__(self, insn: Insn, state: State, memory: Memory, features: frozenset[str] = CPUS[DEFAULT]):
        self.insn, self.state, self.memory, self._features = insn, state, memory, features
        self.size = insn.size * 8
        self.cc, self.rep = insn.cc, insn.rep
        self.asize, self.segment = insn.asize * 8, insn.segment
        self.next = insn.address + insn.length & M64
        self._together: int | None = None               # exceptions since `both_halves`
        # Addresses are formed from the registers as they are before the instruction.
        self._linear = {k: self._form(o) for k, o in enumerate(insn.operands) if isinstance(o, Mem)}

    @cached_property
    def kinds(self): return () if self._strings else tuple(_kind(o) for o in self.insn.operands)

    @cached_property
    def bits(self):
        return () if self._strings else tuple(64 if isinstance(o, Rel) else o.size * 8 for o in self.insn.operands)

    @property
    def steps(self): return bool(self.state.rest & integer.TF)

    @property
    def _strings(self): return self.insn.row.rep or self.insn.row.repz

    def step(self) -> None:
        """Executes the instruction. On Trap and GuestFault the state is as before, but for RIP after BP, and MXCSR after XM."""
        before = self.state.copy()
        try:
            self.execute()
        except (Trap, GuestFault) as stop:
            mxcsr = self.state.mxcsr
            self.state.restore(before)
            if isinstance(stop, Trap) and stop.vector in Trap.AFTER:
                self.state.rip = self.next
            if isinstance(stop, Trap) and stop.vector == "XM":
                self.state.mxcsr = mxcsr
            if isinstance(stop, GuestFault) and not canonical(stop.address):
                raise Trap("SS" if self.by_stack(stop.address) else "GP") from None
            raise

    def execute(self) -> None:
        """As `step`, but Trap and GuestFault may leave the state changed: whoever calls throws it away then."""
        row = self.insn.row
        if row.cpl0 or row.iopl:
            raise Trap("GP")
        if row.map and not row.unaligned:
            for k, at in self._linear.items():
                size = self.insn.operands[k].size
                if at & size - 1 and size in (16, 32):
                    raise Trap("GP")
        run = PYTHON_MEANINGS.get(row.meaning) or MEANINGS.get(row.meaning)
        if run is None:
            raise Trap("UD")
        try:
            execute(self, run)
        except SystemCall:
            self.state.rip = self.next
            raise
        self.state.rip = self.next

    def by_stack(self, address: int) -> bool:
        """Whether the instruction uses the stack segment to access memory at the address. It matters in one place: an address
        that is not canonical gives #SS then, and otherwise #GP."""
        for k, at in self._linear.items():
            o = self.insn.operands[k]
            if at <= address < at + max(o.size, 1):
                return o.segment is None and o.base in (RSP, RBP)
        if self.insn.meaning in ("bt", "bts", "btr", "btc"):        # beyond its operand
            o = self.insn.operands[0]
            return o.segment is None and o.base in (RSP, RBP)
        return self.insn.meaning in STACK

    # ---- values
    def prim(self, op, *raws): return PRIM[op](*raws)

    def lane(self, op, index, *raws):
        shape, what = op.split(".")
        bits = int(shape[1:].split("x")[0])
        shift, mask = index * bits, (1 << bits) - 1
        convert = {"f64": ("i64.reinterpret_f64", "f64.reinterpret_i64"), "f32": ("i32.reinterpret_f32", "f32.reinterpret_i32")}
        to_bits, from_bits = (PRIM[n] for n in convert[shape[:3]]) if shape[0] == "f" else (lambda x: x & mask, lambda x: x)
        if what.startswith("extract"):
            value = raws[0] >> shift & mask
            return signed(value, bits) & 0xFFFFFFFF if what.endswith("_s") else from_bits(value)
        return raws[0] & ~(mask << shift) | to_bits(raws[1]) << shift

    def shuffle(self, a, b, indices):
        both = a.to_bytes(16, "little") + b.to_bytes(16, "little")
        return int.from_bytes(bytes(both[i] for i in indices), "little")

    def const(self, type, n): return n & {"i32": 0xFFFFFFFF, "i64": M64, "v128": (1 << 128) - 1}[type]
    def keep(self, type, raw): return raw

    # ---- operands
    def read(self, k, bits):
        o = self.insn.operands[k]
        if isinstance(o, Imm):
            return o.value & (1 << bits) - 1
        if isinstance(o, Mem):
            return self._load(self._linear[k], bits)
        if o.kind == "g":
            return (self.state.gpr[o.number] >> (8 if o.high else 0)) & (1 << bits) - 1
        file = self.state.xmm if o.kind == "x" else self.state.x87
        return file[o.number] & (1 << bits) - 1

    def write(self, k, value):
        o = self.insn.operands[k]
        assert self.kinds[k] != "x", "vector registers are written whole"
        if isinstance(o, Mem):
            self.store(self.address(k), value)
        elif o.kind == "m":
            self.state.x87[o.number] = 0xFFFF << 64 | value.raw
        elif o.high:
            self.state.gpr[o.number] = self.state.gpr[o.number] & ~0xFF00 | value.raw << 8
        else:
            self.set_reg(o.number, value)

    def read_vec(self, k):
        o = self.insn.operands[k]
        if isinstance(o, Mem):
            return self._load(self._linear[k], min(self.bits[k], 128))
        return self.state.xmm[o.number] if o.kind == "x" else self.state.x87[o.number] & M64

    def write_vec(self, k, value):
        o = self.insn.operands[k]
        if isinstance(o, Mem) and self.bits[k] >= 128:
            self.memory.check_write(self._linear[k], self.bits[k] // 8)
            self.store_vec(self.address(k), value)
        elif isinstance(o, Mem) or o.kind == "m":
            self.write(k, value.int(0, self.bits[k]))
        else:
            self.state.xmm[o.number] = value.raw

    def read_upper(self, k):
        o = self.insn.operands[k]
        return self._load(self._linear[k] + 16 & M64, 128) if isinstance(o, Mem) else self.state.upper[o.number]

    def write_upper(self, k, value):
        o = self.insn.operands[k]
        if isinstance(o, Mem):
            self.store_vec(self.address(k) + 16, value)
        else:
            self.state.upper[o.number] = value.raw

    def upper(self, number): return Vec(self, self.state.upper[number])
    def set_upper(self, number, value): self.state.upper[number] = value.raw

    def reg(self, number, bits): return Int(self, self.state.gpr[number] & (1 << bits) - 1, bits)

    def set_reg(self, number, value):
        bits = value.bits
        keep = 0 if bits >= 32 else self.state.gpr[number] >> bits << bits
        self.state.gpr[number] = keep | value.raw

    def xmm(self, number): return Vec(self, self.state.xmm[number])
    def set_xmm(self, number, value): self.state.xmm[number] = value.raw

    # ---- memory
    def _form(self, o: Mem, segment=True, plus: int = 0) -> int:
        g = self.state.gpr
        at = o.disp + plus + (g[o.base] if o.base is not None else 0) + (g[o.index] * o.scale if o.index is not None else 0)
        if self.insn.meaning == "pop" and o.base == 4:
            at += self.insn.size                        # RSP has been counted up by then
        at &= 0xFFFFFFFF if o.asize == 4 else M64
        if segment and o.segment:
            at += self.state.fs_base if o.segment == "fs" else self.state.gs_base
        return at & M64

    def address(self, k, segment=True, plus=None):
        if segment and plus is None:
            return Int(self, self._linear[k], 64)
        return Int(self, self._form(self.insn.operands[k], segment, plus.raw if plus else 0), 64)

    def _load(self, at, bits): return int.from_bytes(self.memory.read(at, bits // 8), "little")
    def load(self, address, bits): return Int(self, self._load(address.raw, bits), bits)
    def store(self, address, value): self.memory.write(address.raw, value.raw.to_bytes(value.bits // 8, "little"))
    def load_vec(self, address): return Vec(self, self._load(address.raw, 128))
    def store_vec(self, address, value): self.memory.write(address.raw, value.raw.to_bytes(16, "little"))
    def move(self, to, source, size): self.memory.write(to.raw, self.memory.read(source.raw, size.raw))
    def fill(self, to, byte, size): self.memory.write(to.raw, bytes([byte.raw]) * size.raw)
    def writable(self, address, bits): self.memory.check_write(address.raw, bits // 8)
    def features(self): return self._features
    def time_stamp(self): return Int(self, time.perf_counter_ns(), 64)
    def base(self, segment): return Int(self, getattr(self.state, segment + "_base"), 64)
    def set_base(self, segment, value): setattr(self.state, segment + "_base", value.raw)
    def cell(self, name): return Int(self, getattr(self.state, name), {"fcw": 16, "fsw": 16, "ftw": 8, "fop": 16, "fip": 64, "fdp": 64}.get(name, 32))
    def set_cell(self, name, value): setattr(self.state, name, value.raw)

    def _physical(self, i): return (self.state.fsw >> 11) + i & 7

    def stack_register(self, i):
        value = self.state.x87[self._physical(i)]
        return Int(self, value & M64, 64), Int(self, value >> 64, 16)

    def set_stack_register(self, i, mantissa, exponent):
        self.state.x87[self._physical(i)] = exponent.raw << 64 | mantissa.raw

    # ---- control
    def leave_pointer(self): self.state.fip = self.insn.address
    def next_ip(self): return Int(self, self.insn.address + self.insn.length & M64, 64)
    def goto(self, address): self.next = address.raw

    def target(self, address):
        if not canonical(address.raw):
            raise Trap("GP")

    def branch(self, condition=None):
        if condition is None or condition.raw:
            self.next = self.insn.operands[0].target

    def again(self, condition):
        if condition.raw:
            self.next = self.insn.address

    def when(self, condition, body):
        if condition.raw:
            body()

    def choose(self, condition, yes, no): return yes() if condition.raw else no()

    def trap_if(self, condition, vector):
        if condition.raw:
            raise Trap(vector)

    def trap(self, vector): raise Trap(vector)
    def slow_if(self, condition): pass

    def float_op(self, op, *values):
        bits, exceptions = sse_floats.exactly(op, [v if isinstance(v, int) else sse_floats.raw_bits(v) for v in values], self.state.mxcsr)
        if self._together is None:
            self._settle(exceptions)
        else:
            self._together |= exceptions
        return sse_floats.result(self, op, sse_floats.oracle_raw(op, bits))

    def _settle(self, exceptions):
        self.state.mxcsr, trap = ieee.settle(self.state.mxcsr, exceptions)
        if trap:
            raise Trap("XM")

    def both_halves(self): self._together = self._together or 0

    def floats_done(self):
        if self._together is not None:
            self._settle(self._together)
            self._together = None

    def system_call(self):
        self.state.gpr[RCX] = self.next
        self.state.gpr[11] = integer.eflags(self).raw
        raise SystemCall

    def divide_wide(self, high, low, divisor, signed):
        n, d = high.raw << 64 | low.raw, divisor.raw
        if signed:
            n, d = _signed(n, 128), _signed(d, 64)
        q = abs(n) // abs(d)
        q = -q if (n < 0) != (d < 0) else q
        if q != (_signed(q & M64, 64) if signed else q & M64):
            raise Trap("DE")
        return Int(self, q & M64, 64), Int(self, n - q * d & M64, 64)

    # ---- flags: packed at once
    def _packed(self, r, cf, of, af):
        return (cf << CF | of << OF | af << AF | (r.raw == 0) << ZF | (r.raw >> r.bits - 1) << SF
                | (not (r.raw & 0xFF).bit_count() & 1) << PF)

    def flags_sub(self, x, y):
        r, s = x - y, x.bits
        of = _signed(x.raw, s) - _signed(y.raw, s) != _signed(r.raw, s)
        self.state.flags = self._packed(r, x.raw < y.raw, of, (x.raw & 15) < (y.raw & 15))

    def flags_add(self, x, y):
        r, s = x + y, x.bits
        of = _signed(x.raw, s) + _signed(y.raw, s) != _signed(r.raw, s)
        self.state.flags = self._packed(r, x.raw + y.raw >> s, of, (x.raw & 15) + (y.raw & 15) > 15)

    def flags_logic(self, r): self.state.flags = self._packed(r, 0, 0, 0)

    def flags_inc(self, r):
        self.state.flags = self._packed(r, self.state.flags >> CF & 1, r.raw == 1 << r.bits - 1, not r.raw & 15)

    def flags_dec(self, r):
        self.state.flags = self._packed(r, self.state.flags >> CF & 1, r.raw == (1 << r.bits - 1) - 1, r.raw & 15 == 15)

    def flags_result(self, r, cf, of, af=None):
        self.state.flags = self._packed(r, cf.raw, of.raw, af.raw if af else 0)

    def arithmetic_flags(self): return Int(self, self.state.flags, 32)
    def set_arithmetic_flags(self, packed): self.state.flags = packed.raw & ARITHMETIC
    def flags_rest(self): return Int(self, self.state.rest, 32)
    def set_flags_rest(self, value): self.state.rest = value.raw

    def condition(self, cc):
        f = self.state.flags
        cf, zf, sf, of, pf = (f >> n & 1 for n in (CF, ZF, SF, OF, PF))
        holds = (of, cf, zf, cf | zf, sf, pf, sf ^ of, zf | sf ^ of)[cc >> 1]
        return self.bool(bool(holds ^ (cc & 1)))


_signed = signed


def run(insn: Insn, state: State, memory: Memory) -> None:
    """Executes one instruction: raises Trap, SystemCall or GuestFault."""
    Oracle(insn, state, memory).step()
