"""Arithmetic of the x87's 80-bit numbers, exactly rounded (Intel SDM volume 1, chapters 4 and 8.5).

Numbers are ints of 80 bits as a register holds them; `fcw` is the control word, which chooses rounding and precision
and masks exceptions. Every operation answers (result, flags): flags lie as in the status word, the exceptions and C1
(the significand was rounded up). An unmasked IE, DE or ZE leaves no result; one of OE and UE a result whose exponent is
24576 off, as registers get it. Knows nothing of registers, the stack or instructions.
"""
from math import isqrt

IE, DE, ZE, OE, UE, PE, SF, ES = (1 << n for n in range(8))
C0, C1, C2, C3 = 0x100, 0x200, 0x400, 0x4000

NEAREST, DOWN, UP, CHOP = range(4)                     # rounding control
_PRECISIONS = (24, 64, 53, 64)                         # of the significand, by precision control; 1 is reserved
FULL = 0x300                                           # precision control: 64 bits

SIGN = 1 << 79
EXPONENT = 0x7FFF
INTEGER_BIT, QUIET_BIT = 1 << 63, 1 << 62
SIGNIFICAND = (1 << 64) - 1
MAGNITUDE = SIGN - 1
BIAS = 16383
UNIT = BIAS + 63                                       # m with the exponent field e is worth m * 2**(e - UNIT)
WRAP = 24576                                           # what an unmasked overflow or underflow adds to the exponent

INFINITY = EXPONENT << 64 | INTEGER_BIT
INDEFINITE = SIGN | EXPONENT << 64 | INTEGER_BIT | QUIET_BIT
ONE = BIAS << 64 | INTEGER_BIT

# What an encoding is. DENORMAL includes pseudo-denormals; INVALID: unnormals, pseudo-infinities, pseudo-NaNs.
ZERO, NORMAL, DENORMAL, INFINITE, QUIET, SIGNALING, INVALID = range(7)


def kind(x: int) -> int:
    e, m = x >> 64 & EXPONENT, x & SIGNIFICAND
    if not e:
        return DENORMAL if m else ZERO
    if not m >> 63:
        return INVALID
    if e < EXPONENT:
        return NORMAL
    return QUIET if m & QUIET_BIT else INFINITE if m == INTEGER_BIT else SIGNALING


def exponent(x: int) -> int:
    """The exponent e of a finite number x = m * 2**(e - UNIT), m its significand."""
    return x >> 64 & EXPONENT or 1


def nan(a: int, b: int, ka: int, kb: int) -> tuple[int, int]:
    """The result where a or b is a NaN or invalid: which is propagated (SDM table 4-7)."""
    if ka == INVALID or kb == INVALID:
        return INDEFINITE, IE
    flags = IE if ka == SIGNALING or kb == SIGNALING else 0
    if ka < QUIET:
        return b | QUIET_BIT, flags
    if kb < QUIET:
        return a | QUIET_BIT, flags
    if ka != kb:                                       # of a quiet one and a signaling one, the quiet one
        return (a if ka == QUIET else b), flags
    ma, mb = a & SIGNIFICAND, b & SIGNIFICAND
    if ma != mb:
        return (a if ma > mb else b) | QUIET_BIT, flags
    return min(a, b) | QUIET_BIT, flags                # they differ in sign: the positive one


def rounds_up(rc: int, sign: int, m: int, low: int, shift: int) -> bool:
    """Whether the magnitude m, from which the non-zero bits `low` (of `shift`) were cut, is to be counted up."""
    if rc == NEAREST:
        half = 1 << shift - 1
        return low > half or low == half and bool(m & 1)
    return rc == (DOWN if sign else UP)


def pack(sign: int, m: int, e: int, fcw: int, flags: int = 0) -> tuple[int, int]:
    """The number m * 2**(e - UNIT), m > 0 of any length, rounded. A set bit far below stands for lost ones."""
    n = m.bit_length()
    e += n - 64
    p = _PRECISIONS[fcw >> 8 & 3]
    if e <= 0:
        return _tiny(sign, m, n, e, p, fcw, flags)
    shift = n - p
    if shift > 0:
        low = m & (1 << shift) - 1
        m >>= shift
        if low:
            flags |= PE
            if rounds_up(fcw >> 10 & 3, sign, m, low, shift):
                m += 1
                flags |= C1
                if m >> p:
                    m >>= 1
                    e += 1
        m <<= 64 - p
    else:
        m <<= 64 - n
    if e >= EXPONENT:
        return _huge(sign, m, e, p, fcw, flags)
    return sign << 79 | e << 64 | m, flags


