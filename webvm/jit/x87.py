"""The common cases of x87 instructions, as functions of the interpreter that handlers and regions call.

A function (a i64, b i64) -> i32 does an instruction, but for its operands in memory: 0, or 1 with nothing changed where the
oracle is to do it. That is for NaNs, denormals, registers in use or empty that should not be, results too large or too
small, unmasked exceptions, and arithmetic that is not rounded to the nearest of 64 bits. What a function answers besides
lies in the cells X87_VALUE and X87_HIGH.

Knows the x87's registers in the state, and its numbers; what operands an instruction has is for `x86.x87_common`.
"""
from ..wasm.encoding import OP
from ..x86.float80 import C0, C1, C2, C3, ES, PE
from ..x86.meaning import CF, ZF
from ..x86.x87_common import ADD, DIV, DIVR, FUNCTIONS, MUL, SUB, SUBR
from ..x86.x87_state import TOP
from . import layout as at
from .assembler import Function, X, c32, c64, invoke

_CC, _SIGN, _MOST = C0 | C1 | C2 | C3, 0x8000, 0x7FFF
_BIAS, _UNIT = 16383, 16383 + 63                # m with the exponent e is worth m * 2**(e - UNIT)
_ONE = 1 << 63                                  # the significand of powers of two, and of infinities


def build(module, divide: int) -> list[int]:
    """Defines the functions; their indices, in the order of FUNCTIONS. `divide` is that of the interpreter."""
    kit = _Kit(module, divide)
    for name in FUNCTIONS:
        getattr(kit, name)(f := _Instruction(module, name))
        f.done()
        kit.indices.append(f.index)
    return kit.indices


def _cell(op: str, offset: int) -> X: return c32(0).load(op, offset)
def _signed(a: X, test: str, b) -> X: return a._test(test + "_s", b)
def _unary(a: X, op: str) -> X: return X(a.type, a.raw + OP[f"{a.type}.{op}"])
def _exponent(high: X) -> X: return high & _MOST


def _plain(m: X, high: X) -> X:
    """Whether the number is normal or zero."""
    e = _exponent(high)
    return (((e - 1) < _MOST - 1) & (m >= _ONE)) | (e.wide() | m).is_zero()


def _known(m: X, high: X) -> X:
    """Normal, zero, or infinite."""
    return _plain(m, high) | ((_exponent(high) == _MOST) & (m == _ONE))


def _even(m: X, low: X) -> X:
    """Whether m is to be counted up, to the nearest: `low` is what was cut from it, shifted up."""
    return (low > _ONE) | ((low == _ONE) & m.low())


class _Instruction(Function):
    """A function in the making, with the status and tag word in locals until `finish`."""

    def __init__(self, module, name):
        super().__init__(module, f"x87 {name}", "i64 i64", "i32")
        self.a, self.b = self.params
        self.fsw = self.local(value=_cell("i32.load16_u", at.FSW))
        self.ftw = self.local(value=_cell("i32.load8_u", at.FTW))
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

    def need_control(self, mask: int, value: int): self.slow_if((_cell("i32.load16_u", at.FCW) & mask) != value)
    def need_masked(self): self.need_control(0x3F, 0x3F)

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

    def answered(self) -> tuple[X, X]: return _cell("i64.load", at.X87_VALUE), _cell("i32.load", at.X87_HIGH)

    def finish(self, flags: X | int = 0, clear: int = C1):
        """Exceptions and condition code."""
        self.store("i32.store16", 0, (self.fsw & ~clear) | flags, at.FSW)
        self.store("i32.store8", 0, self.ftw, at.FTW)
        self.ret(0)


