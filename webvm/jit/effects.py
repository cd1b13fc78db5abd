"""What an instruction of a shape reads and writes, found by running its meaning over values that stand for themselves.

So there is no table of effects to keep by hand. Knows the language of meanings; knows no encodings, and emits nothing.

A value is an int where the shape alone fixes it, `(where, offset)` for a 64-bit register plus a constant, else None.
`where` is the number of a general register, or -1 - k for register operand k.
"""
from dataclasses import dataclass, field
from functools import lru_cache

from ..x86 import flags
from ..x86.meaning import AF, ARITHMETIC, CF, MEANINGS, OF, PF, RSP, SF, ZF, Bool, Int, Machine, Vec
from ..x86.sse_floats import result
from ..x86.x87_state import execute
from . import layout as at
from .handler import CELLS, WIDE, Shape

M64 = (1 << 64) - 1
CONDITION_FLAGS = [1 << OF, 1 << CF, 1 << ZF, 1 << CF | 1 << ZF, 1 << SF, 1 << PF, 1 << SF | 1 << OF, 1 << ZF | 1 << SF | 1 << OF]
_BITS = {"cf": 1 << CF, "pf": 1 << PF, "af": 1 << AF, "zf": 1 << ZF, "sf": 1 << SF, "of": 1 << OF}


@dataclass
class Effects:
    """Register sets are masks: general register n is bit n, xmm n is bit 16 + n, the upper half of ymm n bit 32 + n."""
    reads: int = 0                      # fixed registers
    writes: int = 0
    operand_reads: set = field(default_factory=set)      # of register operands, by position
    operand_writes: set = field(default_factory=set)
    operand_upper_reads: set = field(default_factory=set)        # of vector register operands, the upper halves
    operand_upper_writes: set = field(default_factory=set)
    operand_partial: set = field(default_factory=set)    # written in part, or only under a condition: the rest must be there
    operand_short: set = field(default_factory=set)      # read with 32 bits
    partial: int = 0                    # likewise of fixed registers
    short: int = 0
    memory: dict = field(default_factory=dict)           # memory operand -> (access, bits)
    implicit: list = field(default_factory=list)         # (value of the address, access, bits), in the order they are made
    moves: dict = field(default_factory=dict)            # where -> (where, offset): set to a register plus a constant; None: to anything
    vector_uses: dict = field(default_factory=dict)      # vector register operand -> which of its lowest 64 and 32 bits and WHOLE
    vector_result: tuple = ()           # what a vector register is set to: ("x", k) operand k, ("low", n) something with n lowest bits new
    flags_read: int = 0                 # masks of EFLAGS bits
    flags_written: int = 0              # in any case
    flags_touched: int = 0              # perhaps
    flags_kind: tuple | None = None     # (kind, bits) of the lazy flags it leaves, if it always does
    control: str | None = None          # "branch", "goto", "syscall"
    traps: bool = False                 # may have to be executed by the interpreter instead
    conditional: bool = False           # registers are written under a condition
    repeats: bool = False
    routines: list = field(default_factory=list)         # names of those called
    pointer: bool = False               # its address is kept, as x87 instructions' are
    float_ops: list = field(default_factory=list)        # of x86.sse_floats
    strange: bool = False               # something that regions leave to the interpreter


WHOLE = 1


