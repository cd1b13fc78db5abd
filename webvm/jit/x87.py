"""What x87 instructions do, as functions of the interpreter that handlers and regions call.

A function (a i64, b i64) -> i32 does an instruction, but for its operands in memory: 0, or 1 with nothing changed where the
oracle is to do it. That is for exceptions that are not masked, and for registers in use or empty that should not be. What a
function answers besides lies in the cells X87_VALUE and X87_HIGH.

Here, a number is a significand (i64) and sign with exponent as a register has them (i32). Inner functions take *spread* ones:
the significand's bit 63 is set unless it is 0, and the i32 has the exponent, which may be below 1, above 16 bits with the
sign. They leave a rounded number in X87_VALUE and X87_HIGH, and its exceptions and C1 in X87_FLAGS.

Knows the x87's registers in the state, and its numbers; what operands an instruction has is for `x86.x87_common`.
"""
from ..wasm.encoding import OP
from ..x86.float80 import C0, C1, C2, C3, DE, ES, FULL, IE, OE, PE, UE, ZE
from ..x86.meaning import CF, PF, ZF
from ..x86.x87_common import ADD, DIV, DIVR, FUNCTIONS, MUL, QUIETLY, SUB, SUBR
from ..x86.x87_state import EXCEPTIONS, TOP
from . import layout as at
from .assembler import Function, X, c32, c64, invoke

CC, SIGN, MOST = C0 | C1 | C2 | C3, 0x8000, 0x7FFF
BIAS, UNIT = 16383, 16383 + 63                  # m with the exponent e is worth m * 2**(e - UNIT)
ONE = 1 << 63                                   # the significand of powers of two, and of infinities
QUIET_BIT = 1 << 62
INDEFINITE = ONE | QUIET_BIT, SIGN | MOST
DOWNWARDS = 0x400                               # rounding control
FORMATS = {32: (23, 127), 64: (52, 1023)}       # of a binary32 and a binary64: bits of the fraction, bias


def build(module, divide: int) -> list[int]:
    """Defines the functions; their indices, in the order of FUNCTIONS. `divide` is that of the interpreter."""
    from .x87_transcendental import Transcendental
    kit = _Kit(module, divide)
    transcendental = Transcendental(kit)
    indices = []
    for name in FUNCTIONS:
        f = Instruction(module, name)
        getattr(kit if hasattr(kit, name) else transcendental, name)(f)
        f.done()
        indices.append(f.index)
    return indices


def cell(op: str, offset: int) -> X: return c32(0).load(op, offset)
def control() -> X: return cell("i32.load16_u", at.FCW)
def full() -> X: return control() | FULL
def signed(a: X, test: str, b) -> X: return a._test(test + "_s", b)
def clz(a: X) -> X: return X(a.type, a.raw + OP[f"{a.type}.clz"])
def exponent(high: X) -> X: return high & MOST
def of_spread(high: X) -> X: return high._op("shr_s", 16)
def spread(e: X, sign: X) -> X: return (e << 16) | sign
def spread_plain(high: X) -> X: return (high << 16 & MOST << 16) | (high & SIGN)


def plain(m: X, high: X) -> X:
    """Whether the number is normal or zero."""
    e = exponent(high)
    return (((e - 1) < MOST - 1) & (m >= ONE)) | (e.wide() | m).is_zero()


def invalid(m: X, high: X) -> X:
    """Whether it is an encoding that is no longer valid."""
    return (exponent(high) != 0) & (m < ONE)


def nan(m: X, high: X) -> X: return (exponent(high) == MOST) & (m > ONE)
def signaling(m: X, high: X) -> X: return nan(m, high) & (m & QUIET_BIT).is_zero()
def denormal(m: X, high: X) -> X: return exponent(high).is_zero() & (m != 0)


def even(m: X, low: X) -> X:
    """Whether m is to be counted up, to the nearest: `low` is what was cut from it, shifted up."""
    return (low > ONE) | ((low == ONE) & m.low())


def shift_up(f, m, low, by: X):
    """m:low up by 0 .. 63."""
    with f.if_(by != 0):
        f.set(m, (m << by) | (low >> (c64(64) - by)))
        f.set(low, low << by)


def shift_down(f, into, m, low, by: X):
    """into = m down by 1 or more; low, what was cut off, shifted up: 1 where that is less than any bit of it."""
    with f.if_(by < 64):
        f.set(low, m << (c64(64) - by))
        f.set(into, m >> by)
    with f.else_():
        f.set(low, (by == 64).pick(m, c64(1)))
        f.set(into, 0)


def bring_below(f, m, low, n, e):
    """Of two significands that are to be divided, m:low becomes less than n; e is the exponent of their quotient."""
    with f.if_(m >= n):
        f.set(low, m << 63)
        f.set(m, m >> 1)
    with f.else_():
        f.set(e, e - 1)


def give(f, m, high, flags: X | int = 0):
    """Ends an inner function with a number."""
    f.store("i64.store", 0, m, at.X87_VALUE)
    f.store("i32.store", 0, high, at.X87_HIGH)
    f.store("i32.store", 0, flags, at.X87_FLAGS)
    f.ret(0)


def also(f, flags: X): f.store("i32.store", 0, cell("i32.load", at.X87_FLAGS) | flags, at.X87_FLAGS)


def spread_out(f, m, high) -> tuple[X, X]:
    """A finite number, which is valid, spread."""
    n = f.local("i64", m)
    e = f.local(value=exponent(high))
    with f.if_(e.is_zero() & (m != 0)):
        f.set(e, c32(1) - clz(n).low())
        f.set(n, n << clz(n))
    return n, f.local(value=spread(e, high & SIGN))


