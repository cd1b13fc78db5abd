"""The virtual file system: what an inode, an open file and a file system are, and what they answer by default.

Names and paths are bytes, times are nanoseconds since the epoch, sizes are bytes except `blocks` (512 bytes each).
Failures are `Errno`. Knows nothing of paths with slashes (kernel/path.py), of tasks, or of permissions: whoever calls an
inode's method has checked them.

Everything that may have to fetch a block is `async`, and finishes without suspending when the data is at hand.
"""

import itertools
from time import time_ns
from typing import NamedTuple

from webvm.linux.dirent import DT_DIR
from webvm.linux.errno import (
    EBADF,
    EINVAL,
    EISDIR,
    ENODATA,
    ENOTDIR,
    ENOTTY,
    ENXIO,
    EOPNOTSUPP,
    EPERM,
    EROFS,
    ESPIPE,
    Errno,
)
from webvm.linux.fcntl import (
    O_ACCMODE,
    O_APPEND,
    O_NOATIME,
    O_PATH,
    O_RDONLY,
    O_WRONLY,
    SEEK_CUR,
    SEEK_DATA,
    SEEK_END,
    SEEK_HOLE,
    SEEK_SET,
)
from webvm.linux.poll import READABLE, WRITABLE
from webvm.linux.stat import S_IFDIR, S_IFLNK, S_IFMT, S_IFREG, makedev
from webvm.linux.statfs import ANON_INODE_FS_MAGIC

__all__ = [
    "ANON_INODE", "Dirent", "Directory", "File", "Filesystem", "Inode", "KeptInode", "PathFile", "RegularFile", "Stat", "StatFs",
    "hold_time", "next_dev", "now",
]  # fmt: skip

RELATIME_LIMIT = 24 * 3600 * 1_000_000_000  # relatime: an access time older than a day is refreshed anyway
MAX_RW_COUNT = 0x7FFFF000  # linux/fs.h: one read or write moves at most this much

_minors = itertools.count(2)
_held = 0


def now() -> int:
    """The time that files are given: as exact as the clock, or as of the last `hold_time`. Linux's is as of the last tick."""
    return _held or time_ns()


def hold_time(hold: bool = True):
    """From here on it is always now, to save looking at the clock; or it is not. Time never goes back by that."""
    global _held
    _held = time_ns() if hold else 0


def next_dev() -> int:
    """A device number for a file system without a device (major 0), as get_anon_bdev gives."""
    return makedev(0, next(_minors))


class Dirent(NamedTuple):
    name: bytes
    ino: int
    type: int  # DT_*


class Stat(NamedTuple):
    dev: int
    ino: int
    nlink: int
    mode: int
    uid: int
    gid: int
    rdev: int
    size: int
    blksize: int
    blocks: int
    atime: int
    mtime: int
    ctime: int


class StatFs(NamedTuple):
    type: int
    bsize: int
    blocks: int = 0
    bfree: int = 0
    bavail: int = 0
    files: int = 0
    ffree: int = 0
    namelen: int = 255


class Filesystem:
    """A mounted file system. `cacheable`: names change only through the methods of its inodes, so that a lookup,
    failed ones too, may be remembered."""

    type = b"none"  # as /proc/mounts names it
    source = b"none"
    options = b"relatime"
    read_only = False
    cacheable = True

    def __init__(self):
        self.dev = next_dev()
        self.root: Inode = None

    async def statfs(self) -> StatFs:
        return StatFs(0, 4096)

    async def sync(self):
        """Bring everything written to where it is kept."""


