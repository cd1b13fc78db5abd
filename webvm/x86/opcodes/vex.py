"""The VEX and EVEX maps: BMI in full, of AVX only the lengths. Notation: see row.py.

Rows named vex or evex stand for everything of AVX and belong to a feature of that name: a processor without AVX
decodes none of it, and a sweep over code that has it stays in step. More particular rows win over them one by one.
"""

# fmt: off
TABLE = """
# opcode            mnemonic    operands      attributes

VEX.0F 00-6F /r     vex         -             vex
VEX.0F 70-73 /r     vex         Ib            vex
VEX.0F 74-76 /r     vex         -             vex
VEX.NP.0F 77        vzero       -             vex v1111
VEX.0F 78-C1 /r     vex         -             vex
VEX.0F C2 /r        vex         Ib            vex
VEX.0F C3 /r        vex         -             vex
VEX.0F C4-C6 /r     vex         Ib            vex
VEX.0F C7-FF /r     vex         -             vex
VEX.0F38 00-FF /r   vex         -             vex
VEX.0F3A 00-FF /r   vex         Ib            vex

VEX.NP.0F38 F2      andn        Gy, By, Ey    bmi1 lz
VEX.NP.0F38 F3 /1   blsr        By, Ey        bmi1 lz
VEX.NP.0F38 F3 /2   blsmsk      By, Ey        bmi1 lz
VEX.NP.0F38 F3 /3   blsi        By, Ey        bmi1 lz
VEX.NP.0F38 F5      bzhi        Gy, Ey, By    bmi2 lz
VEX.F3.0F38 F5      pext        Gy, By, Ey    bmi2 lz
VEX.F2.0F38 F5      pdep        Gy, By, Ey    bmi2 lz
VEX.F2.0F38 F6      mulx        Gy, By, Ey    bmi2 lz
VEX.NP.0F38 F7      bextr       Gy, Ey, By    bmi1 lz
VEX.66.0F38 F7      shlx        Gy, Ey, By    bmi2 lz
VEX.F3.0F38 F7      sarx        Gy, Ey, By    bmi2 lz
VEX.F2.0F38 F7      shrx        Gy, Ey, By    bmi2 lz
VEX.F2.0F3A F0      rorx        Gy, Ey, Ib    bmi2 lz v1111

EVEX.0F 00-6F /r    evex        -             evex
EVEX.0F 70-73 /r    evex        Ib            evex
EVEX.0F 74-C1 /r    evex        -             evex
EVEX.0F C2 /r       evex        Ib            evex
EVEX.0F C3 /r       evex        -             evex
EVEX.0F C4-C6 /r    evex        Ib            evex
EVEX.0F C7-FF /r    evex        -             evex
EVEX.0F38 00-FF /r  evex        -             evex
EVEX.0F3A 00-FF /r  evex        Ib            evex
EVEX.MAP5 00-FF /r  evex        -             evex
EVEX.MAP6 00-FF /r  evex        -             evex
"""
# fmt: on
