"""/proc: what the machine and its processes look like as files. Formats are those of Documentation/filesystems/proc.rst.

Knows how things are written, not where they come from: the kernel gives a `System`, and through it `Process`es, whose
attributes are named below. Magic links lead to what the `Process` hands out (Dentry objects of the kernel's).
"""

from typing import NamedTuple, Protocol

from webvm.fs.vfs import Dirent, Filesystem, Inode, RegularFile, StatFs, now
from webvm.linux.dirent import DT_DIR, DT_LNK, DT_REG
from webvm.linux.errno import EACCES, EINVAL, EIO, ENOENT, EPERM, ESRCH, Errno
from webvm.linux.stat import S_IFDIR, S_IFLNK, S_IFREG, major, minor
from webvm.linux.statfs import PROC_SUPER_MAGIC

USER_HZ = 100
TICK = 1_000_000_000 // USER_HZ
PAGE = 4096


class Mapping(NamedTuple):
    start: int
    end: int
    prot: int  # R 1, W 2, X 4
    shared: bool
    offset: int
    dev: int
    ino: int
    path: bytes


class MountRow(NamedTuple):
    id: int
    parent_id: int
    dev: int
    target: bytes
    type: bytes
    source: bytes
    options: bytes


class OpenFile(NamedTuple):
    text: bytes  # what readlink shows
    target: object  # what following the link leads to
    flags: int
    pos: int
    mount_id: int
    ino: int


class Process(Protocol):
    """A task. Times are nanoseconds, sizes bytes, masks ints."""

    pid: int
    tid: int
    ppid: int
    pgrp: int
    session: int
    tty_nr: int
    tpgid: int
    comm: bytes
    state: str
    uids: tuple  # real, effective, saved, file system
    gids: tuple
    groups: tuple
    umask: int
    nice: int
    threads: list  # tids
    started: int  # since boot
    user_time: int
    system_time: int
    child_user_time: int
    child_system_time: int
    faults: int
    vm_size: int
    vm_rss: int
    vm_text: int
    vm_data: int
    vm_stack: int
    pending: int
    shared_pending: int
    blocked: int
    ignored: int
    caught: int
    no_new_privs: bool
    limits: list  # (soft, hard) by RLIMIT_*
    oom_score_adj: int
    auxv: bytes
    waits_in: tuple  # the system call it waits in: number, six arguments, rsp, rip; or ()
    start_stack: int
    code: tuple  # (start, end)
    arguments: tuple  # (start, end)
    environment: tuple

    def maps(self) -> list[Mapping]: ...
    def files(self) -> dict[int, OpenFile]: ...
    def link(self, name: bytes) -> tuple[bytes, object] | None: ...  # exe, cwd, root: (text, target)
    async def memory(self, start: int, length: int) -> bytes: ...
    def rename(self, comm: bytes): ...
    def set_oom_score_adj(self, value: int): ...


class System(Protocol):
    """The machine."""

    hostname: bytes
    domainname: bytes
    release: bytes
    version: bytes
    cmdline: bytes
    memory_total: int
    memory_free: int
    shmem: int
    uptime: int  # nanoseconds
    idle: int
    user_time: int
    system_time: int
    boot_time: int  # since the epoch
    context_switches: int
    forks: int
    running: int
    last_pid: int
    pid_max: int
    load: tuple
    cpu_flags: bytes
    cpu_mhz: float
    boot_id: bytes

    def pids(self) -> list[int]: ...
    def process(self, tid: int) -> Process | None: ...  # a process by its pid, or a thread by its tid
    def caller(self) -> tuple[int, int]: ...  # pid and tid of whoever looks
    def mounts(self) -> list[MountRow]: ...
    def uuid(self) -> bytes: ...


# -- inodes ---------------------------------------------------------------------------------------------------------------


class ProcFs(Filesystem):
    type = b"proc"
    source = b"proc"
    options = b"nosuid,nodev,noexec,relatime"
    cacheable = False

    def __init__(self, system: System):
        super().__init__()
        self.system = system
        self.boot = now()
        self.root = RootDir(self, 1, self.boot)
        self._inos: dict[bytes, int] = {}

    async def statfs(self):
        return StatFs(PROC_SUPER_MAGIC, PAGE)

    def ino_of(self, path: bytes) -> int:
        """A number for a path below the root: the same each time."""
        return self._inos.setdefault(path, 0xF0000000 + len(self._inos))

    def process(self, tid, gone=ENOENT) -> Process:
        process = self.system.process(tid)
        if process is None:
            raise Errno(gone)
        return process


