"""What AES-NI, PCLMULQDQ, CRC32 and SHA mean (Intel SDM volume 2; FIPS 197 for AES)."""
from .meaning import Int, Vec, meaning, routine
from .sse import lanes

# ---------------------------------------------------------------------------------------------- AES: a block is 16 bytes, by columns


def _substitutes() -> list[int]:
    """FIPS 197, 5.1.1: the inverse in the field of bytes, in which every one but 0 is a power of 3, and an affine map of its bits."""
    powers = [1]
    while len(powers) < 255:
        x = powers[-1]
        powers.append(x ^ x << 1 ^ (0x11B if x & 0x80 else 0))
    inverse = {power: powers[-k % 255] for k, power in enumerate(powers)} | {0: 0}
    found = []
    for x in range(256):
        b = inverse[x]
        found.append(b ^ 0x63)
        for k in range(1, 5):
            found[-1] ^= (b << k | b >> 8 - k) & 0xFF
    return found


_SUBSTITUTES = _substitutes()
_INVERSE = [_SUBSTITUTES.index(x) for x in range(256)]
_SHIFTED = [(4 * column + row + 4 * row) % 16 for column in range(4) for row in range(4)]
_SHIFTED_BACK = [_SHIFTED.index(k) for k in range(16)]


def _look_up(m, x: Vec, table: list[int]) -> Vec:
    """Each byte's entry: of every 16 of the table those whose index is among these; a swizzle gives 0 for all others."""
    found = None
    for k in range(0, 256, 16):
        here = m.vec(lanes(*table[k:k + 16])).op("i8x16.swizzle", x)
        found = here if found is None else found | here
        x = x.op("i8x16.sub", lanes(*[16] * 16))
    return found


def _doubled(m, x: Vec) -> Vec:
    return x.op("i8x16.add", x) ^ (x.shift("i8x16.shr_s", m.int(7, 32)) & lanes(*[0x1B] * 16))


def _turned(x: Vec, n: int) -> Vec:
    """Each column turned by n bytes."""
    return x.shuffle(x, [4 * column + (row + n) % 4 for column in range(4) for row in range(4)])


def _mixed(m, x: Vec) -> Vec:
    """Each byte of a column twice, the next three times, and the other two."""
    both = x ^ _turned(x, 1)
    return _doubled(m, both) ^ _turned(x, 1) ^ _turned(both, 2)


@routine("v128", "v128")
def aes_substitute(m, x): return _look_up(m, x, _SUBSTITUTES)


@routine("v128", "v128")
def aes_substitute_back(m, x): return _look_up(m, x, _INVERSE)


@routine("v128", "v128")
def aes_mix_back(m, x):
    """Mixing is undone by mixing once more what has had four times the sum of opposite bytes added."""
    return _mixed(m, x ^ _doubled(m, _doubled(m, x ^ _turned(x, 2))))


def _encrypt(m, x): return aes_substitute(m, x.shuffle(x, _SHIFTED))
def _decrypt(m, x): return aes_substitute_back(m, x.shuffle(x, _SHIFTED_BACK))


@meaning()
def aesenc(m): m.vdst = _mixed(m, _encrypt(m, m.vdst)) ^ m.vsrc


@meaning()
def aesenclast(m): m.vdst = _encrypt(m, m.vdst) ^ m.vsrc


@meaning()
def aesdec(m): m.vdst = aes_mix_back(m, _decrypt(m, m.vdst)) ^ m.vsrc


@meaning()
def aesdeclast(m): m.vdst = _decrypt(m, m.vdst) ^ m.vsrc


@meaning()
def aesimc(m): m.vdst = aes_mix_back(m, m.vsrc)


@meaning()
def aeskeygenassist(m):
    """Of dwords 1 and 3: substituted; and turned by a byte, with the immediate added."""
    x, constant = m.vsrc, m.src2
    x = aes_substitute(m, x.shuffle(x, [4, 5, 6, 7, 5, 6, 7, 4, 12, 13, 14, 15, 13, 14, 15, 12]))
    m.vdst = x ^ (constant.zext(32).splat() & lanes(0, 0xFF, 0, 0xFF))


# ---------------------------------------------------------------------------------------------- products without carries


def _product(x: Int, y: Int) -> Int:
    """Of 32 bits by 32: each factor in four, with three zeros between its bits, so that sums of up to 8 ones stay apart."""
    xs, ys = ([v & (0x11111111 << k) for k in range(4)] for v in (x, y))
    product = None
    for k in range(4):
        part = None
        for i in range(4):
            term = xs[i] * ys[k - i & 3]
            part = term if part is None else part ^ term
        part = part & (0x1111111111111111 << k)
        product = part if product is None else product | part
    return product


@routine("i64 i64", "v128")
def carryless_product(m, x, y):
    x0, x1, y0, y1 = x & 0xFFFFFFFF, x >> 32, y & 0xFFFFFFFF, y >> 32
    low, high = _product(x0, y0), _product(x1, y1)
    middle = _product(x0 ^ x1, y0 ^ y1) ^ low ^ high
    return m.vec(0).with_int(0, low ^ (middle << 32)).with_int(1, high ^ (middle >> 32))


