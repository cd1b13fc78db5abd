"""asm-generic/siginfo.h: siginfo_t (128 bytes) in each of its forms, si_code values, sigevent."""

import struct

# fmt: off
SI_USER, SI_KERNEL = 0, 0x80
SI_QUEUE, SI_TIMER, SI_MESGQ, SI_ASYNCIO, SI_SIGIO, SI_TKILL = -1, -2, -3, -4, -5, -6
ILL_ILLOPC, ILL_ILLOPN = 1, 2
FPE_INTDIV, FPE_INTOVF, FPE_FLTDIV, FPE_FLTOVF, FPE_FLTUND, FPE_FLTRES, FPE_FLTINV = 1, 2, 3, 4, 5, 6, 7
SEGV_MAPERR, SEGV_ACCERR = 1, 2
BUS_ADRALN, BUS_ADRERR = 1, 2
TRAP_BRKPT, TRAP_TRACE = 1, 2
CLD_EXITED, CLD_KILLED, CLD_DUMPED, CLD_TRAPPED, CLD_STOPPED, CLD_CONTINUED = 1, 2, 3, 4, 5, 6
SIGEV_SIGNAL, SIGEV_NONE, SIGEV_THREAD, SIGEV_THREAD_ID = 0, 1, 2, 4
# fmt: on

SIZE = 128
_HEAD  = struct.Struct("<iiixxxx")
_KILL  = struct.Struct("<iI")           # si_pid si_uid
_RT    = struct.Struct("<iIQ")          # si_pid si_uid si_value
_CHILD = struct.Struct("<iIixxxxqq")    # si_pid si_uid si_status si_utime si_stime (clock ticks)
_FAULT = struct.Struct("<Q")            # si_addr
_TIMER = struct.Struct("<iiQ")          # si_tid si_overrun si_value
SIGEVENT = struct.Struct("<Qiii44x")    # sigev_value sigev_signo sigev_notify sigev_notify_thread_id


def _pack(signo, code, body):
    return (_HEAD.pack(signo, 0, code) + body).ljust(SIZE, b"\0")


def kill(signo, code, pid, uid):
    return _pack(signo, code, _KILL.pack(pid, uid))


def queue(signo, code, pid, uid, value):
    return _pack(signo, code, _RT.pack(pid, uid, value))


def child(code, pid, uid, status, utime, stime):
    return _pack(17, code, _CHILD.pack(pid, uid, status, utime, stime))


def fault(signo, code, address):
    return _pack(signo, code, _FAULT.pack(address))


def timer(signo, timer_id, overrun, value):
    return _pack(signo, SI_TIMER, _TIMER.pack(timer_id, overrun, value))


def kernel(signo):
    return _pack(signo, SI_KERNEL, b"")


def signo_code(info):
    signo, _, code = _HEAD.unpack_from(info)
    return signo, code


def sender(info):
    """(si_pid, si_uid) of the kill and rt forms."""
    return _KILL.unpack_from(info, 16)
