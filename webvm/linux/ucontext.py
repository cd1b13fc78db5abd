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
