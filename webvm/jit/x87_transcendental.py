"""The x87's transcendental functions for generated code, in fixed point of 128 bits: what the oracle answers, bit by bit.

Here a *long* number is 128 bits, an upper and a lower i64; as a fraction it is worth these / 2**128. A *floating* one is a
long one whose bit 127 is set, and an exponent e: it is worth the bits * 2**(e - 127). Series are sums of a fraction's powers
(Horner), coefficients and sums in units of 2**-127. Results are good to some hundred bits, of which 64 are kept: the lowest
bit of what is cut off is set, for none of them is exact.

Knows the methods by which functions are computed. What is common to all x87 instructions is x87.py's.
"""
from fractions import Fraction
from math import factorial

from ..wasm.encoding import OP
from ..x86.float80 import C1, C2, DE, IE, PE, UE, ZE
from ..x86.transcendental import PI_66, W, _odd_series, ln2, pi
from . import layout as at
from .assembler import X, c32, c64, invoke
from .x87 import (BIAS, INDEFINITE, MOST, ONE, SIGN, also, bring_below, cell, clz, denormal, exponent, full, of_spread, plain, shift_up,
                  signed, spread_out)

_MASK = (1 << 64) - 1
_SQRT_2 = 0xB504F333F9DE6484                       # * 2**-63


def _long(n: int) -> tuple[X, X]: return c64(n >> 64), c64(n & _MASK)
def _fixed(value: int, bits: int) -> int:
    """A constant that has W bits after the point, with `bits`."""
    return value >> W - bits if bits <= W else value << bits - W