class Instruction(Function):
    """A function in the making, with the status and tag word in locals until `finish`."""

    def __init__(self, module, name, params="i64 i64", waits=True):
        super().__init__(module, f"x87 {name}", params, "i32")
        self.a, self.b = self.params[:2]
        self.fsw = self.local(value=cell("i32.load16_u", at.FSW))
        self.ftw = self.local(value=cell("i32.load8_u", at.FTW))
        if waits:
            self.slow_if(self.fsw & ES)

    def slow_if(self, condition: X):
        with self.if_(condition):
            self.ret(1)

    def st(self, i: X | int) -> X:
        """The physical register that is ST(i) now."""
        i = i.low() if isinstance(i, X) and i.type == "i64" else i
        return self.local(value=((self.fsw >> 11) + i) & 7)

    def in_use(self, r: X) -> X: return (self.ftw >> r) & 1

    def need(self, *registers: X):
        for r in registers:
            self.slow_if(self.in_use(r).is_zero())

    def load(self, r: X) -> tuple[X, X]:
        """Significand; sign and exponent."""
        where = self.local(value=r << 4)
        return self.local("i64", where.load("i64.load", at.X87)), self.local(value=where.load("i32.load16_u", at.X87 + 8))

    def put(self, r: X, m: X, high: X):
        self.store("i64.store", r << 4, m, at.X87)
        self.store("i32.store16", r << 4, high, at.X87 + 8)
        self.set(self.ftw, self.ftw | (c32(1) << r))

    def turn(self, by): self.set(self.fsw, (self.fsw & ~TOP) | ((self.fsw + (by << 11)) & TOP))

    def pop(self, times: X):
        """Not at all or once."""
        self.set(self.ftw, self.ftw & ((times << ((self.fsw >> 11) & 7)) ^ 0xFF))
        self.turn(times)

    def answer(self, m: X | int, high: X | int = 0):
        self.store("i64.store", 0, m, at.X87_VALUE)
        self.store("i32.store", 0, high, at.X87_HIGH)

    def answered(self) -> tuple[X, X]: return cell("i64.load", at.X87_VALUE), cell("i32.load", at.X87_HIGH)

    def need_masked(self, flags: X): self.slow_if(flags & (control() ^ EXCEPTIONS) & EXCEPTIONS)

    def finish(self, flags: X | int = 0, clear: int = C1):
        """Exceptions and condition code."""
        self.store("i32.store16", 0, (self.fsw & ~clear) | flags, at.FSW)
        self.store("i32.store8", 0, self.ftw, at.FTW)
        self.ret(0)

    def settle(self, failed: X, r: X, clear: int = C1, pop: X | int = 0):
        """What an inner function answered becomes register r's, unless it failed or an exception forbids it."""
        self.slow_if(failed)
        flags = self.local(value=cell("i32.load", at.X87_FLAGS))
        self.need_masked(flags)
        self.put(r, *self.answered())
        if not isinstance(pop, int) or pop:
            self.pop(pop if isinstance(pop, X) else c32(pop))
        self.finish(flags, clear)