class ProcInode(Inode):
    __slots__ = ()

    def __init__(self, fs, ino, mode, time, uid=0, gid=0, nlink=1):
        super().__init__(fs, ino, mode, uid, gid, nlink, 0, 0, time, time, time)
        self.blksize = 1024

    async def setattr(self, mode=None, uid=None, gid=None, atime=None, mtime=None):
        if mode is not None or uid is not None or gid is not None:
            raise Errno(EPERM)


class Content(ProcInode):
    """A file whose content is made when it is read from the start. `make()` gives bytes, or awaits them; `store(bytes)`,
    when given, takes what is written."""

    __slots__ = ("make", "store")

    def __init__(self, fs, ino, mode, time, make, store=None, uid=0, gid=0):
        super().__init__(fs, ino, S_IFREG | mode, time, uid, gid)
        self.make, self.store = make, store

    async def content(self) -> bytes:
        made = self.make()
        return await made if hasattr(made, "__await__") else made

    async def read(self, offset, n):
        return (await self.content())[offset : offset + n]

    async def write(self, offset, data):
        if self.store is None:
            raise Errno(EACCES)
        self.store(bytes(data))
        return len(data)

    async def truncate(self, size):
        """O_TRUNC means nothing here."""

    async def open(self, flags):
        return ContentFile(self, flags)


class ContentFile(RegularFile):
    """Keeps what it showed, so that a reader in small steps sees one state; a read at 0 looks anew."""

    shown = None

    async def pread(self, n, offset):
        if self.shown is None or offset == 0:
            self.shown = await self.inode.content()
        return self.shown[offset : offset + n]

    async def read(self, n):
        data = await self.pread(n, self.pos)
        self.pos += len(data)
        return data


class Link(ProcInode):
    """A symbolic link; with a `target` a magic one."""

    __slots__ = ("text", "target")

    def __init__(self, fs, ino, time, text, target=None, uid=0, gid=0, mode=0o777):
        super().__init__(fs, ino, S_IFLNK | mode, time, uid, gid)
        self.text, self.target = text, target

    async def readlink(self):
        return self.text

    def follow(self):
        return self.target


class Dir(ProcInode):
    __slots__ = ()

    def __init__(self, fs, ino, time, uid=0, gid=0, mode=0o555):
        super().__init__(fs, ino, S_IFDIR | mode, time, uid, gid, 2)


class TableDir(Dir):
    """A directory of fixed names: `table` maps them to bytes-makers `f(system)`, or to tables of their own."""

    __slots__ = ("path", "table")

    def __init__(self, fs, path, table):
        super().__init__(fs, fs.ino_of(path), fs.boot)
        self.path, self.table = path, table

    async def lookup(self, name):
        entry = self.table.get(name)
        if entry is None:
            raise Errno(ENOENT)
        return self.fs_entry(self.fs, self.path + b"/" + name, entry)

    @staticmethod
    def fs_entry(fs, path, entry):
        if isinstance(entry, dict):
            return TableDir(fs, path, entry)
        if isinstance(entry, bytes):
            return Link(fs, fs.ino_of(path), fs.boot, entry)
        return Content(fs, fs.ino_of(path), 0o444, now(), lambda: entry(fs.system))

    async def readdir(self):
        return table_entries(self.fs, self.path, self.table)


def table_entries(fs, path, table):
    kinds = {dict: DT_DIR, bytes: DT_LNK}
    return [Dirent(name, fs.ino_of(path + b"/" + name), kinds.get(type(entry), DT_REG)) for name, entry in table.items()]


class RootDir(Dir):
    """/proc itself."""

    __slots__ = ()

    async def lookup(self, name):
        system = self.fs.system
        if name == b"self":
            return Link(self.fs, 2, self.fs.boot, b"%d" % system.caller()[0])
        if name == b"thread-self":
            return Link(self.fs, 3, self.fs.boot, b"%d/task/%d" % system.caller())
        if name in SYSTEM:
            return TableDir.fs_entry(self.fs, b"/" + name, SYSTEM[name])
        if name.isdigit():
            return PidDir(self.fs, self.fs.process(int(name)))
        raise Errno(ENOENT)

    async def readdir(self):
        links = [Dirent(b"self", 2, DT_LNK), Dirent(b"thread-self", 3, DT_LNK)]
        pids = [Dirent(b"%d" % pid, _ino(pid, 0), DT_DIR) for pid in sorted(self.fs.system.pids())]
        return table_entries(self.fs, b"", SYSTEM) + links + pids


