"""A directory of the host as a read-only file system, and files that collect output: what kernel tests run programs from."""

import os

from webvm.fs.vfs import Dirent, File, Filesystem, Inode
from webvm.linux.errno import EINVAL, Errno


class HostDir(Filesystem):
    type = b"host"
    read_only = True

    def __init__(self, path):
        super().__init__()
        self.inodes = {}
        self.root = self.inode(os.fsencode(path))

    def inode(self, path):
        try:
            st = os.lstat(path)
        except OSError as error:
            raise Errno(error.errno) from None
        inode = self.inodes.get((st.st_dev, st.st_ino))
        if inode is None:
            inode = self.inodes[st.st_dev, st.st_ino] = HostInode(self, path, st)
        return inode


class HostInode(Inode):
    __slots__ = ("path",)

    def __init__(self, fs, path, st):
        super().__init__(fs, st.st_ino, st.st_mode, st.st_uid, st.st_gid, st.st_nlink, st.st_size, st.st_rdev, st.st_atime_ns,
                         st.st_mtime_ns, st.st_ctime_ns, st.st_blocks)
        self.path = path

    async def lookup(self, name):
        return self.fs.inode(os.path.join(self.path, name))

    async def readdir(self):
        return [Dirent(name, os.lstat(os.path.join(self.path, name)).st_ino, 0) for name in os.listdir(self.path)]

    async def readlink(self):
        if not self.is_symlink:
            raise Errno(EINVAL)
        return os.readlink(self.path)

    async def read(self, offset, n):
        with open(self.path, "rb") as file:
            return os.pread(file.fileno(), n, offset)


class Output(File):
    """Collects what is written."""

    def __init__(self):
        super().__init__(None, 1)
        self.data = bytearray()

    async def write(self, data):
        self.data += data
        return len(data)


class Input(File):
    """Gives BYTES, then the end of the file."""

    def __init__(self, data=b""):
        super().__init__(None, 0)
        self.data = data

    async def read(self, n):
        data, self.data = self.data[:n], self.data[n:]
        return data