class Inode:
    """A file, whatever its kind. A file system subclasses this and overrides what it can do; the rest fails as Linux fails.

    `special` is for the kernel's use: the pipe of a FIFO, the listening socket of a socket.
    """

    __slots__ = (
        "fs", "ino", "mode", "uid", "gid", "nlink", "size", "rdev", "atime", "mtime", "ctime", "blocks", "blksize",
        "special", "__weakref__",
    )  # fmt: skip

    def __init__(self, fs, ino, mode, uid=0, gid=0, nlink=1, size=0, rdev=0, atime=0, mtime=0, ctime=0, blocks=0):
        self.fs = fs
        self.ino = ino
        self.mode = mode
        self.uid = uid
        self.gid = gid
        self.nlink = nlink
        self.size = size
        self.rdev = rdev
        self.atime = atime
        self.mtime = mtime
        self.ctime = ctime
        self.blocks = blocks
        self.blksize = 4096
        self.special = None

    def __repr__(self):
        return f"<{type(self).__name__} {self.fs.type.decode()}:{self.ino} {self.mode:o}>"

    # Kinds

    @property
    def is_dir(self) -> bool:
        return self.mode & S_IFMT == S_IFDIR

    @property
    def is_reg(self) -> bool:
        return self.mode & S_IFMT == S_IFREG

    @property
    def is_symlink(self) -> bool:
        return self.mode & S_IFMT == S_IFLNK

    @property
    def dtype(self) -> int:
        """DT_* of this inode: the file type bits of the mode, moved down."""
        return self.mode >> 12 & 15

    def stat(self) -> Stat:
        return Stat(
            self.fs.dev, self.ino, self.nlink, self.mode, self.uid, self.gid, self.rdev, self.size, self.blksize,
            self.blocks, self.atime, self.mtime, self.ctime,
        )  # fmt: skip

    # Directories

    async def lookup(self, name: bytes) -> "Inode":
        """The inode of that name; ENOENT. Never called with `.` or `..`."""
        raise Errno(ENOTDIR)

    async def readdir(self) -> list[Dirent]:
        """All entries but `.` and `..`."""
        raise Errno(ENOTDIR)

    async def create(self, name: bytes, mode: int, uid: int, gid: int) -> "Inode":
        """A new empty regular file; mode has the permission bits, the umask already taken off. EEXIST."""
        raise self._unchangeable()

    async def tmpfile(self, mode: int, uid: int, gid: int) -> "Inode":
        """A regular file without a name (O_TMPFILE)."""
        raise Errno(EOPNOTSUPP)

    async def mkdir(self, name: bytes, mode: int, uid: int, gid: int) -> "Inode":
        raise self._unchangeable()

    async def symlink(self, name: bytes, target: bytes, uid: int, gid: int) -> "Inode":
        raise self._unchangeable()

    async def mknod(self, name: bytes, mode: int, rdev: int, uid: int, gid: int) -> "Inode":
        """A FIFO, socket or device; mode has the type bits too."""
        raise self._unchangeable()

    async def link(self, name: bytes, inode: "Inode"):
        raise self._unchangeable()

    async def unlink(self, name: bytes):
        raise self._unchangeable()

    async def rmdir(self, name: bytes):
        raise self._unchangeable()

    async def rename(self, name: bytes, newdir: "Inode", newname: bytes, flags: int = 0):
        """Move an entry to `newdir`, an inode of the same file system; replaces as rename(2) says."""
        raise self._unchangeable()

    # Symbolic links

    async def readlink(self) -> bytes:
        raise Errno(EINVAL)

    def follow(self):
        """Where a magic link of /proc leads: an object of the kernel's (a Dentry), not a text. None: it is no such link."""
        return None

    # Content

    async def read(self, offset: int, n: int) -> bytes:
        """At most n bytes; short only at the end of the file."""
        raise Errno(EISDIR if self.is_dir else EINVAL)

    async def write(self, offset: int, data) -> int:
        raise self._unchangeable()

    def read_now(self, offset: int, n: int):
        """What `read` answers (or a bytearray), if that is at hand; else None, and it is as if nobody had asked."""
        return None

    def write_now(self, offset: int, data) -> int | None:
        """The same for `write`. It may raise what that would."""
        return None

    async def truncate(self, size: int):
        raise self._unchangeable()

    async def fallocate(self, mode: int, offset: int, length: int):
        raise Errno(EOPNOTSUPP)

    async def seek_data(self, offset: int, hole: bool) -> int:
        """SEEK_DATA, SEEK_HOLE for 0 <= offset < size. A file system without holes has one at the end only."""
        return self.size if hole else offset

    # Attributes

    async def setattr(self, mode=None, uid=None, gid=None, atime=None, mtime=None):
        """Change what is not None, and ctime. `mode` is permission bits only."""
        raise self._unchangeable()

    def assign(self, mode=None, uid=None, gid=None, atime=None, mtime=None):
        """What setattr does where attributes are just kept."""
        if mode is not None:
            self.mode = self.mode & S_IFMT | mode & 0o7777
        if uid is not None:
            self.uid = uid
        if gid is not None:
            self.gid = gid
        if atime is not None:
            self.atime = atime
        if mtime is not None:
            self.mtime = mtime
        self.ctime = now()

    async def getxattr(self, name: bytes) -> bytes:
        raise Errno(ENODATA)

    async def listxattr(self) -> list[bytes]:
        return []

    async def setxattr(self, name: bytes, value: bytes, flags: int = 0):
        raise Errno(EROFS if self.fs.read_only else EOPNOTSUPP)

    async def removexattr(self, name: bytes):
        raise Errno(EROFS if self.fs.read_only else EOPNOTSUPP)

    def accessed(self):
        """The content was read: refresh atime as `relatime` says. Called by open files."""

    # Opening

    async def open(self, flags: int) -> "File":
        """An open file description of a regular file or directory (others: kernel/path.py asks devices and pipes)."""
        if self.is_dir:
            return Directory(self, flags)
        if self.is_reg:
            return RegularFile(self, flags)
        raise Errno(ENXIO)

    def _unchangeable(self) -> Errno:
        return Errno(EROFS if self.fs.read_only else EPERM)


