"""The language in which the meaning of an instruction is written, once.

A meaning is a plain function over a *machine*. Run over the oracle (`x86.oracle`) the values are Python ints; run over
an emitter (`jit.emit`) they are the WebAssembly bytes that push them. This module knows the values, the operators and
what a machine must offer. It knows no encodings (`x86.decode`) and nothing of who runs the result.

The primitive operations carry the names of WebAssembly's numeric and vector instructions, whose specification defines
them exactly ("i64.rotl", "i16x8.add_sat_s"); a machine implements `prim` for them.

Rules for a meaning:
  * Read, compute, write: every access that may fault comes before the first change of a register or flag, so that an
    instruction that faulted can be restarted. A memory destination is checked when the instruction starts.
  * An operand is read once (`x = m.dst`): each mention of `m.dst` is an access.
  * No Python `if` on a value; only on what is fixed by the instruction's shape (`m.bits`, `m.kinds`, `m.cc`, `m.rep`).
"""
from __future__ import annotations

from collections.abc import Callable

MEANINGS: dict[str, Callable[["Machine"], None]] = {}


def meaning(*names: str):
    """Registers a function as the meaning of the instructions `names` (default: its own name, less trailing _)."""
    def register(function):
        for n in names or (function.__name__.rstrip("_"),):
            assert n not in MEANINGS, f"{n} has two meanings"
            MEANINGS[n] = function
        return function
    return register


ROUTINES: dict[str, "Routine"] = {}


class Routine:
    """A part of meanings that generated code has once, as a function of values: see `routine`."""

    def __init__(self, function, parameters: str, result: str, inline: bool):
        self.function, self.parameters, self.result, self.inline = function, parameters.split(), result, inline
        self.name = function.__name__

    def __call__(self, m: "Machine", *values): return m.call(self, *values)


def routine(parameters: str, result: str, inline: bool = False):
    """For a part of a meaning that is long: a function of a machine and of values, to be called as any other. `parameters`
    and `result` are types: i64 for an Int of 64 bits, v128 for a Vec. It touches nothing but its values. inline: a region has its own
    copy, so that constants shorten it."""
    def register(function):
        made = Routine(function, parameters, result, inline)
        assert made.name not in ROUTINES, f"there are two routines {made.name}"
        ROUTINES[made.name] = made
        return made
    return register


# Register numbers as encoded.
RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI = range(8)

# Flags: bit numbers in EFLAGS.
CF, PF, AF, ZF, SF, TF, IF, DF, OF = 0, 2, 4, 6, 7, 8, 9, 10, 11
ARITHMETIC = 1 << CF | 1 << PF | 1 << AF | 1 << ZF | 1 << SF | 1 << OF


class Bool:
    """A truth value: raw is an i32 that is 0 or 1."""
    __slots__ = ("m", "raw")

    def __init__(self, m, raw):
        self.m, self.raw = m, m.keep("i32", raw)

    def _with(self, op, other):
        return Bool(self.m, self.m.prim(op, self.raw, self.m.bool(other).raw))

    def __and__(self, other): return self._with("i32.and", other)
    def __or__(self, other): return self._with("i32.or", other)
    def __xor__(self, other): return self._with("i32.xor", other)
    def __invert__(self): return Bool(self.m, self.m.prim("i32.eqz", self.raw))

    def int(self, bits: int) -> "Int":
        """0 or 1 as an integer of `bits` bits."""
        return Int(self.m, self.m.prim("i64.extend_i32_u", self.raw), bits)

    def select(self, yes, no):
        """`yes` where true, else `no` (values of one type; both are evaluated)."""
        return yes._like(self.m.prim("select", yes.raw, yes._other(no), self.raw))

    def choose(self, yes, no):
        """As `select`, of what two functions answer; only the one that is needed is executed. Neither may touch anything."""
        return self.m.choose(self, yes, no)