def _ino(tid, number):
    return (tid + 1) << 20 | number


class PidDir(Dir):
    """/proc/PID, and with `is_task` /proc/PID/task/TID."""

    __slots__ = ("process", "is_task")

    def __init__(self, fs, process: Process, is_task=False):
        super().__init__(fs, _ino(process.tid, int(is_task)), now(), process.uids[1], process.gids[1])
        self.nlink = 8
        self.process, self.is_task = process, is_task

    async def lookup(self, name):
        fs, p = self.fs, self.process
        fs.process(p.tid)  # still there?
        owner = p.uids[1], p.gids[1]
        if name in PROCESS:
            mode, make, store = PROCESS[name]
            keep = (lambda data: store(p, data)) if store else None
            return Content(fs, _number(p.tid, name), mode, now(), lambda: make(fs.system, fs.process(p.tid, ESRCH)), keep, *owner)
        if name in (b"fd", b"fdinfo"):
            return FdDir(fs, p, name)
        if name == b"task" and not self.is_task:
            return TaskDir(fs, p)
        if name == b"net":
            return TableDir(fs, b"net", NET)
        if name == b"ns":
            return TableDir(fs, b"ns", NS)
        if name in LINKS:
            link = p.link(name)
            if link is None:
                raise Errno(ENOENT)
            return Link(fs, _number(p.tid, name), now(), *link, *owner)
        raise Errno(ENOENT)

    async def readdir(self):
        tid = self.process.tid
        kinds = [(PROCESS, DT_REG), (LINKS, DT_LNK), (DIRS[: -1 if self.is_task else None], DT_DIR)]
        found = [Dirent(name, _number(tid, name), kind) for names, kind in kinds for name in names]
        shared = [Dirent(name, self.fs.ino_of(name), DT_DIR) for name in (b"net", b"ns")]
        return found + shared


LINKS = (b"exe", b"cwd", b"root")
DIRS = (b"fd", b"fdinfo", b"task")


def _number(tid, name):
    """The inode number of /proc/TID/name."""
    return _ino(tid, 2 + [*PROCESS, *LINKS, *DIRS].index(name))


class TaskDir(Dir):
    __slots__ = ("process",)

    def __init__(self, fs, process):
        super().__init__(fs, _number(process.tid, b"task"), now(), process.uids[1], process.gids[1])
        self.process = process
        self.nlink = 2 + len(process.threads)

    async def lookup(self, name):
        if not name.isdigit() or int(name) not in self.process.threads:
            raise Errno(ENOENT)
        return PidDir(self.fs, self.fs.process(int(name)), is_task=True)

    async def readdir(self):
        return [Dirent(b"%d" % tid, _ino(tid, 1), DT_DIR) for tid in self.process.threads]


class FdDir(Dir):
    """/proc/PID/fd and /proc/PID/fdinfo."""

    __slots__ = ("process", "links")

    def __init__(self, fs, process, name):
        super().__init__(fs, _number(process.tid, name), now(), process.uids[1], process.gids[1], 0o500)
        self.process, self.links = process, name == b"fd"
        self.size = len(process.files())

    async def lookup(self, name):
        p = self.process
        file = p.files().get(int(name)) if name.isdigit() and (name == b"0" or name[:1] != b"0") else None
        if file is None:
            raise Errno(ENOENT)
        owner = p.uids[1], p.gids[1]
        if self.links:
            mode = (0o500, 0o300, 0o700, 0o700)[file.flags & 3]
            return Link(self.fs, _ino(p.tid, 1000 + int(name)), now(), file.text, file.target, *owner, mode)
        text = b"pos:\t%d\nflags:\t0%o\nmnt_id:\t%d\nino:\t%d\n" % (file.pos, file.flags, file.mount_id, file.ino)
        return Content(self.fs, _ino(p.tid, 200000 + int(name)), 0o400, now(), lambda: text, None, *owner)

    async def readdir(self):
        first, kind = (1000, DT_LNK) if self.links else (200000, DT_REG)
        return [Dirent(b"%d" % fd, _ino(self.process.tid, first + fd), kind) for fd in sorted(self.process.files())]


