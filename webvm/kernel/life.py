"""How tasks begin and end: fork, exec, exit, zombies, orphans, stopping and continuing.

Knows tasks and groups; knows no numbers of system calls (sys_process.py) and not how a task is run (scheduler.py).
"""

from webvm.kernel import exec, signals
from webvm.kernel.task import Group, Session, Task
from webvm.linux import sched, siginfo, wait
from webvm.linux.errno import EAGAIN, EINVAL, ENOMEM, Errno
from webvm.linux.resource import RLIMIT_NPROC
from webvm.linux.signal import SA_NOCLDSTOP, SA_NOCLDWAIT, SIG_DFL, SIG_IGN, SIGCHLD, SIGCONT, SIGHUP
from webvm.linux.time import SECOND, USER_HZ

TICK = SECOND // USER_HZ


# -- beginning ------------------------------------------------------------------------------------------------------------

def clone(task, flags, stack=0, tls=0, exit_signal=SIGCHLD):
    """A new task like TASK, not yet running; shares what the CLONE_* FLAGS say."""
    kernel = task.kernel
    group = task.group
    for flag, needed in ((sched.CLONE_SIGHAND, sched.CLONE_VM), (sched.CLONE_THREAD, sched.CLONE_SIGHAND)):
        if flags & flag and not flags & needed:
            raise Errno(EINVAL)
    if flags & sched.CLONE_FS and flags & sched.CLONE_NEWNS:
        raise Errno(EINVAL)
    if len(kernel.tasks) >= group.limit(RLIMIT_NPROC):
        raise Errno(EAGAIN)
    space = task.mem.space
    if flags & sched.CLONE_VM:
        mem = task.mem
        mem.users += 1
    else:
        try:
            new_space = kernel.new_space()
        except MemoryError:
            raise Errno(EAGAIN) from None
        try:
            mem = task.mem.fork(new_space)
        except MemoryError:
            new_space.release()
            raise Errno(ENOMEM) from None
    files = task.files.share() if flags & sched.CLONE_FILES else task.files.copy()
    fs = task.fs if flags & sched.CLONE_FS else task.fs.copy()
    tid = kernel.new_pid()
    if flags & sched.CLONE_THREAD:
        child_group = group
    else:
        parent = group.parent if flags & sched.CLONE_PARENT else group
        child_group = Group(kernel, tid, parent, group.session, group.pgrp)
        child_group.exit_signal = group.exit_signal if flags & sched.CLONE_PARENT else exit_signal
        child_group.actions = group.actions if flags & sched.CLONE_SIGHAND else group.actions.copy()
        if flags & sched.CLONE_CLEAR_SIGHAND:
            child_group.actions.reset_handlers()
        child_group.rlimits = list(group.rlimits)
        child_group.nice, child_group.dumpable, child_group.oom_score_adj = group.nice, group.dumpable, group.oom_score_adj
        parent.children.append(child_group)
        kernel.groups[tid] = child_group
    child = Task(kernel, tid, child_group, mem, files, fs, task.cred)
    child.name, child.blocked = task.name, task.blocked
    child.no_new_privs, child.timer_slack = task.no_new_privs, task.timer_slack
    if not flags & sched.CLONE_VM or flags & sched.CLONE_VFORK:
        child.altstack = task.altstack
    child_group.threads.append(child)
    kernel.tasks[tid] = child
    # The child's registers are the parent's, but for what is said here.
    child.context = kernel.derive_context(space, stack, tls if flags & sched.CLONE_SETTLS else None)
    return child


async def replace_program(task, file, path, argv, envp):
    """execve once the program is open: the process runs it when this returns; Errno leaves the old one running."""
    kernel, group = task.kernel, task.group
    program = await exec.prepare(task, file, path, argv, envp)
    for other in list(group.threads):
        if other is not task:
            kernel.scheduler.abandon(other)
            _leave(other)
    if task.tid != group.pid:                       # the thread becomes the process
        del kernel.tasks[task.tid]
        task.tid = group.pid
        kernel.tasks[task.tid] = task
    old = task.mem
    _clear_tid(task)
    exec.commit(task, program)
    kernel.put_away(old)
    _vfork_finished(task)
    if task.files.refs > 1:
        shared, task.files = task.files, task.files.copy()
        shared.release()
    task.files.close_on_exec()
    group.actions = group.actions.copy()
    group.actions.reset_handlers()
    group.executed, group.dumpable = True, 1
    group.posix_timers.clear()
    task.altstack = (0, 2, 0)
    task.clear_child_tid = task.robust_list = 0
    task.pdeathsig = 0 if task.cred.euid != task.cred.uid else task.pdeathsig


# -- ending ---------------------------------------------------------------------------------------------------------------

def exit_task(task, status):
    """TASK ends; STATUS (as wait sees it) counts if it is the last thread of its process."""
    group = task.group
    _leave(task)
    if not group.threads:
        _exit_group(group, group.exiting if group.exiting is not None else status)


def end_group(group, status):
    """The process is to end with STATUS: every thread ends before it runs again (those that wait for I/O: after it)."""
    kernel = group.kernel
    if group.exiting is None:
        group.exiting = status
    group.stopped = 0
    for task in list(group.threads):
        task.attention = True
        kernel.scheduler.kill(task)


def _leave(task):
    """What a task takes with it, whatever becomes of its process."""
    kernel, group = task.kernel, task.group
    task.dead = True
    task.coroutine = task.waiting = None
    kernel.futexes.leave(task)
    _clear_tid(task)
    _vfork_finished(task)
    task.files.release()
    kernel.put_away(task.mem)
    group.threads.remove(task)
    kernel.tasks.pop(task.tid, None)


