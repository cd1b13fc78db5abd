"""An instruction's meaning as an interpreter handler: a Wasm function from a record to the next record.

A record is a decoded instruction in the arena, RECORD bytes; `jit.decoder` fills it. Operands are fetched from it at
run time, so that one handler serves all instructions of a shape. A handler returns the record to run next, or 0 to
leave `run`, with STOP and RIP set.
"""
from collections.abc import Callable
from dataclasses import dataclass

from ..wasm import encoding as w
from ..x86 import flags
from ..x86.meaning import MEANINGS, Bool, Int, Vec
from ..x86.opcodes import UNALIGNED
from ..x86.ieee import EXCEPTIONS, MASKS
from ..x86.sse_floats import SIGNATURES, result
from ..x86.x87_state import execute
from . import layout as at
from .emit import Emitter

# ---- a record
RECORD    = 40
R_HANDLER = 0      # u32  index in the table
R_RIP     = 4      # u32  guest address of the instruction
R_D       = 8      # u16  state offset of operand 0, where it is a register
R_S       = 10     # u16  of operand 1
R_BASE    = 12     # u16  state offsets of base and index register
R_INDEX   = 14     # u16
R_SCALE   = 16     # u8   shift of the index
R_A32     = 17     # u8   32 where the effective address is cut to 32 bits, else 0
R_SEGMENT = 18     # u8   state offset of the segment's base / 8
R_LENGTH  = 19     # u8   bytes of the instruction
R_TARGET  = 20     # u32  in branches: record of the target; a COUNT or ENTER with COUNTED added; UNLINKED until first taken
R_DISP    = 24     # i64  displacement; in branches u32: record of the instruction after, UNLINKED until first reached
R_NEXT    = 24
R_IMM     = 32     # i64  immediate, cut to the operand's width; in branches the target address
R_T       = 36     # u16  state offsets of operands 2 and 3 where they are registers; the immediate has one byte then
R_U       = 38     # u16
R_COUNT   = 32     # u32  in COUNT: arrivals left until the block is hot; in ENTER: 1
R_SLOT    = 36     # u32  in ENTER: the region's place in the table of regions

COUNTED, UNLINKED = 1, 1       # records are at even addresses, and none is at 0

FALL, JUMP, CALL = 0, 1, 2     # ways out of a branch, for `link`

STOPS = {"UD": at.ILLEGAL, "DE": at.DIVIDE, "BP": at.BREAKPOINT, "GP": at.PROTECTION, "MF": at.FLOATING, "XM": at.SIMD,
         "SS": at.STACK_FAULT, "OF": at.OVERFLOW, "DB": at.DEBUG}
CELLS = {"mxcsr": (at.MXCSR, 32), "fcw": (at.FCW, 16), "fsw": (at.FSW, 16), "ftw": (at.FTW, 8), "df": (at.DF, 32), "watched": (at.WATCHED, 32),
         "fop": (at.FOP, 16), "fip": (at.FIP, 64), "fdp": (at.FDP, 64), "x87_value": (at.X87_VALUE, 64), "x87_high": (at.X87_HIGH, 32)}
LOAD = {8: "i64.load8_u", 16: "i64.load16_u", 32: "i64.load32_u", 64: "i64.load"}
STORE = {8: "i64.store8", 16: "i64.store16", 32: "i64.store32", 64: "i64.store"}
WIDE = (128, 256)                 # bits of operands that the processor accesses as a whole
LOAD_VECTOR = {32: "v128.load32_zero", 64: "v128.load64_zero", 128: "v128.load", 256: "v128.load"}
MASKED = EXCEPTIONS << MASKS                    # of MXCSR
REC = w.get(0)


@dataclass(frozen=True)
class Shape:
    """What a handler is generated for.

    kinds: "r" register by field D, S, T or U, "m" memory base+disp, "M" memory in full generality, "i" immediate,
    "x" vector register, "q" MMX register, "f" x87 register by its number in D or S, "j" branch target, "g<n>"
    and "x<n>" the fixed register n.
    bits: of each operand; size: of the instruction.
    """
    meaning: str
    size: int
    kinds: tuple[str, ...]
    bits: tuple[int, ...]
    cc: int | None = None
    rep: str | None = None
    then: int | None = None        # condition of the Jcc that follows, executed in the same go

    @property
    def aligned(self) -> bool:
        """Whether an operand of 16 or 32 bytes in memory has to be aligned."""
        return self.meaning not in UNALIGNED

    @property
    def more(self) -> bool:
        """Whether operand 2 is one that a ModRM byte or VEX.vvvv names: the record has fields T and U then."""
        return self.kinds[2:3] in (("r",), ("x",), ("m",), ("M",))

    def __str__(self):
        operands = " ".join(f"{k}{b}" for k, b in zip(self.kinds, self.bits))
        return f"{self.rep + ' ' if self.rep else ''}{self.meaning}{'' if self.cc is None else self.cc}.{self.size} {operands}{'' if self.then is None else f' j{self.then}'}".strip()


