"""System calls of signals.  Knows sigaction and siginfo layouts; what signals do is signals.py."""

from webvm.fs.wait import Wait
from webvm.kernel import signals
from webvm.kernel.cpu import RSP
from webvm.kernel.signals import UNBLOCKABLE, bit
from webvm.kernel.syscall import (
    KEEP_REGISTERS, Enum, Flags, Pid, Ptr, SigSet, SigSetOut, Signal, Size, Struct, Timespec, sigset, signal_name, syscall,
)  # fmt: skip
from webvm.kernel.sys_process import check_may_signal
from webvm.linux import siginfo
from webvm.linux.errno import EAGAIN, EINVAL, ENOMEM, EPERM, ESRCH, Errno
from webvm.linux.signal import (
    MINSIGSTKSZ, NSIG, SA_UNSUPPORTED, SIG_BLOCK, SIG_DFL, SIG_IGN, SIG_SETMASK, SIG_UNBLOCK, SIGACTION, SIGKILL,
    SIGBUS, SIGCHLD, SIGFPE, SIGILL, SIGSEGV, SIGSTOP, SIGTRAP, SS_AUTODISARM, SS_DISABLE, SS_ONSTACK, STACK,
)  # fmt: skip
from webvm.linux.time import SECOND, TIMESPEC

SIGSET_SIZE = 8


def show_action(data):
    handler, flags, restorer, mask = SIGACTION.unpack(data)
    shown = {SIG_DFL: "SIG_DFL", SIG_IGN: "SIG_IGN"}.get(handler, hex(handler))
    text = f"{{sa_handler={shown}, sa_mask={sigset(mask)}, sa_flags={_SaFlags.format(flags)}"
    return text + (f", sa_restorer={restorer:#x}}}" if flags & 0x04000000 else "}")


_CODES = {siginfo.SI_USER: "SI_USER", siginfo.SI_KERNEL: "SI_KERNEL", siginfo.SI_QUEUE: "SI_QUEUE",
          siginfo.SI_TIMER: "SI_TIMER", siginfo.SI_TKILL: "SI_TKILL"}
_CODE_PREFIXES = {SIGILL: "ILL_", SIGFPE: "FPE_", SIGSEGV: "SEGV_", SIGBUS: "BUS_", SIGTRAP: "TRAP_", SIGCHLD: "CLD_"}


def show_siginfo(info):
    """`SIGCHLD {si_signo=SIGCHLD, si_code=CLD_EXITED, ...}`, as strace shows a signal."""
    signo, code = siginfo.signo_code(info)
    name = signal_name(signo)
    pid, uid = siginfo.sender(info)
    rest = ""
    prefix = _CODE_PREFIXES.get(signo)
    if code in _CODES:
        code_name = _CODES[code]
        rest = "" if code in (siginfo.SI_KERNEL, siginfo.SI_TIMER) else f", si_pid={pid}, si_uid={uid}"
    elif prefix:
        code_name = Enum(prefix, "siginfo").format(code)
        rest = f", si_addr={int.from_bytes(info[16:24], 'little'):#x}"
        if signo == SIGCHLD:
            status = int.from_bytes(info[24:28], "little")
            shown = status if code == siginfo.CLD_EXITED else signal_name(status)
            rest = f", si_pid={pid}, si_uid={uid}, si_status={shown}"
    else:
        code_name = str(code)
    return f"{name} {{si_signo={name}, si_code={code_name}{rest}}}"


_SaFlags = Flags("SA_", "signal")
Action = Struct(SIGACTION.size, show_action)
ActionOut = Struct(SIGACTION.size, show_action, out=True)
How = Enum(("SIG_BLOCK", "SIG_UNBLOCK", "SIG_SETMASK"), "signal")


def _check_set(size):
    if size != SIGSET_SIZE:
        raise Errno(EINVAL)


async def read_set(task, address, size):
    """A sigset_t from the guest, without SIGKILL and SIGSTOP."""
    _check_set(size)
    return int.from_bytes(await task.mem.read(address, SIGSET_SIZE), "little") & ~UNBLOCKABLE