def _clear_tid(task):
    if task.clear_child_tid and task.mem.users > 1:
        task.mem.poke(task.clear_child_tid, bytes(4))
        task.kernel.futexes.wake(task.mem, task.clear_child_tid, 1)
    task.clear_child_tid = 0


def _vfork_finished(task):
    if task.vfork_done is not None:
        task.vfork_done.wake()
        task.vfork_done = None


def _exit_group(group, status):
    """The last thread is gone: become a zombie, give the children away, tell the parent."""
    kernel = group.kernel
    group.status = status
    kernel.cancel_timers(group)
    if group.session.id == group.pid:
        _end_session(group)
    heir = _reaper(group)
    moved, group.children = group.children, []
    for child in moved:
        child.parent = heir
        heir.children.append(child)
        for thread in list(child.threads):
            signals.send(kernel, child, thread.pdeathsig, task=thread)
        if child.status is not None:
            _tell_parent(child)
        elif child.pgrp != group.pgrp and child.session is group.session:
            _check_orphaned(kernel, child.pgrp, child.session)
    group.gone.wake()
    parent = group.parent
    if parent.pgrp != group.pgrp and parent.session is group.session:
        _check_orphaned(kernel, group.pgrp, group.session)
    _tell_parent(group)


def _reaper(group):
    """Who adopts: the nearest subreaper above, or init."""
    above = group.parent
    while above is not None and above is not group.kernel.init:
        if above.subreaper and above.status is None and above.threads:
            return above
        above = above.parent
    return group.kernel.init


def _tell_parent(group):
    """SIGCHLD and a wake-up, or no zombie at all if the parent wants none."""
    kernel, parent = group.kernel, group.parent
    if parent is kernel.init:
        reap(group)
        return
    action = parent.actions.get(SIGCHLD)
    unwanted = group.exit_signal == SIGCHLD and (action[0] == SIG_IGN or action[1] & SA_NOCLDWAIT)
    if group.exit_signal and not (unwanted and action[0] == SIG_IGN):
        signals.send(kernel, parent, group.exit_signal, child_info(group, *exit_code(group.status)))
    if unwanted:
        reap(group)
    parent.child_wait.wake()


def exit_code(status):
    """(si_code, si_status) of a wait status of a process that ended."""
    if status & 0x7F:
        return (siginfo.CLD_DUMPED if status & wait.WCOREFLAG else siginfo.CLD_KILLED), status & 0x7F
    return siginfo.CLD_EXITED, status >> 8 & 0xFF


def child_info(group, code, status):
    leader = group.leader
    uid = leader.cred.uid if leader is not None else 0
    return siginfo.child(code, group.pid, uid, status, group.times.user // TICK, group.times.system // TICK)


def reap(group):
    """Somebody waited for it: nothing remains but what its parent counts."""
    parent = group.parent
    parent.child_times.add(group.times)
    parent.child_times.add(group.child_times)
    parent.children.remove(group)
    group.kernel.groups.pop(group.pid, None)


# -- process groups and sessions --------------------------------------------------------------------------------------------

def orphaned(kernel, pgrp, session):
    """No member has a parent in another group of the same session (POSIX 3.264): job control cannot reach it."""
    for group in kernel.groups.values():
        if group.pgrp == pgrp and group.status is None:
            parent = group.parent
            if parent is not kernel.init and parent.session is session and parent.pgrp != pgrp and parent.status is None:
                return False
    return True


def _check_orphaned(kernel, pgrp, session):
    """A link that kept PGRP from being orphaned is gone: stopped members that nobody could continue are hung up."""
    members = kernel.members(pgrp)
    if any(g.stopped for g in members) and orphaned(kernel, pgrp, session):
        for group in members:
            signals.send(kernel, group, SIGHUP)
            signals.send(kernel, group, SIGCONT)


def _end_session(group):
    """The session leader is gone: the foreground hears SIGHUP, the terminal is nobody's."""
    kernel, session = group.kernel, group.session
    tty, session.tty = session.tty, None
    if tty is not None:
        foreground = kernel.release_tty(tty, session)
        for member in [g for g in kernel.groups.values() if foreground and g.pgrp == foreground and g is not group]:
            signals.send(kernel, member, SIGHUP)
            signals.send(kernel, member, SIGCONT)


def new_session(task):
    """setsid, permission checked: the caller leads a session and a process group of its own, without a terminal."""
    group = task.group
    group.session = Session(group.pid)
    group.pgrp = group.pid


# -- stopping -------------------------------------------------------------------------------------------------------------

def stop_group(group, signo):
    """Default action of a stop signal."""
    group.stopped, group.stop_reported, group.continued = signo, False, False
    _tell_state(group, siginfo.CLD_STOPPED, signo)


def continue_group(group):
    """SIGCONT was sent."""
    if group.stopped:
        group.stopped, group.continued = 0, True
        for task in group.threads:
            group.kernel.scheduler.ready(task)
        _tell_state(group, siginfo.CLD_CONTINUED, SIGCONT)


def _tell_state(group, code, signo):
    kernel, parent = group.kernel, group.parent
    kernel.state_changed(group)
    if parent is kernel.init:
        return
    handler, flags, _, _ = parent.actions.get(SIGCHLD)
    if not flags & SA_NOCLDSTOP and handler not in (SIG_DFL, SIG_IGN):
        signals.send(kernel, parent, SIGCHLD, child_info(group, code, signo))
    parent.child_wait.wake()


