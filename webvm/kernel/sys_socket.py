"""Sockets: AF_UNIX works; the machine has no network, so the other families are not there (EAFNOSUPPORT)."""

from webvm.fs.socket import Socket
from webvm.kernel.jobctl import send_sigpipe
from webvm.kernel.path import MAY_WRITE, check, check_create, walk
from webvm.kernel.sys_file import gather, iovec, scatter
from webvm.kernel.sys_splice import install_pair
from webvm.kernel.syscall import Enum, Fd, Flags, In, Int, Out, Ptr, Size, UInt, syscall
from webvm.linux.errno import (
    EADDRINUSE,
    EAFNOSUPPORT,
    ECONNREFUSED,
    EINVAL,
    EISCONN,
    ENOENT,
    ENOPROTOOPT,
    ENOTCONN,
    ENOTSOCK,
    EOPNOTSUPP,
    EPIPE,
    EPROTONOSUPPORT,
    ESOCKTNOSUPPORT,
    ETOOMANYREFS,
    Errno,
)
from webvm.linux.fcntl import AT_FDCWD, O_NONBLOCK
from webvm.linux.socket import (
    AF_INET,
    AF_INET6,
    AF_UNIX,
    AF_UNSPEC,
    CMSGHDR,
    MSG_CMSG_CLOEXEC,
    MSG_CTRUNC,
    MSG_DONTWAIT,
    MSG_NOSIGNAL,
    MSG_PEEK,
    MSG_TRUNC,
    MSG_WAITALL,
    MSGHDR,
    SCM_CREDENTIALS,
    SCM_RIGHTS,
    SHUT_RDWR,
    SO_ACCEPTCONN,
    SO_BROADCAST,
    SO_DOMAIN,
    SO_ERROR,
    SO_KEEPALIVE,
    SO_PASSCRED,
    SO_PEERCRED,
    SO_PROTOCOL,
    SO_RCVBUF,
    SO_RCVBUFFORCE,
    SO_RCVLOWAT,
    SO_RCVTIMEO,
    SO_REUSEADDR,
    SO_SNDBUF,
    SO_SNDBUFFORCE,
    SO_SNDTIMEO,
    SO_TYPE,
    SOCK_CLOEXEC,
    SOCK_DGRAM,
    SOCK_NONBLOCK,
    SOCK_RAW,
    SOCK_SEQPACKET,
    SOCK_STREAM,
    SOCK_TYPE_MASK,
    SOCKADDR_UN_SIZE,
    SOL_SOCKET,
    UCRED,
)
from webvm.linux.stat import S_IFMT, S_IFSOCK

SCM_MAX_FD = 253
Family, Type, MsgFlags = Enum("AF_", "socket"), Flags("SOCK_", "socket", SOCK_TYPE_MASK), Flags("MSG_", "socket")

# Options that can be set and make no difference here.
IGNORED = (
    SO_REUSEADDR, SO_KEEPALIVE, SO_BROADCAST, SO_SNDBUF, SO_RCVBUF, SO_SNDBUFFORCE, SO_RCVBUFFORCE, SO_RCVLOWAT, SO_RCVTIMEO,
    SO_SNDTIMEO, SO_PASSCRED,
)  # fmt: skip


def _kind(family, type):
    """The type without its flags; EAFNOSUPPORT, EINVAL, ESOCKTNOSUPPORT."""
    kind = type & SOCK_TYPE_MASK
    if type & ~(SOCK_TYPE_MASK | SOCK_NONBLOCK | SOCK_CLOEXEC):
        raise Errno(EINVAL)
    if family != AF_UNIX:
        raise Errno(EAFNOSUPPORT)
    if kind == SOCK_RAW:  # as unix_create does
        kind = SOCK_DGRAM
    if kind not in (SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET):
        raise Errno(ESOCKTNOSUPPORT)
    return kind


def _credentials(task):
    return task.group.pid, task.cred.euid, task.cred.egid


@syscall(41, note="AF_UNIX only")
def socket(task, family: Family, type: Type, protocol: Int):
    kind = _kind(family, type)
    if protocol not in (0, AF_UNIX):
        raise Errno(EPROTONOSUPPORT)
    new = task.kernel.sockets.socket(kind, task.cred.fsuid, task.cred.fsgid, type & O_NONBLOCK)
    new.credentials = _credentials(task)
    return task.files.install(new, bool(type & SOCK_CLOEXEC))


