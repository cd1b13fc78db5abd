"""tmpfs: a file system in memory. Content is a dict of 4 KiB pages, so that holes cost nothing; a limit gives ENOSPC.

The overlay (overlay.py) is this file system with another one under it: its inodes are these classes with the `_below`
methods overridden. So these methods re-check what they found after every await: another task may have been faster.
"""

from bisect import bisect_left

from webvm.fs.vfs import RELATIME_LIMIT, Dirent, Filesystem, Inode, StatFs, now
from webvm.linux.errno import (
    EEXIST,
    EFBIG,
    EINVAL,
    EISDIR,
    EMLINK,
    ENODATA,
    ENOENT,
    ENOSPC,
    ENOTDIR,
    ENOTEMPTY,
    ENXIO,
    EOPNOTSUPP,
    EPERM,
    Errno,
)
from webvm.linux.fcntl import (
    FALLOC_FL_KEEP_SIZE,
    FALLOC_FL_PUNCH_HOLE,
    FALLOC_FL_ZERO_RANGE,
    RENAME_EXCHANGE,
    RENAME_NOREPLACE,
    XATTR_CREATE,
    XATTR_REPLACE,
)
from webvm.linux.stat import S_IFDIR, S_IFLNK, S_IFMT, S_IFREG, S_ISGID
from webvm.linux.statfs import TMPFS_MAGIC

PAGE_SHIFT = 12
PAGE = 1 << PAGE_SHIFT
SECTORS_PER_PAGE = PAGE // 512
MAX_FILE_SIZE = (1 << 63) - 1
LINK_MAX = 65000
ZERO_PAGE = b""  # a page may be shorter than PAGE; the rest of it is zeros


def _part(page, start: int, n: int):
    """N bytes of a page, of which there may be less."""
    part = page[start : start + n]
    return part if len(part) == n else part + bytes(n - len(part))


class Tmpfs(Filesystem):
    """`limit` is in bytes of content; names and inodes are free."""

    type = b"tmpfs"
    source = b"tmpfs"
    options = b"relatime"

    def __init__(self, limit: int = 1 << 30, mode: int = 0o1777):
        super().__init__()
        self.limit_pages = limit // PAGE
        self.used_pages = 0
        self._next_ino = 1
        self.root = self.new_dir(mode, 0, 0)

    async def statfs(self):
        free = max(0, self.limit_pages - self.used_pages)
        return StatFs(TMPFS_MAGIC, PAGE, self.limit_pages, free, free, 1 << 20, (1 << 20) - self._next_ino)

    def next_ino(self) -> int:
        ino = self._next_ino
        self._next_ino += 1
        return ino

    def charge(self, pages: int):
        """Take so many pages from the limit; ENOSPC."""
        if self.used_pages + pages > self.limit_pages:
            raise Errno(ENOSPC)
        self.used_pages += pages

    # New inodes, not yet in any directory. The overlay overrides none of these: what is created has nothing below.

    def new_dir(self, mode, uid, gid) -> "MemDir":
        return MemDir(self, self.next_ino(), S_IFDIR | mode & 0o7777, uid, gid)

    def new_file(self, mode, uid, gid) -> "MemFile":
        return MemFile(self, self.next_ino(), S_IFREG | mode & 0o7777, uid, gid)

    def changed(self, inode):
        """The inode is no more what it was when found: whoever can forget it and find it again must keep it."""


class MemInode(Inode):
    """What all kinds share: attributes and extended attributes. FIFOs, sockets and devices are nothing more."""

    __slots__ = ("xattrs",)

    def __init__(self, fs, ino, mode, uid, gid, nlink=1, size=0, rdev=0):
        time = now()
        super().__init__(fs, ino, mode, uid, gid, nlink, size, rdev, time, time, time)
        self.xattrs = None  # name -> value

    async def setattr(self, mode=None, uid=None, gid=None, atime=None, mtime=None):
        self.assign(mode, uid, gid, atime, mtime)
        self.fs.changed(self)

    def accessed(self):
        time, last = now(), self.atime
        if (last <= self.mtime or last <= self.ctime or time - last >= RELATIME_LIMIT) and time != last:
            self.atime = time
            self.fs.changed(self)

    def relink(self, change: int):
        """One name more, or one less."""
        self.nlink += change
        self.ctime = now()
        self.fs.changed(self)

    async def getxattr(self, name):
        value = (await self._xattrs()).get(name)
        if value is None:
            raise Errno(ENODATA)
        return value

    async def listxattr(self):
        return list(await self._xattrs())

    async def setxattr(self, name, value, flags=0):
        xattrs = await self._xattrs()
        if flags & XATTR_CREATE and name in xattrs:
            raise Errno(EEXIST)
        if flags & XATTR_REPLACE and name not in xattrs:
            raise Errno(ENODATA)
        xattrs[name] = bytes(value)
        self.ctime = now()
        self.fs.changed(self)

    async def removexattr(self, name):
        if (await self._xattrs()).pop(name, None) is None:
            raise Errno(ENODATA)
        self.ctime = now()
        self.fs.changed(self)

    async def _xattrs(self) -> dict:
        if self.xattrs is None:
            xattrs = await self._xattrs_below()
            if self.xattrs is None:
                self.xattrs = xattrs
        return self.xattrs

    async def _xattrs_below(self) -> dict:
        return {}


