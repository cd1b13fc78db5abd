"""The VEX and EVEX maps, so far only as far as lengths go. Notation: see row.py.

Every row here is named vex or evex and belongs to a feature of that name, so a processor without them decodes none
of it and a sweep over code that has it stays in step. Rows with operands can replace these one by one.
"""

# fmt: off
TABLE = """
# opcode            mnemonic  operands  attributes

VEX.0F 00-6F /r     vex       -         vex
VEX.0F 70-73 /r     vex       Ib        vex
VEX.0F 74-76 /r     vex       -         vex
VEX.NP.0F 77        vzero     -         vex
VEX.0F 78-C1 /r     vex       -         vex
VEX.0F C2 /r        vex       Ib        vex
VEX.0F C3 /r        vex       -         vex
VEX.0F C4-C6 /r     vex       Ib        vex
VEX.0F C7-FF /r     vex       -         vex
VEX.0F38 00-FF /r   vex       -         vex
VEX.0F3A 00-FF /r   vex       Ib        vex

EVEX.0F 00-6F /r    evex      -         evex
EVEX.0F 70-73 /r    evex      Ib        evex
EVEX.0F 74-C1 /r    evex      -         evex
EVEX.0F C2 /r       evex      Ib        evex
EVEX.0F C3 /r       evex      -         evex
EVEX.0F C4-C6 /r    evex      Ib        evex
EVEX.0F C7-FF /r    evex      -         evex
EVEX.0F38 00-FF /r  evex      -         evex
EVEX.0F3A 00-FF /r  evex      Ib        evex
EVEX.MAP5 00-FF /r  evex      -         evex
EVEX.MAP6 00-FF /r  evex      -         evex
"""
# fmt: on
