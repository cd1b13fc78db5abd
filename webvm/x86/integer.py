"""What the general-purpose instructions mean, control flow and strings included (Intel SDM volume 2)."""
from .meaning import (AF, ARITHMETIC, CF, DF, IF, PF, RAX, RBP, RCX, RDI, RDX, RSI, RSP, SF, ZF, Int, Machine,
                      meaning)

# ---------------------------------------------------------------------------------------------- moves


@meaning("mov", "movabs", "movnti")
def mov(m): m.dst = m.src


@meaning()
def movzx(m): m.dst = m.src.zext(m.bits[0])


@meaning("movsx", "movsxd")
def movsx(m): m.dst = m.src.sext(m.bits[0])


@meaning()
def lea(m): m.dst = m.address(1, segment=False).low(m.bits[0])


@meaning()
def xchg(m):
    x, y = m.dst, m.src
    m.write(1, x)
    m.dst = y


@meaning()
def bswap(m):
    x = m.dst.zext(64)
    x = (x & 0x00FF00FF00FF00FF) << 8 | (x >> 8) & 0x00FF00FF00FF00FF
    x = (x & 0x0000FFFF0000FFFF) << 16 | (x >> 16) & 0x0000FFFF0000FFFF
    m.dst = x.rotl(32) if m.size == 64 else (x.rotl(32) >> 32).low(m.size)


@meaning()
def movbe(m):
    x = m.src.zext(64)
    x = (x & 0x00FF00FF00FF00FF) << 8 | (x >> 8) & 0x00FF00FF00FF00FF
    x = (x & 0x0000FFFF0000FFFF) << 16 | (x >> 16) & 0x0000FFFF0000FFFF
    m.dst = (x.rotl(32) >> 64 - m.size).low(m.size)


@meaning()
def cmovcc(m):
    x, y = m.dst, m.src
    m.dst = m.condition(m.cc).select(y, x)      # a 32-bit destination is zero-extended even when not moved


@meaning()
def setcc(m): m.dst = m.condition(m.cc).int(8)


@meaning()
def xlat(m):
    table = m.reg(3, m.asize).zext(64) + m.reg(RAX, 8).zext(64)
    m.set_reg(RAX, m.load(_segmented(m, table), 8))


