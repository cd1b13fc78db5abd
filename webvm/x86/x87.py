"""What the x87 instructions mean (Intel SDM volume 1, chapter 8). Of these, generated code has the common
cases in forms of its own (`x87_common`).

Knows the register stack, the control, status and tag words and how they lie in memory. Numbers are float80's.

All exceptions have their masked response; unmasked ones keep the operands and set ES, and the next waiting instruction
raises #MF. Selectors are stored as zero in the pointers to the last instruction and its operand, as CPUID says.
"""
import struct

from . import float80 as f
from . import transcendental
from .float80 import C0, C1, C2, C3, DE, ES, IE, INDEFINITE, OE, PE, SF, UE, ZE
from .insn import Mem
from .meaning import ARITHMETIC, CF, PF, ZF, meaning
from .oracle import python_meaning
from .primitives import M32
from .x87_state import BUSY, EXCEPTIONS, FCW_BITS, FCW_ONE, TOP, set_control, wait

CC = C0 | C1 | C2 | C3
FCW_RESET = 0x37F


def instruction(*names):
    """Registers what an instruction does that is no control instruction: it waits, and leaves the pointers behind. Those to
    the operand and the opcode are set by unmasked exceptions only, as Intel's processors do (CPUID.7.EBX[6])."""
    def register(function):
        def run(m):
            wait(m)
            function(m)
            s = m.state
            m.leave_pointer()
            if s.fsw & ES:
                s.fop = (m.insn.row.opcode & 7) << 8 | m.insn.modrm
                s.fdp = m.address(0, segment=False).raw if "m" in m.kinds else 0
        python_meaning(*names or [function.__name__])(run)
        return function
    return register


# ---------------------------------------------------------------------------------------------- the stack


def _st(s, i: int) -> int:
    """The physical register that is ST(i) now."""
    return (s.fsw >> 11) + i & 7


def _in_use(s, r: int, other: int | None = None) -> int:
    """Whether the register, or both, have something in them."""
    return s.ftw >> r & 1 if other is None else s.ftw >> r & s.ftw >> other & 1


def _set(s, r: int, x: int) -> None:
    s.x87[r] = x
    s.ftw |= 1 << r


def _turn(s, by: int) -> None:
    s.fsw = s.fsw & ~TOP | s.fsw + (by << 11) & TOP


def _pop(s, times: int = 1) -> None:
    for _ in range(times):
        s.ftw &= ~(1 << _st(s, 0))
        _turn(s, 1)


def _signal(s, flags: int) -> bool:
    """Sets exceptions, and C1 as given. True when the instruction must leave its operands alone."""
    s.fsw = s.fsw & ~C1 | flags
    unmasked = flags & ~s.fcw & EXCEPTIONS
    if unmasked:
        s.fsw |= ES | BUSY
    return bool(unmasked & (IE | DE | ZE))


def _summary(s) -> None:
    """ES and B after a change of the control or status word."""
    s.fsw = s.fsw | ES | BUSY if s.fsw & ~s.fcw & EXCEPTIONS else s.fsw & ~(ES | BUSY)


def _underflow(s) -> bool:
    """A register that is read is empty."""
    return _signal(s, IE | SF)


def _push(s, x: int, flags: int = 0) -> None:
    r = _st(s, -1)
    if s.ftw >> r & 1:
        x, flags = INDEFINITE, IE | SF | C1
    if not _signal(s, flags):
        _turn(s, -1)
        _set(s, r, x)


def _memory(m, size: int) -> int:
    return int.from_bytes(m.memory.read(m.address(0).raw, size), "little")


def _store(m, x: int, size: int) -> None:
    m.memory.write(m.address(0).raw, x.to_bytes(size, "little"))


def _real(m) -> tuple[int, int]:
    """The operand in memory of 4 or 8 bytes, and DE if it is a denormal."""
    size = m.insn.operands[0].size
    return (f.from32 if size == 4 else f.from64)(_memory(m, size))


def _signed(m) -> int:
    size = m.insn.operands[0].size
    return f.from_int(int.from_bytes(m.memory.read(m.address(0).raw, size), "little", signed=True))


# ---------------------------------------------------------------------------------------------- load and store


