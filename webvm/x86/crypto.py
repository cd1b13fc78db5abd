"""What AES-NI, PCLMULQDQ and CRC32 mean (Intel SDM volume 2; FIPS 197 for AES)."""
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