@meaning("cbw", "cwde", "cdqe")
def cbw(m): m.set_reg(RAX, m.reg(RAX, m.size // 2).sext(m.size))


@meaning("cwd", "cdq", "cqo")
def cwd(m): m.set_reg(RDX, m.reg(RAX, m.size).sar(63 if m.size == 64 else m.size - 1))


# ---------------------------------------------------------------------------------------------- arithmetic


@meaning()
def add(m):
    x, y = m.dst, m.src
    m.dst = x + y
    m.flags_add(x, y)


@meaning()
def sub(m):
    x, y = m.dst, m.src
    m.dst = x - y
    m.flags_sub(x, y)


@meaning("cmp")
def cmp(m): m.flags_sub(m.dst, m.src)


@meaning()
def adc(m):
    x, y, c = m.dst, m.src, m.cf.int(m.size)
    r = x + y + c
    carry = ((x & y) | ((x | y) & ~r)).msb()
    m.dst = r
    m.flags_result(r, cf=carry, of=((x ^ r) & (y ^ r)).msb(), af=(x ^ y ^ r).bit(4))


@meaning()
def sbb(m):
    x, y, c = m.dst, m.src, m.cf.int(m.size)
    r = x - y - c
    borrow = ((~x & y) | (~(x ^ y) & r)).msb()
    m.dst = r
    m.flags_result(r, cf=borrow, of=((x ^ y) & (x ^ r)).msb(), af=(x ^ y ^ r).bit(4))


@meaning()
def inc(m):
    r = m.dst + 1
    m.flags_inc(r)
    m.dst = r


@meaning()
def dec(m):
    r = m.dst - 1
    m.flags_dec(r)
    m.dst = r


@meaning()
def neg(m):
    x = m.dst
    m.dst = -x
    m.flags_sub(m.int(0, m.size), x)


@meaning("not")
def not_(m): m.dst = ~m.dst


@meaning("and")
def and_(m):
    r = m.dst & m.src
    m.dst = r
    m.flags_logic(r)


@meaning("or")
def or_(m):
    r = m.dst | m.src
    m.dst = r
    m.flags_logic(r)


@meaning()
def xor(m):
    r = m.dst ^ m.src
    m.dst = r
    m.flags_logic(r)


@meaning("test")
def test(m): m.flags_logic(m.dst & m.src)


@meaning()
def xadd(m):
    x, y = m.dst, m.src
    m.write(1, x)
    m.dst = x + y
    m.flags_add(x, y)


@meaning()
def cmpxchg(m):
    old, new, expected = m.dst, m.src, m.reg(RAX, m.size)
    equal = old == expected
    if m.kinds[0] == "r":
        m.when(equal, lambda: m.write(0, new))          # where not equal, the upper half of 64 bits stays
    else:
        m.dst = equal.select(new, old)
    m.when(~equal, lambda: m.set_reg(RAX, old))
    m.flags_sub(expected, old)


@meaning("cmpxchg8b")
def cmpxchg8b(m):
    """CMPXCHG16B too: the operand is twice the registers' width."""
    half, at = m.size // 2, m.address(0)
    if half == 64:
        m.trap_if((at & 15) != 0, "GP")
    m.writable(at, 2 * half)
    low, high = m.load(at, half), m.load(at + half // 8, half)
    equal = (low == m.reg(RAX, half)) & (high == m.reg(RDX, half))
    m.store(at, equal.select(m.reg(3, half), low))
    m.store(at + half // 8, equal.select(m.reg(RCX, half), high))

    def fetch():
        m.set_reg(RAX, low)
        m.set_reg(RDX, high)
    m.when(~equal, fetch)
    m.flags_set(zf=equal)


# ---------------------------------------------------------------------------------------------- multiply, divide


def _set_product(m, low, high, overflow):
    m.flags_result(low, cf=overflow, of=overflow)
    if m.size == 8:
        m.set_reg(RAX, (high.zext(16) << 8) | low.zext(16))
    else:
        m.set_reg(RAX, low)
        m.set_reg(RDX, high)


@meaning()
def mul(m):
    x, y, n = m.reg(RAX, m.size), m.dst, m.size
    if n == 64:
        low, high = x * y, x.mul_high(y, signed=False)
    else:
        wide = x.zext(64) * y.zext(64)
        low, high = wide.low(n), (wide >> n).low(n)
    _set_product(m, low, high, ~high.is_zero())


@meaning("imul1", "imul2", "imul3")
def imul(m):
    """One operand: RDX:RAX; two: dst *= src; three: dst = src * src2."""
    n = m.size
    if len(m.bits) == 1:
        x, y = m.reg(RAX, n), m.dst
    elif len(m.bits) == 2:
        x, y = m.dst, m.src
    else:
        x, y = m.src, m.src2
    if n == 64:
        low, high = x * y, x.mul_high(y, signed=True)
    else:
        wide = x.sext(64) * y.sext(64)
        low, high = wide.low(n), (wide >> n).low(n)
    overflow = high != low.sar(n - 1)
    if len(m.bits) == 1:
        _set_product(m, low, high, overflow)
    else:
        m.dst = low
        m.flags_result(low, cf=overflow, of=overflow)


def _set_quotient(m, q, r):
    """Flags after a division are undefined; processors leave them alone."""
    n = m.size
    if n == 8:
        m.set_reg(RAX, q.low(8).zext(16) | (r.low(8).zext(16) << 8))
    else:
        m.set_reg(RAX, q.low(n))
        m.set_reg(RDX, r.low(n))


def _dividend(m):
    if m.size == 8:
        return m.reg(RAX, 16)
    return ((m.reg(RDX, m.size).zext(64) << m.size) | m.reg(RAX, m.size).zext(64)).low(2 * m.size)


@meaning()
def div(m):
    d = m.dst.zext(64)
    m.trap_if(d.is_zero(), "DE")
    if m.size == 64:
        _set_quotient(m, *m.divide_wide(m.reg(RDX, 64), m.reg(RAX, 64), d, signed=False))
        return
    n = _dividend(m).zext(64)
    q, r = n.div_u(d), n.rem_u(d)
    m.trap_if(~(q >> m.size).is_zero(), "DE")
    _set_quotient(m, q, r)


@meaning()
def idiv(m):
    d = m.dst.sext(64)
    m.trap_if(d.is_zero(), "DE")
    if m.size == 64:
        _set_quotient(m, *m.divide_wide(m.reg(RDX, 64), m.reg(RAX, 64), d, signed=True))
        return
    n = _dividend(m).sext(64)
    m.trap_if((n == 1 << 63) & (d == -1), "DE")
    q, r = n.div_s(d), n.rem_s(d)
    m.trap_if(q != q.low(m.size).sext(64), "DE")
    _set_quotient(m, q, r)


# ---------------------------------------------------------------------------------------------- shifts and rotates
# A count of zero (after masking) changes no flag. OF is defined for a count of 1 only; with others it is, as in processors,
# that of the last step (`undefined` has the list).


def _count(m, k=1): return (m.operand(k, 8) & (63 if m.size == 64 else 31)).zext(64)


@meaning("shl", "sal")
def shl(m):
    x, n = m.dst, _count(m)
    r = x << n
    out = (x >> m.int(64, 64) - n).bit(0) if m.size == 64 else (x.zext(64) << n).bit(m.size)
    m.dst = r
    m.when(~n.is_zero(), lambda: m.flags_result(r, cf=out, of=r.msb() ^ out))


@meaning()
def shr(m):
    x, n = m.dst, _count(m)
    r = x >> n
    m.dst = r
    m.when(~n.is_zero(), lambda: m.flags_result(r, cf=x.bit(n - 1), of=(r ^ (r << 1)).msb()))


@meaning()
def sar(m):
    x, n = m.dst.sext(64), _count(m)
    r = x.sar(n).low(m.size)
    m.dst = r
    m.when(~n.is_zero(), lambda: m.flags_result(r, cf=x.sar(n - 1).bit(0), of=m.bool(False)))


@meaning()
def rol(m):
    x, n = m.dst, _count(m)
    r = x.rotl(n & (m.size - 1))
    m.dst = r
    m.when(~n.is_zero(), lambda: m.flags_set(cf=r.bit(0), of=r.msb() ^ r.bit(0)))


@meaning()
def ror(m):
    x, n = m.dst, _count(m)
    r = x.rotl((m.int(0, 64) - n) & (m.size - 1))
    m.dst = r
    m.when(~n.is_zero(), lambda: m.flags_set(cf=r.msb(), of=r.msb() ^ r.bit(m.size - 2)))


def _rotate_carry_count(m):
    """The count as masked, and as it turns size + 1 bits around."""
    n = _count(m)
    return n, n.rem_u(m.size + 1) if m.size < 32 else n


@meaning()
def rcl(m):
    x, c = m.dst, m.cf
    masked, n = _rotate_carry_count(m)
    w = x.zext(64)
    # The carry lands on bit n-1, and what left the register re-enters below it.
    r = ((w << n) | (c.int(64) << (n - 1)) | ((w >> 1) >> (m.int(m.size, 64) - n))).low(m.size)
    r = n.is_zero().select(x, r)
    out = n.is_zero().select(c.int(64), (w >> (m.int(m.size, 64) - n))).bit(0)
    m.dst = r
    m.when(~masked.is_zero(), lambda: m.flags_set(cf=out, of=r.msb() ^ out))


@meaning()
def rcr(m):
    x, c = m.dst, m.cf
    masked, n = _rotate_carry_count(m)
    w = x.zext(64)
    r = ((w >> n) | (c.int(64) << (m.int(m.size, 64) - n)) | ((w << 1) << (m.int(m.size, 64) - n))).low(m.size)
    r = n.is_zero().select(x, r)
    out = n.is_zero().select(c.int(64), w >> (n - 1)).bit(0)
    m.dst = r
    m.when(~masked.is_zero(), lambda: m.flags_set(cf=out, of=r.msb() ^ r.bit(m.size - 2)))


@meaning()
def shld(m):
    x, y, n = m.dst, m.src, _count(m, 2)
    size = m.size
    if size == 64:
        r = n.is_zero().select(x, (x << n) | (y >> (m.int(64, 64) - n)))
        out = (x >> (m.int(64, 64) - n)).bit(0)
    else:
        wide = (x.zext(64) << size) | y.zext(64)
        wide = (wide << size) | y.zext(64) if size == 16 else wide      # counts above 16 repeat the source
        top = 64 - size if size == 32 else 2 * size
        r = ((wide << n) >> top).low(size) if size == 32 else ((wide << n) >> 32).low(16)
        out = (x.zext(64) << n).bit(size)
    m.dst = r
    m.when(~n.is_zero(), lambda: m.flags_result(r, cf=out, of=r.msb() ^ out))


@meaning()
def shrd(m):
    x, y, n = m.dst, m.src, _count(m, 2)
    size = m.size
    if size == 64:
        r = n.is_zero().select(x, (x >> n) | (y << (m.int(64, 64) - n)))
    else:
        wide = (y.zext(64) << size) | x.zext(64)
        wide = wide | (y.zext(64) << 32) if size == 16 else wide
        r = (wide >> n).low(size)
    out = (x if size == 64 else wide).bit(n - 1)
    m.dst = r
    m.when(~n.is_zero(), lambda: m.flags_result(r, cf=out, of=(r ^ (r << 1)).msb()))


# ---------------------------------------------------------------------------------------------- bits


def _bit_test(change=None):
    """BT and its kin. With a register index a memory operand is a bit string that reaches beyond the operand."""
    def meaning_of(m):
        if m.kinds == ("m", "r"):
            index = m.src.sext(64)
            at = m.address(0, plus=index.sar(3))
            if change:
                m.writable(at, 8)
            x, n = m.load(at, 8), index & 7
        else:
            x, n = m.dst, (m.src & (m.size - 1)).zext(64)
        bit = x.bit(n)
        if change:
            mask = m.int(1, x.bits) << n
            r = change(x, mask)
            if m.kinds == ("m", "r"):
                m.store(at, r)
            else:
                m.dst = r
        m.flags_set(cf=bit)
    return meaning_of


meaning("bt")(_bit_test())
meaning("bts")(_bit_test(lambda x, mask: x | mask))
meaning("btr")(_bit_test(lambda x, mask: x & ~mask))
meaning("btc")(_bit_test(lambda x, mask: x ^ mask))


@meaning()
def bsf(m):
    x = m.src
    m.when(~x.is_zero(), lambda: m.write(0, x.ctz()))       # of zero: the destination stays
    m.flags_logic(x)


@meaning()
def bsr(m):
    x = m.src
    m.when(~x.is_zero(), lambda: m.write(0, m.int(m.size - 1, m.size) - x.clz()))
    m.flags_logic(x)


@meaning()
def tzcnt(m):
    x = m.src
    r = x.is_zero().select(m.int(m.size, m.size), x.ctz())
    m.dst = r
    m.flags_result(r, cf=x.is_zero(), of=m.bool(False))


@meaning()
def lzcnt(m):
    x = m.src
    r = x.is_zero().select(m.int(m.size, m.size), x.clz())
    m.dst = r
    m.flags_result(r, cf=x.is_zero(), of=m.bool(False))


@meaning()
def popcnt(m):
    x = m.src
    m.dst = x.popcnt()
    none = m.bool(False)
    m.flags_set(cf=none, pf=none, af=none, zf=x.is_zero(), sf=none, of=none)


# ---------------------------------------------------------------------------------------------- stack


@meaning()
def push(m): m.push(m.operand(0, m.size))


@meaning()
def pop(m):
    sp = m.reg(RSP, 64)
    value = m.load(sp, m.size)
    m.set_reg(RSP, sp + m.size // 8)
    m.dst = value


@meaning()
def leave(m):
    frame = m.reg(RBP, 64)
    value = m.load(frame, m.size)
    m.set_reg(RSP, frame + m.size // 8)
    m.set_reg(RBP, value)


def eflags(m: Machine) -> Int:
    """The whole of EFLAGS as PUSHF shows it; bit 1 and IF are always set."""
    return m.arithmetic_flags() | (m.cell("df") << DF) | m.flags_rest() | (1 << 1 | 1 << IF)


def set_eflags(m: Machine, value: Int) -> None:
    m.set_arithmetic_flags(value & ARITHMETIC)
    m.set_cell("df", (value >> DF) & 1)
    m.set_flags_rest(value & REST)


TF = 1 << 8
REST = 1 << 14 | 1 << 18 | 1 << 21 | TF   # NT, AC, ID: user code may change them


@meaning()
def pushf(m): m.push(eflags(m).zext(64).low(m.size))


@meaning()
def popf(m):
    sp = m.reg(RSP, 64)
    value = m.load(sp, m.size)
    m.slow_if((value & TF) != 0)              # single steps are the oracle's
    m.set_reg(RSP, sp + m.size // 8)
    if m.size == 16:
        set_eflags(m, value.zext(32) | (m.flags_rest() & 0xFFFF0000))
    else:
        set_eflags(m, value.low(32))


_AH_FLAGS = 1 << SF | 1 << ZF | 1 << AF | 1 << PF | 1 << CF


@meaning()
def lahf(m): m.set_reg(RAX, m.reg(RAX, 16) & 0xFF | ((m.arithmetic_flags() & _AH_FLAGS | 2) << 8).low(16))


@meaning()
def sahf(m):
    kept = m.arithmetic_flags() & (ARITHMETIC & ~_AH_FLAGS)
    m.set_arithmetic_flags(kept | ((m.reg(RAX, 16) >> 8) & _AH_FLAGS).zext(32))


@meaning()
def clc(m): m.flags_set(cf=m.bool(False))


@meaning()
def stc(m): m.flags_set(cf=m.bool(True))


@meaning()
def cmc(m): m.flags_set(cf=~m.cf)


@meaning()
def cld(m): m.set_cell("df", m.int(0, 32))


@meaning()
def std(m): m.set_cell("df", m.int(1, 32))


# ---------------------------------------------------------------------------------------------- control


@meaning("nop", "pause", "endbr64", "endbr32", "prefetch", "prefetchw", "prefetchnta", "prefetcht0", "prefetcht1",
         "prefetcht2", "lfence", "mfence", "sfence", "cldemote")
def nop(m): pass


@meaning("jmp", "jmp_indirect")
def jmp(m):
    if m.kinds == ("j",):
        m.branch()
    else:
        target = m.dst
        m.target(target)
        m.goto(target)


@meaning()
def jcc(m): m.branch(m.condition(m.cc))


@meaning("call", "call_indirect")
def call(m):
    if m.kinds == ("j",):
        m.push(m.next_ip())
        m.branch()
    else:
        target = m.dst
        m.target(target)
        m.push(m.next_ip())
        m.goto(target)


@meaning()
def ret(m):
    sp = m.reg(RSP, 64)
    target = m.load(sp, 64)
    m.target(target)
    m.set_reg(RSP, sp + 8 + m.operand(0, 16).zext(64) if m.kinds else sp + 8)
    m.goto(target)


def _loop(condition):
    def meaning_of(m):
        count = m.reg(RCX, m.asize) - 1
        taken = ~count.is_zero()
        taken = taken if condition is None else taken & condition(m)
        m.set_reg(RCX, count)
        m.branch(taken)
    return meaning_of


meaning("loop")(_loop(None))
meaning("loope")(_loop(lambda m: m.condition(4)))
meaning("loopne")(_loop(lambda m: m.condition(5)))


@meaning("jrcxz", "jecxz")
def jrcxz(m): m.branch(m.reg(RCX, m.asize).is_zero())


@meaning()
def syscall(m): m.system_call()


@meaning("ud2", "ud1", "ud0")
def ud2(m): m.trap("UD")


@meaning()
def int3(m): m.trap("BP")


@meaning()
def rdfsbase(m): m.dst = m.base("fs").low(m.size)


@meaning()
def rdgsbase(m): m.dst = m.base("gs").low(m.size)


def _write_base(segment):
    def meaning_of(m):
        at = m.dst.zext(64)
        if m.size == 64:
            m.trap_if((at << 16).sar(16) != at, "GP")       # no address
        m.set_base(segment, at)
    meaning(f"wr{segment}base")(meaning_of)


_write_base("fs")
_write_base("gs")


# ---------------------------------------------------------------------------------------------- strings
# One element a time; under REP the instruction is executed again until the count is used up, so that it can be
# interrupted and restarted between any two elements. Many that are moved or stored upwards go page by page.

_PAGE, _MANY = 4096, 64          # bytes


def _segmented(m, address):
    return address + m.base(m.segment) if m.segment else address


def _string(m, step, compare=False):
    if m.rep is None:
        step()
        return
    count = m.reg(RCX, m.asize)

    def one():
        step()
        m.set_reg(RCX, m.reg(RCX, m.asize) - 1)
    m.when(~count.is_zero(), one)
    more = count.gt_u(1) if compare else ~m.reg(RCX, m.asize).is_zero()
    m.again(more & m.condition(4 if m.rep == "rep" else 5) if compare else more)


def _source(m): return _segmented(m, m.reg(RSI, m.asize).zext(64))
def _destination(m): return m.reg(RDI, m.asize).zext(64)


def _advance(m, *registers):
    size = m.size // 8
    step = m.int(size, 64) - m.cell("df").zext(64) * (2 * size)
    for r in registers:
        m.set_reg(r, m.reg(r, m.asize) + step.low(m.asize))


def _rest(m, pointers: dict, possible, do):
    """After an element of many was done: those after it that lie in the same pages, if `possible(bytes)`, by `do(bytes)`. The registers
    are as they have been one element before what comes next. pointers: register -> address."""
    if m.rep is None or m.steps:
        return
    size = m.size // 8
    shift = size.bit_length() - 1
    count = m.reg(RCX, m.asize).zext(64)

    def many():
        n = count
        for pointer in pointers.values():
            room = (m.int(_PAGE, 64) - (pointer & _PAGE - 1)) >> shift
            n = room.lt_u(n).select(room, n)
        n = n.is_zero().select(n, n - 1)

        def these():
            length = n << shift
            do(length)
            for register in pointers:
                m.set_reg(register, m.reg(register, m.asize) + length.low(m.asize))
            m.set_reg(RCX, m.reg(RCX, m.asize) - n.low(m.asize))
        m.when(possible(n + 1 << shift) & ~n.is_zero(), these)
    m.when(~count.lt_u(_MANY // size) & m.cell("df").is_zero(), many)


@meaning()
def movs(m):
    def step():
        source, target = _source(m), _destination(m)
        m.store(target, m.load(source, m.size))
        _rest(m, {RSI: source, RDI: target}, lambda length: ~(target - source).lt_u(length),       # what is read was not written before
              lambda length: m.move(target + m.size // 8, source + m.size // 8, length))
        _advance(m, RSI, RDI)
    _string(m, step)


@meaning()
def stos(m):
    def step():
        target, value = _destination(m), m.reg(RAX, m.size)
        m.store(target, value)
        byte = value.low(8)
        _rest(m, {RDI: target}, lambda _: value == byte.zext(m.size) * ((1 << m.size) // 255),
              lambda length: m.fill(target + m.size // 8, byte, length))
        _advance(m, RDI)
    _string(m, step)


@meaning()
def lods(m):
    def step():
        m.set_reg(RAX, m.load(_source(m), m.size))
        _advance(m, RSI)
    _string(m, step)


@meaning()
def cmps(m):
    def step():
        x, y = m.load(_source(m), m.size), m.load(_destination(m), m.size)
        _advance(m, RSI, RDI)
        m.flags_sub(x, y)
    _string(m, step, compare=True)


@meaning()
def scas(m):
    def step():
        x, y = m.reg(RAX, m.size), m.load(_destination(m), m.size)
        _advance(m, RDI)
        m.flags_sub(x, y)
    _string(m, step, compare=True)


# ---------------------------------------------------------------------------------------------- checksums
