"""Arithmetic of binary32 and binary64 numbers as SSE does it, exactly (Intel SDM volume 1, chapters 4, 10.2.3 and 11.5).

Numbers are ints, the bits of them; `mxcsr` is the control and status register, which chooses rounding, whether denormals
count as zeros (DAZ) and tiny results become zeros (FTZ), and which exceptions are masked. Every operation answers (result,
exceptions), both of one lane; `settle` says what comes of those of all lanes. Knows nothing of registers or instructions.
"""
from math import isqrt
from typing import NamedTuple

IE, DE, ZE, OE, UE, PE = (1 << n for n in range(6))
EXCEPTIONS, BEFORE = 0x3F, IE | DE | ZE                # BEFORE: those found before a result is computed
DAZ, MASKS, RC, FTZ = 0x40, 7, 13, 0x8000              # MASKS and RC: the bits from there on
RESET = 0x1F80
NEAREST, DOWN, UP, CHOP = range(4)


class Format(NamedTuple):
    bits: int
    precision: int                                     # bits of the significand
    bias: int

    @property
    def sign(self): return 1 << self.bits - 1
    @property
    def infinity(self): return (2 * self.bias + 1) << self.precision - 1
    @property
    def quiet(self): return 1 << self.precision - 2    # the bit that makes a NaN a quiet one
    @property
    def indefinite(self): return self.sign | self.infinity | self.quiet
    @property
    def unit(self): return self.bias + self.precision - 1    # a significand m with the exponent field e is worth m * 2**(e - unit)


HALF, SINGLE, DOUBLE = Format(16, 11, 15), Format(32, 24, 127), Format(64, 53, 1023)        # of HALF there are conversions only
FORMATS = {32: SINGLE, 64: DOUBLE}


def settle(mxcsr: int, exceptions: int) -> tuple[int, bool]:
    """MXCSR after an instruction whose lanes raised these exceptions, and whether it traps, and so has no result."""
    unmasked = ~(mxcsr >> MASKS) & EXCEPTIONS
    if exceptions & BEFORE & unmasked:
        return mxcsr | exceptions & BEFORE, True
    return mxcsr | exceptions, bool(exceptions & unmasked)


def is_nan(f: Format, x: int) -> bool: return x & f.sign - 1 > f.infinity
def is_signaling(f: Format, x: int) -> bool: return is_nan(f, x) and not x & f.quiet
def is_denormal(f: Format, x: int) -> bool: return 0 < x & f.sign - 1 < 1 << f.precision - 1
def _is_infinite(f: Format, x: int) -> bool: return x & f.sign - 1 == f.infinity


def flushed(f: Format, x: int, mxcsr: int) -> int:
    """An operand, which DAZ makes a zero if it is a denormal."""
    return x & f.sign if mxcsr & DAZ and is_denormal(f, x) else x


def _parts(f: Format, x: int) -> tuple[int, int, int]:
    """Sign bit, m and e of a finite number m * 2**e."""
    exponent, m = (x & f.sign - 1) >> f.precision - 1, x & (1 << f.precision - 1) - 1
    return x & f.sign, m | (1 << f.precision - 1 if exponent else 0), (exponent or 1) - f.unit


def _cut(m: int, shift: int, rc: int, negative: bool) -> tuple[int, bool]:
    """m / 2**shift rounded to an integer, and whether that is not exact."""
    if shift <= 0:
        return m << -shift, False
    q, rest, half = m >> shift, m & (1 << shift) - 1, 1 << shift - 1
    if rc == NEAREST:
        up = rest > half or rest == half and q & 1
    else:
        up = rest and rc == (DOWN if negative else UP)
    return q + bool(up), bool(rest)


def rounded(f: Format, sign: int, m: int, e: int, mxcsr: int) -> tuple[int, int]:
    """m * 2**e as a number of the format. A lowest bit may stand for all that is below it, if there are two more than precision."""
    if not m:
        return sign, 0
    rc, p, least = mxcsr >> RC & 3, f.precision, 1 - f.bias
    top = m.bit_length() - 1 + e
    near, inexact = _cut(m, m.bit_length() - p, rc, bool(sign))            # as if the exponent had no bounds
    tiny = top + (near >> p > 0 if inexact else 0) < least
    if tiny and not mxcsr >> MASKS & UE:
        return sign, UE | PE * inexact
    if tiny and mxcsr & FTZ:
        return sign, UE | PE
    unit = max(top, least) - (p - 1)
    q, inexact = _cut(m, unit - e, rc, bool(sign))
    if q >> p:
        q, unit = q >> 1, unit + 1
    if unit + p - 1 > f.bias:
        if not mxcsr >> MASKS & OE:
            return sign, OE | PE * inexact
        to_infinity = rc == NEAREST or rc == (DOWN if sign else UP)
        return sign | f.infinity - (not to_infinity), OE | PE
    flags = (PE | UE * tiny) * inexact
    return sign | (q if not q >> p - 1 else (unit + f.unit << p - 1) + q - (1 << p - 1)), flags


