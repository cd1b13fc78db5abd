"""System calls of processes: fork, clone, execve, exit, wait, pids, process groups and sessions.

Knows registers and structures; what beginning and ending mean is life.py.
"""

from webvm.fs.vfs import File
from webvm.kernel import exec, life, signals
from webvm.kernel.syscall import (
    KEEP_REGISTERS, Environment, Fd, Flags, Int, Path, Pid, Ptr, Size, Strings, Struct, UInt, signal_name, syscall,
)  # fmt: skip
from webvm.kernel.task import KillableWait
from webvm.linux import resource, sched, siginfo, wait
from webvm.linux.errno import (
    E2BIG, EACCES, EBADF, ECHILD, EINVAL, EPERM, ESRCH, Errno,
)  # fmt: skip
from webvm.linux.fcntl import O_NONBLOCK
from webvm.linux.poll import POLLIN
from webvm.linux.sched import (
    CLONE_CHILD_CLEARTID, CLONE_CHILD_SETTID, CLONE_INTO_CGROUP, CLONE_PARENT_SETTID, CLONE_PIDFD, CLONE_THREAD, CLONE_VFORK,
    CLONE_VM, CSIGNAL,
)  # fmt: skip
from webvm.linux.signal import NSIG, SIGCHLD
from webvm.linux.wait import P_ALL, P_PGID, P_PID, P_PIDFD, WCONTINUED, WEXITED, WNOHANG, WNOWAIT, WSTOPPED, WUNTRACED

class _CloneFlags(Flags):
    """The low byte is the signal the parent gets."""

    expr = "{0}"

    def format(self, value):
        shown = [super().format(value & ~CSIGNAL)] if value & ~CSIGNAL else []
        return "|".join(shown + [signal_name(value & CSIGNAL)] * bool(value & CSIGNAL)) or "0"


CloneFlags = _CloneFlags("CLONE_", "sched")
WaitFlags = Flags("W", "wait")
NAMESPACES = sum(getattr(sched, name) for name in (
    "CLONE_NEWNS", "CLONE_NEWCGROUP", "CLONE_NEWUTS", "CLONE_NEWIPC", "CLONE_NEWUSER", "CLONE_NEWPID", "CLONE_NEWNET"))


# -- fork -----------------------------------------------------------------------------------------------------------------

@syscall(57)
async def fork(task):
    return await _clone(task, 0, SIGCHLD)


@syscall(58)
async def vfork(task):
    return await _clone(task, CLONE_VM | CLONE_VFORK, SIGCHLD)


@syscall(56, note="no namespaces")
async def clone(task, flags: CloneFlags, stack: Ptr, parent_tid: Ptr, child_tid: Ptr, tls: Ptr):
    return await _clone(task, flags & ~CSIGNAL, flags & CSIGNAL, stack, parent_tid, child_tid, tls, pidfd=parent_tid)


@syscall(435, note="no namespaces, no cgroup, no set_tid")
async def clone3(task, args: Ptr, size: Size):
    if size < sched.CLONE_ARGS.size:
        raise Errno(EINVAL)
    data = await task.mem.read(args, min(size, 4096))
    if any(data[88:]):
        raise Errno(E2BIG)
    flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls = sched.CLONE_ARGS.unpack_from(data)
    if flags & (CSIGNAL | CLONE_INTO_CGROUP) or exit_signal > NSIG or any(data[64:80]) or bool(stack) != bool(stack_size):
        raise Errno(EINVAL)
    return await _clone(task, flags, exit_signal, stack + stack_size, parent_tid, child_tid, tls, pidfd)


async def _clone(task, flags, exit_signal, stack=0, parent_tid=0, child_tid=0, tls=0, pidfd=0):
    if flags & NAMESPACES:
        raise Errno(EPERM if not task.cred.privileged else EINVAL)
    if flags & CLONE_PIDFD and flags & CLONE_THREAD:
        raise Errno(EINVAL)
    for wanted, address in ((CLONE_PARENT_SETTID, parent_tid), (CLONE_PIDFD, pidfd)):
        if flags & wanted:
            await task.mem.write(address, bytes(4))
    child = life.clone(task, flags, stack, tls, exit_signal)
    task.kernel.forks += 1
    tid = child.tid.to_bytes(4, "little")
    if flags & CLONE_PARENT_SETTID:
        await task.mem.write(parent_tid, tid)
    if flags & CLONE_CHILD_SETTID:
        await child.mem.write(child_tid, tid)
    if flags & CLONE_CHILD_CLEARTID:
        child.clear_child_tid = child_tid
    if flags & CLONE_PIDFD:
        fd = task.files.install(PidFile(child.group, 0), cloexec=True)
        await task.mem.write(pidfd, fd.to_bytes(4, "little"))
    number = child.tid
    if flags & CLONE_VFORK:
        child.vfork_done = done = KillableWait()
        task.kernel.scheduler.ready(child)
        await done
    else:
        task.kernel.scheduler.ready(child)
    return number


