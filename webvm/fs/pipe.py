"""Pipes and FIFOs, and the moving of bytes between them. A writer without readers gets EPIPE; SIGPIPE is the kernel's."""

from collections import deque

from webvm.fs.vfs import File, Filesystem, Inode, KeptInode, StatFs
from webvm.fs.wait import Interrupted, WaitQueue
from webvm.linux.errno import EAGAIN, EBUSY, EINVAL, ENOTTY, ENXIO, EPERM, EPIPE, Errno
from webvm.linux.fcntl import O_ACCMODE, O_NONBLOCK, O_RDONLY, O_RDWR, O_WRONLY
from webvm.linux.ioctl import FIONREAD
from webvm.linux.poll import POLLERR, POLLHUP, READABLE, WRITABLE
from webvm.linux.stat import S_IFIFO
from webvm.linux.statfs import PIPEFS_MAGIC

PIPE_BUF = 4096  # linux/limits.h: writes up to this are atomic
CAPACITY = 65536
MAX_CAPACITY = 1 << 20  # /proc/sys/fs/pipe-max-size


class PipeFs(Filesystem):
    """Where the inodes of pipes live."""

    type = b"pipefs"
    source = b"pipefs"

    def __init__(self):
        super().__init__()
        self._next_ino = 1

    async def statfs(self):
        return StatFs(PIPEFS_MAGIC, 4096)

    def pipe(self, uid: int, gid: int, flags: int = 0) -> tuple["PipeFile", "PipeFile"]:
        """The read end and the write end of a new pipe; flags: O_NONBLOCK, O_DIRECT."""
        self._next_ino += 1
        inode = KeptInode(self, self._next_ino, S_IFIFO | 0o600, uid, gid)
        inode.special = pipe = Pipe()
        return PipeFile(inode, pipe, O_RDONLY | flags), PipeFile(inode, pipe, O_WRONLY | flags)


class Pipe:
    """The bytes on their way, and who holds the ends. One queue: whatever happens, both sides look again."""

    __slots__ = ("chunks", "size", "capacity", "readers", "writers", "changed", "opened_read", "opened_write")

    def __init__(self):
        self.chunks = deque()
        self.size = 0
        self.capacity = CAPACITY
        self.readers = self.writers = 0
        self.opened_read = self.opened_write = 0  # how often, so that open can tell that a partner came and went
        self.changed = WaitQueue()

    def put(self, data):
        self.chunks.append(bytes(data))
        self.size += len(data)
        if self.changed.waits:
            self.changed.wake()

    def take(self, n: int) -> bytes:
        chunks = self.chunks
        if len(chunks) == 1 and self.size <= n:
            data = chunks.popleft()
        else:
            parts, left = [], n
            while chunks and left:
                chunk = chunks.popleft()
                if len(chunk) > left:
                    chunks.appendleft(chunk[left:])
                    chunk = chunk[:left]
                parts.append(chunk)
                left -= len(chunk)
            data = b"".join(parts)
        self.size -= len(data)
        if self.changed.waits:
            self.changed.wake()
        return data

    def peek(self, n: int) -> bytes:
        return b"".join(self.chunks)[:n]


class PipeFile(File):
    """One end, or both (a FIFO opened O_RDWR)."""

    def __init__(self, inode, pipe: Pipe, flags):
        super().__init__(inode, flags)
        self.pipe = pipe
        pipe.readers += self.readable
        pipe.writers += self.writable
        pipe.opened_read += self.readable
        pipe.opened_write += self.writable
        pipe.changed.wake()

    def close(self):
        pipe = self.pipe
        pipe.readers -= self.readable
        pipe.writers -= self.writable
        if not pipe.readers and not pipe.writers:
            pipe.chunks.clear()
            pipe.size = 0
        pipe.changed.wake()

    async def read(self, n):
        pipe = self.pipe
        while not pipe.size:
            if not pipe.writers:
                return b""
            if self.flags & O_NONBLOCK:
                raise Errno(EAGAIN)
            await pipe.changed.wait()
        return pipe.take(n)

    def read_now(self, n):
        return self.pipe.take(n) if self.pipe.size else None

    def write_now(self, data):
        pipe, n = self.pipe, len(data)
        if n <= pipe.capacity - pipe.size and pipe.readers:
            pipe.put(data)
            return n
        return None

    async def write(self, data):
        count = self.write_now(data)
        if count is not None:
            return count
        pipe, n = self.pipe, len(data)
        view, done = memoryview(data), 0
        while done < n:
            if not pipe.readers:
                if done:
                    return done
                raise Errno(EPIPE)
            room = pipe.capacity - pipe.size
            if room >= n - done or room > 0 and n > PIPE_BUF:
                part = view[done : done + room]
                pipe.put(part)
                done += len(part)
            elif self.flags & O_NONBLOCK:
                if done:
                    return done
                raise Errno(EAGAIN)
            else:
                try:
                    await pipe.changed.wait()
                except Interrupted:
                    if done:
                        return done
                    raise
        return done

    def poll(self):
        pipe, mask = self.pipe, 0
        if self.readable:
            if pipe.size:
                mask |= READABLE
            if not pipe.writers and pipe.opened_write:
                mask |= POLLHUP
        if self.writable:
            if pipe.capacity - pipe.size >= PIPE_BUF:
                mask |= WRITABLE
            if not pipe.readers:
                mask |= POLLERR
        return mask

    def poll_queues(self):
        return (self.pipe.changed,)

    async def ioctl(self, cmd, arg, mem):
        if cmd != FIONREAD:
            raise Errno(ENOTTY)
        await mem.write(arg, self.pipe.size.to_bytes(4, "little"))
        return 0

    def resize(self, size: int) -> int:
        """F_SETPIPE_SZ: the new capacity, a power of two of pages."""
        capacity = max(4096, 1 << max(0, size - 1).bit_length())
        if size < 0 or size > 1 << 31:
            raise Errno(EINVAL)
        if capacity > MAX_CAPACITY:
            raise Errno(EPERM)
        if capacity < self.pipe.size:
            raise Errno(EBUSY)
        self.pipe.capacity = capacity
        self.pipe.changed.wake()
        return capacity

    def name(self):
        return b"pipe:[%d]" % self.inode.ino


async def open_fifo(inode: Inode, flags: int) -> PipeFile:
    """Open a named pipe: waits for the other side; ENXIO for a writer that will not wait and has no reader."""
    if inode.special is None:
        inode.special = Pipe()
    pipe = inode.special
    access = flags & O_ACCMODE
    anonymous = isinstance(inode.fs, PipeFs)  # a pipe through /proc/PID/fd: nobody to wait for
    if access == O_WRONLY and flags & O_NONBLOCK and not pipe.readers and not anonymous:
        raise Errno(ENXIO)
    file = PipeFile(inode, pipe, flags)
    if access == O_RDWR or flags & O_NONBLOCK or anonymous:
        return file
    partners = "opened_write" if access == O_RDONLY else "opened_read"
    seen = getattr(pipe, partners)
    try:
        while not (pipe.writers if access == O_RDONLY else pipe.readers) and getattr(pipe, partners) == seen:
            await pipe.changed.wait()
    except Interrupted:
        file.close()
        raise
    return file