# -- /proc/PID ------------------------------------------------------------------------------------------------------------

STATES = {"R": "running", "S": "sleeping", "D": "disk sleep", "T": "stopped", "t": "tracing stop", "Z": "zombie"}

# What /proc/PID/limits calls RLIMIT_*, in their order, and the units.
LIMITS = (
    ("Max cpu time", "seconds"), ("Max file size", "bytes"), ("Max data size", "bytes"), ("Max stack size", "bytes"),
    ("Max core file size", "bytes"), ("Max resident set", "bytes"), ("Max processes", "processes"),
    ("Max open files", "files"), ("Max locked memory", "bytes"), ("Max address space", "bytes"), ("Max file locks", "locks"),
    ("Max pending signals", "signals"), ("Max msgqueue size", "bytes"), ("Max nice priority", ""),
    ("Max realtime priority", ""), ("Max realtime timeout", "us"),
)  # fmt: skip
RLIM_INFINITY = (1 << 64) - 1
RLIMIT_RSS = 5


def stat(system, p) -> bytes:
    code, arguments, environment = p.code, p.arguments, p.environment
    fields = (
        p.ppid, p.pgrp, p.session, p.tty_nr, p.tpgid, 0x400000, p.faults, 0, 0, 0, p.user_time // TICK, p.system_time // TICK,
        p.child_user_time // TICK, p.child_system_time // TICK, 20 + p.nice, p.nice, len(p.threads), 0, p.started // TICK,
        p.vm_size, p.vm_rss // PAGE, p.limits[RLIMIT_RSS][0], *code, p.start_stack, 0, 0, p.pending & 0x7FFFFFFF,
        p.blocked & 0x7FFFFFFF, p.ignored & 0x7FFFFFFF, p.caught & 0x7FFFFFFF, 0, 0, 0, 17, 0, 0, 0, 0, 0, 0, 0, 0, 0,
        *arguments, *environment, 0,
    )  # fmt: skip
    return b"%d (%s) %s " % (p.tid, p.comm, p.state.encode()) + " ".join(map(str, fields)).encode() + b"\n"