def _huge(sign, m, e, p, fcw, flags):
    if not fcw & OE:
        e -= WRAP
        if e < EXPONENT:
            return sign << 79 | e << 64 | m, flags | OE
    rc = fcw >> 10 & 3
    if not fcw & OE or rc == NEAREST or rc == (DOWN if sign else UP):
        return sign << 79 | INFINITY, flags | OE | PE | C1
    return sign << 79 | EXPONENT - 1 << 64 | SIGNIFICAND >> 64 - p << 64 - p, flags & ~C1 | OE | PE


def _tiny(sign, m, n, e, p, fcw, flags):
    rc = fcw >> 10 & 3
    # Tiny is what is below the least normal number when rounded as if exponents had no end.
    shift = n - p
    low = m & (1 << shift) - 1 if shift > 0 else 0
    carried = low and rounds_up(rc, sign, m >> shift, low, shift) and (m >> shift) + 1 >> p
    tiny = e < 0 or not carried
    if tiny and not fcw & UE:
        if e + WRAP <= 0:                              # as far off as only FSCALE gets
            return sign << 79, flags | UE | PE
        return pack(sign, m, e + WRAP - n + 64, fcw, flags | UE)
    shift = n - p + 1 - e
    if shift <= 0:
        m <<= -shift
    else:
        low = m & (1 << shift) - 1
        m >>= shift
        if low:
            flags |= PE | (UE if tiny else 0)
            if rounds_up(rc, sign, m, low, shift):
                m += 1
                flags |= C1
    m <<= 64 - p
    return sign << 79 | (m >> 63) << 64 | m, flags


# ---------------------------------------------------------------------------------------------- arithmetic
# `de`: DE where an operand was a denormal of a shorter format before it was converted.


def add(a: int, b: int, fcw: int, de: int = 0) -> tuple[int, int]:
    ea, ma, sa = a >> 64 & EXPONENT, a & SIGNIFICAND, a >> 79
    eb, mb, sb = b >> 64 & EXPONENT, b & SIGNIFICAND, b >> 79
    if de or not (ma >> 63 and mb >> 63 and 0 < ea < EXPONENT and 0 < eb < EXPONENT):
        ka, kb = kind(a), kind(b)
        if ka >= QUIET or kb >= QUIET:
            return nan(a, b, ka, kb)
        if ka == kb == INFINITE and sa != sb:
            return INDEFINITE, IE
        if ka == DENORMAL or kb == DENORMAL:
            de = DE
        if de and not fcw & DE:
            return 0, DE
        if ka == INFINITE or kb == INFINITE:
            return (a if ka == INFINITE else b), de
        ea, eb = ea or 1, eb or 1
        if not mb:
            eb = ea
        elif not ma:
            ea = eb
    # Of a number far below the other one only its sign matters.
    d = ea - eb
    if d > 0:
        ma, ea = (ma << d, eb) if d < 132 else (ma << 132, ea - 132)
        mb = mb if d < 132 else 1
    elif d:
        mb = mb << -d if d > -132 else mb << 132
        ma, ea = (ma, ea) if d > -132 else (1, eb - 132)
    m = (-ma if sa else ma) + (-mb if sb else mb)
    if not m:
        sign = sa if sa == sb else (fcw >> 10 & 3) == DOWN
        return sign << 79, de
    return pack(1, -m, ea, fcw, de) if m < 0 else pack(0, m, ea, fcw, de)


def sub(a: int, b: int, fcw: int, de: int = 0) -> tuple[int, int]:
    """a - b."""
    return add(a, b if kind(b) >= QUIET else b ^ SIGN, fcw, de)


def mul(a: int, b: int, fcw: int, de: int = 0) -> tuple[int, int]:
    ea, ma = a >> 64 & EXPONENT, a & SIGNIFICAND
    eb, mb = b >> 64 & EXPONENT, b & SIGNIFICAND
    sign = (a ^ b) >> 79
    if de or not (ma >> 63 and mb >> 63 and 0 < ea < EXPONENT and 0 < eb < EXPONENT):
        ka, kb = kind(a), kind(b)
        if ka >= QUIET or kb >= QUIET:
            return nan(a, b, ka, kb)
        if INFINITE in (ka, kb) and ZERO in (ka, kb):
            return INDEFINITE, IE
        if ka == DENORMAL or kb == DENORMAL:
            de = DE
        if de and not fcw & DE:
            return 0, DE
        if ka == INFINITE or kb == INFINITE:
            return sign << 79 | INFINITY, de
        if ka == ZERO or kb == ZERO:
            return sign << 79, de
        ea, eb = ea or 1, eb or 1
    return pack(sign, ma * mb, ea + eb - UNIT, fcw, de)