class Kernels:
    """Functions for the arithmetic of two plain numbers; those of `sse` share them, and round otherwise."""
    label = "x87"

    def __init__(self, module, divide):
        self.module, self.divide = module, divide
        self.round = self._round()
        self.add, self.mul, self.div = self._add(), self._mul(), self._div()

    def _function(self, name, params): return Function(self.module, f"{self.label} {name}", params, "i32")

    # ---- arithmetic of two numbers that are plain: answers 1 where the result is not; leaves the exceptions and C1 in X87_FLAGS

    @staticmethod
    def _result(f, m, high, flags: X | int = 0):
        f.store("i64.store", 0, m, at.X87_VALUE)
        f.store("i32.store", 0, high, at.X87_HIGH)
        f.store("i32.store", 0, flags, at.X87_FLAGS)
        f.ret(0)

    def _round(self) -> int:
        """(sign, exponent, significand, what is below it)"""
        f = self._function("round", "i32 i32 i64 i64")
        sign, e, m, low = f.params
        flags = f.local(value=0)
        with f.if_(_signed(e, "le", 0)):
            f.ret(1)
        with f.if_(low != 0):
            f.set(flags, PE)
            with f.if_(_even(m, low)):
                f.set(flags, PE | C1)
                f.set(m, m + 1)
                with f.if_(m.is_zero()):
                    f.set(m, _ONE)
                    f.set(e, e + 1)
        with f.if_(_signed(e, "ge", _MOST)):
            f.ret(1)
        self._result(f, m, sign | e, flags)
        f.done()
        return f.index

    def _add(self) -> int:
        f = self._function("add", "i64 i32 i64 i32")
        m, high, n, other = f.params
        with f.if_(n.is_zero()):
            with f.if_(m.is_zero()):
                self._result(f, c64(0), high & other)
            self._result(f, m, high)
        with f.if_(m.is_zero()):
            self._result(f, n, other)
        ea, eb = f.local(value=_exponent(high)), f.local(value=_exponent(other))
        less = f.local(value=(ea < eb) | ((ea == eb) & (m < n)))
        swapped = f.local("i64")
        with f.if_(less):                                      # so that m is the larger
            f.set(swapped, m)
            f.set(m, n)
            f.set(n, swapped)
            f.set(less, ea)
            f.set(ea, eb)
            f.set(eb, less)
            f.set(less, high)
            f.set(high, other)
            f.set(other, less)
        sign = f.local(value=high & _SIGN)
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
        with f.if_(((high ^ other) & _SIGN).is_zero()):
            f.set(m, m + n)
            with f.if_(m < n):
                f.set(low, (low >> 1) | (m << 63))       # d is below 64, so the bit that goes is 0
                f.set(m, (m >> 1) | _ONE)
                f.set(ea, ea + 1)
        with f.else_():
            f.set(m, m - n - (low != 0).wide())
            f.set(low, c64(0) - low)
            with f.if_((m | low).is_zero()):
                self._result(f, c64(0), c32(0))
            with f.if_(m.is_zero()):
                f.set(m, low)
                f.set(low, 0)
                f.set(ea, ea - 64)
            f.set(d, _unary(m, "clz"))
            with f.if_(d != 0):
                f.set(m, (m << d) | (low >> (c64(64) - d)))
                f.set(low, low << d)
                f.set(ea, ea - d.low())
        f.ret(invoke(self.round, sign, ea, m, low))
        f.done()
        return f.index

    def _mul(self) -> int:
        f = self._function("mul", "i64 i32 i64 i32")
        m, high, n, other = f.params
        sign = f.local(value=(high ^ other) & _SIGN)
        with f.if_(m.is_zero() | n.is_zero()):
            self._result(f, c64(0), sign)
        e = f.local(value=_exponent(high) + _exponent(other) - (_BIAS - 1))
        low = f.local("i64", m * n)
        a0, a1, b0, b1 = (f.local("i64", x) for x in (m & 0xFFFFFFFF, m >> 32, n & 0xFFFFFFFF, n >> 32))
        mid = f.local("i64", a1 * b0 + (a0 * b0 >> 32))
        f.set(m, a1 * b1 + (mid >> 32) + ((mid & 0xFFFFFFFF) + a0 * b1 >> 32))
        with f.if_(m < _ONE):
            f.set(m, (m << 1) | (low >> 63))
            f.set(low, low << 1)
            f.set(e, e - 1)
        f.ret(invoke(self.round, sign, e, m, low))
        f.done()
        return f.index

    def _div(self) -> int:
        f = self._function("div", "i64 i32 i64 i32")
        m, high, n, other = f.params
        sign = f.local(value=(high ^ other) & _SIGN)
        with f.if_(n.is_zero()):
            f.ret(1)
        with f.if_(m.is_zero()):
            self._result(f, c64(0), sign)
        e = f.local(value=_exponent(high) - _exponent(other) + _BIAS)
        low = f.local("i64", 0)
        with f.if_(m >= n):
            f.set(low, m << 63)
            f.set(m, m >> 1)
        with f.else_():
            f.set(e, e - 1)
        q = f.local("i64", invoke(self.divide, m, low, n, type="i64"))
        f.set(low, low - q * n)                                # the remainder, compared with half of the divisor
        f.set(m, n - low)
        half = (low > m).pick(_ONE + 1, (low == m).pick(_ONE, c64(1)))
        f.set(low, low.is_zero().pick(c64(0), half))
        f.ret(invoke(self.round, sign, e, q, low))
        f.done()
        return f.index


