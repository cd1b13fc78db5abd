"""The two-byte opcode map, 0F xx (Intel SDM volume 2, table A-3). Notation: see row.py.

Left out: 3DNow! (0F 0F, 0F 0E) and SSE4a, which no processor since 2019 has in full.
"""

# fmt: off
TABLE = """
# opcode        mnemonic              operands          attributes

0F 00 /0        sldt                  Rv/Mw
0F 00 /1        str                   Rv/Mw
0F 00 /2        lldt                  Ew                cpl0
0F 00 /3        ltr                   Ew                cpl0
0F 00 /4        verr                  Ew
0F 00 /5        verw                  Ew
0F 01 /0        sgdt                  M10
0F 01 /1        sidt                  M10
0F 01 /2        lgdt                  M10               cpl0
0F 01 /3        lidt                  M10               cpl0
0F 01 /4        smsw                  Rv/Mw
F3 0F 01 /5     rstorssp              Mq                cet_ss
0F 01 /6        lmsw                  Ew                cpl0
0F 01 /7        invlpg                M                 cpl0
NP 0F 01 C0     enclv                 -                 sgx
NP 0F 01 C1     vmcall                -                 vmx
NP 0F 01 C2     vmlaunch              -                 vmx
NP 0F 01 C3     vmresume              -                 vmx
NP 0F 01 C4     vmxoff                -                 vmx
NP 0F 01 C5     pconfig               -                 pconfig
0F 01 C8        monitor               -                 monitor cpl0
0F 01 C9        mwait                 -                 monitor cpl0
NP 0F 01 CA     clac                  -                 smap cpl0
NP 0F 01 CB     stac                  -                 smap cpl0
NP 0F 01 CF     encls                 -                 sgx
NP 0F 01 D0     xgetbv                -                 xsave
NP 0F 01 D1     xsetbv                -                 xsave cpl0
NP 0F 01 D4     vmfunc                -                 vmx
NP 0F 01 D5     xend                  -                 rtm
NP 0F 01 D6     xtest                 -                 rtm
NP 0F 01 D7     enclu                 -                 sgx
0F 01 D8        vmrun                 -                 svm
0F 01 D9        vmmcall               -                 svm
0F 01 DA        vmload                -                 svm
0F 01 DB        vmsave                -                 svm
0F 01 DC        stgi                  -                 svm
0F 01 DD        clgi                  -                 svm
0F 01 DE        skinit                -                 svm
0F 01 DF        invlpga               -                 svm
NP 0F 01 E8     serialize             -                 serialize
F3 0F 01 E8     setssbsy              -                 cet_ss
F2 0F 01 E8     xsusldtrk             -                 tsxldtrk
F2 0F 01 E9     xresldtrk             -                 tsxldtrk
F3 0F 01 EA     saveprevssp           -                 cet_ss
NP 0F 01 EE     rdpkru                -                 pku
NP 0F 01 EF     wrpkru                -                 pku
F3 0F 01 EC     uiret                 -                 uintr
F3 0F 01 ED     testui                -                 uintr
F3 0F 01 EE     clui                  -                 uintr
F3 0F 01 EF     stui                  -                 uintr
0F 01 F8        swapgs                -                 cpl0
0F 01 F9        rdtscp                -                 rdtscp
NP 0F 01 FA     monitorx              -                 mwaitx
NP 0F 01 FB     mwaitx                -                 mwaitx
NP 0F 01 FC     clzero                -                 clzero
NP 0F 01 FD     rdpru                 -                 rdpru
0F 02           lar                   Gv, Rz/Mw
0F 03           lsl                   Gv, Rz/Mw
0F 05           syscall               -
0F 06           clts                  -                 cpl0
0F 07           sysret/sysretq        -                 cpl0
0F 08           invd                  -                 cpl0
0F 09           wbinvd                -                 cpl0
F3 0F 09        wbnoinvd              -                 wbnoinvd cpl0
0F 0B           ud2                   -

# Prefetches and what is reserved to be one: hints, that is NOPs with a ModRM byte.
0F 0D           nop                   Ev
0F 0D /0        prefetch              Mb                =nop
0F 0D /1        prefetchw             Mb                =nop
0F 0D /2        prefetchwt1           Mb                =nop
0F 0D /3-7      prefetch              Mb                =nop
0F 18           nop                   Ev
0F 18 /0        prefetchnta           Mb                =nop
0F 18 /1        prefetcht0            Mb                =nop
0F 18 /2        prefetcht1            Mb                =nop
0F 18 /3        prefetcht2            Mb                =nop
0F 19           nop                   Ev
0F 1A           nop                   Ev
NP 0F 1A /r     bndldx                -                 mpx
66 0F 1A /r     bndmov                -                 mpx
F3 0F 1A /r     bndcl                 -                 mpx
F2 0F 1A /r     bndcu                 -                 mpx
0F 1B           nop                   Ev
NP 0F 1B /r     bndstx                -                 mpx
66 0F 1B /r     bndmov                -                 mpx
F3 0F 1B /r     bndmk                 -                 mpx
F2 0F 1B /r     bndcn                 -                 mpx
0F 1C           nop                   Ev
NP 0F 1C /0     cldemote              Mb                cldemote
0F 1D           nop                   Ev
0F 1E           nop                   Ev
F3 0F 1E /1     rdsspd/rdsspq         Ry                cet_ss
F3 0F 1E FA     endbr64               -                 =nop
F3 0F 1E FB     endbr32               -                 =nop
0F 1F           nop                   Ev

0F 20           mov                   Rq, Cq            =mov_control cpl0 mod3
0F 21           mov                   Rq, Dq            =mov_control cpl0 mod3
0F 22           mov                   Cq, Rq            =mov_control cpl0 mod3
0F 23           mov                   Dq, Rq            =mov_control cpl0 mod3
0F 30           wrmsr                 -                 cpl0
0F 31           rdtsc                 -
0F 32           rdmsr                 -                 cpl0
0F 33           rdpmc                 -                 cpl0
0F 34           sysenter              -                 sysenter
0F 35           sysexit/sysexitq      -                 cpl0
NP 0F 37        getsec                -                 smx
0F 40+cc        cmov                  Gv, Ev            =cmovcc

# Moves of xmm. A scalar load from memory clears the rest of the register, a move between registers keeps it.
NP 0F 10        movups                Vps, Wps          unaligned
66 0F 10        movupd                Vpd, Wpd          unaligned
F3 0F 10        movss                 Vss, Uss          =movs_merge
F3 0F 10        movss                 Vdq, Mss          =movs_load
F2 0F 10        movsd                 Vsd, Usd          =movs_merge
F2 0F 10        movsd                 Vdq, Msd          =movs_load
NP 0F 11        movups                Wps, Vps          unaligned
66 0F 11        movupd                Wpd, Vpd          unaligned
F3 0F 11        movss                 Wss, Vss          =movs_merge
F2 0F 11        movsd                 Wsd, Vsd          =movs_merge
NP 0F 12        movhlps               Vdq, Udq
NP 0F 12        movlps                Vq, Mq
66 0F 12        movlpd                Vq, Mq            =movlps
F3 0F 12        movsldup              Vdq, Wdq          sse3
F2 0F 12        movddup               Vdq, Wq           sse3
NP 0F 13        movlps                Mq, Vq
66 0F 13        movlpd                Mq, Vq            =movlps
NP 0F 14        unpcklps              Vps, Wps
66 0F 14        unpcklpd              Vpd, Wpd
NP 0F 15        unpckhps              Vps, Wps
66 0F 15        unpckhpd              Vpd, Wpd
NP 0F 16        movlhps               Vdq, Udq
NP 0F 16        movhps                Vdq, Mq
66 0F 16        movhpd                Vdq, Mq           =movhps
F3 0F 16        movshdup              Vdq, Wdq          sse3
NP 0F 17        movhps                Mq, Vdq
66 0F 17        movhpd                Mq, Vdq           =movhps
NP 0F 28        movaps                Vps, Wps
66 0F 28        movapd                Vpd, Wpd
NP 0F 29        movaps                Wps, Vps
66 0F 29        movapd                Wpd, Vpd
NP 0F 2A        cvtpi2ps              Vq, Qq
66 0F 2A        cvtpi2pd              Vpd, Qq
F3 0F 2A        cvtsi2ss              Vss, Ey
F2 0F 2A        cvtsi2sd              Vsd, Ey
NP 0F 2B        movntps               Mps, Vps
66 0F 2B        movntpd               Mpd, Vpd
NP 0F 2C        cvttps2pi             Pq, Wq
66 0F 2C        cvttpd2pi             Pq, Wpd
F3 0F 2C        cvttss2si             Gy, Wss
F2 0F 2C        cvttsd2si             Gy, Wsd
NP 0F 2D        cvtps2pi              Pq, Wq
66 0F 2D        cvtpd2pi              Pq, Wpd
F3 0F 2D        cvtss2si              Gy, Wss
F2 0F 2D        cvtsd2si              Gy, Wsd
NP 0F 2E        ucomiss               Vss, Wss
66 0F 2E        ucomisd               Vsd, Wsd
NP 0F 2F        comiss                Vss, Wss
66 0F 2F        comisd                Vsd, Wsd

NP 0F 50        movmskps              Gd, Ups
66 0F 50        movmskpd              Gd, Upd
NP 0F 51        sqrtps                Vps, Wps
66 0F 51        sqrtpd                Vpd, Wpd
F3 0F 51        sqrtss                Vss, Wss
F2 0F 51        sqrtsd                Vsd, Wsd
NP 0F 52        rsqrtps               Vps, Wps
F3 0F 52        rsqrtss               Vss, Wss
NP 0F 53        rcpps                 Vps, Wps
F3 0F 53        rcpss                 Vss, Wss
NP 0F 54        andps                 Vps, Wps
66 0F 54        andpd                 Vpd, Wpd
NP 0F 55        andnps                Vps, Wps
66 0F 55        andnpd                Vpd, Wpd
NP 0F 56        orps                  Vps, Wps
66 0F 56        orpd                  Vpd, Wpd
NP 0F 57        xorps                 Vps, Wps
66 0F 57        xorpd                 Vpd, Wpd
NP 0F 58        addps                 Vps, Wps
66 0F 58        addpd                 Vpd, Wpd
F3 0F 58        addss                 Vss, Wss
F2 0F 58        addsd                 Vsd, Wsd
NP 0F 59        mulps                 Vps, Wps
66 0F 59        mulpd                 Vpd, Wpd
F3 0F 59        mulss                 Vss, Wss
F2 0F 59        mulsd                 Vsd, Wsd
NP 0F 5A        cvtps2pd              Vpd, Wq
66 0F 5A        cvtpd2ps              Vdq, Wpd
F3 0F 5A        cvtss2sd              Vsd, Wss
F2 0F 5A        cvtsd2ss              Vss, Wsd
NP 0F 5B        cvtdq2ps              Vps, Wdq
66 0F 5B        cvtps2dq              Vdq, Wps
F3 0F 5B        cvttps2dq             Vdq, Wps
NP 0F 5C        subps                 Vps, Wps
66 0F 5C        subpd                 Vpd, Wpd
F3 0F 5C        subss                 Vss, Wss
F2 0F 5C        subsd                 Vsd, Wsd
NP 0F 5D        minps                 Vps, Wps
66 0F 5D        minpd                 Vpd, Wpd
F3 0F 5D        minss                 Vss, Wss
F2 0F 5D        minsd                 Vsd, Wsd
NP 0F 5E        divps                 Vps, Wps
66 0F 5E        divpd                 Vpd, Wpd
F3 0F 5E        divss                 Vss, Wss
F2 0F 5E        divsd                 Vsd, Wsd
NP 0F 5F        maxps                 Vps, Wps
66 0F 5F        maxpd                 Vpd, Wpd
F3 0F 5F        maxss                 Vss, Wss
F2 0F 5F        maxsd                 Vsd, Wsd

NP 0F 60        punpcklbw             Pq, Qd
66 0F 60        punpcklbw             Vdq, Wdq
NP 0F 61        punpcklwd             Pq, Qd
66 0F 61        punpcklwd             Vdq, Wdq
NP 0F 62        punpckldq             Pq, Qd
66 0F 62        punpckldq             Vdq, Wdq
NP 0F 63        packsswb              Pq, Qq
66 0F 63        packsswb              Vdq, Wdq
NP 0F 64        pcmpgtb               Pq, Qq
66 0F 64        pcmpgtb               Vdq, Wdq
NP 0F 65        pcmpgtw               Pq, Qq
66 0F 65        pcmpgtw               Vdq, Wdq
NP 0F 66        pcmpgtd               Pq, Qq
66 0F 66        pcmpgtd               Vdq, Wdq
NP 0F 67        packuswb              Pq, Qq
66 0F 67        packuswb              Vdq, Wdq
NP 0F 68        punpckhbw             Pq, Qq
66 0F 68        punpckhbw             Vdq, Wdq
NP 0F 69        punpckhwd             Pq, Qq
66 0F 69        punpckhwd             Vdq, Wdq
NP 0F 6A        punpckhdq             Pq, Qq
66 0F 6A        punpckhdq             Vdq, Wdq
NP 0F 6B        packssdw              Pq, Qq
66 0F 6B        packssdw              Vdq, Wdq
66 0F 6C        punpcklqdq            Vdq, Wdq
66 0F 6D        punpckhqdq            Vdq, Wdq
NP 0F 6E        movd/movq             Pq, Ey            =movd_load
66 0F 6E        movd/movq             Vdq, Ey           =movd_load
NP 0F 6F        movq                  Pq, Qq
66 0F 6F        movdqa                Vdq, Wdq
F3 0F 6F        movdqu                Vdq, Wdq          unaligned
NP 0F 70        pshufw                Pq, Qq, Ib
66 0F 70        pshufd                Vdq, Wdq, Ib
F3 0F 70        pshufhw               Vdq, Wdq, Ib
F2 0F 70        pshuflw               Vdq, Wdq, Ib
NP 0F 71 /2     psrlw                 Nq, Ib
66 0F 71 /2     psrlw                 Udq, Ib
NP 0F 71 /4     psraw                 Nq, Ib
66 0F 71 /4     psraw                 Udq, Ib
NP 0F 71 /6     psllw                 Nq, Ib
66 0F 71 /6     psllw                 Udq, Ib
NP 0F 72 /2     psrld                 Nq, Ib
66 0F 72 /2     psrld                 Udq, Ib
NP 0F 72 /4     psrad                 Nq, Ib
66 0F 72 /4     psrad                 Udq, Ib
NP 0F 72 /6     pslld                 Nq, Ib
66 0F 72 /6     pslld                 Udq, Ib
NP 0F 73 /2     psrlq                 Nq, Ib
66 0F 73 /2     psrlq                 Udq, Ib
66 0F 73 /3     psrldq                Udq, Ib
NP 0F 73 /6     psllq                 Nq, Ib
66 0F 73 /6     psllq                 Udq, Ib
66 0F 73 /7     pslldq                Udq, Ib
NP 0F 74        pcmpeqb               Pq, Qq
66 0F 74        pcmpeqb               Vdq, Wdq
NP 0F 75        pcmpeqw               Pq, Qq
66 0F 75        pcmpeqw               Vdq, Wdq
NP 0F 76        pcmpeqd               Pq, Qq
66 0F 76        pcmpeqd               Vdq, Wdq
NP 0F 77        emms                  -
NP 0F 78        vmread                Eq, Gq            vmx
NP 0F 79        vmwrite               Gq, Eq            vmx
66 0F 7C        haddpd                Vpd, Wpd          sse3
F2 0F 7C        haddps                Vps, Wps          sse3
66 0F 7D        hsubpd                Vpd, Wpd          sse3
F2 0F 7D        hsubps                Vps, Wps          sse3
NP 0F 7E        movd/movq             Ey, Py            =movd_store
66 0F 7E        movd/movq             Ey, Vy            =movd_store
F3 0F 7E        movq                  Vdq, Wq           =movq_load
NP 0F 7F        movq                  Qq, Pq
66 0F 7F        movdqa                Wdq, Vdq
F3 0F 7F        movdqu                Wdq, Vdq          unaligned

0F 80+cc        j                     Jz                =jcc f64
0F 90+cc        set                   Eb                =setcc
0F A0           push                  FS                =push_seg d64
0F A1           pop                   FS                =pop_seg d64
0F A2           cpuid                 -
0F A3           bt                    Ev, Gv
0F A4           shld                  Ev, Gv, Ib
0F A5           shld                  Ev, Gv, CL
0F A8           push                  GS                =push_seg d64
0F A9           pop                   GS                =pop_seg d64
0F AA           rsm                   -                 smm
0F AB           bts                   Ev, Gv            lock
0F AC           shrd                  Ev, Gv, Ib
0F AD           shrd                  Ev, Gv, CL
0F AF           imul                  Gv, Ev            =imul2

NP 0F AE /0     fxsave/fxsave64       M512
NP 0F AE /1     fxrstor/fxrstor64     M512
NP 0F AE /2     ldmxcsr               Md
NP 0F AE /3     stmxcsr               Md
NP 0F AE /4     xsave/xsave64         M                 xsave
NP 0F AE /5     xrstor/xrstor64       M                 xsave
NP 0F AE /6     xsaveopt/xsaveopt64   M                 xsaveopt
NP 0F AE /7     clflush               Mb
66 0F AE /6     clwb                  Mb                clwb
66 0F AE /7     clflushopt            Mb                clflushopt
F3 0F AE /4     ptwrite               Ey                ptwrite
F3 0F AE /6     clrssbsy              Mq                cet_ss
NP 0F AE E8+i   lfence                -
NP 0F AE F0+i   mfence                -
NP 0F AE F8+i   sfence                -
F3 0F AE /0     rdfsbase              Ry                fsgsbase
F3 0F AE /1     rdgsbase              Ry                fsgsbase
F3 0F AE /2     wrfsbase              Ry                fsgsbase
F3 0F AE /3     wrgsbase              Ry                fsgsbase
F3 0F AE /5     incsspd/incsspq       Ry                cet_ss
66 0F AE /6     tpause                Rd                waitpkg
F3 0F AE /6     umonitor              R8                waitpkg
F2 0F AE /6     umwait                Rd                waitpkg

0F B0           cmpxchg               Eb, Gb            lock
0F B1           cmpxchg               Ev, Gv            lock
0F B2           lss                   Gv, Mp
0F B3           btr                   Ev, Gv            lock
0F B4           lfs                   Gv, Mp
0F B5           lgs                   Gv, Mp
0F B6           movzx                 Gv, Eb
0F B7           movzx                 Gv, Ew
F3 0F B8        popcnt                Gv, Ev            popcnt
0F B9           ud1                   Gv, Ev
0F BA /4        bt                    Ev, Ib
0F BA /5        bts                   Ev, Ib            lock
0F BA /6        btr                   Ev, Ib            lock
0F BA /7        btc                   Ev, Ib            lock
0F BB           btc                   Ev, Gv            lock
0F BC           bsf                   Gv, Ev
F3 0F BC        tzcnt                 Gv, Ev            bmi1
0F BD           bsr                   Gv, Ev
F3 0F BD        lzcnt                 Gv, Ev            lzcnt
0F BE           movsx                 Gv, Eb
0F BF           movsx                 Gv, Ew
0F C0           xadd                  Eb, Gb            lock
0F C1           xadd                  Ev, Gv            lock
NP 0F C2        cmpps                 Vps, Wps, Ib
66 0F C2        cmppd                 Vpd, Wpd, Ib
F3 0F C2        cmpss                 Vss, Wss, Ib
F2 0F C2        cmpsd                 Vsd, Wsd, Ib      =cmpsd_sse
NP 0F C3        movnti                My, Gy
NP 0F C4        pinsrw                Pq, Rd/Mw, Ib
66 0F C4        pinsrw                Vdq, Rd/Mw, Ib
NP 0F C5        pextrw                Gd, Nq, Ib
66 0F C5        pextrw                Gd, Udq, Ib
NP 0F C6        shufps                Vps, Wps, Ib
66 0F C6        shufpd                Vpd, Wpd, Ib
0F C7 /1        cmpxchg8b/cmpxchg16b  Myy               lock
NP 0F C7 /3     xrstors/xrstors64     M                 xsaves cpl0
NP 0F C7 /4     xsavec/xsavec64       M                 xsavec
NP 0F C7 /5     xsaves/xsaves64       M                 xsaves cpl0
NP 0F C7 /6     vmptrld               Mq                vmx
66 0F C7 /6     vmclear               Mq                vmx
F3 0F C7 /6     vmxon                 Mq                vmx
NP 0F C7 /7     vmptrst               Mq                vmx
NFx 0F C7 /6    rdrand                Rv                rdrand
F3 0F C7 /6     senduipi              Rq                uintr
NFx 0F C7 /7    rdseed                Rv                rdseed
F3 0F C7 /7     rdpid                 Rq                rdpid
0F C8+r         bswap                 Zv

66 0F D0        addsubpd              Vpd, Wpd          sse3
F2 0F D0        addsubps              Vps, Wps          sse3
NP 0F D1        psrlw                 Pq, Qq
66 0F D1        psrlw                 Vdq, Wdq
NP 0F D2        psrld                 Pq, Qq
66 0F D2        psrld                 Vdq, Wdq
NP 0F D3        psrlq                 Pq, Qq
66 0F D3        psrlq                 Vdq, Wdq
NP 0F D4        paddq                 Pq, Qq
66 0F D4        paddq                 Vdq, Wdq
NP 0F D5        pmullw                Pq, Qq
66 0F D5        pmullw                Vdq, Wdq
66 0F D6        movq                  Udq, Vq           =movq_load
66 0F D6        movq                  Mq, Vq            =movq
F3 0F D6        movq2dq               Vdq, Nq           =movq_load
F2 0F D6        movdq2q               Pq, Uq            =movq
NP 0F D7        pmovmskb              Gd, Nq
66 0F D7        pmovmskb              Gd, Udq
NP 0F D8        psubusb               Pq, Qq
66 0F D8        psubusb               Vdq, Wdq
NP 0F D9        psubusw               Pq, Qq
66 0F D9        psubusw               Vdq, Wdq
NP 0F DA        pminub                Pq, Qq
66 0F DA        pminub                Vdq, Wdq
NP 0F DB        pand                  Pq, Qq
66 0F DB        pand                  Vdq, Wdq
NP 0F DC        paddusb               Pq, Qq
66 0F DC        paddusb               Vdq, Wdq
NP 0F DD        paddusw               Pq, Qq
66 0F DD        paddusw               Vdq, Wdq
NP 0F DE        pmaxub                Pq, Qq
66 0F DE        pmaxub                Vdq, Wdq
NP 0F DF        pandn                 Pq, Qq
66 0F DF        pandn                 Vdq, Wdq
NP 0F E0        pavgb                 Pq, Qq
66 0F E0        pavgb                 Vdq, Wdq
NP 0F E1        psraw                 Pq, Qq
66 0F E1        psraw                 Vdq, Wdq
NP 0F E2        psrad                 Pq, Qq
66 0F E2        psrad                 Vdq, Wdq
NP 0F E3        pavgw                 Pq, Qq
66 0F E3        pavgw                 Vdq, Wdq
NP 0F E4        pmulhuw               Pq, Qq
66 0F E4        pmulhuw               Vdq, Wdq
NP 0F E5        pmulhw                Pq, Qq
66 0F E5        pmulhw                Vdq, Wdq
66 0F E6        cvttpd2dq             Vdq, Wpd
F3 0F E6        cvtdq2pd              Vpd, Wq
F2 0F E6        cvtpd2dq              Vdq, Wpd
NP 0F E7        movntq                Mq, Pq
66 0F E7        movntdq               Mdq, Vdq
NP 0F E8        psubsb                Pq, Qq
66 0F E8        psubsb                Vdq, Wdq
NP 0F E9        psubsw                Pq, Qq
66 0F E9        psubsw                Vdq, Wdq
NP 0F EA        pminsw                Pq, Qq
66 0F EA        pminsw                Vdq, Wdq
NP 0F EB        por                   Pq, Qq
66 0F EB        por                   Vdq, Wdq
NP 0F EC        paddsb                Pq, Qq
66 0F EC        paddsb                Vdq, Wdq
NP 0F ED        paddsw                Pq, Qq
66 0F ED        paddsw                Vdq, Wdq
NP 0F EE        pmaxsw                Pq, Qq
66 0F EE        pmaxsw                Vdq, Wdq
NP 0F EF        pxor                  Pq, Qq
66 0F EF        pxor                  Vdq, Wdq
F2 0F F0        lddqu                 Vdq, Mdq          sse3 unaligned
NP 0F F1        psllw                 Pq, Qq
66 0F F1        psllw                 Vdq, Wdq
NP 0F F2        pslld                 Pq, Qq
66 0F F2        pslld                 Vdq, Wdq
NP 0F F3        psllq                 Pq, Qq
66 0F F3        psllq                 Vdq, Wdq
NP 0F F4        pmuludq               Pq, Qq
66 0F F4        pmuludq               Vdq, Wdq
NP 0F F5        pmaddwd               Pq, Qq
66 0F F5        pmaddwd               Vdq, Wdq
NP 0F F6        psadbw                Pq, Qq
66 0F F6        psadbw                Vdq, Wdq
NP 0F F7        maskmovq              Pq, Nq
66 0F F7        maskmovdqu            Vdq, Udq          =maskmovq
NP 0F F8        psubb                 Pq, Qq
66 0F F8        psubb                 Vdq, Wdq
NP 0F F9        psubw                 Pq, Qq
66 0F F9        psubw                 Vdq, Wdq
NP 0F FA        psubd                 Pq, Qq
66 0F FA        psubd                 Vdq, Wdq
NP 0F FB        psubq                 Pq, Qq
66 0F FB        psubq                 Vdq, Wdq
NP 0F FC        paddb                 Pq, Qq
66 0F FC        paddb                 Vdq, Wdq
NP 0F FD        paddw                 Pq, Qq
66 0F FD        paddw                 Vdq, Wdq
NP 0F FE        paddd                 Pq, Qq
66 0F FE        paddd                 Vdq, Wdq
0F FF           ud0                   Gv, Ev
"""
# fmt: on