class Kernels:
    """The arithmetic of two spread numbers; that of `sse` is the same, and rounds otherwise."""
    label = "x87"

    def __init__(self, module, divide):
        self.module, self.divide = module, divide
        self.mulhi = self._mulhi()
        self.round = self._round()
        self.add, self.mul, self.div = self._add(), self._mul(), self._div()

    def function(self, name, params, result="i32"): return Function(self.module, f"{self.label} {name}", params, result)

    def _mulhi(self) -> int:
        """The upper half of a product."""
        f = self.function("mulhi", "i64 i64", "i64")
        m, n = f.params
        a0, a1, b0, b1 = (f.local("i64", x) for x in (m & 0xFFFFFFFF, m >> 32, n & 0xFFFFFFFF, n >> 32))
        mid = f.local("i64", a1 * b0 + (a0 * b0 >> 32))
        f.ret(a1 * b1 + (mid >> 32) + ((mid & 0xFFFFFFFF) + a0 * b1 >> 32))
        f.done()
        return f.index

    # ---- rounding: the numbers are finite and not zero

    def _round(self) -> int:
        """(sign, exponent, significand, what is below it, control word, exponent of infinities): to the precision and in the
        direction that the control word has. Fails where a result is tiny and the exception is not masked."""
        f = self.function("round", "i32 i32 i64 i64 i32 i32")
        sign, e, m, low, control, most = f.params
        flags, cut, mode = f.local(), f.local(), f.local()

        def carry():
            """Where all bits were ones."""
            with f.if_(m.is_zero()):
                f.set(m, ONE)
                f.set(e, e + 1)

        with f.if_(((e - 1) < MOST - 2) & ((control & (FULL | 0xC00)) == FULL)):
            with f.if_(low != 0):
                f.set(flags, PE)
                with f.if_(even(m, low)):
                    f.set(flags, PE | C1)
                    f.set(m, m + 1)
                    carry()
            give(f, m, sign | e, flags)
        f.set(cut, control & FULL)
        f.set(mode, control & 0xC00)
        away = f.local(value=sign.is_zero().pick(mode == 0x800, mode == DOWNWARDS))
        f.set(mode, mode.is_zero())                            # whether it is to the nearest
        f.set(cut, cut.is_zero().pick(c32(40), (cut == 0x200).pick(c32(11), c32(0))))
        wide = f.local("i64", cut.wide())
        tiny, shift = f.local(value=signed(e, "le", 0)), f.local("i64", wide)
        with f.if_(tiny):
            with f.if_((control & UE).is_zero()):
                f.ret(1)
            # not if it were rounded up to the least normal number with exponents without end
            rest = f.local("i64", (wide != 0).pick((m << (c64(64) - wide)) | (low != 0).wide(), low))
            carried = mode.pick(rest >= ONE, away & (rest != 0))
            f.set(tiny, ((e == 0) & ((m >> wide) == (c64(0) - 1 >> wide)) & carried).is_zero())
            f.set(shift, wide + (c32(1) - e).wide())
        with f.if_(shift != 0):
            with f.if_(shift < 64):
                f.set(low, (m << (c64(64) - shift)) | (low != 0).wide())
                f.set(m, m >> shift)
            with f.else_():
                f.set(low, (shift == 64).pick(m | (low != 0).wide(), c64(1)))
                f.set(m, 0)
        with f.if_(low != 0):
            f.set(flags, tiny.pick(c32(PE | UE), c32(PE)))
            with f.if_(mode.pick(even(m, low), away)):
                f.set(m, m + 1)
                f.set(flags, flags | C1)
        f.set(m, m << wide)
        with f.if_(signed(e, "le", 0)):
            give(f, m, sign | (m >> 63).low(), flags)
        carry()
        with f.if_(signed(e, "ge", most)):
            with f.if_(mode | away):
                give(f, c64(ONE), sign | most, OE | PE | C1)
            give(f, c64(0) - 1 >> wide << wide, sign | (most - 1), OE | PE)
        give(f, m, sign | e, flags)
        f.done()
        return f.index

    def rounded(self, sign: X, e: X, m: X, low: X | int = 0, precision: X | None = None) -> X:
        """To the precision of the control word, if none is given."""
        low = c64(low) if isinstance(low, int) else low
        return invoke(self.round, sign, e, m, low, control() if precision is None else precision, c32(MOST))

    def _add(self) -> int:
        f = self.function("add", "i64 i32 i64 i32")
        m, high, n, other = f.params
        down = (control() & 0xC00) == DOWNWARDS
        with f.if_(n.is_zero()):
            with f.if_(m.is_zero()):
                give(f, c64(0), down.pick(high | other, high & other) & SIGN)
            f.ret(self.rounded(high & SIGN, of_spread(high), m))
        with f.if_(m.is_zero()):
            f.ret(self.rounded(other & SIGN, of_spread(other), n))
        ea, eb = f.local(value=of_spread(high)), f.local(value=of_spread(other))
        swapped = f.local("i64")
        with f.if_(signed(ea, "lt", eb) | ((ea == eb) & (m < n))):       # so that m is the larger
            f.set(swapped, m)
            f.set(m, n)
            f.set(n, swapped)
            f.set(high, high ^ other)
            f.set(other, high ^ other)
            f.set(high, high ^ other)
            f.set(ea, of_spread(high))
            f.set(eb, of_spread(other))
        d, low = f.local("i64", (ea - eb).wide()), f.local("i64", 0)
        with f.if_(d != 0):                                    # n:low is the smaller; a set bit far below stands for lost ones
            with f.if_(d < 64):
                f.set(low, n << (c64(64) - d))
                f.set(n, n >> d)
            with f.else_():
                with f.if_(d < 128):
                    f.set(low, (n >> (d - 64)) | (((n << (c64(128) - d)) != 0) & (d > 64)).wide())
                with f.else_():
                    f.set(low, 1)
                f.set(n, 0)
        with f.if_(((high ^ other) & SIGN).is_zero()):
            f.set(m, m + n)
            with f.if_(m < n):
                f.set(low, (low >> 1) | (m << 63) | (low & 1))
                f.set(m, (m >> 1) | ONE)
                f.set(ea, ea + 1)
        with f.else_():
            f.set(m, m - n - (low != 0).wide())
            f.set(low, c64(0) - low)
            with f.if_((m | low).is_zero()):
                give(f, c64(0), down * SIGN)
            with f.if_(m.is_zero()):
                f.set(m, low)
                f.set(low, 0)
                f.set(ea, ea - 64)
            f.set(d, clz(m))
            shift_up(f, m, low, d)
            f.set(ea, ea - d.low())
        f.ret(self.rounded(high & SIGN, ea, m, low))
        f.done()
        return f.index

    def _mul(self) -> int:
        f = self.function("mul", "i64 i32 i64 i32")
        m, high, n, other = f.params
        sign = f.local(value=(high ^ other) & SIGN)
        with f.if_(m.is_zero() | n.is_zero()):
            give(f, c64(0), sign)
        e = f.local(value=of_spread(high) + of_spread(other) - (BIAS - 1))
        low = f.local("i64", m * n)
        f.set(m, invoke(self.mulhi, m, n, type="i64"))
        with f.if_(m < ONE):
            shift_up(f, m, low, c64(1))
            f.set(e, e - 1)
        f.ret(self.rounded(sign, e, m, low))
        f.done()
        return f.index

    def _div(self) -> int:
        """By a number that is not zero."""
        f = self.function("div", "i64 i32 i64 i32")
        m, high, n, other = f.params
        sign = f.local(value=(high ^ other) & SIGN)
        with f.if_(m.is_zero()):
            give(f, c64(0), sign)
        e = f.local(value=of_spread(high) - of_spread(other) + BIAS)
        f.ret(self.rounded(sign, e, *self.ratio(f, m, n, e)))
        f.done()
        return f.index

    def ratio(self, f, m, n, e) -> tuple[X, X]:
        """Of two significands, the exponent of their quotient being e: its significand, and a number that is to a half as the
        rest is. Changes m and e."""
        low = f.local("i64", 0)
        bring_below(f, m, low, n, e)
        q = f.local("i64", invoke(self.divide, m, low, n, type="i64"))
        f.set(low, low - q * n)                                # the remainder, compared with half of the divisor
        f.set(m, n - low)
        half = (low > m).pick(ONE + 1, (low == m).pick(ONE, c64(1)))
        f.set(low, low.is_zero().pick(c64(0), half))
        return q, low