@instruction()
def fld(m):
    s, source = m.state, m.insn.operands[0]
    if not isinstance(source, Mem):
        r = _st(s, source.number)
        if _in_use(s, r):
            _push(s, s.x87[r])
        elif not _underflow(s):
            _turn(s, -1)
            _set(s, _st(s, 0), INDEFINITE)
        return
    if source.size == 10:
        _push(s, _memory(m, 10))
        return
    x, denormal = _real(m)
    if f.kind(x) == f.SIGNALING:
        _push(s, x | f.QUIET_BIT, IE)
    elif denormal and not _in_use(s, _st(s, -1)):
        _turn(s, -1)                                   # unmasked or not: so AMD's processors, where Intel's do not load it
        _set(s, _st(s, 0), x)
        _signal(s, DE)
    else:
        _push(s, x)


@instruction()
def fild(m): _push(m.state, _signed(m))


@instruction()
def fbld(m): _push(m.state, f.from_bcd(_memory(m, 10)))


_INDEFINITE = {4: 0xFFC00000, 8: 0xFFF8 << 48, 10: INDEFINITE}


def _put(m, size, empty, convert, pop):
    """Stores ST(0) in memory through `convert`, which answers bits and flags; `empty` if there is nothing in it."""
    s = m.state
    r = _st(s, 0)
    x, flags = convert(s.x87[r]) if _in_use(s, r) else (empty, IE | SF)
    # No result is stored, and nothing popped, with any of these unmasked: see _signal for the registers' rules.
    if not flags & ~s.fcw & (IE | OE | UE):
        _store(m, x, size)
        _signal(s, flags)
        _pop(s, pop)
    else:
        m.memory.check_write(m.address(0).raw, size)
        _signal(s, flags & ~(PE | C1) if flags & ~s.fcw & (OE | UE) else flags)


def _fst(pop):
    def run(m):
        s, to = m.state, m.insn.operands[0]
        if not isinstance(to, Mem):
            r = _st(s, 0)
            x = s.x87[r]
            if not _in_use(s, r):
                if _underflow(s):
                    return
                x = INDEFINITE
            else:
                s.fsw &= ~C1
            _set(s, _st(s, to.number), x)
            _pop(s, pop)
            return
        size = to.size
        convert = {4: lambda x: f.to32(x, s.fcw), 8: lambda x: f.to64(x, s.fcw), 10: lambda x: (x, 0)}[size]
        _put(m, size, _INDEFINITE[size], convert, pop)
    return run


@instruction()
def fstpnce(m):
    """FSTP, but nobody hears of an empty ST(0)."""
    if _in_use(m.state, _st(m.state, 0)):
        _fst(1)(m)
    else:
        m.state.fsw &= ~C1
        _pop(m.state)


instruction("fst")(_fst(0))
instruction("fstp")(_fst(1))


def _fist(pop, rc=None):
    def run(m):
        size = m.insn.operands[0].size
        to = m.state.fcw >> 10 & 3 if rc is None else rc
        _put(m, size, 1 << 8 * size - 1, lambda x: f.to_int(x, 8 * size, to), pop)
    return run


instruction("fist")(_fist(0))
instruction("fistp")(_fist(1))
instruction("fisttp")(_fist(1, f.CHOP))


@instruction()
def fbstp(m): _put(m, 10, f.BCD_INDEFINITE, lambda x: f.to_bcd(x, m.state.fcw >> 10 & 3), 1)


@instruction()
def fxch(m):
    s = m.state
    a, b = _st(s, 0), _st(s, m.insn.operands[1].number)
    if not _in_use(s, a, b):
        if _underflow(s):
            return
        for r in (a, b):
            if not _in_use(s, r):
                _set(s, r, INDEFINITE)
    else:
        s.fsw &= ~C1
    s.x87[a], s.x87[b] = s.x87[b], s.x87[a]


def _fcmov(cc):
    def run(m):
        s = m.state
        a, b = _st(s, 0), _st(s, m.insn.operands[1].number)
        if not _in_use(s, a, b):
            if not _underflow(s):
                _set(s, a, INDEFINITE)
            return
        if m.condition(cc).raw:
            s.x87[a] = s.x87[b]
    return run


for _cc, _name in enumerate(("b", "nb", "e", "ne", "be", "nbe", None, None, "u", "nu"), 2):
    if _name:
        instruction("fcmov" + _name)(_fcmov(_cc))


