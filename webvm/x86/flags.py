"""How the arithmetic flags follow from the operands of the instruction that set them last.

Flags are lazy: an instruction leaves a kind and two 64-bit operands, shifted up so that the operand's top bit is bit
63. Then every condition after a comparison is one 64-bit comparison, whatever the width. Written in the language of
`x86.meaning`, for whoever keeps flags lazily; the oracle keeps them packed and needs none of this.

  kind       a            b
  SUB        x            y               of x - y (and of logic: x = result, y = 0)
  ADD        x            y               of x + y
  INC, DEC   result       CF as it was
  RESULT     result       CF AF OF packed, at their places in EFLAGS
  EXPLICIT   unused       all six packed

A machine that can keep two numbers has another kind, COMPARE, for their comparison.
"""
from .meaning import AF, CF, OF, PF, SF, ZF, Bool, Float, Int

SUB, ADD, INC, DEC, RESULT, EXPLICIT, COMPARE = range(7)
LESS, EQUAL, UNORDERED = 1 << CF, 1 << ZF, 1 << CF | 1 << PF | 1 << ZF     # after a comparison of numbers; greater: none


def pack(m, cf: Bool, of: Bool, af: Bool | None) -> Int:
    """CF, OF, AF at their places, 64 bits wide."""
    packed = cf.int(64) | (of.int(64) << OF)
    return packed if af is None else packed | (af.int(64) << AF)


def _of_result(m, r, shift):
    """ZF, SF, PF of a result that is shifted up by `shift`."""
    low = r >> shift
    return (r.is_zero().int(64) << ZF) | (r.msb().int(64) << SF) | (low.parity_even().int(64) << PF)


def packed_flags(m, kind: int, a: Int, b: Int, shift: Int) -> Int:
    """The six flags at their places in EFLAGS, for one kind."""
    if kind == EXPLICIT:
        return b
    if kind == RESULT:
        return b | _of_result(m, a, shift)
    if kind in (INC, DEC):
        low = a >> shift
        limit = m.int(1 << 63, 64) if kind == INC else (m.int((1 << 63) - 1, 64) >> shift) << shift
        carry = (low & 15) == (0 if kind == INC else 15)
        return (b | _of_result(m, a, shift)) | ((a == limit).int(64) << OF) | (carry.int(64) << AF)
    r = a - b if kind == SUB else a + b
    cf = a.lt_u(b) if kind == SUB else r.lt_u(a)
    of = ((a ^ b) & (a ^ r)).msb() if kind == SUB else ((a ^ r) & (b ^ r)).msb()
    af = ((a ^ b ^ r) >> shift).bit(4)
    return pack(m, cf, of, af) | _of_result(m, r, shift)


def condition_after_sub(m, cc: int, a: Int, b: Int, shift) -> Bool:
    """Condition code cc after SUB; `shift` is a function that gives the shift when it is needed."""
    match cc >> 1:
        case 0: holds = ((a ^ b) & (a ^ (a - b))).msb()
        case 1: holds = a.lt_u(b)
        case 2: holds = a == b
        case 3: holds = ~b.lt_u(a)
        case 4: holds = (a - b).msb()
        case 5: holds = ((a - b) >> shift()).parity_even()
        case 6: holds = a.lt_s(b)
        case 7: holds = ~b.lt_s(a)
    return ~holds if cc & 1 else holds


def condition_of(m, cc: int, packed: Int) -> Bool:
    """Condition code cc of packed flags."""
    match cc >> 1:
        case 0: holds = packed.bit(OF)
        case 1: holds = packed.bit(CF)
        case 2: holds = packed.bit(ZF)
        case 3: holds = packed.bit(CF) | packed.bit(ZF)
        case 4: holds = packed.bit(SF)
        case 5: holds = packed.bit(PF)
        case 6: holds = packed.bit(SF) ^ packed.bit(OF)
        case 7: holds = packed.bit(ZF) | (packed.bit(SF) ^ packed.bit(OF))
    return ~holds if cc & 1 else holds


def condition_after_comparison(m, cc: int, x: Float, y: Float) -> Bool:
    """Condition code cc after the comparison of two numbers."""
    match cc >> 1:
        case 1: holds = ~y.le(x)
        case 2 | 7: holds = ~(x.lt(y) | y.lt(x))
        case 3: holds = ~y.lt(x)
        case 5: holds = x.unordered(y)
        case _: holds = m.bool(False)
    return ~holds if cc & 1 else holds


def condition_after(m, kind: int, cc: int, a: Int, b: Int) -> Bool:
    """Condition code cc after an instruction of a known kind, a and b not shifted: integers of the operand's width, but for
    the b of RESULT, INC, DEC and EXPLICIT."""
    if kind == SUB:
        return condition_after_sub(m, cc, a, b, lambda: 0)
    if kind == EXPLICIT:
        return condition_of(m, cc, b)
    r = a + b if kind == ADD else a

    def cf(): return r.lt_u(a) if kind == ADD else b.bit(CF)

    def of():
        if kind == ADD:
            return ((a ^ r) & (b ^ r)).msb()
        if kind in (INC, DEC):
            return r == (1 << r.bits - 1) - (kind == DEC)
        return b.bit(OF)
    match cc >> 1:
        case 0: holds = of()
        case 1: holds = cf()
        case 2: holds = r.is_zero()
        case 3: holds = cf() | r.is_zero()
        case 4: holds = r.msb()
        case 5: holds = r.parity_even()
        case 6: holds = r.msb() ^ of()
        case 7: holds = r.is_zero() | (r.msb() ^ of())
    return ~holds if cc & 1 else holds