@syscall(13)
async def rt_sigaction(task, signum: Signal, act: Action, oldact: ActionOut, sigsetsize: Size):
    _check_set(sigsetsize)
    if not 1 <= signum <= NSIG or act and signum in (SIGKILL, SIGSTOP):
        raise Errno(EINVAL)
    group = task.group
    old = group.actions.get(signum)
    if act:
        handler, flags, restorer, mask = SIGACTION.unpack(await task.mem.read(act, SIGACTION.size))
        group.actions.table[signum] = (handler, flags & ~SA_UNSUPPORTED, restorer, mask & ~UNBLOCKABLE)
        if group.actions.ignored(signum):       # POSIX: pending ones are discarded, blocked or not
            for pending in (group.pending, *(t.pending for t in group.threads)):
                pending.discard(bit(signum))
    if oldact:
        await task.mem.write(oldact, SIGACTION.pack(*old))
    return 0


@syscall(14)
async def rt_sigprocmask(task, how: How, set: SigSet, oldset: SigSetOut, sigsetsize: Size):
    _check_set(sigsetsize)
    old = task.blocked
    if set:
        new = await read_set(task, set, sigsetsize)
        if how == SIG_BLOCK:
            task.kernel.set_blocked(task, old | new)
        elif how == SIG_UNBLOCK:
            task.kernel.set_blocked(task, old & ~new)
        elif how == SIG_SETMASK:
            task.kernel.set_blocked(task, new)
        else:
            raise Errno(EINVAL)
    if oldset:
        await task.mem.write(oldset, old.to_bytes(8, "little"))
    return 0


@syscall(127)
async def rt_sigpending(task, set: SigSetOut, sigsetsize: Size):
    if sigsetsize > SIGSET_SIZE:
        raise Errno(EINVAL)
    mask = (task.pending.mask | task.group.pending.mask) & task.blocked
    await task.mem.write(set, mask.to_bytes(8, "little")[:sigsetsize])
    return 0


@syscall(130, restart=False)
async def rt_sigsuspend(task, mask: SigSet, sigsetsize: Size):
    task.set_temporary_mask(await read_set(task, mask, sigsetsize))
    await _for_ever()


@syscall(34, restart=False)
async def pause(task):
    await _for_ever()


async def _for_ever():
    while True:
        await Wait()


@syscall(128, restart=False)
async def rt_sigtimedwait(task, set: SigSet, info: Ptr, timeout: Timespec, sigsetsize: Size):
    wanted = await read_set(task, set, sigsetsize)
    deadline = None
    if timeout:
        seconds, nanoseconds = TIMESPEC.unpack(await task.mem.read(timeout, 16))
        if not 0 <= nanoseconds < SECOND or seconds < 0:
            raise Errno(EINVAL)
        deadline = task.kernel.clock.monotonic() + seconds * SECOND + nanoseconds
    task.sigwait = wanted
    try:
        signo = await _wait_signal(task, wanted, deadline)
    finally:
        task.sigwait = 0
    data = signals.take(task, signo)
    if info:
        await task.mem.write(info, data)
    return signo


async def _wait_signal(task, wanted, deadline):
    clock = task.kernel.clock
    while True:
        found = (task.pending.mask | task.group.pending.mask) & wanted
        if found:
            return (found & -found).bit_length()
        if deadline is not None and clock.monotonic() >= deadline:
            raise Errno(EAGAIN)
        wait = task.group.signal_queue.wait()
        timer = None if deadline is None else clock.call_at(deadline, wait.wake)
        try:
            await wait
        finally:
            if timer is not None:
                timer.cancel()


@syscall(15)
async def rt_sigreturn(task):
    await signals.leave_handler(task)
    task.attention = True
    return KEEP_REGISTERS