class MemSymlink(MemInode):
    __slots__ = ("target",)

    def __init__(self, fs, ino, target, uid, gid):
        super().__init__(fs, ino, S_IFLNK | 0o777, uid, gid, size=len(target))
        self.target = target

    async def readlink(self):
        return self.target


class MemDir(MemInode):
    """A directory: `entries` maps names to inodes. None is a whiteout: the name below is gone (overlay only)."""

    __slots__ = ("entries",)

    NEW_SIZE, ENTRY_SIZE = 40, 20  # what Linux's tmpfs shows: BOGO_DIRENT_SIZE an entry

    def __init__(self, fs, ino, mode, uid, gid, nlink=2):
        super().__init__(fs, ino, mode, uid, gid, nlink, self.NEW_SIZE)
        self.entries = {}

    # What the overlay adds

    async def _lookup_below(self, name) -> Inode | None:
        return None

    async def _readdir_below(self) -> list[Dirent]:
        return []

    def _forget(self, name):
        """Take the name away."""
        del self.entries[name]

    # Reading

    async def find(self, name) -> Inode | None:
        """The inode of that name, or None. What it says is true until the next await."""
        if name in self.entries:
            return self.entries[name]
        below = await self._lookup_below(name)
        return self.entries.get(name, below)

    async def lookup(self, name):
        inode = await self.find(name)
        if inode is None:
            raise Errno(ENOENT)
        return inode

    async def readdir(self):
        below = await self._readdir_below()
        entries = self.entries
        kept = [entry for entry in below if entry.name not in entries]
        return kept + [Dirent(name, inode.ino, inode.dtype) for name, inode in entries.items() if inode is not None]

    # Changing

    def _add(self, name, inode):
        self.entries[name] = inode
        self._resized(1)
        if inode.is_dir:
            self.nlink += 1

    def _remove(self, name, inode):
        self._forget(name)
        self._resized(-1)
        if inode.is_dir:
            self.nlink -= 1

    def _resized(self, entries):
        self.size += entries * self.ENTRY_SIZE
        self.mtime = self.ctime = now()
        self.fs.changed(self)

    async def _vacant(self, name):
        """Nothing may have that name; this directory must still be one."""
        if await self.find(name) is not None:
            raise Errno(EEXIST)
        if self.nlink == 0:
            raise Errno(ENOENT)

    def _gid_for(self, gid):
        return self.gid if self.mode & S_ISGID else gid

    async def create(self, name, mode, uid, gid):
        await self._vacant(name)
        inode = self.fs.new_file(mode, uid, self._gid_for(gid))
        self._add(name, inode)
        return inode

    async def tmpfile(self, mode, uid, gid):
        if self.nlink == 0:
            raise Errno(ENOENT)
        inode = self.fs.new_file(mode, uid, self._gid_for(gid))
        inode.nlink = 0
        return inode

    async def mkdir(self, name, mode, uid, gid):
        await self._vacant(name)
        if self.nlink >= LINK_MAX:
            raise Errno(EMLINK)
        inode = self.fs.new_dir(mode | self.mode & S_ISGID, uid, self._gid_for(gid))
        self._add(name, inode)
        return inode

    async def symlink(self, name, target, uid, gid):
        await self._vacant(name)
        inode = MemSymlink(self.fs, self.fs.next_ino(), target, uid, self._gid_for(gid))
        self._add(name, inode)
        return inode

    async def mknod(self, name, mode, rdev, uid, gid):
        if mode & S_IFMT == S_IFREG:
            return await self.create(name, mode, uid, gid)
        await self._vacant(name)
        inode = MemInode(self.fs, self.fs.next_ino(), mode, uid, self._gid_for(gid), rdev=rdev)
        self._add(name, inode)
        return inode

    async def link(self, name, inode):
        if inode.is_dir:
            raise Errno(EPERM)
        await self._vacant(name)
        if inode.nlink >= LINK_MAX:
            raise Errno(EMLINK)
        self._add(name, inode)
        inode.relink(1)

    async def unlink(self, name):
        inode = await self.lookup(name)
        if inode.is_dir:
            raise Errno(EISDIR)
        self._remove(name, inode)
        inode.relink(-1)

    async def rmdir(self, name):
        inode = await self.lookup(name)
        await self._removable(inode)
        if self.entries.get(name, inode) is not inode:
            raise Errno(ENOENT)
        self._remove(name, inode)
        inode.nlink = 0
        inode.relink(0)

    async def _removable(self, inode):
        if not inode.is_dir:
            raise Errno(ENOTDIR)
        if await inode.readdir():
            raise Errno(ENOTEMPTY)

    async def rename(self, name, newdir, newname, flags=0):
        if flags & ~(RENAME_NOREPLACE | RENAME_EXCHANGE) or flags == RENAME_NOREPLACE | RENAME_EXCHANGE:
            raise Errno(EINVAL)
        target = await newdir.find(newname)
        inode = await self.lookup(name)
        if target is not None and target.is_dir and not flags and target is not inode:
            if not inode.is_dir:
                raise Errno(EISDIR)
            await self._removable(target)
        if self.entries.get(name, inode) is not inode:
            raise Errno(ENOENT)
        if newdir.entries.get(newname, target) is not target or newdir.nlink == 0:
            raise Errno(ENOENT)
        if target is not None and flags & RENAME_NOREPLACE:
            raise Errno(EEXIST)
        if target is inode:
            return  # two names of one file: nothing happens
        if flags & RENAME_EXCHANGE:
            if target is None:
                raise Errno(ENOENT)
            self._remove(name, inode)
            newdir._remove(newname, target)
            self._add(name, target)
            target.relink(0)
        else:
            if target is not None:
                if inode.is_dir and not target.is_dir:
                    raise Errno(ENOTDIR)
                newdir._remove(newname, target)
                if target.is_dir:
                    target.nlink = 0
                target.relink(0 if target.is_dir else -1)
            self._remove(name, inode)
        newdir._add(newname, inode)
        inode.relink(0)


