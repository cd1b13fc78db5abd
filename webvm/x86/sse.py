"""What the SSE, SSE2 and MMX instructions mean (Intel SDM volume 2).

An MMX register is read as a vector whose upper half is zero, and takes the lower half of a result; where that is not
enough the meaning looks at the kind of its operand.

Numbers are left to `sse_floats`, which knows MXCSR.
"""
from . import vectors                                   # noqa: F401  its primitives
from .float80 import ES
from .meaning import RAX, RDI, Int, Vec, meaning
from .sse_floats import MXCSR_RC, TRUNCATED, compared
from .x87_state import set_control

ONES = (1 << 128) - 1
IOTA = int.from_bytes(bytes(range(16)), "little")


def lanes(*values: int) -> int:
    """A constant vector from its lanes, lane 0 first."""
    bits = 128 // len(values)
    return sum(v << bits * k for k, v in enumerate(values))


# ---------------------------------------------------------------------------------------------- lane by lane

# fmt: off
LANEWISE = {                               # dst = op(dst, src)
    "paddb":   "i8x16.add",                "psubb":   "i8x16.sub",
    "paddw":   "i16x8.add",                "psubw":   "i16x8.sub",
    "paddd":   "i32x4.add",                "psubd":   "i32x4.sub",
    "paddq":   "i64x2.add",                "psubq":   "i64x2.sub",
    "paddsb":  "i8x16.add_sat_s",          "psubsb":  "i8x16.sub_sat_s",
    "paddsw":  "i16x8.add_sat_s",          "psubsw":  "i16x8.sub_sat_s",
    "paddusb": "i8x16.add_sat_u",          "psubusb": "i8x16.sub_sat_u",
    "paddusw": "i16x8.add_sat_u",          "psubusw": "i16x8.sub_sat_u",
    "pcmpeqb": "i8x16.eq",                 "pcmpgtb": "i8x16.gt_s",
    "pcmpeqw": "i16x8.eq",                 "pcmpgtw": "i16x8.gt_s",
    "pcmpeqd": "i32x4.eq",                 "pcmpgtd": "i32x4.gt_s",
    "pminub":  "i8x16.min_u",              "pmaxub":  "i8x16.max_u",
    "pminsw":  "i16x8.min_s",              "pmaxsw":  "i16x8.max_s",
    "pavgb":   "i8x16.avgr_u",             "pavgw":   "i16x8.avgr_u",
    "pmullw":  "i16x8.mul",                "pmaddwd": "i32x4.dot_i16x8_s",
    "pand":    "v128.and",                 "por":     "v128.or",                "pxor":  "v128.xor",
    "andps":   "v128.and",                 "orps":    "v128.or",                "xorps": "v128.xor",
    "andpd":   "v128.and",                 "orpd":    "v128.or",                "xorpd": "v128.xor",
}
SWAPPED = {                                # dst = op(src, dst)
    "pandn":   "v128.andnot",              "andnps":  "v128.andnot",            "andnpd": "v128.andnot",
}
CONVERTED = {                              # dst = op(src), as MXCSR says
    "cvtdq2ps": "f32x4.from_i32x4",
    "cvtps2pd": "f64x2.from_f32x4",        "cvtpd2ps": "f32x4.from_f64x2",
}
# fmt: on


def _binary(name, op, swapped=False):
    def meaning_of(m):
        x, y = m.vdst, m.vsrc
        m.vdst = y.op(op, x) if swapped else x.op(op, y)
    meaning(name)(meaning_of)


def _unary(name, op):
    def meaning_of(m): m.vdst = m.float_op(op, m.vsrc)
    meaning(name)(meaning_of)


for _name, _op in LANEWISE.items():
    _binary(_name, _op)
for _name, _op in SWAPPED.items():
    _binary(_name, _op, swapped=True)
for _name, _op in CONVERTED.items():
    _unary(_name, _op)


def _packed(name, op):
    def meaning_of(m):
        x, y = m.vdst, m.vsrc
        m.vdst = m.float_op(op, x, y)
    meaning(name)(meaning_of)


def _scalar(name, bits, compute):
    """The lowest lane is computed from both operands' lowest lanes; the others stay."""
    def meaning_of(m):
        x, y = m.vdst, m.vsrc
        m.vdst = x.with_float(0, compute(m, x.float(0, bits), y.float(0, bits)))
    meaning(name)(meaning_of)


