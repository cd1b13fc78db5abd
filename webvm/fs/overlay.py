"""A volatile layer over a read-only file system: everything can be changed, nothing is written below.

An inode of the overlay stands for one of the lower file system until it is changed, and for both afterwards: attributes
are copied when the inode is found, directory entries and pages of content when they are changed. So a renamed lower
directory is the same object in another place, hard links keep being one inode, and a byte written to a large file costs
one page. There is no redirect, opaque mark or copy-up to keep consistent.

Inode numbers are those below; what is created gets numbers no 32-bit file system below can have.
"""

from weakref import WeakValueDictionary

from webvm.fs.tmpfs import PAGE, MemDir, MemFile, MemInode, MemSymlink, Tmpfs
from webvm.fs.vfs import Dirent, Filesystem, Inode, StatFs
from webvm.linux.errno import ENOENT, ENXIO, Errno
from webvm.linux.stat import S_IFDIR, S_IFLNK, S_IFMT, S_IFREG

FIRST_NEW_INO = 1 << 32


class Overlay(Tmpfs):
    """`limit`: bytes of new content there may be. Types, sizes and names in /proc/mounts are those of `lower`."""

    def __init__(self, lower: Filesystem, limit: int = 1 << 30):
        self.lower = lower
        self._found = WeakValueDictionary()  # lower inode number -> its inode here
        self._changed = set()  # those that must not be forgotten
        super().__init__(limit)
        self.type, self.source = lower.type, lower.source
        self.cacheable = lower.cacheable
        self._next_ino = FIRST_NEW_INO
        self.root = self.wrap(lower.root)

    async def statfs(self):
        lower = await self.lower.statfs()
        room = self.limit_pages * PAGE // lower.bsize
        free = max(0, self.limit_pages - self.used_pages) * PAGE // lower.bsize
        blocks = lower.blocks - lower.bfree + room
        return StatFs(lower.type, lower.bsize, blocks, free, free, lower.files, lower.ffree, lower.namelen)

    def changed(self, inode):
        if inode.nlink:
            self._changed.add(inode)
        else:
            self._changed.discard(inode)

    def new_dir(self, mode, uid, gid):
        inode = super().new_dir(mode, uid, gid)
        inode.size = PAGE
        return inode

    def wrap(self, lower: Inode) -> MemInode:
        """The overlay's inode for a lower one, the same one each time."""
        inode = self._found.get(lower.ino)
        if inode is None:
            inode = KINDS.get(lower.mode & S_IFMT, LowerInode)(self, lower)
            self._found[lower.ino] = inode
        return inode


def _copy_attributes(inode, lower):
    """The metadata copy-up."""
    Inode.__init__(
        inode, inode.fs, lower.ino, lower.mode, lower.uid, lower.gid, lower.nlink, lower.size, lower.rdev,
        lower.atime, lower.mtime, lower.ctime, lower.blocks,
    )  # fmt: skip
    inode.blksize = lower.blksize
    inode.xattrs = None
    inode.lower = lower


class _Lower:
    """What every kind of inode with something below it does alike."""

    __slots__ = ()

    async def _xattrs_below(self):
        return {name: await self.lower.getxattr(name) for name in await self.lower.listxattr()}


class LowerInode(_Lower, MemInode):
    """A FIFO, socket or device of the lower file system."""

    __slots__ = ("lower",)

    def __init__(self, fs, lower):
        self.fs = fs
        _copy_attributes(self, lower)


class LowerSymlink(_Lower, MemSymlink):
    __slots__ = ("lower",)

    def __init__(self, fs, lower):
        self.fs = fs
        _copy_attributes(self, lower)
        self.target = None

    async def readlink(self):
        if self.target is None:
            self.target = await self.lower.readlink()
        return self.target


class LowerDir(_Lower, MemDir):
    """A directory: the lower entries, less those `entries` has a whiteout (None) or another inode for."""

    __slots__ = ("lower",)

    ENTRY_SIZE = 0  # the size stays that of the lower directory

    def __init__(self, fs, lower):
        self.fs = fs
        _copy_attributes(self, lower)
        self.entries = {}

    async def _lookup_below(self, name):
        try:
            return self.fs.wrap(await self.lower.lookup(name))
        except Errno as error:
            if error.number != ENOENT:
                raise
            return None

    async def _readdir_below(self) -> list[Dirent]:
        return await self.lower.readdir()

    def _forget(self, name):
        self.entries[name] = None


class LowerFile(_Lower, MemFile):
    """A regular file: what `pages` has not comes from below, up to `limit`; beyond are zeros."""

    __slots__ = ("lower", "limit")

    def __init__(self, fs, lower):
        self.fs = fs
        self.pages = {}
        _copy_attributes(self, lower)
        self.limit = lower.size

    async def _below(self, offset, n):
        have = min(n, self.limit - offset)
        if have <= 0:
            return bytes(n)
        data = await self.lower.read(offset, have)
        have = min(have, self.limit - offset)  # the file may have been cut meanwhile
        return data if have == n else data[: max(0, have)].ljust(n, b"\0")

    def _covers(self, index):
        return index * PAGE < self.limit

    def _cut(self, size):
        if size < self.limit:
            self.limit = size
            super()._cut(size)
            beyond = sum(1 for index in self.pages if not self._covers(index))
            self.blocks = min(self.lower.blocks, -(-size // PAGE) * 8) + beyond * 8
        else:
            super()._cut(size)

    async def seek_data(self, offset, hole):
        position = offset
        while position < self.size:
            index = position // PAGE
            upto = index * PAGE + PAGE
            if index in self.pages:
                found = (not self.pages[index]) is hole
            elif self._covers(index):
                below = await self._seek_below(position, hole)
                found = below == position
                upto = min([below] + [number * PAGE for number in self.pages if number > index])
            else:
                found = hole
            if found:
                break
            position = upto
        if position < self.size:
            return position
        if hole:
            return self.size
        raise Errno(ENXIO)

    async def _seek_below(self, offset, hole):
        """As `seek_data`; the page that `limit` is in counts as data to its end."""
        end = -(-self.limit // PAGE) * PAGE
        if offset >= self.limit:
            return end if hole else offset
        try:
            found = await self.lower.seek_data(offset, hole)
        except Errno as error:
            if error.number != ENXIO:
                raise
            return end
        return found if found < self.limit else end


KINDS = {S_IFREG: LowerFile, S_IFDIR: LowerDir, S_IFLNK: LowerSymlink}
