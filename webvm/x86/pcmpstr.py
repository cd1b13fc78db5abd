"""What SSE4.2's comparisons of strings mean: PCMPESTRI, PCMPESTRM, PCMPISTRI, PCMPISTRM (Intel SDM volume 1, 12.8).

The immediate: bit 0 words, not bytes; bit 1 signed; bits 2-3 how they are compared; bit 4 the result is negated, with bit 5 only
where the source has an element; bit 6 the last match, or a mask of elements.
"""
from .meaning import RAX, RCX, RDX, Int, Vec, meaning, routine
from .sse import ONES, lanes


def _broadcast(x: Vec, k: int, size: int) -> Vec:
    """Element k everywhere."""
    return x.shuffle(x, [k * size + b for b in range(size)] * (16 // size))


class _Strings:
    """Two strings and how many elements of each are valid, for elements of one size. The methods answer a Vec, an element
    of all ones where the result's bit is set."""

    def __init__(self, m, x: Vec, y: Vec, lengths: Int, bits: int):
        self.m, self.x, self.y, self.size, self.count = m, x, y, bits // 8, 128 // bits
        self.shape = f"i{bits}x{self.count}"
        numbers = m.vec(lanes(*range(self.count)))
        self.x_valid, self.y_valid = (numbers.op(f"{self.shape}.lt_s", n.low(8).zext(bits).splat()) for n in (lengths, lengths >> 8))

    def same(self, a, b): return a.op(f"{self.shape}.eq", b)
    def at(self, x, k): return _broadcast(x, k, self.size)

    def any(self):
        """Elements of y that are somewhere in x."""
        x = self.x.op("v128.bitselect", self.at(self.x, 0), self.x_valid)       # the first, instead of those that are not there
        found = self.m.vec(0)
        for k in range(self.count):
            found = found | self.same(self.at(x, k), self.y)
        return found & self.y_valid & self.at(self.x_valid, 0)

    def ranges(self, signed):
        """Elements of y within one of the ranges that pairs of elements of x are."""
        bits, m = 8 * self.size, self.m
        bias = signed.select(m.vec(lanes(*[1 << bits - 1] * self.count)), m.vec(0))
        size = self.size
        pair = self.x_valid.shuffle(self.x_valid, [b // (2 * size) * 2 * size + size + b % size for b in range(16)])
        empty = m.vec(lanes(*[(1 << bits) - 1, 0] * (self.count // 2)))
        x, y = (self.x ^ bias).op("v128.bitselect", empty, pair), self.y ^ bias
        found = m.vec(0)
        for k in range(0, self.count, 2):
            found = found | (y.op(f"{self.shape}.ge_u", self.at(x, k)) & y.op(f"{self.shape}.le_u", self.at(x, k + 1)))
        return found & self.y_valid

    def each(self):
        """Elements that are equal, or neither there."""
        return (self.same(self.x, self.y) & self.x_valid & self.y_valid) | ~(self.x_valid | self.y_valid)

    def ordered(self):
        """Where in y all of x begins, as far as y goes."""
        found, all_ones, absent = self.m.vec(ONES), self.m.vec(ONES), ~self.x_valid
        for k in range(self.count):
            equal = self.same(self.at(self.x, k), self.y) & self.y_valid
            here = equal.shuffle(all_ones, [k * self.size + b for b in range(16)]) if k else equal
            found = found & (here | self.at(absent, k))
        return found


@routine("v128 v128 i64 i64", "i64", inline=True)
def compare_strings(m, x, y, order, lengths):
    """Bit k of the answer: of the result for element k of y. `lengths`: of x, and of y shifted by 8."""
    def compared(bits):
        s = _Strings(m, x, y, lengths, bits)
        found = order.bit(3).choose(
            lambda: order.bit(2).choose(s.ordered, s.each),
            lambda: order.bit(2).choose(lambda: s.ranges(order.bit(1)), s.any))
        negate = order.bit(5).select(s.y_valid, m.vec(ONES))
        found = found ^ order.bit(4).select(negate, m.vec(0))
        return found.bitmask(bits).zext(64)
    return order.bit(0).choose(lambda: compared(16), lambda: compared(8))


def _count(order): return order.bit(0).select(order.m.int(8, 64), order.m.int(16, 64))


def _explicit(m, register, order) -> Int:
    """The magnitude of a length in a register, at most what a vector holds."""
    n = m.reg(register, m.size)
    n = n.msb().select(-n, n).zext(64)
    most = _count(order)
    return n.lt_u(most).select(n, most)


def _implicit(m, x, order) -> Int:
    """How many elements are before the first that is zero."""
    none = m.vec(0)
    zeros = order.bit(0).choose(lambda: x.op("i16x8.eq", none).bitmask(16), lambda: x.op("i8x16.eq", none).bitmask(8)).zext(64)
    return (zeros | (m.int(1, 64) << _count(order))).ctz()


def _compare(name, length, answer):
    def meaning_of(m):
        x, y, order = m.vdst, m.vsrc, m.src2.zext(64)
        n, k = ((_explicit(m, RAX, order), _explicit(m, RDX, order)) if length == "explicit" else
                (_implicit(m, x, order), _implicit(m, y, order)))
        found = compare_strings(m, x, y, order, n | (k << 8))
        most = _count(order)
        answer(m, order, found)
        m.flags_set(cf=found != 0, zf=k.lt_u(most), sf=n.lt_u(most), of=found.bit(0), af=m.bool(False), pf=m.bool(False))
    meaning(name)(meaning_of)


def _index(m, order, found):
    """RCX: the number of the first bit or the last; where none is set, how many there could be."""
    none = m.int(1, 64) << _count(order)
    last = found.is_zero().select(_count(order), m.int(63, 64) - found.clz())
    m.set_reg(RCX, order.bit(6).select(last, (found | none).ctz()).low(32))


def _mask(m, order, found):
    """XMM0: the bits, or elements of all ones."""
    def spread(bits):
        each = lanes(*(1 << k % 8 for k in range(16))) if bits == 8 else lanes(*(1 << k for k in range(8)))
        both = m.vec(0).with_int(0, found.low(16))
        copies = both.shuffle(both, [0] * 8 + [1] * 8) if bits == 8 else found.low(16).splat()
        return (copies & each).op(f"i{bits}x{128 // bits}.eq", each)
    elements = order.bit(0).choose(lambda: spread(16), lambda: spread(8))
    m.set_xmm(0, order.bit(6).select(elements, m.vec(0).with_int(0, found)))


_compare("pcmpestri", "explicit", _index)
_compare("pcmpestrm", "explicit", _mask)
_compare("pcmpistri", "implicit", _index)
_compare("pcmpistrm", "implicit", _mask)