class MemFile(MemInode):
    """A regular file: `pages` maps page numbers to at most PAGE bytes each (bytes or bytearray)."""

    __slots__ = ("pages",)

    def __init__(self, fs, ino, mode, uid, gid):
        super().__init__(fs, ino, mode, uid, gid)
        self.pages = {}

    def __del__(self):
        self.fs.used_pages -= len(self.pages)

    # What the overlay adds

    async def _below(self, offset, n) -> bytes:
        """Exactly n bytes that no page of ours covers."""
        return bytes(n)

    def _covers(self, index) -> bool:
        """Is there content below for that page?"""
        return False

    # Reading

    async def read(self, offset, n):
        data = self.read_now(offset, n)
        if data is not None:
            return data if data.__class__ is bytes else bytes(data)
        end = min(offset + n, self.size)
        pages = self.pages
        if not pages:
            return await self._below(offset, end - offset)
        parts = []
        while offset < end:
            index, start = divmod(offset, PAGE)
            page = pages.get(index)
            if page is None:
                stop = index + 1
                while stop * PAGE < end and stop not in pages:
                    stop += 1
                upto = min(stop * PAGE, end)
                parts.append(await self._below(offset, upto - offset))
            else:
                upto = min(index * PAGE + PAGE, end)
                parts.append(_part(page, start, upto - offset))
            offset = upto
        return b"".join(parts)

    def read_now(self, offset, n):
        end = offset + n
        if end > self.size:
            end = self.size
            n = end - offset
            if n <= 0:
                return b""
        index, start = offset >> PAGE_SHIFT, offset & PAGE - 1
        pages = self.pages
        page = pages.get(index)
        if start + n <= PAGE:
            if page is None:
                return None
            return _part(page, start, n)
        parts = []
        while page is not None:
            parts.append(_part(page, start, PAGE - start) if offset + PAGE - start <= end else _part(page, start, end - offset))
            offset += PAGE - start
            if offset >= end:
                return b"".join(parts)
            index, start = index + 1, 0
            page = pages.get(index)
        return None

    async def seek_data(self, offset, hole):
        numbers = sorted(index for index, page in self.pages.items() if page)  # those only allocated are holes
        at = bisect_left(numbers, offset // PAGE)
        if not hole:
            if at == len(numbers) or numbers[at] * PAGE >= self.size:
                raise Errno(ENXIO)
            return max(offset, numbers[at] * PAGE)
        index = offset // PAGE
        while at < len(numbers) and numbers[at] == index:
            at, index = at + 1, index + 1
        return min(max(offset, index * PAGE), self.size)

    # Writing

    async def write(self, offset, data):
        count = self.write_now(offset, data)
        if count is not None:
            return count
        end = await self._write_pages(offset, memoryview(data))
        self._written(end)
        return end - offset

    def write_now(self, offset, data):
        n = len(data)
        if not n:
            return 0
        end = offset + n
        if end > MAX_FILE_SIZE:
            raise Errno(EFBIG)
        index, start = offset >> PAGE_SHIFT, offset & PAGE - 1
        if start + n > PAGE:
            return None
        page = self.pages.get(index)
        if n == PAGE:
            if page is None:
                self._charge(index)
            self.pages[index] = bytes(data)
        else:
            if page.__class__ is not bytearray:
                if page is None:
                    if self._covers(index):
                        return None
                    self._charge(index)
                    page = ZERO_PAGE
                page = self.pages[index] = bytearray(page)
            if start > len(page):
                page.extend(bytes(start - len(page)))
            page[start : start + n] = data
        if end > self.size:
            self.size = end
        self.mtime = self.ctime = now()
        self.fs.changed(self)
        return n

    def _written(self, end):
        if end > self.size:
            self.size = end
        self.mtime = self.ctime = now()
        self.fs.changed(self)

    async def _write_page(self, index, start, data):
        page = self.pages.get(index)
        if page.__class__ is not bytearray:
            page = await self._writable(index, len(data) == PAGE)
        if len(page) < start:
            page.extend(bytes(start - len(page)))
        page[start : start + len(data)] = data

    async def _write_pages(self, offset, view) -> int:
        """Where the write ended: before the end of the data when space ran out."""
        done, n, pages = 0, len(view), self.pages
        try:
            while done < n:
                index, start = divmod(offset + done, PAGE)
                if start == 0 and n - done >= PAGE:
                    if index not in pages:
                        self._charge(index)
                    pages[index] = bytes(view[done : done + PAGE])
                    done += PAGE
                else:
                    part = view[done : done + PAGE - start]
                    await self._write_page(index, start, part)
                    done += len(part)
        except Errno as error:
            if error.number != ENOSPC or not done:
                raise
        return offset + done

    async def _writable(self, index, overwritten) -> bytearray:
        """The page as a bytearray of ours, with what it shows now unless all of it is about to be overwritten."""
        page = self.pages.get(index)
        if page is None:
            if not overwritten and self._covers(index):
                below = await self._below(index * PAGE, PAGE)
                page = self.pages.get(index) or below
            else:
                page = ZERO_PAGE
        if index not in self.pages:
            self._charge(index)
        if page.__class__ is not bytearray:
            page = self.pages[index] = bytearray(page)
        return page

    def _charge(self, index):
        self.fs.charge(1)
        if not self._covers(index):
            self.blocks += SECTORS_PER_PAGE

    def _drop(self, index):
        del self.pages[index]
        self.fs.used_pages -= 1
        if not self._covers(index):
            self.blocks -= SECTORS_PER_PAGE

    # Changing the size

    async def truncate(self, size):
        if size > MAX_FILE_SIZE:
            raise Errno(EFBIG)
        if size < self.size:
            self._cut(size)
        self.size = size
        self.mtime = self.ctime = now()
        self.fs.changed(self)

    def _cut(self, size):
        last, rest = divmod(size, PAGE)
        for index in [index for index in self.pages if index >= last]:
            if index > last or not rest:
                self._drop(index)
            elif len(self.pages[index]) > rest:
                self.pages[index] = bytearray(self.pages[index][:rest])

    async def fallocate(self, mode, offset, length):
        keep, mode = mode & FALLOC_FL_KEEP_SIZE, mode & ~FALLOC_FL_KEEP_SIZE
        end = offset + length
        if end > MAX_FILE_SIZE:
            raise Errno(EFBIG)
        if mode == FALLOC_FL_PUNCH_HOLE and keep or mode == FALLOC_FL_ZERO_RANGE:
            await self._zero(offset, min(end, self.size))
        elif mode == 0:
            for index in range(offset // PAGE, -(-end // PAGE)):
                if index not in self.pages and not self._covers(index):
                    self._charge(index)
                    self.pages[index] = ZERO_PAGE
        else:
            raise Errno(EOPNOTSUPP)
        if not keep and end > self.size:
            self.size = end
        self.ctime = now()
        if mode:
            self.mtime = self.ctime
        self.fs.changed(self)

    async def _zero(self, offset, end):
        """Zeros from offset to end: whole pages become holes."""
        while offset < end:
            index, start = divmod(offset, PAGE)
            upto = min(index * PAGE + PAGE, end)
            if upto - offset < PAGE and upto < self.size:
                if index in self.pages or self._covers(index):
                    await self._write_page(index, start, bytes(upto - offset))
            elif start:
                await self._write_page(index, start, bytes(upto - offset))
            elif self._covers(index):
                if index not in self.pages:
                    self._charge(index)
                self.pages[index] = ZERO_PAGE
            elif index in self.pages:
                self._drop(index)
            offset = upto