# The constants are kept with more bits than a register has, and rounded (SDM volume 1, 8.3.8): floor and the next bits.
CONSTANTS = {
    "fldz":   (0, 0, 0),
    "fld1":   (f.ONE, 0, 0),
    "fldl2t": (0x4000 << 64 | 0xD49A784BCD1B8AFE, 0, 1),     # the second: nearest is above; the third: inexact
    "fldl2e": (0x3FFF << 64 | 0xB8AA3B295C17F0BB, 1, 1),
    "fldpi":  (0x4000 << 64 | 0xC90FDAA22168C234, 1, 1),
    "fldlg2": (0x3FFD << 64 | 0x9A209A84FBCFF798, 1, 1),
    "fldln2": (0x3FFE << 64 | 0xB17217F7D1CF79AB, 1, 1),
}


def _constant(x, nearest_above, inexact):
    def run(m):
        _push(m.state, x + (nearest_above, 0, inexact, 0)[m.state.fcw >> 10 & 3])
    return run


for _name, _values in CONSTANTS.items():
    instruction(_name)(_constant(*_values))


# ---------------------------------------------------------------------------------------------- arithmetic


def _result(s, r: int, x: int, flags: int) -> bool:
    """Puts a result into register r; False when an unmasked exception forbids it."""
    if _signal(s, flags):
        return False
    _set(s, r, x)
    return True


def _arithmetic(operate, source=None, pop=0):
    """dst = operate(dst, src); src a register, or `source(m)` where memory gives it: (number, DE or 0)."""
    def run(m):
        s, operands = m.state, m.insn.operands
        to, de = _st(s, 0), 0
        if len(operands) == 2:
            to, other = _st(s, operands[0].number), _st(s, operands[1].number)
            full, y = _in_use(s, to, other), s.x87[other]
        else:
            y, de = source(m)
            full = _in_use(s, to)
        x, flags = operate(s.x87[to], y, s.fcw, de) if full else (INDEFINITE, IE | SF)
        if _result(s, to, x, flags):
            _pop(s, pop)
    return run


def _reversed(operate): return lambda a, b, fcw, de=0: operate(b, a, fcw, de)


for _name, _operate in (("add", f.add), ("mul", f.mul), ("sub", f.sub), ("subr", _reversed(f.sub)),
                        ("div", f.div), ("divr", _reversed(f.div))):
    instruction("f" + _name)(_arithmetic(_operate, _real))
    instruction("f" + _name + "p")(_arithmetic(_operate, pop=1))
    instruction("fi" + _name)(_arithmetic(_operate, lambda m: (_signed(m), 0)))


def _unary(operate, clear=0):
    """ST(0) = operate(ST(0), fcw). `clear`: what of the condition code is 0 unless the flags have it."""
    def run(m):
        s = m.state
        r = _st(s, 0)
        x, flags = operate(s.x87[r], s.fcw) if _in_use(s, r) else (INDEFINITE, IE | SF)
        s.fsw &= ~clear
        _result(s, r, x, flags)
    return run


instruction("fchs")(_unary(lambda x, fcw: (x ^ f.SIGN, 0)))
instruction("fabs")(_unary(lambda x, fcw: (x & f.MAGNITUDE, 0)))
instruction("fsqrt")(_unary(f.sqrt))
instruction("frndint")(_unary(f.round_to_int))
instruction("f2xm1")(_unary(transcendental.power2_less1))
instruction("fsin")(_unary(transcendental.sine, C2))
instruction("fcos")(_unary(transcendental.cosine, C2))


def _of_two(operate, to, pop):
    """ST(to) = operate(ST(0), ST(1), fcw)."""
    def run(m):
        s = m.state
        a, b = _st(s, 0), _st(s, 1)
        x, flags = operate(s.x87[a], s.x87[b], s.fcw) if _in_use(s, a, b) else (INDEFINITE, IE | SF)
        if _result(s, _st(s, to), x, flags):
            _pop(s, pop)
    return run


instruction("fscale")(_of_two(f.scale, 0, 0))
instruction("fyl2x")(_of_two(transcendental.y_log2, 1, 1))
instruction("fyl2xp1")(_of_two(transcendental.y_log2_plus1, 1, 1))
instruction("fpatan")(_of_two(transcendental.arctangent, 1, 1))


