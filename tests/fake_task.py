"""Small stand-ins for what surrounds a file system in the machine: guest memory and a task, without processes."""

from types import SimpleNamespace

from webvm.kernel.clock import Clock
from webvm.kernel.files import FileTable
from webvm.kernel.filesystems import equip
from webvm.kernel.path import FsContext, Mounts
from webvm.kernel.syscall import SYSCALLS
from webvm.kernel.task import Cred
from webvm.linux.errno import EFAULT, Errno
from webvm.linux.resource import RLIM_INFINITY, RLIM_NLIMITS, RLIMIT_NOFILE
from webvm.linux.stat import STAT

BY_NAME = {call.name: call for call in SYSCALLS.values()}


class Memory:
    """64 KiB from address 0x1000 on, as a bump allocator's arena that starts over at each call."""

    def __init__(self, size=1 << 16):
        self.bytes = bytearray(size)
        self.top = 0x1000

    def _check(self, address, length):
        if not 0x1000 <= address <= address + length <= 0x1000 + len(self.bytes):
            raise Errno(EFAULT)
        return address - 0x1000

    async def read(self, address, length):
        if not length:
            return b""
        at = self._check(address, length)
        return bytes(self.bytes[at : at + length])

    async def write(self, address, data):
        if data:
            at = self._check(address, len(data))
            self.bytes[at : at + len(data)] = data

    def read_now(self, address, length):
        at = address - 0x1000
        return bytes(self.bytes[at : at + length]) if 0 <= at <= at + length <= len(self.bytes) else None

    def write_now(self, address, data):
        at = address - 0x1000
        if not 0 <= at <= at + len(data) <= len(self.bytes):
            return False
        self.bytes[at : at + len(data)] = data
        return True

    async def cstring(self, address, limit=4096):
        at = self._check(address, 1)
        end = self.bytes.find(0, at, at + limit)
        return bytes(self.bytes[at : at + limit if end < 0 else end])

    def put(self, data) -> int:
        """The address of a copy of the bytes."""
        at, self.top = self.top, self.top + len(data) + 16 & ~15
        if self.top - 0x1000 > len(self.bytes):
            self.bytes.extend(bytes(self.top - 0x1000 - len(self.bytes)))
        self.bytes[at - 0x1000 : at - 0x1000 + len(data)] = data
        return at

    def at(self, address, length):
        return bytes(self.bytes[address - 0x1000 : address - 0x1000 + length])


class FakeKernel:
    def __init__(self, fs):
        self.clock = Clock()
        self.mounts = Mounts(fs)
        self.groups = {}
        self.signals = []
        self.shown = bytearray()
        self.console = equip(self, lambda data: self.shown.extend(data))

    def members(self, pgrp):
        return [group for group in self.groups.values() if group.pgrp == pgrp]

    def signal_pgrp(self, pgrp, signo):
        self.signals.append((pgrp, signo))


class FakeTask:
    """`await task("read", fd, buf, n)` is a system call: bytes arguments are put in memory, negative results are Errno."""

    def __init__(self, fs, uid=0, gid=0, groups=(), kernel=None):
        self.kernel = kernel or FakeKernel(fs)
        self.mem = Memory()
        self.files = FileTable(1024, self.kernel.on_close)
        self.fs = FsContext(self.kernel.mounts.root)
        self.cred = Cred(uid, gid, groups)
        self.blocked = 0
        rlimits = [(RLIM_INFINITY, RLIM_INFINITY)] * RLIM_NLIMITS
        rlimits[RLIMIT_NOFILE] = 1024, 1024
        self.group = SimpleNamespace(
            pid=100, pgrp=100, session=SimpleNamespace(id=100, tty=None), tty=None, rlimits=rlimits, limit=lambda which: rlimits[which][0]
        )

    async def __call__(self, name, *args):
        top = self.mem.top
        registers = [self.mem.put(arg + b"\0") if isinstance(arg, bytes) else arg & (1 << 64) - 1 for arg in args]
        registers += [0] * (6 - len(registers))
        result = BY_NAME[name].call(self, (0, *registers))
        if hasattr(result, "__await__"):
            result = await result
        self.mem.top = top
        return result

    # What tests do all the time

    async def read(self, fd, n) -> bytes:
        at = self.mem.put(bytes(n))
        count = await self("read", fd, at, n)
        return self.mem.at(at, count)

    async def write(self, fd, data) -> int:
        return await self("write", fd, bytes(data), len(data))

    async def open(self, path, flags=0, mode=0o666) -> int:
        return await self("open", path, flags, mode)

    async def pipe(self, flags=0):
        at = self.mem.put(bytes(8))
        await self("pipe2", at, flags)
        data = self.mem.at(at, 8)
        return int.from_bytes(data[:4], "little"), int.from_bytes(data[4:], "little")

    async def stat(self, path, follow=True):
        """{field: value} of struct stat."""
        at = self.mem.put(bytes(144))
        await self("stat" if follow else "lstat", path, at)
        names = "dev ino nlink mode uid gid rdev size blksize blocks atime atime_ns mtime mtime_ns ctime ctime_ns".split()
        return dict(zip(names, STAT.unpack(self.mem.at(at, 144))))

    async def names(self, path) -> list[bytes]:
        """The entries of a directory, read in small pieces."""
        fd = await self.open(path, 0o200000)
        found, at = [], self.mem.put(bytes(96 + 256))
        while n := await self("getdents64", fd, at, 96 + 256):
            data, offset = self.mem.at(at, n), 0
            while offset < n:
                length = int.from_bytes(data[offset + 16 : offset + 18], "little")
                found.append(data[offset + 19 : offset + length].split(b"\0")[0])
                offset += length
        await self("close", fd)
        return found
