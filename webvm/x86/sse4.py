"""What the SSE4.1 instructions mean, and PCMPGTQ (Intel SDM volume 2). Comparisons of strings: see pcmpstr.py."""
from .meaning import Int, Vec, meaning
from .sse import lane, lanes, with_lane

# fmt: off
LANEWISE = {                               # dst = op(dst, src)
    "pcmpeqq":  "i64x2.eq",                "pcmpgtq":  "i64x2.gt_s",
    "packusdw": "i16x8.narrow_i32x4_u",    "pmulld":   "i32x4.mul",
    "pminsb":   "i8x16.min_s",             "pmaxsb":   "i8x16.max_s",
    "pminuw":   "i16x8.min_u",             "pmaxuw":   "i16x8.max_u",
    "pminsd":   "i32x4.min_s",             "pmaxsd":   "i32x4.max_s",
    "pminud":   "i32x4.min_u",             "pmaxud":   "i32x4.max_u",
}
# fmt: on
for _name, _op in LANEWISE.items():
    def _lanewise(m, op=_op): m.vdst = m.vdst.op(op, m.vsrc)
    meaning(_name)(_lanewise)


# ---------------------------------------------------------------------------------------------- wider integers


def _extend(name, steps, sign):
    def meaning_of(m):
        x = m.vec(0).with_int(0, m.operand(1, m.bits[1])) if m.kinds[1] == "m" and m.bits[1] < 32 else m.vsrc
        for bits in steps:
            x = x.op(f"i{2 * bits}x{64 // bits}.extend_low_i{bits}x{128 // bits}_{sign}")
        m.vdst = x
    meaning(name)(meaning_of)


for _mnemonic, _sign in (("pmovsx", "s"), ("pmovzx", "u")):
    for _letters, _steps in (("bw", (8,)), ("bd", (8, 16)), ("bq", (8, 16, 32)), ("wd", (16,)), ("wq", (16, 32)), ("dq", (32,))):
        _extend(_mnemonic + _letters, _steps, _sign)


@meaning()
def pmuldq(m):
    even = [*range(4), *range(8, 12)] * 2
    x, y = m.vdst, m.vsrc
    m.vdst = x.shuffle(x, even).op("i64x2.extmul_low_i32x4_s", y.shuffle(y, even))


@meaning()
def phminposuw(m):
    """The least word and the number of its lane: the least of numbers made of both."""
    x = m.vsrc
    low, high = (x.op(f"i32x4.extend_{half}_i16x8_u").shift("i32x4.shl", m.int(3, 32)) for half in ("low", "high"))
    least = (low | lanes(0, 1, 2, 3)).op("i32x4.min_u", high | lanes(4, 5, 6, 7))
    least = least.op("i32x4.min_u", least.shuffle(least, [*range(8, 16), *range(8)]))
    least = least.op("i32x4.min_u", least.shuffle(least, [*range(4, 8), *range(4)] * 2))
    found = least.int(0, 32)
    m.vdst = m.vec(0).with_int(0, (found >> 3) | ((found & 7) << 16))


@meaning()
def mpsadbw(m):
    """Eight sums of absolute differences, of four bytes of the source and of each four bytes of the destination from one on."""
    x, y, order = m.vdst, m.vsrc, m.src2
    x = x.op("i8x16.swizzle", m.vec(lanes(*range(16))).op("i8x16.add", (order & 4).splat()))
    y = y.op("i8x16.swizzle", m.vec(lanes(*[0, 1, 2, 3] * 4)).op("i8x16.add", ((order & 3) << 2).splat()))
    total = None
    for k in range(4):
        a, b = x.shuffle(x, [min(k + i, 15) for i in range(16)]), y.shuffle(y, [k] * 16)
        difference = a.op("i8x16.max_u", b).op("i8x16.sub", a.op("i8x16.min_u", b)).op("i16x8.extend_low_i8x16_u")
        total = difference if total is None else total.op("i16x8.add", difference)
    m.vdst = total