class PidFile(File):
    """pidfd: readable once the process has ended."""

    def __init__(self, group, flags):
        super().__init__(None, flags)
        self.group = group

    def poll(self):
        return POLLIN if self.group.status is not None else 0

    def poll_queues(self):
        return (self.group.gone,)

    def name(self):
        return b"anon_inode:[pidfd]"


def _group_of_pidfd(task, fd):
    file = task.files.get(fd)
    if not isinstance(file, PidFile):
        raise Errno(EBADF)
    return file.group


@syscall(434)
def pidfd_open(task, pid: Pid, flags: UInt):
    if flags & ~O_NONBLOCK or pid <= 0:
        raise Errno(EINVAL)
    group = task.kernel.groups.get(pid)
    if group is None:
        raise Errno(EINVAL if pid in task.kernel.tasks else ESRCH)
    return task.files.install(PidFile(group, flags), cloexec=True)


@syscall(424)
async def pidfd_send_signal(task, pidfd: Fd, sig: Int, info: Ptr, flags: UInt):
    group = _group_of_pidfd(task, pidfd)
    if not 0 <= sig <= NSIG or flags:
        raise Errno(EINVAL)
    if group.status is not None:
        raise Errno(ESRCH)
    check_may_signal(task, group, sig)
    data = await task.mem.read(info, siginfo.SIZE) if info else siginfo.kill(sig, siginfo.SI_USER, task.pid, task.cred.uid)
    signals.send(task.kernel, group, sig, data)
    return 0


def check_may_signal(task, group, signo):
    """kill(2): the same user, root, or SIGCONT within the session; EPERM."""
    cred, leader = task.cred, group.leader
    if leader is None or cred.euid == 0 or signo == 18 and group.session is task.group.session:
        return
    if not {cred.euid, cred.uid} & {leader.cred.suid, leader.cred.uid}:
        raise Errno(EPERM)


# -- execve ---------------------------------------------------------------------------------------------------------------

@syscall(59)
async def execve(task, path: Path, argv: Strings, envp: Environment):
    return await _execve(task, await task.mem.cstring(path), argv, envp)


@syscall(322)
async def execveat(task, dirfd: Fd, path: Path, argv: Strings, envp: Environment, flags: Flags("AT_", "fcntl")):
    name = await task.mem.cstring(path)
    return await _execve(task, name, argv, envp, dirfd, flags)


async def _execve(task, name, argv, envp, dirfd=-100, flags=0):
    arguments = await exec.read_strings(task, argv)
    environment = await exec.read_strings(task, envp)
    file = await exec.open_program(task, name, dirfd, flags)
    if dirfd != -100 and not name.startswith(b"/"):
        name = b"/dev/fd/%d" % dirfd + (b"/" + name if name else b"")
    await life.replace_program(task, file, name, arguments or [b""], environment)
    return KEEP_REGISTERS


# -- exit and wait ----------------------------------------------------------------------------------------------------------

@syscall(60, "exit")
def exit_(task, code: Int):
    life.exit_task(task, wait.exited(code))
    return KEEP_REGISTERS


@syscall(231)
def exit_group(task, code: Int):
    life.end_group(task.group, wait.exited(code))
    return KEEP_REGISTERS


def _matches(task, child, kind, id):
    return (kind == P_ALL or kind == P_PID and child.pid == id or kind == P_PGID and child.pgrp == id
            or kind == P_PIDFD and child is id)


async def _wait(task, kind, id, options):
    """(child, si_code, si_status, word) of a child that changed state; None with WNOHANG when there is none yet."""
    group = task.group
    while True:
        candidates = [c for c in group.children if _matches(task, c, kind, id)]
        if not candidates:
            raise Errno(ECHILD)
        for child in candidates:
            if child.status is not None and options & WEXITED:
                code, number = life.exit_code(child.status)
                return child, code, number, child.status
            if child.stopped and not child.stop_reported and options & WSTOPPED:
                return child, siginfo.CLD_STOPPED, child.stopped, wait.stopped(child.stopped)
            if child.continued and options & WCONTINUED:
                return child, siginfo.CLD_CONTINUED, 18, wait.CONTINUED
        if options & WNOHANG:
            return None
        await group.child_wait.wait()


def _waited(child, options):
    """The state was reported: it is not reported again."""
    if options & WNOWAIT:
        return
    if child.status is not None:
        life.reap(child)
    elif child.stopped and not child.stop_reported:
        child.stop_reported = True
    else:
        child.continued = False


