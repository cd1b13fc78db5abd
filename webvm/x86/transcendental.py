"""The x87's transcendental functions, in fixed point with some hundred bits to spare.

Each answers (result, flags) as float80's operations do; precision control does not matter here (SDM volume 1, 8.3.5).
Results are the true ones, rounded: processors promise them to within one unit in the last place. Angles are reduced as
processors do it, with a pi of 66 bits (8.3.8). Where the manual leaves it open, as AMD's processors: what is computed is
called inexact though it be exact, and out of a function's range its argument is the result.
"""
from functools import cache
from math import isqrt

from .float80 import (BIAS, C1, C2, DE, DENORMAL, FULL, IE, INDEFINITE, INFINITE, INFINITY, ONE, PE, QUIET, SIGN,
                      SIGNIFICAND, UE, UNIT, ZE, ZERO, exponent, kind, nan, pack)

W = 256                                                # bits after the point
UNITY = 1 << W
SMALL = -70                                            # below 2**SMALL the first term of a series says it all
PI_66 = 0xC90FDAA22168C234C                            # * 2**-66
SPARE = 140                                            # bits that a lost rest is put below


# ---------------------------------------------------------------------------------------------- series, W bits after the point


def _odd_series(t: int, alternating: bool) -> int:
    """atanh t, or atan t: the sum of t**n / n, with signs in turn, over odd n."""
    square = t * t >> W
    if alternating:
        square = -square
    total, power, n = 0, t, 1
    while power not in (0, -1):
        total += power // n
        power = power * square >> W
        n += 2
    return total


