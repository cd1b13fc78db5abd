"""Job control: who may use a terminal now, who owns it, and which signals say otherwise (drivers/tty/tty_jobctrl.c).

The terminal itself (fs/tty.py) knows numbers only: its session and its foreground process group.
"""

from webvm.fs.wait import Interrupted
from webvm.kernel import signals
from webvm.kernel.life import orphaned
from webvm.linux.errno import EIO, Errno
from webvm.linux.signal import SIGCONT, SIGHUP, SIGPIPE, SIGTTIN, SIGTTOU
from webvm.linux.termios import TOSTOP


def send_sigpipe(task):
    signals.send(task.kernel, task.group, SIGPIPE, task=task)


def is_background(task, tty) -> bool:
    """Is this the caller's controlling terminal, in the hands of another process group?"""
    return task.group.tty is tty and tty.pgrp and tty.pgrp != task.group.pgrp


def check_background_read(task, tty):
    """SIGTTIN for a background process; EIO when it could not be stopped or nobody would continue it."""
    if is_background(task, tty):
        if _deaf(task, SIGTTIN) or orphaned(task.kernel, task.group.pgrp, task.group.session):
            raise Errno(EIO)
        _stop(task, SIGTTIN)


def check_background_write(task, tty):
    """SIGTTOU for a background process, if the terminal has TOSTOP."""
    if tty.lflag & TOSTOP:
        check_change(task, tty)


def check_change(task, tty):
    """tty_check_change: SIGTTOU for a background process that changes the terminal; one that ignores it may."""
    if is_background(task, tty) and not _deaf(task, SIGTTOU):
        if orphaned(task.kernel, task.group.pgrp, task.group.session):
            raise Errno(EIO)
        _stop(task, SIGTTOU)


def _deaf(task, signo) -> bool:
    return bool(task.blocked & signals.bit(signo)) or task.group.actions.ignored(signo)


def _stop(task, signo):
    task.kernel.signal_pgrp(task.group.pgrp, signo)
    raise Interrupted


def set_controlling(task, tty):
    """The session of `task` gets `tty` (the caller has checked that it may)."""
    disassociate(task.group.session, tty)
    task.group.tty = tty
    tty.session, tty.pgrp = task.group.session.id, task.group.pgrp


def open_tty(task, tty):
    """A session leader without a terminal that opens one gets it, unless another session has it."""
    if task.group.session.id == task.group.pid and task.group.tty is None and not tty.session:
        set_controlling(task, tty)


def disassociate(session, tty=None):
    """The session has no terminal any more."""
    if session.tty is not None and session.tty is not tty:
        session.tty.session = session.tty.pgrp = 0
    session.tty = None


def release(tty, session) -> int:
    """The leader of the session ends: the terminal is nobody's; the process group that had it, to be told so."""
    pgrp, tty.session, tty.pgrp = tty.pgrp, 0, 0
    session.tty = None
    return pgrp


def attach(kernel, tty):
    """Let the terminal's signals reach processes."""
    tty.on_signal = kernel.signal_pgrp
    tty.on_hangup = lambda session_id, pgrp: hang_up(kernel, session_id, pgrp)


def hang_up(kernel, session_id: int, pgrp: int):
    """The other side of the terminal is gone: the session's leader and the foreground group hear it."""
    for group in list(kernel.groups.values()):
        if session_id and group.session.id == session_id:
            group.session.tty = None
            if group.pid == session_id:
                signals.send(kernel, group, SIGHUP)
                signals.send(kernel, group, SIGCONT)
    if pgrp:
        kernel.signal_pgrp(pgrp, SIGHUP)
        kernel.signal_pgrp(pgrp, SIGCONT)