def _nan(f: Format, x: int, y: int) -> tuple[int, int]:
    """Where x or y is a NaN: the first that is, made quiet."""
    return (x if is_nan(f, x) else y) | f.quiet, IE * (is_signaling(f, x) or is_signaling(f, y))


def arithmetic(op: str, f: Format, x: int, y: int, mxcsr: int) -> tuple[int, int]:
    """"add", "sub", "mul", "div", and "sqrt", which has only y."""
    if op == "sqrt":
        x = y
    x, y = flushed(f, x, mxcsr), flushed(f, y, mxcsr)
    if is_nan(f, x) or is_nan(f, y):
        return _nan(f, x, y)
    result, flags = {"add": _add, "sub": _sub, "mul": _mul, "div": _div, "sqrt": _sqrt}[op](f, x, y, mxcsr)
    if not flags & (IE | ZE) and (is_denormal(f, x) or is_denormal(f, y)):
        flags |= DE
    return result, flags


def _sub(f, x, y, mxcsr): return _add(f, x, y ^ f.sign, mxcsr)


def _add(f, x, y, mxcsr):
    if _is_infinite(f, x) or _is_infinite(f, y):
        if _is_infinite(f, x) and _is_infinite(f, y) and x != y:
            return f.indefinite, IE
        return (x if _is_infinite(f, x) else y), 0
    (sx, m, ex), (sy, n, ey) = _parts(f, x), _parts(f, y)
    e = min(ex, ey)
    total = (-m if sx else m) * (1 << ex - e) + (-n if sy else n) * (1 << ey - e)
    if not total:
        return (sx if sx == sy else f.sign * (mxcsr >> RC & 3 == DOWN)), 0
    return rounded(f, f.sign * (total < 0), abs(total), e, mxcsr)


def _mul(f, x, y, mxcsr):
    sign = (x ^ y) & f.sign
    infinite = _is_infinite(f, x) or _is_infinite(f, y)
    (_, m, ex), (_, n, ey) = _parts(f, x), _parts(f, y)
    if infinite:
        return (sign | f.infinity, 0) if m and n else (f.indefinite, IE)
    return rounded(f, sign, m * n, ex + ey, mxcsr)


def _div(f, x, y, mxcsr):
    sign = (x ^ y) & f.sign
    (_, m, ex), (_, n, ey) = _parts(f, x), _parts(f, y)
    if _is_infinite(f, x):
        return (f.indefinite, IE) if _is_infinite(f, y) else (sign | f.infinity, 0)
    if _is_infinite(f, y):
        return sign, 0
    if not n:
        return (sign | f.infinity, ZE) if m else (f.indefinite, IE)
    more = 2 * f.precision + 4
    q, rest = divmod(m << more, n)
    return rounded(f, sign, q << 1 | bool(rest), ex - ey - more - 1, mxcsr)