def _choice(name, shape, op):
    """MIN or MAX. With equal or unordered operands the source is taken."""
    def meaning_of(m):
        x, y = compared(m, shape, m.vdst, m.vsrc, True)
        m.vdst = y.op(f"{shape}.{op}", x)
    meaning(name)(meaning_of)


def _least(m, x, y):
    x, y = compared(m, f"f{x.bits}", x, y, True)
    return x.lt(y).select(x, y)


def _greatest(m, x, y):
    x, y = compared(m, f"f{x.bits}", x, y, True)
    return y.lt(x).select(x, y)


for _letter, _bits, _shape in (("s", 32, "f32x4"), ("d", 64, "f64x2")):
    for _op in ("add", "sub", "mul", "div"):
        _packed(f"{_op}p{_letter}", f"{_shape}.{_op}")
        _scalar(f"{_op}s{_letter}", _bits, lambda m, x, y, op=_op: m.float_op(f"f{x.bits}.{op}", x, y))
    _unary("sqrtp" + _letter, _shape + ".sqrt")
    _scalar("sqrts" + _letter, _bits, lambda m, x, y: m.float_op(f"f{y.bits}.sqrt", y))
    _choice("minp" + _letter, _shape, "pmin")
    _choice("maxp" + _letter, _shape, "pmax")
    _scalar("mins" + _letter, _bits, _least)
    _scalar("maxs" + _letter, _bits, _greatest)


@meaning("cvtdq2pd", "cvtpi2pd")
def cvtdq2pd(m): m.vdst = m.vsrc.op("f64x2.convert_low_i32x4_s")


_EXPONENT, _FRACTION, _QUIET, _INDEFINITE = (lanes(*[x] * 4) for x in (0x7F800000, 0x7FFFFF, 0x400000, 0xFFC00000))


def _flushed(x: Vec) -> Vec:
    """Denormals are zeros."""
    return x.op("v128.andnot", (x & _EXPONENT).op("i32x4.eq", 0) & _FRACTION)


def _reciprocal(m, x, root):
    """1/x or 1/sqrt(x), whatever MXCSR says. Processors give 12 bits of it; all of them are better."""
    x = _flushed(x)
    r = _flushed(m.vec(lanes(*[0x3F800000] * 4)).op("f32x4.div", x.op("f32x4.sqrt") if root else x))
    if root:
        r = m.vec(_INDEFINITE).op("v128.bitselect", r, x.op("f32x4.lt", 0))
    return (x | _QUIET).op("v128.bitselect", r, x.op("f32x4.ne", x))


for _name, _root in (("rcp", False), ("rsqrt", True)):
    def _all(m, root=_root): m.vdst = _reciprocal(m, m.vsrc, root)
    def _single(m, root=_root): m.vdst = m.vdst.with_int(0, _reciprocal(m, m.vsrc, root).int(0, 32))
    meaning(_name + "ps")(_all)
    meaning(_name + "ss")(_single)


# ---------------------------------------------------------------------------------------------- moves


@meaning("movups", "movupd", "movaps", "movapd", "movdqa", "movdqu", "movntps", "movntpd", "movntdq", "lddqu", "movntdqa")
def move(m): m.vdst = m.vsrc


@meaning()
def movs_merge(m):
    value = m.operand(1, m.bits[0])
    if m.kinds[0] == "m":
        m.dst = value
    else:
        m.vdst = m.vdst.with_int(0, value)


@meaning()
def movs_load(m): m.vdst = m.vsrc


@meaning()
def movd_load(m):
    x = m.src
    if m.kinds[0] == "q":
        m.dst = x.zext(64)
    else:
        m.vdst = m.vec(0).with_int(0, x)


@meaning("movd_store")
def movd_store(m): m.dst = m.operand(1, m.bits[0])


@meaning("movq", "movntq", "movdq2q")
def movq(m): m.dst = m.operand(1, 64)


@meaning("movq_load", "movq2dq")
def movq_load(m): m.vdst = m.vec(0).with_int(0, m.operand(1, 64))


