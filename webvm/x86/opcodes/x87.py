"""The x87 escapes D8 to DF (Intel SDM volume 2, tables A-7 to A-22). Notation: see row.py.

Real operands in memory are Md, Mq, Mt by size; the integer instructions (fi...) take Mw, Md, Mq.
The aliases that the manual leaves out but every processor executes are here under the name they mean.
"""

# fmt: off
TABLE = """
# opcode        mnemonic      operands      attributes

D8 /0           fadd          Md
D8 /1           fmul          Md
D8 /2           fcom          Md
D8 /3           fcomp         Md
D8 /4           fsub          Md
D8 /5           fsubr         Md
D8 /6           fdiv          Md
D8 /7           fdivr         Md
D8 C0+i         fadd          ST0, STi
D8 C8+i         fmul          ST0, STi
D8 D0+i         fcom          ST0, STi
D8 D8+i         fcomp         ST0, STi
D8 E0+i         fsub          ST0, STi
D8 E8+i         fsubr         ST0, STi
D8 F0+i         fdiv          ST0, STi
D8 F8+i         fdivr         ST0, STi

D9 /0           fld           Md
D9 /2           fst           Md
D9 /3           fstp          Md
D9 /4           fldenv        M28
66 D9 /4        fldenv        M14
D9 /5           fldcw         Mw
D9 /6           fnstenv       M28
66 D9 /6        fnstenv       M14
D9 /7           fnstcw        Mw
D9 C0+i         fld           STi
D9 C8+i         fxch          ST0, STi
D9 D0           fnop          -
D9 D8+i         fstpnce       STi
D9 E0           fchs          -
D9 E1           fabs          -
D9 E4           ftst          -
D9 E5           fxam          -
D9 E8           fld1          -
D9 E9           fldl2t        -
D9 EA           fldl2e        -
D9 EB           fldpi         -
D9 EC           fldlg2        -
D9 ED           fldln2        -
D9 EE           fldz          -
D9 F0           f2xm1         -
D9 F1           fyl2x         -
D9 F2           fptan         -
D9 F3           fpatan        -
D9 F4           fxtract       -
D9 F5           fprem1        -
D9 F6           fdecstp       -
D9 F7           fincstp       -
D9 F8           fprem         -
D9 F9           fyl2xp1       -
D9 FA           fsqrt         -
D9 FB           fsincos       -
D9 FC           frndint       -
D9 FD           fscale        -
D9 FE           fsin          -
D9 FF           fcos          -

DA /0           fiadd         Md
DA /1           fimul         Md
DA /2           ficom         Md
DA /3           ficomp        Md
DA /4           fisub         Md
DA /5           fisubr        Md
DA /6           fidiv         Md
DA /7           fidivr        Md
DA C0+i         fcmovb        ST0, STi
DA C8+i         fcmove        ST0, STi
DA D0+i         fcmovbe       ST0, STi
DA D8+i         fcmovu        ST0, STi
DA E9           fucompp       -

DB /0           fild          Md
DB /1           fisttp        Md            sse3
DB /2           fist          Md
DB /3           fistp         Md
DB /5           fld           Mt
DB /7           fstp          Mt
DB C0+i         fcmovnb       ST0, STi
DB C8+i         fcmovne       ST0, STi
DB D0+i         fcmovnbe      ST0, STi
DB D8+i         fcmovnu       ST0, STi
DB E0           feni8087_nop  -             =nop
DB E1           fdisi8087_nop  -            =nop
DB E2           fnclex        -
DB E3           fninit        -
DB E4           fsetpm287_nop  -            =nop
DB E8+i         fucomi        ST0, STi
DB F0+i         fcomi         ST0, STi

DC /0           fadd          Mq
DC /1           fmul          Mq
DC /2           fcom          Mq
DC /3           fcomp         Mq
DC /4           fsub          Mq
DC /5           fsubr         Mq
DC /6           fdiv          Mq
DC /7           fdivr         Mq
DC C0+i         fadd          STi, ST0
DC C8+i         fmul          STi, ST0
DC D0+i         fcom          ST0, STi
DC D8+i         fcomp         ST0, STi
DC E0+i         fsubr         STi, ST0
DC E8+i         fsub          STi, ST0
DC F0+i         fdivr         STi, ST0
DC F8+i         fdiv          STi, ST0

DD /0           fld           Mq
DD /1           fisttp        Mq            sse3
DD /2           fst           Mq
DD /3           fstp          Mq
DD /4           frstor        M108
66 DD /4        frstor        M94
DD /6           fnsave        M108
66 DD /6        fnsave        M94
DD /7           fnstsw        Mw
DD C0+i         ffree         STi
DD C8+i         fxch          ST0, STi
DD D0+i         fst           STi
DD D8+i         fstp          STi
DD E0+i         fucom         ST0, STi
DD E8+i         fucomp        ST0, STi

DE /0           fiadd         Mw
DE /1           fimul         Mw
DE /2           ficom         Mw
DE /3           ficomp        Mw
DE /4           fisub         Mw
DE /5           fisubr        Mw
DE /6           fidiv         Mw
DE /7           fidivr        Mw
DE C0+i         faddp         STi, ST0
DE C8+i         fmulp         STi, ST0
DE D0+i         fcomp         ST0, STi
DE D9           fcompp        -
DE E0+i         fsubrp        STi, ST0
DE E8+i         fsubp         STi, ST0
DE F0+i         fdivrp        STi, ST0
DE F8+i         fdivp         STi, ST0

DF /0           fild          Mw
DF /1           fisttp        Mw            sse3
DF /2           fist          Mw
DF /3           fistp         Mw
DF /4           fbld          Mt
DF /5           fild          Mq
DF /6           fbstp         Mt
DF /7           fistp         Mq
DF C0+i         ffreep        STi
DF C8+i         fxch          ST0, STi
DF D0+i         fstp          STi
DF D8+i         fstp          STi
DF E0           fnstsw        AX
DF E8+i         fucomip       ST0, STi
DF F0+i         fcomip        ST0, STi
"""
# fmt: on
