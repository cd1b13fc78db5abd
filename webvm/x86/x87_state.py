"""The x87's control and status word, as instructions of all kinds meet them: those that wait, MMX, FXSAVE.

Knows the language of meanings. What the x87's own instructions do is for `x87`.
"""
from collections.abc import Callable

from .float80 import ES
from .meaning import Int, Machine

BUSY = 0x8000                                          # always as ES
TOP = 0x3800                                           # which register is ST(0)
EXCEPTIONS = 0x3F
FCW_BITS, FCW_ONE = 0x1F3F, 0x40                       # what can be set in the control word, what always is


def wait(m: Machine) -> None:
    """What waiting instructions begin with: #MF where an unmasked exception is pending."""
    m.trap_if((m.cell("fsw") & ES) != 0, "MF")


def set_control(m: Machine, fcw: Int, fsw: Int) -> None:
    """Control and status word; whether an exception is pending follows from the others' bits."""
    fcw = fcw & FCW_BITS | FCW_ONE
    pending = (fsw & ~fcw & EXCEPTIONS) != 0
    m.set_cell("fcw", fcw)
    m.set_cell("fsw", fsw & (0xFFFF ^ ES ^ BUSY) | pending.select(m.int(ES | BUSY, 16), 0))


def execute(m: Machine, meaning: Callable[[Machine], None]) -> None:
    """Runs the meaning of m's instruction. One with an MMX register among its operands waits, and leaves all eight in use."""
    mmx = "q" in m.kinds
    if mmx:
        wait(m)
    meaning(m)
    if mmx:
        m.set_cell("fsw", m.cell("fsw") & (0xFFFF ^ TOP))
        m.set_cell("ftw", m.int(0xFF, 8))