def _half(lane):
    def meaning_of(m):
        if m.kinds[0] == "m":
            m.dst = m.vsrc.int(lane, 64)
        else:
            m.vdst = m.vdst.with_int(lane, m.operand(1, 64))
    return meaning_of


meaning("movlps", "movlpd")(_half(0))
meaning("movhps", "movhpd")(_half(1))


@meaning()
def movhlps(m): m.vdst = m.vdst.with_int(0, m.vsrc.int(1, 64))


@meaning()
def movlhps(m): m.vdst = m.vdst.with_int(1, m.vsrc.int(0, 64))


@meaning("maskmovq", "maskmovdqu")
def maskmovq(m):
    """The bytes whose mask bit is set, to [RDI]; the bytes between are written back as they were."""
    value, chosen = m.vdst, m.vsrc.shift("i8x16.shr_s", m.int(7, 32))
    at = m.reg(RDI, m.asize).zext(64)
    at = at + m.base(m.segment) if m.segment else at
    if m.kinds[0] == "q":
        m.writable(at, 64)
        old = m.vec(0).with_int(0, m.load(at, 64))
        m.store(at, value.op("v128.bitselect", old, chosen).int(0, 64))
    else:
        m.writable(at, 128)
        m.store_vec(at, value.op("v128.bitselect", m.load_vec(at), chosen))


@meaning("movmskps")
def movmskps(m): m.dst = m.vsrc.bitmask(32).zext(m.bits[0])


@meaning("movmskpd")
def movmskpd(m): m.dst = m.vsrc.bitmask(64).zext(m.bits[0])


@meaning("pmovmskb")
def pmovmskb(m): m.dst = m.vsrc.bitmask(8).zext(m.bits[0])


@meaning()
def ldmxcsr(m):
    value = m.dst
    m.trap_if((value >> 16) != 0, "GP")
    m.set_cell("mxcsr", value)
    m.set_cell("watched", m.int(1, 32))


@meaning()
def stmxcsr(m): m.dst = m.cell("mxcsr")


# FXSAVE's 512 bytes (SDM volume 1, table 10-2): control words and pointers, then ST0-ST7 at 32, XMM0-XMM15 at 160, 16 bytes
# each. Pointers are stored where an x87 exception is pending, else zero: as AMD's processors do. The dynamic linker
# saves and restores so around each symbol it binds, which is why these are not left to the oracle.
_FX_MXCSR, _FX_STACK, _FX_XMM, _FX_SIZE, _MXCSR_MASK = 24, 32, 160, 512, 0xFFFF


def _fx_area(m) -> Int:
    at = m.address(0)
    m.trap_if((at & 15) != 0, "GP")
    return at


def _store_x87(m, at: Int) -> None:
    pending = (m.cell("fsw") & ES) != 0
    fop, fip, fdp = (pending.select(m.cell(name).zext(64), 0) for name in ("fop", "fip", "fdp"))
    m.store(at, m.cell("fcw").zext(64) | (m.cell("fsw").zext(64) << 16) | (m.cell("ftw").zext(64) << 32) | (fop << 48))
    m.store(at + 8, fip)
    m.store(at + 16, fdp)
    for i in range(8):
        mantissa, exponent = m.stack_register(i)
        m.store(at + (_FX_STACK + 16 * i), mantissa)
        m.store(at + (_FX_STACK + 16 * i + 8), exponent.zext(64))


def _store_vectors(m, at: Int) -> None:
    for i in range(16):
        m.store_vec(at + (_FX_XMM + 16 * i), m.xmm(i))


def _load_x87(m, at: Int) -> None:
    control, fip, fdp = m.load(at, 64), m.load(at + 8, 32).zext(64), m.load(at + 16, 32).zext(64)
    set_control(m, control.low(16), (control >> 16).low(16))
    m.set_cell("ftw", (control >> 32).low(8))
    m.set_cell("fop", (control >> 48).low(16) & 0x7FF)
    m.set_cell("fip", fip)
    m.set_cell("fdp", fdp)
    for i in range(8):
        m.set_stack_register(i, m.load(at + (_FX_STACK + 16 * i), 64), m.load(at + (_FX_STACK + 16 * i + 8), 16))


def _load_vectors(m, at: Int) -> None:
    for i in range(16):
        m.set_xmm(i, m.load_vec(at + (_FX_XMM + 16 * i)))


