"""Exceptions of SSE's numbers in regions, looked for several operations at a time.

Where MXCSR rounds to nearest, flushes nothing and masks all exceptions, Wasm's results are those of a processor; what is missing
are the exceptions in MXCSR. So no operation need be done again: a group of them is looked at as a whole, and if it may have raised
something, functions (sse.py) are called for all of them, with the operands, which were kept in locals; their results are not needed.
A group ends before whatever may leave the region, and where the block ends. What is looked at:

    sums and most others    the result is added to a sum, which is finite if all are: nothing else can have been raised but DE
    products                also the operands: if these are zero or at least 2**-511, the result is no denormal, and zero only where one is
    quotients               the result has a middling exponent

Nobody looks for DE alone but in products: elsewhere that took half again as long. Where a sum is not finite, but IE and OE are in
MXCSR already, there is no more to be raised by that.

Knows operations and locals; knows no instructions, and no control flow.
"""
from functools import lru_cache

from ..wasm import encoding as w
from ..wasm.encoding import OP
from ..x86.ieee import DAZ, DOUBLE, FTZ, IE, MASKS, OE, PE, RC, SINGLE, ZE
from ..x86.sse_floats import SIGNATURES
from . import layout as at
from .frame import ZERO32

_MASKED = 0x3F << MASKS
_CONTROLS = _MASKED | 3 << RC | FTZ | DAZ
_MXCSR = ZERO32 + w.access("i32.load", at.MXCSR)
# Not 0 where MXCSR does not round to nearest, flushes something or does not mask an exception.
UNPLAIN = _MXCSR + w.i32(_CONTROLS) + OP["i32.and"] + w.i32(_MASKED) + OP["i32.xor"]
# -1 where the precision exception is not there yet, as an i64; else 0.
PRECISE = _MXCSR + w.i32(PE) + OP["i32.and"] + OP["i32.eqz"] + OP["i64.extend_i32_u"] + w.i64(-1) + OP["i64.mul"]
_UNRAISED = _MXCSR + w.i32(IE | OE) + OP["i32.and"] + w.i32(IE | OE) + OP["i32.ne"]

# Locals of groups, by number: whether one is to be looked at (negative; not 0); sums of results; whether precision is looked at;
# a result that is looked at again; operands kept, by type.
SCALAR, PACKED = 0, 1
SUM = {"f64": 2, "f32": 3, "f64x2": 4, "f32x4": 5}
EXACT = 6
_RESULT = {"f64": 7, "f32": 8, "v128": 9}
ROOM = {"f64": 20, "f32": 20, "v128": 16, "i64": 4, "i32": 4}
KEPT, TYPES = {}, ["i64", "v128", "f64", "f32", "v128", "v128", "i64", "f64", "f32", "v128"]
for _type, _n in ROOM.items():
    KEPT[_type] = len(TYPES)
    TYPES += [_type] * _n
FIRST_KEPT = KEPT["f64"]
_ARITHMETIC = {"add", "sub", "addsub", "mul", "div", "sqrt"}


def _format(shape: str): return DOUBLE if shape[1:3] == "64" else SINGLE
def _int(f) -> str: return f"i{f.bits}"


def _number(n: int, f, vector: bool) -> bytes:
    """The number with these bits, in each lane."""
    if vector:
        return w.v128(sum(n << k for k in range(0, 128, f.bits)))
    return w.i64(n) + OP["f64.reinterpret_i64"] if f is DOUBLE else w.i32(n) + OP["f32.reinterpret_i32"]


def _twice(x: bytes, f, plus: int) -> bytes:
    """The bits of a number without its sign, moved up, plus an integer."""
    i, const = _int(f), w.i64 if f is DOUBLE else w.i32
    return x + OP[f"{i}.reinterpret_f{f.bits}"] + const(1) + OP[i + ".shl"] + const(plus) + OP[i + ".add"]


@lru_cache(1 << 10)
def is_small(x: bytes, shape: str, least: int) -> bytes:
    """Not 0 (as a vector: in any bit) where x is a number, not zero, with a lower exponent than `least`."""
    f, vector = _format(shape), "x" in shape
    if vector:
        return x + OP[shape + ".abs"] + _number(least << f.precision - 1, f, True) + OP[shape + ".lt"] + x + OP["v128.and"]
    return _twice(x, f, -1) + (w.i64 if f is DOUBLE else w.i32)((least << f.precision) - 1) + OP[_int(f) + ".lt_u"]


