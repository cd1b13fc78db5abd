"""The operations of `x86.sse_floats` as functions of the interpreter, for handlers, and for regions where MXCSR is looked at.

Each does an operation as MXCSR says, and adds its exceptions there; or, where one is unmasked, leaves MXCSR alone and sets
the cell SSE_TRAPS: the instruction is the oracle's then. A function first tries what a processor's own instruction gives
(Wasm's, that is): with normal numbers, rounding to nearest and the precision exception known already nothing else can come of
it. Otherwise a number is taken apart, computed by the kernels of the x87, and rounded here.

Knows MXCSR in the state, and binary32 and binary64; knows no instructions.
"""
from ..wasm import encoding as w
from ..wasm.encoding import OP
from ..x86.ieee import CHOP, DAZ, DE, DOUBLE, DOWN, FORMATS, FTZ, HALF, IE, MASKS, NEAREST, OE, PE, RC, SINGLE, UE, UP, ZE
from ..x86.sse_floats import ALTERNATING, CALLED, FUSED, MXCSR_RC, SIGNATURES, lane_of
from . import layout as at
from .assembler import Function, Local, X, c32, c64, invoke
from .x87 import Kernels, give, shift_down, spread_plain

_BIAS, _UNIT = 16383, 16383 + 63                # as in x87.py: m with the exponent e is worth m * 2**(e - UNIT)
_ONE, _SIGN, _MOST = 1 << 63, 0x8000, 0x7FFF
_EASY = 3 << RC | (PE | DE) << MASKS | PE       # of MXCSR
_EASY_IS = (PE | DE) << MASKS | PE              # rounds to nearest, the precision exception is masked and there already, DE is masked


def build(module, divide: int, features: frozenset[str]) -> dict[str, int]:
    """Defines the functions that a processor with these features needs; their indices. `divide` is that of the interpreter."""
    return _Kit(module, divide, features).functions


def foreign(f: Function) -> X:
    """Whether the NaNs here are not those of an x86: the one that an invalid operation makes, or the one chosen of two."""
    big, first, second, signaling = 0x7FF0 << 48, 0xFFF8 << 48 | 1, 0x7FF8 << 48 | 2, 0x7FF0 << 48 | 3
    wrong = c32(0)
    for x, y, wanted in ((big, big, DOUBLE.indefinite), (first, second, first), (signaling, first, signaling | DOUBLE.quiet)):
        f.store("i64.store", 0, x, at.X87_VALUE)           # not constants to the compiler
        f.store("i64.store", 0, y, at.X87_VALUE + 8)
        a, b = _cell("f64.load", at.X87_VALUE), _cell("f64.load", at.X87_VALUE + 8)
        found = f.local("i64", _bits(a._op("sub", b)))
        wrong = wrong | (found != wanted)
    return wrong


def exchanges(module) -> None:
    """Defines `exchanges` (rounds) -> not 0 where a sum or a product had the second of two NaNs, as an optimising compiler has it that exchanges
    the operands: because the second is not needed any more, or the first is in memory. To be asked again once it has run often."""
    f = Function(module, "exchanges", "i32", "i32", export=True)
    left, wrong = f.params[0], f.local()
    with f.loop() as again:
        for format in FORMATS.values():
            bits, t = format.bits, f"f{format.bits}"
            lanes, nan = f"{t}x{128 // bits}", format.infinity | format.quiet | 1
            for k in (0, 1):
                f.store(f"i{bits}.store", 0, X(f"i{bits}", (w.i64 if bits == 64 else w.i32)(nan + k)), at.X87_VALUE + 8 * k)
            a, b = _cell(t + ".load", at.X87_VALUE), _cell(t + ".load", at.X87_VALUE + 8)
            for op in ("add", "mul"):
                f.set(wrong, wrong | (_bits(a._op(op, f.local(t, _unary(b, "floor")))) != nan))
                x, y = f.local(t, _unary(a, "sqrt")), f.local(t, _unary(b, "sqrt"))
                f.set(wrong, wrong | (_bits(x._op(op, y)) != nan))
                f.store(t + ".store", 0, x, at.X87_VALUE)
                x, y = (f.local("v128", X("v128", v.raw + OP[lanes + ".splat"] + OP[lanes + ".sqrt"])) for v in (a, b))
                for v in (X("v128", x.raw + y.raw + OP[f"{lanes}.{op}"]), x):
                    f.set(wrong, wrong | (_bits(X(t, v.raw + w.lane(lanes + ".extract_lane", 1))) != nan))
        f.set(left, left - 1)
        f.br(again, left)
    f.ret(wrong)
    f.done()


def _cell(op: str, offset: int) -> X: return c32(0).load(op, offset)
def _mxcsr() -> X: return _cell("i32.load", at.MXCSR)
def _unary(x: X, op: str, type: str | None = None) -> X: return X(type or x.type, x.raw + OP[f"{x.type}.{op}"])
def _number(x: X, bits: int) -> X:
    """The number with those bits, which lie in an i64."""
    if bits == 64:
        return X("f64", x.raw + OP["f64.reinterpret_i64"])
    return X("f32", x.low().raw + OP["f32.reinterpret_i32"])


def _bits(x: X) -> X:
    """The bits of a number, in an i64."""
    if x.type == "f64":
        return X("i64", x.raw + OP["i64.reinterpret_f64"])
    return X("i32", x.raw + OP["i32.reinterpret_f32"]).wide()


def _vector(op: str, *values: X) -> X: return X("v128", b"".join(v.raw for v in values) + OP[op])
def _all(pattern: int, bits: int) -> X: return X("v128", w.v128(sum(pattern << k for k in range(0, 128, bits))))
def _any(x: X) -> X: return X("i32", x.raw + OP["v128.any_true"])
def _flag(f, flags: X | int): f.store("i32.store", 0, _cell("i32.load", at.SSE_EXCEPTIONS) | flags, at.SSE_EXCEPTIONS)


