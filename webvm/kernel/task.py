"""Tasks, thread groups and sessions: what belongs to a process, and what its threads share.

Knows what a process is made of; how it is run is scheduler.py, how it begins and ends is life.py, signals are signals.py.
"""

from webvm.fs.wait import Wait, WaitQueue
from webvm.kernel.signals import Actions, Pending
from webvm.linux import resource
from webvm.linux.resource import RLIM_INFINITY
from webvm.linux.signal import SIGCHLD


class Cred:
    """User and group ids; copied on change, so that a reference is a snapshot."""

    __slots__ = ("uid", "gid", "euid", "egid", "suid", "sgid", "fsuid", "fsgid", "groups")

    def __init__(self, uid=0, gid=0, groups=()):
        self.uid = self.euid = self.suid = self.fsuid = uid
        self.gid = self.egid = self.sgid = self.fsgid = gid
        self.groups = tuple(groups)

    def copy(self, **changes):
        new = Cred.__new__(Cred)
        for name in Cred.__slots__:
            setattr(new, name, changes.get(name, getattr(self, name)))
        return new

    @property
    def privileged(self):
        """Root, which here has every capability."""
        return self.euid == 0

    def in_group(self, gid):
        return gid == self.fsgid or gid in self.groups


class Session:
    """A session: its id is the pid of the leader; `tty` its controlling terminal, or None."""

    def __init__(self, id):
        self.id = id
        self.tty = None


class Times:
    """CPU time in nanoseconds, and page faults, of a process or of its dead children."""

    __slots__ = ("user", "system", "faults", "switches")

    def __init__(self):
        self.user = self.system = self.faults = self.switches = 0

    def add(self, other):
        for name in Times.__slots__:
            setattr(self, name, getattr(self, name) + getattr(other, name))


class KillableWait(Wait):
    """A wait that only a fatal signal ends (a parent in vfork)."""

    __slots__ = ()


def default_rlimits():
    limits = [(RLIM_INFINITY, RLIM_INFINITY)] * resource.RLIM_NLIMITS
    limits[resource.RLIMIT_STACK] = (8 << 20, RLIM_INFINITY)
    limits[resource.RLIMIT_CORE] = (0, RLIM_INFINITY)
    limits[resource.RLIMIT_NOFILE] = (1024, 1048576)
    limits[resource.RLIMIT_MEMLOCK] = (8 << 20, 8 << 20)
    limits[resource.RLIMIT_NPROC] = (4096, 4096)
    limits[resource.RLIMIT_SIGPENDING] = (4096, 4096)
    limits[resource.RLIMIT_MSGQUEUE] = (819200, 819200)
    limits[resource.RLIMIT_NICE] = limits[resource.RLIMIT_RTPRIO] = (0, 0)
    return limits


class Group:
    """A process: the threads that share a pid."""

    def __init__(self, kernel, pid, parent, session, pgrp):
        self.kernel, self.pid, self.parent, self.session, self.pgrp = kernel, pid, parent, session, pgrp
        self.threads = []
        self.children = []              # groups, the dead ones too until somebody waits for them
        self.actions = Actions()
        self.pending = Pending()
        self.rlimits = default_rlimits()
        self.exit_signal = SIGCHLD
        self.exiting = None             # wait status once the process is to end
        self.status = None              # wait status once all threads are gone (a zombie)
        self.stopped = 0                # the signal that stopped it, 0 while it runs
        self.stop_reported = True       # whether wait has seen the last stop,
        self.continued = False          # and a continue it has not seen
        self.child_wait = WaitQueue()   # woken when a child changes state
        self.gone = WaitQueue()         # woken at exit, for the host and pidfds
        self.signal_queue = WaitQueue() # woken when a signal becomes pending: rt_sigtimedwait, signalfd
        self.subreaper = False
        self.executed = False           # has called execve (setpgid then refuses)
        self.dumpable = 1
        self.nice = 0
        self.times, self.child_times = Times(), Times()
        self.started = kernel.clock.monotonic()
        self.real_timer = None          # of setitimer(ITIMER_REAL): (handle, deadline, interval)
        self.cpu_timers = {}            # ITIMER_VIRTUAL and ITIMER_PROF: which -> [CPU time when due, interval]
        self.posix_timers = {}
        self.tty_old_pgrp = 0
        self.oom_score_adj = 0

    @property
    def ppid(self):
        return self.parent.pid if self.parent is not None else 0

    @property
    def leader(self):
        """The task a process is known by: the first thread still there."""
        return self.threads[0] if self.threads else None

    @property
    def tty(self):
        return self.session.tty

    @tty.setter
    def tty(self, tty):
        self.session.tty = tty

    def limit(self, which):
        """The soft limit of resource WHICH."""
        return self.rlimits[which][0]


class Task:
    """A thread. `attention` is set when something must be done before it runs guest code again."""

    def __init__(self, kernel, tid, group, mem, files, fs, cred):
        self.kernel, self.tid, self.group, self.mem, self.files, self.fs, self.cred = kernel, tid, group, mem, files, fs, cred
        self.name = b""                 # comm, at most 15 bytes
        self.blocked = 0                # signal mask
        self.restore_mask = None        # the mask to go back to after rt_sigsuspend, ppoll, ...
        self.pending = Pending()
        self.altstack = (0, 2, 0)       # ss_sp ss_flags ss_size
        self.attention = False
        self.context = None             # registers while another task's are in the space
        self.coroutine = None           # what it waits in,
        self.waiting = None             # on what,
        self.waits_in = ()              # in which call: number, arguments, rsp, rip; () for a page fault
        self.call = None                # and the Syscall, or None for a page fault
        self.interrupted = None         # the Syscall a handler has just interrupted
        self.trace = None
        self.queued = False
        self.dead = False
        self.clear_child_tid = 0
        self.robust_list = 0
        self.vfork_done = None          # KillableWait of the parent
        self.pdeathsig = 0
        self.no_new_privs = False
        self.keepcaps = False
        self.sigwait = 0                # signals rt_sigtimedwait looks for
        self.cpu_time = 0
        self.timer_slack = 50000
        self.access = 0                 # that the page fault in progress asks for: cpu.R, W, X
        self.trap_number = self.trap_error = self.cr2 = 0   # of the last exception, which signal contexts show

    @property
    def pid(self):
        return self.group.pid

    @property
    def state(self):
        """The letter of /proc/PID/stat."""
        if self.dead:
            return "Z"
        if self.group.stopped:
            return "T"
        if self.coroutine is None or self.queued or self.kernel.current is self:
            return "R"
        return "S" if isinstance(self.waiting, Wait) else "D"

    def set_temporary_mask(self, mask):
        """Block MASK until the system call returns; a handler that interrupts it sees the old mask restored afterwards."""
        self.restore_mask = self.blocked
        self.kernel.set_blocked(self, mask)
        self.attention = True