class KeptInode(Inode):
    """An inode that exists in memory only, its attributes changeable: pipes, sockets, ptys."""

    __slots__ = ()

    def __init__(self, fs, ino, mode, uid, gid, rdev=0):
        time = now()
        super().__init__(fs, ino, mode, uid, gid, 1, 0, rdev, time, time, time)

    async def setattr(self, mode=None, uid=None, gid=None, atime=None, mtime=None):
        self.assign(mode, uid, gid, atime, mtime)


class AnonInodeFs(Filesystem):
    """Where files live that are neither on a disk nor pipes: they share one inode."""

    type = b"anon_inodefs"
    source = b"anon_inodefs"

    def __init__(self):
        super().__init__()
        self.root = KeptInode(self, 1, 0o600, 0, 0)

    async def statfs(self):
        return StatFs(ANON_INODE_FS_MAGIC, 4096)


ANON_INODE = AnonInodeFs().root


class File:
    """An open file description: what several descriptors may share. Closed when the last of them goes.

    `inode` None: of no file system (ANON_INODE). `dentry` is the kernel's: the path it was opened by. `tty`: the terminal
    it is.
    """

    tty = None
    seekable = False

    def __init__(self, inode: Inode | None, flags: int):
        self.inode = ANON_INODE if inode is None else inode
        self.flags = flags
        self.pos = 0
        self.refs = 0
        self.dentry = None
        self.readable = flags & O_ACCMODE != O_WRONLY and not flags & O_PATH
        self.writable = flags & O_ACCMODE != O_RDONLY and not flags & O_PATH

    # Lifetime

    def retain(self) -> "File":
        self.refs += 1
        return self

    def release(self):
        self.refs -= 1
        if self.refs == 0:
            self.close()

    def close(self):
        """The last reference is gone."""

    # Bytes

    async def read(self, n: int) -> bytes:
        """At most n bytes, b"" at the end; waits for the first one unless O_NONBLOCK, then EAGAIN."""
        raise Errno(EINVAL)

    async def write(self, data) -> int:
        raise Errno(EINVAL)

    async def pread(self, n: int, offset: int) -> bytes:
        raise Errno(ESPIPE)

    async def pwrite(self, data, offset: int) -> int:
        raise Errno(ESPIPE)

    async def seek(self, offset: int, whence: int) -> int:
        raise Errno(ESPIPE)

    # The same where it is at hand, without a coroutine; else None, and it is as if nobody had asked. They may raise what the
    # others would.

    def read_now(self, n: int):
        return None

    def write_now(self, data) -> int | None:
        return None

    def pread_now(self, n: int, offset: int):
        return None

    def pwrite_now(self, data, offset: int) -> int | None:
        return None

    def seek_now(self, offset: int, whence: int) -> int | None:
        return None

    # Readiness

    def poll(self) -> int:
        """POLL* as of now."""
        return READABLE | WRITABLE

    def poll_queues(self) -> tuple:
        """The WaitQueues woken when `poll` may have changed; none for a file that is always ready."""
        return ()

    # Control

    async def ioctl(self, cmd: int, arg: int, mem) -> int:
        """`mem` is the caller's address space: await mem.read(addr, n), await mem.write(addr, data)."""
        raise Errno(ENOTTY)

    def name(self) -> bytes:
        """What /proc/PID/fd shows for a file without a path."""
        return b"anon_inode:[%s]" % type(self).__name__.lower().encode()