def statm(system, p) -> bytes:
    pages = (p.vm_size, p.vm_rss, 0, p.vm_text, 0, p.vm_data + p.vm_stack, 0)
    return " ".join(str(size // PAGE) for size in pages).encode() + b"\n"


def syscall(system, p) -> bytes:
    if not p.waits_in:
        return b"running\n"
    number, *rest = p.waits_in
    return b" ".join([b"%d" % number, *(b"%#x" % value for value in rest)]) + b"\n"


def status(system, p) -> bytes:
    kilobytes = {
        "VmPeak": p.vm_size, "VmSize": p.vm_size, "VmLck": 0, "VmPin": 0, "VmHWM": p.vm_rss, "VmRSS": p.vm_rss,
        "RssAnon": p.vm_rss, "RssFile": 0, "RssShmem": 0, "VmData": p.vm_data, "VmStk": p.vm_stack, "VmExe": p.vm_text,
        "VmLib": 0, "VmPTE": 0, "VmSwap": 0,
    }  # fmt: skip
    capabilities = "000001ffffffffff" if p.uids[1] == 0 else "0" * 16
    rows = [
        ("Name", _escape(p.comm)), ("Umask", f"{p.umask:04o}"), ("State", f"{p.state} ({STATES[p.state]})"),
        ("Tgid", p.pid), ("Ngid", 0), ("Pid", p.tid), ("PPid", p.ppid), ("TracerPid", 0),
        ("Uid", "\t".join(map(str, p.uids))), ("Gid", "\t".join(map(str, p.gids))), ("FDSize", 64),
        ("Groups", "".join(f"{gid} " for gid in p.groups)), ("NStgid", p.pid), ("NSpid", p.tid), ("NSpgid", p.pgrp),
        ("NSsid", p.session), ("Kthread", 0),
        *((name, f"{size // 1024:8} kB") for name, size in kilobytes.items() if p.state != "Z"),
        ("Threads", len(p.threads)), ("SigQ", "0/4096"),
        *((name, f"{mask:016x}") for name, mask in (
            ("SigPnd", p.pending), ("ShdPnd", p.shared_pending), ("SigBlk", p.blocked), ("SigIgn", p.ignored),
            ("SigCgt", p.caught),
        )),
        *((name, capabilities) for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")),
        ("NoNewPrivs", int(p.no_new_privs)), ("Seccomp", 0), ("Seccomp_filters", 0),
        ("Cpus_allowed", 1), ("Cpus_allowed_list", 0), ("Mems_allowed", 1), ("Mems_allowed_list", 0),
        ("voluntary_ctxt_switches", 0), ("nonvoluntary_ctxt_switches", 0),
    ]  # fmt: skip
    return "".join(f"{name}:\t{value}\n" for name, value in rows).encode("latin-1")


def _escape(comm: bytes) -> str:
    return comm.decode("latin-1").replace("\\", "\\\\").replace("\n", "\\n")


def maps(system, p) -> bytes:
    return b"".join(_map_line(m) + b"\n" for m in p.maps())


def _map_line(m: Mapping) -> bytes:
    flags = "".join(letter if m.prot & bit else "-" for letter, bit in (("r", 1), ("w", 2), ("x", 4)))
    head = (
        f"{m.start:08x}-{m.end:08x} {flags}{'s' if m.shared else 'p'} {m.offset:08x} "
        f"{major(m.dev):02x}:{minor(m.dev):02x} {m.ino} "
    ).encode()
    return head.ljust(73) + m.path if m.path else head


def smaps(system, p) -> bytes:
    return b"".join(_map_line(m) + b"\n" + b"Size:%15d kB\nRss:%16d kB\nPss:%16d kB\n" % ((m.end - m.start >> 10,) * 3)
                    for m in p.maps())  # fmt: skip


async def cmdline(system, p) -> bytes:
    return await p.memory(p.arguments[0], p.arguments[1] - p.arguments[0])


async def environ(system, p) -> bytes:
    return await p.memory(p.environment[0], p.environment[1] - p.environment[0])


def limits(system, p) -> bytes:
    show = lambda value: "unlimited" if value == RLIM_INFINITY else str(value)  # noqa: E731
    rows = [("Limit", "Soft Limit", "Hard Limit", "Units")]
    rows += [(name, show(soft), show(hard), unit) for (name, unit), (soft, hard) in zip(LIMITS, p.limits)]
    return "".join(f"{a:25} {b:20} {c:20} {d:10}\n" for a, b, c, d in rows).encode()


def io(system, p) -> bytes:
    names = ("rchar", "wchar", "syscr", "syscw", "read_bytes", "write_bytes", "cancelled_write_bytes")
    return "".join(f"{name}: 0\n" for name in names).encode()


def _space_escaped(text: bytes) -> bytes:
    for byte in b"\\ \t\n":
        text = text.replace(bytes((byte,)), b"\\%03o" % byte)
    return text


def mounts(system, p=None) -> bytes:
    return b"".join(
        b"%s %s %s %s 0 0\n" % (_space_escaped(m.source), _space_escaped(m.target), m.type, m.options) for m in system.mounts()
    )


def mountinfo(system, p) -> bytes:
    return b"".join(
        b"%d %d %d:%d / %s %s - %s %s %s\n"
        % (m.id, m.parent_id, major(m.dev), minor(m.dev), _space_escaped(m.target), m.options, m.type,
           _space_escaped(m.source), m.options[:2])
        for m in system.mounts()
    )  # fmt: skip


def _set_comm(p, data):
    p.rename(data.rstrip(b"\n")[:15])


def _set_oom_score_adj(p, data):
    try:
        value = int(data)
    except ValueError:
        raise Errno(EINVAL) from None
    if not -1000 <= value <= 1000:
        raise Errno(EINVAL)
    p.set_oom_score_adj(value)


def _memory(system, p):
    raise Errno(EIO)


# fmt: off
PROCESS = {
    # name             mode    content                                              what a write does
    b"auxv":           (0o400, lambda s, p: p.auxv,                                 None),
    b"cgroup":         (0o444, lambda s, p: b"0::/\n",                              None),
    b"cmdline":        (0o444, cmdline,                                             None),
    b"comm":           (0o644, lambda s, p: p.comm + b"\n",                         _set_comm),
    b"environ":        (0o400, environ,                                             None),
    b"io":             (0o400, io,                                                  None),
    b"limits":         (0o444, limits,                                              None),
    b"loginuid":       (0o644, lambda s, p: b"4294967295",                          None),
    b"maps":           (0o444, maps,                                                None),
    b"mem":            (0o600, _memory,                                             None),
    b"mountinfo":      (0o444, mountinfo,                                           None),
    b"mounts":         (0o444, mounts,                                              None),
    b"oom_adj":        (0o644, lambda s, p: b"0\n",                                 None),
    b"oom_score":      (0o444, lambda s, p: b"0\n",                                 None),
    b"oom_score_adj":  (0o644, lambda s, p: b"%d\n" % p.oom_score_adj,              _set_oom_score_adj),
    b"personality":    (0o400, lambda s, p: b"00000000\n",                          None),
    b"sessionid":      (0o444, lambda s, p: b"4294967295",                          None),
    b"smaps":          (0o444, smaps,                                               None),
    b"stat":           (0o444, stat,                                                None),
    b"statm":          (0o444, statm,                                               None),
    b"status":         (0o444, status,                                              None),
    b"syscall":        (0o400, syscall,                                             None),
    b"wchan":          (0o444, lambda s, p: b"0",                                   None),
}
# fmt: on


# -- the machine ----------------------------------------------------------------------------------------------------------


def meminfo(s) -> bytes:
    used = s.memory_total - s.memory_free
    rows = {
        "MemTotal": s.memory_total, "MemFree": s.memory_free, "MemAvailable": s.memory_free, "Buffers": 0, "Cached": s.shmem,
        "SwapCached": 0, "Active": used, "Inactive": 0, "Active(anon)": used, "Inactive(anon)": 0, "Active(file)": 0,
        "Inactive(file)": 0, "Unevictable": 0, "Mlocked": 0, "SwapTotal": 0, "SwapFree": 0, "Dirty": 0, "Writeback": 0,
        "AnonPages": used, "Mapped": 0, "Shmem": s.shmem, "KReclaimable": 0, "Slab": 0, "SReclaimable": 0, "SUnreclaim": 0,
        "KernelStack": 0, "PageTables": 0, "CommitLimit": s.memory_total, "Committed_AS": used,
        "VmallocTotal": 0, "VmallocUsed": 0, "VmallocChunk": 0,
    }  # fmt: skip
    return "".join(f"{name + ':':16}{size // 1024:8} kB\n" for name, size in rows.items()).encode()


def cpuinfo(s) -> bytes:
    rows = {
        "processor": 0, "vendor_id": "GenuineIntel", "cpu family": 6, "model": 44, "model name": "webvm virtual x86-64 processor",
        "stepping": 2, "cpu MHz": f"{s.cpu_mhz:.3f}", "cache size": "4096 KB", "physical id": 0, "siblings": 1, "core id": 0,
        "cpu cores": 1, "apicid": 0, "initial apicid": 0, "fpu": "yes", "fpu_exception": "yes", "cpuid level": 7, "wp": "yes",
        "flags": s.cpu_flags.decode(), "bugs": "", "bogomips": f"{2 * s.cpu_mhz:.2f}", "clflush size": 64,
        "cache_alignment": 64, "address sizes": "32 bits physical, 48 bits virtual", "power management": "",
    }  # fmt: skip
    return "".join(f"{name + chr(9) * (1 + (len(name) < 8))}: {value}\n" for name, value in rows.items()).encode() + b"\n"


def uptime(s) -> bytes:
    return f"{s.uptime / 1e9:.2f} {s.idle / 1e9:.2f}\n".encode()


def loadavg(s) -> bytes:
    one, five, fifteen = s.load
    return f"{one:.2f} {five:.2f} {fifteen:.2f} {s.running}/{len(s.pids())} {s.last_pid}\n".encode()


def machine_stat(s) -> bytes:
    times = [s.user_time, 0, s.system_time, s.idle, 0, 0, 0, 0, 0, 0]
    ticks = " ".join(str(time // TICK) for time in times)
    return (
        f"cpu  {ticks}\ncpu0 {ticks}\nintr 0\nctxt {s.context_switches}\nbtime {s.boot_time // 10**9}\n"
        f"processes {s.forks}\nprocs_running {s.running}\nprocs_blocked 0\nsoftirq 0 0 0 0 0 0 0 0 0 0 0\n"
    ).encode()


def proc_version(s) -> bytes:
    return b"Linux version %s (webvm) %s\n" % (s.release, s.version)


def filesystems(s) -> bytes:
    nodev = b"".join(b"nodev\t%s\n" % name for name in (b"sysfs", b"tmpfs", b"proc", b"devtmpfs", b"pipefs", b"devpts"))
    return nodev + b"\text4\n"


def constant(text: bytes):
    return lambda s: text


NET = {
    b"dev": constant(
        b"Inter-|   Receive                                                |  Transmit\n"
        b" face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier"
        b" compressed\n"
    ),
    b"unix": constant(b"Num       RefCount Protocol Flags    Type St Inode Path\n"),
    b"route": constant(b"Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n"),
    b"if_inet6": constant(b""),
}
NS = {
    name: name.split(b"_")[0] + b":[%d]" % (0xEFFFFFFB + at)
    for at, name in enumerate((b"cgroup", b"ipc", b"mnt", b"net", b"pid", b"user", b"uts"))
}

SYS = {
    b"fs": {
        b"file-max": constant(b"1048576\n"),
        b"file-nr": constant(b"64\t0\t1048576\n"),
        b"nr_open": constant(b"1048576\n"),
        b"pipe-max-size": constant(b"1048576\n"),
        b"protected_hardlinks": constant(b"1\n"),
        b"protected_symlinks": constant(b"1\n"),
        b"inotify": {b"max_user_watches": constant(b"0\n"), b"max_user_instances": constant(b"0\n")},
    },
    b"kernel": {
        b"hostname": lambda s: s.hostname + b"\n",
        b"domainname": lambda s: s.domainname + b"\n",
        b"osrelease": lambda s: s.release + b"\n",
        b"ostype": constant(b"Linux\n"),
        b"version": lambda s: s.version + b"\n",
        b"pid_max": lambda s: b"%d\n" % s.pid_max,
        b"threads-max": constant(b"4096\n"),
        b"cap_last_cap": constant(b"40\n"),
        b"ngroups_max": constant(b"65536\n"),
        b"overflowuid": constant(b"65534\n"),
        b"overflowgid": constant(b"65534\n"),
        b"randomize_va_space": constant(b"0\n"),
        b"core_pattern": constant(b"core\n"),
        b"printk": constant(b"4\t4\t1\t7\n"),
        b"yama": {b"ptrace_scope": constant(b"1\n")},
        b"random": {
            b"boot_id": lambda s: s.boot_id + b"\n",
            b"uuid": lambda s: s.uuid() + b"\n",
            b"entropy_avail": constant(b"256\n"),
            b"poolsize": constant(b"256\n"),
        },
        b"seccomp": {b"actions_avail": constant(b"\n")},
        b"shmmax": constant(b"18446744073692774399\n"),
        b"shmall": constant(b"18446744073692774399\n"),
        b"msgmax": constant(b"8192\n"),
        b"sem": constant(b"32000\t1024000000\t500\t32000\n"),
    },
    b"vm": {
        b"overcommit_memory": constant(b"1\n"),
        b"overcommit_ratio": constant(b"50\n"),
        b"max_map_count": constant(b"65530\n"),
        b"swappiness": constant(b"60\n"),
        b"mmap_min_addr": constant(b"65536\n"),
    },
    b"net": {b"core": {b"somaxconn": constant(b"4096\n")}},
}

SYSTEM = {
    b"cmdline": lambda s: s.cmdline + b"\n",
    b"cpuinfo": cpuinfo,
    b"devices": constant(
        b"Character devices:\n  1 mem\n  4 tty\n  5 /dev/tty\n  5 /dev/console\n  5 /dev/ptmx\n136 pts\n\nBlock devices:\n"
    ),
    b"filesystems": filesystems,
    b"loadavg": loadavg,
    b"meminfo": meminfo,
    b"modules": constant(b""),
    b"mounts": b"self/mounts",
    b"net": b"self/net",
    b"partitions": constant(b"major minor  #blocks  name\n\n"),
    b"stat": machine_stat,
    b"swaps": constant(b"Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n"),
    b"sys": SYS,
    b"tty": {
        b"drivers": constant(
            b"/dev/tty             /dev/tty        5       0 system:/dev/tty\n"
            b"/dev/console         /dev/console    5       1 system:console\n"
            b"/dev/ptmx            /dev/ptmx       5       2 system\n"
            b"pty_slave            /dev/pts      136 0-1048575 pty:slave\n"
            b"unknown              /dev/tty        4 1-63 console\n"
        ),
    },
    b"uptime": uptime,
    b"version": proc_version,
    b"vmstat": constant(b"pgpgin 0\npgpgout 0\npswpin 0\npswpout 0\npgfault 0\npgmajfault 0\n"),
}
