"""The VEX maps (BMI, AVX, AVX2, FMA, F16C, VAES), and of EVEX the lengths. Notation: see row.py.

An instruction whose name without the v is one of SSE needs no meaning of its own, see x86.avx. VEX.128 forms of AVX2's
integer instructions are AVX's: there is no processor here with one of them alone.
Rows named vex or evex stand for what else there is and belong to a feature of that name: no processor here
decodes any of it, and a sweep over code that has it stays in step. More particular rows win over them one by one.
"""

# fmt: off
TABLE = """
# opcode            mnemonic    operands      attributes

VEX.0F 00-6F /r     vex         -             vex
VEX.0F 70-73 /r     vex         Ib            vex
VEX.0F 74-76 /r     vex         -             vex
VEX.0F 77           vex         -             vex
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

# Moves.
VEX.NP.0F 10     vmovups           Vx, Wx                avx v1111
VEX.NP.0F 11     vmovups           Wx, Vx                avx v1111
VEX.66.0F 10     vmovupd           Vx, Wx                avx v1111
VEX.66.0F 11     vmovupd           Wx, Vx                avx v1111
VEX.F3.0F 10     vmovss            Vss, Hss, Uss         =vmovs_merge avx
VEX.F3.0F 10     vmovss            Vdq, Mss              =vmovs_load avx v1111
VEX.F3.0F 11     vmovss            Uss, Hss, Vss         =vmovs_merge avx
VEX.F3.0F 11     vmovss            Mss, Vss              =vmovs_merge avx v1111
VEX.F2.0F 10     vmovsd            Vsd, Hsd, Usd         =vmovs_merge avx
VEX.F2.0F 10     vmovsd            Vdq, Msd              =vmovs_load avx v1111
VEX.F2.0F 11     vmovsd            Usd, Hsd, Vsd         =vmovs_merge avx
VEX.F2.0F 11     vmovsd            Msd, Vsd              =vmovs_merge avx v1111
VEX.NP.0F 12     vmovhlps          Vdq, Hdq, Udq         avx lz
VEX.NP.0F 12     vmovlps           Vq, Hq, Mq            avx lz
VEX.66.0F 12     vmovlpd           Vq, Hq, Mq            =vmovlps avx lz
VEX.F3.0F 12     vmovsldup         Vx, Wx                avx v1111
VEX.F2.0F 12     vmovddup          Vx, Wu                avx v1111
VEX.NP.0F 13     vmovlps           Mq, Vq                avx lz v1111
VEX.66.0F 13     vmovlpd           Mq, Vq                =vmovlps avx lz v1111
VEX.NP.0F 14     vunpcklps         Vx, Hx, Wx            avx
VEX.66.0F 14     vunpcklpd         Vx, Hx, Wx            avx
VEX.NP.0F 15     vunpckhps         Vx, Hx, Wx            avx
VEX.66.0F 15     vunpckhpd         Vx, Hx, Wx            avx
VEX.NP.0F 16     vmovlhps          Vdq, Hdq, Udq         avx lz
VEX.NP.0F 16     vmovhps           Vdq, Hdq, Mq          avx lz
VEX.66.0F 16     vmovhpd           Vdq, Hdq, Mq          =vmovhps avx lz
VEX.F3.0F 16     vmovshdup         Vx, Wx                avx v1111
VEX.NP.0F 17     vmovhps           Mq, Vdq               avx lz v1111
VEX.66.0F 17     vmovhpd           Mq, Vdq               =vmovhps avx lz v1111
VEX.NP.0F 28     vmovaps           Vx, Wx                avx v1111 aligned
VEX.NP.0F 29     vmovaps           Wx, Vx                avx v1111 aligned
VEX.66.0F 28     vmovapd           Vx, Wx                avx v1111 aligned
VEX.66.0F 29     vmovapd           Wx, Vx                avx v1111 aligned
VEX.F3.0F 2A     vcvtsi2ss         Vss, Hss, Ey          avx
VEX.F2.0F 2A     vcvtsi2sd         Vsd, Hsd, Ey          avx
VEX.NP.0F 2B     vmovntps          Mx, Vx                avx v1111 aligned
VEX.66.0F 2B     vmovntpd          Mx, Vx                avx v1111 aligned
VEX.F3.0F 2C     vcvttss2si        Gy, Wss               avx v1111
VEX.F3.0F 2D     vcvtss2si         Gy, Wss               avx v1111
VEX.F2.0F 2C     vcvttsd2si        Gy, Wsd               avx v1111
VEX.F2.0F 2D     vcvtsd2si         Gy, Wsd               avx v1111
VEX.NP.0F 2E     vucomiss          Vss, Wss              avx v1111
VEX.NP.0F 2F     vcomiss           Vss, Wss              avx v1111
VEX.66.0F 2E     vucomisd          Vsd, Wsd              avx v1111
VEX.66.0F 2F     vcomisd           Vsd, Wsd              avx v1111
# Numbers.
VEX.NP.0F 50     vmovmskps         Gd, Ux                avx v1111
VEX.66.0F 50     vmovmskpd         Gd, Ux                avx v1111
VEX.NP.0F 51     vsqrtps           Vx, Wx                avx v1111
VEX.66.0F 51     vsqrtpd           Vx, Wx                avx v1111
VEX.F3.0F 51     vsqrtss           Vss, Hss, Wss         avx
VEX.F2.0F 51     vsqrtsd           Vsd, Hsd, Wsd         avx
VEX.NP.0F 52     vrsqrtps          Vx, Wx                avx v1111
VEX.F3.0F 52     vrsqrtss          Vss, Hss, Wss         avx
VEX.NP.0F 53     vrcpps            Vx, Wx                avx v1111
VEX.F3.0F 53     vrcpss            Vss, Hss, Wss         avx
VEX.NP.0F 54     vandps            Vx, Hx, Wx            avx
VEX.66.0F 54     vandpd            Vx, Hx, Wx            avx
VEX.NP.0F 55     vandnps           Vx, Hx, Wx            avx
VEX.66.0F 55     vandnpd           Vx, Hx, Wx            avx
VEX.NP.0F 56     vorps             Vx, Hx, Wx            avx
VEX.66.0F 56     vorpd             Vx, Hx, Wx            avx
VEX.NP.0F 57     vxorps            Vx, Hx, Wx            avx
VEX.66.0F 57     vxorpd            Vx, Hx, Wx            avx
VEX.NP.0F 58     vaddps            Vx, Hx, Wx            avx
VEX.66.0F 58     vaddpd            Vx, Hx, Wx            avx
VEX.F3.0F 58     vaddss            Vss, Hss, Wss         avx
VEX.F2.0F 58     vaddsd            Vsd, Hsd, Wsd         avx
VEX.NP.0F 59     vmulps            Vx, Hx, Wx            avx
VEX.66.0F 59     vmulpd            Vx, Hx, Wx            avx
VEX.F3.0F 59     vmulss            Vss, Hss, Wss         avx
VEX.F2.0F 59     vmulsd            Vsd, Hsd, Wsd         avx
VEX.NP.0F 5C     vsubps            Vx, Hx, Wx            avx
VEX.66.0F 5C     vsubpd            Vx, Hx, Wx            avx
VEX.F3.0F 5C     vsubss            Vss, Hss, Wss         avx
VEX.F2.0F 5C     vsubsd            Vsd, Hsd, Wsd         avx
VEX.NP.0F 5D     vminps            Vx, Hx, Wx            avx
VEX.66.0F 5D     vminpd            Vx, Hx, Wx            avx
VEX.F3.0F 5D     vminss            Vss, Hss, Wss         avx
VEX.F2.0F 5D     vminsd            Vsd, Hsd, Wsd         avx
VEX.NP.0F 5E     vdivps            Vx, Hx, Wx            avx
VEX.66.0F 5E     vdivpd            Vx, Hx, Wx            avx
VEX.F3.0F 5E     vdivss            Vss, Hss, Wss         avx
VEX.F2.0F 5E     vdivsd            Vsd, Hsd, Wsd         avx
VEX.NP.0F 5F     vmaxps            Vx, Hx, Wx            avx
VEX.66.0F 5F     vmaxpd            Vx, Hx, Wx            avx
VEX.F3.0F 5F     vmaxss            Vss, Hss, Wss         avx
VEX.F2.0F 5F     vmaxsd            Vsd, Hsd, Wsd         avx
VEX.NP.0F 5A     vcvtps2pd         Vx, Wh                avx v1111
VEX.66.0F 5A     vcvtpd2ps         Vdq, Wx               avx v1111
VEX.F3.0F 5A     vcvtss2sd         Vsd, Hsd, Wss         avx
VEX.F2.0F 5A     vcvtsd2ss         Vss, Hss, Wsd         avx
VEX.NP.0F 5B     vcvtdq2ps         Vx, Wx                avx v1111
VEX.66.0F 5B     vcvtps2dq         Vx, Wx                avx v1111
VEX.F3.0F 5B     vcvttps2dq        Vx, Wx                avx v1111
# Integers.
VEX.66.0F 60     vpunpcklbw        Vx, Hx, Wx            avx2
VEX.66.0F 61     vpunpcklwd        Vx, Hx, Wx            avx2
VEX.66.0F 62     vpunpckldq        Vx, Hx, Wx            avx2
VEX.66.0F 63     vpacksswb         Vx, Hx, Wx            avx2
VEX.66.0F 64     vpcmpgtb          Vx, Hx, Wx            avx2
VEX.66.0F 65     vpcmpgtw          Vx, Hx, Wx            avx2
VEX.66.0F 66     vpcmpgtd          Vx, Hx, Wx            avx2
VEX.66.0F 67     vpackuswb         Vx, Hx, Wx            avx2
VEX.66.0F 68     vpunpckhbw        Vx, Hx, Wx            avx2
VEX.66.0F 69     vpunpckhwd        Vx, Hx, Wx            avx2
VEX.66.0F 6A     vpunpckhdq        Vx, Hx, Wx            avx2
VEX.66.0F 6B     vpackssdw         Vx, Hx, Wx            avx2
VEX.66.0F 6C     vpunpcklqdq       Vx, Hx, Wx            avx2
VEX.66.0F 6D     vpunpckhqdq       Vx, Hx, Wx            avx2
VEX.66.0F 6E     vmovd/vmovq       Vdq, Ey               =vmovd_load avx lz v1111
VEX.66.0F 6F     vmovdqa           Vx, Wx                avx v1111 aligned
VEX.F3.0F 6F     vmovdqu           Vx, Wx                avx v1111
VEX.66.0F 70     vpshufd           Vx, Wx, Ib            avx2 v1111
VEX.F3.0F 70     vpshufhw          Vx, Wx, Ib            avx2 v1111
VEX.F2.0F 70     vpshuflw          Vx, Wx, Ib            avx2 v1111
VEX.66.0F 71 /2  vpsrlw            Hx, Ux, Ib            avx2
VEX.66.0F 71 /4  vpsraw            Hx, Ux, Ib            avx2
VEX.66.0F 71 /6  vpsllw            Hx, Ux, Ib            avx2
VEX.66.0F 72 /2  vpsrld            Hx, Ux, Ib            avx2
VEX.66.0F 72 /4  vpsrad            Hx, Ux, Ib            avx2
VEX.66.0F 72 /6  vpslld            Hx, Ux, Ib            avx2
VEX.66.0F 73 /2  vpsrlq            Hx, Ux, Ib            avx2
VEX.66.0F 73 /3  vpsrldq           Hx, Ux, Ib            avx2
VEX.66.0F 73 /6  vpsllq            Hx, Ux, Ib            avx2
VEX.66.0F 73 /7  vpslldq           Hx, Ux, Ib            avx2
VEX.66.0F 74     vpcmpeqb          Vx, Hx, Wx            avx2
VEX.66.0F 75     vpcmpeqw          Vx, Hx, Wx            avx2
VEX.66.0F 76     vpcmpeqd          Vx, Hx, Wx            avx2
# The first name is the one with VEX.L.
VEX.NP.0F 77     vzeroall/vzeroupper/vzeroupper  -  =vzero avx v1111
VEX.66.0F 7C     vhaddpd           Vx, Hx, Wx            avx
VEX.66.0F 7D     vhsubpd           Vx, Hx, Wx            avx
VEX.F2.0F 7C     vhaddps           Vx, Hx, Wx            avx
VEX.F2.0F 7D     vhsubps           Vx, Hx, Wx            avx
VEX.66.0F 7E     vmovd/vmovq       Ey, Vy                =vmovd_store avx lz v1111
VEX.F3.0F 7E     vmovq             Vdq, Wq               =vmovq_load avx lz v1111
VEX.66.0F 7F     vmovdqa           Wx, Vx                avx v1111 aligned
VEX.F3.0F 7F     vmovdqu           Wx, Vx                avx v1111
VEX.NP.0F AE /2  vldmxcsr          Md                    avx lz v1111
VEX.NP.0F AE /3  vstmxcsr          Md                    avx lz v1111
VEX.NP.0F C2     vcmpps            Vx, Hx, Wx, Ib        avx
VEX.66.0F C2     vcmppd            Vx, Hx, Wx, Ib        avx
VEX.F3.0F C2     vcmpss            Vss, Hss, Wss, Ib     avx
VEX.F2.0F C2     vcmpsd            Vsd, Hsd, Wsd, Ib     avx
VEX.66.0F C4     vpinsrw           Vdq, Hdq, Rd/Mw, Ib   avx lz
VEX.66.0F C5     vpextrw           Gd, Udq, Ib           avx lz v1111
VEX.NP.0F C6     vshufps           Vx, Hx, Wx, Ib        avx
VEX.66.0F C6     vshufpd           Vx, Hx, Wx, Ib        avx
VEX.66.0F D0     vaddsubpd         Vx, Hx, Wx            avx
VEX.F2.0F D0     vaddsubps         Vx, Hx, Wx            avx
VEX.66.0F D1     vpsrlw            Vx, Hx, Wdq           avx2
VEX.66.0F D2     vpsrld            Vx, Hx, Wdq           avx2
VEX.66.0F D3     vpsrlq            Vx, Hx, Wdq           avx2
VEX.66.0F D4     vpaddq            Vx, Hx, Wx            avx2
VEX.66.0F D5     vpmullw           Vx, Hx, Wx            avx2
VEX.66.0F D6     vmovq             Udq, Vq               =vmovq_load avx lz v1111
VEX.66.0F D6     vmovq             Mq, Vq                =vmovq avx lz v1111
VEX.66.0F D7     vpmovmskb         Gd, Ux                avx2 v1111
VEX.66.0F D8     vpsubusb          Vx, Hx, Wx            avx2
VEX.66.0F D9     vpsubusw          Vx, Hx, Wx            avx2
VEX.66.0F DA     vpminub           Vx, Hx, Wx            avx2
VEX.66.0F DB     vpand             Vx, Hx, Wx            avx2
VEX.66.0F DC     vpaddusb          Vx, Hx, Wx            avx2
VEX.66.0F DD     vpaddusw          Vx, Hx, Wx            avx2
VEX.66.0F DE     vpmaxub           Vx, Hx, Wx            avx2
VEX.66.0F DF     vpandn            Vx, Hx, Wx            avx2
VEX.66.0F E0     vpavgb            Vx, Hx, Wx            avx2
VEX.66.0F E1     vpsraw            Vx, Hx, Wdq           avx2
VEX.66.0F E2     vpsrad            Vx, Hx, Wdq           avx2
VEX.66.0F E3     vpavgw            Vx, Hx, Wx            avx2
VEX.66.0F E4     vpmulhuw          Vx, Hx, Wx            avx2
VEX.66.0F E5     vpmulhw           Vx, Hx, Wx            avx2
VEX.66.0F E6     vcvttpd2dq        Vdq, Wx               avx v1111
VEX.F3.0F E6     vcvtdq2pd         Vx, Wh                avx v1111
VEX.F2.0F E6     vcvtpd2dq         Vdq, Wx               avx v1111
VEX.66.0F E7     vmovntdq          Mx, Vx                avx v1111 aligned
VEX.66.0F E8     vpsubsb           Vx, Hx, Wx            avx2
VEX.66.0F E9     vpsubsw           Vx, Hx, Wx            avx2
VEX.66.0F EA     vpminsw           Vx, Hx, Wx            avx2
VEX.66.0F EB     vpor              Vx, Hx, Wx            avx2
VEX.66.0F EC     vpaddsb           Vx, Hx, Wx            avx2
VEX.66.0F ED     vpaddsw           Vx, Hx, Wx            avx2
VEX.66.0F EE     vpmaxsw           Vx, Hx, Wx            avx2
VEX.66.0F EF     vpxor             Vx, Hx, Wx            avx2
VEX.F2.0F F0     vlddqu            Vx, Mx                avx v1111
VEX.66.0F F1     vpsllw            Vx, Hx, Wdq           avx2
VEX.66.0F F2     vpslld            Vx, Hx, Wdq           avx2
VEX.66.0F F3     vpsllq            Vx, Hx, Wdq           avx2
VEX.66.0F F4     vpmuludq          Vx, Hx, Wx            avx2
VEX.66.0F F5     vpmaddwd          Vx, Hx, Wx            avx2
VEX.66.0F F6     vpsadbw           Vx, Hx, Wx            avx2
VEX.66.0F F7     vmaskmovdqu       Vdq, Udq              =vmaskmovq avx lz v1111
VEX.66.0F F8     vpsubb            Vx, Hx, Wx            avx2
VEX.66.0F F9     vpsubw            Vx, Hx, Wx            avx2
VEX.66.0F FA     vpsubd            Vx, Hx, Wx            avx2
VEX.66.0F FB     vpsubq            Vx, Hx, Wx            avx2
VEX.66.0F FC     vpaddb            Vx, Hx, Wx            avx2
VEX.66.0F FD     vpaddw            Vx, Hx, Wx            avx2
VEX.66.0F FE     vpaddd            Vx, Hx, Wx            avx2

VEX.66.0F38 00   vpshufb           Vx, Hx, Wx            avx2
VEX.66.0F38 01   vphaddw           Vx, Hx, Wx            avx2
VEX.66.0F38 02   vphaddd           Vx, Hx, Wx            avx2
VEX.66.0F38 03   vphaddsw          Vx, Hx, Wx            avx2
VEX.66.0F38 04   vpmaddubsw        Vx, Hx, Wx            avx2
VEX.66.0F38 05   vphsubw           Vx, Hx, Wx            avx2
VEX.66.0F38 06   vphsubd           Vx, Hx, Wx            avx2
VEX.66.0F38 07   vphsubsw          Vx, Hx, Wx            avx2
VEX.66.0F38 08   vpsignb           Vx, Hx, Wx            avx2
VEX.66.0F38 09   vpsignw           Vx, Hx, Wx            avx2
VEX.66.0F38 0A   vpsignd           Vx, Hx, Wx            avx2
VEX.66.0F38 0B   vpmulhrsw         Vx, Hx, Wx            avx2
VEX.66.0F38 0C   vpermilps         Vx, Hx, Wx            avx w0
VEX.66.0F38 0D   vpermilpd         Vx, Hx, Wx            avx w0
VEX.66.0F38 0E   vtestps           Vx, Wx                avx w0 v1111
VEX.66.0F38 0F   vtestpd           Vx, Wx                avx w0 v1111
VEX.66.0F38 13   vcvtph2ps         Vx, Wh                f16c w0 v1111
VEX.66.0F38 16   vpermps           Vqq, Hqq, Wqq         avx2 l1 w0
VEX.66.0F38 17   vptest            Vx, Wx                avx v1111
VEX.66.0F38 18   vbroadcastss      Vx, Wss               avx w0 v1111
VEX.66.0F38 19   vbroadcastsd      Vqq, Wsd              avx l1 w0 v1111
VEX.66.0F38 1A   vbroadcastf128    Vqq, Mdq              avx l1 w0 v1111
VEX.66.0F38 1C   vpabsb            Vx, Wx                avx2 v1111
VEX.66.0F38 1D   vpabsw            Vx, Wx                avx2 v1111
VEX.66.0F38 1E   vpabsd            Vx, Wx                avx2 v1111
VEX.66.0F38 20   vpmovsxbw         Vx, Wh                avx2 v1111
VEX.66.0F38 21   vpmovsxbd         Vx, Wk                avx2 v1111
VEX.66.0F38 22   vpmovsxbq         Vx, We                avx2 v1111
VEX.66.0F38 23   vpmovsxwd         Vx, Wh                avx2 v1111
VEX.66.0F38 24   vpmovsxwq         Vx, Wk                avx2 v1111
VEX.66.0F38 25   vpmovsxdq         Vx, Wh                avx2 v1111
VEX.66.0F38 30   vpmovzxbw         Vx, Wh                avx2 v1111
VEX.66.0F38 31   vpmovzxbd         Vx, Wk                avx2 v1111
VEX.66.0F38 32   vpmovzxbq         Vx, We                avx2 v1111
VEX.66.0F38 33   vpmovzxwd         Vx, Wh                avx2 v1111
VEX.66.0F38 34   vpmovzxwq         Vx, Wk                avx2 v1111
VEX.66.0F38 35   vpmovzxdq         Vx, Wh                avx2 v1111
VEX.66.0F38 28   vpmuldq           Vx, Hx, Wx            avx2
VEX.66.0F38 29   vpcmpeqq          Vx, Hx, Wx            avx2
VEX.66.0F38 2A   vmovntdqa         Vx, Mx                avx2 v1111 aligned
VEX.66.0F38 2B   vpackusdw         Vx, Hx, Wx            avx2
VEX.66.0F38 2C   vmaskmovps        Vx, Hx, Mx            =vmaskload_d avx w0
VEX.66.0F38 2D   vmaskmovpd        Vx, Hx, Mx            =vmaskload_q avx w0
VEX.66.0F38 2E   vmaskmovps        Mx, Hx, Vx            =vmaskstore_d avx w0
VEX.66.0F38 2F   vmaskmovpd        Mx, Hx, Vx            =vmaskstore_q avx w0
VEX.66.0F38 36   vpermd            Vqq, Hqq, Wqq         =vpermps avx2 l1 w0
VEX.66.0F38 37   vpcmpgtq          Vx, Hx, Wx            avx2
VEX.66.0F38 38   vpminsb           Vx, Hx, Wx            avx2
VEX.66.0F38 39   vpminsd           Vx, Hx, Wx            avx2
VEX.66.0F38 3A   vpminuw           Vx, Hx, Wx            avx2
VEX.66.0F38 3B   vpminud           Vx, Hx, Wx            avx2
VEX.66.0F38 3C   vpmaxsb           Vx, Hx, Wx            avx2
VEX.66.0F38 3D   vpmaxsd           Vx, Hx, Wx            avx2
VEX.66.0F38 3E   vpmaxuw           Vx, Hx, Wx            avx2
VEX.66.0F38 3F   vpmaxud           Vx, Hx, Wx            avx2
VEX.66.0F38 40   vpmulld           Vx, Hx, Wx            avx2
VEX.66.0F38 41   vphminposuw       Vdq, Wdq              avx lz v1111
VEX.66.0F38 45   vpsrlvd           Vx, Hx, Wx            avx2 w0
VEX.66.0F38 45   vpsrlvq           Vx, Hx, Wx            avx2 w1
VEX.66.0F38 46   vpsravd           Vx, Hx, Wx            avx2 w0
VEX.66.0F38 47   vpsllvd           Vx, Hx, Wx            avx2 w0
VEX.66.0F38 47   vpsllvq           Vx, Hx, Wx            avx2 w1
VEX.66.0F38 58   vpbroadcastd      Vx, Wd                avx2 w0 v1111
VEX.66.0F38 59   vpbroadcastq      Vx, Wq                avx2 w0 v1111
VEX.66.0F38 5A   vbroadcasti128    Vqq, Mdq              =vbroadcastf128 avx2 l1 w0 v1111
VEX.66.0F38 78   vpbroadcastb      Vx, Wb                avx2 w0 v1111
VEX.66.0F38 79   vpbroadcastw      Vx, Ww                avx2 w0 v1111
VEX.66.0F38 8C   vpmaskmovd        Vx, Hx, Mx            =vmaskload_d avx2 w0
VEX.66.0F38 8C   vpmaskmovq        Vx, Hx, Mx            =vmaskload_q avx2 w1
VEX.66.0F38 8E   vpmaskmovd        Mx, Hx, Vx            =vmaskstore_d avx2 w0
VEX.66.0F38 8E   vpmaskmovq        Mx, Hx, Vx            =vmaskstore_q avx2 w1
VEX.66.0F38 90   vpgatherdd        Vx, Md, Hx            =vgather avx2 w0 vsibd
VEX.66.0F38 90   vpgatherdq        Vx, Mq, Hx            =vgather avx2 w1 vsibd
VEX.66.0F38 91   vpgatherqd        Vh, Md, Hh            =vgather avx2 w0 vsibq
VEX.66.0F38 91   vpgatherqq        Vx, Mq, Hx            =vgather avx2 w1 vsibq
VEX.66.0F38 92   vgatherdps        Vx, Md, Hx            =vgather avx2 w0 vsibd
VEX.66.0F38 92   vgatherdpd        Vx, Mq, Hx            =vgather avx2 w1 vsibd
VEX.66.0F38 93   vgatherqps        Vh, Md, Hh            =vgather avx2 w0 vsibq
VEX.66.0F38 93   vgatherqpd        Vx, Mq, Hx            =vgather avx2 w1 vsibq
# Fused multiplication and addition: the digits say which operands are multiplied, and what is added to that.
VEX.66.0F38 96   vfmaddsub132ps    Vx, Hx, Wx            fma w0
VEX.66.0F38 96   vfmaddsub132pd    Vx, Hx, Wx            fma w1
VEX.66.0F38 97   vfmsubadd132ps    Vx, Hx, Wx            fma w0
VEX.66.0F38 97   vfmsubadd132pd    Vx, Hx, Wx            fma w1
VEX.66.0F38 98   vfmadd132ps       Vx, Hx, Wx            fma w0
VEX.66.0F38 98   vfmadd132pd       Vx, Hx, Wx            fma w1
VEX.66.0F38 99   vfmadd132ss       Vss, Hss, Wss         fma w0
VEX.66.0F38 99   vfmadd132sd       Vsd, Hsd, Wsd         fma w1
VEX.66.0F38 9A   vfmsub132ps       Vx, Hx, Wx            fma w0
VEX.66.0F38 9A   vfmsub132pd       Vx, Hx, Wx            fma w1
VEX.66.0F38 9B   vfmsub132ss       Vss, Hss, Wss         fma w0
VEX.66.0F38 9B   vfmsub132sd       Vsd, Hsd, Wsd         fma w1
VEX.66.0F38 9C   vfnmadd132ps      Vx, Hx, Wx            fma w0
VEX.66.0F38 9C   vfnmadd132pd      Vx, Hx, Wx            fma w1
VEX.66.0F38 9D   vfnmadd132ss      Vss, Hss, Wss         fma w0
VEX.66.0F38 9D   vfnmadd132sd      Vsd, Hsd, Wsd         fma w1
VEX.66.0F38 9E   vfnmsub132ps      Vx, Hx, Wx            fma w0
VEX.66.0F38 9E   vfnmsub132pd      Vx, Hx, Wx            fma w1
VEX.66.0F38 9F   vfnmsub132ss      Vss, Hss, Wss         fma w0
VEX.66.0F38 9F   vfnmsub132sd      Vsd, Hsd, Wsd         fma w1
VEX.66.0F38 A6   vfmaddsub213ps    Vx, Hx, Wx            fma w0
VEX.66.0F38 A6   vfmaddsub213pd    Vx, Hx, Wx            fma w1
VEX.66.0F38 A7   vfmsubadd213ps    Vx, Hx, Wx            fma w0
VEX.66.0F38 A7   vfmsubadd213pd    Vx, Hx, Wx            fma w1
VEX.66.0F38 A8   vfmadd213ps       Vx, Hx, Wx            fma w0
VEX.66.0F38 A8   vfmadd213pd       Vx, Hx, Wx            fma w1
VEX.66.0F38 A9   vfmadd213ss       Vss, Hss, Wss         fma w0
VEX.66.0F38 A9   vfmadd213sd       Vsd, Hsd, Wsd         fma w1
VEX.66.0F38 AA   vfmsub213ps       Vx, Hx, Wx            fma w0
VEX.66.0F38 AA   vfmsub213pd       Vx, Hx, Wx            fma w1
VEX.66.0F38 AB   vfmsub213ss       Vss, Hss, Wss         fma w0
VEX.66.0F38 AB   vfmsub213sd       Vsd, Hsd, Wsd         fma w1
VEX.66.0F38 AC   vfnmadd213ps      Vx, Hx, Wx            fma w0
VEX.66.0F38 AC   vfnmadd213pd      Vx, Hx, Wx            fma w1
VEX.66.0F38 AD   vfnmadd213ss      Vss, Hss, Wss         fma w0
VEX.66.0F38 AD   vfnmadd213sd      Vsd, Hsd, Wsd         fma w1
VEX.66.0F38 AE   vfnmsub213ps      Vx, Hx, Wx            fma w0
VEX.66.0F38 AE   vfnmsub213pd      Vx, Hx, Wx            fma w1
VEX.66.0F38 AF   vfnmsub213ss      Vss, Hss, Wss         fma w0
VEX.66.0F38 AF   vfnmsub213sd      Vsd, Hsd, Wsd         fma w1
VEX.66.0F38 B6   vfmaddsub231ps    Vx, Hx, Wx            fma w0
VEX.66.0F38 B6   vfmaddsub231pd    Vx, Hx, Wx            fma w1
VEX.66.0F38 B7   vfmsubadd231ps    Vx, Hx, Wx            fma w0
VEX.66.0F38 B7   vfmsubadd231pd    Vx, Hx, Wx            fma w1
VEX.66.0F38 B8   vfmadd231ps       Vx, Hx, Wx            fma w0
VEX.66.0F38 B8   vfmadd231pd       Vx, Hx, Wx            fma w1
VEX.66.0F38 B9   vfmadd231ss       Vss, Hss, Wss         fma w0
VEX.66.0F38 B9   vfmadd231sd       Vsd, Hsd, Wsd         fma w1
VEX.66.0F38 BA   vfmsub231ps       Vx, Hx, Wx            fma w0
VEX.66.0F38 BA   vfmsub231pd       Vx, Hx, Wx            fma w1
VEX.66.0F38 BB   vfmsub231ss       Vss, Hss, Wss         fma w0
VEX.66.0F38 BB   vfmsub231sd       Vsd, Hsd, Wsd         fma w1
VEX.66.0F38 BC   vfnmadd231ps      Vx, Hx, Wx            fma w0
VEX.66.0F38 BC   vfnmadd231pd      Vx, Hx, Wx            fma w1
VEX.66.0F38 BD   vfnmadd231ss      Vss, Hss, Wss         fma w0
VEX.66.0F38 BD   vfnmadd231sd      Vsd, Hsd, Wsd         fma w1
VEX.66.0F38 BE   vfnmsub231ps      Vx, Hx, Wx            fma w0
VEX.66.0F38 BE   vfnmsub231pd      Vx, Hx, Wx            fma w1
VEX.66.0F38 BF   vfnmsub231ss      Vss, Hss, Wss         fma w0
VEX.66.0F38 BF   vfnmsub231sd      Vsd, Hsd, Wsd         fma w1

VEX.66.0F38 DB   vaesimc           Vdq, Wdq              vaes lz v1111
VEX.66.0F38 DC   vaesenc           Vx, Hx, Wx            vaes
VEX.66.0F38 DD   vaesenclast       Vx, Hx, Wx            vaes
VEX.66.0F38 DE   vaesdec           Vx, Hx, Wx            vaes
VEX.66.0F38 DF   vaesdeclast       Vx, Hx, Wx            vaes

VEX.66.0F3A 00   vpermq            Vqq, Wqq, Ib          avx2 l1 w1 v1111
VEX.66.0F3A 01   vpermpd           Vqq, Wqq, Ib          =vpermq avx2 l1 w1 v1111
VEX.66.0F3A 02   vpblendd          Vx, Hx, Wx, Ib        avx2 w0
VEX.66.0F3A 04   vpermilps         Vx, Wx, Ib            =vpermilps_i avx w0 v1111
VEX.66.0F3A 05   vpermilpd         Vx, Wx, Ib            =vpermilpd_i avx w0 v1111
VEX.66.0F3A 06   vperm2f128        Vqq, Hqq, Wqq, Ib     avx l1 w0
VEX.66.0F3A 08   vroundps          Vx, Wx, Ib            avx v1111
VEX.66.0F3A 09   vroundpd          Vx, Wx, Ib            avx v1111
VEX.66.0F3A 0A   vroundss          Vss, Hss, Wss, Ib     avx
VEX.66.0F3A 0B   vroundsd          Vsd, Hsd, Wsd, Ib     avx
VEX.66.0F3A 0C   vblendps          Vx, Hx, Wx, Ib        avx
VEX.66.0F3A 0D   vblendpd          Vx, Hx, Wx, Ib        avx
VEX.66.0F3A 0E   vpblendw          Vx, Hx, Wx, Ib        avx2
VEX.66.0F3A 0F   vpalignr          Vx, Hx, Wx, Ib        avx2
VEX.66.0F3A 14   vpextrb           Rd/Mb, Vdq, Ib        avx lz v1111
VEX.66.0F3A 15   vpextrw           Rd/Mw, Vdq, Ib        avx lz v1111
VEX.66.0F3A 16   vpextrd/vpextrq   Ey, Vdq, Ib           avx lz v1111
VEX.66.0F3A 17   vextractps        Ed, Vdq, Ib           avx lz v1111
VEX.66.0F3A 18   vinsertf128       Vqq, Hqq, Wdq, Ib     avx l1 w0
VEX.66.0F3A 19   vextractf128      Wdq, Vqq, Ib          avx l1 w0 v1111
VEX.66.0F3A 1D   vcvtps2ph         Wh, Vx, Ib            f16c w0 v1111
VEX.66.0F3A 20   vpinsrb           Vdq, Hdq, Rd/Mb, Ib   avx lz
VEX.66.0F3A 21   vinsertps         Vdq, Hdq, Udq/Md, Ib  avx lz
VEX.66.0F3A 22   vpinsrd/vpinsrq   Vdq, Hdq, Ey, Ib      avx lz
VEX.66.0F3A 38   vinserti128       Vqq, Hqq, Wdq, Ib     =vinsertf128 avx2 l1 w0
VEX.66.0F3A 39   vextracti128      Wdq, Vqq, Ib          =vextractf128 avx2 l1 w0 v1111
VEX.66.0F3A 40   vdpps             Vx, Hx, Wx, Ib        avx
VEX.66.0F3A 41   vdppd             Vdq, Hdq, Wdq, Ib     avx lz
VEX.66.0F3A 42   vmpsadbw          Vx, Hx, Wx, Ib        avx2
VEX.66.0F3A 44   vpclmulqdq        Vx, Hx, Wx, Ib        vpclmulqdq
VEX.66.0F3A 46   vperm2i128        Vqq, Hqq, Wqq, Ib     =vperm2f128 avx2 l1 w0
VEX.66.0F3A 4A   vblendvps         Vx, Hx, Wx, Lx        avx w0
VEX.66.0F3A 4B   vblendvpd         Vx, Hx, Wx, Lx        avx w0
VEX.66.0F3A 4C   vpblendvb         Vx, Hx, Wx, Lx        avx2 w0
VEX.66.0F3A 60   vpcmpestrm        Vdq, Wdq, Ib          avx lz v1111 y
VEX.66.0F3A 61   vpcmpestri        Vdq, Wdq, Ib          avx lz v1111 y
VEX.66.0F3A 62   vpcmpistrm        Vdq, Wdq, Ib          avx lz v1111
VEX.66.0F3A 63   vpcmpistri        Vdq, Wdq, Ib          avx lz v1111
VEX.66.0F3A DF   vaeskeygenassist  Vdq, Wdq, Ib          vaes lz v1111

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
