"""What the SSE3 and SSSE3 instructions mean (Intel SDM volume 2). MMX registers: see sse.py."""
from .meaning import Vec, meaning
from .sse import IOTA, lanes


def _binary(name, compute):
    """dst = compute(m, dst, src)."""
    def meaning_of(m): m.vdst = compute(m, m.vdst, m.vsrc)
    meaning(name)(meaning_of)


def pairs(m, x: Vec, y: Vec, bits: int) -> tuple[Vec, Vec]:
    """The even and the odd lanes of two operands, those of x first; of MMX operands, in the low half."""
    size = bits // 8
    if m.kinds[0] == "q":
        x = y = x.with_int(1, y.int(0, 64))
    even = [k + b for k in range(0, 32, 2 * size) for b in range(size)]
    return x.shuffle(y, even), x.shuffle(y, [k + size for k in even])


# ---------------------------------------------------------------------------------------------- SSE3


@meaning()
def movddup(m):
    x = m.vsrc
    m.vdst = x.shuffle(x, [*range(8)] * 2)


@meaning()
def movsldup(m):
    x = m.vsrc
    m.vdst = x.shuffle(x, [*range(4)] * 2 + [*range(8, 12)] * 2)


@meaning()
def movshdup(m):
    x = m.vsrc
    m.vdst = x.shuffle(x, [*range(4, 8)] * 2 + [*range(12, 16)] * 2)


def _horizontal(name, bits, op):
    _binary(name, lambda m, x, y: (p := pairs(m, x, y, bits))[0].op(f"i{bits}x{128 // bits}.{op}", p[1]))


for _letter, _bits in (("s", 32), ("d", 64)):
    for _op in ("add", "sub"):
        _binary(f"h{_op}p{_letter}", lambda m, x, y, bits=_bits, op=_op: m.float_op(f"f{bits}x{128 // bits}.{op}", *pairs(m, x, y, bits)))
    _binary(f"addsubp{_letter}", lambda m, x, y, bits=_bits: m.float_op(f"f{bits}x{128 // bits}.addsub", x, y))


# ---------------------------------------------------------------------------------------------- SSSE3

_horizontal("phaddw", 16, "add")
_horizontal("phaddd", 32, "add")
_horizontal("phaddsw", 16, "add_sat_s")
_horizontal("phsubw", 16, "sub")
_horizontal("phsubd", 32, "sub")
_horizontal("phsubsw", 16, "sub_sat_s")

for _letter, _bits in (("b", 8), ("w", 16), ("d", 32)):
    def _absolute(m, shape=f"i{_bits}x{128 // _bits}"): m.vdst = m.vsrc.op(f"{shape}.abs")

    def _sign(m, x, y, shape=f"i{_bits}x{128 // _bits}", bits=_bits):
        negative = y.shift(f"{shape}.shr_s", m.int(bits - 1, 32))
        return (x ^ negative).op(f"{shape}.sub", negative) & y.op(f"{shape}.ne", 0)
    meaning("pabs" + _letter)(_absolute)
    _binary("psign" + _letter, _sign)


def _shuffle_bytes(m, x, order):
    """An index with its top bit set gives zero; of the others only the low bits count."""
    return x.op("i8x16.swizzle", order & lanes(*[0x87 if m.kinds[0] == "q" else 0x8F] * 16))


_binary("pshufb", _shuffle_bytes)


@meaning()
def palignr(m):
    """The bytes from the immediate on, of the source and behind it the destination."""
    x, y, n = m.vdst, m.vsrc, m.src2
    n = n.lt_u(32).select(n, m.int(32, 8))
    first = m.vec(IOTA).op("i8x16.add", n.splat())                 # a swizzle gives 0 where the index is beyond 15
    if m.kinds[0] == "q":
        m.vdst = y.with_int(1, x.int(0, 64)).op("i8x16.swizzle", first)
    else:
        m.vdst = y.op("i8x16.swizzle", first) | x.op("i8x16.swizzle", first.op("i8x16.sub", lanes(*[16] * 16)))


def _multiply_add(m, x, y):
    """Unsigned bytes times signed ones: the sum of each two products, saturated."""
    even = (x & lanes(*[0x00FF] * 8)).op("i16x8.mul", y.shift("i16x8.shl", m.int(8, 32)).shift("i16x8.shr_s", m.int(8, 32)))
    odd = x.shift("i16x8.shr_u", m.int(8, 32)).op("i16x8.mul", y.shift("i16x8.shr_s", m.int(8, 32)))
    return even.op("i16x8.add_sat_s", odd)


_binary("pmaddubsw", _multiply_add)


def _multiply_round(m, x, y):
    """WebAssembly's instruction saturates the one product that does not fit, -1 times -1; here it stays -1."""
    least = lanes(*[0x8000] * 8)
    return x.op("i16x8.q15mulr_sat_s", y) ^ (x.op("i16x8.eq", least) & y.op("i16x8.eq", least))


_binary("pmulhrsw", _multiply_round)