def _new_mxcsr(m, at: Int) -> Int:
    mxcsr = m.load(at + _FX_MXCSR, 32)
    m.trap_if((mxcsr & (0xFFFFFFFF ^ _MXCSR_MASK)) != 0, "GP")
    return mxcsr


def _set_mxcsr(m, mxcsr: Int) -> None:
    m.set_cell("watched", m.cell("watched") | (mxcsr != m.cell("mxcsr")).int(32))     # the dynamic linker loads what it stored
    m.set_cell("mxcsr", mxcsr)


@meaning("fxsave", "fxsave64")
def fxsave(m):
    at = _fx_area(m)
    m.writable(at, _FX_SIZE * 8)
    m.store(at + _FX_MXCSR, m.cell("mxcsr").zext(64) | _MXCSR_MASK << 32)
    _store_x87(m, at)
    _store_vectors(m, at)


@meaning("fxrstor", "fxrstor64")
def fxrstor(m):
    at = _fx_area(m)
    m.load(at, 64)
    mxcsr = _new_mxcsr(m, at)
    m.load(at + (_FX_SIZE - 8), 64)                      # the whole area must be readable
    _load_x87(m, at)
    _set_mxcsr(m, mxcsr)
    _load_vectors(m, at)


# XSAVE's area (SDM volume 1, 13.4) goes on with a header, in which a bit for each part says whether that is there or as after a
# reset, and with the upper halves of vector registers. EAX (and EDX, of parts there are not) says which parts are meant.
_XS_HEADER, _XS_UPPER, _XS_SIZE = 512, 576, 832
_X87, _SSE, _AVX = range(3)


def _xs_area(m) -> tuple[Int, Int]:
    at = m.address(0)
    m.trap_if((at & 63) != 0, "GP")
    return at, m.reg(RAX, 32).zext(64) & 7


@meaning("xsave")
def xsave(m):
    at, asked = _xs_area(m)
    m.writable(at, _XS_SIZE * 8)
    there = m.load(at + _XS_HEADER, 64)
    m.when((asked & (1 << _SSE | 1 << _AVX)) != 0, lambda: m.store(at + _FX_MXCSR, m.cell("mxcsr").zext(64) | _MXCSR_MASK << 32))
    m.when(asked.bit(_X87), lambda: _store_x87(m, at))
    m.when(asked.bit(_SSE), lambda: _store_vectors(m, at))

    def upper():
        for i in range(16):
            m.store_vec(at + (_XS_UPPER + 16 * i), m.upper(i))
    m.when(asked.bit(_AVX), upper)
    m.store(at + _XS_HEADER, there | asked)


@meaning("xrstor")
def xrstor(m):
    at, asked = _xs_area(m)
    m.load(at, 64)
    m.load(at + (_XS_SIZE - 8), 64)
    there = m.load(at + _XS_HEADER, 64)
    wrong = (there & ~7) | m.load(at + (_XS_HEADER + 8), 64) | m.load(at + (_XS_HEADER + 16), 64)
    m.trap_if(wrong != 0, "GP")
    vectors = (asked & (1 << _SSE | 1 << _AVX)) != 0
    mxcsr = vectors.select(m.load(at + _FX_MXCSR, 32), m.cell("mxcsr"))
    m.trap_if((mxcsr & (0xFFFFFFFF ^ _MXCSR_MASK)) != 0, "GP")
    absent = asked & ~there
    there = asked & there

    def reset_x87():
        set_control(m, m.int(0x37F, 16), m.int(0, 16))
        for name, bits in (("ftw", 8), ("fop", 16), ("fip", 64), ("fdp", 64)):
            m.set_cell(name, m.int(0, bits))
        for i in range(8):
            m.set_stack_register(i, m.int(0, 64), m.int(0, 16))
    m.when(there.bit(_X87), lambda: _load_x87(m, at))
    m.when(absent.bit(_X87), reset_x87)
    m.when(there.bit(_SSE), lambda: _load_vectors(m, at))
    m.when(absent.bit(_SSE), lambda: [m.set_xmm(i, m.vec(0)) for i in range(16)])
    m.when(there.bit(_AVX), lambda: [m.set_upper(i, m.load_vec(at + (_XS_UPPER + 16 * i))) for i in range(16)])
    m.when(absent.bit(_AVX), lambda: [m.set_upper(i, m.vec(0)) for i in range(16)])
    _set_mxcsr(m, mxcsr)


