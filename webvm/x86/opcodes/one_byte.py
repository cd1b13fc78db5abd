"""The one-byte opcode map (Intel SDM volume 2, table A-2), D8 to DF excepted. Notation: see row.py.

Absent because they are #UD in 64-bit mode: 06 07 0E 16 17 1E 1F 27 2F 37 3F 60 61 62 82 9A CE D4 D5 D6 EA.
Absent because they are prefixes: 26 2E 36 3E 40-4F 64 65 66 67 F0 F2 F3, C4 C5 (VEX), 62 (EVEX).
"""

# fmt: off
TABLE = """
# opcode        mnemonic              operands          attributes

00              add                   Eb, Gb            lock
01              add                   Ev, Gv            lock
02              add                   Gb, Eb
03              add                   Gv, Ev
04              add                   AL, Ib
05              add                   rAX, Iz
08              or                    Eb, Gb            lock
09              or                    Ev, Gv            lock
0A              or                    Gb, Eb
0B              or                    Gv, Ev
0C              or                    AL, Ib
0D              or                    rAX, Iz
10              adc                   Eb, Gb            lock
11              adc                   Ev, Gv            lock
12              adc                   Gb, Eb
13              adc                   Gv, Ev
14              adc                   AL, Ib
15              adc                   rAX, Iz
18              sbb                   Eb, Gb            lock
19              sbb                   Ev, Gv            lock
1A              sbb                   Gb, Eb
1B              sbb                   Gv, Ev
1C              sbb                   AL, Ib
1D              sbb                   rAX, Iz
20              and                   Eb, Gb            lock
21              and                   Ev, Gv            lock
22              and                   Gb, Eb
23              and                   Gv, Ev
24              and                   AL, Ib
25              and                   rAX, Iz
28              sub                   Eb, Gb            lock
29              sub                   Ev, Gv            lock
2A              sub                   Gb, Eb
2B              sub                   Gv, Ev
2C              sub                   AL, Ib
2D              sub                   rAX, Iz
30              xor                   Eb, Gb            lock
31              xor                   Ev, Gv            lock
32              xor                   Gb, Eb
33              xor                   Gv, Ev
34              xor                   AL, Ib
35              xor                   rAX, Iz
38              cmp                   Eb, Gb
39              cmp                   Ev, Gv
3A              cmp                   Gb, Eb
3B              cmp                   Gv, Ev
3C              cmp                   AL, Ib
3D              cmp                   rAX, Iz

50+r            push                  Zv                d64
58+r            pop                   Zv                d64
63              movsxd                Gv, Ez
68              push                  Iz                d64
69              imul                  Gv, Ev, Iz        =imul3
6A              push                  Ibs               d64
6B              imul                  Gv, Ev, Ibs       =imul3
6C              insb                  Yb, DX            =ins rep iopl
6D              insw/insd/insd        Yz, DX            =ins rep iopl
6E              outsb                 DX, Xb            =outs rep iopl
6F              outsw/outsd/outsd     DX, Xz            =outs rep iopl
70+cc           j                     Jb                =jcc f64

80 /0           add                   Eb, Ib            lock
80 /1           or                    Eb, Ib            lock
80 /2           adc                   Eb, Ib            lock
80 /3           sbb                   Eb, Ib            lock
80 /4           and                   Eb, Ib            lock
80 /5           sub                   Eb, Ib            lock
80 /6           xor                   Eb, Ib            lock
80 /7           cmp                   Eb, Ib
81 /0           add                   Ev, Iz            lock
81 /1           or                    Ev, Iz            lock
81 /2           adc                   Ev, Iz            lock
81 /3           sbb                   Ev, Iz            lock
81 /4           and                   Ev, Iz            lock
81 /5           sub                   Ev, Iz            lock
81 /6           xor                   Ev, Iz            lock
81 /7           cmp                   Ev, Iz
83 /0           add                   Ev, Ibs           lock
83 /1           or                    Ev, Ibs           lock
83 /2           adc                   Ev, Ibs           lock
83 /3           sbb                   Ev, Ibs           lock
83 /4           and                   Ev, Ibs           lock
83 /5           sub                   Ev, Ibs           lock
83 /6           xor                   Ev, Ibs           lock
83 /7           cmp                   Ev, Ibs
84              test                  Eb, Gb
85              test                  Ev, Gv
86              xchg                  Eb, Gb            lock
87              xchg                  Ev, Gv            lock
88              mov                   Eb, Gb
89              mov                   Ev, Gv
8A              mov                   Gb, Eb
8B              mov                   Gv, Ev
8C /0-5         mov                   Rv/Mw, Sw         =mov_from_seg
8D              lea                   Gv, M
8E /0           mov                   Sw, Rv/Mw         =mov_to_seg
8E /2-5         mov                   Sw, Rv/Mw         =mov_to_seg
8F /0           pop                   Ev                d64

90              nop                   -
F3 90           pause                 -
90              xchg                  Zv, rAX           rexb
91-97           xchg                  Zv, rAX
98              cbw/cwde/cdqe         -
99              cwd/cdq/cqo           -
9B              fwait                 -
9C              pushf/pushfq          -                 d64
9D              popf/popfq            -                 d64
9E              sahf                  -                 lahf_lm
9F              lahf                  -                 lahf_lm

A0              mov                   AL, Ob
A1              mov                   rAX, Ov
A2              mov                   Ob, AL
A3              mov                   Ov, rAX
A4              movsb                 Yb, Xb            =movs rep
A5              movsw/movsd/movsq     Yv, Xv            =movs rep
A6              cmpsb                 Xb, Yb            =cmps repz
A7              cmpsw/cmpsd/cmpsq     Xv, Yv            =cmps repz
A8              test                  AL, Ib
A9              test                  rAX, Iz
AA              stosb                 Yb, AL            =stos rep
AB              stosw/stosd/stosq     Yv, rAX           =stos rep
AC              lodsb                 AL, Xb            =lods rep
AD              lodsw/lodsd/lodsq     rAX, Xv           =lods rep
AE              scasb                 AL, Yb            =scas repz
AF              scasw/scasd/scasq     rAX, Yv           =scas repz

B0+r            mov                   Zb, Ib
B8+r            mov                   Zv, Iv

C0 /0           rol                   Eb, Ib
C0 /1           ror                   Eb, Ib
C0 /2           rcl                   Eb, Ib
C0 /3           rcr                   Eb, Ib
C0 /4           shl                   Eb, Ib
C0 /5           shr                   Eb, Ib
C0 /6           sal                   Eb, Ib            =shl
C0 /7           sar                   Eb, Ib
C1 /0           rol                   Ev, Ib
C1 /1           ror                   Ev, Ib
C1 /2           rcl                   Ev, Ib
C1 /3           rcr                   Ev, Ib
C1 /4           shl                   Ev, Ib
C1 /5           shr                   Ev, Ib
C1 /6           sal                   Ev, Ib            =shl
C1 /7           sar                   Ev, Ib
C2              ret                   Iw                f64
C3              ret                   -                 f64
C6 /0           mov                   Eb, Ib
C6 F8           xabort                Ib                rtm
C7 /0           mov                   Ev, Iz
C7 F8           xbegin                Jz                rtm
C8              enter                 Iw, Ib            d64
C9              leave                 -                 d64
CA              retf/retfq            Iw
CB              retf/retfq            -
CC              int3                  -
CD              int                   Ib
CF              iret/iretd/iretq      -

D0 /0           rol                   Eb, 1
D0 /1           ror                   Eb, 1
D0 /2           rcl                   Eb, 1
D0 /3           rcr                   Eb, 1
D0 /4           shl                   Eb, 1
D0 /5           shr                   Eb, 1
D0 /6           sal                   Eb, 1             =shl
D0 /7           sar                   Eb, 1
D1 /0           rol                   Ev, 1
D1 /1           ror                   Ev, 1
D1 /2           rcl                   Ev, 1
D1 /3           rcr                   Ev, 1
D1 /4           shl                   Ev, 1
D1 /5           shr                   Ev, 1
D1 /6           sal                   Ev, 1             =shl
D1 /7           sar                   Ev, 1
D2 /0           rol                   Eb, CL
D2 /1           ror                   Eb, CL
D2 /2           rcl                   Eb, CL
D2 /3           rcr                   Eb, CL
D2 /4           shl                   Eb, CL
D2 /5           shr                   Eb, CL
D2 /6           sal                   Eb, CL            =shl
D2 /7           sar                   Eb, CL
D3 /0           rol                   Ev, CL
D3 /1           ror                   Ev, CL
D3 /2           rcl                   Ev, CL
D3 /3           rcr                   Ev, CL
D3 /4           shl                   Ev, CL
D3 /5           shr                   Ev, CL
D3 /6           sal                   Ev, CL            =shl
D3 /7           sar                   Ev, CL
D7              xlatb                 -                 =xlat

E0              loopne                Jb                f64
E1              loope                 Jb                f64
E2              loop                  Jb                f64
E3              jrcxz                 Jb                f64
E4              in                    AL, Ib            iopl
E5              in                    eAX, Ib           iopl
E6              out                   Ib, AL            iopl
E7              out                   Ib, eAX           iopl
E8              call                  Jz                f64
E9              jmp                   Jz                f64
EB              jmp                   Jb                f64
EC              in                    AL, DX            iopl
ED              in                    eAX, DX           iopl
EE              out                   DX, AL            iopl
EF              out                   DX, eAX           iopl

F1              int1                  -
F4              hlt                   -                 cpl0
F5              cmc                   -
F6 /0           test                  Eb, Ib
F6 /1           test                  Eb, Ib
F6 /2           not                   Eb                lock
F6 /3           neg                   Eb                lock
F6 /4           mul                   Eb
F6 /5           imul                  Eb                =imul1
F6 /6           div                   Eb
F6 /7           idiv                  Eb
F7 /0           test                  Ev, Iz
F7 /1           test                  Ev, Iz
F7 /2           not                   Ev                lock
F7 /3           neg                   Ev                lock
F7 /4           mul                   Ev
F7 /5           imul                  Ev                =imul1
F7 /6           div                   Ev
F7 /7           idiv                  Ev
F8              clc                   -
F9              stc                   -
FA              cli                   -                 iopl
FB              sti                   -                 iopl
FC              cld                   -
FD              std                   -
FE /0           inc                   Eb                lock
FE /1           dec                   Eb                lock
FF /0           inc                   Ev                lock
FF /1           dec                   Ev                lock
FF /2           call                  Eq                =call_indirect f64
FF /3           callf                 Mp
FF /4           jmp                   Eq                =jmp_indirect f64
FF /5           jmpf                  Mp
FF /6           push                  Ev                d64
"""
# fmt: on