class _Kit(Kernels):
    """The functions by name, and what they share."""

    def __init__(self, module, divide):
        super().__init__(module, divide)
        self.propagate = self._propagate()
        self.kernels = {ADD: self.add, MUL: self.mul, DIV: self.div}
        self.unusual = self._unusual()
        self.operate = self._operate()
        self.remain = self._remain()

    def _propagate(self) -> int:
        """(number, number): 1 where one is a NaN or invalid, with the result of the two; else 0."""
        f = self.function("propagate", "i64 i32 i64 i32")
        m, high, n, other = f.params

        def done(m, high, flags):
            f.store("i64.store", 0, m, at.X87_VALUE)
            f.store("i32.store", 0, high, at.X87_HIGH)
            f.store("i32.store", 0, flags, at.X87_FLAGS)
            f.ret(1)
        with f.if_(invalid(m, high) | invalid(n, other)):
            done(c64(INDEFINITE[0]), c32(INDEFINITE[1]), c32(IE))
        first, second = f.local(value=nan(m, high)), f.local(value=nan(n, other))
        with f.if_((first | second).is_zero()):
            f.ret(0)
        flags = f.local(value=(signaling(m, high) | signaling(n, other)) * IE)
        with f.if_(first & second):
            # of a quiet one and a signaling one the quiet one; else the larger; else the positive
            quiet, same = f.local("i64", (m & QUIET_BIT)), (m ^ n) & QUIET_BIT
            f.set(second, same.is_zero().pick((m == n).pick(high > other, n > m), quiet.is_zero()))
            f.set(first, second.is_zero())
        done(first.pick(m, n) | QUIET_BIT, first.pick(high, other), flags)
        f.done()
        return f.index

    def _operation(self, f, operation, first, second, sort):
        """Branches on the operation to the kernel that has it, each of the numbers prepared by `sort`."""
        for kernel, forward, backward in ((ADD, ADD, None), (ADD, SUB, SUBR), (MUL, MUL, None), (DIV, DIV, DIVR)):
            for which, a, b in ((forward, first, second), (backward, second, first)):
                if which is not None:
                    with f.if_(operation == which):
                        if which in (SUB, SUBR):
                            b = b[0], b[1] ^ SIGN
                        sort(kernel, a, b)

    def _unusual(self) -> int:
        """(kernel, number, number, DE or 0): where one of them is neither normal nor zero."""
        f = self.function("unusual", "i32 i64 i32 i64 i32 i32")
        kernel, m, high, n, other, de = f.params
        sign = f.local(value=(high ^ other) & SIGN)
        first, second = (f.local(value=exponent(x) == MOST) for x in (high, other))       # infinite
        f.set(de, de | (denormal(m, high) | denormal(n, other)) * DE)

        def indefinite_if(condition):
            with f.if_(condition):
                give(f, c64(INDEFINITE[0]), c32(INDEFINITE[1]), IE)
        with f.if_(kernel == ADD):
            indefinite_if(first & second & (sign != 0))
            with f.if_(first):
                give(f, m, high, de)
            with f.if_(second):
                give(f, n, other, de)
        with f.if_(kernel == MUL):
            indefinite_if((first & n.is_zero()) | (second & m.is_zero()))
            with f.if_(first | second):
                give(f, c64(ONE), sign | MOST, de)
        with f.if_(kernel == DIV):
            indefinite_if((first & second) | (m.is_zero() & n.is_zero()))
            with f.if_(n.is_zero() & first.is_zero()):
                give(f, c64(ONE), sign | MOST, ZE)
            with f.if_(first):
                give(f, c64(ONE), sign | MOST, de)
            with f.if_(second):
                give(f, c64(0), sign, de)
        numbers = *spread_out(f, m, high), *spread_out(f, n, other)
        for which, index in self.kernels.items():
            with f.if_(kernel == which):
                with f.if_(invoke(index, *numbers)):
                    f.ret(1)
        also(f, de)
        f.ret(0)
        f.done()
        return f.index

    def _operate(self) -> int:
        """(operation, POP where it pops, DENORMAL << DE_SHIFT; physical register, number): what an instruction does then."""
        f = Instruction(self.module, "operate", "i32 i32 i64 i32", waits=False)
        what, r, n, other = f.params
        m, high = f.load(r)
        operation = f.local(value=what & 7)
        with f.block() as computed:
            with f.if_(plain(m, high) & plain(n, other) & (what & DE << 4).is_zero()):
                a, b = (f.local(value=spread_plain(x)) for x in (high, other))

                def usual(kernel, first, second):
                    if kernel == DIV:
                        with f.if_(second[0] != 0):
                            f.slow_if(invoke(self.kernels[kernel], *first, *second))
                            f.br(computed)
                    else:
                        f.slow_if(invoke(self.kernels[kernel], *first, *second))
                        f.br(computed)
                self._operation(f, operation, (m, a), (n, b), usual)
            f.br(computed, invoke(self.propagate, m, high, n, other))

            def unusual(kernel, first, second):
                f.slow_if(invoke(self.unusual, c32(kernel), *first, *second, (what >> 4) & DE))
                f.br(computed)
            self._operation(f, operation, (m, high), (n, other), unusual)
        f.settle(c32(0), r, pop=(what >> 3) & 1)
        f.done()
        return f.index

    # ---- other formats

    @staticmethod
    def _widen(f, bits: int) -> tuple[X, X, X]:
        """The binary32 or binary64 in `a`, and DE if it is a denormal. Exact."""
        fraction, bias = FORMATS[bits]
        a, width = f.a, bits - 1 - fraction
        most = (1 << width) - 1
        e, m = f.local(value=((a >> fraction).low() & most)), f.local("i64", a << 64 - fraction)
        sign, de = f.local(value=(a >> bits - 16).low() & SIGN), f.local(value=0)
        with f.if_(e.is_zero()):
            with f.if_(m != 0):
                f.set(e, c32(BIAS - bias) - clz(m).low())
                f.set(m, m << clz(m))
                f.set(de, DE)
        with f.else_():
            f.set(m, (m >> 1) | ONE)
            f.set(e, (e == most).pick(MOST, e + (BIAS - bias)))
        return m, f.local(value=sign | e), de

    @staticmethod
    def _whole(f, m, sign) -> tuple[X, X]:
        """An integer's magnitude as a number."""
        high = f.local(value=0)
        with f.if_(m != 0):
            n = f.local("i64", clz(m))
            f.set(m, m << n)
            f.set(high, c32(UNIT) - n.low())
        return m, f.local(value=high | sign)

    def _integer(self, f) -> tuple[X, X]:
        """The signed integer in `a`."""
        m, sign = f.local("i64", f.a), f.local(value=0)
        with f.if_(m >= ONE):
            f.set(sign, SIGN)
            f.set(m, c64(0) - m)
        return self._whole(f, m, sign)

    def _push(self, f, m, high, flags=0):
        r = f.st(7)
        f.slow_if(f.in_use(r))
        f.turn(7)
        f.put(r, m, high)
        f.finish(flags)

    def push(self, f): self._push(f, f.a, f.b.low())

    def _push_real(self, f, bits):
        m, high, flags = self._widen(f, bits)
        with f.if_(signaling(m, high)):
            f.set(m, m | QUIET_BIT)
            f.set(flags, IE)
        f.need_masked(flags)
        self._push(f, m, high, flags)

    def push32(self, f): self._push_real(f, 32)
    def push64(self, f): self._push_real(f, 64)
    def push_integer(self, f): self._push(f, *self._integer(f))

    def push_constant(self, f):
        """`b` above 16 bits: whether the nearest number is the next one, and whether that is the one above."""
        mode = f.local(value=control() & 0xC00)
        nearest, above = (f.b >> 16) & 1, (f.b >> 17) & 1
        f.set(f.a, f.a + mode.is_zero().pick(nearest, (mode == 0x800).pick(above, c64(0))))
        self._push(f, f.a, f.b.low())

    def push_copy(self, f):
        """Of ST(a)."""
        r = f.st(f.a)
        f.need(r)
        self._push(f, *f.load(r))

    def _narrow(self, f, bits: int):
        """Of ST(0), and a pop if `a`."""
        fraction, bias = FORMATS[bits]
        most = (1 << bits - 1 - fraction) - 1
        top = most << fraction
        r, flags, value = f.st(0), f.local(value=0), f.local("i64", 0)
        f.need(r)
        m, high = f.load(r)
        with f.block() as done:
            f.br(done, (m == 0) & (exponent(high) == 0))
            with f.if_(invalid(m, high)):
                f.set(high, SIGN)
                f.set(value, top | 1 << fraction - 1)
                f.set(flags, IE)
                f.br(done)
            with f.if_(exponent(high) == MOST):
                f.set(value, top)
                f.br(done, m == ONE)
                f.set(flags, signaling(m, high) * IE)
                f.set(value, (m | QUIET_BIT) << 1 >> 64 - fraction | top)
                f.br(done)
            n, s = spread_out(f, m, high)
            precision = (control() & ~FULL) | (0 if bits == 32 else 0x200)
            f.slow_if(invoke(self.round, s & SIGN, of_spread(s) - (BIAS - bias), n, c64(0), precision, c32(most)))
            f.set(flags, cell("i32.load", at.X87_FLAGS))
            e = (cell("i32.load", at.X87_HIGH) & MOST).wide()
            f.set(value, e << fraction | cell("i64.load", at.X87_VALUE) << 1 >> 64 - fraction)
        f.need_masked(flags)
        f.answer(value | ((high >> 15).wide() << bits - 1))
        f.pop(f.a.low())
        f.finish(flags)

    def narrow32(self, f): self._narrow(f, 32)
    def narrow64(self, f): self._narrow(f, 64)

    def give(self, f):
        """ST(0) as it is, and a pop if `a`."""
        r = f.st(0)
        f.need(r)
        f.answer(*f.load(r))
        f.pop(f.a.low())
        f.finish()

    @staticmethod
    def rounded_integer(f, m, high, mode) -> X:
        """A number below 2**64 in magnitude becomes the integer m; PE and C1."""
        shift = f.local("i64", (c32(UNIT) - exponent(high)).wide())
        low, flags, up = f.local("i64", 0), f.local(value=0), f.local()
        with f.if_((m != 0) & (shift != 0)):
            shift_down(f, m, m, low, shift)
            with f.if_(low != 0):
                sign = high >> 15
                f.set(up, mode.is_zero().pick(even(m, low), ((mode == 1) & sign) | ((mode == 2) & (sign ^ 1))))
                f.set(m, m + up.wide())
                f.set(flags, up.pick(c32(PE | C1), c32(PE)))
        return flags

    @staticmethod
    def _mode(f): return f.local(value=(control() >> 10) & 3)

    def round_integer(self, f):
        """FIST: `b` is the size in bits; of `a`, bit 0 is whether it pops, bit 1 whether it truncates."""
        r = f.st(0)
        f.need(r)
        m, high = f.load(r)
        mode, flags = self._mode(f), f.local(value=IE)
        f.set(mode, mode | (((f.a.low() >> 1) & 1) * 3))
        sign = f.local("i64", (high >> 15).wide())
        with f.block() as done:
            with f.block() as indefinite:
                f.br(indefinite, invalid(m, high) | (exponent(high) > UNIT))
                found = self.rounded_integer(f, m, high, mode)
                f.br(indefinite, m > (c64(1) << (f.b - 1)) - 1 + sign)
                f.set(flags, found)
                f.set(m, (m ^ (c64(0) - sign)) + sign)
                f.br(done)
            f.set(m, c64(1) << (f.b - 1))
        f.need_masked(flags)
        f.answer(m)
        f.pop(f.a.low() & 1)
        f.finish(flags)

    def push_decimal(self, f):
        """Eighteen decimal digits and a sign; digits above 9 count as what they are."""
        n, digits, sign = f.local("i64", 0), f.local(value=18), f.local(value=f.b.low() & SIGN)
        with f.loop() as again:
            f.set(n, n * 10 + ((f.b >> 4) & 15))
            f.set(f.b, (f.b << 4) | (f.a >> 60))
            f.set(f.a, f.a << 4)
            f.set(digits, digits - 1)
            f.br(again, digits)
        self._push(f, *self._whole(f, n, sign))

    def decimal(self, f):
        """ST(0) as eighteen digits and a sign, and a pop if `a`."""
        r = f.st(0)
        f.need(r)
        m, high = f.load(r)
        flags, value, upper, digits = f.local(value=IE), f.local("i64", 3 << 62), f.local(value=0xFFFF), f.local("i64", 0)
        with f.block() as done:
            f.br(done, invalid(m, high) | (exponent(high) > UNIT))
            found = self.rounded_integer(f, m, high, self._mode(f))
            f.br(done, m >= 10 ** 18)
            f.set(flags, found)
            f.set(value, 0)
            f.set(upper, 0)
            with f.loop() as again:
                digit = f.local("i64", X("i64", m.raw + c64(10).raw + OP["i64.rem_u"]))
                with f.if_(digits < 64):
                    f.set(value, value | digit << digits)
                with f.else_():
                    f.set(upper, upper | (digit << digits).low())
                f.set(m, X("i64", m.raw + c64(10).raw + OP["i64.div_u"]))
                f.set(digits, digits + 4)
                f.br(again, m != 0)
            f.set(upper, upper | (high & SIGN))
        f.need_masked(flags)
        f.answer(value, upper)
        f.pop(f.a.low())
        f.finish(flags)

    def unary(self, f) -> tuple[X, X, X]:
        """(register, significand, the rest) of ST(0); does what there is to do for NaNs."""
        r = f.st(0)
        f.need(r)
        m, high = f.load(r)
        with f.if_(plain(m, high).is_zero()):
            with f.if_(invoke(self.propagate, m, high, c64(0), c32(0))):
                f.settle(c32(0), r)
        return r, m, high

    def frndint(self, f):
        r, m, high = self.unary(f)
        flags = f.local(value=denormal(m, high) * DE)
        with f.if_((exponent(high) < UNIT) & (m != 0)):
            f.set(flags, flags | self.rounded_integer(f, m, high, self._mode(f)))
            f.set(high, high & SIGN)
            f.set(high, self._whole(f, m, high)[1])
        f.need_masked(flags)
        f.put(r, m, high)
        f.finish(flags)

    # ---- between registers

    def copy(self, f):
        """ST(0) to ST(a), and a pop if `b`."""
        r, to = f.st(0), f.st(f.a)
        f.need(r)
        f.put(to, *f.load(r))
        f.pop(f.b.low())
        f.finish()

    def exchange(self, f):
        a, b = f.st(0), f.st(f.a)
        f.need(a, b)
        x, y = f.load(a), f.load(b)
        f.put(a, *y)
        f.put(b, *x)
        f.finish()

    def move(self, f):
        """FCMOV: ST(a) to ST(0) if `b`."""
        r, other = f.st(0), f.st(f.a)
        f.need(r, other)
        with f.if_(f.b.low()):
            f.put(r, *f.load(other))
        f.finish(clear=0)

    def sign(self, f):
        """Sign and exponent of ST(0) & a ^ b."""
        r = f.st(0)
        f.need(r)
        m, high = f.load(r)
        f.put(r, m, (high & f.a.low()) ^ f.b.low())
        f.finish()

    def free(self, f):
        """ST(a), and a pop if `b`."""
        f.set(f.ftw, f.ftw & ((c32(1) << f.st(f.a)) ^ 0xFF))
        f.pop(f.b.low())
        f.finish()

    def rotate(self, f):
        f.turn(f.a.low())
        f.finish()

    # ---- arithmetic

    def arithmetic(self, f):
        """ST(b & 7) by ST(b >> 3); `a` as in `operate`."""
        to, source = f.st(f.b & 7), f.st(f.b >> 3)
        f.need(to, source)
        f.ret(invoke(self.operate, f.a.low(), to, *f.load(source)))

    def _arithmetic(self, f, m, high, de: X | int = 0):
        """ST(0) by a number of another format in `a`; `b` is the operation."""
        r = f.st(0)
        f.need(r)
        what = f.b.low() if isinstance(de, int) else f.b.low() | de << 4
        f.ret(invoke(self.operate, what, r, m, high))

    def arithmetic32(self, f): self._arithmetic(f, *self._widen(f, 32))
    def arithmetic64(self, f): self._arithmetic(f, *self._widen(f, 64))
    def arithmetic_integer(self, f): self._arithmetic(f, *self._integer(f))

    def fsqrt(self, f):
        r, m, high = self.unary(f)
        with f.if_(m.is_zero()):
            f.finish()
        with f.if_(high & SIGN):
            f.need_masked(c32(IE))
            f.put(r, c64(INDEFINITE[0]), c32(INDEFINITE[1]))
            f.finish(IE)
        de = f.local(value=denormal(m, high) * DE)
        with f.if_(exponent(high) == MOST):
            f.finish()
        n, s = spread_out(f, m, high)
        # The root of n:low, which is at least 2**126: estimated from above, then one step of Newton's method.
        e, low = f.local(value=of_spread(s) - BIAS), f.local("i64", 0)
        with f.if_((e & 1).is_zero()):
            f.set(low, n << 63)
            f.set(n, n >> 1)
        root = X("f64", n.raw + OP["f64.convert_i64_u"] + OP["f64.sqrt"])
        estimate = X("f64", root.raw + c64(1 << 32).raw + OP["f64.convert_i64_u"] + OP["f64.mul"])
        guess = f.local("i64", X("i64", estimate.raw + OP["i64.trunc_sat_f64_u"]))
        f.set(guess, (guess > -1 - 4096 & (1 << 64) - 1).pick(c64(0) - 1, guess + 4096))
        with f.if_(n < guess):
            q = f.local("i64", invoke(self.divide, n, low, guess, type="i64"))
            f.set(guess, (guess >> 1) + (q >> 1) + (guess & q & 1))
        upper, lower = f.local("i64"), f.local("i64")

        def rest():
            """n:low less the square of the guess."""
            f.set(lower, guess * guess)
            f.set(upper, n - invoke(self.mulhi, guess, guess, type="i64") - (low < lower).wide())
            f.set(lower, low - lower)
        rest()
        with f.if_(upper >= ONE):
            f.set(guess, guess - 1)
            rest()
        above = (upper != 0) | (lower > guess)                 # more than half
        f.set(low, above.pick(c64(ONE + 1), ((upper | lower) != 0).wide()))
        failed = f.local(value=self.rounded(c32(0), e._op("shr_s", 1) + BIAS, guess, low))
        also(f, de)
        f.settle(failed, r)

    def _remain(self) -> int:
        """(number, number, whether to the nearest): both finite, the second not zero."""
        f = self.function("remainder", "i64 i32 i64 i32 i32")
        m, high, n, other, nearest = f.params
        flags = f.local(value=(denormal(m, high) | denormal(n, other)) * DE)
        with f.if_(m.is_zero()):
            give(f, m, high, flags)
        (m, high), (n, other) = spread_out(f, m, high), spread_out(f, n, other)
        sign = f.local(value=high & SIGN)
        e, d = f.local(value=of_spread(high)), f.local(value=of_spread(high) - of_spread(other))
        low, upper, q = f.local("i64", 0), f.local("i64", 0), f.local("i64", 0)
        with f.block() as reduced:
            f.br(reduced, signed(d, "lt", c32(0) - nearest))
            with f.if_(signed(d, "ge", 64)):                   # the divisor times a quotient of fewer bits
                f.set(d, (d & 31) | 32)
                f.set(flags, flags | C2)
            with f.if_(signed(d, "ge", 0)):
                f.set(upper, (d != 0).pick(m >> (c32(64) - d).wide(), c64(0)))
                f.set(low, m << d.wide())
                f.set(q, invoke(self.divide, upper, low, n, type="i64"))
                f.set(m, low - q * n)
                f.set(e, e - d)
            with f.if_((flags & C2).is_zero()):
                # m in units of n's last bit, or of half of it where n is twice as large
                twice = f.local(value=signed(d, "lt", 0))
                half = f.local(value=(m > n - m) | ((m == n - m) & q.low()))
                f.set(half, twice.pick(m > n, half))
                with f.if_(nearest & half):
                    f.set(q, q + 1)
                    f.set(m, twice.pick((n << 1) - m, n - m))
                    f.set(sign, sign ^ SIGN)
                f.set(flags, flags | ((q.low() & 4) * (C0 // 4)) | ((q.low() & 2) * (C3 // 2)) | ((q.low() & 1) * C1))
            with f.if_(m.is_zero()):
                give(f, m, high & SIGN, flags)
            f.set(e, e - clz(m).low())
            f.set(m, m << clz(m))
        with f.if_(self.rounded(sign, e, m, 0, full())):
            f.ret(1)
        also(f, flags)
        f.ret(0)
        f.done()
        return f.index

    def _remainder(self, f, nearest):
        a, b = f.st(0), f.st(1)
        f.need(a, b)
        (m, high), (n, other) = f.load(a), f.load(b)
        with f.if_(invoke(self.propagate, m, high, n, other)):
            f.settle(c32(0), a, clear=C2 | C1)
        with f.if_((exponent(high) == MOST) | n.is_zero()):
            f.need_masked(c32(IE))
            f.put(a, c64(INDEFINITE[0]), c32(INDEFINITE[1]))
            f.finish(IE, clear=C2 | C1)
        with f.if_(exponent(other) == MOST):
            s, t = spread_out(f, m, high)
            flags = f.local(value=denormal(m, high) * DE)
            with f.if_(m.is_zero()):
                f.finish(clear=CC)
            failed = f.local(value=self.rounded(t & SIGN, of_spread(t), s, 0, full()))
            also(f, flags)
            f.settle(failed, a, clear=CC)
        f.settle(invoke(self.remain, m, high, n, other, c32(nearest)), a, clear=CC)

    def fprem(self, f): self._remainder(f, 0)
    def fprem1(self, f): self._remainder(f, 1)

    def fscale(self, f):
        a, b = f.st(0), f.st(1)
        f.need(a, b)
        (m, high), (n, other) = f.load(a), f.load(b)
        with f.if_(invoke(self.propagate, m, high, n, other)):
            f.settle(c32(0), a)
        de = f.local(value=(denormal(m, high) | denormal(n, other)) * DE)
        infinite = f.local(value=exponent(high) == MOST)
        with f.if_(exponent(other) == MOST):
            with f.if_((other & SIGN).pick(infinite, m.is_zero())):
                f.need_masked(c32(IE))
                f.put(a, c64(INDEFINITE[0]), c32(INDEFINITE[1]))
                f.finish(IE)
            f.set(m, (other & SIGN).pick(c64(0), c64(ONE)))
            f.set(high, (high & SIGN) | (other & SIGN).pick(c32(0), c32(MOST)))
            f.need_masked(de)
            f.put(a, m, high)
            f.finish(de)
        f.need_masked(de)
        with f.if_(m.is_zero() | infinite):
            f.finish(de)
        size, by = f.local(value=exponent(other)), f.local(value=0)
        with f.if_(size >= BIAS):
            f.set(by, 1 << 17)
            with f.if_(size < BIAS + 17):
                f.set(by, (n >> (c32(UNIT) - size).wide()).low())
            with f.if_(other & SIGN):
                f.set(by, c32(0) - by)
        m, high = spread_out(f, m, high)
        failed = f.local(value=self.rounded(high & SIGN, of_spread(high) + by, m, 0, full()))
        also(f, de)
        f.settle(failed, a)

    def fxtract(self, f):
        """The exponent replaces ST(0), and the significand is pushed."""
        r, free = f.st(0), f.st(7)
        f.need(r)
        f.slow_if(f.in_use(free))
        m, high = f.load(r)
        flags = f.local(value=denormal(m, high) * DE)
        n, other = f.local("i64", m), f.local(value=high)
        with f.block() as done:
            with f.if_(invoke(self.propagate, m, high, c64(0), c32(0))):
                f.set(m, cell("i64.load", at.X87_VALUE))
                f.set(high, cell("i32.load", at.X87_HIGH))
                f.set(n, m)
                f.set(other, high)
                f.set(flags, cell("i32.load", at.X87_FLAGS))
                f.br(done)
            with f.if_(m.is_zero()):
                f.set(n, ONE)
                f.set(other, SIGN | MOST)
                f.set(flags, ZE)
                f.br(done)
            with f.if_(exponent(high) == MOST):
                f.set(other, MOST)
                f.br(done)
            s, t = spread_out(f, m, high)
            f.set(m, s)
            f.set(high, (t & SIGN) | BIAS)
            e = f.local(value=of_spread(t) - BIAS)
            sign = f.local(value=(e >> 16) & SIGN)
            f.set(n, (sign != 0).pick(c32(0) - e, e).wide())
            f.set(other, self._whole(f, n, sign)[1])
        f.need_masked(flags)
        f.put(r, n, other)
        f.turn(7)
        f.put(free, m, high)
        f.finish(flags)

    # ---- comparison

    @staticmethod
    def _compare(f, a, b, quiet: X, de: X | int = 0) -> tuple[X, X]:
        """C3, C2 and C0 of two numbers, and exceptions. `quiet`: quiet NaNs are no exception."""
        (m, high), (n, other) = a, b
        ea, eb = f.local(value=exponent(high)), f.local(value=exponent(other))
        cc, flags, negative = f.local(value=C3), f.local(value=0), high >> 15
        with f.if_(plain(m, high) & plain(n, other) & (de if isinstance(de, X) else c32(0)).is_zero()):
            pass
        with f.else_():
            with f.if_(invalid(m, high) | invalid(n, other) | nan(m, high) | nan(n, other)):
                wrong = invalid(m, high) | invalid(n, other) | signaling(m, high) | signaling(n, other)
                f.set(flags, (wrong | (quiet.is_zero())) * IE)
                f.set(cc, C3 | C2 | C0)
            with f.else_():
                f.set(flags, (denormal(m, high) | denormal(n, other)) * DE | de)
                f.set(ea, ea + ea.is_zero())                   # a pseudo-denormal is worth the normal number
                f.set(eb, eb + eb.is_zero())
        with f.if_(((m | n) != 0) & (cc == C3)):
            with f.if_((high ^ other) & SIGN):
                f.set(cc, negative.pick(c32(C0), c32(0)))
            with f.else_():
                with f.if_((ea != eb) | (m != n)):
                    less = (ea < eb) | ((ea == eb) & (m < n))
                    f.set(cc, (less ^ negative).pick(c32(C0), c32(0)))
        f.need_masked(flags)
        return cc, flags

    def compare(self, f):
        """ST(0) with ST(a); `b` pops, two at most, and QUIETLY."""
        r, other = f.st(0), f.st(f.a)
        f.need(r, other)
        cc, flags = self._compare(f, f.load(r), f.load(other), f.b.low() & QUIETLY)
        f.pop((f.b.low() & 3) != 0)
        f.pop((f.b.low() >> 1) & 1)
        f.finish(cc | flags, clear=CC)

    def compare_flags(self, f):
        """The same, with the answer as EFLAGS has it, in X87_VALUE."""
        r, other = f.st(0), f.st(f.a)
        f.need(r, other)
        cc, flags = self._compare(f, f.load(r), f.load(other), f.b.low() & QUIETLY)
        f.answer(((cc >> 14 & 1) << ZF | (cc >> 10 & 1) << PF | (cc >> 8 & 1) << CF).wide())
        f.pop(f.b.low() & 1)
        f.finish(flags, clear=0)

    def _compare_with(self, f, m, high, de=0):
        """ST(0) with a number of another format in `a`; a pop if `b`."""
        r = f.st(0)
        f.need(r)
        cc, flags = self._compare(f, f.load(r), (m, high), c32(0), de)
        f.pop(f.b.low())
        f.finish(cc | flags, clear=CC)

    def compare32(self, f): self._compare_with(f, *self._widen(f, 32))
    def compare64(self, f): self._compare_with(f, *self._widen(f, 64))
    def compare_integer(self, f): self._compare_with(f, *self._integer(f))

    @staticmethod
    def _class(f, m, high) -> X:
        e = exponent(high)
        normal = (e == MOST).pick((m == ONE).pick(c32(C2 | C0), c32(C0)), c32(C2))
        below = m.is_zero().pick(c32(C3), c32(C3 | C2))
        return e.is_zero().pick(below, (m >= ONE).pick(normal, c32(0)))

    def examine(self, f):
        r = f.st(0)
        m, high = f.load(r)
        f.finish(f.in_use(r).pick(self._class(f, m, high), c32(C3 | C0)) | ((high >> 15) * C1), clear=CC)

    # ---- control

    def tags(self, f):
        """The full tag word. No exception is pending."""
        word = f.local(value=0)
        for r in range(8):
            m, high = f.load(c32(r))
            e = exponent(high)
            tag = ((e - 1) < MOST - 1) & (m >= ONE)
            tag = tag.pick(c32(0), ((m == 0) & (e == 0)).pick(c32(1), c32(2)))
            f.set(word, word | f.in_use(c32(r)).pick(tag, c32(3)) << 2 * r)
        f.answer(word.wide())
        f.ret(0)

    def set_tags(self, f):
        """From the full tag word in `a`."""
        f.set(f.ftw, 0)
        for r in range(8):
            f.set(f.ftw, f.ftw | (((f.a.low() >> 2 * r) & 3) != 3) << r)
        f.finish(clear=0)
