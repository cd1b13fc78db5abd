"""What AVX, AVX2, FMA and F16C instructions mean (Intel SDM volume 2).

Most are an instruction of SSE with a destination of its own, which leaves the upper half of a vector register zero, or does the
same to both halves. Those get their meaning from SSE's: it runs over a `_Half`, the machine as that instruction
would see it. What has no such sibling is written here, or, where one half is enough to say it, as an SSE instruction
without an encoding ("testps").

A vector register of 256 bits is read and written as two halves: `read_vec` and `read_upper`, `write_vec` and `write_upper`.
"""
from . import crypto, pcmpstr, sse, sse3, sse4          # noqa: F401  register their meanings
from .meaning import MEANINGS, Bool, Int, Machine, Vec, meaning
from .opcodes import ROWS, VEX
from .sse import lanes
from .sse4 import _blend as blend
from .sse_floats import compared

_STEPS = {"shufpd": 2, "blendps": 4, "blendpd": 2, "mpsadbw": 3, "permilpd_i": 2, "pblendd": 4}     # bits of the immediate that are the lower half's alone
_SPREAD = {"cvtps2pd", "cvtdq2pd", *(f"pmov{sign}x{to}" for sign in "sz" for to in ("bw", "bd", "bq", "wd", "wq", "dq"))}      # each half is of half the source
_NARROW = {"cvtpd2ps", "cvtpd2dq", "cvttpd2dq"}         # each half gives half of the result
_MASKS = {"pmovmskb": 16, "movmskps": 4, "movmskpd": 2} # bits of the result from the lower half
_COMBINED = {"ptest", "testps", "testpd"}               # no result: flags, of both halves