def _sqrt(f, x, _, mxcsr):
    sign, m, e = _parts(f, x)
    if not m:
        return x, 0
    if sign:
        return f.indefinite, IE
    if _is_infinite(f, x):
        return x, 0
    more = 2 * f.precision + 4 + (e & 1)
    q = isqrt(m << more)
    return rounded(f, 0, q << 1 | (q * q != m << more), (e - more) // 2 - 1, mxcsr)


def fused(f: Format, x: int, y: int, z: int, mxcsr: int, minus_product: bool, minus_z: bool) -> tuple[int, int]:
    """x * y + z, rounded once; the product and z may be taken negative, which no NaN notices."""
    x, y, z = (flushed(f, v, mxcsr) for v in (x, y, z))
    invalid = (_is_infinite(f, x) and not y & f.sign - 1) or (_is_infinite(f, y) and not x & f.sign - 1)
    if is_nan(f, x) or is_nan(f, y) or is_nan(f, z):
        first = next(v for v in (x, y, z) if is_nan(f, v))
        return first | f.quiet, IE * any(is_signaling(f, v) for v in (x, y, z))
    if invalid:
        return f.indefinite, IE
    sign, z = (x ^ y) & f.sign ^ f.sign * minus_product, z ^ f.sign * minus_z
    denormal = DE * any(is_denormal(f, v) for v in (x, y, z))
    if _is_infinite(f, x) or _is_infinite(f, y):
        if _is_infinite(f, z) and z & f.sign != sign:
            return f.indefinite, IE
        return sign | f.infinity, denormal
    if _is_infinite(f, z):
        return z, denormal
    (_, m, ex), (_, n, ey), (sz, a, ez) = _parts(f, x), _parts(f, y), _parts(f, z)
    e = min(ex + ey, ez)
    total = (-1 if sign else 1) * (m * n << ex + ey - e) + (-1 if sz else 1) * (a << ez - e)
    if not total:
        return (sign if sign == sz else f.sign * (mxcsr >> RC & 3 == DOWN)), denormal
    result, flags = rounded(f, f.sign * (total < 0), abs(total), e, mxcsr)
    return result, flags | denormal


def from_half(x: int) -> tuple[int, int]:
    """A half as a single, which MXCSR has no say in."""
    result, flags = convert(HALF, SINGLE, x, RESET)
    return result, flags & IE


def to_half(x: int, rc: int, mxcsr: int) -> tuple[int, int]:
    """A single as a half, rounded as `rc` says; FTZ does not matter."""
    return convert(SINGLE, HALF, x, mxcsr & ~(3 << RC | FTZ) | rc << RC)


def signals(f: Format, x: int, y: int, quiet_too: bool, mxcsr: int) -> int:
    """The exceptions of a comparison of x and y. quiet_too: quiet NaNs are invalid as well."""
    x, y = flushed(f, x, mxcsr), flushed(f, y, mxcsr)
    if is_nan(f, x) or is_nan(f, y):
        return IE * (quiet_too or is_signaling(f, x) or is_signaling(f, y))
    return DE * (is_denormal(f, x) or is_denormal(f, y))


def convert(f: Format, to: Format, x: int, mxcsr: int) -> tuple[int, int]:
    """To the other format."""
    x = flushed(f, x, mxcsr)
    sign, shift = x >> f.bits - 1 << to.bits - 1, to.precision - f.precision
    if is_nan(f, x):
        payload = x & (1 << f.precision - 1) - 1
        payload = payload << shift if shift > 0 else payload >> -shift
        return sign | to.infinity | to.quiet | payload, IE * is_signaling(f, x)
    if _is_infinite(f, x):
        return sign | to.infinity, 0
    _, m, e = _parts(f, x)
    result, flags = rounded(to, sign, m, e, mxcsr)
    return result, flags | DE * is_denormal(f, x)


def to_integer(f: Format, x: int, bits: int, rc: int, mxcsr: int) -> tuple[int, int]:
    """As a signed integer; what does not fit gives the integer indefinite, the sign bit alone."""
    x = flushed(f, x, mxcsr)
    indefinite = 1 << bits - 1
    if x & f.sign - 1 >= f.infinity:
        return indefinite, IE
    sign, m, e = _parts(f, x)
    n, inexact = _cut(m << max(e, 0), max(-e, 0), rc, bool(sign))
    n = -n if sign else n
    if not -indefinite <= n < indefinite:
        return indefinite, IE
    return n & 2 * indefinite - 1, PE * inexact


def from_integer(f: Format, n: int, mxcsr: int) -> tuple[int, int]:
    """Of a Python int."""
    return rounded(f, f.sign * (n < 0), abs(n), 0, mxcsr)


def to_whole(f: Format, x: int, rc: int, mxcsr: int) -> tuple[int, int]:
    """Rounded to a whole number of the same format."""
    x = flushed(f, x, mxcsr)
    if is_nan(f, x):
        return x | f.quiet, IE * is_signaling(f, x)
    sign, m, e = _parts(f, x)
    if e >= 0 or not m:
        return x, 0
    n, inexact = _cut(m, -e, rc, bool(sign))
    return rounded(f, sign, n, 0, RESET)[0], PE * inexact
