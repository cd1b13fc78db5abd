"""What /proc sees of the kernel: `System` and `Process` of fs/proc.py, answered from tasks and address spaces."""

import uuid

from webvm.fs.proc import Mapping, MountRow, OpenFile
from webvm.kernel import signals
from webvm.kernel.cpu import R, W, X
from webvm.kernel.kernel import PID_MAX
from webvm.kernel.path import Dentry
from webvm.kernel.sys_path import mount_id, of_file
from webvm.kernel.sys_system import RELEASE, VERSION
from webvm.linux.prctl import TASK_COMM_LEN
from webvm.linux.signal import SIG_DFL, SIG_IGN

PAGE = 4096


def shown_path(dentry: Dentry, root: Dentry) -> bytes:
    """What readlink says of a place: deleted ones are marked."""
    if dentry.parent is dentry and dentry.mount is None:
        return b"/" + dentry.name
    return dentry.path(root) + (b"" if dentry.attached else b" (deleted)")


def _root_of(kernel) -> Dentry:
    return kernel.current.fs.root if kernel.current is not None else kernel.mounts.root


class SystemView:
    """The machine."""

    release, version = RELEASE, VERSION
    cmdline = b"console=tty1"
    pid_max = PID_MAX
    cpu_mhz = 1000.0
    context_switches = 0

    def __init__(self, kernel):
        self.kernel = kernel
        self.boot_id = self.uuid()

    cpu_flags = property(lambda self: self.kernel.processor.flags + b" nopl")
    hostname = property(lambda self: self.kernel.hostname)
    domainname = property(lambda self: self.kernel.domainname)
    memory_total = property(lambda self: self.kernel.memory)
    boot_time = property(lambda self: self.kernel.boot_time)
    forks = property(lambda self: self.kernel.forks)
    last_pid = property(lambda self: self.kernel.last_pid)
    uptime = property(lambda self: self.kernel.clock.monotonic() - self.kernel.booted)
    shmem = property(lambda self: self.kernel.shm.used_pages * PAGE)

    @property
    def memory_free(self):
        spaces = {id(task.mem): task.mem for task in self.kernel.tasks.values()}
        used = sum(mem.resident() for mem in spaces.values() if mem.loaded is not None) * PAGE + self.shmem
        return max(0, self.memory_total - used)

    def _time(self, name):
        return sum(getattr(group.times, name) for group in self.kernel.groups.values())

    user_time = property(lambda self: self._time("user"))
    system_time = property(lambda self: self._time("system"))
    idle = property(lambda self: max(0, self.uptime - self.user_time - self.system_time))
    running = property(lambda self: sum(task.state == "R" for task in self.kernel.tasks.values()))
    load = property(lambda self: (self.running / 1.0, 0.0, 0.0))

    def pids(self):
        return list(self.kernel.groups)

    def process(self, tid):
        group = self.kernel.groups.get(tid)
        if group is not None:
            return ProcessView(group, group.leader)
        task = self.kernel.tasks.get(tid)
        return None if task is None else ProcessView(task.group, task)

    def caller(self):
        task = self.kernel.current
        return (task.group.pid, task.tid) if task is not None else (1, 1)

    def mounts(self):
        rows, root = [], _root_of(self.kernel)
        for mount in self.kernel.mounts.list:
            above = mount_id(mount.covered.parent) if mount.covered else 0
            fs = mount.fs
            options = (b"ro," if mount.read_only else b"rw,") + fs.options
            rows.append(MountRow(mount.id, above, fs.dev, mount.root.path(root), fs.type, fs.source, options))
        return rows

    def uuid(self):
        return str(uuid.uuid4()).encode()