def is_extreme(x: bytes, shape: str) -> bytes:
    """Likewise where the exponent of x is not among the middle half of all, as that of zero is not."""
    f, least = _format(shape), _middle(shape)
    if "x" in shape:
        inside = [x + OP[shape + ".abs"] + _number(n << f.precision - 1, f, True) + OP[f"{shape}.{op}"]
                  for n, op in ((least, "ge"), (3 * least, "lt"))]
        return b"".join(inside) + OP["v128.and"] + OP["v128.not"]
    return _twice(x, f, -(least << f.precision)) + (w.i64 if f is DOUBLE else w.i32)(0) + OP[_int(f) + ".lt_s"]


def _middle(shape: str) -> int: return _format(shape).bias + 1 >> 1


def _is_indefinite(shape: str, result: bytes) -> bytes:
    """Likewise where a conversion to integers gave what it gives where there is none."""
    if "x" in shape:
        return result + w.v128(sum(1 << 31 + k for k in range(0, 128, 32))) + OP["i32x4.eq"]
    return result + w.i64(1 << int(shape[1:]) - 1) + OP["i64.eq"]


def _is_not_finite(x: bytes, shape: str, local: int) -> bytes:
    """local: for what x less x is, zero or no number."""
    return x + x + OP[shape + ".sub"] + w.tee(local) + w.get(local) + OP[shape + ".ne"] + OP["v128.any_true"] * ("x" in shape)


@lru_cache(1 << 14)
def suspected(op: str, operands: tuple[bytes, ...], local: int) -> bytes:
    """Not 0 where an operation of arithmetic may have raised something but the precision exception and, if it is no product, DE: not where the
    result is finite and no denormal, or zero because an operand is; nor where it is infinite or none, and what that takes has been raised
    before. local: for the result."""
    shape, what = op.split(".")
    f, vector = _format(shape), "x" in shape
    any_true = OP["v128.any_true"] if vector else b""
    if what == "addsub":                                   # none is finite where a sum or a difference is not
        r = b"".join(operands + (OP[shape + ".add"],) + operands + (OP[shape + ".sub"], OP["v128.or"]))
    else:
        r = b"".join(operands) + OP[op]
    large = r + w.tee(local) + OP[shape + ".abs"] + _number(f.infinity, f, vector) + OP[shape + ".lt"]
    large += OP["v128.not"] + any_true if vector else OP["i32.eqz"]
    raised = IE | OE | ZE * (what == "div")
    large += _MXCSR + w.i32(raised) + OP["i32.and"] + w.i32(raised) + OP["i32.ne"] + OP["i32.and"]
    if what not in ("mul", "div", "sqrt"):
        return large
    tests = [w.get(local) + OP[shape + ".abs"] + _number(1 << f.precision - 1, f, vector) + OP[shape + ".le"]]
    tests += [x + _number(0, f, vector) + OP[shape + ".ne"] for x in dict.fromkeys(operands if what == "mul" else operands[:1])]
    found = large + b"".join(tests) + OP["v128.and" if vector else "i32.and"] * (len(tests) - 1) + any_true + OP["i32.or"]
    for x in dict.fromkeys(operands if what == "mul" else ()):             # denormals
        found += is_small(x, shape, 1) + any_true + OP["i32.or"]
    return found