def div(a: int, b: int, fcw: int, de: int = 0) -> tuple[int, int]:
    """a / b."""
    ea, ma = a >> 64 & EXPONENT, a & SIGNIFICAND
    eb, mb = b >> 64 & EXPONENT, b & SIGNIFICAND
    sign = (a ^ b) >> 79
    if de or not (ma >> 63 and mb >> 63 and 0 < ea < EXPONENT and 0 < eb < EXPONENT):
        ka, kb = kind(a), kind(b)
        if ka >= QUIET or kb >= QUIET:
            return nan(a, b, ka, kb)
        if ka == kb and ka in (INFINITE, ZERO):
            return INDEFINITE, IE
        if kb == ZERO and ka != INFINITE:
            return sign << 79 | INFINITY, ZE
        if ka == DENORMAL or kb == DENORMAL:
            de = DE
        if de and not fcw & DE:
            return 0, DE
        if ka == INFINITE:
            return sign << 79 | INFINITY, de
        if ka == ZERO or kb == INFINITE:
            return sign << 79, de
        ea, eb = ea or 1, eb or 1
        shift = 64 - mb.bit_length()                   # a normal divisor, so that the quotient has enough bits
        mb, eb = mb << shift, eb - shift
        shift = 64 - ma.bit_length()
        ma, ea = ma << shift, ea - shift
    q, r = divmod(ma << 66, mb)
    return pack(sign, q << 1 | (r > 0), ea - eb - 67 + UNIT, fcw, de)


def sqrt(a: int, fcw: int) -> tuple[int, int]:
    k, de = kind(a), 0
    if k >= QUIET:
        return nan(a, 0, k, ZERO)
    if k == ZERO:
        return a, 0
    if a >> 79:
        return INDEFINITE, IE
    if k == DENORMAL:
        de = DE
        if not fcw & DE:
            return 0, DE
    if k == INFINITE:
        return a, de
    e, m = exponent(a) - UNIT, a & SIGNIFICAND
    shift = 140 - m.bit_length()
    shift += e - shift & 1                             # e must be even for the root of its power
    m, e = m << shift, e - shift
    root = isqrt(m)
    return pack(0, root << 1 | (root * root != m), (e >> 1) - 1 + UNIT, fcw, de)


def compare(a: int, b: int, quiet: bool, de: int = 0) -> tuple[int, int]:
    """C3, C2, C0 of a against b. Unless `quiet`, a quiet NaN is invalid too."""
    ka, kb = kind(a), kind(b)
    if ka >= QUIET or kb >= QUIET:
        return C3 | C2 | C0, (0 if quiet and ka <= QUIET and kb <= QUIET else IE)
    if ka == DENORMAL or kb == DENORMAL:
        de = DE
    # A pseudo-denormal is worth the normal number with exponent 1.
    ma, mb = (x & MAGNITUDE | (1 << 64 if k == DENORMAL and x & INTEGER_BIT else 0) for x, k in ((a, ka), (b, kb)))
    x, y = -ma if a >> 79 else ma, -mb if b >> 79 else mb
    return (0 if x > y else C0 if x < y else C3), de


# ---------------------------------------------------------------------------------------------- other formats


def from_int(n: int) -> int:
    """An integer of at most 64 bits of magnitude; exact."""
    if not n:
        return 0
    m = abs(n)
    size = m.bit_length()
    return (n < 0) << 79 | BIAS + size - 1 << 64 | m << 64 - size


def _widen(x, fraction, bias, sign):
    top = (1 << sign - fraction) - 1
    e, m = x >> fraction & top, x & (1 << fraction) - 1
    s = x >> sign << 79
    if e == top:
        return s | INFINITY | m << 63 - fraction, 0
    if e:
        return s | e + BIAS - bias << 64 | INTEGER_BIT | m << 63 - fraction, 0
    if not m:
        return s, 0
    n = m.bit_length()
    return s | BIAS - bias + 1 - fraction + n - 1 << 64 | m << 64 - n, DE