class ProcessView:
    """A process, or a thread of it; a zombie has no task any more."""

    def __init__(self, group, task):
        self.group, self.task = group, task
        self.mem = task.mem if task is not None and task.mem.loaded is not None else None
        self.pid, self.tid = group.pid, group.pid if task is None or task is group.leader else task.tid
        self.ppid, self.pgrp, self.session, self.nice = group.ppid, group.pgrp, group.session.id, group.nice
        tty = group.tty
        self.tty_nr, self.tpgid = (tty.rdev, tty.pgrp) if tty is not None else (0, -1)
        self.comm = task.name if task is not None else getattr(group, "name", b"")
        self.state = task.state if task is not None else "Z"
        self.threads = [thread.tid for thread in group.threads] or [group.pid]
        self.started = group.started - group.kernel.booted
        self.limits, self.oom_score_adj = group.rlimits, group.oom_score_adj
        times, children = group.times, group.child_times
        self.user_time, self.system_time, self.faults = times.user, times.system, times.faults
        self.child_user_time, self.child_system_time = children.user, children.system

    # Credentials

    def _cred(self, *names):
        cred = self.task.cred if self.task is not None else None
        return tuple(getattr(cred, name) for name in names) if cred is not None else (0,) * len(names)

    uids = property(lambda self: self._cred("uid", "euid", "suid", "fsuid"))
    gids = property(lambda self: self._cred("gid", "egid", "sgid", "fsgid"))
    groups = property(lambda self: self.task.cred.groups if self.task is not None else ())
    umask = property(lambda self: self.task.fs.umask if self.task is not None else 0)
    no_new_privs = property(lambda self: self.task is not None and self.task.no_new_privs)

    # Signals

    pending = property(lambda self: self.task.pending.mask if self.task is not None else 0)
    shared_pending = property(lambda self: self.group.pending.mask)
    blocked = property(lambda self: self.task.blocked if self.task is not None else 0)

    def _handled(self, wanted):
        table = self.group.actions.table.items()
        return sum(signals.bit(signo) for signo, action in table if wanted(action[0]))

    ignored = property(lambda self: self._handled(lambda handler: handler == SIG_IGN))
    caught = property(lambda self: self._handled(lambda handler: handler not in (SIG_IGN, SIG_DFL)))

    # Memory

    def _size(self, wanted):
        return sum(vma.end - vma.start for vma in self.mem.vmas if wanted(vma)) if self.mem is not None else 0

    vm_size = property(lambda self: self._size(lambda vma: True))
    vm_rss = property(lambda self: self.mem.resident() * PAGE if self.mem is not None else 0)
    vm_text = property(lambda self: self._size(lambda vma: vma.prot & X and vma.file is self.mem.exe))
    vm_data = property(lambda self: self._size(lambda vma: vma.prot & W and not vma.shared and vma.name != b"[stack]"))
    vm_stack = property(lambda self: self._size(lambda vma: vma.name == b"[stack]"))

    def _of_mem(self, first, second):
        return (getattr(self.mem, first), getattr(self.mem, second)) if self.mem is not None else (0, 0)

    arguments = property(lambda self: self._of_mem("arg_start", "arg_end"))
    environment = property(lambda self: self._of_mem("env_start", "env_end"))
    waits_in = property(lambda self: self.task.waits_in if self.task is not None and self.task.coroutine is not None else ())
    auxv = property(lambda self: self.mem.auxv if self.mem is not None else b"")
    start_stack = property(lambda self: self.mem.start_stack if self.mem is not None else 0)

    @property
    def code(self):
        text = [v for v in self.mem.vmas if v.prot & X and v.file is self.mem.exe] if self.mem is not None else []
        return (text[0].start, text[-1].end) if text else (0, 0)

    async def memory(self, start, length):
        return await self.mem.read(start, length) if self.mem is not None and length > 0 else b""

    def maps(self):
        root, rows = _root_of(self.group.kernel), []
        for vma in self.mem.vmas if self.mem is not None else ():
            path, dev, ino = vma.name, 0, 0
            if vma.file is not None:
                path, dev, ino = shown_path(of_file(vma.file), root), vma.file.inode.fs.dev, vma.file.inode.ino
            elif self.mem.start_brk <= vma.start < self.mem.brk:
                path = b"[heap]"
            prot = vma.prot & (R | W | X)
            rows.append(Mapping(vma.start, vma.end, prot, vma.shared, vma.pgoff * PAGE if vma.file else 0, dev, ino, path))
        return rows

    # Files

    def files(self):
        if self.task is None:
            return {}
        found, root = {}, _root_of(self.group.kernel)
        for fd in self.task.files:
            file = self.task.files.get(fd)
            place = of_file(file)
            text = file.name() if file.dentry is None else shown_path(place, root)
            found[fd] = OpenFile(text, place, file.flags, file.pos, mount_id(place), file.inode.ino)
        return found

    def link(self, name):
        if self.task is None:
            return None
        if name == b"exe":
            place = of_file(self.mem.exe) if self.mem is not None and self.mem.exe is not None else None
        else:
            place = self.task.fs.cwd if name == b"cwd" else self.task.fs.root
        return None if place is None else (shown_path(place, _root_of(self.group.kernel)), place)

    # What can be written

    def rename(self, comm):
        if self.task is not None:
            self.task.name = comm[: TASK_COMM_LEN - 1]

    def set_oom_score_adj(self, value):
        self.group.oom_score_adj = value