class PathFile(File):
    """O_PATH: stands for a place in the file system; nothing can be read or written."""

    async def read(self, n):
        raise Errno(EBADF)

    write = pread = pwrite = seek = ioctl = read


class RegularFile(File):
    seekable = True

    async def read(self, n):
        data = await self.inode.read(self.pos, n)
        self.pos += len(data)
        if data and not self.flags & O_NOATIME:
            self.inode.accessed()
        return data

    async def pread(self, n, offset):
        data = await self.inode.read(offset, n)
        if data and not self.flags & O_NOATIME:
            self.inode.accessed()
        return data

    async def write(self, data):
        if self.flags & O_APPEND and data:
            self.pos = self.inode.size
        count = await self.inode.write(self.pos, data)
        self.pos += count
        return count

    async def pwrite(self, data, offset):
        if self.flags & O_APPEND:  # as Linux does and POSIX does not
            offset = self.inode.size
        return await self.inode.write(offset, data)

    async def seek(self, offset, whence):
        target = self.seek_now(offset, whence)
        if target is not None:
            return target
        if not 0 <= offset < self.inode.size:
            raise Errno(ENXIO)
        self.pos = target = await self.inode.seek_data(offset, whence == SEEK_HOLE)
        return target

    def read_now(self, n):
        data = self.inode.read_now(self.pos, n)
        if data:
            self.pos += len(data)
            if not self.flags & O_NOATIME:
                self.inode.accessed()
        return data

    def pread_now(self, n, offset):
        data = self.inode.read_now(offset, n)
        if data and not self.flags & O_NOATIME:
            self.inode.accessed()
        return data

    def write_now(self, data):
        pos = self.inode.size if self.flags & O_APPEND else self.pos
        count = self.inode.write_now(pos, data)
        if count:
            self.pos = pos + count
        return count

    def pwrite_now(self, data, offset):
        return self.inode.write_now(self.inode.size if self.flags & O_APPEND else offset, data)

    def seek_now(self, offset, whence):
        if whence == SEEK_SET:
            target = offset
        elif whence == SEEK_CUR:
            target = self.pos + offset
        elif whence == SEEK_END:
            target = self.inode.size + offset
        elif whence in (SEEK_DATA, SEEK_HOLE):
            return None
        else:
            raise Errno(EINVAL)
        if not 0 <= target < 1 << 63:
            raise Errno(EINVAL)
        self.pos = target
        return target


class Directory(File):
    """An open directory. Positions are indices into the entries as they were at the start of the reading (`.` is 0, `..` 1):
    what telldir gave stays right whatever happens meanwhile; rewinding reads the directory anew."""

    seekable = True

    def __init__(self, inode, flags, parent_ino=None):
        super().__init__(inode, flags)
        self.parent_ino = inode.ino if parent_ino is None else parent_ino  # of `..`; whoever knows the path sets it
        self._entries = None

    async def entries(self) -> list[Dirent]:
        """All entries; `pos` says where to go on."""
        if self._entries is None or self.pos == 0:
            dots = [Dirent(b".", self.inode.ino, DT_DIR), Dirent(b"..", self.parent_ino, DT_DIR)]
            self._entries = dots + await self.inode.readdir()
            self.inode.accessed()
        return self._entries

    async def read(self, n):
        raise Errno(EISDIR)

    async def pread(self, n, offset):
        raise Errno(EISDIR)

    async def seek(self, offset, whence):
        target = {SEEK_SET: 0, SEEK_CUR: self.pos}.get(whence)
        if target is None or target + offset < 0:
            raise Errno(EINVAL)
        self.pos = target + offset
        return self.pos