class Int:
    """An unsigned integer of `bits` bits (8, 16, 32 or 64); raw is an i64 whose upper bits are zero."""
    __slots__ = ("m", "raw", "bits")

    def __init__(self, m, raw, bits: int):
        self.m, self.raw, self.bits = m, m.keep("i64", raw), bits

    def _like(self, raw): return Int(self.m, raw, self.bits)

    def _other(self, o):
        return self.m.const("i64", o & (1 << self.bits) - 1) if isinstance(o, int) else o.raw

    def _bits(self, op, o): return self._like(self.m.prim(op, self.raw, self._other(o)))
    def _wrap(self, op, o): return self._like(self.m.wrap(self.m.prim(op, self.raw, self._other(o)), self.bits))

    # arithmetic modulo 2**bits
    def __add__(self, o): return self._wrap("i64.add", o)
    def __sub__(self, o): return self._wrap("i64.sub", o)
    def __mul__(self, o): return self._wrap("i64.mul", o)
    def __neg__(self): return self._like(self.m.wrap(self.m.prim("i64.sub", self.m.const("i64", 0), self.raw), self.bits))
    def __invert__(self): return self._bits("i64.xor", -1)
    def __and__(self, o): return self._bits("i64.and", o)
    def __or__(self, o): return self._bits("i64.or", o)
    def __xor__(self, o): return self._bits("i64.xor", o)

    # shifts; the count is taken modulo 64, and may exceed `bits`
    def _count(self, n): return self.m.const("i64", n) if isinstance(n, int) else n.raw
    def __lshift__(self, n): return self._like(self.m.wrap(self.m.prim("i64.shl", self.raw, self._count(n)), self.bits))
    def __rshift__(self, n): return self._like(self.m.prim("i64.shr_u", self.raw, self._count(n)))

    def sar(self, n):
        """Arithmetic shift right."""
        return self._like(self.m.wrap(self.m.prim("i64.shr_s", self._signed(), self._count(n)), self.bits))

    def rotl(self, n):
        """Rotates left by a count below `bits`."""
        if self.bits == 64:
            return self._like(self.m.prim("i64.rotl", self.raw, self._count(n)))
        if self.bits == 32:
            half = [self.m.prim("i32.wrap_i64", raw) for raw in (self.raw, self._count(n))]
            return self._like(self.m.prim("i64.extend_i32_u", self.m.prim("i32.rotl", *half)))
        n = n if isinstance(n, Int) else self.m.int(n, self.bits)
        back = (self.m.int(self.bits, n.bits) - n) & (self.bits - 1)
        return (self << n) | (self >> back)

    # comparisons
    def _signed(self):
        return self.raw if self.bits == 64 else self.m.prim(f"i64.extend{self.bits}_s", self.raw)

    def _compare(self, op, o): return Bool(self.m, self.m.prim(op, self.raw, self._other(o)))
    def __eq__(self, o): return self.is_zero() if isinstance(o, int) and o == 0 else self._compare("i64.eq", o)
    def __ne__(self, o): return self._compare("i64.ne", o)
    __hash__ = None
    def is_zero(self): return Bool(self.m, self.m.prim("i64.eqz", self.raw))
    def lt_u(self, o): return self._compare("i64.lt_u", o)
    def gt_u(self, o): return self._compare("i64.gt_u", o)

    def lt_s(self, o):
        o = self.m.int(o, self.bits) if isinstance(o, int) else o
        if self.bits == 32:
            return Bool(self.m, self.m.prim("i32.lt_s", self.m.prim("i32.wrap_i64", self.raw), self.m.prim("i32.wrap_i64", o.raw)))
        return Bool(self.m, self.m.prim("i64.lt_s", self._signed(), o._signed()))

    def bit(self, n):
        """Bit n (an int, or an Int below 64) as a Bool."""
        shifted = self.m.prim("i64.shr_u", self.raw, self._count(n)) if not isinstance(n, int) or n else self.raw
        return Bool(self.m, self.m.prim("i32.and", self.m.prim("i32.wrap_i64", shifted), self.m.const("i32", 1)))

    def msb(self):
        """The sign bit, as a Bool."""
        if self.bits == 64:
            return Bool(self.m, self.m.prim("i64.lt_s", self.raw, self.m.const("i64", 0)))
        if self.bits == 32:
            return Bool(self.m, self.m.prim("i32.lt_s", self.m.prim("i32.wrap_i64", self.raw), self.m.const("i32", 0)))
        return self.bit(self.bits - 1)

    # width
    def zext(self, bits): return Int(self.m, self.raw, bits)
    def low(self, bits): return Int(self.m, self.m.wrap(self.raw, bits), bits)
    def sext(self, bits): return Int(self.m, self.m.wrap(self._signed(), bits), bits)

    def high_part(self):
        """Shifted up so that the top bit is bit 63 (how the lazy flags keep operands)."""
        return self if self.bits == 64 else Int(self.m, self.m.prim("i64.shl", self.raw, self.m.const("i64", 64 - self.bits)), 64)

    def splat(self) -> "Vec":
        """A vector with this in every lane."""
        m = self.m
        return Vec(m, m.prim(f"i{self.bits}x{128 // self.bits}.splat", self.raw if self.bits == 64 else m.prim("i32.wrap_i64", self.raw)))

    # counting
    def clz(self): return self._like(self.m.prim("i64.clz", self.high_part().raw))   # of zero: 64
    def ctz(self): return self._like(self.m.prim("i64.ctz", self.raw))               # of zero: 64
    def popcnt(self): return self._like(self.m.prim("i64.popcnt", self.raw))

    def parity_even(self):
        """True when the lowest byte has an even number of ones."""
        return ~Int(self.m, self.m.prim("i64.popcnt", self.low(8).raw), 64).bit(0)

    # division of 64-bit integers; a zero divisor, and the least integer by -1, must be ruled out before
    def div_u(self, o): return self._bits("i64.div_u", o)
    def rem_u(self, o): return self._bits("i64.rem_u", o)
    def div_s(self, o): return self._bits("i64.div_s", o)
    def rem_s(self, o): return self._bits("i64.rem_s", o)

    def mul_high(self, o, signed: bool):
        """The upper 64 bits of the 128-bit product of two 64-bit integers (schoolbook, 32-bit limbs)."""
        a0, a1, b0, b1 = self & 0xFFFFFFFF, self >> 32, o & 0xFFFFFFFF, o >> 32
        mid = a1 * b0 + (a0 * b0 >> 32)
        high = a1 * b1 + (mid >> 32) + ((mid & 0xFFFFFFFF) + a0 * b1 >> 32)
        if signed:
            high = high - (self.sar(63) & o) - (o.sar(63) & self)
        return high

    # bit patterns as numbers
    def f64(self): return Float(self.m, self.m.prim("f64.reinterpret_i64", self.raw), 64)
    def f32(self): return Float(self.m, self.m.prim("f32.reinterpret_i32", self.m.prim("i32.wrap_i64", self.raw)), 32)
    def float(self): return self.f64() if self.bits == 64 else self.f32()

    def to_float(self, bits):
        """The signed integer converted to binary32 or binary64, rounded to nearest."""
        return Float(self.m, self.m.prim(f"f{bits}.convert_i64_s", self._signed()), bits)