def from32(x: int) -> tuple[int, int]:
    """A binary32; signaling NaNs stay so, flags is DE for a denormal."""
    return _widen(x, 23, 127, 31)


def from64(x: int) -> tuple[int, int]:
    return _widen(x, 52, 1023, 63)


def _narrow(x, fraction, bias, width, fcw):
    sign, m = x >> 79 << width - 1, x & SIGNIFICAND
    top = (1 << width - 1 - fraction) - 1
    k = kind(x)
    if k >= INFINITE:
        if k == INVALID:
            return 1 << width - 1 | top << fraction | 1 << fraction - 1, IE
        if k == INFINITE:
            return sign | top << fraction, 0
        quiet = 1 << fraction - 1
        return sign | top << fraction | quiet | m >> 63 - fraction & (1 << fraction) - 1, IE if k == SIGNALING else 0
    if k == ZERO:
        return sign, 0
    n = m.bit_length()
    e = exponent(x) + n - 64 - BIAS + bias
    rc, p, flags = fcw >> 10 & 3, fraction + 1, 0
    negative = x >> 79
    shift = n - p
    low = m & (1 << shift) - 1 if shift > 0 else 0
    up = low and rounds_up(rc, negative, m >> shift, low, shift)
    if e <= 0:
        tiny = e < 0 or not (up and (m >> shift) + 1 >> p)
        if tiny and not fcw & UE:
            flags |= UE | (PE if low else 0) | (C1 if up else 0)
            return sign, flags
        shift = n - p + 1 - e
        if shift > 0:
            low = m & (1 << shift) - 1
            m >>= shift
            if low:
                flags |= PE | (UE if tiny else 0)
                if rounds_up(rc, negative, m, low, shift):
                    m += 1
                    flags |= C1
        else:
            m <<= -shift
        return sign + m, flags                         # a carry out of the fraction makes the exponent 1
    if shift > 0:
        m >>= shift
        if low:
            flags |= PE
            if up:
                m += 1
                flags |= C1
                if m >> p:
                    m >>= 1
                    e += 1
    else:
        m <<= -shift
    if e >= top:
        if rc == NEAREST or rc == (DOWN if negative else UP):
            return sign | top << fraction, OE | PE | C1
        return sign | (top << fraction) - 1, OE | PE
    return sign | e << fraction | m & (1 << fraction) - 1, flags


def to32(x: int, fcw: int) -> tuple[int, int]:
    """A binary32. With OE or UE unmasked and raised there is no result."""
    return _narrow(x, 23, 127, 32, fcw)


def to64(x: int, fcw: int) -> tuple[int, int]:
    return _narrow(x, 52, 1023, 64, fcw)


def _integer(x, rc):
    """A finite number rounded to an integer's magnitude, and flags PE, C1."""
    m, shift = x & SIGNIFICAND, UNIT - exponent(x)
    if shift <= 0:
        return m << -shift, 0
    low = m & (1 << shift) - 1
    m >>= shift
    if not low:
        return m, 0
    if rounds_up(rc, x >> 79, m, low, shift):
        return m + 1, PE | C1
    return m, PE


def to_int(x: int, bits: int, rc: int) -> tuple[int, int]:
    """A signed integer modulo 2**bits, rounded; what does not fit is invalid and gives the integer indefinite."""
    if kind(x) < INFINITE and exponent(x) < BIAS + 70:
        n, flags = _integer(x, rc)
        if n < 1 << bits - 1 or x >> 79 and n == 1 << bits - 1:
            return (-n if x >> 79 else n) & (1 << bits) - 1, flags
    return 1 << bits - 1, IE


BCD_INDEFINITE = 0xFFFFC << 60


def to_bcd(x: int, rc: int) -> tuple[int, int]:
    """80 bits: eighteen decimal digits and a sign."""
    if kind(x) < INFINITE and exponent(x) < BIAS + 70:
        n, flags = _integer(x, rc)
        if n < 10 ** 18:
            return x >> 79 << 79 | int(str(n), 16), flags
    return BCD_INDEFINITE, IE


def from_bcd(x: int) -> int:
    """Digits above 9 count as what they are."""
    n = 0
    for shift in range(68, -4, -4):
        n = n * 10 + (x >> shift & 15)
    return x >> 79 << 79 | from_int(n)


