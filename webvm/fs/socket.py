"""AF_UNIX sockets: stream, datagram and seqpacket; pairs, and names in the file system or the abstract space.

Knows no task; what connects to a path gets the listening socket's inode from the kernel's walk. Descriptors travel in
messages as open files.
"""

from collections import deque
from dataclasses import dataclass

from webvm.fs.vfs import File, Filesystem, KeptInode, StatFs
from webvm.fs.wait import Interrupted, WaitQueue
from webvm.linux.errno import (
    EAGAIN,
    ECONNREFUSED,
    ECONNRESET,
    EDESTADDRREQ,
    EINVAL,
    EISCONN,
    EMSGSIZE,
    ENOTCONN,
    ENOTTY,
    EOPNOTSUPP,
    EPIPE,
    EPROTOTYPE,
    Errno,
)
from webvm.linux.fcntl import O_NONBLOCK, O_RDWR
from webvm.linux.ioctl import FIONREAD, TIOCOUTQ
from webvm.linux.poll import POLLERR, POLLHUP, POLLRDHUP, READABLE, WRITABLE
from webvm.linux.socket import SHUT_RD, SHUT_RDWR, SHUT_WR, SOCK_DGRAM, SOCK_STREAM
from webvm.linux.stat import S_IFSOCK
from webvm.linux.statfs import SOCKFS_MAGIC

SNDBUF = 212992  # net.core.wmem_default


@dataclass
class Message:
    data: bytes
    sender: bytes  # sockaddr_un without the family; b"" when the sender has no name
    files: tuple = ()  # open files of SCM_RIGHTS, retained
    credentials: tuple = (0, 0, 0)  # pid uid gid


class SocketFs(Filesystem):
    """Where the inodes of sockets live, and the abstract names."""

    type = b"sockfs"
    source = b"sockfs"

    def __init__(self):
        super().__init__()
        self._next_ino = 1
        self.abstract: dict[bytes, Socket] = {}

    async def statfs(self):
        return StatFs(SOCKFS_MAGIC, 4096)

    def socket(self, kind: int, uid: int, gid: int, flags: int = 0) -> "Socket":
        self._next_ino += 1
        return Socket(KeptInode(self, self._next_ino, S_IFSOCK | 0o777, uid, gid), kind, O_RDWR | flags)

    def pair(self, kind, uid, gid, flags=0) -> tuple["Socket", "Socket"]:
        first, second = self.socket(kind, uid, gid, flags), self.socket(kind, uid, gid, flags)
        first.peer, second.peer = second, first
        first.connected = second.connected = True
        return first, second