def _fprem(nearest):
    def run(m):
        s = m.state
        r, by = _st(s, 0), _st(s, 1)
        full = _in_use(s, r, by)
        x, flags = f.remainder(s.x87[r], s.x87[by], nearest, s.fcw) if full else (INDEFINITE, IE | SF)
        none = f.kind(x) >= f.QUIET or flags & DE & ~s.fcw
        s.fsw &= ~(C2 if none else CC)
        _result(s, r, x, flags)
    return run


instruction("fprem")(_fprem(False))
instruction("fprem1")(_fprem(True))


def _two_results(operate, clear=0):
    """ST(0) is replaced by the first of two results and the second is pushed (with C2, neither)."""
    def run(m):
        s = m.state
        r, free = _st(s, 0), _st(s, -1)
        if not _in_use(s, r):
            x, y, flags = INDEFINITE, INDEFINITE, IE | SF
        elif _in_use(s, free):
            x, y, flags = INDEFINITE, INDEFINITE, IE | SF | C1
        else:
            x, y, flags = operate(s.x87[r], s.fcw)
        s.fsw &= ~clear
        if not _signal(s, flags) and not flags & C2:
            _set(s, r, x)
            _turn(s, -1)
            _set(s, free, y)
    return run


def _tangent(x, fcw):
    t, flags = transcendental.tangent(x, fcw)
    return t, (t if f.kind(t) >= f.QUIET else f.ONE), flags


instruction("fxtract")(_two_results(f.extract))
instruction("fsincos")(_two_results(transcendental.sine_cosine, C2))
instruction("fptan")(_two_results(_tangent, C2))


# ---------------------------------------------------------------------------------------------- compare


def _compare(s, a, b, de, quiet):
    """(condition code, whether to go on) of two numbers; None for one that is not there."""
    cc, flags = (C3 | C2 | C0, IE | SF) if a is None or b is None else f.compare(a, b, quiet, de)
    return cc, not _signal(s, flags)


def _number(s, i):
    r = _st(s, i)
    return s.x87[r] if _in_use(s, r) else None


def _fcom(quiet=False, source=None, pop=0):
    def run(m):
        s, operands = m.state, m.insn.operands
        if operands and isinstance(operands[0], Mem):
            other, de = source(m)
        else:
            other, de = _number(s, operands[1].number if operands else 1), 0
        cc, go_on = _compare(s, _number(s, 0), other, de, quiet)
        s.fsw = s.fsw & ~(C0 | C2 | C3) | cc
        if go_on:
            _pop(s, pop)
    return run


for _pop_count in range(3):
    _suffix = "p" * _pop_count
    instruction("fcom" + _suffix)(_fcom(False, _real, _pop_count))
    instruction("fucom" + _suffix)(_fcom(True, None, _pop_count))
    if _pop_count < 2:
        instruction("ficom" + _suffix)(_fcom(False, lambda m: (_signed(m), 0), _pop_count))


@instruction()
def ftst(m):
    s = m.state
    cc, _ = _compare(s, _number(s, 0), 0, 0, False)
    s.fsw = s.fsw & ~(C0 | C2 | C3) | cc


