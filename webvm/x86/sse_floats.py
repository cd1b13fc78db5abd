"""The operations on floating-point numbers that SSE instructions are made of: their names, and what a machine does for each.

    f64.add f64.sub f64.mul f64.div (x, y)    f64.sqrt (x)         of numbers, and lane by lane: f64x2.add; the same with f32, f32x4
    f64x2.addsub f32x4.addsub (x, y)          even lanes are subtracted, odd ones added
    f64.from_f32 f32.from_f64 (x)             f64x2.from_f32x4, of its lower lanes; f32x4.from_f64x2, whose upper lanes are zero
    f64.from_i64 f32.from_i64 (n)             f32x4.from_i32x4     (from i32 to f64 nothing is rounded: that is no such operation)
    i32.from_f64 i64.from_f64 (x, how)        and of f32; i32x4.from_f32x4, i32x4.from_f64x2 (upper lanes zero); what does not
                                              fit gives the integer indefinite
    f64.whole (x, how)                        rounded to a whole number; f32.whole, f64x2.whole, f32x4.whole
    f64.fmadd (x, y, z)                       x * y + z, rounded once; fmsub: x * y - z; fnmadd, fnmsub: the product negative; f32, f64x2, f32x4;
                                              of vectors fmaddsub, which subtracts in even lanes, and fmsubadd
    f32x4.from_f16x4 (x)                      of the four lowest lanes; f16x4.from_f32x4 (x, how), whose upper half is zero
    f64.signal (x, y, quiet_too)              no result, but the exceptions of a comparison; f32, f64x2 and f32x4
    f64.operand (x)                           x, or zero where DAZ makes it that; f32, f64x2 and f32x4

`how` (an int, or an Int of 32 bits; as the immediate of ROUNDSD): bits 0 and 1 as MXCSR's RC, bit 2: MXCSR's RC instead, bit 3: no precision
exception. `compared` is what MIN, MAX, CMP and COMI begin with.

`exactly` does an operation over ints, for the oracle. `plainly` says it in the language of meanings, and is right where MXCSR
has its reset value, exceptions aside, and where NaNs are those of this processor; it has none of `CALLED`. Emitters choose (`jit.sse`).
"""
from . import ieee
from .meaning import Float, Int, Vec
from .primitives import M64, bits_f32, bits_f64, f32_bits, f64_bits, signed
from .vectors import join, split

MXCSR_RC, TRUNCATED = 4, 3                             # values of `how`
_ARITHMETIC = ("add", "sub", "mul", "div", "sqrt")
FUSED = {"fmadd": (False, False), "fmsub": (False, True), "fnmadd": (True, False), "fnmsub": (True, True)}      # what is negative: the product, z
ALTERNATING = {"addsub": ("sub", "add"), "fmaddsub": ("fmsub", "fmadd"), "fmsubadd": ("fmadd", "fmsub")}         # in even lanes, in odd lanes
_WAYS = ("nearest", "floor", "ceil", "trunc")          # of rounding, by the values of RC
_LANES = {"f32": ("f32x4", "v128"), "f64": ("f64x2", "v128")}


def _signatures() -> dict[str, tuple[str, str]]:
    found = {}
    for f in ("f32", "f64"):
        for shape, type in ((f, f), (_LANES[f])):
            for op in _ARITHMETIC:
                found[f"{shape}.{op}"] = type if op == "sqrt" else f"{type} {type}", type
            for op in FUSED:
                found[f"{shape}.{op}"] = f"{type} {type} {type}", type
            if shape != f:
                found[f"{shape}.addsub"] = f"{type} {type}", type
                found[f"{shape}.fmaddsub"] = found[f"{shape}.fmsubadd"] = f"{type} {type} {type}", type
            found[f"{shape}.whole"] = f"{type} i32", type
            found[f"{shape}.signal"] = f"{type} {type} i32", ""
            found[f"{shape}.operand"] = type, type
        found[f"{f}.from_i64"] = "i64", f
        found[f"i32.from_{f}"] = found[f"i64.from_{f}"] = f"{f} i32", "i64"
    found["f64.from_f32"], found["f32.from_f64"] = ("f32", "f64"), ("f64", "f32")
    found["f64x2.from_f32x4"] = found["f32x4.from_f64x2"] = found["f32x4.from_i32x4"] = "v128", "v128"
    found["f32x4.from_f16x4"], found["f16x4.from_f32x4"] = ("v128", "v128"), ("v128 i32", "v128")
    found["i32x4.from_f32x4"] = found["i32x4.from_f64x2"] = "v128 i32", "v128"
    return found


SIGNATURES = _signatures()                             # name -> types of operands, type of the result or ""


CALLED = frozenset(op for op in SIGNATURES if "f16" in op or op.split(".")[1].startswith(("fm", "fnm")))


def lane_of(what: str, k: int) -> str:
    """The operation that a vector operation is in lane k."""
    return ALTERNATING[what][k & 1] if what in ALTERNATING else what.split("x")[0].replace("from_i32", "from_i64")