class _Observer(Machine):
    def __init__(self, shape: Shape):
        self.shape, self.size, self.bits, self.cc, self.rep = shape, shape.size, shape.bits, shape.cc, shape.rep
        self.kinds = tuple(k.lower()[0] if k[0] != "g" else "r" for k in shape.kinds)
        self.asize, self.segment = 64, None
        self.e = Effects()
        self.inside = 0

    # ---- values
    def _whole(self, *raws):
        for raw in raws:
            if raw.__class__ is tuple and raw[0] == "x":
                self.e.vector_uses[raw[1]] = self.e.vector_uses.get(raw[1], 0) | WHOLE

    def prim(self, op, *raws):
        self._whole(*raws)
        if op in ("i64.add", "i64.sub") and isinstance(raws[0], tuple) and isinstance(raws[1], int):
            where, offset = raws[0]
            offset = offset + raws[1] if op == "i64.add" else offset - raws[1]
            return where, (offset + (1 << 63) & M64) - (1 << 63)
        return None

    def lane(self, op, index, *raws):
        vector, width = raws[0], int(op[1:op.index("x")])
        if "extract" not in op:
            return ("low", width) if index == 0 and width >= 32 else vector if vector.__class__ is tuple and vector[0] == "low" else None
        if vector.__class__ is tuple and vector[0] == "x" and index * width < 64:
            uses = self.e.vector_uses
            uses[vector[1]] = uses.get(vector[1], 0) | (width if index == 0 and width >= 32 else WHOLE)
        return None

    def shuffle(self, a, b, indices): self._whole(a, b)
    def const(self, type, n): return n
    def keep(self, type, raw): return raw

    # ---- operands
    def _fixed(self, k):
        kind = self.shape.kinds[k]
        return int(kind[1:]) if len(kind) > 1 else None

    def _memory(self, k, access, bits):
        if self.bits[k] in WIDE:                                 # the processor accesses all of it
            bits = self.bits[k]
        old = self.e.memory.get(k, (0, 0))
        self.e.memory[k] = old[0] | access, max(old[1], bits)

    def _read_operand(self, k, bits):
        kind, fixed = self.kinds[k], self._fixed(k)
        if kind == "m":
            self._memory(k, at.READ, bits)
        elif fixed is not None:
            if kind == "r":
                return self.reg(fixed, bits).raw
            self.e.reads |= 1 << fixed + (16 if kind == "x" else 0)
        elif kind in "rx":
            self.e.operand_reads.add(k)
            if kind == "r" and bits == 32:
                self.e.operand_short.add(k)
            return (-1 - k, 0) if kind == "r" and bits == 64 else None
        return None

    def read(self, k, bits):
        if self.kinds[k] == "x":
            self.e.vector_uses[k] = self.e.vector_uses.get(k, 0) | (bits if bits >= 32 else WHOLE)
        return self._read_operand(k, bits)

    def read_vec(self, k):
        self._read_operand(k, self.bits[k])
        return ("x", k) if self.kinds[k] == "x" else ("low", self.bits[k]) if self.kinds[k] == "m" and self.bits[k] < 128 else None

    def _write_operand(self, k, bits, raw):
        kind, fixed = self.kinds[k], self._fixed(k)
        if kind == "m":
            self._memory(k, at.WRITE, bits)
        elif fixed is not None and kind == "r":
            self.set_reg(fixed, Int(self, raw, bits))
        elif fixed is not None:
            self.e.writes |= 1 << fixed + 16
        elif kind in "rx":
            self.e.operand_writes.add(k)
            if bits < 32 or self.inside:
                self.e.operand_partial.add(k)
            self._moved(-1 - k, bits, raw)
        self.e.conditional |= self.inside > 0

    def write(self, k, value): self._write_operand(k, value.bits, value.raw)
    def write_vec(self, k, value):
        if self.kinds[k] == "x" and value.raw.__class__ is tuple:
            self.e.vector_result = value.raw
        self._write_operand(k, self.bits[k] if self.kinds[k] == "m" else 128, None)

    def read_upper(self, k):
        if self.kinds[k] == "m":
            self._memory(k, at.READ, 256)
        else:
            self.e.operand_upper_reads.add(k)

    def write_upper(self, k, value):
        if self.kinds[k] == "m":
            self._memory(k, at.WRITE, 256)
        else:
            self.e.operand_upper_writes.add(k)

    def upper(self, number):
        self.e.reads |= 1 << 32 + number
        return Vec(self, None)

    def set_upper(self, number, value): self.e.writes |= 1 << 32 + number

    def reg(self, number, bits):
        self.e.reads |= 1 << number
        if bits == 32:
            self.e.short |= 1 << number
        return Int(self, (number, 0) if bits == 64 else None, bits)

    def set_reg(self, number, value):
        self.e.writes |= 1 << number
        if value.bits < 32 or self.inside:
            self.e.reads |= 1 << number
            self.e.partial |= 1 << number
        self._moved(number, value.bits, value.raw)
        self.e.conditional |= self.inside > 0

    def _moved(self, where, bits, raw):
        self.e.moves.pop(where, None)                       # they are in the order of the last writes
        self.e.moves[where] = raw if bits == 64 and not self.inside and isinstance(raw, tuple) else None

    def xmm(self, number):
        self.e.reads |= 1 << 16 + number
        return Vec(self, None)

    def set_xmm(self, number, value): self.e.writes |= 1 << 16 + number

    # ---- memory
    def _implicit(self, address, access, bits): self.e.implicit.append((address.raw, access, bits))

    def load(self, address, bits):
        self._implicit(address, at.READ, bits)
        return Int(self, None, bits)

    def store(self, address, value): self._implicit(address, at.WRITE, value.bits)

    def load_vec(self, address):
        self._implicit(address, at.READ, 128)
        return Vec(self, None)

    def store_vec(self, address, value): self._implicit(address, at.WRITE, 128)
    def move(self, to, source, size): pass
    def fill(self, to, byte, size): pass
    def writable(self, address, bits): self._implicit(address, at.WRITE, bits)
    def address(self, k, segment=True, plus=None): return Int(self, None, 64)

    # ---- control registers
    def time_stamp(self):
        self.e.strange = True
        return Int(self, None, 64)

    def features(self):
        self.e.strange = True
        return frozenset()

    def base(self, segment): return Int(self, None, 64)
    def set_base(self, segment, value): pass
    def cell(self, name): return Int(self, None, CELLS[name][1])
    def set_cell(self, name, value): self.e.strange |= name in ("mxcsr", "watched")      # on which the region depends

    def stack_register(self, i):
        self.e.strange = True
        return Int(self, None, 64), Int(self, None, 16)

    def set_stack_register(self, i, mantissa, exponent): self.e.strange = True
    def stack_number(self, k): return Int(self, None, 16)

    def part(self, k, offset, bits):
        self._memory(k, at.READ, self.bits[k])
        return Int(self, None, bits)

    def set_part(self, k, offset, value): self._memory(k, at.WRITE, self.bits[k])
    def call_shared(self, name, a, b): return None

    def float_op(self, op, *values):
        self.e.traps = True
        self.e.float_ops.append(op)
        self._whole(*(v.raw for v in values if isinstance(v, Vec)))
        return result(self, op, None)

    def both_halves(self): self.e.traps = True

    # ---- control
    def leave_pointer(self): self.e.pointer = True
    def next_ip(self): return Int(self, None, 64)
    def goto(self, address): self.e.control = "goto"
    def target(self, address): self.e.traps = True
    def branch(self, condition=None): self.e.control = "branch"
    def again(self, condition): self.e.repeats = True

    def when(self, condition, body):
        self.inside += 1
        body()
        self.inside -= 1

    def choose(self, condition, yes, no):
        yes()
        return no()

    def call(self, routine, *values):
        if not routine.inline:
            self.e.routines.append(routine.name)
        return super().call(routine, *values)

    def trap_if(self, condition, vector): self.e.traps = True
    def trap(self, vector): self.e.strange = True
    def system_call(self): self.e.control = "syscall"
    def slow_if(self, condition): self.e.traps = True

    def divide_wide(self, high, low, divisor, signed):
        self.e.traps = True
        return Int(self, None, 64), Int(self, None, 64)

    # ---- flags
    def _flags(self, mask, kind=None, bits=64):
        e = self.e
        e.flags_touched |= mask
        if self.inside:
            e.flags_kind = None
        else:
            e.flags_written |= mask
            e.flags_kind = None if kind is None else (kind, bits)

    def flags_sub(self, x, y): self._flags(ARITHMETIC, flags.SUB, x.bits)
    def flags_add(self, x, y): self._flags(ARITHMETIC, flags.ADD, x.bits)
    def flags_logic(self, r): self._flags(ARITHMETIC, flags.SUB, r.bits)
    def flags_inc(self, r): self._flags(ARITHMETIC & ~(1 << CF), flags.INC, r.bits)
    def flags_dec(self, r): self._flags(ARITHMETIC & ~(1 << CF), flags.DEC, r.bits)
    def flags_result(self, r, cf, of, af=None): self._flags(ARITHMETIC, flags.RESULT, r.bits)
    def flags_set(self, **bits): self._flags(sum(_BITS[name] for name in bits), flags.EXPLICIT)

    def flags_compare(self, x, y): self._flags(ARITHMETIC, flags.COMPARE)

    def arithmetic_flags(self):
        self.e.flags_read |= ARITHMETIC
        return Int(self, None, 32)

    def set_arithmetic_flags(self, packed): self._flags(ARITHMETIC, flags.EXPLICIT)

    def condition(self, cc):
        self.e.flags_read |= CONDITION_FLAGS[cc >> 1]
        return Bool(self, None)

    def flags_rest(self): return Int(self, None, 32)
    def set_flags_rest(self, value): pass


@lru_cache(None)
def effects(shape: Shape) -> Effects:
    """The effects of the instructions of a shape (without the branch that may be fused to it)."""
    observer = _Observer(shape)
    execute(observer, MEANINGS[shape.meaning])
    e = observer.e
    if shape.rep is not None:
        # one element a time, and none when the count is zero
        e.reads |= e.writes
        e.implicit = [(None, access, bits) for _, access, bits in e.implicit]
        e.moves = {}
    assert RSP == 4
    return e