def _usual(x: X, format=None, least: int = 2) -> X:
    """Whether a number is normal, and not the least of these (to which a smaller one may have been rounded). least: exponent."""
    format = format or FORMATS[int(x.type[1:])]
    bits, step = X("i" + x.type[1:], x.raw + OP[f"i{x.type[1:]}.reinterpret_{x.type}"]), 1 << format.precision
    return ((bits << 1) - least * step) < (2 * format.bias + 1 - least) * step


def _zero(type: str) -> X: return X(type, w.i32(0) + OP[f"{type}.convert_i32_s"])
def _usual_or_zero(x: X) -> X: return _usual(x) | (x == _zero(x.type))
def _is_denormal(x: X, format) -> X: return ((x & format.sign - 1) - 1) < (1 << format.precision - 1) - 1


def _together(tests) -> X:
    found, *more = tests
    for t in more:
        found = found & t
    return found


def _any_of(tests) -> X:
    found, *more = tests
    for t in more:
        found = found | t
    return found


def _unusual_lanes(x: X, format, zero: bool, least: int = 0) -> X:
    """Ones in the lanes that are not as in _usual, or in _usual_or_zero. least: of what is not too small, if not that."""
    shape, step = f"i{format.bits}x{128 // format.bits}", 1 << format.precision - 1
    a = _vector("v128.and", x, _all(format.sign - 1, format.bits))
    low = _vector(f"{shape}.lt_s", a, _all(least or 2 * step, format.bits))
    if zero:
        low = _vector("v128.and", low, _vector(f"{shape}.ne", a, _all(0, format.bits)))
    return _vector("v128.or", low, _vector(f"{shape}.ge_s", a, _all(format.infinity, format.bits)))


def _magnitude(f, x: X, format) -> Local: return f.local("i64", x & format.sign - 1)


# ---- what is said in place of a call, where that is easy

# Not 0 where MXCSR does not round to nearest, or the precision exception is not there yet, or that or DE is not masked.
HARD = ((_mxcsr() & _EASY) ^ _EASY_IS).raw


def unusual(op: str, values: list, result: bytes | None, denormals: bool = False, known: frozenset[int] = frozenset()) -> list[bytes]:
    """Tests, one after the other: where none is 0 the function of `op` is to be called, although HARD is 0 and Wasm has an instruction
    for it, which gives `result`. The first is cheap; there are none where nothing unusual can come. values: raw operands. denormals: DE is
    looked for even where a denormal operand has no influence. known: operands that are normal or zero."""
    shape, what = op.split(".")
    number = what.removeprefix("from_") if what.startswith("from_") else shape
    r = X("v128" if "x" in shape else shape if shape[0] == "f" else "i64", result)
    x = [X("v128" if "x" in number else number, v) for v in values[:2 if what in ("add", "sub", "addsub", "mul", "div", "signal") else 1]]
    if what in ("from_i64", "from_i32x4"):
        return []
    if shape[0] == "i":                                    # the integer indefinite
        if "x" in shape:
            return [_any(_vector("i32x4.eq", r, _all(1 << 31, 32))).raw]
        return [(r == 1 << int(shape[1:]) - 1).raw]
    format = FORMATS[int(shape[1:3])]
    if what == "from_f32x4":                               # its upper lanes do not matter
        return [_any(_unusual_lanes(r, DOUBLE, True, (DOUBLE.bias - SINGLE.bias + 1) << DOUBLE.precision - 1)).raw]
    if what == "from_f64x2":
        few = (DOUBLE.bias - SINGLE.bias + 2) << DOUBLE.precision - 1
        return [_any(_vector("v128.or", _unusual_lanes(x[0], DOUBLE, True, few), _unusual_lanes(r, SINGLE, True))).raw]
    if what in ("signal", "operand", "whole", "from_f32"):
        small = what == "from_f32" and SINGLE or format
        new = [v for k, v in enumerate(x) if k not in known]
        return [_extreme(new, small), _all_usual_or_zero(new, small, [])] if new else []
    sources = x[:1 if what == "div" else 0 if what in ("add", "sub", "addsub") else 2]      # if none of these is zero the result may not be
    new = [v for k, v in enumerate(x) if k not in known]
    if what == "mul" and values[0] == values[1]:
        first = _extreme(x[:1], format, True)              # so the result is neither too small nor too large
    elif what in ("mul", "div") and len(new) == 2 and (what == "mul" or "x" not in shape):
        first = _extreme(new, format, True)
    elif what in ("add", "sub", "addsub") and not denormals or what in ("sqrt", "from_f64"):
        first = _extreme([r], format)                      # so a denormal operand has had no influence
    else:
        first = _extreme([*new, r], format, False, {"mul": x, "div": []}.get(what))
    if what == "from_f64":
        same = (r == _zero(shape)) == (x[0] == _zero("f64"))
        return [first, (_usual_or_zero(r) & _usual_or_zero(x[0]) & same).is_zero().raw]
    return [first, _all_usual_or_zero([r, *new], format, sources)]


def _extreme(numbers: list[X], format, narrow: bool = False, sources: list[X] | None = None) -> bytes:
    """Not 0 where the exponent of one of these is not among the middle half of all (narrow: the middle quarter). That half is moved to
    where its highest bit is 0 (the quarter: the highest two). Lanes that are zero do not count; of the last, if `sources` is given, lanes
    where one of these is."""
    width = format.bits - format.precision
    least, bits = (3 << width - 3, 3 << width - 2) if narrow else (1 << width - 2, 1 << width - 1)
    fraction, found = format.precision - 1, None
    for k, x in enumerate(numbers):
        if x.type == "v128":
            moved = _vector(f"i{format.bits}x{128 // format.bits}.sub", x, _all(least << fraction, format.bits))
            for v in [x] if sources is None or k < len(numbers) - 1 else sources:
                moved = _vector("v128.and", moved, _vector(f"f{format.bits}x{128 // format.bits}.ne", v, _all(0, 128)))
        elif format is DOUBLE:
            moved = (_bits(x) >> fraction).low() - least
        else:
            moved = (X("i32", x.raw + OP["i32.reinterpret_f32"]) >> fraction) - least
        found = moved if found is None else _vector("v128.or", found, moved) if x.type == "v128" else found | moved
    if found.type == "v128":
        return _any(_vector("v128.and", found, _all(bits << fraction, format.bits))).raw
    return (found & bits).raw