def compared(m, shape: str, x, y, quiet_too):
    """x and y as a comparison takes them. quiet_too (a Bool): it signals quiet NaNs too."""
    m.float_op(shape + ".signal", x, y, m.bool(quiet_too).int(32))
    return m.float_op(shape + ".operand", x), m.float_op(shape + ".operand", y)


def result(m, op: str, raw):
    """The value that an operation's raw result is."""
    kind = op.split(".")[0]
    if "x" in kind:
        return Vec(m, raw)
    return Float(m, raw, int(kind[1:])) if kind[0] == "f" else Int(m, raw, int(kind[1:]))


# ---------------------------------------------------------------------------------------------- over ints


def exactly(op: str, values: list, mxcsr: int) -> tuple[int, int]:
    """(bits of the result, MXCSR's exceptions). Operands: bits, of a float or a vector, or an int."""
    shape, what = op.split(".")
    if "x" not in shape:
        return _lane(op, values, mxcsr)
    width, source = int(shape[1:].split("x")[0]), what.removeprefix("from_") if what.startswith("from_") else shape
    source_width = int(source[1:].split("x")[0])
    vectors = 2 if what in ("add", "sub", "mul", "div", "addsub", "signal") else 3 if what.startswith(("fm", "fnm")) else 1
    lanes, flags = [], 0
    for k, operands in enumerate(list(zip(*(split(v, source_width) for v in values[:vectors])))[:128 // width]):
        if source[0] == "i":
            operands = [signed(n, 32) & M64 for n in operands]
        bits, more = _lane(f"{shape[0]}{width}.{lane_of(what, k)}", [*operands, *values[vectors:]], mxcsr)
        lanes.append(bits)
        flags |= more
    return join(lanes, width), flags


def _lane(op, values, mxcsr):
    shape, what = op.split(".")
    if shape == "f16":
        return ieee.to_half(values[0], mxcsr >> ieee.RC & 3 if values[1] & MXCSR_RC else values[1] & 3, mxcsr)
    if what == "from_f16":
        return ieee.from_half(values[0])
    f = ieee.FORMATS[int(shape[1:])]
    if what in FUSED:
        return ieee.fused(f, *values, mxcsr, *FUSED[what])
    if what in _ARITHMETIC:
        return ieee.arithmetic(what, f, values[0], values[-1], mxcsr)
    if what == "signal":
        return 0, ieee.signals(f, values[0], values[1], bool(values[2]), mxcsr)
    if what == "operand":
        return ieee.flushed(f, values[0], mxcsr), 0
    if what == "from_i64":
        return ieee.from_integer(f, signed(values[0], 64), mxcsr)
    if what == "whole" or shape[0] == "i":
        how = values[1]
        rc = mxcsr >> ieee.RC & 3 if how & MXCSR_RC else how & 3
        if what == "whole":
            bits, flags = ieee.to_whole(f, values[0], rc, mxcsr)
        else:
            bits, flags = ieee.to_integer(ieee.FORMATS[int(what[-2:])], values[0], f.bits, rc, mxcsr)
        return bits, flags & ~(ieee.PE * (how >> 3 & 1))
    return ieee.convert(ieee.FORMATS[int(what[-2:])], f, values[0], mxcsr)


def raw_bits(value) -> int:
    """Of a value of the oracle."""
    if isinstance(value, Float):
        return bits_f64(value.raw) if value.bits == 64 else bits_f32(value.raw)
    return value.raw


def oracle_raw(op: str, bits: int):
    """What the oracle holds of the bits of a result."""
    return {"f64": f64_bits, "f32": f32_bits}.get(op.split(".")[0], int)(bits)


# ---------------------------------------------------------------------------------------------- in the language of meanings


def fused_plainly(m, op: str, x, y, z):
    """What `plainly` says of a fused multiplication and addition of f32 or f32x4; None of others. In doubles the product is exact; the
    sum is rounded to odd (S. Boldo, G. Melquiond, Emulation of FMA and correctly rounded sums, 2008), so that rounding it again is right."""
    shape, what = op.split(".")
    if shape == "f32":
        s, rest = _fused_sum([v.to(64) for v in (x, y, z)], FUSED[what])
        bits, none = s.bits_int(), m.float(0.0, 64)
        inexact = (rest.lt(none) | none.lt(rest)).int(64)
        towards = (bits ^ rest.bits_int()).sar(63) | 1
        r = (bits + (towards & -(inexact & (~bits & 1)))).f64().to(32)
        return (~z.eq(z) & x.eq(x) & y.eq(y)).select((z.bits_int() | 1 << 22).f32(), r)
    if shape != "f32x4" or what not in FUSED:
        return None
    low = [v.op("f64x2.promote_low_f32x4") for v in (x, y, z)]
    high = [v.shuffle(v, [*range(8, 16)] * 2).op("f64x2.promote_low_f32x4") for v in (x, y, z)]
    halves, one = [], 1 << 64 | 1
    for numbers in (low, high):
        s, rest = _fused_sum(numbers, FUSED[what], "f64x2.")
        inexact = m.vec(0).op("f64x2.lt", rest.op("f64x2.abs"))
        towards = (s ^ rest).shift("i64x2.shr_s", m.int(63, 32)) | one
        even = (s & one).op("i64x2.sub", one)
        halves.append(s.op("i64x2.add", towards & even & inexact).op("f32x4.demote_f64x2_zero"))
    r = halves[0].shuffle(halves[1], [*range(8), *range(16, 24)])
    other = z.op("f32x4.ne", z) & x.op("f32x4.eq", x) & y.op("f32x4.eq", y)        # NaNs that win over one made here
    return (z | 0x400000 * (1 | 1 << 32 | 1 << 64 | 1 << 96)).op("v128.bitselect", r, other)


def _fused_sum(numbers, minus, prefix=""):
    """The sum as doubles have it, and what is left of it: no number where it is none."""
    x, y, z = numbers
    product = x.op(prefix + "mul", y)
    if minus[0]:                                           # a NaN keeps its sign
        negative = product.op(prefix + "neg")
        product = negative.op("v128.bitselect", product, product.op("f64x2.eq", product)) if prefix else product.eq(product).select(negative, product)
    s = product.op(prefix + ("sub" if minus[1] else "add"), z)
    virtual = s.op(prefix + "sub", product)                # what of z came into the sum
    rest = product.op(prefix + "sub", s.op(prefix + "sub", virtual))
    if minus[1]:
        return s, rest.op(prefix + "sub", z.op(prefix + "add", virtual))
    return s, rest.op(prefix + "add", z.op(prefix + "sub", virtual))


def plainly(m, op: str, *values):
    shape, what = op.split(".")
    x = values[0]
    if what == "signal":
        return None
    if what == "operand":
        return x
    if what in _ARITHMETIC:
        return x.op(op, *values[1:]) if isinstance(x, Vec) else x.op(what, *values[1:])
    match what:
        case "addsub":
            odd = (1 << 64) - 1 << 64 if shape == "f64x2" else 0xFFFFFFFF << 32 | 0xFFFFFFFF << 96
            return x.op(shape + ".add", values[1]).op("v128.bitselect", x.op(shape + ".sub", values[1]), odd)
        case "from_f32" if shape == "f64": return x.to(64)
        case "from_f64" if shape == "f32": return x.to(32)
        case "from_i64": return x.to_float(int(shape[1:]))
        case "from_f32x4" if shape == "f64x2": return x.op("f64x2.promote_low_f32x4")
        case "from_f64x2" if shape == "f32x4": return x.op("f32x4.demote_f64x2_zero")
        case "from_i32x4": return x.op("f32x4.convert_i32x4_s")
        case "from_f32x4": return _singles_to_integers(m, _whole(m, x, values[1], "f32x4."))
        case "from_f64x2": return _doubles_to_integers(m, _whole(m, x, values[1], "f64x2."))
        case "whole": return _whole(m, x, values[1], shape + "." if "x" in shape else "")
    n = m.known(values[1])
    truncates = n is not None and n & (MXCSR_RC | 3) == TRUNCATED & 3        # as the conversion does anyway
    return _to_integer(m, x if truncates else _whole(m, x, values[1], ""), int(shape[1:]))


def _whole(m, x, how, prefix: str):
    n = m.known(how)
    if n is not None:
        return x.op(prefix + ("nearest" if n & MXCSR_RC else _WAYS[n & 3]))
    nearest, floor, ceil, trunc = (x.op(prefix + name) for name in _WAYS)
    down, up = how.bit(0) & ~how.bit(2), how.bit(1) & ~how.bit(2)
    return up.select(down.select(trunc, ceil), down.select(floor, nearest))


def _to_integer(m, x, bits: int) -> Int:
    n = x.trunc_sat_s()
    indefinite = m.int(1 << bits - 1, bits)
    if bits == 64:
        return x.op("abs").lt(m.float(2.0 ** 63, x.bits)).select(n, indefinite)
    return ((n == n.low(32).sext(64)) & x.eq(x)).select(n.low(32), indefinite)


def _singles_to_integers(m, x):
    too_big = x.op("f32x4.ge", m.vec(0x4F000000 * (1 | 1 << 32 | 1 << 64 | 1 << 96)))          # 2**31: saturates to 2**31 - 1
    nan = x.op("f32x4.ne", x) & 0x80000000 * (1 | 1 << 32 | 1 << 64 | 1 << 96)
    return (x.op("i32x4.trunc_sat_f32x4_s") ^ too_big) | nan


def _doubles_to_integers(m, x):
    r = m.vec(0)
    for lane in (0, 1):
        r = r.with_int(lane, _to_integer(m, x.float(lane, 64), 32))
    return r
