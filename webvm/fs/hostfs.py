"""A directory of the host as a file system, natively only: `webvm run --mount HOSTDIR:GUESTDIR[:rw]`.

Everything is looked up from the directory's own descriptor, one component at a time and never through a symbolic link, so
that nothing outside it can be reached, whatever the guest or the host makes of the names. Symbolic links are the guest's
to follow, within the guest. Attributes are the host's, asked for each time.
"""

import errno
import os
from contextlib import contextmanager
from weakref import WeakValueDictionary

from webvm.fs.vfs import Dirent, Filesystem, Inode, RegularFile, StatFs
from webvm.linux import errno as linux_errno
from webvm.linux.dirent import DT_BLK, DT_CHR, DT_DIR, DT_FIFO, DT_LNK, DT_REG, DT_SOCK, DT_UNKNOWN
from webvm.linux.errno import EINVAL, EIO, ENXIO, EROFS, Errno
from webvm.linux.fcntl import RENAME_NOREPLACE
from webvm.linux.stat import S_IFBLK, S_IFCHR, S_IFDIR, S_IFIFO, S_IFLNK, S_IFMT, S_IFREG, S_IFSOCK
from webvm.linux.statfs import V9FS_MAGIC

DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
DTYPES = {
    S_IFREG: DT_REG, S_IFDIR: DT_DIR, S_IFLNK: DT_LNK, S_IFCHR: DT_CHR, S_IFBLK: DT_BLK, S_IFIFO: DT_FIFO, S_IFSOCK: DT_SOCK,
}  # fmt: skip


@contextmanager
def host_errors():
    """What the host refuses, the guest is refused, under Linux's number for it."""
    try:
        yield
    except OSError as error:
        raise Errno(getattr(linux_errno, errno.errorcode.get(error.errno, ""), EIO)) from None


class HostFs(Filesystem):
    """`directory` of the host; read-only unless told otherwise."""

    type = b"hostfs"
    cacheable = False

    def __init__(self, directory, read_only: bool = True):
        super().__init__()
        self.read_only = read_only
        self.source = os.fsencode(directory)
        self.root_fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._inodes = WeakValueDictionary()  # (st_dev, st_ino) -> inode
        st = os.fstat(self.root_fd)
        self._device = st.st_dev
        self.root = self._inode((), st)

    def close(self):
        os.close(self.root_fd)

    async def statfs(self):
        with host_errors():
            s = os.fstatvfs(self.root_fd)
        return StatFs(V9FS_MAGIC, s.f_frsize, s.f_blocks, s.f_bfree, s.f_bavail, s.f_files, s.f_ffree, s.f_namemax)

    @contextmanager
    def directory(self, path: tuple):
        """A descriptor of the directory the names lead to."""
        fd = self.root_fd
        with host_errors():
            try:
                for name in path:
                    below = os.open(name, DIRECTORY, dir_fd=fd)
                    if fd != self.root_fd:
                        os.close(fd)
                    fd = below
                yield fd
            finally:
                if fd != self.root_fd:
                    os.close(fd)

    def _inode(self, path, st) -> "HostInode":
        key = st.st_dev, st.st_ino
        inode = self._inodes.get(key)
        if inode is None:
            ino = st.st_ino if st.st_dev == self._device else st.st_ino ^ st.st_dev << 40
            inode = self._inodes[key] = HostInode(self, ino, st.st_mode)
        inode.path = path
        inode.take(st)
        return inode

    def at(self, path: tuple) -> "HostInode":
        with self.directory(path[:-1]) as fd:
            return self._inode(path, os.stat(path[-1], dir_fd=fd, follow_symlinks=False))