# ---------------------------------------------------------------------------------------------- shuffles


def _interleave(bits, high):
    """Indices that take lanes of `bits` bits by turns from the low or the high halves of two vectors."""
    size, first = bits // 8, 8 if high else 0
    return [16 * side + first + k + b for k in range(0, 8, size) for side in (0, 1) for b in range(size)]


def _unpack(name, bits, high):
    def meaning_of(m):
        x, y = m.vdst, m.vsrc
        if m.kinds[0] == "q" and high:
            both = x.shuffle(y, _interleave(bits, False))
            m.vdst = both.shuffle(both, [*range(8, 16)] * 2)
        else:
            m.vdst = x.shuffle(y, _interleave(bits, high))
    meaning(*name.split())(meaning_of)


_unpack("punpcklbw", 8, False)
_unpack("punpcklwd", 16, False)
_unpack("punpckldq unpcklps", 32, False)
_unpack("punpcklqdq unpcklpd", 64, False)
_unpack("punpckhbw", 8, True)
_unpack("punpckhwd", 16, True)
_unpack("punpckhdq unpckhps", 32, True)
_unpack("punpckhqdq unpckhpd", 64, True)


def _pack(name, op):
    def meaning_of(m):
        x, y = m.vdst, m.vsrc
        if m.kinds[0] == "q":
            x = y = x.with_int(1, y.int(0, 64))
        m.vdst = x.op(op, y)
    meaning(name)(meaning_of)


_pack("packsswb", "i8x16.narrow_i16x8_s")
_pack("packuswb", "i8x16.narrow_i16x8_u")
_pack("packssdw", "i16x8.narrow_i32x4_s")


def _splat(m, value: Int, bits: int) -> Vec:
    return Vec(m, m.prim(f"i{bits}x{128 // bits}.splat", value.raw if bits == 64 else m.prim("i32.wrap_i64", value.raw)))


def _selectors(m, order: Int) -> Vec:
    """The four two-bit fields of an immediate as the lanes of an i32x4: multiplied into place, as lanes cannot be
    shifted by different counts."""
    spread = _splat(m, order.zext(32), 32).op("i32x4.mul", lanes(64, 16, 4, 1))
    return spread.shift("i32x4.shr_u", m.int(6, 32)) & 3 * lanes(1, 1, 1, 1)


def _dwords(m, order):
    """Byte indices that pick the dwords an immediate names."""
    return _selectors(m, order).op("i32x4.mul", lanes(*[0x04040404] * 4)).op("i32x4.add", lanes(*[0x03020100] * 4))


def _words(m, order, first):
    """Byte indices that pick the words an immediate names, of four words from `first`, in the low 64 bits."""
    picked = _selectors(m, order)
    low = picked.op("i16x8.narrow_i32x4_u", picked)
    base = 0x0100 + 0x0202 * first
    return low.op("i16x8.mul", lanes(*[0x0202] * 8)).op("i16x8.add", lanes(*[base] * 8))


@meaning()
def pshufd(m): m.vdst = m.vsrc.op("i8x16.swizzle", _dwords(m, m.src2))


@meaning()
def pshuflw(m):
    x = m.vsrc
    m.vdst = x.op("i8x16.swizzle", _words(m, m.src2, 0)).shuffle(x, [*range(8), *range(24, 32)])


@meaning()
def pshufhw(m):
    x = m.vsrc
    m.vdst = x.shuffle(x.op("i8x16.swizzle", _words(m, m.src2, 4)), [*range(8), *range(16, 24)])


@meaning()
def pshufw(m): m.vdst = m.vsrc.op("i8x16.swizzle", _words(m, m.src2, 0))


@meaning()
def shufps(m):
    x, y, order = m.vdst, m.vsrc, _dwords(m, m.src2)
    m.vdst = x.op("i8x16.swizzle", order).shuffle(y.op("i8x16.swizzle", order), [*range(8), *range(24, 32)])


