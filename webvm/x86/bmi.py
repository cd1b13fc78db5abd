"""What BMI1, BMI2 and ADX mean (Intel SDM volume 2): bit fields, products and sums that leave the flags alone.

ANDN, BLSI and their like leave PF and AF undefined, BEXTR SF too; here they are as after a logical instruction.
"""
from .meaning import CF, OF, RDX, Int, meaning, routine


def _logic(m, r: Int, carry):
    m.flags_result(r, cf=carry, of=m.bool(False))


# ---------------------------------------------------------------------------------------------- BMI1


@meaning()
def andn(m):
    r = ~m.src & m.src2
    m.dst = r
    m.flags_logic(r)


@meaning()
def blsi(m):
    x = m.src
    r = x & -x
    m.dst = r
    _logic(m, r, x != 0)


@meaning()
def blsmsk(m):
    x = m.src
    r = x ^ (x - 1)
    m.dst = r
    _logic(m, r, x.is_zero())


@meaning()
def blsr(m):
    x = m.src
    r = x & (x - 1)
    m.dst = r
    _logic(m, r, x.is_zero())


def _below(m, x: Int, n: Int) -> Int:
    """The lowest n bits of x; all of them if n is beyond its width."""
    rest = (x >> (n & 63)) << (n & 63)
    return n.lt_u(m.size).select(x ^ rest, x)


@meaning()
def bextr(m):
    x, order = m.src, m.src2
    start, length = (order & 0xFF).zext(64), (order >> 8 & 0xFF).zext(64)
    shifted = start.lt_u(m.size).select(x >> (start & 63), m.int(0, m.size))
    r = _below(m, shifted, length)
    m.dst = r
    m.flags_logic(r)


# ---------------------------------------------------------------------------------------------- BMI2


@meaning()
def bzhi(m):
    x, n = m.src, m.operand(2, 8).zext(64)
    r = _below(m, x, n)
    m.dst = r
    _logic(m, r, ~n.lt_u(m.size))


def _shift(name, shifted):
    def meaning_of(m):
        n = (m.operand(2, 8) & (m.size - 1)).zext(64)
        m.dst = shifted(m.src, n)
    meaning(name)(meaning_of)


_shift("shlx", lambda x, n: x << n)
_shift("shrx", lambda x, n: x >> n)
_shift("sarx", lambda x, n: x.sar(n))


@meaning()
def rorx(m):
    n = (m.src2 & (m.size - 1)).zext(m.size)
    m.dst = m.src.rotl((m.int(m.size, m.size) - n) & (m.size - 1))


@meaning()
def mulx(m):
    """Both halves of the product with RDX; where both go to one register it gets the upper."""
    x, y = m.reg(RDX, m.size), m.src2
    if m.size == 64:
        low, high = x * y, x.mul_high(y, False)
    else:
        product = x.zext(64) * y.zext(64)
        low, high = product.low(32), (product >> 32).low(32)
    m.write(1, low)
    m.dst = high


def _moves(mask: Int) -> list[Int]:
    """How the bits under a mask come together at the bottom: for each power of 2, which of them (where they are by then) are
    to go that far. A bit goes as far as there are zeros below it in the mask, which a sum without carries counts bit by bit."""
    moves, zeros = [], ~mask << 1
    for k in range(6):
        parity = zeros
        for step in (1, 2, 4, 8, 16, 32):
            parity = parity ^ (parity << step)
        moving = parity & mask
        moves.append(moving)
        mask = (mask ^ moving) | (moving >> (1 << k))
        zeros = zeros & ~parity
    return moves


@routine("i64 i64", "i64")
def extract_bits(m, x, mask):
    x = x & mask
    for k, moving in enumerate(_moves(mask)):
        here = x & moving
        x = (x ^ here) | (here >> (1 << k))
    return x


@routine("i64 i64", "i64")
def deposit_bits(m, x, mask):
    for k, moving in reversed(list(enumerate(_moves(mask)))):
        x = (x & ~moving) | ((x << (1 << k)) & moving)
    return x & mask


@meaning()
def pext(m): m.dst = extract_bits(m, m.src.zext(64), m.src2.zext(64)).low(m.size)


@meaning()
def pdep(m): m.dst = deposit_bits(m, m.src.zext(64), m.src2.zext(64)).low(m.size)


# ---------------------------------------------------------------------------------------------- ADX


def _add(name, flag):
    """Addition with a carry that is one flag, in and out; the others stay."""
    number = {"cf": CF, "of": OF}[flag]

    def meaning_of(m):
        x, y, c = m.dst, m.src, m.arithmetic_flags().bit(number).int(m.size)
        r = x + y + c
        m.dst = r
        m.flags_set(**{flag: ((x & y) | ((x | y) & ~r)).msb()})
    meaning(name)(meaning_of)


_add("adcx", "cf")
_add("adox", "of")