@syscall(131)
async def sigaltstack(task, ss: Ptr, old_ss: Ptr):
    sp = task.mem.space.get(RSP)
    old = task.altstack[0], signals.altstack_flags(task, sp), task.altstack[2]
    if ss:
        base, flags, size = STACK.unpack(await task.mem.read(ss, STACK.size))
        flags &= 0xFFFFFFFF
        if signals.on_altstack(task, sp):
            raise Errno(EPERM)
        if flags & ~SS_AUTODISARM not in (0, SS_ONSTACK, SS_DISABLE):
            raise Errno(EINVAL)
        if flags & SS_DISABLE:
            task.altstack = (0, flags & SS_AUTODISARM, 0)
        elif size < MINSIGSTKSZ:
            raise Errno(ENOMEM)
        else:
            task.altstack = (base, flags & SS_AUTODISARM, size)
    if old_ss:
        flags = old[1] - (1 << 32) if old[1] >> 31 else old[1]
        await task.mem.write(old_ss, STACK.pack(old[0], flags, old[2]))
    return 0


# -- sending --------------------------------------------------------------------------------------------------------------

def _user_info(task, signo, code=siginfo.SI_USER):
    return siginfo.kill(signo, code, task.pid, task.cred.uid)


@syscall(62)
def kill(task, pid: Pid, sig: Signal):
    kernel = task.kernel
    if not 0 <= sig <= NSIG:
        raise Errno(EINVAL)
    if pid > 0:
        group = kernel.groups.get(pid) or (kernel.tasks[pid].group if pid in kernel.tasks else None)
        if pid == 1:
            raise Errno(EPERM)
        if group is None:
            raise Errno(ESRCH)
        check_may_signal(task, group, sig)
        signals.send(kernel, group, sig, _user_info(task, sig))
        return 0
    if pid == -1:
        targets = [g for g in kernel.groups.values() if g is not task.group]
    else:
        pgrp = -pid or task.group.pgrp
        targets = [g for g in kernel.groups.values() if g.pgrp == pgrp]
    if not targets:
        raise Errno(ESRCH)
    error, sent = None, False
    for group in targets:
        try:
            check_may_signal(task, group, sig)
        except Errno as refused:
            error = refused
            continue
        signals.send(kernel, group, sig, _user_info(task, sig))
        sent = True
    if error is not None and not sent and pid != -1:
        raise error
    return 0


def _thread(task, tgid, tid, sig):
    target = task.kernel.tasks.get(tid)
    if not 0 <= sig <= NSIG or tid <= 0 or tgid is not None and tgid <= 0:
        raise Errno(EINVAL)
    if target is None or tgid is not None and target.group.pid != tgid:
        raise Errno(ESRCH)
    check_may_signal(task, target.group, sig)
    return target


@syscall(234)
def tgkill(task, tgid: Pid, tid: Pid, sig: Signal):
    target = _thread(task, tgid, tid, sig)
    signals.send(task.kernel, target.group, sig, _user_info(task, sig, siginfo.SI_TKILL), target)
    return 0


@syscall(200)
def tkill(task, tid: Pid, sig: Signal):
    target = _thread(task, None, tid, sig)
    signals.send(task.kernel, target.group, sig, _user_info(task, sig, siginfo.SI_TKILL), target)
    return 0


async def _queued_info(task, target_pid, sig, info):
    data = bytearray(await task.mem.read(info, siginfo.SIZE))
    _, code = siginfo.signo_code(data)
    if (code >= 0 or code == siginfo.SI_TKILL) and target_pid != task.pid:
        raise Errno(EPERM)
    data[:4] = sig.to_bytes(4, "little", signed=True)
    return bytes(data)


@syscall(129)
async def rt_sigqueueinfo(task, pid: Pid, sig: Signal, info: Ptr):
    data = await _queued_info(task, pid, sig, info)
    group = task.kernel.groups.get(pid)
    if not 0 <= sig <= NSIG:
        raise Errno(EINVAL)
    if group is None:
        raise Errno(ESRCH)
    check_may_signal(task, group, sig)
    signals.send(task.kernel, group, sig, data)
    return 0


@syscall(297)
async def rt_tgsigqueueinfo(task, tgid: Pid, tid: Pid, sig: Signal, info: Ptr):
    data = await _queued_info(task, tgid, sig, info)
    target = _thread(task, tgid, tid, sig)
    signals.send(task.kernel, target.group, sig, data, target)
    return 0