# ---------------------------------------------------------------------------------------------- blends, lanes


def _chosen(m, order: Int, bits: int) -> Vec:
    """All ones in the lanes whose bit is set in an immediate."""
    shape, each = f"i{bits}x{128 // bits}", lanes(*(1 << k for k in range(128 // bits)))
    return (order.zext(bits).splat() & each).op(f"{shape}.eq", each)


def _blend(name, bits):
    def meaning_of(m):
        x, y = m.vdst, m.vsrc
        m.vdst = y.op("v128.bitselect", x, _chosen(m, m.src2, bits))
    meaning(name)(meaning_of)


_blend("blendps", 32)
_blend("blendpd", 64)
_blend("pblendw", 16)


def _variable_blend(name, bits):
    """The top bits of the third operand choose."""
    def meaning_of(m):
        x, y = m.vdst, m.vsrc
        chosen = m.vector(2).shift(f"i{bits}x{128 // bits}.shr_s", m.int(bits - 1, 32))
        m.vdst = y.op("v128.bitselect", x, chosen)
    meaning(name)(meaning_of)


_variable_blend("pblendvb", 8)
_variable_blend("blendvps", 32)
_variable_blend("blendvpd", 64)


def _extract(name, bits):
    def meaning_of(m):
        size = bits or m.bits[0]
        value = lane(m.vsrc, m.src2 & (128 // size - 1), size)
        m.dst = value if m.kinds[0] == "m" else value.zext(max(m.bits[0], 32))
    meaning(*name.split())(meaning_of)


_extract("pextrb", 8)
_extract("pextrd extractps", None)


def _insert(name, bits):
    def meaning_of(m):
        size = bits or m.bits[1]
        x, value = m.vdst, m.operand(1, size)
        m.vdst = with_lane(x, m.src2 & (128 // size - 1), value)
    meaning(name)(meaning_of)


_insert("pinsrb", 8)
_insert("pinsrd", None)


@meaning()
def insertps(m):
    """A lane of the source register, or memory, to a lane; then some are cleared."""
    x, order = m.vdst, m.src2
    value = m.operand(1, 32) if m.kinds[1] == "m" else lane(m.vsrc, order >> 6, 32)
    m.vdst = with_lane(x, (order >> 4) & 3, value).op("v128.andnot", _chosen(m, order, 32))


@meaning()
def ptest(m):
    x, y, none = m.vdst, m.vsrc, m.bool(False)
    m.flags_set(cf=~y.op("v128.andnot", x).any(), pf=none, af=none, zf=~(x & y).any(), sf=none, of=none)


# ---------------------------------------------------------------------------------------------- floating point


for _suffix, _bits in (("s", 32), ("d", 64)):
    def _round_packed(m, bits=_bits): m.vdst = m.float_op(f"f{bits}x{128 // bits}.whole", m.vsrc, m.src2.zext(32))
    def _round_scalar(m, bits=_bits): m.vdst = m.vdst.with_float(0, m.float_op(f"f{bits}.whole", m.vsrc.float(0, bits), m.src2.zext(32)))
    meaning("roundp" + _suffix)(_round_packed)
    meaning("rounds" + _suffix)(_round_scalar)


def _dot(name, bits):
    """The sum of the products that the immediate's upper half chooses, to the lanes that the lower half chooses."""
    shape, size = f"f{bits}x{128 // bits}", bits // 8

    def meaning_of(m):
        x, y, order = m.vdst, m.vsrc, m.src2
        chosen = _chosen(m, order >> 4, bits)
        total = m.float_op(f"{shape}.mul", x & chosen, y & chosen)
        for step in (1,) if bits == 64 else (1, 2):
            total = m.float_op(f"{shape}.add", *(total.shuffle(total, [b & ~(step * size) | which * step * size for b in range(16)])
                                                 for which in (0, 1)))
        m.vdst = total & _chosen(m, order, bits)
    meaning(name)(meaning_of)


_dot("dpps", 32)
_dot("dppd", 64)