class Socket(File):
    """One end. `inbox` holds what was sent to it, `backlog` those that wait to be accepted."""

    def __init__(self, inode, kind: int, flags: int):
        super().__init__(inode, flags)
        self.kind = kind
        self.address = b""
        self.bound = None  # the inode of the name in the file system
        self.peer: Socket | None = None
        self.connected = False
        self.inbox: deque[Message] = deque()
        self.size = 0
        self.backlog: deque[Socket] | None = None
        self.backlog_limit = 0
        self.read_shut = self.write_shut = False
        self.closed = False
        self.credentials = (0, 0, 0)
        self.error = 0
        self.changed = WaitQueue()

    @property
    def is_stream(self) -> bool:
        return self.kind == SOCK_STREAM

    def name(self):
        return b"socket:[%d]" % self.inode.ino

    def wake(self):
        self.changed.wake()

    def close(self):
        self.closed = True
        for message in self.inbox:
            for file in message.files:
                file.release()
        unread = bool(self.inbox)
        self.inbox.clear()
        if self.inode.fs.abstract.get(self.address) is self:
            del self.inode.fs.abstract[self.address]
        if self.bound is not None:
            self.bound.special = None
        for waiting in self.backlog or ():
            waiting.closed = True
            if waiting.peer is not None:
                waiting.peer.error = ECONNRESET
                waiting.peer.wake()
        if self.peer is not None and self.kind != SOCK_DGRAM:
            if unread:
                self.peer.error = ECONNRESET
            self.peer.wake()
        self.wake()

    # Connections

    def listen(self, backlog: int):
        if self.kind == SOCK_DGRAM:
            raise Errno(EOPNOTSUPP)
        if not self.address or self.connected:
            raise Errno(EINVAL)
        self.backlog_limit = max(backlog, 0)
        if self.backlog is None:
            self.backlog = deque()

    async def connect(self, target: "Socket"):
        if self.kind == SOCK_DGRAM:
            if target.kind != SOCK_DGRAM:
                raise Errno(EPROTOTYPE)
            self.peer, self.connected = target, True
            return
        if self.connected:
            raise Errno(EISCONN)
        if target.backlog is None or target.closed:
            raise Errno(ECONNREFUSED)
        if target.kind != self.kind:
            raise Errno(EPROTOTYPE)
        while len(target.backlog) > target.backlog_limit:
            if self.flags & O_NONBLOCK:
                raise Errno(EAGAIN)
            await target.changed.wait()
            if target.closed:
                raise Errno(ECONNREFUSED)
        server = self.inode.fs.socket(self.kind, self.inode.uid, self.inode.gid)
        server.peer, self.peer = self, server
        server.connected = self.connected = True
        server.address, server.credentials = target.address, target.credentials
        target.backlog.append(server)
        target.wake()

    async def accept(self) -> "Socket":
        if self.backlog is None:
            raise Errno(EINVAL if self.kind != SOCK_DGRAM else EOPNOTSUPP)
        while not self.backlog:
            if self.read_shut:
                raise Errno(EINVAL)
            if self.flags & O_NONBLOCK:
                raise Errno(EAGAIN)
            await self.changed.wait()
        self.wake()
        return self.backlog.popleft()

    def shutdown(self, how: int):
        if self.kind != SOCK_DGRAM and not self.connected and self.backlog is None:
            raise Errno(ENOTCONN)
        self.read_shut |= how in (SHUT_RD, SHUT_RDWR)
        self.write_shut |= how in (SHUT_WR, SHUT_RDWR)
        self.wake()
        if self.peer is not None:
            self.peer.wake()

    # Bytes

    async def send(self, data, files=(), target: "Socket | None" = None, flags=0) -> int:
        """Send to the peer, or a datagram to `target`. EPIPE: the kernel sends SIGPIPE."""
        peer = target or self.peer
        if self.write_shut or self.is_stream and peer is not None and (peer.closed or peer.read_shut):
            raise Errno(EPIPE)
        if peer is None:
            raise Errno(ENOTCONN if self.is_stream or not self.connected and self.kind != SOCK_DGRAM else EDESTADDRREQ)
        if peer.closed:
            raise Errno(ECONNREFUSED if self.kind == SOCK_DGRAM else EPIPE)
        if not self.is_stream and len(data) > SNDBUF:
            raise Errno(EMSGSIZE)
        view, done = memoryview(data), 0
        while True:
            room = SNDBUF - peer.size
            if not self.is_stream and (room >= len(data) or not peer.size) or self.is_stream and room > 0:
                part = bytes(view[done : done + room]) if self.is_stream else bytes(data)
                if part or not self.is_stream:
                    peer.inbox.append(Message(part, self.address, tuple(files), self.credentials))
                    peer.size += len(part)
                    peer.wake()
                done, files = done + len(part), ()
                if done >= len(data):
                    return done
                continue
            if (self.flags | flags) & O_NONBLOCK:
                if done:
                    return done
                raise Errno(EAGAIN)
            try:
                await peer.changed.wait()
            except Interrupted:
                if done:
                    return done
                raise
            if peer.closed or self.write_shut or peer.read_shut:
                if done:
                    return done
                raise Errno(EPIPE)

    @property
    def at_end(self) -> bool:
        """Nothing more will come."""
        if self.read_shut:
            return True
        return self.kind != SOCK_DGRAM and self.peer is not None and (self.peer.closed or self.peer.write_shut)

    async def receive(self, n: int, flags=0, peek=False) -> Message:
        """One datagram (all of it: the caller cuts), or up to n bytes of the stream. Empty at the end."""
        if self.kind != SOCK_DGRAM and self.peer is None:
            raise Errno(EINVAL if self.is_stream else ENOTCONN)
        while not self.inbox:
            if self.error:
                error, self.error = self.error, 0
                raise Errno(error)
            if self.at_end:
                return Message(b"", b"")
            if (self.flags | flags) & O_NONBLOCK:
                raise Errno(EAGAIN)
            await self.changed.wait()
        first = self.inbox[0]
        if not self.is_stream:
            if not peek:
                self._took(self.inbox.popleft().data)
            return first
        parts, left, files, at = [], n, first.files, 0
        while at < len(self.inbox) and left:
            message = self.inbox[at]
            if at and message.files:  # descriptors do not mix with the bytes after them
                break
            part = message.data[:left]
            parts.append(part)
            left -= len(part)
            if peek:
                at += 1
            elif len(part) < len(message.data):
                self.inbox[0] = Message(message.data[len(part) :], message.sender, (), message.credentials)
            else:
                self.inbox.popleft()
            if files:
                break
        data = b"".join(parts)
        if not peek:
            self._took(data)
        return Message(data, first.sender, files, first.credentials)

    def _took(self, data):
        self.size -= len(data)
        self.wake()
        if self.peer is not None:
            self.peer.wake()

    async def read(self, n):
        message = await self.receive(n)
        for file in message.files:
            file.release()
        return message.data[:n]

    async def write(self, data):
        return await self.send(data)

    def poll(self):
        if self.backlog is not None:
            return READABLE if self.backlog else 0
        mask = 0
        if self.inbox or self.at_end or self.error:
            mask |= READABLE
        if self.error:
            mask |= POLLERR
        peer = self.peer
        if self.kind == SOCK_DGRAM:
            return mask | (WRITABLE if peer is None or peer.size < SNDBUF else 0)
        if peer is None:
            return mask | POLLHUP | WRITABLE
        if self.at_end:
            mask |= POLLRDHUP
        if peer.closed or self.read_shut and self.write_shut:
            mask |= POLLHUP
        if peer.closed or peer.size < SNDBUF // 2:
            mask |= WRITABLE
        return mask

    def poll_queues(self):
        return (self.changed,) if self.peer is None else (self.changed, self.peer.changed)

    async def ioctl(self, cmd, arg, mem):
        if cmd == FIONREAD:
            size = self.size if self.is_stream or not self.inbox else len(self.inbox[0].data)
        elif cmd == TIOCOUTQ:
            size = self.peer.size if self.peer is not None else 0
        else:
            raise Errno(ENOTTY)
        await mem.write(arg, size.to_bytes(4, "little"))
        return 0