class _Half(Machine):
    """What an SSE instruction's meaning sees of half `half` of a VEX instruction: its destination is read as operand `shift`, its
    other operands are `shift` further on. A vector that it writes is kept in `result`; of a wide one, a number and flags too."""

    def __init__(self, m: Machine, shift: int, half: int, wide: bool, step: int, spread: bool):
        self.m, self.shift, self.half, self.wide, self.step, self.spread = m, shift, half, wide, step, spread
        self.kinds = (m.kinds[0], *m.kinds[1 + shift:])
        bits = m.bits[0], *m.bits[1 + shift:]
        self.bits = tuple(min(b // 2 if k and spread and wide and kind != "i" else b, 128) for k, (kind, b) in enumerate(zip(self.kinds, bits)))
        self.size, self.cc, self.rep, self.asize, self.segment = m.size, m.cc, m.rep, m.asize, m.segment
        self.result = self.flags = None

    def read_vec(self, k):
        m, k = self.m, k + self.shift
        if not self.half or m.kinds[k] not in "xm":
            return m.read_vec(k)
        if m.bits[k] == 256:
            return m.read_upper(k)
        if not self.spread:
            return m.read_vec(k)
        n = m.bits[k] // 16
        return Vec(m, m.read_vec(k)).shuffle(m.vec(0), [*range(n, 16), *range(16, 16 + n)]).raw

    def read(self, k, bits):
        m, there = self.m, k + self.shift
        if m.kinds[there] == "i" and self.half and self.step:
            return (m.operand(there) >> self.step).raw
        if m.kinds[there] == "x" or m.kinds[there] == "m" and m.bits[there] >= 128 or self.half and self.spread:
            return Vec(m, self.read_vec(k)).int(0, bits).raw
        return m.read(there, bits)

    def write(self, k, value):
        assert k == 0
        if self.wide and self.kinds[0] == "r":
            self.result = value
        else:
            self.m.write(0, value)

    def write_vec(self, k, value):
        assert k == 0
        self.result = value

    def set_xmm(self, number, value):
        self.m.set_xmm(number, value)
        self.m.set_upper(number, self.m.vec(0))

    def flags_set(self, **bits):
        if self.wide:
            self.flags = bits
        else:
            self.m.flags_set(**bits)

    def address(self, k, segment=True, plus=None): return self.m.address(k + self.shift, segment, plus)

    def float_op(self, op, *values):
        if self.wide:
            self.m.both_halves()
        return self.m.float_op(op, *values)


def _passed_on(name): return lambda self, *values, **more: getattr(self.m, name)(*values, **more)


for _name in """prim lane shuffle const keep reg set_reg xmm load store load_vec store_vec writable base cell set_cell when choose trap_if
                slow_if flags_compare arithmetic_flags set_arithmetic_flags condition call wrap known""".split():
    setattr(_Half, _name, _passed_on(_name))


def _put(m, low: Vec, high: Vec | None = None) -> None:
    """The result: of 256 bits, or the upper half of a register becomes zero."""
    m.write_vec(0, low)
    if m.kinds[0] == "x" or m.bits[0] == 256:
        m.write_upper(0, high or m.vec(0))


def _part(m, k: int, half: int) -> Vec: return Vec(m, m.read_upper(k) if half else m.read_vec(k))


def _halves(m, compute) -> None:
    """compute(half) for each, and then their results."""
    _put(m, *[compute(half) for half in range(2 if m.bits[0] == 256 else 1)])


def _derived(name: str, of: str, count: int):
    """count: operands of the SSE instruction."""
    run = MEANINGS[of]

    def meaning_of(m):
        wide = m.bits[0 if of not in _NARROW and of not in _MASKS else 1] == 256
        made = []
        for half in range(2 if wide else 1):
            made.append(_Half(m, len(m.kinds) - count, half, wide, _STEPS.get(of, 0), of in _SPREAD))
            run(made[-1])
        low, high = made[0].result, made[-1].result
        m.floats_done()
        if not wide:
            if low is not None:
                _put(m, low)
        elif of in _NARROW:
            _put(m, low.shuffle(high, [*range(8), *range(16, 24)]))
        elif of in _MASKS:
            m.dst = low | (high << _MASKS[of])
        elif of in _COMBINED:
            m.flags_set(**{flag: a & b for (flag, a), b in zip(made[0].flags.items(), made[1].flags.values())})
        else:
            _put(m, low, high)
    meaning(name)(meaning_of)


# ---------------------------------------------------------------------------------------------- new, but as SSE would have it


blend("pblendd", 32)
MEANINGS["permilps_i"] = MEANINGS["pshufd"]


def _sign_test(name, bits):
    def meaning_of(m):
        x, y, none = m.vdst, m.vsrc, m.bool(False)
        m.flags_set(cf=y.op("v128.andnot", x).bitmask(bits).is_zero(), pf=none, af=none, zf=(x & y).bitmask(bits).is_zero(), sf=none, of=none)
    meaning(name)(meaning_of)


_sign_test("testps", 32)
_sign_test("testpd", 64)


@meaning()
def permilps(m):
    m.vdst = m.vdst.op("i8x16.swizzle", (m.vsrc & 3 * lanes(1, 1, 1, 1)).op("i32x4.mul", lanes(*[0x04040404] * 4))
                       .op("i32x4.add", lanes(*[0x03020100] * 4)))


def _qwords(m, numbers: Vec) -> Vec:
    """Byte indices that pick the qwords whose numbers, 0 or 1, are in the lanes."""
    return numbers.op("i64x2.mul", lanes(*[0x0808080808080808] * 2)).op("i64x2.add", lanes(*[0x0706050403020100] * 2))


@meaning()
def permilpd(m):
    m.vdst = m.vdst.op("i8x16.swizzle", _qwords(m, m.vsrc.shift("i64x2.shr_u", m.int(1, 32)) & lanes(1, 1)))


@meaning()
def permilpd_i(m):
    x, order = m.vsrc, m.src2
    low, high = (order.bit(k).select(x.int(1, 64), x.int(0, 64)) for k in (0, 1))
    m.vdst = m.vec(0).with_int(0, low).with_int(1, high)


def _shift_each(name, bits, shift):
    """Each lane by the count in the same lane of the other operand, which is not taken modulo anything."""
    def meaning_of(m):
        x, counts, result = m.vdst, m.vsrc, m.vec(0)
        for lane in range(128 // bits):
            n = counts.int(lane, bits)
            result = result.with_int(lane, shift(m, x.int(lane, bits), n, n.lt_u(bits)))
        m.vdst = result
    meaning(name)(meaning_of)


for _letter, _bits in (("d", 32), ("q", 64)):
    _shift_each("psllv" + _letter, _bits, lambda m, x, n, small: small.select(x << n, m.int(0, x.bits)))
    _shift_each("psrlv" + _letter, _bits, lambda m, x, n, small: small.select(x >> n, m.int(0, x.bits)))
_shift_each("psravd", 32, lambda m, x, n, small: x.sar(small.select(n, m.int(31, 32))))


# ---------------------------------------------------------------------------------------------- comparisons: 32 predicates

# Bit p: predicate p holds of a number that is less, equal, greater, or not comparable. The upper 16 differ in what they signal.
_LESS, _EQUAL, _GREATER, _UNORDERED = 0x9696, 0xA5A5, 0xF0F0, 0x8778


def _predicate(m, x: Vec, y: Vec, bits: int, which: Int) -> Vec:
    shape = f"f{bits}x{128 // bits}"
    cases = ((_LESS, lambda: x.op(f"{shape}.lt", y)), (_EQUAL, lambda: x.op(f"{shape}.eq", y)),
             (_GREATER, lambda: x.op(f"{shape}.gt", y)), (_UNORDERED, lambda: x.op(f"{shape}.ne", x) | y.op(f"{shape}.ne", y)))
    known, found = m.known(which), None
    for mask, make in cases:
        if known is None:
            one = (m.int(mask, 64) >> (which & 15).zext(64)).bit(0).select(make(), m.vec(0))
        elif mask >> (known & 15) & 1:
            one = make()
        else:
            continue
        found = one if found is None else found | one
    return m.vec(0) if found is None else found


def _compare(name, bits, scalar):
    def of_half(m, x, y, which):
        quiet_too = which.bit(0) ^ which.bit(1) ^ which.bit(4)
        if scalar:
            a, b = compared(m, f"f{bits}", x.float(0, bits), y.float(0, bits), quiet_too)
            r = _predicate(m, m.vec(0).with_float(0, a), m.vec(0).with_float(0, b), bits, which)
            return x.with_int(0, r.int(0, bits))
        return _predicate(m, *compared(m, f"f{bits}x{128 // bits}", x, y, quiet_too), bits, which)

    def meaning_of(m):
        which = m.operand(3)
        if m.bits[0] == 256:
            m.both_halves()
        made = [of_half(m, _part(m, 1, half), _part(m, 2, half), which) for half in range(2 if m.bits[0] == 256 else 1)]
        m.floats_done()
        _put(m, *made)
    meaning(name)(meaning_of)


_compare("vcmpps", 32, False)
_compare("vcmppd", 64, False)
_compare("vcmpss", 32, True)
_compare("vcmpsd", 64, True)


# ---------------------------------------------------------------------------------------------- across halves


@meaning()
def vzero(m):
    """VZEROUPPER; with VEX.L, which makes the operand size 16, VZEROALL."""
    for n in range(16):
        if m.size == 16:
            m.set_xmm(n, m.vec(0))
        m.set_upper(n, m.vec(0))


def _broadcast(name, bits):
    def meaning_of(m):
        value = m.operand(1, bits).splat()
        _put(m, value, value if m.bits[0] == 256 else None)
    meaning(*name.split())(meaning_of)


_broadcast("vpbroadcastb", 8)
_broadcast("vpbroadcastw", 16)
_broadcast("vpbroadcastd vbroadcastss", 32)
_broadcast("vpbroadcastq vbroadcastsd", 64)


@meaning()
def vbroadcastf128(m):
    value = m.vsrc
    _put(m, value, value)


@meaning()
def vinsertf128(m):
    value, where = m.vector(2), m.operand(3).bit(0)
    _put(m, where.select(_part(m, 1, 0), value), where.select(value, _part(m, 1, 1)))


@meaning()
def vextractf128(m): _put(m, m.src2.bit(0).select(_part(m, 1, 1), _part(m, 1, 0)))


@meaning()
def vperm2f128(m):
    order, sources = m.operand(3), [_part(m, k, half) for k in (1, 2) for half in (0, 1)]

    def chosen(at):
        low, high = (order.bit(at).select(sources[k + 1], sources[k]) for k in (0, 2))
        return order.bit(at + 3).select(m.vec(0), order.bit(at + 1).select(high, low))
    _put(m, chosen(0), chosen(4))


@meaning()
def vpermq(m):
    order, qwords = m.src2, [_part(m, 1, half).int(lane, 64) for half in (0, 1) for lane in (0, 1)]

    def chosen(at):
        low, high = (order.bit(at).select(qwords[k + 1], qwords[k]) for k in (0, 2))
        return order.bit(at + 1).select(high, low)
    _put(m, *(m.vec(0).with_int(0, chosen(at)).with_int(1, chosen(at + 2)) for at in (0, 4)))


@meaning()
def vpermps(m):
    low, high = _part(m, 2, 0), _part(m, 2, 1)

    def chosen(half):
        order = _part(m, 1, half)
        index = (order & 3 * lanes(1, 1, 1, 1)).op("i32x4.mul", lanes(*[0x04040404] * 4)).op("i32x4.add", lanes(*[0x03020100] * 4))
        upper = order.shift("i32x4.shl", m.int(29, 32)).shift("i32x4.shr_s", m.int(31, 32))
        return high.op("i8x16.swizzle", index).op("v128.bitselect", low.op("i8x16.swizzle", index), upper)
    _halves(m, chosen)


# ---------------------------------------------------------------------------------------------- under a mask


def _chosen(m, k: int, bits: int) -> list[Bool]:
    """The top bits of the lanes of a vector operand."""
    return [_part(m, k, half).int(lane, bits).msb() for half in range(m.bits[k] // 128) for lane in range(128 // bits)]


def _mask_load(name, bits):
    def meaning_of(m):
        at, found = m.address(2), []
        for k, here in enumerate(_chosen(m, 1, bits)):
            found.append(here.choose(lambda: m.load(at + k * bits // 8, bits), lambda: m.int(0, bits)))
        _halves(m, lambda half: _join(m, found[half * 128 // bits:(half + 1) * 128 // bits]))
    meaning(name)(meaning_of)


def _join(m, values: list[Int]) -> Vec:
    v = m.vec(0)
    for lane, value in enumerate(values):
        v = v.with_int(lane, value)
    return v


def _mask_store(name, bits):
    def meaning_of(m):
        at, chosen = m.address(0), _chosen(m, 1, bits)
        values = [_part(m, 2, half).int(lane, bits) for half in range(m.bits[2] // 128) for lane in range(128 // bits)]
        for k, here in enumerate(chosen):
            m.when(here, lambda: m.writable(at + k * bits // 8, bits))
        for k, here in enumerate(chosen):
            m.when(here, lambda: m.store(at + k * bits // 8, values[k]))
    meaning(name)(meaning_of)


for _letter, _bits in (("d", 32), ("q", 64)):
    _mask_load("vmaskload_" + _letter, _bits)
    _mask_store("vmaskstore_" + _letter, _bits)


# ---------------------------------------------------------------------------------------------- FMA, F16C

_FACTORS = {"132": (0, 2, 1), "213": (1, 0, 2), "231": (1, 2, 0)}       # two factors, and what is added


def _fused(name, what, order, bits, scalar):
    shape = f"f{bits}" if scalar else f"f{bits}x{128 // bits}"

    def meaning_of(m):
        if scalar:
            x, y, z = (m.vector(k).float(0, bits) for k in order)
            made = [m.vector(0).with_float(0, m.float_op(f"{shape}.{what}", x, y, z))]
        else:
            if m.bits[0] == 256:
                m.both_halves()
            made = [m.float_op(f"{shape}.{what}", *(_part(m, k, half) for k in order)) for half in range(m.bits[0] // 128)]
        m.floats_done()
        _put(m, *made)
    meaning(name)(meaning_of)


for _digits, _order in _FACTORS.items():
    for _bits, _letter in ((32, "s"), (64, "d")):
        for _what in ("fmadd", "fmsub", "fnmadd", "fnmsub"):
            _fused(f"v{_what}{_digits}p{_letter}", _what, _order, _bits, False)
            _fused(f"v{_what}{_digits}s{_letter}", _what, _order, _bits, True)
        for _what in ("fmaddsub", "fmsubadd"):
            _fused(f"v{_what}{_digits}p{_letter}", _what, _order, _bits, False)


@meaning()
def vcvtph2ps(m):
    x = m.vsrc
    if m.bits[0] == 256:
        m.both_halves()
    made = [m.float_op("f32x4.from_f16x4", x if not half else x.shuffle(x, [*range(8, 16)] * 2)) for half in range(m.bits[0] // 128)]
    m.floats_done()
    _put(m, *made)


@meaning()
def vcvtps2ph(m):
    how, wide = (m.src2 & 7).zext(32), m.bits[1] == 256
    if wide:
        m.both_halves()
    made = [m.float_op("f16x4.from_f32x4", _part(m, 1, half), how) for half in range(m.bits[1] // 128)]
    m.floats_done()
    _put(m, made[0].shuffle(made[1], [*range(8), *range(16, 24)]) if wide else made[0])


# ---------------------------------------------------------------------------------------------- all the others

_COUNTS = {row.meaning: len(row.operands) for row in ROWS if row.map < VEX}
_COUNTS |= {"pblendd": 3, "permilps_i": 3, "permilpd_i": 3, "permilps": 2, "permilpd": 2, "testps": 2, "testpd": 2,
            "psllvd": 2, "psllvq": 2, "psrlvd": 2, "psrlvq": 2, "psravd": 2}
for _meaning in sorted({row.meaning for row in ROWS if row.map >= VEX and row.meaning[0] == "v"} - MEANINGS.keys()):
    if _meaning[1:] in MEANINGS:
        _derived(_meaning, _meaning[1:], _COUNTS[_meaning[1:]])