# ---------------------------------------------------------------------------------------------- the rest that is exact


def _unary(a, fcw):
    """(result, flags) where the operand alone decides: NaNs and an unmasked DE. Else None."""
    k = kind(a)
    if k >= QUIET:
        return nan(a, 0, k, ZERO)
    if k == DENORMAL and not fcw & DE:
        return 0, DE
    return None


def round_to_int(a: int, fcw: int) -> tuple[int, int]:
    if done := _unary(a, fcw):
        return done
    k = kind(a)
    de = DE if k == DENORMAL else 0
    if k in (ZERO, INFINITE) or exponent(a) >= UNIT:
        return a, de
    n, flags = _integer(a, fcw >> 10 & 3)
    return a >> 79 << 79 | from_int(n), flags | de


def scale(a: int, b: int, fcw: int) -> tuple[int, int]:
    """a * 2**trunc(b)."""
    ka, kb = kind(a), kind(b)
    if ka >= QUIET or kb >= QUIET:
        return nan(a, b, ka, kb)
    if kb == INFINITE and (ka == ZERO and not b >> 79 or ka == INFINITE and b >> 79):
        return INDEFINITE, IE
    de = DE if DENORMAL in (ka, kb) else 0
    if de and not fcw & DE:
        return 0, DE
    if kb == INFINITE:
        return a & SIGN | (0 if b >> 79 else INFINITY), de
    if ka in (ZERO, INFINITE):
        return a, de
    n = _integer(b, CHOP)[0] if exponent(b) < BIAS + 17 else 1 << 17
    return pack(a >> 79, a & SIGNIFICAND, exponent(a) + (-n if b >> 79 else n), fcw | FULL, de)


def extract(a: int, fcw: int) -> tuple[int, int, int]:
    """(exponent, significand, flags) of FXTRACT."""
    k = kind(a)
    if k >= QUIET:
        a, flags = nan(a, 0, k, ZERO)
        return a, a, flags
    if k == ZERO:
        return SIGN | INFINITY, a, ZE
    if k == INFINITE:
        return INFINITY, a, 0
    m = a & SIGNIFICAND
    n = m.bit_length()
    return from_int(exponent(a) + n - 64 - BIAS), a & SIGN | BIAS << 64 | m << 64 - n, DE if k == DENORMAL else 0


def remainder(a: int, b: int, nearest: bool, fcw: int) -> tuple[int, int]:
    """FPREM, or FPREM1 with `nearest`: the flags have C0 C3 C1 (the quotient's low bits) and C2 (not done yet)."""
    ka, kb = kind(a), kind(b)
    if ka >= QUIET or kb >= QUIET:
        return nan(a, b, ka, kb)
    if ka == INFINITE or kb == ZERO:
        return INDEFINITE, IE
    de = DE if DENORMAL in (ka, kb) else 0
    if de and not fcw & DE:
        return 0, DE
    if ka == ZERO:
        return a, de
    if kb == INFINITE:
        return pack(a >> 79, a & SIGNIFICAND, exponent(a), fcw | FULL, de)
    sign, ma, mb, ea, eb = a >> 79, a & SIGNIFICAND, b & SIGNIFICAND, exponent(a), exponent(b)
    shift = 64 - ma.bit_length()
    ma, ea = ma << shift, ea - shift
    shift = 64 - mb.bit_length()
    mb, eb = mb << shift, eb - shift
    d = ea - eb
    if d >= 64:                                        # subtract b * 2**k times a quotient of fewer than 64 bits
        n = d % 32 | 32
        r = (ma << n) % mb
        return pack(sign, r, ea - n, fcw | FULL, de | C2) if r else (sign << 79, de | C2)
    if d < -1 or d < 0 and not nearest:
        return pack(sign, ma, ea, fcw | FULL, de)
    e = min(ea, eb)
    q, r = divmod(ma << ea - e, mb << eb - e)
    if nearest and (2 * r > mb << eb - e or 2 * r == mb << eb - e and q & 1):
        q, r, sign = q + 1, (mb << eb - e) - r, sign ^ 1
    bits = (q & 4) // 4 * C0 | (q & 2) // 2 * C3 | (q & 1) * C1
    if not r:
        return a >> 79 << 79, de | bits
    result, flags = pack(sign, r, e, fcw | FULL, de)
    return result, flags | bits