def _all_usual_or_zero(numbers: list[X], format, sources: list[X]) -> bytes:
    """0 where all are normal or zero; sources: the first number is not zero unless one of these is."""
    numbers = list({x.raw: x for x in numbers}.values())
    r = numbers[0]
    if r.type != "v128":
        good = _together(map(_usual_or_zero, numbers))
        if sources:                                        # a zero that came of others is an underflow
            good = good & ((r == _zero(r.type)) == _any_of((v == _zero(v.type)) for v in sources))
        return good.is_zero().raw
    shape, lanes = f"f{format.bits}x{128 // format.bits}", [_unusual_lanes(v, format, True) for v in numbers]
    if sources:
        none = _vector(f"{shape}.eq", r, _all(0, 128))
        for v in sources:
            none = _vector("v128.and", none, _vector(f"{shape}.ne", v, _all(0, 128)))
        lanes.append(none)
    return _any(_any_lanes(lanes)).raw


def _is_exact(what: str, r: X, x: X, y: X | None = None) -> X:
    """Whether the result is that without rounding, if it is neither too large nor too small. It may say no where it is."""
    precision = FORMATS[int(r.type[1:])].precision

    def made_of(a, b):
        """Whether the product of two has few enough bits."""
        zeros = [_unary(_bits(v), "ctz").low() for v in (a, b)]
        alone = [X("i32", n.raw + w.i32(precision - 1) + OP["i32.ge_u"]) for n in zeros]
        return (zeros[0] + zeros[1] >= precision) | alone[0] | alone[1]
    match what:
        case "add": return (r._op("sub", x) == y) & (r._op("sub", y) == x)      # one of these differences is exact at least
        case "sub": return (x._op("sub", r) == y) & (r._op("add", y) == x)
        case "mul": return made_of(x, y)
        case "div": return (r._op("mul", y) == x) & made_of(r, y)
    return (r._op("mul", r) == x) & made_of(r, r)


def _any_lanes(lanes: list[X]) -> X:
    found, *more = lanes
    for x in more:
        found = _vector("v128.or", found, x)
    return found


def _far(x: X) -> X:
    """Ones in the lanes of doubles that are neither zero nor of a middling size, so that a product of two has a rest."""
    a = _vector("v128.and", x, _all(DOUBLE.sign - 1, 64))
    low = _vector("v128.and", _vector("i64x2.lt_s", a, _all(DOUBLE.bias - 450 << 52, 64)), _vector("i64x2.ne", a, _all(0, 64)))
    return _vector("v128.or", low, _vector("i64x2.ge_s", a, _all(DOUBLE.bias + 450 << 52, 64)))


class _Keeping(Kernels):
    """The x87's arithmetic, whose results are not rounded: a lowest bit that is set stands for all that was below it."""
    label = "sse"

    def _round(self) -> int:
        f = self.function("keep", "i32 i32 i64 i64 i32 i32")
        sign, e, m, low = f.params[:4]
        give(f, m | (low != 0).wide(), sign | e)
        f.done()
        return f.index