@syscall(53)
async def socketpair(task, family: Family, type: Type, protocol: Int, sv: Ptr):
    if family in (AF_INET, AF_INET6):
        raise Errno(EOPNOTSUPP)
    kind = _kind(family, type)
    ends = task.kernel.sockets.pair(kind, task.cred.fsuid, task.cred.fsgid, type & O_NONBLOCK)
    for end in ends:
        end.credentials = _credentials(task)
    fds = install_pair(task, ends, bool(type & SOCK_CLOEXEC))
    await task.mem.write(sv, b"".join(fd.to_bytes(4, "little") for fd in fds))
    return 0


def _socket(task, fd) -> Socket:
    file = task.files.get(fd)
    if not isinstance(file, Socket):
        raise Errno(ENOTSOCK)
    return file


# -- names ----------------------------------------------------------------------------------------------------------------


async def _read_name(task, address, length) -> bytes:
    """The part of a sockaddr_un after the family: a path, or a NUL and an abstract name."""
    if not 2 <= length <= SOCKADDR_UN_SIZE:
        raise Errno(EINVAL)
    data = await task.mem.read(address, length)
    if int.from_bytes(data[:2], "little") != AF_UNIX:
        raise Errno(EINVAL)
    name = data[2:]
    return name if name[:1] == b"\0" else name.split(b"\0")[0]


async def _find(task, name: bytes) -> Socket:
    """The socket of that name; ECONNREFUSED, and what a walk may say."""
    if name[:1] == b"\0":
        found = task.kernel.sockets.abstract.get(name)
    else:
        place = await walk(task, name)
        if place.dentry is None:
            raise Errno(ENOENT)
        inode = place.dentry.inode
        check(task.cred, inode, MAY_WRITE)
        found = inode.special if inode.mode & S_IFMT == S_IFSOCK else None
    if found is None:
        raise Errno(ECONNREFUSED)
    return found


async def _write_name(task, name, address, length_address):
    """A sockaddr_un, cut to what there is room for; the length says what it would be."""
    full = AF_UNIX.to_bytes(2, "little") + name + (b"\0" if name and name[:1] != b"\0" else b"")
    room = int.from_bytes(await task.mem.read(length_address, 4), "little", signed=True)
    if room < 0:
        raise Errno(EINVAL)
    await task.mem.write(address, full[:room])
    await task.mem.write(length_address, len(full).to_bytes(4, "little"))


@syscall(49)
async def bind(task, fd: Fd, addr: Ptr, addrlen: UInt):
    file = _socket(task, fd)
    name = await _read_name(task, addr, addrlen)
    if file.address:
        raise Errno(EINVAL)
    sockets = task.kernel.sockets
    if not name:  # autobind
        name = next(n for n in (b"\0%05x" % i for i in range(1 << 20)) if n not in sockets.abstract)
    if name[:1] == b"\0":
        if name in sockets.abstract:
            raise Errno(EADDRINUSE)
        sockets.abstract[name] = file
    else:
        place = await walk(task, name, AT_FDCWD, follow=False, parent=True)
        if place.dentry is not None:
            raise Errno(EADDRINUSE)
        check_create(task, place)
        mode = S_IFSOCK | 0o777 & ~task.fs.umask
        inode = await place.parent.inode.mknod(place.name, mode, 0, task.cred.fsuid, task.cred.fsgid)
        place.parent.add(place.name, inode)
        inode.special, file.bound = file, inode
    file.address = name
    return 0


@syscall(50)
def listen(task, fd: Fd, backlog: Int):
    file = _socket(task, fd)
    file.listen(backlog)
    file.credentials = _credentials(task)
    return 0


@syscall(42)
async def connect(task, fd: Fd, addr: Ptr, addrlen: UInt):
    file = _socket(task, fd)
    if addrlen >= 2 and int.from_bytes(await task.mem.read(addr, 2), "little") == AF_UNSPEC and file.kind == SOCK_DGRAM:
        file.peer, file.connected = None, False
        return 0
    await file.connect(await _find(task, await _read_name(task, addr, addrlen)))
    return 0