class Float:
    """A binary32 or binary64 number; raw is an f32 or f64."""
    __slots__ = ("m", "raw", "bits")

    def __init__(self, m, raw, bits: int):
        self.m, self.raw, self.bits = m, m.keep(f"f{bits}", raw), bits

    def _like(self, raw): return Float(self.m, raw, self.bits)
    def _other(self, o): return o.raw
    def op(self, name, *others):
        """A numeric instruction of this width with a result of the same type: "add", "sqrt", "nearest", ..."""
        return self._like(self.m.prim(f"f{self.bits}.{name}", self.raw, *(o.raw for o in others)))

    def _compare(self, op, o): return Bool(self.m, self.m.prim(f"f{self.bits}.{op}", self.raw, o.raw))
    def lt(self, o): return self._compare("lt", o)
    def le(self, o): return self._compare("le", o)
    def eq(self, o): return self._compare("eq", o)
    def unordered(self, o): return (~self.eq(self)) | (~o.eq(o))

    def bits_int(self):
        """The bit pattern."""
        if self.bits == 64:
            return Int(self.m, self.m.prim("i64.reinterpret_f64", self.raw), 64)
        return Int(self.m, self.m.prim("i64.extend_i32_u", self.m.prim("i32.reinterpret_f32", self.raw)), 32)

    def to(self, bits):
        """Converted to the other width."""
        if bits == self.bits:
            return self
        return Float(self.m, self.m.prim("f64.promote_f32" if bits == 64 else "f32.demote_f64", self.raw), bits)

    def trunc_sat_s(self):
        """Truncated to a signed 64-bit integer, saturating; NaN gives 0."""
        return Int(self.m, self.m.prim(f"i64.trunc_sat_f{self.bits}_s", self.raw), 64)


