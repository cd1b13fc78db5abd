"""The three-byte opcode maps, 0F 38 xx and 0F 3A xx (Intel SDM volume 2, tables A-4 and A-5). Notation: see row.py.

SHA's operands in memory need no alignment, as with AMD; Intel's manual says #GP.
"""

# fmt: off
TABLE = """
# opcode          mnemonic            operands          attributes

NP 0F 38 00       pshufb              Pq, Qq            ssse3
66 0F 38 00       pshufb              Vdq, Wdq          ssse3
NP 0F 38 01       phaddw              Pq, Qq            ssse3
66 0F 38 01       phaddw              Vdq, Wdq          ssse3
NP 0F 38 02       phaddd              Pq, Qq            ssse3
66 0F 38 02       phaddd              Vdq, Wdq          ssse3
NP 0F 38 03       phaddsw             Pq, Qq            ssse3
66 0F 38 03       phaddsw             Vdq, Wdq          ssse3
NP 0F 38 04       pmaddubsw           Pq, Qq            ssse3
66 0F 38 04       pmaddubsw           Vdq, Wdq          ssse3
NP 0F 38 05       phsubw              Pq, Qq            ssse3
66 0F 38 05       phsubw              Vdq, Wdq          ssse3
NP 0F 38 06       phsubd              Pq, Qq            ssse3
66 0F 38 06       phsubd              Vdq, Wdq          ssse3
NP 0F 38 07       phsubsw             Pq, Qq            ssse3
66 0F 38 07       phsubsw             Vdq, Wdq          ssse3
NP 0F 38 08       psignb              Pq, Qq            ssse3
66 0F 38 08       psignb              Vdq, Wdq          ssse3
NP 0F 38 09       psignw              Pq, Qq            ssse3
66 0F 38 09       psignw              Vdq, Wdq          ssse3
NP 0F 38 0A       psignd              Pq, Qq            ssse3
66 0F 38 0A       psignd              Vdq, Wdq          ssse3
NP 0F 38 0B       pmulhrsw            Pq, Qq            ssse3
66 0F 38 0B       pmulhrsw            Vdq, Wdq          ssse3
66 0F 38 10       pblendvb            Vdq, Wdq, XMM0    sse4.1
66 0F 38 14       blendvps            Vps, Wps, XMM0    sse4.1
66 0F 38 15       blendvpd            Vpd, Wpd, XMM0    sse4.1
66 0F 38 17       ptest               Vdq, Wdq          sse4.1
NP 0F 38 1C       pabsb               Pq, Qq            ssse3
66 0F 38 1C       pabsb               Vdq, Wdq          ssse3
NP 0F 38 1D       pabsw               Pq, Qq            ssse3
66 0F 38 1D       pabsw               Vdq, Wdq          ssse3
NP 0F 38 1E       pabsd               Pq, Qq            ssse3
66 0F 38 1E       pabsd               Vdq, Wdq          ssse3
66 0F 38 20       pmovsxbw            Vdq, Wq           sse4.1
66 0F 38 21       pmovsxbd            Vdq, Wd           sse4.1
66 0F 38 22       pmovsxbq            Vdq, Ww           sse4.1
66 0F 38 23       pmovsxwd            Vdq, Wq           sse4.1
66 0F 38 24       pmovsxwq            Vdq, Wd           sse4.1
66 0F 38 25       pmovsxdq            Vdq, Wq           sse4.1
66 0F 38 28       pmuldq              Vdq, Wdq          sse4.1
66 0F 38 29       pcmpeqq             Vdq, Wdq          sse4.1
66 0F 38 2A       movntdqa            Vdq, Mdq          sse4.1
66 0F 38 2B       packusdw            Vdq, Wdq          sse4.1
66 0F 38 30       pmovzxbw            Vdq, Wq           sse4.1
66 0F 38 31       pmovzxbd            Vdq, Wd           sse4.1
66 0F 38 32       pmovzxbq            Vdq, Ww           sse4.1
66 0F 38 33       pmovzxwd            Vdq, Wq           sse4.1
66 0F 38 34       pmovzxwq            Vdq, Wd           sse4.1
66 0F 38 35       pmovzxdq            Vdq, Wq           sse4.1
66 0F 38 37       pcmpgtq             Vdq, Wdq          sse4.2
66 0F 38 38       pminsb              Vdq, Wdq          sse4.1
66 0F 38 39       pminsd              Vdq, Wdq          sse4.1
66 0F 38 3A       pminuw              Vdq, Wdq          sse4.1
66 0F 38 3B       pminud              Vdq, Wdq          sse4.1
66 0F 38 3C       pmaxsb              Vdq, Wdq          sse4.1
66 0F 38 3D       pmaxsd              Vdq, Wdq          sse4.1
66 0F 38 3E       pmaxuw              Vdq, Wdq          sse4.1
66 0F 38 3F       pmaxud              Vdq, Wdq          sse4.1
66 0F 38 40       pmulld              Vdq, Wdq          sse4.1
66 0F 38 41       phminposuw          Vdq, Wdq          sse4.1
66 0F 38 80       invept              Gq, Mdq           vmx
66 0F 38 81       invvpid             Gq, Mdq           vmx
66 0F 38 82       invpcid             Gq, Mdq           invpcid cpl0
NP 0F 38 C8       sha1nexte           Vdq, Wdq          sha unaligned
NP 0F 38 C9       sha1msg1            Vdq, Wdq          sha unaligned
NP 0F 38 CA       sha1msg2            Vdq, Wdq          sha unaligned
NP 0F 38 CB       sha256rnds2         Vdq, Wdq, XMM0    sha unaligned
NP 0F 38 CC       sha256msg1          Vdq, Wdq          sha unaligned
NP 0F 38 CD       sha256msg2          Vdq, Wdq          sha unaligned
66 0F 38 CF       gf2p8mulb           Vdq, Wdq          gfni
66 0F 38 DB       aesimc              Vdq, Wdq          aes
66 0F 38 DC       aesenc              Vdq, Wdq          aes
66 0F 38 DD       aesenclast          Vdq, Wdq          aes
66 0F 38 DE       aesdec              Vdq, Wdq          aes
66 0F 38 DF       aesdeclast          Vdq, Wdq          aes
NFx 0F 38 F0      movbe               Gv, Mv            movbe
F2 0F 38 F0       crc32               Gy, Eb            sse4.2
NFx 0F 38 F1      movbe               Mv, Gv            movbe
F2 0F 38 F1       crc32               Gy, Ev            sse4.2
66 0F 38 F5       wrussd/wrussq       My, Gy            cet_ss cpl0
NP 0F 38 F6       wrssd/wrssq         My, Gy            cet_ss
66 0F 38 F6       adcx                Gy, Ey            adx
F3 0F 38 F6       adox                Gy, Ey            adx
66 0F 38 F8       movdir64b           Gq, Mo            movdir64b
F3 0F 38 F8       enqcmds             Gq, Mo            enqcmd cpl0
F2 0F 38 F8       enqcmd              Gq, Mo            enqcmd
NP 0F 38 F9       movdiri             My, Gy            movdiri

66 0F 3A 08       roundps             Vps, Wps, Ib      sse4.1
66 0F 3A 09       roundpd             Vpd, Wpd, Ib      sse4.1
66 0F 3A 0A       roundss             Vss, Wss, Ib      sse4.1
66 0F 3A 0B       roundsd             Vsd, Wsd, Ib      sse4.1
66 0F 3A 0C       blendps             Vps, Wps, Ib      sse4.1
66 0F 3A 0D       blendpd             Vpd, Wpd, Ib      sse4.1
66 0F 3A 0E       pblendw             Vdq, Wdq, Ib      sse4.1
NP 0F 3A 0F       palignr             Pq, Qq, Ib        ssse3
66 0F 3A 0F       palignr             Vdq, Wdq, Ib      ssse3
66 0F 3A 14       pextrb              Rd/Mb, Vdq, Ib    sse4.1
66 0F 3A 15       pextrw              Rd/Mw, Vdq, Ib    sse4.1
66 0F 3A 16       pextrd/pextrq       Ey, Vdq, Ib       sse4.1
66 0F 3A 17       extractps           Ed, Vdq, Ib       sse4.1
66 0F 3A 20       pinsrb              Vdq, Rd/Mb, Ib    sse4.1
66 0F 3A 21       insertps            Vdq, Udq/Md, Ib   sse4.1
66 0F 3A 22       pinsrd/pinsrq       Vdq, Ey, Ib       sse4.1
66 0F 3A 40       dpps                Vps, Wps, Ib      sse4.1
66 0F 3A 41       dppd                Vpd, Wpd, Ib      sse4.1
66 0F 3A 42       mpsadbw             Vdq, Wdq, Ib      sse4.1
66 0F 3A 44       pclmulqdq           Vdq, Wdq, Ib      pclmulqdq
66 0F 3A 60       pcmpestrm           Vdq, Wdq, Ib      sse4.2 unaligned y
66 0F 3A 61       pcmpestri           Vdq, Wdq, Ib      sse4.2 unaligned y
66 0F 3A 62       pcmpistrm           Vdq, Wdq, Ib      sse4.2 unaligned
66 0F 3A 63       pcmpistri           Vdq, Wdq, Ib      sse4.2 unaligned
NP 0F 3A CC       sha1rnds4           Vdq, Wdq, Ib      sha unaligned
66 0F 3A CE       gf2p8affineqb       Vdq, Wdq, Ib      gfni
66 0F 3A CF       gf2p8affineinvqb    Vdq, Wdq, Ib      gfni
66 0F 3A DF       aeskeygenassist     Vdq, Wdq, Ib      aes
"""
# fmt: on
