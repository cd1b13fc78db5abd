"""The kernel put together: tables of tasks, and what the parts ask of the whole.

Knows every part of webvm.kernel, and outside it an engine (cpu.py), a mount tree and a clock, all passed in.
"""

import sys

from webvm.kernel import exec, life, signals
from webvm.kernel import (  # noqa: F401  (they register system calls)
    sys_cred, sys_event, sys_futex, sys_memory, sys_process, sys_resource, sys_signal, sys_system, sys_time,
)  # fmt: skip
from webvm.kernel.clock import Clock
from webvm.kernel.cpu import PAGE, RAX, RSP
from webvm.kernel.files import FileTable
from webvm.kernel.futex import Futexes
from webvm.kernel.pagecache import PageCache
from webvm.kernel.path import FsContext
from webvm.kernel.scheduler import Scheduler
from webvm.kernel.task import Cred, Group, Session, Task
from webvm.linux import unistd
from webvm.linux.resource import RLIMIT_NOFILE
from webvm.linux.signal import SIGKILL
from webvm.linux.wait import killed

PID_MAX = 32768
CROWDED = 64 << 20             # bytes that programs use together, from which on the engine keeps little for others to come


class Kernel:
    """`engine` gives address spaces, `mounts` is the file system (path.Mounts), `yield_` gives the event loop a turn.

    `log(text)` gets what a kernel log gets; `strace(task, text)`, when set, each system call.
    """

    def __init__(self, engine, mounts, clock=None, yield_=None, log=None, memory=1 << 30):
        self.engine, self.mounts = engine, mounts
        self.clock = clock or Clock()
        self.log = log or (lambda text: print(text, file=sys.stderr))
        self.log_faults = False
        self.strace = None
        self.memory = memory                    # bytes that sysinfo and meminfo say the machine has
        self.processor = exec.Processor()       # set by whoever composes the machine
        self.hostname, self.domainname = b"webvm", b"(none)"
        self.tasks, self.groups = {}, {}        # by tid; processes, zombies included, by pid
        self.last_pid = 1
        self.scheduler = Scheduler(self, yield_)
        self.futexes = Futexes()
        self.pages = PageCache()
        self.forks = 0
        self.booted = self.clock.monotonic()
        self.boot_time = self.clock.realtime()
        self.devices = None                     # opens device files; set by whoever composes the machine
        self.on_state = []                      # called with each process that stops, continues or ends
        self.release_tty = lambda tty, session: 0   # the session is gone; returns the foreground process group
        self._unknown = set()                   # system calls and instructions the log has named
        self.init = Group(self, 1, None, Session(1), 1)

    @property
    def current(self):
        """The task whose slice this is."""
        return self.scheduler.task

    async def run(self):
        await self.scheduler.run()

    # -- the host's side --------------------------------------------------------------------------------------------------

    async def spawn(self, argv, env=(), cwd=b"/", files=(), uid=0, gid=0, groups=(), path=None, tty=None):
        """Start a program as a child of init; `files` is {fd: File}. Returns its task; Errno if it cannot be executed.
        `env` is a list of b"NAME=value". PATH is not searched: `path`, or argv[0], is the program."""
        pid = self.new_pid()
        group = Group(self, pid, self.init, Session(pid), pid)
        group.session.tty = tty
        fs = FsContext(self.mounts.root)
        table = FileTable(group.limit(RLIMIT_NOFILE), self.on_close)
        task = Task(self, pid, group, NoMemory(), table, fs, Cred(uid, gid, groups))
        name = path or argv[0]
        fs.cwd = await exec.resolve(task, cwd)
        program = await exec.prepare(task, await exec.open_program(task, name), name, list(argv), list(env))
        exec.commit(task, program)
        for fd, file in dict(files).items():
            table.set(fd, file)
        group.threads.append(task)
        group.executed = True
        self.init.children.append(group)
        self.groups[pid], self.tasks[pid] = group, task
        self.scheduler.ready(task)
        return task

    async def wait(self, task):
        """The wait status of a task's process, once it has ended."""
        group = task.group
        while group.status is None:
            await group.gone.wait()
        return group.status

    def on_close(self, table, file):
        """A descriptor went (record locks end with it); set by whoever composes the machine."""

    # -- tables -----------------------------------------------------------------------------------------------------------

    def new_pid(self):
        while True:
            self.last_pid = self.last_pid + 1 if self.last_pid < PID_MAX - 1 else 300
            pid = self.last_pid
            if pid not in self.tasks and pid not in self.groups and not self._in_use(pid):
                return pid

    def _in_use(self, pid):
        return any(g.pgrp == pid or g.session.id == pid for g in self.groups.values()) if self.last_pid >= 300 else False

    def task(self, tid):
        return self.tasks.get(tid)

    def members(self, pgrp):
        """The living processes of a process group."""
        return [g for g in self.groups.values() if g.pgrp == pgrp and g.status is None]

    def new_space(self):
        return self.engine.space()

    def put_away(self, mem):
        """MEM has one user less; its code may still be on the stack."""
        self.scheduler.old_spaces.append(mem)
        if not self.scheduler.running:
            self.scheduler.drop_spaces()

    def derive_context(self, space, stack, tls):
        """The registers of a new task: those in SPACE, rax 0, and another stack and fs base if given."""
        kept = space.context()
        space.set(RAX, 0)
        if stack:
            space.set(RSP, stack)
        if tls is not None:
            space.fs_base = tls
        derived = space.context()
        space.load_context(kept)
        return derived

    # -- signals ----------------------------------------------------------------------------------------------------------

    def send(self, group, signo, info=None, task=None):
        signals.send(self, group, signo, info, task)

    def signal_pgrp(self, pgrp, signo, info=None):
        """Send to a process group from the terminal: what a tty's `on_signal` is."""
        for group in self.members(pgrp):
            signals.send(self, group, signo, info)

    def interrupt(self, task):
        """A signal waits for TASK: it looks at it before it runs on, and now if it only waits."""
        task.attention = True
        self.scheduler.ready(task)

    def signalled(self, group, signo):
        """SIGNO became pending somewhere in GROUP."""
        group.signal_queue.wake()

    def set_blocked(self, task, mask):
        """Change a signal mask; signals that this lets through are delivered before the task runs on."""
        task.blocked = mask & ~signals.UNBLOCKABLE
        if signals.deliverable(task):
            self.interrupt(task)

    def end_group(self, group, status):
        life.end_group(group, status)

    def continue_group(self, group):
        life.continue_group(group)

    def state_changed(self, group):
        for callback in self.on_state:
            callback(group)

    # -- timers -----------------------------------------------------------------------------------------------------------

    def cpu_time(self, task):
        """Nanoseconds TASK has run, the slice in progress included."""
        return task.cpu_time + (self.scheduler.slice_time() if task is self.current else 0)

    def process_time(self, group):
        """Nanoseconds the process has run."""
        current = self.current
        return group.times.user + (self.scheduler.slice_time() if current is not None and current.group is group else 0)

    def load_average(self):
        """How many tasks want to run."""
        return len(self.scheduler.queue) + (self.current is not None)

    def memory_used(self):
        """Bytes of guest memory in use."""
        return min(sum(self._residents().values()) * PAGE, self.memory)

    def _residents(self):
        """Pages present, by address space."""
        return {mem: mem.resident() for mem in {task.mem for task in self.tasks.values()}}

    def make_room(self, mem, more):
        """MEM has grown, or is to have MORE bytes. Where programs use much, the engine keeps little for others to
        come. If the machine's memory is used up the process that uses most is killed: MemoryError where that is MEM
        itself, or where MORE cannot be had."""
        used = self._residents()
        total = sum(used.values()) * PAGE + more
        if total > CROWDED:
            self.engine.shed()
        if total <= self.memory:
            return
        greediest = max(used, key=used.get)
        if more or greediest is mem:
            raise MemoryError
        for task in [task for task in self.tasks.values() if task.mem is greediest and task.tid == task.pid]:
            self.out_of_memory(task)

    def out_of_memory(self, task):
        """The Linux OOM killer's part."""
        self.log(f"out of memory: killed process {task.pid} ({task.name.decode(errors='replace')})")
        life.end_group(task.group, killed(SIGKILL))

    def cancel_timers(self, group):
        if group.real_timer is not None:
            group.real_timer[0].cancel()
            group.real_timer = None
        for timer in group.posix_timers.values():
            timer.disarm()
        group.posix_timers.clear()

    def check_cpu_timers(self, group):
        sys_time.check_cpu_timers(group)

    # -- the log ----------------------------------------------------------------------------------------------------------

    def unknown_syscall(self, task, number):
        if number not in self._unknown:
            self._unknown.add(number)
            name = unistd.NAMES.get(number, "unknown")
            self.log(f"{task.name.decode(errors='replace')}[{task.tid}]: system call {number} ({name}) is not implemented")

    def log_illegal(self, task):
        space = task.mem.space
        data = task.mem.peek(space.rip, 16) or task.mem.peek(space.rip, 1) or b""
        if data in self._unknown:
            return
        self._unknown.add(data)
        self.log(f"{task.name.decode(errors='replace')}[{task.tid}]: illegal instruction at {space.rip:#x}: {data.hex(' ')}")


class NoMemory:
    """The address space of a task that has not executed anything yet."""

    loaded = None