class HostInode(Inode):
    """`path`: the names that lead here from the root. `fd`: open once the content was asked for, so that the file stays
    reachable after its name is gone."""

    __slots__ = ("path", "fd")

    def __init__(self, fs, ino, mode):
        super().__init__(fs, ino, mode)
        self.fd = None

    def __del__(self):
        if self.fd is not None:
            os.close(self.fd)

    def take(self, st):
        self.mode, self.nlink, self.uid, self.gid, self.size = st.st_mode, st.st_nlink, st.st_uid, st.st_gid, st.st_size
        self.rdev, self.blocks, self.blksize = st.st_rdev, st.st_blocks, st.st_blksize
        self.atime, self.mtime, self.ctime = st.st_atime_ns, st.st_mtime_ns, st.st_ctime_ns

    def refresh(self):
        if self.fd is not None:
            self.take(os.fstat(self.fd))
        elif not self.path:
            self.take(os.fstat(self.fs.root_fd))
        else:
            with self._parent() as (fd, name):
                self.take(os.stat(name, dir_fd=fd, follow_symlinks=False))

    def stat(self):
        try:
            self.refresh()
        except Errno:
            self.nlink = 0  # its name went while it was not open: what was known of it is all there is
        return super().stat()

    @contextmanager
    def _parent(self):
        with self.fs.directory(self.path[:-1]) as fd:
            yield fd, self.path[-1]

    @contextmanager
    def _changing(self):
        """This directory, to change an entry of it."""
        if self.fs.read_only:
            raise Errno(EROFS)
        with self.fs.directory(self.path) as fd:
            yield fd
        self.refresh()

    # Directories

    async def lookup(self, name):
        return self.fs.at((*self.path, name))

    async def readdir(self):
        found = []
        with self.fs.directory(self.path) as fd:
            for name in os.listdir(fd):
                name = os.fsencode(name)
                try:
                    st = os.stat(name, dir_fd=fd, follow_symlinks=False)
                except FileNotFoundError:  # gone meanwhile
                    continue
                found.append(Dirent(name, st.st_ino, DTYPES.get(st.st_mode & S_IFMT, DT_UNKNOWN)))
        return found

    async def create(self, name, mode, uid, gid):
        with self._changing() as fd:
            new = os.open(name, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=fd)
            os.fchmod(new, mode & 0o7777)
        inode = self.fs.at((*self.path, name))
        if inode.fd is None:
            inode.fd = new
        else:
            os.close(new)
        return inode

    async def mkdir(self, name, mode, uid, gid):
        with self._changing() as fd:
            os.mkdir(name, mode & 0o7777, dir_fd=fd)
        return self.fs.at((*self.path, name))

    async def symlink(self, name, target, uid, gid):
        with self._changing() as fd:
            os.symlink(target, name, dir_fd=fd)
        return self.fs.at((*self.path, name))

    async def mknod(self, name, mode, rdev, uid, gid):
        if mode & S_IFMT == S_IFREG:
            return await self.create(name, mode, uid, gid)
        with self._changing() as fd:
            os.mknod(name, mode, rdev, dir_fd=fd)
        return self.fs.at((*self.path, name))

    async def link(self, name, inode):
        with self._changing() as fd, inode._parent() as (source, old):
            os.link(old, name, src_dir_fd=source, dst_dir_fd=fd, follow_symlinks=False)

    async def unlink(self, name):
        with self._changing() as fd:
            os.unlink(name, dir_fd=fd)

    async def rmdir(self, name):
        with self._changing() as fd:
            os.rmdir(name, dir_fd=fd)

    async def rename(self, name, newdir, newname, flags=0):
        if flags & ~RENAME_NOREPLACE:
            raise Errno(EINVAL)
        inode = self.fs.at((*self.path, name))
        with self._changing() as fd, newdir._changing() as new:
            if flags & RENAME_NOREPLACE:
                os.link(name, newname, src_dir_fd=fd, dst_dir_fd=new, follow_symlinks=False)
                os.unlink(name, dir_fd=fd)
            else:
                os.rename(name, newname, src_dir_fd=fd, dst_dir_fd=new)
        inode.path = (*newdir.path, newname)

    # Content and attributes

    async def readlink(self):
        if not self.is_symlink:
            raise Errno(EINVAL)
        with self._parent() as (fd, name):
            return os.readlink(name, dir_fd=fd)

    def _opened(self) -> int:
        """A descriptor of the file, for writing too where that is allowed."""
        if self.fd is None:
            if not self.is_reg:
                raise Errno(EINVAL)
            flags = os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
            with self._parent() as (fd, name):
                try:
                    self.fd = os.open(name, flags | (os.O_RDONLY if self.fs.read_only else os.O_RDWR), dir_fd=fd)
                except PermissionError:
                    self.fd = os.open(name, flags | os.O_RDONLY, dir_fd=fd)
        return self.fd

    def _writable(self) -> int:
        if self.fs.read_only:
            raise Errno(EROFS)
        return self._opened()

    async def read(self, offset, n):
        fd, parts = self._opened(), []
        with host_errors():
            while n and (part := os.pread(fd, n, offset)):
                parts.append(part)
                offset, n = offset + len(part), n - len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    async def write(self, offset, data):
        fd = self._writable()
        with host_errors():
            count = os.pwrite(fd, data, offset)
        self.refresh()
        return count

    async def truncate(self, size):
        fd = self._writable()
        with host_errors():
            os.ftruncate(fd, size)
        self.refresh()

    async def fallocate(self, mode, offset, length):
        if mode:
            await super().fallocate(mode, offset, length)
        fd = self._writable()
        with host_errors():
            os.posix_fallocate(fd, offset, length)
        self.refresh()

    async def seek_data(self, offset, hole):
        fd = self._opened()
        try:
            return os.lseek(fd, offset, os.SEEK_HOLE if hole else os.SEEK_DATA)
        except OSError:
            raise Errno(ENXIO) from None

    async def setattr(self, mode=None, uid=None, gid=None, atime=None, mtime=None):
        if self.fs.read_only:
            raise Errno(EROFS)
        if not self.path:
            with host_errors():
                self._set(self.fs.root_fd, {}, mode, uid, gid, atime, mtime)
        else:
            with self._parent() as (fd, name):
                self._set(name, {"dir_fd": fd, "follow_symlinks": False}, mode, uid, gid, atime, mtime)
        self.refresh()

    def _set(self, name, where, mode, uid, gid, atime, mtime):
        if uid is not None or gid is not None:
            os.chown(name, -1 if uid is None else uid, -1 if gid is None else gid, **where)
        if mode is not None:
            self._chmod(name, where, mode & 0o7777)
        if atime is not None or mtime is not None:
            times = (self.atime if atime is None else atime), (self.mtime if mtime is None else mtime)
            os.utime(name, ns=times, **where)

    def _chmod(self, name, where, mode):
        """chmod follows links, and a link may have come in our place: go by a descriptor of the thing itself."""
        if not where:
            os.fchmod(name, mode)
        elif not self.is_symlink:
            own = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=where["dir_fd"])
            try:
                os.chmod(f"/proc/self/fd/{own}", mode)
            finally:
                os.close(own)

    async def open(self, flags):
        if self.is_reg:
            self._opened()
            return HostFile(self, flags)
        return await super().open(flags)


class HostFile(RegularFile):
    """An open file of the host: its size may have changed behind our back."""

    async def write(self, data):
        self.inode.refresh()
        return await super().write(data)

    async def seek(self, offset, whence):
        self.inode.refresh()
        return await super().seek(offset, whence)