async def _accept(task, fd, addr, addrlen, flags):
    if flags & ~(SOCK_NONBLOCK | SOCK_CLOEXEC):
        raise Errno(EINVAL)
    new = await _socket(task, fd).accept()
    new.flags |= flags & O_NONBLOCK
    accepted = task.files.install(new, bool(flags & SOCK_CLOEXEC))
    if addr:
        await _write_name(task, new.peer.address if new.peer else b"", addr, addrlen)
    return accepted


@syscall(43)
async def accept(task, fd: Fd, addr: Ptr, addrlen: Ptr):
    return await _accept(task, fd, addr, addrlen, 0)


@syscall(288)
async def accept4(task, fd: Fd, addr: Ptr, addrlen: Ptr, flags: Type):
    return await _accept(task, fd, addr, addrlen, flags)


@syscall(51)
async def getsockname(task, fd: Fd, addr: Ptr, addrlen: Ptr):
    await _write_name(task, _socket(task, fd).address, addr, addrlen)
    return 0


@syscall(52)
async def getpeername(task, fd: Fd, addr: Ptr, addrlen: Ptr):
    file = _socket(task, fd)
    if file.peer is None:
        raise Errno(ENOTCONN)
    await _write_name(task, file.peer.address, addr, addrlen)
    return 0


@syscall(48)
def shutdown(task, fd: Fd, how: Int):
    file = _socket(task, fd)
    if not 0 <= how <= SHUT_RDWR:
        raise Errno(EINVAL)
    file.shutdown(how)
    return 0


# -- messages -------------------------------------------------------------------------------------------------------------


async def _send(task, file, data, flags, name=None, files=()):
    target = None
    if name is not None:
        if file.kind != SOCK_DGRAM:
            raise Errno(EISCONN if file.connected else EOPNOTSUPP)
        target = await _find(task, name)
    for passed in files:
        passed.retain()
    try:
        return await file.send(data, files, target, O_NONBLOCK if flags & MSG_DONTWAIT else 0)
    except Errno as error:
        for passed in files:
            passed.release()
        if error.number == EPIPE and not flags & MSG_NOSIGNAL:
            send_sigpipe(task)
        raise


async def _receive(task, file, n, flags):
    wait = O_NONBLOCK if flags & MSG_DONTWAIT else 0
    message = await file.receive(n, wait, bool(flags & MSG_PEEK))
    if flags & MSG_WAITALL and file.is_stream and not flags & MSG_PEEK:
        while 0 < len(message.data) < n:
            more = await file.receive(n - len(message.data), wait)
            if not more.data:
                break
            message.data += more.data
    return message


@syscall(44)
async def sendto(task, fd: Fd, buf: In, length: Size, flags: MsgFlags, addr: Ptr, addrlen: UInt):
    file = _socket(task, fd)
    name = await _read_name(task, addr, addrlen) if addr else None
    return await _send(task, file, await task.mem.read(buf, length), flags, name)


@syscall(45)
async def recvfrom(task, fd: Fd, buf: Out, length: Size, flags: MsgFlags, addr: Ptr, addrlen: Ptr):
    message = await _receive(task, _socket(task, fd), length, flags)
    data = message.data[:length]
    await task.mem.write(buf, data)
    if addr:
        await _write_name(task, message.sender, addr, addrlen)
    if not flags & MSG_PEEK:
        for file in message.files:
            file.release()
    return len(message.data) if flags & MSG_TRUNC else len(data)


@syscall(46, note="of control messages SCM_RIGHTS and SCM_CREDENTIALS")
async def sendmsg(task, fd: Fd, msg: Ptr, flags: MsgFlags):
    file = _socket(task, fd)
    name, namelen, iov, iovlen, control, controllen, _ = MSGHDR.unpack(await task.mem.read(msg, MSGHDR.size))
    data = await gather(task, await iovec(task, iov, iovlen))
    files = _files_in(task, await task.mem.read(control, controllen)) if control and controllen else ()
    return await _send(task, file, data, flags, await _read_name(task, name, namelen) if name and namelen else None, files)