class Vec:
    """128 bits; raw is a v128."""
    __slots__ = ("m", "raw")

    def __init__(self, m, raw):
        self.m, self.raw = m, m.keep("v128", raw)

    def _like(self, raw): return Vec(self.m, raw)
    def _other(self, o): return self.m.const("v128", o) if isinstance(o, int) else o.raw

    def op(self, name, *others):
        """A vector instruction whose result is a vector: v.op("i8x16.add", w). Other operands: Vec, Int (passed as
        i32 where the instruction shifts), or an int for a constant vector."""
        return Vec(self.m, self.m.prim(name, self.raw, *(self._other(o) for o in others)))

    def shift(self, name, count: Int):
        """A lane shift ("i16x8.shl") by an Int below the lane's width."""
        return Vec(self.m, self.m.prim(name, self.raw, self.m.prim("i32.wrap_i64", count.raw)))

    def __and__(self, o): return self.op("v128.and", o)
    def __or__(self, o): return self.op("v128.or", o)
    def __xor__(self, o): return self.op("v128.xor", o)
    def __invert__(self): return self.op("v128.not")

    def shuffle(self, o, indices):
        """Bytes picked from this (0..15) and o (16..31) by 16 constant indices."""
        return Vec(self.m, self.m.shuffle(self.raw, o.raw, tuple(indices)))

    def int(self, lane: int, bits: int) -> Int:
        """Lane `lane` of the vector seen as lanes of `bits` bits."""
        m = self.m
        if bits == 64:
            return Int(m, m.lane("i64x2.extract_lane", lane, self.raw), 64)
        suffix = "" if bits == 32 else "_u"
        raw = m.lane(f"i{bits}x{128 // bits}.extract_lane{suffix}", lane, self.raw)
        return Int(m, m.prim("i64.extend_i32_u", raw), bits)

    def with_int(self, lane: int, value: Int) -> "Vec":
        """With lane `lane`, of the value's width, replaced."""
        m, bits = self.m, value.bits
        raw = value.raw if bits == 64 else m.prim("i32.wrap_i64", value.raw)
        return Vec(m, m.lane(f"i{bits}x{128 // bits}.replace_lane", lane, self.raw, raw))

    def float(self, lane: int, bits: int) -> Float:
        return Float(self.m, self.m.lane(f"f{bits}x{128 // bits}.extract_lane", lane, self.raw), bits)

    def with_float(self, lane: int, value: Float) -> "Vec":
        bits = value.bits
        return Vec(self.m, self.m.lane(f"f{bits}x{128 // bits}.replace_lane", lane, self.raw, value.raw))

    def any(self) -> Bool:
        """Whether some bit is set."""
        return Bool(self.m, self.m.prim("v128.any_true", self.raw))

    def bitmask(self, bits: int) -> Int:
        """The top bits of the lanes of `bits` bits, as an integer."""
        raw = self.m.prim(f"i{bits}x{128 // bits}.bitmask", self.raw)
        return Int(self.m, self.m.prim("i64.extend_i32_u", raw), 32)


