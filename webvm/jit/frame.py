"""The locals of a region's function, and how registers go between them and the state in memory."""
from functools import lru_cache

from ..wasm import encoding as w
from ..x86.meaning import RSP
from . import layout as at
from .values import EXTRACT, Low

ZERO32 = w.i32(0)

# ---- parameters: activations that there may be further, the rip to begin at, and the stack pointer, which lies here ever after
PARAMETERS, RESULTS = "i32 i32 i64", "i32 i64"
DEPTH, ENTRY, STACK = 0, 1, 2
_FIRST = 3

# ---- locals, which have the same numbers in all regions. Temporary ones are those that an instruction needs; the few that need
# more than these get theirs at the end. Vectors and floats are declared where they are used
EXIT_RIP, LEFT, PLACE, NEXT, ROUNDS, OWED, FLAG_KIND = range(_FIRST, _FIRST + 7)
ANCHORS = 8                     # locals that hold where the range of a check begins, after the temporary ones
_I32 = 11 + ANCHORS             # locals of that type, some temporary
ANCHOR = _FIRST + _I32 - ANCHORS
FLAG_A, FLAG_B = _FIRST + _I32, _FIRST + _I32 + 1
GENERAL = FLAG_B + 1            # 15, all but RSP
_I64 = 2 + 15 + 6
VECTOR = _FIRST + _I32 + _I64   # 16
_V128, _F64, _F32 = 16 + 4, 16 + 2 + 4, 16 + 4
DOUBLE = VECTOR + _V128         # 16 each: the lowest 64 and 32 bits of vector registers, where they are apart
FLAG_X, FLAG_Y = DOUBLE + 16, DOUBLE + 17
SINGLE = DOUBLE + _F64
SCALARS, VECTORS = ["i32"] * _I32 + ["i64"] * _I64, ["v128"] * _V128 + ["f64"] * _F64 + ["f32"] * _F32
TEMPORARY = {"i32": range(FLAG_KIND + 1, ANCHOR), "i64": range(GENERAL + 15, VECTOR), "v128": range(VECTOR + 16, VECTOR + _V128),
             "f64": range(FLAG_Y + 1, SINGLE), "f32": range(SINGLE + 16, SINGLE + _F32)}
UPPER = SINGLE + _F32           # 16, and temporary ones for 256 bits: where a region has to do with upper halves
UPPERS = ["v128"] * (16 + 16)
MORE = range(UPPER + 16, UPPER + len(UPPERS))
LOCAL = [*range(GENERAL, GENERAL + RSP), STACK, *range(GENERAL + RSP, GENERAL + 15), *range(VECTOR, VECTOR + 16),
         *range(UPPER, UPPER + 16)]                                                            # of each register, as in `effects`
STORE_STACK = ZERO32 + w.get(STACK) + w.access("i64.store", at.GPR + 8 * RSP)
LOAD_STACK = ZERO32 + w.access("i64.load", at.GPR + 8 * RSP) + w.put(STACK)


def vector_at(n: int) -> int:
    """The state offset of register n, a half of a vector register."""
    return at.VECTOR + 32 * (n & 15) + (16 if n >= 32 else 0)


def both_forms(mask: int) -> int:
    """Forms of the vector registers in a mask."""
    return (mask >> 16 & 0xFFFF) | mask & 0xFFFF0000


def vector_in(n: int, low: int) -> bytes:
    """Vector register n, from the locals that it is in."""
    if low >> n & 1:
        return Low(w.get(DOUBLE + n), 64, w.get(VECTOR + n))
    if low >> 16 + n & 1:
        return Low(w.get(SINGLE + n), 32, w.get(VECTOR + n))
    return w.get(VECTOR + n)


@lru_cache(1 << 12)
def stores(mask: int, low: int) -> bytes:
    """Registers (and whatever else) from their locals to the state."""
    mask &= (1 << 48) - 1
    general = _each(mask, _STORES)
    if mask < 1 << 16:
        return general
    return general + b"".join(ZERO32 + (vector_in(n - 16, low) if n < 32 else w.get(LOCAL[n])) + w.access("v128.store", vector_at(n))
                              for n in range(16, mask.bit_length()) if mask >> n & 1)


def _each(mask: int, pieces: list[bytes]) -> bytes:
    """The pieces of the general registers in a mask."""
    return b"".join([pieces[n] for n in range(16) if mask >> n & 1])


_STORES = [ZERO32 + w.get(LOCAL[n]) + w.access("i64.store", at.GPR + 8 * n) for n in range(16)]
_LOADS = [ZERO32 + w.access("i64.load", at.GPR + 8 * n) + w.put(LOCAL[n]) for n in range(16)]


@lru_cache(1 << 12)
def lows(low: int) -> bytes:
    """The lowest lanes of whole vector registers to their own locals."""
    return b"".join([w.get(VECTOR + n) + EXTRACT[64] + w.put(DOUBLE + n) for n in range(16) if low >> n & 1]
                    + [w.get(VECTOR + n) + EXTRACT[32] + w.put(SINGLE + n) for n in range(16) if low >> 16 + n & 1])


@lru_cache(1 << 12)
def loads(mask: int) -> bytes:
    return _each(mask, _LOADS) + b"".join(ZERO32 + w.access("v128.load", vector_at(n)) + w.put(LOCAL[n])
                                          for n in range(16, min(mask.bit_length(), 48)) if mask >> n & 1)
