"""/dev: device numbers to what opens them, the nodes, and /dev/pts.

/dev itself is a tmpfs with device nodes, as devtmpfs is; a node says only its number, and `Devices` knows what that opens.
"""

import os

from webvm.fs.tmpfs import MemInode, MemSymlink, Tmpfs
from webvm.fs.tty import Pty, PtyMaster, Tty, TtyFile, open_slave
from webvm.fs.vfs import Dirent, File, Filesystem, Inode, KeptInode, StatFs, now
from webvm.linux.dirent import DT_CHR
from webvm.linux.errno import EINVAL, EIO, ENOENT, ENOSPC, ENOTTY, ENXIO, Errno
from webvm.linux.ioctl import RNDGETENTCNT
from webvm.linux.stat import S_IFCHR, S_IFDIR, makedev
from webvm.linux.statfs import DEVPTS_SUPER_MAGIC

MAX_PTYS = 256
PTS_MAJOR = 136
TTY_GID = 5  # group tty of Debian
READ_AT_ONCE = 1 << 20  # what an endless device gives in one read

CONSOLE, TTY1, CURRENT_TTY, PTMX = makedev(5, 1), makedev(4, 1), makedev(5, 0), makedev(5, 2)


class CharDevice(File):
    """A device that needs no state, and whose position is always 0."""

    seekable = True

    async def seek(self, offset, whence):
        return 0

    async def pread(self, n, offset):
        return await self.read(n)

    async def pwrite(self, data, offset):
        return await self.write(data)

    async def write(self, data):
        return len(data)


class Null(CharDevice):
    async def read(self, n):
        return b""


class Zero(CharDevice):
    async def read(self, n):
        return bytes(min(n, READ_AT_ONCE))

    def mmap(self) -> bool:
        """A mapping of it is anonymous memory."""
        return True


class Full(Zero):
    mmap = None

    async def write(self, data):
        raise Errno(ENOSPC)


class Random(CharDevice):
    async def read(self, n):
        return os.urandom(min(n, READ_AT_ONCE))

    async def ioctl(self, cmd, arg, mem):
        if cmd != RNDGETENTCNT:
            raise Errno(ENOTTY)
        await mem.write(arg, (256).to_bytes(4, "little"))
        return 0


class Kmsg(CharDevice):
    """The kernel's log: what is written goes nowhere, and there is nothing to read."""

    async def read(self, n):
        raise Errno(EINVAL)


# fmt: off
MEMORY_DEVICES = (
    # name       minor  mode    file
    (b"null",    3,     0o666,  Null),
    (b"zero",    5,     0o666,  Zero),
    (b"full",    7,     0o666,  Full),
    (b"random",  8,     0o666,  Random),
    (b"urandom", 9,     0o666,  Random),
    (b"kmsg",    11,    0o644,  Kmsg),
)
TERMINALS = (
    # name       number       mode    gid
    (b"tty",     CURRENT_TTY, 0o666,  TTY_GID),
    (b"console", CONSOLE,     0o600,  TTY_GID),
    (b"tty1",    TTY1,        0o620,  TTY_GID),
    (b"ptmx",    PTMX,        0o666,  TTY_GID),
)
LINKS = (
    (b"fd",      b"/proc/self/fd"),
    (b"stdin",   b"/proc/self/fd/0"),
    (b"stdout",  b"/proc/self/fd/1"),
    (b"stderr",  b"/proc/self/fd/2"),
    (b"core",    b"/proc/kcore"),
)
# fmt: on