class Machine:
    """What a meaning sees. Subclasses give the primitives marked "machine"; the rest is built from them here.

    The shape of the instruction, fixed while a meaning runs:
      bits    operand size in bits of each explicit operand; `size` is that of the first (or of the instruction)
      kinds   of each explicit operand: "r" general register, "m" memory, "i" immediate, "x" vector register, ...
      cc      condition code 0..15 of Jcc, SETcc, CMOVcc, else None
      rep     "rep", "repne" or None
      asize   address size in bits of string and loop instructions
      segment "fs", "gs" or None, for the source of string instructions (memory operands have theirs in `address`)
    """
    steps = False                   # whether there is a trap after each instruction
    bits: tuple[int, ...]
    kinds: tuple[str, ...]
    size: int
    cc: int | None
    rep: str | None
    asize: int
    segment: str | None

    # ---- machine: values
    def prim(self, op: str, *raws):                 raise NotImplementedError
    def lane(self, op: str, index: int, *raws):     raise NotImplementedError
    def shuffle(self, a, b, indices):               raise NotImplementedError
    def const(self, type: str, n: int):             raise NotImplementedError
    def keep(self, type: str, raw):
        """A raw that may be used any number of times and is evaluated once, here."""
        raise NotImplementedError

    # ---- machine: operands, registers, memory
    def read(self, k: int, bits: int):              raise NotImplementedError   # -> raw i64
    def write(self, k: int, value: Int):            raise NotImplementedError
    def read_vec(self, k: int):
        """-> raw v128: of memory and MMX registers the operand's bits, zero-extended; of vector registers the lower half."""
        raise NotImplementedError
    def write_vec(self, k: int, value: Vec):
        """Memory and MMX registers take the operand's bits (of 256, the lower half), of a vector register the lower half is written."""
        raise NotImplementedError
    def read_upper(self, k: int):
        """-> raw v128: the upper half of a vector register, or of 256 bits in memory."""
        raise NotImplementedError
    def write_upper(self, k: int, value: Vec):      raise NotImplementedError
    def upper(self, number: int) -> Vec:            raise NotImplementedError
    def set_upper(self, number: int, value: Vec):   raise NotImplementedError
    def reg(self, number: int, bits: int) -> Int:   raise NotImplementedError
    def set_reg(self, number: int, value: Int):     raise NotImplementedError
    def xmm(self, number: int) -> Vec:              raise NotImplementedError
    def set_xmm(self, number: int, value: Vec):     raise NotImplementedError
    def load(self, address: Int, bits: int) -> Int: raise NotImplementedError
    def store(self, address: Int, value: Int):      raise NotImplementedError
    def load_vec(self, address: Int) -> Vec:        raise NotImplementedError
    def store_vec(self, address: Int, value: Vec):  raise NotImplementedError
    def move(self, to: Int, source: Int, size: Int):
        """Copies `size` bytes, as if all were read first; in pages that a load and a store were just made in."""
        raise NotImplementedError
    def fill(self, to: Int, byte: Int, size: Int):
        """Stores `size` times the byte, in a page that a store was just made in."""
        raise NotImplementedError
    def writable(self, address: Int, bits: int):
        """Faults now if a store there would."""
        raise NotImplementedError
    def address(self, k: int, segment=True, plus: Int | None = None) -> Int:
        """The effective address of memory operand k, or `plus` bytes behind it (the linear one, with the segment's base, unless
        told not to)."""
        raise NotImplementedError
    def base(self, segment: str) -> Int:            raise NotImplementedError   # "fs", "gs"
    def set_base(self, segment: str, value: Int):   raise NotImplementedError
    def time_stamp(self) -> Int:
        """The time-stamp counter, which counts nanoseconds here."""
        raise NotImplementedError
    def features(self) -> frozenset[str]:
        """The CPUID features of the processor."""
        raise NotImplementedError
    def cell(self, name: str) -> Int:
        """A control register of the state: "mxcsr" (32), "fcw", "fsw" (16), "ftw" (8), "df" (32: 0 or 1); "watched" (32), 1 once the program
        has loaded MXCSR, and so may tell whether exceptions of numbers were added there; and what a shared function has answered, "x87_value" (64), "x87_high" (32)."""
        raise NotImplementedError
    def set_cell(self, name: str, value: Int):      raise NotImplementedError

    def stack_register(self, i: int) -> tuple[Int, Int]:
        """x87 register ST(i): its mantissa (64 bits), and its sign and exponent (16). A generated form may count on the
        top of the stack being register 0, so a meaning calls `slow_if` first."""
        raise NotImplementedError
    def set_stack_register(self, i: int, mantissa: Int, exponent: Int):   raise NotImplementedError

    # ---- machine, but for the oracle: for generated forms beside a meaning in Python
    def stack_number(self, k: int) -> Int:
        """The i of operand k, which is ST(i)."""
        raise NotImplementedError
    def part(self, k: int, offset: int, bits: int) -> Int:
        """Those bits at a byte offset in memory operand k, all of which may be read then."""
        raise NotImplementedError
    def set_part(self, k: int, offset: int, value: Int):    raise NotImplementedError
    def call_shared(self, name: str, a: Int, b: Int):
        """-> raw i32, what a function of `x87_common.FUNCTIONS` answers."""
        raise NotImplementedError

    # ---- machine: control
    def leave_pointer(self):
        """Keeps the address of the x87 instruction, once nothing can stop it."""
        raise NotImplementedError
    def next_ip(self) -> Int:                       raise NotImplementedError
    def goto(self, address: Int):
        """An indirect jump; `target` was called with the same address before anything changed."""
        raise NotImplementedError
    def target(self, address: Int):
        """Raises #GP unless the address is canonical, as one that is jumped to has to be."""
        raise NotImplementedError
    def branch(self, condition: Bool | None = None):
        """To the instruction's relative target: always, or when the condition holds."""
        raise NotImplementedError
    def again(self, condition: Bool):
        """When the condition holds, this instruction is executed once more (REP). To be called last."""
        raise NotImplementedError
    def when(self, condition: Bool, body: Callable[[], None]):
        """Does `body` when the condition holds. Values made inside are not visible outside."""
        raise NotImplementedError
    def choose(self, condition: Bool, yes: Callable, no: Callable):
        """What `yes()` or `no()` answers, values of one type; only that one is executed."""
        raise NotImplementedError
    def trap_if(self, condition: Bool, vector: str):
        """Raises an exception of the processor (oracle.Trap has their names) when the condition holds."""
        raise NotImplementedError
    def trap(self, vector: str):                    raise NotImplementedError
    def system_call(self):                          raise NotImplementedError
    def divide_wide(self, high: Int, low: Int, divisor: Int, signed: bool) -> tuple[Int, Int]:
        """Quotient and remainder of a 128-bit dividend by a 64-bit divisor; raises #DE as DIV and IDIV do."""
        raise NotImplementedError
    def float_op(self, op: str, *values):
        """What SSE does with numbers, as MXCSR says: an operation of `x86.sse_floats`, whose exceptions may trap. To be called before
        the first change of a register."""
        raise NotImplementedError
    def both_halves(self):
        """To be called before float_op, where more than one follow for parts of one operand: their exceptions are the instruction's
        together, which ends with `floats_done` before it changes anything."""
        raise NotImplementedError
    def slow_if(self, condition: Bool):
        """Where the fast form that follows is not valid; the oracle, which has none, does nothing."""
        raise NotImplementedError

    # ---- machine: flags
    def flags_sub(self, x: Int, y: Int):            raise NotImplementedError   # of x - y
    def flags_add(self, x: Int, y: Int):            raise NotImplementedError   # of x + y
    def flags_logic(self, r: Int):                  raise NotImplementedError   # CF = OF = AF = 0
    def flags_inc(self, r: Int):                    raise NotImplementedError   # of r = x + 1; CF stays
    def flags_dec(self, r: Int):                    raise NotImplementedError   # of r = x - 1; CF stays
    def flags_result(self, r: Int, cf: Bool, of: Bool, af: Bool | None = None):
        """SF, ZF, PF of r, and the rest as given."""
        raise NotImplementedError
    def arithmetic_flags(self) -> Int:
        """CF PF AF ZF SF OF at their places in EFLAGS, 32 bits."""
        raise NotImplementedError
    def set_arithmetic_flags(self, packed: Int):    raise NotImplementedError
    def condition(self, cc: int) -> Bool:           raise NotImplementedError
    def flags_rest(self) -> Int:                    raise NotImplementedError   # neither arithmetic nor DF
    def set_flags_rest(self, value: Int):           raise NotImplementedError

    # ---- built here
    def floats_done(self): pass

    def call(self, routine: Routine, *values):
        """What the routine makes of the values. Machines may do it elsewhere than here."""
        return routine.function(self, *values)

    def wrap(self, raw, bits: int):
        """raw modulo 2**bits."""
        return raw if bits == 64 else self.prim("i64.and", raw, self.const("i64", (1 << bits) - 1))

    def int(self, n: int, bits: int) -> Int: return Int(self, self.const("i64", n & (1 << bits) - 1), bits)
    def known(self, n) -> int | None:
        """What an operand is, if that is known now."""
        return n if isinstance(n, int) else None
    def bool(self, b) -> Bool: return b if isinstance(b, Bool) else Bool(self, self.const("i32", int(b)))
    def vec(self, n: int) -> Vec: return Vec(self, self.const("v128", n))
    def float(self, x: float, bits: int) -> Float:
        import struct
        pattern = int.from_bytes(struct.pack("<d" if bits == 64 else "<f", x), "little")
        return self.int(pattern, bits).float()

    def operand(self, k: int, bits: int | None = None) -> Int:
        bits = bits or self.bits[k]
        return Int(self, self.read(k, bits), bits)

    def vector(self, k: int) -> Vec: return Vec(self, self.read_vec(k))

    @property
    def dst(self) -> Int: return self.operand(0)
    @dst.setter
    def dst(self, value: Int): self.write(0, value)
    @property
    def src(self) -> Int: return self.operand(1)
    @property
    def src2(self) -> Int: return self.operand(2)
    @property
    def vdst(self) -> Vec: return self.vector(0)
    @vdst.setter
    def vdst(self, value: Vec): self.write_vec(0, value)
    @property
    def vsrc(self) -> Vec: return self.vector(1)

    @property
    def cf(self) -> Bool: return self.condition(2)

    def shared(self, name: str, a: Int | int = 0, b: Int | int = 0):
        """Does by a shared function what the instruction does; where that cannot, nothing has changed and the oracle does it."""
        a, b = (self.int(x, 64) if isinstance(x, int) else x for x in (a, b))
        self.slow_if(Bool(self, self.call_shared(name, a, b)))

    def flags_set(self, **bits: Bool):
        """Changes only the named flags (cf=, pf=, af=, zf=, sf=, of=)."""
        number = {"cf": CF, "pf": PF, "af": AF, "zf": ZF, "sf": SF, "of": OF}
        mask = sum(1 << number[n] for n in bits)
        packed = self.int(0, 32) if mask == ARITHMETIC else self.arithmetic_flags() & (ARITHMETIC & ~mask)
        for n, b in bits.items():
            packed = packed | (b.int(32) << number[n])
        self.set_arithmetic_flags(packed)

    def flags_compare(self, x: Float, y: Float):
        """Of the comparison of two numbers: less, equal or unordered."""
        unordered, none = x.unordered(y), self.bool(False)
        self.flags_set(cf=x.lt(y) | unordered, pf=unordered, af=none, zf=x.eq(y) | unordered, sf=none, of=none)

    def push(self, value: Int):
        sp = self.reg(RSP, 64) - value.bits // 8
        self.store(sp, value)
        self.set_reg(RSP, sp)

    def pop(self, bits: int) -> Int:
        sp = self.reg(RSP, 64)
        value = self.load(sp, bits)
        self.set_reg(RSP, sp + bits // 8)
        return value