_LN2 = _fixed(ln2(), 128)
_TWO_BY_LN2 = (1 << W + 127) // ln2()              # 2 / ln 2 in units of 2**-126
_PI = _fixed(pi(), 126)                            # in units of 2**-126: bit 127 is set
_ANGLE = 125                                       # bits after the point of angles
_QUARTERS = 4                                      # tangents in these are what arctangents are taken from
_ARCTANGENTS = [_fixed(_odd_series((k << W) // _QUARTERS, True), _ANGLE) if k < _QUARTERS else _fixed(pi(), _ANGLE) >> 2
                for k in range(_QUARTERS + 1)]
_RIGHT = PI_66 >> 2                                # a right angle in units of 2**-65


def _coefficients(term, n: int) -> list[int]: return [int(Fraction(1 << 127) * term(k)) for k in range(n)]


_LOGARITHM = _coefficients(lambda k: Fraction(1, 2 * k + 1), 25)                       # atanh x / x by x**2
_ARCTANGENT = _coefficients(lambda k: Fraction(1, 2 * k + 1), 22)                      # atan x / x, with signs in turn
_POWER = _coefficients(lambda k: Fraction(1, factorial(k + 1)), 31)                    # (e**x - 1) / x
_SINE = _coefficients(lambda k: Fraction(1, factorial(2 * k + 1)), 17)                 # sin x / x by x**2, with signs in turn
_COSINE = _coefficients(lambda k: Fraction(1, factorial(2 * k)), 18)


# ---------------------------------------------------------------------------------------------- long numbers, in locals


def _add(f, a, b):
    """a += b."""
    f.set(a[1], a[1] + b[1])
    f.set(a[0], a[0] + b[0] + (a[1] < b[1]).wide())


def _subtract(f, a, b):
    """a -= b."""
    f.set(a[0], a[0] - b[0] - (a[1] < b[1]).wide())
    f.set(a[1], a[1] - b[1])


def _negate(f, a):
    f.set(a[1], c64(0) - a[1])
    f.set(a[0], c64(0) - a[0] - (a[1] != 0).wide())


def _copy(f, a): return f.local("i64", a[0]), f.local("i64", a[1])


def _shift_down(f, a, by: X):
    """a >>= by, which may be any number that is not negative."""
    n = f.local(value=by)
    with f.if_(n >= 64):
        f.set(a[1], (n < 128).pick(a[0], c64(0)))
        f.set(a[0], 0)
        f.set(n, (n < 128).pick(n - 64, c32(0)))
    with f.if_(n):
        f.set(a[1], (a[1] >> n.wide()) | (a[0] << (c32(64) - n).wide()))
        f.set(a[0], a[0] >> n.wide())


def _normalise(f, a, e):
    """Has bit 127 of a set, which is not 0."""
    with f.if_(a[0].is_zero()):
        f.set(a[0], a[1])
        f.set(a[1], 0)
        f.set(e, e - 64)
    n = f.local("i64", clz(a[0]))
    shift_up(f, a[0], a[1], n)
    f.set(e, e - n.low())


class Transcendental:
    """The functions by name, and what they share. `kit`: those of x87.py."""

    def __init__(self, kit):
        self.kit = kit
        self.product = self._product()
        self.quotient = self._quotient()
        self.logarithm_series = self._series("logarithm", _LOGARITHM, False)
        self.arctangent_series = self._series("arctangent", _ARCTANGENT, True)
        self.power_series = self._series("power", _POWER, False)
        self.power_series_negative = self._series("power of a negative number", _POWER, True)
        self.sine_series = self._series("sine", _SINE, True)
        self.cosine_series = self._series("cosine", _COSINE, True)
        self.logarithm = self._logarithm()

    # ---- long numbers: functions answer the upper half, the lower is in a cell

    def _long_function(self, name, params="i64 i64 i64 i64"): return self.kit.function(name, params, "i64")

    @staticmethod
    def _end(f, a):
        f.store("i64.store", 0, a[1], at.X87_LOWER)
        f.ret(a[0])
        f.done()
        return f.index

    def _call(self, f, index, *values) -> tuple[X, X]:
        upper = f.local("i64", invoke(index, *(x for value in values for x in value), type="i64"))
        return upper, f.local("i64", cell("i64.load", at.X87_LOWER))

    def _mulhi(self, a, b) -> X: return invoke(self.kit.mulhi, a, b, type="i64")

    def _product(self) -> int:
        """Of two fractions."""
        f = self._long_function("product")
        a, b, c, d = f.params
        answer = f.local("i64", self._mulhi(a, c)), f.local("i64", a * c)
        for x, y in ((a, d), (b, c)):
            _add(f, answer, (c64(0), f.local("i64", self._mulhi(x, y))))
        return self._end(f, answer)

    def _quotient(self) -> int:
        """Half of that of two numbers whose bit 127 is set, as a fraction."""
        f = self._long_function("quotient")
        n, low, d, rest = f.params
        shift = (n >> 1), (n << 63) | (low >> 1)
        numerator = f.local("i64", shift[0]), f.local("i64", shift[1])
        q = f.local("i64", invoke(self.kit.divide, *numerator, d, type="i64"))
        left = f.local("i64", numerator[1] - q * d)
        answer = f.local("i64", q), f.local("i64", invoke(self.kit.divide, left, c64(0), d, type="i64"))
        # The divisor is a little more than its upper half.
        over, more = f.local("i64", self._mulhi(q, rest)), f.local("i64", 0)
        with f.if_(over >= d):
            f.set(over, over - d)
            f.set(more, 1)
        _subtract(f, answer, (more, f.local("i64", invoke(self.kit.divide, over, q * rest, d, type="i64"))))
        return self._end(f, answer)

    def _series(self, name, coefficients, alternating) -> int:
        """Of a fraction. With signs in turn, the sum is rounded down, so that it is never 1."""
        f = self._long_function(f"{name} series", "i64 i64")
        total = tuple(f.local("i64", x) for x in _long(coefficients[-1]))
        first = (1 << 127) - alternating
        for c in (*coefficients[-2:0:-1], first):
            step = self._call(f, self.product, total, f.params)
            with_c = tuple(f.local("i64", x) for x in _long(c)) if alternating else step
            if alternating:
                _subtract(f, with_c, step)
            else:
                _add(f, with_c, tuple(f.local("i64", x) for x in _long(c)))
            total = with_c
        return self._end(f, total)

    def _square(self, f, a, e) -> tuple[X, X]:
        """Of a floating number below 1, as a fraction."""
        square = self._call(f, self.product, a, a)
        _shift_down(f, square, c32(0) - ((e + 1) << 1))
        return square

    def _round(self, f, sign, e, a, sticky: X | int = 1) -> X:
        """A floating number to 64 bits."""
        return self.kit.rounded(sign, e + BIAS, a[0], a[1] | sticky, full())

    # ---- what instructions have in common

    def _two(self, f):
        """(registers and numbers of ST(0) and ST(1)); does what there is to do for NaNs, with a pop."""
        r, s = f.st(0), f.st(1)
        f.need(r, s)
        x, y = f.load(r), f.load(s)
        with f.if_((plain(*x) & plain(*y)).is_zero()):
            with f.if_(invoke(self.kit.propagate, *x, *y)):
                f.settle(c32(0), s, pop=1)
        return s, x, y

    @staticmethod
    def _exactly(f, r, m, high, flags: X | int = 0, pop=1):
        """Ends with such a number in register r."""
        if not isinstance(flags, int) or flags:
            flags = flags if isinstance(flags, X) else c32(flags)
            f.need_masked(flags)
        f.put(r, m, high)
        f.pop(c32(pop))
        f.finish(flags)

    def _indefinite(self, f, r, pop=1): self._exactly(f, r, c64(INDEFINITE[0]), c32(INDEFINITE[1]), IE, pop)

    # ---- powers and logarithms

    def f2xm1(self, f):
        r, m, high = self.kit.unary(f)
        e, sign = f.local(value=exponent(high)), f.local(value=high & SIGN)
        with f.if_(e >= BIAS):
            with f.if_(e == MOST):
                with f.if_(sign):
                    f.put(r, c64(ONE), c32(SIGN | BIAS))
                f.finish()
            f.need_masked(c32(PE))
            with f.if_(m == ONE):
                with f.if_(high == BIAS):
                    f.finish(PE | C1)
                with f.if_(high == SIGN | BIAS):
                    f.put(r, m, c32(SIGN | BIAS - 1))
            f.finish(PE)
        with f.if_(m.is_zero()):
            f.finish()
        flags = f.local(value=denormal(m, high) * DE)
        m, s = spread_out(f, m, high)
        f.set(e, of_spread(s) - BIAS)
        y = self._call(f, self.product, (m, c64(0)), _long(_LN2))
        fraction = _copy(f, y)
        _shift_down(f, fraction, c32(0) - e - 1)
        total = f.local("i64"), f.local("i64")
        for negative in (True, False):
            with (f.if_(sign) if negative else f.else_()):
                found = self._call(f, self.power_series_negative if negative else self.power_series, fraction)
                f.set(total[0], found[0])
                f.set(total[1], found[1])
        answer = self._call(f, self.product, y, total)
        f.set(e, e + 1)
        _normalise(f, answer, e)
        failed = f.local(value=self._round(f, sign, e, answer))
        also(f, flags)
        f.settle(failed, r)

    def _logarithm(self) -> int:
        """(s floating, its exponent and sign; an integer; y's significand and spread rest): y times the sum of the integer and
        the logarithm to base 2 of (1 + s) / (1 - s). s may be 0, where the integer is not."""
        f = self.kit.function("logarithm", "i64 i64 i32 i32 i32 i64 i32")
        upper, lower, e, sign, whole, y, other = f.params
        s, exact = (upper, lower), f.local(value=upper.is_zero())
        answer = f.local("i64", 0), f.local("i64", 0)
        with f.if_(exact.is_zero()):
            total = self._call(f, self.logarithm_series, self._square(f, s, e))
            found = self._call(f, self.product, self._call(f, self.product, s, total), _long(_TWO_BY_LN2))
            f.set(answer[0], found[0])
            f.set(answer[1], found[1])
            f.set(e, e + 3)
        with f.if_(whole):
            _shift_down(f, answer, exact.pick(c32(0), c32(15) - e))            # 112 bits after the point
            negative = f.local(value=(whole >> 16) & SIGN)
            with f.if_(negative):
                f.set(whole, c32(0) - whole)
            with f.if_(sign != negative):
                _negate(f, answer)
            f.set(sign, negative)
            f.set(answer[0], answer[0] + (whole.wide() << 48))
            f.set(e, 15)
        _normalise(f, answer, e)
        times = f.local("i64", self._mulhi(y, answer[0])), f.local("i64", y * answer[0])
        _add(f, times, (c64(0), f.local("i64", self._mulhi(y, answer[1]))))
        f.set(e, e + of_spread(other) + (1 - BIAS))
        _normalise(f, times, e)
        with f.if_(self._round(f, (other ^ sign) & SIGN, e, times, exact.is_zero().wide())):
            f.ret(1)
        with f.if_(exact):                                     # is called inexact
            also(f, exponent(cell("i32.load", at.X87_HIGH)).is_zero().pick(c32(PE | UE), c32(PE)))
        f.ret(0)
        f.done()
        return f.index

    def fyl2x(self, f):
        to, (m, high), (y, other) = self._two(f)
        sign = f.local(value=other & SIGN)
        infinite, of_infinity = (f.local(value=exponent(x) == MOST) for x in (other, high))
        with f.if_(m.is_zero()):
            with f.if_(y.is_zero()):
                self._indefinite(f, to)
            self._exactly(f, to, c64(ONE), (sign ^ SIGN) | MOST, f.local(value=infinite.pick(c32(0), c32(ZE))))
        one = f.local(value=(m == ONE) & (high == BIAS))
        with f.if_((high & SIGN) | (infinite & one) | (of_infinity & y.is_zero())):
            self._indefinite(f, to)
        flags = f.local(value=(denormal(m, high) | denormal(y, other)) * DE)
        below = f.local(value=(exponent(high) < BIAS) * SIGN)
        with f.if_(of_infinity):
            self._exactly(f, to, c64(ONE), sign | MOST, flags)
        with f.if_(infinite):
            self._exactly(f, to, c64(ONE), (sign ^ below) | MOST, flags)
        with f.if_(y.is_zero() | one):
            self._exactly(f, to, c64(0), sign ^ below, flags)
        (m, s), (y, other) = spread_out(f, m, high), spread_out(f, y, other)
        # m / 2**63, or that by 2, is (1 + s) / (1 - s).
        whole, e = f.local(value=of_spread(s) - BIAS), f.local(value=0)
        upper = f.local(value=m > _SQRT_2)
        f.set(whole, whole + upper)
        n = f.local("i64", upper.pick(c64(0) - m, m - ONE)), f.local("i64", 0)
        with f.if_(n[0] != 0):
            _normalise(f, n, e)
            d = f.local("i64", (m >> 1) + upper.pick(c64(ONE), c64(ONE >> 1))), f.local("i64", m << 63)
            found = self._call(f, self.quotient, n, d)
            f.set(e, e - 1)
            _normalise(f, found, e)
            f.set(n[0], found[0])
            f.set(n[1], found[1])
        failed = f.local(value=invoke(self.logarithm, *n, e, upper * SIGN, whole, y, other))
        also(f, flags)
        f.settle(failed, to, pop=1)

    def fyl2xp1(self, f):
        """The oracle does what is far beyond the range that the manual defines."""
        to, (m, high), (y, other) = self._two(f)
        sign = f.local(value=(high ^ other) & SIGN)
        infinite, of_infinity = (f.local(value=exponent(x) == MOST) for x in (other, high))
        nothing = f.local(value=m.is_zero() | y.is_zero())
        with f.if_((of_infinity & (high >> 15)) | ((infinite | of_infinity) & nothing)):
            self._indefinite(f, to)
        flags = f.local(value=(denormal(m, high) | denormal(y, other)) * DE)
        with f.if_(infinite | of_infinity):
            self._exactly(f, to, c64(ONE), sign | MOST, flags)
        with f.if_(nothing):
            self._exactly(f, to, c64(0), sign, flags)
        f.slow_if(exponent(high) >= BIAS - 1)
        (m, s), (y, other) = spread_out(f, m, high), spread_out(f, y, other)
        e = f.local(value=of_spread(s) - BIAS)
        x = f.local("i64", m), f.local("i64", 0)               # in units of 2**-126
        _shift_down(f, x, c32(1) - e)
        with f.if_(s & SIGN):
            _negate(f, x)
        f.set(x[0], x[0] + ONE)
        f.set(e, e - 1)
        with f.if_(x[0] < ONE):
            shift_up(f, *x, c64(1))
            f.set(e, e + 1)
        found = self._call(f, self.quotient, (m, c64(0)), x)
        _normalise(f, found, e)
        f.slow_if(signed(e, "gt", -3) | ((e == -3) & (found[0] > 0xB0 << 56)))
        failed = f.local(value=invoke(self.logarithm, *found, e, s & SIGN, c32(0), y, other))
        also(f, flags)
        f.settle(failed, to, pop=1)

    # ---- angles

    def fpatan(self, f):
        to, (x, high), (y, other) = self._two(f)
        sign, left = f.local(value=other & SIGN), f.local(value=(high >> 15) & 1)
        flags = f.local(value=(denormal(x, high) | denormal(y, other)) * DE)
        f.need_masked(flags)
        infinite, of_infinity = (f.local(value=exponent(z) == MOST) for z in (other, high))
        angle, e, quarters = (f.local("i64", 0), f.local("i64", 0)), f.local(value=1), f.local(value=2)
        with f.block() as computed:
            with f.if_(infinite | of_infinity | x.is_zero() | y.is_zero()):
                with f.if_(infinite):
                    with f.if_(of_infinity):
                        f.set(quarters, left.pick(c32(3), c32(1)))
                with f.else_():
                    with f.if_(of_infinity | y.is_zero()):
                        with f.if_(left.is_zero()):
                            self._exactly(f, to, c64(0), sign, flags)
                        f.set(quarters, 4)
                for part, number in zip(angle, _long(_PI)):
                    f.set(part, number)
                with f.if_(quarters == 3):
                    for part, number in zip(angle, _long(_fixed(3 * pi(), 124))):
                        f.set(part, number)
                f.set(e, (quarters == 1).pick(c32(-1), (quarters > 2).pick(c32(1), c32(0))))
                f.br(computed)
            (x, s), (y, t) = spread_out(f, x, high), spread_out(f, y, other)
            f.set(e, of_spread(t) - of_spread(s))
            steep = f.local(value=signed(e, "gt", 0) | ((e == 0) & (y > x)))
            swapped = f.local("i64", x)
            with f.if_(steep):
                f.set(x, y)
                f.set(y, swapped)
                f.set(e, c32(0) - e)
            with f.if_((steep | left).is_zero() & signed(e, "lt", -57)):
                # So little less than the tangent t that it matters only where t is nearly half way between two numbers, and
                # then to the last bit: three digits of t, less t**3 / 3.
                rest = f.local("i64", 0)
                bring_below(f, y, rest, x, e)
                digits = []
                for _ in range(3):
                    digits.append(f.local("i64", invoke(self.kit.divide, y, rest, x, type="i64")))
                    f.set(y, rest - digits[-1] * x)
                    f.set(rest, 0)
                cube = f.local("i64", self._mulhi(f.local("i64", self._mulhi(digits[0], digits[0])), digits[0]))
                f.set(cube, X("i64", cube.raw + c64(3).raw + OP["i64.div_u"]))
                shift, less = f.local(value=(e << 1) + 130), (f.local("i64", 0), f.local("i64", cube))
                with f.if_(signed(shift, "ge", 0)):
                    f.set(less[0], (shift != 0).pick(cube >> (c32(64) - shift).wide(), c64(0)))
                    f.set(less[1], cube << shift.wide())
                with f.else_():
                    _shift_down(f, less, c32(0) - shift)
                f.set(less[1], less[1] | 1)
                f.set(less[0], less[0] + (digits[2] < less[1]).wide())
                f.set(angle[0], digits[0])
                f.set(angle[1], digits[1])
                _subtract(f, angle, (c64(0), less[0]))
                _normalise(f, angle, e)
                f.br(computed)
            # The tangent is y / x * 2**e, at most 1: that of an angle known and of one small enough for the series.
            k, down = f.local(value=0), f.local(value=0)
            n, d = (f.local("i64", y), f.local("i64", 0)), (f.local("i64", x), f.local("i64", 0))
            with f.if_(signed(e, "ge", -3)):
                sixteenths = f.local("i64", (y >> (c32(4) - e).wide()) << 3)
                for odd in range(1, 2 * _QUARTERS, 2):
                    f.set(k, k + (sixteenths >= (x >> 4) * odd))
            with f.if_(k):
                # (4 n - k d) / (4 d + k n)
                _shift_down(f, n, c32(4) - e)
                _shift_down(f, d, c32(4))
                times_n, times_d = ((self._times(f, a, k)) for a in (n, d))
                for a in (n, d):
                    shift_up(f, *a, c64(2))
                _add(f, d, times_n)
                f.set(down, (n[0] < times_d[0]) | ((n[0] == times_d[0]) & (n[1] < times_d[1])))
                _subtract(f, n, times_d)
                with f.if_(down):
                    _negate(f, n)
                f.set(e, 0)
                with f.if_((n[0] | n[1]) != 0):
                    _normalise(f, n, e)
                unit = f.local(value=0)
                _normalise(f, d, unit)
                f.set(e, e - unit)
            with f.if_((n[0] | n[1]) != 0):
                ratio = self._call(f, self.quotient, n, d)
                _normalise(f, ratio, e)
                found = self._call(f, self.product, ratio, self._call(f, self.arctangent_series, self._square(f, ratio, e)))
                f.set(e, e + 1)
                _normalise(f, found, e)
                f.set(angle[0], found[0])
                f.set(angle[1], found[1])
            f.br(computed, (k | left | steep).is_zero())
            _shift_down(f, angle, c32(127 - _ANGLE) - e)
            with f.if_(down):
                _negate(f, angle)
            for number in range(1, _QUARTERS + 1):
                with f.if_(k == number):
                    self._add_constant(f, angle, _ARCTANGENTS[number])
            with f.if_(steep ^ left):
                _negate(f, angle)
            with f.if_(steep):
                self._add_constant(f, angle, _fixed(pi(), _ANGLE) >> 1)
            with f.else_():
                with f.if_(left):
                    self._add_constant(f, angle, _fixed(pi(), _ANGLE))
            f.set(e, 127 - _ANGLE)
            _normalise(f, angle, e)
        failed = f.local(value=self._round(f, sign, e, angle))
        also(f, flags)
        f.settle(failed, to, pop=1)

    @staticmethod
    def _add_constant(f, a, n: int): _add(f, a, tuple(f.local("i64", x) for x in _long(n)))

    def _times(self, f, a, k) -> tuple[X, X]:
        """By a small number; there is room for it."""
        k = f.local("i64", k.wide())
        return f.local("i64", a[0] * k + self._mulhi(a[1], k)), f.local("i64", a[1] * k)

    def _reduced(self, f, m, high):
        """Of an angle below 2**63: (how many right angles, modulo 2**64; the rest, floating, its exponent and sign)."""
        m, s = spread_out(f, m, high)
        e, minus = f.local(value=of_spread(s) - BIAS), f.local(value=0)
        rest, count = (f.local("i64", m), f.local("i64", 0)), f.local("i64", 0)
        with f.if_(signed(e, "ge", -1)):
            upper, lower = (c64(_RIGHT >> 64), c64(_RIGHT & _MASK))
            f.set(rest[1], rest[0])
            f.set(rest[0], 0)
            left = f.local(value=e + 2)

            def reaches(): return (rest[0] > upper) | ((rest[0] == upper) & (rest[1] >= lower))
            with f.loop() as again:
                shift_up(f, *rest, c64(1))
                f.set(count, count << 1)
                with f.if_(reaches()):
                    _subtract(f, rest, (upper, lower))
                    f.set(count, count + 1)
                f.set(left, left - 1)
                f.br(again, left)
            other = f.local("i64", upper), f.local("i64", lower)
            _subtract(f, other, rest)
            with f.if_((rest[0] > other[0]) | ((rest[0] == other[0]) & (rest[1] >= other[1]))):
                f.set(rest[0], other[0])
                f.set(rest[1], other[1])
                f.set(minus, SIGN)
                f.set(count, count + 1)
            f.set(e, 62)
            _normalise(f, rest, e)
        return count, rest, e, minus

    def _sine_of(self, f, rest, e) -> tuple[tuple[X, X], X]:
        answer = self._call(f, self.product, rest, self._call(f, self.sine_series, self._square(f, rest, e)))
        e = f.local(value=e + 1)
        _normalise(f, answer, e)
        return answer, e

    def _cosine_of(self, f, rest, e) -> tuple[tuple[X, X], X]:
        answer, e = self._call(f, self.cosine_series, self._square(f, rest, e)), f.local(value=0)
        _normalise(f, answer, e)
        return answer, e

    def _sine_at(self, f, count, rest, e, minus) -> tuple[tuple[X, X], X, X]:
        """(floating, exponent, sign)."""
        answer, power, sign = (f.local("i64"), f.local("i64")), f.local(), f.local(value=(count.low() & 2) << 14)
        for odd in (True, False):
            with (f.if_(count.low() & 1) if odd else f.else_()):
                found, where = self._cosine_of(f, rest, e) if odd else self._sine_of(f, rest, e)
                for part, value in zip(answer, found):
                    f.set(part, value)
                f.set(power, where)
                if not odd:
                    f.set(sign, sign ^ minus)
        return answer, power, sign

    def _angle(self, f, zero, push=False):
        """(register, significand, the rest, DE or 0) of ST(0), after what there is to do where it is no angle. zero: what is
        the result for 0 (None: itself), and what is pushed then."""
        r = f.st(0)
        f.need(r)
        if push:
            f.slow_if(f.in_use(f.st(7)))
        m, high = f.load(r)

        def finish(flags):
            f.need_masked(flags)
            f.finish(flags, clear=C1 | C2)

        def also_push(m, high):
            if push:
                free = f.st(7)
                f.turn(7)
                f.put(free, m, high)
        with f.if_(plain(m, high).is_zero() | (m.is_zero())):
            with f.if_(invoke(self.kit.propagate, m, high, c64(0), c32(0))):
                flags = f.local(value=cell("i32.load", at.X87_FLAGS))
                f.need_masked(flags)
                f.put(r, *f.answered())
                also_push(*f.answered())
                finish(flags)
            with f.if_(exponent(high) == MOST):
                f.need_masked(c32(IE))
                f.put(r, c64(INDEFINITE[0]), c32(INDEFINITE[1]))
                also_push(c64(INDEFINITE[0]), c32(INDEFINITE[1]))
                finish(c32(IE))
            with f.if_(m.is_zero()):
                if zero is not None:
                    f.put(r, c64(ONE), c32(BIAS))
                also_push(c64(ONE), c32(BIAS))
                finish(c32(0))
        with f.if_(exponent(high) >= BIAS + 63):
            f.finish(C2, clear=C1 | C2)
        return r, m, high, f.local(value=denormal(m, high) * DE)

    def fsin(self, f):
        r, m, high, flags = self._angle(f, None)
        answer, e, sign = self._sine_at(f, *self._reduced(f, m, high))
        failed = f.local(value=self._round(f, sign ^ high & SIGN, e, answer))
        also(f, flags)
        f.settle(failed, r, clear=C1 | C2)

    def fcos(self, f):
        r, m, high, flags = self._angle(f, ONE)
        count, *rest = self._reduced(f, m, high)
        answer, e, sign = self._sine_at(f, f.local("i64", count + 1), *rest)
        failed = f.local(value=self._round(f, sign, e, answer))
        also(f, flags)
        f.settle(failed, r, clear=C1 | C2)

    def fsincos(self, f):
        r, m, high, flags = self._angle(f, None, push=True)
        count, *rest = self._reduced(f, m, high)
        answer, e, sign = self._sine_at(f, count, *rest)
        f.slow_if(self._round(f, sign ^ high & SIGN, e, answer))
        sine, top = (f.local(x.type, x) for x in f.answered())
        f.set(flags, flags | cell("i32.load", at.X87_FLAGS))
        answer, e, sign = self._sine_at(f, f.local("i64", count + 1), *rest)
        f.slow_if(self._round(f, sign, e, answer))
        f.set(flags, flags | (cell("i32.load", at.X87_FLAGS) & ~C1))
        self._pushed(f, flags, r, sine, top, *f.answered())

    @staticmethod
    def _pushed(f, flags, r, m, high, n, other):
        f.need_masked(flags)
        f.put(r, m, high)
        free = f.st(7)
        f.turn(7)
        f.put(free, n, other)
        f.finish(flags, clear=C1 | C2)

    def fptan(self, f):
        r, m, high, flags = self._angle(f, None, push=True)
        count, rest, e, minus = self._reduced(f, m, high)
        sine, first = self._sine_of(f, rest, e)
        cosine, second = self._cosine_of(f, rest, e)
        sign = f.local(value=(high & SIGN) ^ minus)
        with f.if_(count.low() & 1):                           # less the cotangent
            f.set(sign, sign ^ SIGN)
            swapped = f.local("i64")
            for a, b in zip((*sine, first), (*cosine, second)):
                if a.type == "i64":
                    f.set(swapped, a)
                    f.set(a, b)
                    f.set(b, swapped)
            f.set(e, first)
            f.set(first, second)
            f.set(second, e)
        answer = self._call(f, self.quotient, sine, cosine)
        f.set(e, first - second)
        _normalise(f, answer, e)
        # A small angle's tangent is more than it, the cotangent less than its inverse, whatever was lost.
        with f.if_(count.low() & 1):
            _subtract(f, answer, (c64(0), c64(64)))
        with f.else_():
            _add(f, answer, (c64(0), c64(64)))
            with f.if_(answer[0] < ONE):
                f.set(answer[0], ONE)
                f.set(e, e + 1)
        _normalise(f, answer, e)
        f.slow_if(self._round(f, sign, e, answer))
        f.set(flags, flags | cell("i32.load", at.X87_FLAGS))
        self._pushed(f, flags, r, *f.answered(), c64(ONE), c32(BIAS))