@dataclass(frozen=True)
class Runtime:
    """Indices of the interpreter's own functions that handlers call."""
    fault: int      # (address i64, bytes i32, access i32, record i32) -> i32: 1 granted, 0 leave
    link: int       # (record i32, way i32) -> record: resolve a way out of a branch and remember it
    arrive: int     # (rip i64) -> record: where a jump to there leads, counted
    trap: int       # (record i32, stop i32) -> 0
    escape: int     # (record i32) -> record: the oracle runs the instruction
    syscall: int    # (record i32) -> record
    flags: int      # () -> i32: the arithmetic flags, packed
    clock: int      # () -> f64: nanoseconds
    divide: int     # (high i64, low i64, divisor i64) -> i64: the quotient of 128 bits by 64, unsigned, which must fit
    x87: dict[str, int]     # (a i64, b i64) -> i32: see x87.py
    routine: Callable[[str], int]       # of x86.meaning.ROUTINES, by name
    features: frozenset[str]
    sse: dict[str, int]     # see sse.py


def sse_operand(value) -> bytes:
    """Of a function of sse.py: those of 32 bits are `how` and `quiet_too`, as i32."""
    return value.raw + w.OP["i32.wrap_i64"] if isinstance(value, Int) and value.bits == 32 else value.raw


def field(op: str, offset: int) -> bytes:
    return REC + w.access(op, offset)


def state(op: str, offset: int) -> bytes:
    return w.i32(0) + w.access(op, offset)


