"""The x87 instructions for generated code: the oracle keeps to `x87`, and so judges these.

Knows the instructions' operands. What is done is said by functions that all instructions share, of which only the names
stand here (FUNCTIONS): `m.shared` calls one, and leaves the instruction to the oracle where that says so.
"""
from . import float80 as f
from . import x87                                        # noqa: F401  its meanings come first
from .meaning import meaning
from .x87_state import EXCEPTIONS, set_control

FUNCTIONS = ("push push32 push64 push_integer push_constant push_copy narrow32 narrow64 give round_integer frndint copy exchange "
             "move sign free rotate arithmetic arithmetic32 arithmetic64 arithmetic_integer fprem compare compare_flags "
             "compare32 compare64 compare_integer examine fsqrt fprem1 fscale fxtract tags set_tags push_decimal decimal "
             "f2xm1 fyl2x fyl2xp1 fpatan fsin fcos fsincos fptan").split()
ADD, MUL, SUB, SUBR, DIV, DIVR = range(6)
POP = 8
QUIETLY = 4                                              # of comparisons: a quiet NaN is no exception

_LOWER, _UPPER = (0, 64), (8, 16)                        # offset and bits of the parts of a number of ten bytes


def _do(m, name, a=0, b=0):
    m.shared(name, a, b)
    m.leave_pointer()


@meaning()
def fld(m):
    if m.kinds[0] == "f":
        _do(m, "push_copy", m.stack_number(0))
    elif m.bits[0] == 80:
        _do(m, "push", m.part(0, *_LOWER), m.part(0, *_UPPER))
    else:
        _do(m, f"push{m.bits[0]}", m.dst)


@meaning()
def fild(m): _do(m, "push_integer", m.dst.sext(64))


@meaning()
def fbld(m): _do(m, "push_decimal", m.part(0, *_LOWER), m.part(0, *_UPPER))


def _give(m, name, pop):
    _do(m, name, pop)
    m.set_part(0, 0, m.cell("x87_value"))
    m.set_part(0, 8, m.cell("x87_high").low(16))


@meaning()
def fbstp(m): _give(m, "decimal", 1)


def _constant(x, nearest_above, inexact):
    high = x >> 64 | nearest_above << 16 | inexact << 17
    def run(m): _do(m, "push_constant", m.int(x & f.SIGNIFICAND, 64), m.int(high, 64))
    return run


for _name, _values in x87.CONSTANTS.items():
    meaning(_name)(_constant(*_values))


def _fst(pop):
    def run(m):
        if m.kinds[0] == "f":
            _do(m, "copy", m.stack_number(0), pop)
        elif m.bits[0] == 80:
            _give(m, "give", pop)
        else:
            _do(m, f"narrow{m.bits[0]}", pop)
            m.dst = m.cell("x87_value").low(m.bits[0])
    return run


meaning("fst")(_fst(0))
meaning("fstp")(_fst(1))


def _fist(how):
    def run(m):
        _do(m, "round_integer", how, m.bits[0])
        m.dst = m.cell("x87_value").low(m.bits[0])
    return run


meaning("fist")(_fist(0))
meaning("fistp")(_fist(1))
meaning("fisttp")(_fist(3))


@meaning()
def fxch(m): _do(m, "exchange", m.stack_number(1))


def _fcmov(cc):
    def run(m): _do(m, "move", m.stack_number(1), m.condition(cc).int(64))
    return run


for _cc, _name in ((2, "b"), (3, "nb"), (4, "e"), (5, "ne"), (6, "be"), (7, "nbe"), (10, "u"), (11, "nu")):
    meaning("fcmov" + _name)(_fcmov(_cc))


@meaning()
def fchs(m): _do(m, "sign", 0xFFFF, 0x8000)


@meaning()
def fabs(m): _do(m, "sign", 0x7FFF)


@meaning()
def ffree(m): _do(m, "free", m.stack_number(0))


@meaning()
def ffreep(m): _do(m, "free", m.stack_number(0), 1)


@meaning()
def fincstp(m): _do(m, "rotate", 1)


@meaning()
def fdecstp(m): _do(m, "rotate", 7)


def _arithmetic(operation):
    def run(m):
        if len(m.kinds) == 2:
            _do(m, "arithmetic", operation, m.stack_number(0) | (m.stack_number(1) << 3))
        else:
            _do(m, f"arithmetic{m.bits[0]}", m.dst, operation)
    return run


def _of_integer(operation):
    def run(m): _do(m, "arithmetic_integer", m.dst.sext(64), operation)
    return run


for _name, _operation in (("add", ADD), ("mul", MUL), ("sub", SUB), ("subr", SUBR), ("div", DIV), ("divr", DIVR)):
    meaning("f" + _name)(_arithmetic(_operation))
    meaning("f" + _name + "p")(_arithmetic(_operation | POP))
    meaning("fi" + _name)(_of_integer(_operation))


def _alone(name): meaning(name)(lambda m: _do(m, name))


for _name in ("frndint", "fsqrt", "fprem", "fprem1", "fscale", "fxtract", "f2xm1", "fyl2x", "fyl2xp1", "fpatan", "fsin", "fcos", "fsincos",
              "fptan"):
    _alone(_name)


def _compare(pop):
    def run(m):
        if m.kinds and m.kinds[0] == "m":
            _do(m, f"compare{m.bits[0]}", m.dst, pop)
        else:
            _do(m, "compare", m.stack_number(1) if m.kinds else 1, pop)
    return run


def _compare_integer(pop):
    def run(m): _do(m, "compare_integer", m.dst.sext(64), pop)
    return run


def _compare_flags(pop):
    def run(m):
        _do(m, "compare_flags", m.stack_number(1), pop)
        m.set_arithmetic_flags(m.cell("x87_value").low(32))
    return run


for _pop in range(3):
    meaning("fcom" + "p" * _pop)(_compare(_pop))
    meaning("fucom" + "p" * _pop)(_compare(_pop | QUIETLY))
for _pop in range(2):
    meaning("ficom" + "p" * _pop)(_compare_integer(_pop))
    meaning("fcomi" + "p" * _pop)(_compare_flags(_pop))
    meaning("fucomi" + "p" * _pop)(_compare_flags(_pop | QUIETLY))


@meaning()
def ftst(m): _do(m, "compare_integer", 0)


@meaning()
def fxam(m): _do(m, "examine")


@meaning()
def fnstenv(m):
    size = m.bits[0] // 7
    m.shared("tags")
    control = [m.cell(name).low(16).zext(32) | 0xFFFF0000 for name in ("fcw", "fsw", "x87_value")]
    opcode = m.cell("fop").zext(32) << 16
    for k, word in enumerate((*control, m.cell("fip"), opcode, m.cell("fdp"), m.int(0xFFFF0000, 32))):
        m.set_part(0, k * size // 8, word.low(size))
    m.set_cell("fcw", m.cell("fcw") | EXCEPTIONS)


@meaning()
def fldenv(m):
    size = m.bits[0] // 7
    fcw, fsw, tags, fip, opcode, fdp = (m.part(0, k * size // 8, size) for k in range(6))
    m.shared("set_tags", tags.zext(64))
    set_control(m, fcw.low(16), fsw.low(16))
    m.set_cell("fip", fip.zext(64))
    m.set_cell("fdp", fdp.zext(64))
    m.set_cell("fop", (opcode.zext(32) >> 16).low(16) & 0x7FF)
