"""asm/signal.h, asm-generic/signal-defs.h: signal numbers, sigaction, sigprocmask, stack_t."""

import struct

# fmt: off
SIGHUP, SIGINT, SIGQUIT, SIGILL, SIGTRAP, SIGABRT, SIGBUS, SIGFPE          = range(1, 9)
SIGKILL, SIGUSR1, SIGSEGV, SIGUSR2, SIGPIPE, SIGALRM, SIGTERM, SIGSTKFLT   = range(9, 17)
SIGCHLD, SIGCONT, SIGSTOP, SIGTSTP, SIGTTIN, SIGTTOU, SIGURG, SIGXCPU      = range(17, 25)
SIGXFSZ, SIGVTALRM, SIGPROF, SIGWINCH, SIGIO, SIGPWR, SIGSYS               = range(25, 32)
SIGRTMIN = 32           # the kernel's, glibc keeps the first two for itself
NSIG     = 64

SIG_DFL, SIG_IGN = 0, 1
SIG_BLOCK, SIG_UNBLOCK, SIG_SETMASK = 0, 1, 2

SA_NOCLDSTOP       = 0x00000001
SA_NOCLDWAIT       = 0x00000002
SA_SIGINFO         = 0x00000004
SA_UNSUPPORTED     = 0x00000400
SA_EXPOSE_TAGBITS  = 0x00000800
SA_RESTORER        = 0x04000000
SA_ONSTACK         = 0x08000000
SA_RESTART         = 0x10000000
SA_NODEFER         = 0x40000000
SA_RESETHAND       = 0x80000000

SS_ONSTACK, SS_DISABLE = 1, 2
SS_AUTODISARM = 0x80000000
MINSIGSTKSZ = 2048
# fmt: on

SIGACTION = struct.Struct("<QQQQ")      # struct kernel_sigaction: sa_handler sa_flags sa_restorer sa_mask
STACK = struct.Struct("<QixxxxQ")       # stack_t: ss_sp ss_flags ss_size