class Handler(Emitter):
    """A machine for `MEANINGS` that emits the handler of one shape. `code()` is the function's body."""
    first_local = 1

    def __init__(self, shape: Shape, runtime: Runtime, checks: dict[int, tuple[int, int]] = {}):
        """checks: memory operand -> (access, bits), made when the handler begins."""
        super().__init__()
        self.shape, self.runtime = shape, runtime
        self.size, self.bits, self.cc, self.rep = shape.size, shape.bits, shape.cc, shape.rep
        self.kinds = tuple(k.lower()[0] if k[0] != "g" else "r" for k in shape.kinds)
        self.asize, self.segment = 64, None
        self.accesses: dict[int, tuple[int, int]] = {}
        self.lazy = None                     # flags that this handler set, where the kind is SUB: (a, b, shift)
        self.at = 0                          # the record that fields are taken from, relative to the first
        self.result = self._record(RECORD)
        self.operand_address = {}
        for k, (access, bits) in checks.items():
            self.operand_address[k] = self._check(self._effective_address(k, True), bits, access, shape.aligned)

    def code(self) -> bytes:
        execute(self, MEANINGS[self.shape.meaning])
        if self.shape.then is not None:
            self._count_one()
            self.at = RECORD
            self.branch(self.condition(self.shape.then))
        return b"".join(self.out) + self.result

    def _record(self, offset: int) -> bytes:
        return REC + w.i32(offset) + w.OP["i32.add"] if offset else REC

    def _count_one(self):
        """`run` counts handlers; this one is two instructions."""
        more = state("i64.load", at.INSTRUCTIONS) + w.i64(1) + w.OP["i64.add"]
        self.out.append(w.i32(0) + more + w.access("i64.store", at.INSTRUCTIONS))

    # ---- registers and operands
    def _field_address(self, k):
        return field("i32.load16_u", (R_D, R_S, R_T, R_U)[k])

    def _fixed(self, k):
        kind = self.shape.kinds[k]
        return int(kind[1:]) if len(kind) > 1 else None

    def _saw(self, k, access, bits):
        old = self.accesses.get(k, (0, 0))
        if self.bits[k] in WIDE:
            bits = self.bits[k]
        self.accesses[k] = old[0] | access, max(old[1], bits)

    def read(self, k, bits):
        kind = self.kinds[k]
        if kind == "i":
            return self.let("i64", field("i64.load8_u" if self.shape.more else "i64.load", R_IMM))
        if kind == "m":
            self._saw(k, at.READ, bits)
            return self.let("i64", self._operand_memory(k) + w.access(LOAD[bits], at.BIAS))
        if self._fixed(k) is not None:
            number = self._fixed(k)
            where = at.GPR + 8 * number if kind == "r" else at.VECTOR + 32 * number
            return self.let("i64", state(LOAD[bits], where))
        return self.let("i64", self._field_address(k) + w.access(LOAD[bits]))

    def write(self, k, value):
        assert self.kinds[k] != "x", "vector registers are written whole"
        kind = self.kinds[k]
        if kind == "m":
            self._saw(k, at.WRITE, value.bits)
            self.out.append(self._operand_memory(k) + value.raw + w.access(STORE[value.bits], at.BIAS))
        elif self._fixed(k) is not None:
            self.set_reg(self._fixed(k), value)
        else:
            # A 32-bit result clears the upper half.
            self.out.append(self._field_address(k) + value.raw + w.access(STORE[64 if value.bits == 32 else value.bits]))
            if kind == "q":                            # as the x87 sees it, it is no number
                self.out.append(self._field_address(k) + w.i64(0xFFFF) + w.access("i64.store16", 8))

    def read_vec(self, k):
        if self.kinds[k] == "m":
            self._saw(k, at.READ, self.bits[k])
            return self.let("v128", self._operand_memory(k) + w.access(LOAD_VECTOR[self.bits[k]], at.BIAS))
        if self._fixed(k) is not None:
            return self.xmm(self._fixed(k)).raw
        return self.let("v128", self._field_address(k) + w.access(LOAD_VECTOR[64 if self.kinds[k] == "q" else 128]))

    def write_vec(self, k, value):
        if self.kinds[k] == "m" or self.kinds[k] == "q":
            if self.bits[k] < 128:
                self.write(k, value.int(0, self.bits[k]))
                return
            self._saw(k, at.WRITE, self.bits[k])
            self.out.append(self._operand_memory(k) + value.raw + w.access("v128.store", at.BIAS))
        else:
            self.out.append(self._field_address(k) + value.raw + w.access("v128.store"))

    def read_upper(self, k):
        if self.kinds[k] == "m":
            self._saw(k, at.READ, 256)
            return self.let("v128", self._operand_memory(k) + w.access("v128.load", at.BIAS + 16))
        return self.let("v128", self._field_address(k) + w.access("v128.load", 16))

    def write_upper(self, k, value):
        if self.kinds[k] == "m":
            self._saw(k, at.WRITE, 256)
            self.out.append(self._operand_memory(k) + value.raw + w.access("v128.store", at.BIAS + 16))
        else:
            self.out.append(self._field_address(k) + value.raw + w.access("v128.store", 16))

    def upper(self, number): return Vec(self, self.let("v128", state("v128.load", at.VECTOR + 32 * number + 16)))
    def set_upper(self, number, value): self.out.append(w.i32(0) + value.raw + w.access("v128.store", at.VECTOR + 32 * number + 16))

    def reg(self, number, bits): return Int(self, self.let("i64", state(LOAD[bits], at.GPR + 8 * number)), bits)

    def set_reg(self, number, value):
        store = STORE[64 if value.bits == 32 else value.bits]
        self.out.append(w.i32(0) + value.raw + w.access(store, at.GPR + 8 * number))

    def set_xmm(self, number, value): self.out.append(w.i32(0) + value.raw + w.access("v128.store", at.VECTOR + 32 * number))

    def xmm(self, number): return Vec(self, self.let("v128", state("v128.load", at.VECTOR + 32 * number)))

    # ---- memory
    def _operand_memory(self, k):
        # Without a check this is the run that finds out what to check; its code is thrown away.
        return self.operand_address.get(k, w.i32(0))

    def _effective_address(self, k, segment, plus=None):
        ea = field("i32.load16_u", R_BASE) + w.access("i64.load")
        if plus is not None:
            ea += plus.raw + w.OP["i64.add"]
        if self.shape.kinds[k] == "m":
            return self.let("i64", ea + field("i64.load", R_DISP) + w.OP["i64.add"])
        ea += field("i32.load16_u", R_INDEX) + w.access("i64.load") + field("i64.load8_u", R_SCALE) + w.OP["i64.shl"]
        ea += w.OP["i64.add"] + field("i64.load", R_DISP) + w.OP["i64.add"]
        ea += field("i64.load8_u", R_A32) + w.OP["i64.shl"] + field("i64.load8_u", R_A32) + w.OP["i64.shr_u"]
        if segment:
            ea += field("i32.load8_u", R_SEGMENT) + w.i32(3) + w.OP["i32.shl"] + w.access("i64.load") + w.OP["i64.add"]
        return self.let("i64", ea)

    def address(self, k, segment=True, plus=None): return Int(self, self._effective_address(k, segment, plus), 64)

    def _check(self, address: bytes, bits: int, access: int, aligned: bool = False) -> bytes:
        """Makes sure that `access` to bits/8 bytes at the i64 `address` is permitted: exact, byte for byte. The answer
        is the address as i32. aligned: 16 and 32 bytes have to be."""
        address = self.let("i64", address)
        low = self.let("i32", address + w.OP["i32.wrap_i64"])

        page = low + w.i32(12) + w.OP["i32.shr_u"] + w.access("i32.load8_u", at.PERMISSIONS)
        denied = page + w.i32(access) + w.OP["i32.and"] + w.i32(access) + w.OP["i32.xor"]
        denied += address + w.i64(32) + w.OP["i64.shr_u"] + w.OP["i32.wrap_i64"] + w.OP["i32.or"]
        refuse = b""
        if bits in WIDE and aligned:
            odd = low + w.i32(bits // 8 - 1) + w.OP["i32.and"]
            denied += odd + w.OP["i32.or"]
            refuse = w.if_(odd, REC + w.i32(at.PROTECTION) + w.call(self.runtime.trap) + self._leave())
        elif bits > 8:                                       # over the page's end: `fault` looks at both pages
            denied += low + w.i32(4095) + w.OP["i32.and"] + w.i32(4096 - bits // 8) + w.OP["i32.gt_u"] + w.OP["i32.or"]
        self.out.append(w.if_(denied + w.UNLIKELY, refuse + self._ask(address, bits, access)))
        return low

    def _ask(self, address: bytes, bits: int, access: int) -> bytes:
        """Leaves, unless the kernel permits the access."""
        ask = address + w.i32(bits // 8) + w.i32(access) + REC + w.call(self.runtime.fault) + w.OP["i32.eqz"]
        return w.if_(ask, w.i32(0) + self._leave())

    def _leave(self) -> bytes:
        """With the record, or 0, that is on Wasm's stack."""
        return w.RETURN

    def load(self, address, bits):
        low = self._check(address.raw, bits, at.READ)
        return Int(self, self.let("i64", low + w.access(LOAD[bits], at.BIAS)), bits)

    def store(self, address, value):
        low = self._check(address.raw, value.bits, at.WRITE)
        self.out.append(low + value.raw + w.access(STORE[value.bits], at.BIAS))

    def load_vec(self, address):
        low = self._check(address.raw, 128, at.READ)
        return Vec(self, self.let("v128", low + w.access("v128.load", at.BIAS)))

    def store_vec(self, address, value):
        low = self._check(address.raw, 128, at.WRITE)
        self.out.append(low + value.raw + w.access("v128.store", at.BIAS))

    def writable(self, address, bits): self._check(address.raw, bits, at.WRITE)

    # ---- control registers
    def features(self): return self.runtime.features

    def time_stamp(self):
        return Int(self, self.let("i64", w.call(self.runtime.clock) + w.OP["i64.trunc_sat_f64_u"]), 64)

    def base(self, segment): return Int(self, self.let("i64", state("i64.load", {"fs": at.FS_BASE, "gs": at.GS_BASE}[segment])), 64)

    def set_base(self, segment, value):
        self.out.append(w.i32(0) + value.raw + w.access("i64.store", {"fs": at.FS_BASE, "gs": at.GS_BASE}[segment]))

    def cell(self, name):
        where, bits = CELLS[name]
        return Int(self, self.let("i64", state(LOAD[bits], where)), bits)

    def set_cell(self, name, value):
        where, bits = CELLS[name]
        self.out.append(w.i32(0) + value.raw + w.access(STORE[bits], where))

    def _stack(self, i) -> bytes:
        """The offset of ST(i) among the x87's registers."""
        number = state("i32.load16_u", at.FSW) + w.i32(11) + w.OP["i32.shr_u"] + w.i32(i) + w.OP["i32.add"]
        return self.let("i32", number + w.i32(7) + w.OP["i32.and"] + w.i32(4) + w.OP["i32.shl"])

    def stack_register(self, i):
        where = self._stack(i)
        return (Int(self, self.let("i64", where + w.access("i64.load", at.X87)), 64),
                Int(self, self.let("i64", where + w.access("i64.load16_u", at.X87 + 8)), 16))

    def set_stack_register(self, i, mantissa, exponent):
        where = self._stack(i)
        self.out.append(where + mantissa.raw + w.access("i64.store", at.X87)
                        + where + exponent.raw + w.access("i64.store16", at.X87 + 8))

    def stack_number(self, k): return Int(self, self.let("i64", field("i64.load16_u", (R_D, R_S)[k])), 16)

    def part(self, k, offset, bits):
        self._saw(k, at.READ, self.bits[k])
        return Int(self, self.let("i64", self._operand_memory(k) + w.access(LOAD[bits], at.BIAS + offset)), bits)

    def set_part(self, k, offset, value):
        self._saw(k, at.WRITE, self.bits[k])
        self.out.append(self._operand_memory(k) + value.raw + w.access(STORE[value.bits], at.BIAS + offset))

    def call_shared(self, name, a, b): return self.let("i32", a.raw + b.raw + w.call(self.runtime.x87[name]))

    def call(self, routine, *values):
        raw = b"".join(v.raw for v in values) + w.call(self.runtime.routine(routine.name))
        return self.value(routine.result, self.let(routine.result, raw))

    def both_halves(self): self.slow_if((self.cell("mxcsr") & MASKED) != MASKED)     # else one might be in MXCSR when the other traps

    def float_op(self, op, *values):
        type = SIGNATURES[op][1]
        call = b"".join(w.i32(v) if isinstance(v, int) else sse_operand(v) for v in values) + w.call(self.runtime.sse[op])
        if type:
            answer = self.let(type, call)
        else:
            self.out.append(call)
        leave = w.i32(0) + w.i32(0) + w.access("i32.store", at.SSE_TRAPS) + REC + w.call(self.runtime.escape) + w.RETURN
        self.out.append(w.if_(state("i32.load", at.SSE_TRAPS), leave))
        return result(self, op, answer) if type else None

    # ---- control
    def leave_pointer(self): self.out.append(w.i32(0) + field("i64.load32_u", R_RIP) + w.access("i64.store", at.FIP))

    def next_ip(self):
        raw = field("i64.load32_u", R_RIP) + field("i64.load8_u", R_LENGTH) + w.OP["i64.add"]
        return Int(self, self.let("i64", raw), 64)

    def target(self, address): self.trap_if(((address + (1 << 47)) >> 48) != 0, "GP")
    def goto(self, address): self.result = address.raw + w.call(self.runtime.arrive)

    def branch(self, condition=None):
        if condition is None:
            way = w.i32(CALL if self.shape.meaning == "call" else JUMP)
            record = field("i32.load", self.at + R_TARGET)
        else:
            way = condition.raw                                # FALL is 0 and JUMP is 1
            record = field("i32.load", self.at + R_TARGET) + field("i32.load", self.at + R_NEXT) + way + w.SELECT
        record = self.let("i32", record)
        self.out.append(w.if_(record + w.i32(COUNTED) + w.OP["i32.and"] + w.OP["i32.eqz"], record + w.RETURN))
        counted = self.nested(lambda: self._arrive(self.let("i32", record + w.i32(COUNTED) + w.OP["i32.sub"])))
        self.out.append(w.if_(record + w.i32(UNLINKED) + w.OP["i32.ne"] + w.LIKELY, counted))
        self.result = self._record(self.at) + way + w.call(self.runtime.link)

    def _arrive(self, record: bytes):
        """To a COUNT or ENTER. One that is more than an arrival from its turn is only counted down, and passed over."""
        left = self.let("i32", record + w.access("i32.load", R_COUNT) + w.i32(1) + w.OP["i32.sub"])
        self.out.append(w.if_(left + w.LIKELY, record + left + w.access("i32.store", R_COUNT)
                              + record + w.i32(RECORD) + w.OP["i32.add"] + w.RETURN) + record + w.RETURN)

    def again(self, condition):
        self.result = REC + self.result + condition.raw + w.SELECT

    def trap_if(self, condition, vector):
        self.out.append(w.if_(condition.raw + w.UNLIKELY, REC + w.i32(STOPS[vector]) + w.call(self.runtime.trap) + self._leave()))

    def trap(self, vector): self.result = REC + w.i32(STOPS[vector]) + w.call(self.runtime.trap)
    def system_call(self): self.result = REC + w.call(self.runtime.syscall)

    def slow_if(self, condition):
        self.out.append(w.if_(condition.raw + w.UNLIKELY, REC + w.call(self.runtime.escape) + w.RETURN))

    def divide_wide(self, high, low, divisor, signed):
        """Signed dividends that do not fit 64 bits are left to the oracle."""
        if not signed:
            self.trap_if(~high.lt_u(divisor), "DE")
            q = Int(self, self.let("i64", high.raw + low.raw + divisor.raw + w.call(self.runtime.divide)), 64)
            return q, low - q * divisor
        self.slow_if((high != low.sar(63)) | (divisor == -1))
        return low.div_s(divisor), low.rem_s(divisor)

    # ---- flags
    def _set_lazy(self, kind, a, b, bits):
        self.lazy = None
        self.out.append(w.i32(0) + a + w.access("i64.store", at.FLAG_A)
                        + w.i32(0) + b + w.access("i64.store", at.FLAG_B)
                        + w.i32(0) + w.i32(kind | 64 - bits << 8) + w.access("i32.store", at.FLAG_KIND))

    def flags_sub(self, x, y):
        a, b = x.high_part(), y.high_part()
        self._set_lazy(flags.SUB, a.raw, b.raw, x.bits)
        self.lazy = a, b, lambda: self.int(64 - x.bits, 64)

    def flags_add(self, x, y): self._set_lazy(flags.ADD, x.high_part().raw, y.high_part().raw, x.bits)
    def flags_logic(self, r):
        a = r.high_part()
        self._set_lazy(flags.SUB, a.raw, w.i64(0), r.bits)
        self.lazy = a, self.int(0, 64), lambda: self.int(64 - r.bits, 64)

    def flags_inc(self, r): self._set_lazy(flags.INC, r.high_part().raw, self.cf.int(64).raw, r.bits)
    def flags_dec(self, r): self._set_lazy(flags.DEC, r.high_part().raw, self.cf.int(64).raw, r.bits)

    def flags_result(self, r, cf, of, af=None):
        packed = flags.pack(self, cf, of, af)
        self._set_lazy(flags.RESULT, r.high_part().raw, packed.raw, r.bits)

    def arithmetic_flags(self):
        return Int(self, self.let("i64", w.call(self.runtime.flags) + w.OP["i64.extend_i32_u"]), 32)

    def set_arithmetic_flags(self, packed): self._set_lazy(flags.EXPLICIT, w.i64(0), packed.raw, 64)

    def condition(self, cc):
        if self.lazy:
            return flags.condition_after_sub(self, cc, *self.lazy)
        kind = state("i32.load8_u", at.FLAG_KIND)
        fast = self.nested_value(lambda: flags.condition_after_sub(self, cc, *self._lazy_operands()))
        slow = self.nested_value(lambda: flags.condition_of(self, cc, self.arithmetic_flags()))
        return Bool(self, self.let("i32", w.if_(kind, slow, fast, w.I32)))

    def _lazy_operands(self):
        return (Int(self, self.let("i64", state("i64.load", at.FLAG_A)), 64),
                Int(self, self.let("i64", state("i64.load", at.FLAG_B)), 64),
                lambda: Int(self, state("i64.load8_u", at.FLAG_KIND + 1), 64))

    def flags_rest(self): return Int(self, self.let("i64", state("i64.load32_u", at.EFLAGS_REST)), 32)
    def set_flags_rest(self, value): self.out.append(w.i32(0) + value.raw + w.access("i64.store32", at.EFLAGS_REST))


def generate(shape: Shape, runtime: Runtime) -> tuple[list[str], bytes]:
    """The locals and the body of the handler for a shape."""
    trial = Handler(shape, runtime)
    trial.code()
    handler = Handler(shape, runtime, trial.accesses)
    body = handler.code()
    return handler.locals, body
