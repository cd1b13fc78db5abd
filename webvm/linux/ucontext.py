"""asm/ucontext.h, asm/sigcontext.h, asm/sigframe.h: what lies on the stack while a signal handler runs."""

import struct

UC_FP_XSTATE, UC_SIGCONTEXT_SS, UC_STRICT_RESTORE_SS = 1, 2, 4
USER_CS, USER_DS = 0x33, 0x2B

# struct sigcontext: r8..r15 di si bp bx dx ax cx sp ip flags, cs gs fs ss, err trapno oldmask cr2, fpstate, reserved1[8]
SIGCONTEXT = struct.Struct("<18Q4H4QQ64x")
# The general registers in that order, as register numbers; ip and flags follow them.
SIGCONTEXT_REGISTERS = (8, 9, 10, 11, 12, 13, 14, 15, 7, 6, 5, 3, 2, 0, 1, 4)
# struct rt_sigframe: pretcode, uc_flags, uc_link, uc_stack (ss_sp ss_flags ss_size); sigcontext, uc_sigmask, siginfo follow
FRAME_HEAD = struct.Struct("<QQQQixxxxQ")
FRAME_SIZE = FRAME_HEAD.size + SIGCONTEXT.size + 8 + 128
FXSAVE_SIZE = 512
# Behind that, where the processor has XSAVE: its header (which parts follow, and that all is at its usual place), AVX's upper halves, magic.
# struct _fpx_sw_bytes, in the last bytes of the 512, says so: magic1, size with the magic at the end, parts, size without it.
XSAVE_HEADER = struct.Struct("<QQ48x")
UPPERS_SIZE = 256
XSAVE_SIZE = FXSAVE_SIZE + XSAVE_HEADER.size + UPPERS_SIZE
FPX_SW_BYTES, FPX_SW_OFFSET = struct.Struct("<IIQI28x"), 464
FP_XSTATE_MAGIC1, FP_XSTATE_MAGIC2 = 0x46505853, 0x46505845
FP_XSTATE_MAGIC2_SIZE = 4
XFEATURES, XFEATURE_FP, XFEATURE_SSE, XFEATURE_YMM = 7, 1, 2, 4