class Deferred:
    """What Instructions have of this. Operations noted in a template name their operands (type, k-th of that type that the instruction
    keeps)."""

    def begin_groups(self) -> None:
        self.started = 0                  # locals up to SUM that have a value, a mask
        self.waiting: list = []           # operations of the group: name, operands pushed
        self.taken: dict[str, int] = {}   # locals for operands that the group uses, by type
        self.noted: list = []             # as `waiting`, of the instruction that is recorded
        self.kept: dict[str, int] = {}
        self.looks = False                # it looks at MXCSR
        self.extra: dict[int, int] = {}   # the locals that there are

    def extra_local(self, number: int) -> int:
        local = self.extra.get(number)
        if local is None:
            local = self.extra[number] = self.declare(TYPES[number])
        return local

    def _result_local(self, op: str) -> int: return self.extra_local(_RESULT["v128" if "x" in op.split(".")[0] else op[:3]])
    def begin_exact(self) -> bytes: return PRECISE + w.put(self.extra_local(EXACT))

    # ---- an instruction, as it is recorded
    def note(self, op: str, operands: list[bytes], types: list[str]) -> None:
        """Keeps the operands of an operation. types: of each, "" where it is a constant."""
        args = []
        for raw, type in zip(operands, types):
            if not type:
                args.append(raw)
                continue
            k = self.kept.get(type, 0)
            self.kept[type] = k + 1
            self.out.append(raw + b"\x21" + self.group_hole(KEPT[type] + k))
            args.append((type, k))
        self.noted.append((op, tuple(args)))

    def watch(self, op: str, operands: list[bytes], result: bytes | None, is_known) -> None:
        """Looks at what may have been raised. is_known(raw, shape): whether that is zero or not small, as here for products."""
        shape, what = op.split(".")
        of = what.removeprefix("from_") if what.startswith("from_") else shape
        if of[0] == "i":
            return
        if shape[0] == "i":
            self._spoil(_is_indefinite(shape, result), "x" in shape)
        elif what == "signal":
            for x in dict.fromkeys(operands):
                self._add_up(shape, x)
        elif what == "div":
            self._spoil(is_extreme(result, shape), "x" in shape)
        else:
            self._add_up(shape, result)
            if what == "mul":
                for x in dict.fromkeys(operands):
                    if not is_known(x, of):
                        self._spoil(is_small(x, of, _middle(of)), "x" in of)
            elif what in ("from_f64", "from_f64x2"):
                self._spoil(is_small(operands[0], of, DOUBLE.bias - SINGLE.bias + 1), "x" in of)

    def _add_up(self, shape: str, x: bytes) -> None:
        """Has the group looked at where x is infinite or no number (or so large that the sum is)."""
        n = SUM[shape]
        local = self.group_hole(n)
        if self.started >> n & 1:
            x += b"\x20" + local + OP[shape + ".add"]
        self.started |= 1 << n
        self.out.append(x + b"\x21" + local)

    def _spoil(self, condition: bytes, vector: bool) -> None:
        """Has the group looked at where the condition holds."""
        n = PACKED if vector else SCALAR
        local = self.group_hole(n)
        if vector:
            self.out.append(condition + (b"\x20" + local + OP["v128.or"] if self.started >> n & 1 else b"") + b"\x21" + local)
        else:
            if not self.started >> n & 1:
                self.out.append(b"\x20" + self.group_hole(EXACT) + b"\x21" + local)
            self.out.append(w.if_(condition + w.UNLIKELY, w.i64(-1) + b"\x21" + local))
        self.started |= 1 << n

    # ---- a group
    def join_group(self, template) -> None:
        """What an instruction has noted becomes part of the group."""
        def pushed(arg):
            return w.get(self.extra_local(KEPT[arg[0]] + self.taken.get(arg[0], 0) + arg[1])) if arg.__class__ is tuple else arg
        self.waiting += [(op, tuple(map(pushed, args))) for op, args in template.noted]
        for type, n in template.kept.items():
            self.taken[type] = self.taken.get(type, 0) + n
        self.started |= template.started

    def must_settle(self, template) -> bool:
        """Whether the group must end before an instruction."""
        return template.leaves or any(self.taken.get(type, 0) + n > ROOM[type] for type, n in template.kept.items())

    def settle(self) -> None:
        """Ends the group: looks whether anything was raised, and adds it to MXCSR."""
        if not self.waiting:
            return
        calls = b"".join(b"".join(args) + w.call(self.imports.float_ops[op]) + w.DROP * bool(SIGNATURES[op][1])
                         for op, args in self.waiting)
        calls += self.begin_exact()
        exact = w.get(self.extra_local(EXACT))
        if all(op.split(".")[1] in _ARITHMETIC for op, _ in self.waiting):
            doubts = [suspected(op, args, self._result_local(op)) for op, args in self.waiting]
            calls = w.if_(b"".join(doubts) + exact + OP["i32.wrap_i64"] + OP["i32.or"] * len(doubts) + w.UNLIKELY, calls)
        sums = [_is_not_finite(w.get(self.extra[n]), shape, self._result_local(shape)) for shape, n in SUM.items() if self.started >> n & 1]
        look = w.get(self.extra[SCALAR]) if self.started >> SCALAR & 1 else exact
        if sums:
            if not self.started >> SCALAR & 1:
                self.out.append(exact + w.put(self.extra_local(SCALAR)))
                look = w.get(self.extra[SCALAR])
            spoil = w.if_(_UNRAISED, w.i64(-1) + w.put(self.extra[SCALAR]))
            self.out.append(w.if_(b"".join(sums) + OP["i32.or"] * (len(sums) - 1) + w.UNLIKELY, spoil))
        test = look + w.i64(0) + OP["i64.lt_s"]
        if self.started >> PACKED & 1:
            test += w.get(self.extra[PACKED]) + OP["v128.any_true"] + OP["i32.or"]
        self.out.append(w.if_(test + w.UNLIKELY, calls))
        self.started, self.numbers, self.waiting, self.taken = 0, 0, [], {}