def _fcomi(quiet, pop):
    def run(m):
        s = m.state
        c1 = s.fsw & C1                                # which AMD's processors keep, and Intel's clear
        a, b = _number(s, 0), _number(s, m.insn.operands[1].number)
        cc, go_on = _compare(s, a, b, 0, quiet)
        s.fsw |= 0 if a is None or b is None else c1
        flags = (cc // C3 & 1) << ZF | (cc // C2 & 1) << PF | (cc // C0 & 1) << CF
        s.flags = s.flags & ~ARITHMETIC | flags
        if go_on:
            _pop(s, pop)
    return run


for _pop_count in range(2):
    instruction("fcomi" + "p" * _pop_count)(_fcomi(False, _pop_count))
    instruction("fucomi" + "p" * _pop_count)(_fcomi(True, _pop_count))


_CLASS = {f.INVALID: 0, f.QUIET: C0, f.SIGNALING: C0, f.NORMAL: C2, f.INFINITE: C2 | C0, f.ZERO: C3, f.DENORMAL: C3 | C2}


@instruction()
def fxam(m):
    s = m.state
    r = _st(s, 0)
    x = s.x87[r]
    s.fsw = s.fsw & ~CC | (_CLASS[f.kind(x)] if _in_use(s, r) else C3 | C0) | (C1 if x >> 79 else 0)


# ---------------------------------------------------------------------------------------------- control


# These have generated forms: the C library saves and sets the control word around much that it prints.

@meaning("fwait", "wait")
def fwait(m): wait(m)


@meaning()
def fnop(m):
    wait(m)
    m.leave_pointer()


@meaning()
def fninit(m):
    for cell, bits, value in (("fcw", 16, FCW_RESET), ("fsw", 16, 0), ("ftw", 8, 0), ("fip", 64, 0), ("fdp", 64, 0), ("fop", 16, 0)):
        m.set_cell(cell, m.int(value, bits))


@meaning()
def fnclex(m): m.set_cell("fsw", m.cell("fsw") & (CC | TOP))


@meaning()
def fldcw(m):
    wait(m)
    set_control(m, m.dst, m.cell("fsw"))


@meaning()
def fnstcw(m): m.dst = m.cell("fcw")


@meaning()
def fnstsw(m): m.dst = m.cell("fsw")


@meaning()
def emms(m):
    wait(m)
    m.set_cell("fsw", m.cell("fsw") & (0xFFFF ^ TOP))
    m.set_cell("ftw", m.int(0, 8))


@instruction()
def fincstp(m):
    _turn(m.state, 1)
    m.state.fsw &= ~C1


@instruction()
def fdecstp(m):
    _turn(m.state, -1)
    m.state.fsw &= ~C1


@instruction()
def ffree(m):
    m.state.ftw &= ~(1 << _st(m.state, m.insn.operands[0].number))
    m.state.fsw &= ~C1


@instruction()
def ffreep(m):
    ffree(m)
    _pop(m.state)


# The environment: seven words of 32 bits, of 16 with an operand-size prefix; four of them are the pointers. The opcode lies
# above the selector of the instruction's.
_FORMS = {28: struct.Struct("<7I"), 14: struct.Struct("<7H")}
_UNUSED = 0xFFFF0000


def _tags(s) -> int:
    """The full tag word: two bits a physical register, valid 0, zero 1, special 2, empty 3."""
    word = 0
    for r in range(8):
        tag = 3
        if s.ftw >> r & 1:
            k = f.kind(s.x87[r])
            tag = 0 if k == f.NORMAL else 1 if k == f.ZERO else 2
        word |= tag << 2 * r
    return word


def _environment(s, size: int) -> bytes:
    if size == 14:
        return _FORMS[14].pack(s.fcw, s.fsw, _tags(s), s.fip & 0xFFFF, 0, s.fdp & 0xFFFF, 0)
    return _FORMS[28].pack(_UNUSED | s.fcw, _UNUSED | s.fsw, _UNUSED | _tags(s), s.fip & M32, s.fop << 16, s.fdp & M32, _UNUSED)


def _load_environment(s, raw: bytes, size: int) -> None:
    fcw, fsw, tags, s.fip, opcode, s.fdp, _ = _FORMS[size].unpack_from(raw)
    s.fop = opcode >> 16 & 0x7FF
    s.fsw = fsw & 0xFFFF
    s.ftw = sum(1 << r for r in range(8) if tags >> 2 * r & 3 != 3)
    s.fcw = fcw & FCW_BITS | FCW_ONE
    _summary(s)


def _stack(s) -> list[int]:
    """The physical registers from ST(0) to ST(7)."""
    return [_st(s, i) for i in range(8)]


def _environment_size(m) -> int:
    """From that of the area: what FNSAVE stores has the registers after it."""
    return m.insn.operands[0].size % 80


@python_meaning()
def fnstenv(m):
    s = m.state
    m.memory.write(m.address(0).raw, _environment(s, _environment_size(m)))
    s.fcw |= EXCEPTIONS
    _summary(s)


@python_meaning()
def fldenv(m):
    wait(m)
    size = _environment_size(m)
    _load_environment(m.state, m.memory.read(m.address(0).raw, size), size)


@python_meaning()
def fnsave(m):
    s = m.state
    registers = b"".join(s.x87[r].to_bytes(10, "little") for r in _stack(s))
    m.memory.write(m.address(0).raw, _environment(s, _environment_size(m)) + registers)
    fninit(m)


@python_meaning()
def frstor(m):
    wait(m)
    s, size = m.state, _environment_size(m)
    raw = m.memory.read(m.address(0).raw, size + 80)
    _load_environment(s, raw, size)
    for i, r in enumerate(_stack(s)):
        s.x87[r] = int.from_bytes(raw[size + 10 * i:size + 10 * i + 10], "little")