@meaning()
def pclmulqdq(m):
    x, y, which = m.vdst, m.vsrc, m.src2
    m.vdst = carryless_product(m, which.bit(0).select(x.int(1, 64), x.int(0, 64)), which.bit(4).select(y.int(1, 64), y.int(0, 64)))


# ---------------------------------------------------------------------------------------------- CRC-32C

_POLYNOMIAL = 0x82F63B78        # bits reversed


@routine("i64", "i64")
def crc_of_byte(m, crc):
    for _ in range(8):
        crc = (crc >> 1) ^ (-(crc & 1) & _POLYNOMIAL)
    return crc


@meaning()
def crc32(m):
    crc, x = m.operand(0, 32).zext(64), m.src.zext(64)
    for _ in range(m.bits[1] // 8):
        crc = crc_of_byte(m, crc ^ (x & 0xFF))
        x = x >> 8
    m.dst = crc.zext(m.bits[0])


# ---------------------------------------------------------------------------------------------- SHA (FIPS 180-4)


def _dwords(x: Vec) -> list[Int]:
    """The lowest first."""
    return [x.int(lane, 32) for lane in range(4)]


def _of(m, *dwords: Int) -> Vec:
    v = m.vec(0)
    for lane, value in enumerate(dwords):
        v = v.with_int(lane, value)
    return v


def _mixed_bits(x: Int, *turns: int, shift: int | None = None) -> Int:
    """The sum of x turned right by these, and shifted."""
    found = x.rotl(32 - turns[0])
    for n in turns[1:]:
        found = found ^ x.rotl(32 - n)
    return found if shift is None else found ^ (x >> shift)


def _choice(x, y, z): return (x & (y ^ z)) ^ z
def _majority(x, y, z): return (x & y) | ((x | y) & z)


@routine("v128 v128 v128", "v128")
def sha256_rounds(m, cdgh, abef, words):
    """Two rounds; of the words, with their constants, the two lowest."""
    (h, g, d, c), (f, e, b, a) = _dwords(cdgh), _dwords(abef)
    for k in (0, 1):
        t = _choice(e, f, g) + _mixed_bits(e, 6, 11, 25) + words.int(k, 32) + h
        a, b, c, d, e, f, g, h = t + _majority(a, b, c) + _mixed_bits(a, 2, 13, 22), a, b, c, t + d, e, f, g
    return _of(m, f, e, b, a)


@meaning()
def sha256rnds2(m): m.vdst = sha256_rounds(m, m.vdst, m.vsrc, m.vector(2))


@meaning()
def sha256msg1(m):
    words = [*_dwords(m.vdst), m.vsrc.int(0, 32)]
    m.vdst = _of(m, *(words[k] + _mixed_bits(words[k + 1], 7, 18, shift=3) for k in range(4)))


@meaning()
def sha256msg2(m):
    made = []
    x, y = _dwords(m.vdst), m.vsrc
    before = [y.int(2, 32), y.int(3, 32)]
    for k in range(4):
        made.append(x[k] + _mixed_bits(before[k], 17, 19, shift=10))
        before.append(made[-1])
    m.vdst = _of(m, *made)


_SHA1_CONSTANTS = (0x5A827999, 0x6ED9EBA1, 0x8F1BBCDC, 0xCA62C1D6)


@routine("v128 v128 i64", "v128")
def sha1_rounds(m, abcd, words, which):
    """Four rounds; E is in the highest word already."""
    (d, c, b, a), w = _dwords(abcd), _dwords(words)[::-1]
    low, high = (which.bit(0).select(m.int(_SHA1_CONSTANTS[k + 1], 32), m.int(_SHA1_CONSTANTS[k], 32)) for k in (0, 2))
    constant, e = which.bit(1).select(high, low), m.int(0, 32)
    for k in range(4):
        mixed = which.bit(1).select(_majority(b, c, d), _choice(b, c, d))
        mixed = which.bit(0).select(b ^ c ^ d, mixed)
        a, b, c, d, e = mixed + a.rotl(5) + w[k] + e + constant, a, b.rotl(30), c, d
    return _of(m, d, c, b, a)


@meaning()
def sha1rnds4(m): m.vdst = sha1_rounds(m, m.vdst, m.vsrc, (m.src2 & 3).zext(64))


@meaning()
def sha1nexte(m):
    x, y = m.vdst, m.vsrc
    m.vdst = y.with_int(3, y.int(3, 32) + x.int(3, 32).rotl(30))


@meaning()
def sha1msg1(m):
    x, y = m.vdst, m.vsrc
    m.vdst = x ^ y.shuffle(x, [*range(8, 16), *range(16, 24)])


@meaning()
def sha1msg2(m):
    x, y = _dwords(m.vdst), _dwords(m.vsrc)
    w16, w17, w18 = ((x[k] ^ y[k - 1]).rotl(1) for k in (3, 2, 1))
    m.vdst = _of(m, (x[0] ^ w16).rotl(1), w18, w17, w16)