@cache
def ln2() -> int: return 2 * _odd_series(UNITY // 3, False)


@cache
def pi() -> int: return 16 * _odd_series(UNITY // 5, True) - 4 * _odd_series(UNITY // 239, True)


def _sine(r: int) -> int:
    square, term, total, n = r * r >> W, r, r, 1
    while term not in (0, -1):
        term = -(term * square >> W) // ((n + 1) * (n + 2))
        total += term
        n += 2
    return total


def _cosine(r: int) -> int:
    square, term, total, n = r * r >> W, UNITY, UNITY, 0
    while term not in (0, -1):
        term = -(term * square >> W) // ((n + 1) * (n + 2))
        total += term
        n += 2
    return total


def _shift(m: int, by: int) -> int:
    return m << by if by >= 0 else m >> -by


def _inexact(sign: int, m: int, e: int, fcw: int, flags: int) -> tuple[int, int]:
    """m * 2**e, known to be neither this nor any other number of 80 bits, rounded."""
    return pack(sign, m << 1 | 1, e - 1 + UNIT, fcw | FULL, flags)


def _fixed(value: int, fcw: int, flags: int) -> tuple[int, int]:
    """An inexact fixed-point number rounded."""
    return _inexact(int(value < 0), abs(value), -W, fcw, flags)


def _magnitude(x: int) -> tuple[int, int, int]:
    """(m, e, log) of a finite number other than 0: |x| = m * 2**e, and 2**log <= |x| < 2**(log + 1)."""
    m, e = x & SIGNIFICAND, exponent(x) - UNIT
    return m, e, e + m.bit_length() - 1


def _with_sign(sign: int, x: int) -> int: return sign << 79 | x


# ---------------------------------------------------------------------------------------------- powers and logarithms


def _called_inexact(x: int, flags: int) -> tuple[int, int]:
    return x, flags | PE | (UE if kind(x) == DENORMAL else 0)


def power2_less1(x: int, fcw: int) -> tuple[int, int]:
    """2**x - 1, for x from -1 to 1; beyond, x itself."""
    k, sign = kind(x), x >> 79
    if k >= QUIET:
        return nan(x, 0, k, ZERO)
    if k == ZERO:
        return x, 0
    if k == INFINITE:
        return (SIGN | ONE if sign else x), 0
    de = DE if k == DENORMAL else 0
    if de and not fcw & DE:
        return 0, DE
    m, e, log = _magnitude(x)
    if log >= 0:
        return (SIGN | ONE - (1 << 64) if x == SIGN | ONE else x), PE | (C1 if x == ONE else 0)
    if log < SMALL:
        return _inexact(sign, m * ln2(), e - W, fcw, de)
    y = _shift(m * ln2(), e)
    y = -y if sign else y
    total, term, n = 0, y, 1
    while term not in (0, -1):
        total += term
        n += 1
        term = (term * y >> W) // n
    return _fixed(total, fcw, de)


def _log2(m: int, e: int) -> int:
    """log2 of m * 2**e."""
    whole = e + m.bit_length() - 1
    one = 1 << m.bit_length() - 1
    if m * m > 2 * one * one:
        whole, one = whole + 1, 2 * one
    return (whole << W) + (2 * _odd_series((m - one << W) // (m + one), False) << W) // ln2()


def _times(y: int, sign: int, m: int, e: int, exact: bool, fcw: int, de: int) -> tuple[int, int]:
    """y times the number with that sign, m and e."""
    my, ey, _ = _magnitude(y)
    sign ^= y >> 79
    if exact:
        return _called_inexact(*pack(sign, my * m, ey + e + UNIT, fcw | FULL, de))
    return _inexact(sign, my * m, ey + e, fcw, de)


def _product_with_infinite(ky: int, negative: int) -> tuple[int, int]:
    """y times an infinite logarithm."""
    return (INDEFINITE, IE) if ky == ZERO else (_with_sign(negative, INFINITY), 0)


def y_log2(x: int, y: int, fcw: int) -> tuple[int, int]:
    """y * log2(x)."""
    kx, ky = kind(x), kind(y)
    if kx >= QUIET or ky >= QUIET:
        return nan(x, y, kx, ky)
    sign = y >> 79
    if kx == ZERO:
        result, flags = _product_with_infinite(ky, sign ^ 1)
        return result, flags or (0 if ky == INFINITE else ZE)
    if x >> 79:
        return INDEFINITE, IE
    if ky == INFINITE and x == ONE:
        return INDEFINITE, IE
    if kx == INFINITE and ky == ZERO:
        return INDEFINITE, IE
    de = DE if DENORMAL in (kx, ky) else 0
    if de and not fcw & DE:
        return 0, DE
    if kx == INFINITE:
        return _with_sign(sign, INFINITY), de
    below = x < ONE
    if ky == INFINITE:
        return _with_sign(sign ^ below, INFINITY), de
    if ky == ZERO or x == ONE:
        return _with_sign(sign ^ below, 0), de
    m, e, log = _magnitude(x)
    if m & m - 1 == 0:
        return _times(y, int(log < 0), abs(log), 0, True, fcw, de)
    value = _log2(m, e)
    return _times(y, int(below), abs(value), -W, False, fcw, de)


def y_log2_plus1(x: int, y: int, fcw: int) -> tuple[int, int]:
    """y * log2(x + 1)."""
    kx, ky = kind(x), kind(y)
    if kx >= QUIET or ky >= QUIET:
        return nan(x, y, kx, ky)
    sign, minus = x >> 79 ^ y >> 79, x >> 79
    if kx == INFINITE and minus or INFINITE in (kx, ky) and ZERO in (kx, ky):
        return INDEFINITE, IE
    de = DE if DENORMAL in (kx, ky) else 0
    if de and not fcw & DE:
        return 0, DE
    if INFINITE in (kx, ky):
        return _with_sign(sign, INFINITY), de
    if ZERO in (kx, ky):
        return _with_sign(sign, 0), de
    m, e, log = _magnitude(x)
    if log < SMALL:
        return _times(y, minus, m * (UNITY * UNITY // ln2()), e - W, False, fcw, de)
    if log < -1:
        m = -m if minus else m
        s = (m << W) // ((2 << -e) + m)
        value = (2 * _odd_series(s, False) << W) // ln2()
        return _times(y, minus, abs(value), -W, False, fcw, de)
    if minus and log >= 0:                             # out of the range that the manual defines
        return x, de | PE
    low = min(e, 0)
    m = (1 << -low) + (-m if minus else m << e - low)
    if m & m - 1 == 0:
        value = low + m.bit_length() - 1
        return _times(y, int(value < 0), abs(value), 0, True, fcw, de)
    return _times(y, minus, abs(_log2(m, low)), -W, False, fcw, de)


# ---------------------------------------------------------------------------------------------- angles


def arctangent(x: int, y: int, fcw: int) -> tuple[int, int]:
    """The angle of the point (x, y), from -pi to pi."""
    kx, ky = kind(x), kind(y)
    if kx >= QUIET or ky >= QUIET:
        return nan(x, y, kx, ky)
    sign, left = y >> 79, x >> 79
    de = DE if DENORMAL in (kx, ky) else 0
    if de and not fcw & DE:
        return 0, DE
    if INFINITE in (kx, ky) or ZERO in (kx, ky):
        # In quarters of pi.
        if ky == INFINITE:
            quarters = (3 if left else 1) if kx == INFINITE else 2
        elif kx == INFINITE or ky == ZERO:
            quarters = 4 if left else 0
        else:
            quarters = 2
        return _inexact(sign, pi() * quarters, -W - 2, fcw, de) if quarters else (_with_sign(sign, 0), de)
    mx, ex, logx = _magnitude(x)
    my, ey, logy = _magnitude(y)
    if not left and logy - logx < SMALL:
        ratio = (my << 2 * SPARE) // mx - 1            # less than this, and very nearly it
        return _inexact(sign, ratio, ey - ex - 2 * SPARE, fcw, de)
    steep = logy > logx or logy == logx and my << 64 - my.bit_length() > mx << 64 - mx.bit_length()
    if steep:
        mx, ex, my, ey = my, ey, mx, ex
    t = _shift(my, W + ey - ex) // mx if ey - ex > -W else 0
    for _ in range(3):                                 # half the angle, for the series to be short
        t = (t << W) // (UNITY + isqrt(UNITY * UNITY + t * t))
    angle = _odd_series(t, True) << 3
    if steep:
        angle = (pi() >> 1) - angle
    if left:
        angle = pi() - angle
    return _inexact(sign, angle, -W, fcw, de)


def _reduced(x: int) -> tuple[int, int, int]:
    """(n, r, K): |x| less n right angles is r * 2**-K, at most half of one."""
    m, e, log = _magnitude(x)
    if log < SMALL:
        return 0, m, -e
    k = max(67, -e)
    angle, right = m << k + e, PI_66 << k - 67
    n = (2 * angle + right) // (2 * right)
    return n, angle - n * right, k


def _trigonometric(x, fcw, of_zero, compute):
    """compute(n, r, k, sign) -> (sign, m, e) for each function of finite angles; of_zero: what they are for 0."""
    k, count = kind(x), len(of_zero)
    if k >= QUIET:
        result, flags = nan(x, 0, k, ZERO)
        return *[result] * count, flags
    if k == INFINITE:
        return *[INDEFINITE] * count, IE
    if k == ZERO:
        return *of_zero, 0
    de = DE if k == DENORMAL else 0
    if de and not fcw & DE:
        return *[0] * count, DE
    if exponent(x) >= BIAS + 63:
        return *[x] * count, C2
    results = [_inexact(*part, fcw, de) for part in compute(*_reduced(x), x >> 79)]
    return *(result for result, _ in results), _together(results)


def _together(results):
    """The flags of several results; C1 is the first one's."""
    exceptions = 0
    for _, flags in results:
        exceptions |= flags & 0xFF
    return exceptions | results[0][1] & ~0xFF


def _sine_part(r, k):
    """sin of r * 2**-k as (negative, m, e)."""
    if r.bit_length() - k <= SMALL:
        return int(r < 0), (abs(r) << SPARE) - 1, -k - SPARE
    value = _sine(_shift(r, W - k))
    return int(value < 0), abs(value), -W


def _cosine_part(r, k):
    if r.bit_length() - k <= SMALL:
        return 0, (1 << SPARE) - 1, -SPARE
    return 0, _cosine(_shift(r, W - k)), -W


def _sine_at(n, r, k, minus):
    sign, m, e = (_cosine_part if n & 1 else _sine_part)(r, k)
    return sign ^ minus ^ n >> 1 & 1, m, e


def _cosine_at(n, r, k, minus): return _sine_at(n + 1, r, k, 0)


def _tangent_at(n, r, k, minus):
    if not n & 1 and r.bit_length() - k <= SMALL:
        return int(r < 0) ^ minus, (abs(r) << SPARE) + 1, -k - SPARE
    sign, top, e = _sine_part(r, k)
    _, bottom, f = _cosine_part(r, k)
    if n & 1:
        top, e, bottom, f, sign = bottom, f, top, e, sign ^ 1
    shift = max(0, 2 * SPARE + bottom.bit_length() - top.bit_length())
    return sign ^ minus, (top << shift) // bottom, e - f - shift


def sine(x: int, fcw: int) -> tuple[int, int]:
    """C2 among the flags: the angle is 2**63 or more, and stays as it is."""
    return _trigonometric(x, fcw, (x,), lambda *a: (_sine_at(*a),))


def cosine(x: int, fcw: int) -> tuple[int, int]:
    return _trigonometric(x, fcw, (ONE,), lambda *a: (_cosine_at(*a),))


def sine_cosine(x: int, fcw: int) -> tuple[int, int, int]:
    return _trigonometric(x, fcw, (x, ONE), lambda *a: (_sine_at(*a), _cosine_at(*a)))


def tangent(x: int, fcw: int) -> tuple[int, int]:
    return _trigonometric(x, fcw, (x,), lambda *a: (_tangent_at(*a),))