class _Kit:
    def __init__(self, module, divide, features):
        self.module = module
        half, fused = "f16c" in features, "fma" in features
        self.kernels = _Keeping(module, divide)
        self.functions: dict[str, int] = {}
        self.settle = self._settle()
        self.pack = {f.bits: self._pack(f) for f in (*FORMATS.values(), *[HALF] * half)}
        self.lanes: dict[str, int] = {}                  # functions over bits in i64, that leave the exceptions in a cell
        for bits, f in FORMATS.items():
            for op in ("add", "sub", "mul", "div", "sqrt"):
                self.lanes[f"f{bits}.{op}"] = self._arithmetic(op, f)
            self.lanes |= {f"f{bits}.{op}": self._fused(op, f) for op in FUSED if fused}
            self.lanes[f"f{bits}.signal"] = self._signal(f)
            self.lanes[f"f{bits}.operand"] = self._operand(f)
            self.lanes[f"f{bits}.whole"] = self._whole(f)
            self.lanes[f"f{bits}.from_i64"] = self._from_integer(f)
            for size in (32, 64):
                self.lanes[f"i{size}.from_f{bits}"] = self._to_integer(f, size)
        self.lanes["f64.from_f32"], self.lanes["f32.from_f64"] = self._convert(SINGLE, DOUBLE), self._convert(DOUBLE, SINGLE)
        if half:
            self.lanes["f32.from_f16"], self.lanes["f16.from_f32"] = self._convert(HALF, SINGLE), self._convert(SINGLE, HALF)
        for name in SIGNATURES:
            if name not in CALLED or (half if "f16" in name else fused):
                self.functions[name] = self._function(name)

    def _lane(self, name: str, params: str = "i64 i64", results: str = "i64") -> Function:
        return Function(self.module, f"sse {name}", params, results)

    # ---- what is exported

    def _settle(self) -> int:
        """Adds the exceptions to MXCSR, or says that the instruction traps."""
        f = self._lane("settle", "", "")
        exceptions = f.local(value=_cell("i32.load", at.SSE_EXCEPTIONS))
        with f.if_(exceptions & ((_mxcsr() >> MASKS) ^ -1)):
            f.store("i32.store", 0, 1, at.SSE_TRAPS)
            f.ret()
        f.store("i32.store", 0, _mxcsr() | exceptions, at.MXCSR)
        f.done()
        return f.index

    def _function(self, name: str) -> int:
        params, result = SIGNATURES[name]
        f = Function(self.module, name, params, result, export=True)
        shape, what = name.split(".")
        vector = "x" in shape
        value = self._try_vector(f, shape, what) if vector else self._try(f, shape, what)
        f.store("i32.store", 0, 0, at.SSE_EXCEPTIONS)
        if vector:
            self._each_lane(f, shape, what)
            f.call(self.settle)
            if result:
                f.ret(value)
        else:
            operands = [_bits(p) if p.type[0] == "f" else p for p in f.params]
            answer = X("i64", b"".join(o.raw for o in operands) + w.call(self.lanes[name]))
            if not result:
                f.out.append(answer.raw + w.DROP)
                f.call(self.settle)
            else:
                bits = f.local("i64", answer)
                f.call(self.settle)
                f.ret(_number(bits, int(shape[1:])) if result[0] == "f" else bits)
        f.done()
        return f.index

    # ---- the easy cases

    @staticmethod
    def _easy() -> X: return (_mxcsr() & _EASY) == _EASY_IS

    def _try(self, f, shape, what) -> None:
        """Returns the result where it is easy."""
        p, t = f.params, shape
        if what in ("add", "sub", "mul", "div", "sqrt"):
            r = f.local(t, X(t, b"".join(x.raw for x in p) + OP[f"{t}.{what}"]))
            tests = unusual(f"{shape}.{what}", [x.raw for x in p], r.raw, True)
            with f.if_(self._easy()):
                for test in tests:
                    with f.if_(X("i32", test).is_zero()):
                        f.ret(r)
            with f.if_(((_mxcsr() >> RC & 3) == NEAREST) & _is_exact(what, r, *p)):         # as numbers are that count something
                with f.if_(X("i32", tests[-1]).is_zero()):
                    f.ret(r)
        elif what in ("signal", "operand"):
            format = FORMATS[int(shape[1:])]
            for x in p[:2 if what == "signal" else 1]:
                a = f.local("i64", _bits(x) & format.sign - 1)
                slow = (a - 1) < (1 << format.precision - 1) - 1
                plain = slow.is_zero() & (a <= format.infinity) if what == "signal" else slow.is_zero() | (_mxcsr() & DAZ).is_zero()
                usual = plain if x is p[0] else usual & plain
            with f.if_(usual):
                f.ret(*() if what == "signal" else p[:1])
        elif what in FUSED:
            bits = int(shape[1:])
            r = self._try_fused(f, bits, what, [f.local("v128", _vector(f"f{bits}x{128 // bits}.splat", x)) for x in p])
            with f.if_(r[1]):
                f.ret(X(t, r[0].raw + w.lane(f"f{bits}x{128 // bits}.extract_lane", 0)))
        elif shape[0] == "i":                          # an integer from a number
            x, how = p
            size, t = int(shape[1:]), x.type
            truncates = f.local(value=(how & 7) == CHOP)
            r = f.local(t, x)
            with f.if_(truncates | ((how & MXCSR_RC) != 0) & ((_mxcsr() >> RC & 3) == NEAREST)):
                f.set(r, truncates.pick(_unary(x, "trunc"), _unary(x, "nearest")))
                limit = X(t, w.i64(1 << size - 1) + OP[f"{t}.convert_i64_u"])
                with f.if_(X("i32", _unary(r, "abs").raw + limit.raw + OP[f"{t}.lt"])
                           & ((r == x) | ((_mxcsr() & (_EASY_IS)) == _EASY_IS))):
                    n = X("i64", r.raw + OP[f"i64.trunc_sat_{t}_s"])
                    f.ret(n if size == 64 else n & 0xFFFFFFFF)
        elif what == "from_i64":
            r = X(t, p[0].raw + OP[f"{t}.convert_i64_s"])
            bits = FORMATS[int(shape[1:])].precision
            with f.if_(self._easy() | ((p[0] + (1 << bits)) <= (2 << bits))):
                f.ret(r)
        elif what in ("from_f32", "from_f64"):
            r = f.local(t, X(t, p[0].raw + OP["f64.promote_f32" if t == "f64" else "f32.demote_f64"]))
            usual = _usual(p[0])
            if t == "f32":
                usual = (self._easy() | (X("f64", r.raw + OP["f64.promote_f32"]) == p[0])) & usual & _usual(r)
            with f.if_(usual):
                f.ret(r)

    @staticmethod
    def _wasm(op: str, *values: X) -> X:
        shape, what = op.split(".")
        if what != "addsub":
            return _vector(op, *values)
        bits = int(shape[1:3])
        odd = X("v128", w.v128(sum((1 << bits) - 1 << k for k in range(bits, 128, 2 * bits))))
        return _vector("v128.bitselect", _vector(shape + ".add", *values), _vector(shape + ".sub", *values), odd)

    def _try_vector(self, f, shape, what) -> Local | None:
        """Returns the result where it is easy; the local where the lanes are collected else."""
        p = f.params
        r = f.local("v128")
        if what == "signal":
            return None
        if what in ("add", "sub", "addsub", "mul", "div", "sqrt"):
            f.set(r, self._wasm(f"{shape}.{what}", *p))
            with f.if_(self._easy()):
                for test in unusual(f"{shape}.{what}", [x.raw for x in p], r.raw, True):
                    with f.if_(X("i32", test).is_zero()):
                        f.ret(r)
        elif what == "operand":
            f.set(r, p[0])
            with f.if_((_mxcsr() & DAZ).is_zero()):
                f.ret(r)
        elif what == "from_i32x4":
            with f.if_(self._easy()):
                f.ret(X("v128", p[0].raw + OP["f32x4.convert_i32x4_s"]))
        elif what in FUSED or what in ALTERNATING:
            value, good = self._try_fused(f, int(shape[1:3]), what, p)
            with f.if_(good):
                f.ret(value)
        return r

    def _try_fused(self, f, bits: int, what: str, p) -> tuple[X, X]:
        """Of vectors, what x * y + z is with usual numbers and where it is easy; and whether all this holds. The numbers are
        computed in doubles, with what the rounding of each sum leaves (S. Boldo, G. Melquiond, Emulation of FMA and correctly rounded sums,
        2008): the last sum but one is rounded to odd, so that rounding once more does no harm."""
        signs = [FUSED[lane_of(what, k)] for k in range(128 // bits)]

        def negated(x: X, which: int) -> X:
            pattern = sum(1 << bits * k + bits - 1 for k, sign in enumerate(signs) if sign[which])
            return _vector("v128.xor", x, X("v128", w.v128(pattern))) if pattern else x
        numbers = [negated(p[0], 0), p[1], negated(p[2], 1)]

        def op(name, *values): return f.local("v128", _vector(f"f64x2.{name}", *values))

        def two_sum(a, b):
            s = op("add", a, b)
            virtual = op("sub", s, a)
            return s, op("add", op("sub", a, op("sub", s, virtual)), op("sub", b, virtual))

        def odd_sum(a, b):
            """Rounded to odd."""
            s, rest = two_sum(a, b)
            towards = _vector("v128.or", X("v128", _vector("v128.xor", s, rest).raw + w.i32(63) + OP["i64x2.shr_s"]), _all(1, 64))
            even = _vector("i64x2.sub", _vector("v128.and", s, _all(1, 64)), _all(1, 64))
            inexact = _vector("f64x2.ne", rest, _all(0, 64))
            return f.local("v128", _vector("i64x2.add", s, _vector("v128.and", towards, _vector("v128.and", even, inexact))))
        if bits == 32:
            halves = []
            for half in (0, 1):
                parts = numbers if not half else [X("v128", x.raw * 2 + w.shuffle([*range(8, 16)] * 2)) for x in numbers]
                x, y, z = (f.local("v128", X("v128", v.raw + OP["f64x2.promote_low_f32x4"])) for v in parts)
                halves.append(X("v128", odd_sum(op("mul", x, y), z).raw + OP["f32x4.demote_f64x2_zero"]))
            r = f.local("v128", X("v128", halves[0].raw + halves[1].raw + w.shuffle([*range(8), *range(16, 24)])))
            strange = [_unusual_lanes(x, SINGLE, True) for x in p] + [_unusual_lanes(r, SINGLE, False)]
        else:
            x, y, z = (f.local("v128", v) for v in numbers)

            def split(a):
                far = op("mul", a, _all(0x41A0000002000000, 64))            # 2**27 + 1
                high = op("sub", far, op("sub", far, a))
                return high, op("sub", a, high)
            product = op("mul", x, y)
            (x1, x0), (y1, y0) = split(x), split(y)
            rest = op("sub", op("mul", x1, y1), product)
            rest = op("add", op("add", op("add", rest, op("mul", x1, y0)), op("mul", x0, y1)), op("mul", x0, y0))
            t, t_rest = two_sum(z, rest)
            v, v_rest = two_sum(product, t)
            r = op("add", v, odd_sum(t_rest, v_rest))
            strange = [_far(p[0]), _far(p[1]), _unusual_lanes(p[2], DOUBLE, True), _unusual_lanes(r, DOUBLE, False)]
        return r, self._easy() & _any(_any_lanes(strange)).is_zero()

    def _each_lane(self, f, shape, what) -> None:
        """Lane by lane, into the first local."""
        p = f.params
        width = int(shape[1:].split("x")[0])
        from_ = what.removeprefix("from_") if what.startswith("from_") else shape
        source = int(from_[1:].split("x")[0])
        vectors = [x for x in p if x.type == "v128"]
        collected = Local("v128", len(p))
        operands_at = [[self._extract(x, k, source, from_[0] == "i") for x in vectors] for k in range(min(128 // width, 128 // source))]
        if what.startswith("from_"):
            f.set(collected, _all(0, 128))
        for k, operands in enumerate(operands_at):
            rest = [x for x in p if x.type != "v128"]
            call = b"".join(o.raw for o in operands + rest) + w.call(self.lanes[f"{shape[0]}{width}.{lane_of(what, k)}"])
            if what == "signal":
                f.out.append(call + w.DROP)
                continue
            if width < 64:
                call += OP["i32.wrap_i64"]
            f.out.append(collected.raw + call + w.lane(f"i{width}x{128 // width}.replace_lane", k) + w.put(collected.index))

    @staticmethod
    def _extract(x: X, k: int, bits: int, signed: bool) -> X:
        raw = x.raw + w.lane(f"i{bits}x{128 // bits}.extract_lane{'_u' if bits == 16 else ''}", k)
        return X("i64", raw + (b"" if bits == 64 else OP["i64.extend_i32_s" if signed else "i64.extend_i32_u"]))

    # ---- one lane, whatever it is

    @staticmethod
    def _flush(f, format, *operands: Local):
        with f.if_(_mxcsr() & DAZ):
            for x in operands:
                with f.if_(((x & format.sign - 1) - 1) < (1 << format.precision - 1) - 1):
                    f.set(x, x & format.sign)

    @staticmethod
    def _is_nan(x: X, format) -> X: return (x & format.sign - 1) > format.infinity

    @staticmethod
    def _signaling(x: X, format) -> X:
        """Of what may be any number."""
        return _Kit._is_nan(x, format) & (x & format.quiet).is_zero()

    @staticmethod
    def _unpack(f, x: X, format) -> tuple[Local, Local]:
        """Significand, and sign and exponent as the x87's arithmetic takes them, of a finite number."""
        fraction = format.precision - 1
        high = f.local(value=(x >> format.bits - 16).low() & _SIGN)
        e = f.local(value=(x >> fraction).low() & 2 * format.bias + 1)
        m = f.local("i64", x << 64 - fraction)
        with f.if_(e):
            f.set(m, (m >> 1) | _ONE)
            f.set(high, high | (e + (_BIAS - format.bias)))
        with f.else_():
            with f.if_(m != 0):
                n = f.local("i64", _unary(m, "clz"))
                f.set(m, m << n)
                f.set(high, high | (c32(_BIAS - format.bias) - n.low()))
        return m, high

    def _pack(self, format) -> int:
        """(significand, sign and exponent) rounded to the format."""
        half = format is HALF
        f = self._lane(f"round to {format.bits}", "i64 i32 i32" if half else "i64 i32", "i64")
        m, high = f.params[:2]
        p, cut = format.precision, 64 - format.precision
        sign = f.local("i64", (high >> 15).wide() << format.bits - 1)
        with f.if_(m.is_zero()):
            f.ret(sign)
        mxcsr = f.local(value=_mxcsr())
        rc = f.local(value=mxcsr >> RC & 3)
        if half:
            with f.if_((f.params[2] & MXCSR_RC).is_zero()):
                f.set(rc, f.params[2] & 3)
        e = f.local(value=(high & _MOST) - (_BIAS - format.bias))
        q, low, up = f.local("i64", m >> cut), f.local("i64", m << 64 - cut), f.local()
        away = f.local(value=((rc == DOWN) & (sign != 0)) | ((rc == UP) & sign.is_zero()))

        def round_up():
            near = (low > _ONE) | ((low == _ONE) & q.low() & 1)
            f.set(up, (rc == NEAREST).pick(near, away & (low != 0)))
        round_up()
        tiny, flags = f.local(value=0), f.local(value=0)
        below = f.local(value=X("i32", e.raw + w.i32(0) + OP["i32.le_s"]))
        with f.if_(below):
            f.set(tiny, (e | (up ^ 1) | (q != (1 << p) - 1)) != 0)       # rounding may make it the least normal number
            with f.if_(tiny & (mxcsr & UE << MASKS).is_zero()):
                _flag(f, (low != 0).pick(c32(UE | PE), c32(UE)))
                f.ret(sign)
            if not half:
                with f.if_(tiny & ((mxcsr & FTZ) != 0)):
                    _flag(f, UE | PE)
                    f.ret(sign)
            shift = f.local("i64", (c32(cut + 1) - e).wide())
            shift_down(f, q, m, low, shift)
            round_up()
            f.set(q, q + up.wide())
            with f.if_(low != 0):
                _flag(f, tiny.pick(c32(UE | PE), c32(PE)))
            f.ret(sign | q)
        with f.if_(low != 0):
            f.set(flags, PE)
        f.set(q, q + up.wide())
        with f.if_((q >> p) != 0):
            f.set(q, q >> 1)
            f.set(e, e + 1)
        with f.if_(e > 2 * format.bias):
            with f.if_((mxcsr & OE << MASKS).is_zero()):
                _flag(f, flags | OE)
                f.ret(sign)
            _flag(f, OE | PE)
            f.ret(sign | ((rc == NEAREST) | away).pick(c64(format.infinity), c64(format.infinity - 1)))
        with f.if_(flags):
            _flag(f, flags)
        f.ret(sign | ((e.wide() << p - 1) + (q - (1 << p - 1))))
        f.done()
        return f.index

    def _arithmetic(self, op: str, format) -> int:
        f = self._lane(f"f{format.bits}.{op}", "i64" if op == "sqrt" else "i64 i64")
        x, y = f.params[0], f.params[-1]
        self._flush(f, format, *f.params)
        a, b = _magnitude(f, x, format), _magnitude(f, y, format)
        with f.if_((a > format.infinity) | (b > format.infinity)):
            with f.if_(self._signaling(x, format) | self._signaling(y, format)):
                _flag(f, IE)
            f.ret((a > format.infinity).pick(x, y) | format.quiet)
        infinite = (a == format.infinity) | (b == format.infinity)

        def invalid():
            _flag(f, IE)
            f.ret(c64(format.indefinite))

        def denormals():
            with f.if_(_is_denormal(x, format) | _is_denormal(y, format)):
                _flag(f, DE)

        def special(condition: X, value: X):
            """An exact result."""
            with f.if_(condition):
                denormals()
                f.ret(value)
        sign = f.local("i64", (x ^ y) & format.sign)
        if op in ("add", "sub"):
            if op == "sub":
                f.set(y, y ^ format.sign)
            with f.if_((a == format.infinity) & (b == format.infinity) & (x != y)):
                invalid()
            special(infinite, (a == format.infinity).pick(x, y))
        elif op == "mul":
            with f.if_(infinite & (a.is_zero() | b.is_zero())):
                invalid()
            special(infinite, sign | format.infinity)
        elif op == "div":
            with f.if_((a == b) & (infinite | a.is_zero())):
                invalid()
            special(a == format.infinity, sign | format.infinity)
            special(b == format.infinity, sign)
            with f.if_(b.is_zero()):
                _flag(f, ZE)
                f.ret(sign | format.infinity)
        else:
            with f.if_(a.is_zero()):
                f.ret(x)
            with f.if_((x & format.sign) != 0):
                invalid()
            special(infinite, x)
        denormals()
        if op == "sqrt":
            m, high = self._root(f, *self._unpack(f, x, format))
        else:
            kernel = {"mul": self.kernels.mul, "div": self.kernels.div}.get(op, self.kernels.add)
            (m, high), (n, other) = self._unpack(f, x, format), self._unpack(f, y, format)
            f.out.append(invoke(kernel, m, spread_plain(high), n, spread_plain(other)).raw + w.DROP)
            m, high = f.local("i64", _cell("i64.load", at.X87_VALUE)), f.local(value=_cell("i32.load", at.X87_HIGH))
        if op in ("add", "sub"):
            with f.if_(m.is_zero()):
                down = ((_mxcsr() >> RC & 3) == DOWN).wide() << format.bits - 1
                f.ret(((x ^ y) & format.sign).is_zero().pick(x & format.sign, down))
        f.ret(invoke(self.pack[format.bits], m, high, type="i64"))
        f.done()
        return f.index

    def _fused(self, op: str, format) -> int:
        """x * y + z: the product has 128 bits, and the sum, whose lowest bit stands for all below it; then it is rounded."""
        f = self._lane(f"f{format.bits}.{op}", "i64 i64 i64")
        x, y, z = f.params
        minus_product, minus_z = FUSED[op]
        self._flush(f, format, x, y, z)
        a, b, c = (_magnitude(f, v, format) for v in (x, y, z))
        invalid = f.local(value=((a == format.infinity) & b.is_zero()) | ((b == format.infinity) & a.is_zero()))
        with f.if_((a > format.infinity) | (b > format.infinity) | (c > format.infinity)):
            with f.if_(self._signaling(x, format) | self._signaling(y, format) | self._signaling(z, format)):
                _flag(f, IE)
            f.ret((a > format.infinity).pick(x, (b > format.infinity).pick(y, z)) | format.quiet)
        if minus_z:
            f.set(z, z ^ format.sign)
        sign = f.local("i64", (x ^ y) & format.sign)
        if minus_product:
            f.set(sign, sign ^ format.sign)
        infinite = f.local(value=(a == format.infinity) | (b == format.infinity))
        with f.if_(invalid | (infinite & (c == format.infinity) & ((z & format.sign) != sign))):
            _flag(f, IE)
            f.ret(c64(format.indefinite))
        with f.if_(_is_denormal(x, format) | _is_denormal(y, format) | _is_denormal(z, format)):
            _flag(f, DE)
        with f.if_(infinite):
            f.ret(sign | format.infinity)
        with f.if_(c == format.infinity):
            f.ret(z)
        n, n_high = self._unpack(f, z, format)
        with f.if_(a.is_zero() | b.is_zero()):
            with f.if_(c.is_zero()):
                down = ((_mxcsr() >> RC & 3) == DOWN).wide() << format.bits - 1
                f.ret((sign == (z & format.sign)).pick(sign, down))
            f.ret(invoke(self.pack[format.bits], n, n_high, type="i64"))
        (m, m_high), (k, k_high) = self._unpack(f, x, format), self._unpack(f, y, format)
        e = f.local(value=(m_high & _MOST) + (k_high & _MOST) - (_UNIT - 64))
        low = f.local("i64", m * k)
        f.set(m, invoke(self.kernels.mulhi, m, k, type="i64"))
        with f.if_((m >> 63).is_zero()):
            f.set(m, (m << 1) | (low >> 63))
            f.set(low, low << 1)
            f.set(e, e - 1)
        minus = f.local(value=(sign != 0))
        with f.if_(c != 0):
            self._add_wide(f, m, low, e, minus, n, n_high)
            with f.if_((m | low).is_zero()):
                f.ret(((_mxcsr() >> RC & 3) == DOWN).wide() << format.bits - 1)
        f.ret(invoke(self.pack[format.bits], m | (low != 0).wide(), (minus << 15) | e, type="i64"))
        f.done()
        return f.index

    @staticmethod
    def _add_wide(f, m, low, e, minus, n, n_high) -> None:
        """m:low, e, minus: the sum of that number, whose top bit is set, and of n; the top bit is set unless it is 0."""
        n_low, n_e, n_minus = f.local("i64", 0), f.local(value=n_high & _MOST), f.local(value=n_high >> 15)
        same = f.local(value=(minus ^ n_minus).is_zero())
        spare = f.local("i64")
        with f.if_((e < n_e) | ((e == n_e) & (m < n))):            # the larger first
            for x, y in ((m, n), (low, n_low)):
                f.set(spare, x)
                f.set(x, y)
                f.set(y, spare)
            was = f.local(value=e)
            f.set(e, n_e)
            f.set(n_e, was)
            f.set(minus, n_minus)
        by = f.local(value=e - n_e)
        with f.if_(by):
            lost = f.local("i64", 0)
            with f.if_(by >= 128):
                f.set(lost, c64(1))
                f.set(n, 0)
                f.set(n_low, 0)
            with f.else_():
                with f.if_(by >= 64):
                    f.set(lost, n_low)
                    f.set(n_low, n)
                    f.set(n, 0)
                    f.set(by, by - 64)
                with f.if_(by):
                    up = c64(64) - by.wide()
                    f.set(lost, lost | (n_low << up))
                    f.set(n_low, (n_low >> by.wide()) | (n << up))
                    f.set(n, n >> by.wide())
            f.set(n_low, n_low | (lost != 0).wide())
        with f.if_(same):
            f.set(low, low + n_low)
            carry = f.local("i64", (low < n_low).wide())
            f.set(m, m + n)
            over = f.local(value=(m < n))
            f.set(m, m + carry)
            f.set(over, over | (m < carry))
            with f.if_(over):
                f.set(low, (low >> 1) | (m << 63) | (low & 1))
                f.set(m, (m >> 1) | _ONE)
                f.set(e, e + 1)
        with f.else_():
            borrow = f.local("i64", (low < n_low).wide())
            f.set(low, low - n_low)
            f.set(m, m - n - borrow)
            with f.if_(m.is_zero()):
                f.set(m, low)
                f.set(low, 0)
                f.set(e, e - 64)
            zeros = f.local("i64", _unary(m, "clz"))
            with f.if_((zeros != 0) & (m != 0)):
                f.set(m, (m << zeros) | (low >> (c64(64) - zeros)))
                f.set(low, low << zeros)
                f.set(e, e - zeros.low())

    @staticmethod
    def _root(f, m, high) -> tuple[X, X]:
        """The square root of a number whose significand has 53 bits at most: to the nearest of 53, and the sign of what is left
        makes it a little more or less."""
        e = f.local(value=high - _BIAS)
        odd = f.local("i64", e.wide() & 1)
        m53 = f.local("i64", (m >> 11) << odd)
        root = X("f64", m53.raw + OP["f64.convert_i64_u"] + w.i64((1023 - 52) << 52) + OP["f64.reinterpret_i64"] + OP["f64.mul"] + OP["f64.sqrt"])
        q = f.local("i64", (_bits(root) & (1 << 52) - 1) | 1 << 52)
        rest = f.local("i64", (m53 << 52) - q * q)
        below = X("i32", rest.raw + w.i64(0) + OP["i64.lt_s"]).wide()
        half = X("i32", (e - odd.low()).raw + w.i32(1) + OP["i32.shr_s"])
        return (q << 11) + (rest != 0).wide() - (below << 1), half + _BIAS

    def _convert(self, format, to) -> int:
        f = self._lane(f"f{to.bits}.from_f{format.bits}", "i64 i32" if to is HALF else "i64")
        x, *how = f.params
        if format is not HALF:
            self._flush(f, format, x)
        a = _magnitude(f, x, format)
        sign = f.local("i64", (x >> format.bits - 1) << to.bits - 1)
        up = to.precision - format.precision
        with f.if_(a >= format.infinity):
            with f.if_(a == format.infinity):
                f.ret(sign | to.infinity)
            with f.if_((x & format.quiet).is_zero()):
                _flag(f, IE)
            payload = x & (1 << format.precision - 1) - 1
            f.ret(sign | to.infinity | to.quiet | (payload << up if up > 0 else payload >> -up))
        if format is not HALF:
            with f.if_(_is_denormal(x, format)):
                _flag(f, DE)
        f.ret(invoke(self.pack[to.bits], *self._unpack(f, x, format), *how, type="i64"))
        f.done()
        return f.index

    def _from_integer(self, format) -> int:
        f = self._lane(f"f{format.bits}.from_i64", "i64")
        n, = f.params
        high = f.local(value=(n >> 48).low() & _SIGN)
        with f.if_(high):
            f.set(n, c64(0) - n)
        with f.if_(n.is_zero()):
            f.ret(c64(0))
        shift = f.local("i64", _unary(n, "clz"))
        f.ret(invoke(self.pack[format.bits], n << shift, high | (c32(_UNIT) - shift.low()), type="i64"))
        f.done()
        return f.index

    @staticmethod
    def _cut(f, m, high, how) -> tuple[Local, Local]:
        """A number below 2**64 rounded to an integer, and what was cut off, shifted up."""
        shift = f.local("i64", (c32(_UNIT) - (high & _MOST)).wide())
        n, low = f.local("i64", m), f.local("i64", 0)
        rc = f.local(value=(how & MXCSR_RC).pick(_mxcsr() >> RC & 3, how & 3))
        with f.if_((shift != 0) & (m != 0)):
            shift_down(f, n, m, low, shift)
            with f.if_(low != 0):
                negative = high >> 15
                near = (low > _ONE) | ((low == _ONE) & n.low() & 1)
                away = ((rc == DOWN) & negative) | ((rc == UP) & (negative ^ 1))
                f.set(n, n + (rc == NEAREST).pick(near, away).wide())
        return n, low

    def _inexact(self, f, low, how):
        with f.if_((low != 0) & (how & 8).is_zero()):
            _flag(f, PE)

    def _to_integer(self, format, size: int) -> int:
        f = self._lane(f"i{size}.from_f{format.bits}", "i64 i32")
        x, how = f.params
        self._flush(f, format, x)

        def invalid():
            _flag(f, IE)
            f.ret(c64(1 << size - 1))
        with f.if_((x & format.sign - 1) >= format.infinity):
            invalid()
        m, high = self._unpack(f, x, format)
        with f.if_((high & _MOST) > _UNIT):
            invalid()
        n, low = self._cut(f, m, high, how)
        negative = f.local("i64", (high >> 15).wide())
        with f.if_(n > negative + ((1 << size - 1) - 1)):
            invalid()
        self._inexact(f, low, how)
        n = (n ^ (c64(0) - negative)) + negative
        f.ret(n if size == 64 else n & 0xFFFFFFFF)
        f.done()
        return f.index

    def _whole(self, format) -> int:
        f = self._lane(f"f{format.bits}.whole", "i64 i32")
        x, how = f.params
        self._flush(f, format, x)
        a = _magnitude(f, x, format)
        with f.if_(a > format.infinity):
            with f.if_((x & format.quiet).is_zero()):
                _flag(f, IE)
            f.ret(x | format.quiet)
        with f.if_(a >= (format.bias + format.precision - 1) << format.precision - 1):
            f.ret(x)                                           # infinite, or too large to have a fraction
        n, low = self._cut(f, *self._unpack(f, x, format), how)
        self._inexact(f, low, how)
        t = f"f{format.bits}"
        f.ret(_bits(X(t, n.raw + OP[f"{t}.convert_i64_u"])) | (x & format.sign))
        f.done()
        return f.index

    def _signal(self, format) -> int:
        f = self._lane(f"f{format.bits}.signal", "i64 i64 i32")
        x, y, quiet_too = f.params
        self._flush(f, format, x, y)
        with f.if_(self._is_nan(x, format) | self._is_nan(y, format)):
            with f.if_(quiet_too | self._signaling(x, format) | self._signaling(y, format)):
                _flag(f, IE)
            f.ret(c64(0))
        with f.if_(_is_denormal(x, format) | _is_denormal(y, format)):
            _flag(f, DE)
        f.ret(c64(0))
        f.done()
        return f.index

    def _operand(self, format) -> int:
        f = self._lane(f"f{format.bits}.operand", "i64")
        x, = f.params
        self._flush(f, format, x)
        f.ret(x)
        f.done()
        return f.index