class _Kit(Kernels):
    """The functions by name, and what they share."""

    def __init__(self, module, divide):
        super().__init__(module, divide)
        self.indices: list[int] = []
        self.kernels = {ADD: self.add, MUL: self.mul, DIV: self.div}
        self.operate = self._operate()

    def _operate(self) -> int:
        """(operation | 8 where it pops, physical register, significand, sign and exponent of the other operand): what an
        instruction does then. Status and tag word are in memory."""
        f = _Instruction.__new__(_Instruction)
        Function.__init__(f, self.module, "x87 operate", "i32 i32 i64 i32", "i32")
        what, r, n, other = f.params
        f.fsw, f.ftw = f.local(value=_cell("i32.load16_u", at.FSW)), f.local(value=_cell("i32.load8_u", at.FTW))
        f.need_control(0xF3F, 0x33F)
        m, high = f.load(r)
        f.slow_if((_plain(m, high) & _plain(n, other)).is_zero())
        operation = f.local(value=what & 7)
        with f.block() as computed:
            for kernel, forward, backward in ((ADD, ADD, None), (ADD, SUB, SUBR), (MUL, MUL, None), (DIV, DIV, DIVR)):
                for which, a, b in ((forward, (m, high), (n, other)), (backward, (n, other), (m, high))):
                    if which is not None:
                        with f.if_(operation == which):
                            if which in (SUB, SUBR):
                                b = b[0], b[1] ^ _SIGN
                            f.slow_if(invoke(self.kernels[kernel], *a, *b))
                            f.br(computed)
        f.put(r, *f.answered())
        f.pop(what >> 3)
        f.finish(_cell("i32.load", at.X87_FLAGS))
        f.done()
        return f.index

    # ---- other formats

    @staticmethod
    def _widen(f, fraction: int, bias: int, bits: int) -> tuple[X, X]:
        """The binary32 or binary64 in `a`."""
        a, width = f.a, bits - 1 - fraction
        most = (1 << width) - 1
        e, m = f.local(value=((a >> fraction).low() & most)), f.local("i64", a << 64 - fraction)
        sign = f.local(value=(a >> bits - 16).low() & _SIGN)
        with f.if_(e.is_zero()):
            f.slow_if(m != 0)                                  # a denormal
        with f.else_():
            f.slow_if((e == most) & (m != 0))
            f.set(m, (m >> 1) | _ONE)
            f.set(e, (e == most).pick(_MOST, e + (_BIAS - bias)))
        return m, f.local(value=sign | e)

    @staticmethod
    def _integer(f) -> tuple[X, X]:
        """The signed integer in `a`."""
        m, high = f.local("i64", f.a), f.local(value=0)
        with f.if_(m != 0):
            with f.if_(m >= _ONE):
                f.set(high, _SIGN)
                f.set(m, c64(0) - m)
            n = f.local("i64", _unary(m, "clz"))
            f.set(m, m << n)
            f.set(high, high | (c32(_UNIT) - n.low()))
        return m, high

    def _push(self, f, m, high):
        r = f.st(7)
        f.slow_if(f.in_use(r))
        f.turn(7)
        f.put(r, m, high)
        f.finish()

    def push(self, f): self._push(f, f.a, f.b.low())
    def push32(self, f): self._push(f, *self._widen(f, 23, 127, 32))
    def push64(self, f): self._push(f, *self._widen(f, 52, 1023, 64))
    def push_integer(self, f): self._push(f, *self._integer(f))

    def push_constant(self, f):
        """With bits that rounding to nearest gave."""
        f.need_control(0xC00, 0)
        self.push(f)

    def push_copy(self, f):
        """Of ST(a)."""
        r = f.st(f.a)
        f.need(r)
        self._push(f, *f.load(r))

    @staticmethod
    def _narrow(f, fraction: int, bias: int, bits: int):
        """Of ST(0), and a pop if `a`."""
        f.need_control(0xC3F, 0x3F)
        r, flags = f.st(0), f.local(value=0)
        f.need(r)
        m, high = f.load(r)
        f.slow_if(_known(m, high).is_zero())
        e, most = f.local(value=_exponent(high) - (_BIAS - bias)), (1 << bits - 1 - fraction) - 1
        cut = 63 - fraction
        value, low = f.local("i64", m), f.local("i64")
        with f.if_(m != 0):
            with f.if_(_exponent(high) == _MOST):
                f.set(value, most << fraction)
            with f.else_():
                f.slow_if(_signed(e, "le", 0) | _signed(e, "ge", most))
                f.set(low, m << 64 - cut)
                f.set(value, m >> cut)
                with f.if_(low != 0):
                    f.set(flags, PE)
                    with f.if_(_even(value, low)):
                        f.set(flags, PE | C1)
                        f.set(value, value + 1)
                f.set(value, value + ((e - 1).wide() << fraction))          # the integer bit counts the exponent up
                f.slow_if(value >= most << fraction)
        f.answer(value | ((high >> 15).wide() << bits - 1))
        f.pop(f.a.low())
        f.finish(flags)

    def narrow32(self, f): self._narrow(f, 23, 127, 32)
    def narrow64(self, f): self._narrow(f, 52, 1023, 64)

    def give(self, f):
        """ST(0) as it is, and a pop if `a`."""
        r = f.st(0)
        f.need(r)
        f.answer(*f.load(r))
        f.pop(f.a.low())
        f.finish()

    @staticmethod
    def _rounded(f, m, high, rc) -> tuple[X, X]:
        """A plain number below 2**64 as the integer `m`, and flags. What is too large is left to the oracle."""
        shift = f.local("i64", (c32(_UNIT) - _exponent(high)).wide())
        low, flags, up = f.local("i64", 0), f.local(value=0), f.local()
        with f.if_(m != 0):
            f.slow_if(shift > _UNIT)                           # negative
            with f.if_(shift != 0):
                with f.if_(shift < 64):
                    f.set(low, m << (c64(64) - shift))
                    f.set(m, m >> shift)
                with f.else_():
                    f.set(low, (shift == 64).pick(m, c64(1)))
                    f.set(m, 0)
            with f.if_(low != 0):
                sign = high >> 15
                f.set(up, rc.is_zero().pick(_even(m, low), ((rc == 1) & sign) | ((rc == 2) & (sign ^ 1))))
                f.set(m, m + up.wide())
                f.set(flags, up.pick(c32(PE | C1), c32(PE)))
        return m, flags

    def round_integer(self, f):
        """FIST: `b` is the size in bits; of `a`, bit 0 is whether it pops, bit 1 whether it truncates."""
        f.need_masked()
        r = f.st(0)
        f.need(r)
        m, high = f.load(r)
        f.slow_if(_plain(m, high).is_zero())
        rc = f.local(value=((_cell("i32.load16_u", at.FCW) >> 10) & 3) | ((f.a.low() >> 1) & 1) * 3)
        m, flags = self._rounded(f, m, high, rc)
        sign = f.local("i64", (high >> 15).wide())
        f.slow_if(m > (c64(1) << (f.b - 1)) - 1 + sign)
        f.answer((m ^ (c64(0) - sign)) + sign)
        f.pop(f.a.low() & 1)
        f.finish(flags)

    def frndint(self, f):
        f.need_masked()
        r = f.st(0)
        f.need(r)
        m, high = f.load(r)
        f.slow_if(_plain(m, high).is_zero())
        with f.if_(_exponent(high) >= _UNIT):
            f.finish()
        m, flags = self._rounded(f, m, high, f.local(value=(_cell("i32.load16_u", at.FCW) >> 10) & 3))
        f.set(high, high & _SIGN)
        with f.if_(m != 0):
            n = f.local("i64", _unary(m, "clz"))
            f.set(m, m << n)
            f.set(high, high | (c32(_UNIT) - n.low()))
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

    def _arithmetic(self, f, number):
        """ST(0) by a number of another format in `a`; `b` is the operation."""
        r = f.st(0)
        f.need(r)
        f.ret(invoke(self.operate, f.b.low(), r, *number))

    def arithmetic32(self, f): self._arithmetic(f, self._widen(f, 23, 127, 32))
    def arithmetic64(self, f): self._arithmetic(f, self._widen(f, 52, 1023, 64))
    def arithmetic_integer(self, f): self._arithmetic(f, self._integer(f))

    def fprem(self, f):
        a, b = f.st(0), f.st(1)
        f.need(a, b)
        (m, high), (n, other) = f.load(a), f.load(b)
        f.slow_if((_plain(m, high) & (_plain(n, other) & (n != 0))).is_zero())
        e, sign = f.local(value=_exponent(high)), f.local(value=high & _SIGN)
        d, flags = f.local(value=e - _exponent(other)), f.local(value=0)
        with f.if_(m.is_zero() | _signed(d, "lt", 0)):
            f.finish(clear=_CC)
        with f.if_(d >= 64):                                   # the divisor times a quotient of fewer bits
            f.set(d, (d & 31) | 32)
            f.set(flags, C2)
        with f.else_():
            f.set(flags, 0)
        upper = f.local("i64", d.pick(m >> (c32(64) - d).wide(), c64(0)))
        low = f.local("i64", m << d.wide())
        q = f.local("i64", invoke(self.divide, upper, low, n, type="i64"))
        f.set(m, low - q * n)
        with f.if_(flags.is_zero()):
            f.set(flags, ((q.low() & 4) * (C0 // 4)) | ((q.low() & 2) * (C3 // 2)) | ((q.low() & 1) * C1))
        f.set(e, e - d)
        f.set(q, _unary(m, "clz"))
        f.set(e, m.is_zero().pick(c32(0), e - q.low()))
        f.slow_if((m != 0) & _signed(e, "le", 0))
        f.put(a, m << q, sign | e)
        f.finish(flags, clear=_CC)

    # ---- comparison

    @staticmethod
    def _compare(f, a, b) -> X:
        """C3, C2 and C0 of two numbers; NaNs and denormals are left to the oracle."""
        (m, high), (n, other) = a, b
        f.slow_if((_known(m, high) & _known(n, other)).is_zero())
        ea, eb = f.local(value=_exponent(high)), f.local(value=_exponent(other))
        cc, negative = f.local(value=C3), high >> 15
        with f.if_((m | n) != 0):
            with f.if_((high ^ other) & _SIGN):
                f.set(cc, negative.pick(c32(C0), c32(0)))
            with f.else_():
                with f.if_((ea != eb) | (m != n)):
                    less = (ea < eb) | ((ea == eb) & (m < n))
                    f.set(cc, (less ^ negative).pick(c32(C0), c32(0)))
        return cc

    def compare(self, f):
        """ST(0) with ST(a); `b` pops, two at most."""
        r, other = f.st(0), f.st(f.a)
        f.need(r, other)
        cc = self._compare(f, f.load(r), f.load(other))
        f.pop(f.b.low() != 0)
        f.pop(f.b.low() >> 1)
        f.finish(cc, clear=_CC)

    def compare_flags(self, f):
        """The same, with the answer as EFLAGS has it, in X87_VALUE."""
        r, other = f.st(0), f.st(f.a)
        f.need(r, other)
        cc = self._compare(f, f.load(r), f.load(other))
        f.answer(((cc >> 14) << ZF | (cc >> 8 & 1) << CF).wide())
        f.pop(f.b.low())
        f.finish(clear=0)

    def _compare_with(self, f, number):
        """ST(0) with a number of another format in `a`; a pop if `b`."""
        r = f.st(0)
        f.need(r)
        cc = self._compare(f, f.load(r), number)
        f.pop(f.b.low())
        f.finish(cc, clear=_CC)

    def compare32(self, f): self._compare_with(f, self._widen(f, 23, 127, 32))
    def compare64(self, f): self._compare_with(f, self._widen(f, 52, 1023, 64))
    def compare_integer(self, f): self._compare_with(f, self._integer(f))

    def examine(self, f):
        r = f.st(0)
        m, high = f.load(r)
        e = _exponent(high)
        normal = (e == _MOST).pick((m == _ONE).pick(c32(C2 | C0), c32(C0)), c32(C2))
        below = m.is_zero().pick(c32(C3), c32(C3 | C2))
        cc = e.is_zero().pick(below, (m >= _ONE).pick(normal, c32(0)))
        f.finish(f.in_use(r).pick(cc, c32(C3 | C0)) | ((high >> 15) * C1), clear=_CC)