class Devices:
    """What opens which device number. `console` is the machine's terminal; `on_new_tty` hears of every pty's."""

    def __init__(self, console: Tty):
        self.console = console
        self.pts = DevPts()
        self.on_new_tty = lambda tty: None
        self._openers = {makedev(1, minor): file for _, minor, _, file in MEMORY_DEVICES}

    async def open(self, inode: Inode, flags: int, tty: Tty | None, uid: int = 0) -> File:
        """`tty`: the caller's controlling terminal, for /dev/tty; `uid`: the caller, who owns a new pty. ENXIO: no such device."""
        rdev = inode.rdev
        if inode.mode & S_IFCHR != S_IFCHR or inode.mode & S_IFDIR:
            raise Errno(ENXIO)
        if rdev in self._openers:
            return self._openers[rdev](inode, flags)
        if rdev in (CONSOLE, TTY1):
            return TtyFile(inode, flags, self.console)
        if rdev == CURRENT_TTY:
            if tty is None:
                raise Errno(ENXIO)
            return TtyFile(inode, flags, tty)
        if rdev == PTMX:
            return self.pts.open_master(inode, flags, self.on_new_tty, uid)
        pty = self.pts.by_rdev(rdev)
        if pty is None:
            raise Errno(EIO if rdev >> 8 & 0xFFF == PTS_MAJOR else ENXIO)
        return open_slave(inode, flags, pty)


class DevFs(Tmpfs):
    """/dev, with the usual nodes and the directories that are mounted upon."""

    type = b"devtmpfs"
    source = b"udev"

    def __init__(self):
        super().__init__(16 << 20, mode=0o755)
        root = self.root
        for name, minor, mode, _ in MEMORY_DEVICES:
            self._node(name, makedev(1, minor), mode, 0)
        for name, rdev, mode, gid in TERMINALS:
            self._node(name, rdev, mode, gid)
        for name, target in LINKS:
            root._add(name, MemSymlink(self, self.next_ino(), target, 0, 0))
        for name in (b"pts", b"shm", b"mqueue"):
            root._add(name, self.new_dir(0o755, 0, 0))

    def _node(self, name, rdev, mode, gid):
        self.root._add(name, MemInode(self, self.next_ino(), S_IFCHR | mode, 0, gid, rdev=rdev))


class DevPts(Filesystem):
    """/dev/pts: a node for each pty whose master is open."""

    type = b"devpts"
    source = b"devpts"
    options = b"nosuid,noexec,relatime,gid=5,mode=620,ptmxmode=666"
    cacheable = False

    def __init__(self):
        super().__init__()
        self.ptys: dict[int, tuple[Pty, Inode]] = {}
        self.root = PtsDir(self)
        self.ptmx = KeptInode(self, 2, S_IFCHR | 0o666, 0, 0, PTMX)

    async def statfs(self):
        return StatFs(DEVPTS_SUPER_MAGIC, 4096)

    def by_rdev(self, rdev) -> Pty | None:
        return next((pty for pty, inode in self.ptys.values() if inode.rdev == rdev), None)

    def open_master(self, inode, flags, on_new_tty, uid) -> PtyMaster:
        number = next((n for n in range(MAX_PTYS) if n not in self.ptys), None)
        if number is None:
            raise Errno(ENOSPC)
        pty = Pty(number, makedev(PTS_MAJOR, number))
        node = KeptInode(self, number + 3, S_IFCHR | 0o620, uid, TTY_GID, pty.tty.rdev)
        self.ptys[number] = pty, node
        on_new_tty(pty.tty)
        return PtyMaster(inode, flags, pty, lambda pty: self.ptys.pop(pty.number))


class PtsDir(Inode):
    __slots__ = ()

    def __init__(self, fs):
        time = now()
        super().__init__(fs, 1, S_IFDIR | 0o755, nlink=2, atime=time, mtime=time, ctime=time)

    async def lookup(self, name):
        if name == b"ptmx":
            return self.fs.ptmx
        if not name.isdigit() or int(name) not in self.fs.ptys or b"%d" % int(name) != name:
            raise Errno(ENOENT)
        return self.fs.ptys[int(name)][1]

    async def readdir(self):
        nodes = [Dirent(b"%d" % number, inode.ino, DT_CHR) for number, (_, inode) in sorted(self.fs.ptys.items())]
        return nodes + [Dirent(b"ptmx", self.fs.ptmx.ino, DT_CHR)]
