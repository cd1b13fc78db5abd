"""linux/wait.h: options of wait4 and waitid, and the status word."""

WNOHANG, WUNTRACED, WSTOPPED, WEXITED, WCONTINUED, WNOWAIT = 1, 2, 2, 4, 8, 0x01000000
__WNOTHREAD, __WALL, __WCLONE = 0x20000000, 0x40000000, 0x80000000
P_ALL, P_PID, P_PGID, P_PIDFD = 0, 1, 2, 3

WCOREFLAG = 0x80
CONTINUED = 0xFFFF


def exited(code):
    return (code & 0xFF) << 8


def killed(signo, core=False):
    return signo | (WCOREFLAG if core else 0)


def stopped(signo):
    return signo << 8 | 0x7F