def _files_in(task, control):
    """The open files that the control messages name."""
    files, at = [], 0
    while at + CMSGHDR.size <= len(control):
        length, level, kind = CMSGHDR.unpack_from(control, at)
        if length < CMSGHDR.size or at + length > len(control):
            raise Errno(EINVAL)
        if level != SOL_SOCKET or kind not in (SCM_RIGHTS, SCM_CREDENTIALS):
            raise Errno(EINVAL)
        if kind == SCM_RIGHTS:
            body = control[at + CMSGHDR.size : at + length]
            files += [task.files.get(int.from_bytes(body[i : i + 4], "little", signed=True)) for i in range(0, len(body) & ~3, 4)]
        at += length + 7 & ~7
    if len(files) > SCM_MAX_FD:
        raise Errno(ETOOMANYREFS)
    return tuple(files)


@syscall(47)
async def recvmsg(task, fd: Fd, msg: Ptr, flags: MsgFlags):
    file = _socket(task, fd)
    name, namelen, iov, iovlen, control, controllen, _ = MSGHDR.unpack(await task.mem.read(msg, MSGHDR.size))
    parts = await iovec(task, iov, iovlen)
    room = sum(length for _, length in parts)
    message = await _receive(task, file, room, flags)
    data, out_flags = message.data[:room], 0
    if len(data) < len(message.data):
        out_flags |= MSG_TRUNC
    await scatter(task, parts, data)
    written = b""
    if message.files:
        fit = max(0, controllen - CMSGHDR.size) // 4 if control else 0
        if fit < len(message.files):
            out_flags |= MSG_CTRUNC
        cloexec = bool(flags & MSG_CMSG_CLOEXEC)
        fds = [task.files.install(passed, cloexec) for passed in message.files[:fit]]
        if fds:
            body = b"".join(number.to_bytes(4, "little") for number in fds)
            written = CMSGHDR.pack(CMSGHDR.size + len(body), SOL_SOCKET, SCM_RIGHTS) + body
            await task.mem.write(control, written)
        if not flags & MSG_PEEK:
            for passed in message.files:
                passed.release()
    sender = AF_UNIX.to_bytes(2, "little") + message.sender if message.sender else b""
    if name:
        await task.mem.write(name, sender[:namelen])
    used = len(written) + 7 & ~7
    await task.mem.write(msg, MSGHDR.pack(name, len(sender), iov, iovlen, control, min(used, controllen), out_flags))
    return len(message.data) if flags & MSG_TRUNC else len(data)


# -- options --------------------------------------------------------------------------------------------------------------


@syscall(54)
def setsockopt(task, fd: Fd, level: Int, optname: Enum("SO_", "socket"), optval: Ptr, optlen: UInt):
    _socket(task, fd)
    if level != SOL_SOCKET or optname not in IGNORED:
        raise Errno(ENOPROTOOPT)
    return 0


@syscall(55)
async def getsockopt(task, fd: Fd, level: Int, optname: Enum("SO_", "socket"), optval: Ptr, optlen: Ptr):
    file = _socket(task, fd)
    if level != SOL_SOCKET:
        raise Errno(EOPNOTSUPP)
    if optname == SO_PEERCRED:
        value = UCRED.pack(*(file.peer.credentials if file.peer is not None else (0, 0xFFFFFFFF, 0xFFFFFFFF)))
    elif optname in (SO_RCVTIMEO, SO_SNDTIMEO):
        value = bytes(16)
    else:
        answers = {
            SO_TYPE: file.kind, SO_DOMAIN: AF_UNIX, SO_PROTOCOL: 0, SO_ERROR: file.error, SO_SNDBUF: 212992,
            SO_RCVBUF: 212992, SO_ACCEPTCONN: int(file.backlog is not None),
        }  # fmt: skip
        if optname not in answers and optname not in IGNORED:
            raise Errno(ENOPROTOOPT)
        if optname == SO_ERROR:
            file.error = 0
        value = answers.get(optname, 0).to_bytes(4, "little")
    room = int.from_bytes(await task.mem.read(optlen, 4), "little", signed=True)
    if room < 0:
        raise Errno(EINVAL)
    await task.mem.write(optval, value[:room])
    await task.mem.write(optlen, min(room, len(value)).to_bytes(4, "little"))
    return 0