@meaning()
def shufpd(m):
    x, y, order = m.vdst, m.vsrc, m.src2
    low = order.bit(0).select(x.int(1, 64), x.int(0, 64))
    high = order.bit(1).select(y.int(1, 64), y.int(0, 64))
    m.vdst = m.vec(0).with_int(0, low).with_int(1, high)


def lane(x: Vec, which: Int, bits: int) -> Int:
    """The lane of `bits` bits that a number below 128 // bits names."""
    known, size = x.m.known(which), bits // 8
    if known is not None:
        return x.int(known, bits)
    index = (which << size.bit_length() - 1).low(8).splat().op("i8x16.add", lanes(*range(16)))
    return x.op("i8x16.swizzle", index).int(0, bits)


def with_lane(x: Vec, which: Int, value: Int) -> Vec:
    """With that lane, of the value's width, replaced."""
    m, bits = x.m, value.bits
    known = m.known(which)
    if known is not None:
        return x.with_int(known, value)
    here = m.vec(lanes(*range(128 // bits))).op(f"i{bits}x{128 // bits}.eq", which.zext(bits).splat())
    return value.splat().op("v128.bitselect", x, here)


@meaning()
def pinsrw(m):
    x, value = m.vdst, m.operand(1, 16)
    m.vdst = with_lane(x, m.src2 & (3 if m.kinds[0] == "q" else 7), value)


@meaning()
def pextrw(m): m.dst = lane(m.vsrc, m.src2 & (3 if m.kinds[1] == "q" else 7), 16).zext(m.bits[0])


# ---------------------------------------------------------------------------------------------- shifts


def _count(m) -> Int:
    return m.operand(1, 8).zext(64) if m.kinds[1] == "i" else m.operand(1, 64)


def _shift(name, op, bits):
    def meaning_of(m):
        x, n = m.vdst, _count(m)
        if op == "shr_s":                                    # beyond the width: all sign
            m.vdst = x.shift(f"i{bits}x{128 // bits}.shr_s", n.lt_u(bits).select(n, m.int(bits - 1, 64)))
        else:                                                # beyond the width: zero
            m.vdst = n.lt_u(bits).select(x.shift(f"i{bits}x{128 // bits}.{op}", n), m.vec(0))
    meaning(name)(meaning_of)


for _letter, _bits in (("w", 16), ("d", 32), ("q", 64)):
    _shift("psll" + _letter, "shl", _bits)
    _shift("psrl" + _letter, "shr_u", _bits)
    if _bits < 64:
        _shift("psra" + _letter, "shr_s", _bits)


def _byte_count(m):
    n = m.src.zext(32)
    return _splat(m, n.lt_u(16).select(n, m.int(16, 32)), 8)


@meaning()
def pslldq(m): m.vdst = m.vdst.op("i8x16.swizzle", m.vec(IOTA).op("i8x16.sub", _byte_count(m)))   # an index past 15 gives 0


@meaning()
def psrldq(m): m.vdst = m.vdst.op("i8x16.swizzle", m.vec(IOTA).op("i8x16.add", _byte_count(m)))


# ---------------------------------------------------------------------------------------------- multiply, sum

_ODD_WORDS = [b for k in range(8) for b in (4 * k + 2, 4 * k + 3)]


def _multiply_high(name, sign):
    def meaning_of(m):
        x, y = m.vdst, m.vsrc
        low, high = (x.op(f"i32x4.extmul_{h}_i16x8_{sign}", y) for h in ("low", "high"))
        m.vdst = low.shuffle(high, _ODD_WORDS)
    meaning(name)(meaning_of)


_multiply_high("pmulhw", "s")
_multiply_high("pmulhuw", "u")

_EVEN_DWORDS = lanes(0xFFFFFFFF, 0xFFFFFFFF)


@meaning()
def pmuludq(m): m.vdst = (m.vdst & _EVEN_DWORDS).op("i64x2.mul", m.vsrc & _EVEN_DWORDS)


@meaning()
def psadbw(m):
    x, y = m.vdst, m.vsrc
    difference = x.op("i8x16.max_u", y).op("i8x16.sub", x.op("i8x16.min_u", y))
    sums = difference.op("i16x8.extadd_pairwise_i8x16_u").op("i32x4.extadd_pairwise_i16x8_u")
    m.vdst = (sums & _EVEN_DWORDS).op("i64x2.add", sums.shift("i64x2.shr_u", m.int(32, 32)))


# ---------------------------------------------------------------------------------------------- comparisons


def _compare_scalar(bits, quiet_too):
    def meaning_of(m):
        m.flags_compare(*compared(m, f"f{bits}", m.vdst.float(0, bits), m.vsrc.float(0, bits), quiet_too))
    return meaning_of


for _suffix, _bits in (("ss", 32), ("sd", 64)):
    meaning("ucomi" + _suffix)(_compare_scalar(_bits, False))
    meaning("comi" + _suffix)(_compare_scalar(_bits, True))


def _predicate(m, x, y, bits) -> Vec:
    """All ones in the lanes where the predicate in the immediate holds: eq lt le unordered, and their negations."""
    p, which = f"f{bits}x{128 // bits}", m.src2
    unordered = x.op(f"{p}.ne", x) | y.op(f"{p}.ne", y)
    low = which.bit(0).select(x.op(f"{p}.lt", y), x.op(f"{p}.eq", y))
    high = which.bit(0).select(unordered, x.op(f"{p}.le", y))
    return which.bit(1).select(high, low) ^ which.bit(2).select(m.vec(ONES), m.vec(0))


def _compare(name, bits, scalar):
    def meaning_of(m):
        x, y, which = m.vdst, m.vsrc, m.src2
        quiet_too = which.bit(0) ^ which.bit(1)              # lt, le and their negations
        if scalar:
            a, b = compared(m, f"f{bits}", x.float(0, bits), y.float(0, bits), quiet_too)
            r = _predicate(m, m.vec(0).with_float(0, a), m.vec(0).with_float(0, b), bits)
            m.vdst = x.with_int(0, r.int(0, bits))
        else:
            a, b = compared(m, f"f{bits}x{128 // bits}", x, y, quiet_too)
            m.vdst = _predicate(m, a, b, bits)
    meaning(name)(meaning_of)


_compare("cmpps", 32, False)
_compare("cmppd", 64, False)
_compare("cmpss", 32, True)
_compare("cmpsd_sse", 64, True)


# ---------------------------------------------------------------------------------------------- conversions


for _suffix, _bits in (("ss", 32), ("sd", 64)):
    def _to_integer(how, bits):
        def run(m): m.dst = m.float_op(f"i{m.bits[0]}.from_f{bits}", m.vsrc.float(0, bits), how)
        return run

    def _from_integer(m, bits=_bits):
        n = m.src
        if m.bits[1] < bits:                                 # exact
            m.vdst = m.vdst.with_float(0, n.to_float(bits))
        else:
            m.vdst = m.vdst.with_float(0, m.float_op(f"f{bits}.from_i64", n.sext(64)))
    meaning(f"cvtt{_suffix}2si")(_to_integer(TRUNCATED, _bits))
    meaning(f"cvt{_suffix}2si")(_to_integer(MXCSR_RC, _bits))
    meaning(f"cvtsi2{_suffix}")(_from_integer)


@meaning()
def cvtss2sd(m): m.vdst = m.vdst.with_float(0, m.float_op("f64.from_f32", m.vsrc.float(0, 32)))


@meaning()
def cvtsd2ss(m): m.vdst = m.vdst.with_float(0, m.float_op("f32.from_f64", m.vsrc.float(0, 64)))


def _to_integers(how, source):
    def run(m):
        x = m.vsrc
        if m.kinds[0] == "q" and source == "f32x4":          # of the lower lanes only
            x = m.vec(0).with_int(0, x.int(0, 64))
        m.write_vec(0, m.float_op("i32x4.from_" + source, x, how))
    return run


for _letter, _source in (("ps", "f32x4"), ("pd", "f64x2")):
    _to = ("2dq", "2pi")
    meaning(*("cvtt" + _letter + to for to in _to))(_to_integers(TRUNCATED, _source))
    meaning(*("cvt" + _letter + to for to in _to))(_to_integers(MXCSR_RC, _source))


@meaning()
def cvtpi2ps(m): m.vdst = m.vdst.with_int(0, m.float_op("f32x4.from_i32x4", m.vsrc).int(0, 64))