def _rusage_of_dead(child):
    times = [child.times.user + child.child_times.user, child.times.system + child.child_times.system]
    user, system = (divmod(t // 1000, 1_000_000) for t in times)
    return resource.RUSAGE.pack(*user, *system, *[0] * 14)


def show_status(data):
    """A wait status as strace shows it."""
    word = int.from_bytes(data, "little")
    if word == wait.CONTINUED:
        return "[{WIFCONTINUED(s)}]"
    if word & 0xFF == 0x7F:
        return f"[{{WIFSTOPPED(s) && WSTOPSIG(s) == {signal_name(word >> 8 & 0xFF)}}}]"
    if word & 0x7F:
        return f"[{{WIFSIGNALED(s) && WTERMSIG(s) == {signal_name(word & 0x7F)}}}]"
    return f"[{{WIFEXITED(s) && WEXITSTATUS(s) == {word >> 8 & 0xFF}}}]"


class _WaitStatus(Struct):
    def show(self, mem, value, values, names, result):
        return super().show(mem, value, values, names, result or None)


WaitStatus = _WaitStatus(4, show_status, out=True)


@syscall(61)
async def wait4(task, pid: Pid, status: WaitStatus, options: WaitFlags, rusage: Ptr):
    if options & ~(WNOHANG | WUNTRACED | WCONTINUED | 0xE0000000):
        raise Errno(EINVAL)
    if pid == -1:
        kind, id = P_ALL, 0
    elif pid > 0:
        kind, id = P_PID, pid
    else:
        if pid == -1 << 31:
            raise Errno(ESRCH)
        kind, id = P_PGID, -pid or task.group.pgrp
    found = await _wait(task, kind, id, options | WEXITED)
    if found is None:
        return 0
    child, _, _, word = found
    number, usage = child.pid, _rusage_of_dead(child) if rusage else b""
    _waited(child, options)
    if status:
        await task.mem.write(status, word.to_bytes(4, "little"))
    if rusage:
        await task.mem.write(rusage, usage)
    return number


@syscall(247)
async def waitid(task, which: Int, id: Pid, info: Ptr, options: WaitFlags, rusage: Ptr):
    if options & ~(WNOHANG | WNOWAIT | WEXITED | WSTOPPED | WCONTINUED | 0xE0000000):
        raise Errno(EINVAL)
    if not options & (WEXITED | WSTOPPED | WCONTINUED) or which not in (P_ALL, P_PID, P_PGID, P_PIDFD):
        raise Errno(EINVAL)
    if which == P_PID and id <= 0 or which == P_PGID and id < 0:
        raise Errno(EINVAL)
    if which == P_PGID and id == 0:
        id = task.group.pgrp
    if which == P_PIDFD:
        id = _group_of_pidfd(task, id)
    found = await _wait(task, which, id, options)
    data = bytes(siginfo.SIZE)
    usage = b""
    if found is not None:
        child, code, number, _ = found
        data = life.child_info(child, code, number)
        usage = _rusage_of_dead(child)
        _waited(child, options)
    if info:
        await task.mem.write(info, data)
    if rusage and usage:
        await task.mem.write(rusage, usage)
    return 0


# -- pids -----------------------------------------------------------------------------------------------------------------

@syscall(39)
def getpid(task):
    return task.group.pid


@syscall(110)
def getppid(task):
    return task.group.ppid


@syscall(186)
def gettid(task):
    return task.tid


@syscall(218)
def set_tid_address(task, tidptr: Ptr):
    task.clear_child_tid = tidptr
    return task.tid


# -- process groups and sessions ----------------------------------------------------------------------------------------------

def _group(task, pid):
    if pid == 0:
        return task.group
    group = task.kernel.groups.get(pid)
    if group is None:
        raise Errno(ESRCH)
    return group


@syscall(121)
def getpgid(task, pid: Pid):
    return _group(task, pid).pgrp


@syscall(111)
def getpgrp(task):
    return task.group.pgrp


@syscall(124)
def getsid(task, pid: Pid):
    return _group(task, pid).session.id


@syscall(109)
def setpgid(task, pid: Pid, pgid: Pid):
    if pgid < 0:
        raise Errno(EINVAL)
    group = _group(task, pid)
    if group is not task.group:
        if group.parent is not task.group:
            raise Errno(ESRCH)
        if group.session is not task.group.session:
            raise Errno(EPERM)
        if group.executed:
            raise Errno(EACCES)
    if group.session.id == group.pid:
        raise Errno(EPERM)
    pgid = pgid or group.pid
    if pgid != group.pid and not any(g.session is group.session for g in task.kernel.groups.values() if g.pgrp == pgid):
        raise Errno(EPERM)
    group.pgrp = pgid
    return 0


@syscall(112)
def setsid(task):
    group = task.group
    if group.session.id == group.pid or any(g.pgrp == group.pid for g in task.kernel.groups.values()):
        raise Errno(EPERM)
    life.new_session(task)
    return group.pid


