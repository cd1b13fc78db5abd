"""System calls on file descriptors: reading, writing, seeking, duplicating, fcntl, locks, sizes, flushing."""

from struct import iter_unpack

from webvm.fs.pipe import PipeFile
from webvm.fs.tmpfs import MemFile
from webvm.fs.vfs import MAX_RW_COUNT, Directory, File, PathFile, RegularFile
from webvm.kernel import signals
from webvm.kernel.jobctl import check_background_read, check_background_write, send_sigpipe
from webvm.kernel.locks import TO_END, Lock
from webvm.kernel.open import drop_privileges
from webvm.kernel.path import MAY_WRITE, Dentry, check, check_writable, resolve
from webvm.kernel.syscall import Enum, Fd, Flags, In, Int, Long, Out, Path, Ptr, Size, UInt, storing, syscall
from webvm.linux.dirent import pack_dirent, pack_dirent64
from webvm.linux.errno import (
    EBADF,
    EFBIG,
    EINVAL,
    EISDIR,
    ENODEV,
    ENOENT,
    ENOSYS,
    ENOTDIR,
    EOPNOTSUPP,
    EOVERFLOW,
    EPERM,
    EPIPE,
    ESPIPE,
    Errno,
)
from webvm.linux.fcntl import (
    CLOSE_RANGE_CLOEXEC,
    CLOSE_RANGE_UNSHARE,
    F_ADD_SEALS,
    F_DUPFD,
    F_DUPFD_CLOEXEC,
    F_GETFD,
    F_GETFL,
    F_GETLK,
    F_GETOWN,
    F_GETPIPE_SZ,
    F_GETSIG,
    F_GET_SEALS,
    F_OFD_GETLK,
    F_OFD_SETLK,
    F_OFD_SETLKW,
    F_RDLCK,
    F_SETFD,
    F_SETFL,
    F_SETLK,
    F_SETLKW,
    F_SETOWN,
    F_SETPIPE_SZ,
    F_SETSIG,
    F_UNLCK,
    F_WRLCK,
    FD_CLOEXEC,
    FLOCK,
    LOCK_EX,
    LOCK_NB,
    LOCK_SH,
    LOCK_UN,
    MFD_CLOEXEC,
    O_APPEND,
    O_CLOEXEC,
    O_DIRECT,
    O_LARGEFILE,
    O_NOATIME,
    O_NONBLOCK,
    O_PATH,
    O_RDWR,
    SEEK_CUR,
    SEEK_END,
    SEEK_SET,
)
from webvm.linux.resource import RLIM_INFINITY, RLIMIT_FSIZE
from webvm.linux.signal import SIGXFSZ
from webvm.linux.stat import S_ISGID, S_ISUID

IOV_MAX = 1024
SETTABLE = O_APPEND | O_DIRECT | O_NOATIME | O_NONBLOCK  # by F_SETFL
LOCKS = frozenset((F_GETLK, F_SETLK, F_SETLKW, F_OFD_GETLK, F_OFD_SETLK, F_OFD_SETLKW))
RWF_NOAPPEND_MASK = 0x1F  # HIPRI DSYNC SYNC NOWAIT APPEND: accepted, nothing to do


# -- reading and writing --------------------------------------------------------------------------------------------------


def readable(task, fd) -> File:
    file = task.files.get(fd)
    if not file.readable:
        raise Errno(EBADF)
    return file


def writable(task, fd) -> File:
    file = task.files.get(fd)
    if not file.writable:
        raise Errno(EBADF)
    return file


def positioned(task, fd, reading) -> File:
    """For pread and pwrite: ESPIPE comes before EBADF."""
    file = task.files.get(fd)
    if not (file.seekable and (file.readable if reading else file.writable)):
        raise _not_positioned(file)
    return file


def _not_positioned(file) -> Errno:
    return Errno(EBADF if file.seekable else ESPIPE)


async def read_some(task, file: File, count: int) -> bytes:
    if file.tty is not None:
        check_background_read(task, file.tty)
    return await file.read(min(count, MAX_RW_COUNT))


def within_limit(task, file: File, data, offset=None):
    """What RLIMIT_FSIZE leaves of a write; SIGXFSZ and EFBIG when that is nothing."""
    limit = task.group.limit(RLIMIT_FSIZE)
    if limit == RLIM_INFINITY or not file.inode.is_reg or not data:
        return data
    start = file.inode.size if file.flags & O_APPEND else file.pos if offset is None else offset
    if start >= limit:
        signals.send(task.kernel, task.group, SIGXFSZ, task=task)
        raise Errno(EFBIG)
    return data[: limit - start]


async def write_all(task, file: File, data) -> int:
    """Write to an open file on behalf of a task: job control, limits, SIGPIPE, set-user-ID bits."""
    if file.tty is not None:
        check_background_write(task, file.tty)
    if file.seekable:
        data = within_limit(task, file, data)
    try:
        count = await file.write(data)
    except Errno as error:
        if error.number == EPIPE:
            send_sigpipe(task)
        raise
    if count and file.inode.mode & (S_ISUID | S_ISGID):
        await drop_privileges(task, file.inode)
    return count


# A handler does without a coroutine what is at hand, and returns one for the rest.


@syscall(0)
def read(task, fd: Fd, buf: Out, count: Size):
    file = task.files.get(fd)
    if not file.readable:
        raise Errno(EBADF)
    if not count:
        return 0
    data = file.read_now(count if count < MAX_RW_COUNT else MAX_RW_COUNT)
    if data is None:
        return _read(task, file, buf, count)
    if not data or task.mem.write_now(buf, data):
        return len(data)
    return storing(task, buf, data, len(data))


async def _read(task, file, buf, count):
    data = await read_some(task, file, count)
    await task.mem.write(buf, data)
    return len(data)


@syscall(1)
def write(task, fd: Fd, buf: In, count: Size):
    file = task.files.get(fd)
    if not file.writable:
        raise Errno(EBADF)
    if 0 < count < MAX_RW_COUNT:
        data = task.mem.read_now(buf, count)
        if data is not None:
            if _plain(task, file):
                count = file.write_now(data)
                if count is not None:
                    return count
            return write_all(task, file, data)
    return _write(task, file, buf, count)


async def _write(task, file, buf, count):
    return await write_all(task, file, await task.mem.read(buf, min(count, MAX_RW_COUNT)))


def _plain(task, file) -> bool:
    """Whether a write is nothing but that: no limit on the size of files, no bits to take away from the mode."""
    return task.group.rlimits[RLIMIT_FSIZE][0] == RLIM_INFINITY and not file.inode.mode & (S_ISUID | S_ISGID)


@syscall(17)
def pread64(task, fd: Fd, buf: Out, count: Size, offset: Long):
    if offset < 0:
        raise Errno(EINVAL)
    file = task.files.get(fd)
    if not (file.seekable and file.readable):
        raise _not_positioned(file)
    data = file.pread_now(count if count < MAX_RW_COUNT else MAX_RW_COUNT, offset)
    if data is None:
        return _pread(task, file, buf, count, offset)
    if not data or task.mem.write_now(buf, data):
        return len(data)
    return storing(task, buf, data, len(data))


async def _pread(task, file, buf, count, offset):
    data = await file.pread(min(count, MAX_RW_COUNT), offset)
    await task.mem.write(buf, data)
    return len(data)


@syscall(18)
def pwrite64(task, fd: Fd, buf: In, count: Size, offset: Long):
    if offset < 0:
        raise Errno(EINVAL)
    file = task.files.get(fd)
    if not (file.seekable and file.writable):
        raise _not_positioned(file)
    if 0 < count < MAX_RW_COUNT:
        data = task.mem.read_now(buf, count)
        if data is not None and _plain(task, file):
            written = file.pwrite_now(data, offset)
            if written is not None:
                return written
    return _pwrite(task, file, buf, count, offset)


async def _pwrite(task, file, buf, count, offset):
    data = await task.mem.read(buf, min(count, MAX_RW_COUNT))
    written = await file.pwrite(within_limit(task, file, data, offset), offset)
    if written and file.inode.mode & (S_ISUID | S_ISGID):
        await drop_privileges(task, file.inode)
    return written


async def iovec(task, address, count) -> list[tuple[int, int]]:
    """[(address, length)] of an array of struct iovec, cut off at MAX_RW_COUNT bytes in all."""
    if not 0 <= count <= IOV_MAX:
        raise Errno(EINVAL)
    parts, room = [], MAX_RW_COUNT
    for base, length in iter_unpack("<QQ", await task.mem.read(address, 16 * count)):
        if length >> 63:
            raise Errno(EINVAL)
        parts.append((base, min(length, room)))
        room -= parts[-1][1]
    return parts


async def scatter(task, parts, data):
    at = 0
    for base, length in parts:
        if at >= len(data):
            break
        await task.mem.write(base, data[at : at + length])
        at += length


async def gather(task, parts) -> bytes:
    return b"".join([await task.mem.read(base, length) for base, length in parts if length])


@syscall(19)
async def readv(task, fd: Fd, iov: Ptr, iovcnt: Int):
    file = readable(task, fd)
    parts = await iovec(task, iov, iovcnt)
    total = sum(length for _, length in parts)
    if not total:
        return 0
    data = await read_some(task, file, total)
    await scatter(task, parts, data)
    return len(data)


@syscall(20)
async def writev(task, fd: Fd, iov: Ptr, iovcnt: Int):
    file = writable(task, fd)
    return await write_all(task, file, await gather(task, await iovec(task, iov, iovcnt)))


@syscall(295)
async def preadv(task, fd: Fd, iov: Ptr, iovcnt: Int, offset: Long):
    if offset < 0:
        raise Errno(EINVAL)
    file = positioned(task, fd, True)
    parts = await iovec(task, iov, iovcnt)
    data = await file.pread(sum(length for _, length in parts), offset)
    await scatter(task, parts, data)
    return len(data)


@syscall(296)
async def pwritev(task, fd: Fd, iov: Ptr, iovcnt: Int, offset: Long):
    if offset < 0:
        raise Errno(EINVAL)
    file = positioned(task, fd, False)
    data = await gather(task, await iovec(task, iov, iovcnt))
    written = await file.pwrite(within_limit(task, file, data, offset), offset)
    if written:
        await drop_privileges(task, file.inode)
    return written


@syscall(327)
async def preadv2(task, fd: Fd, iov: Ptr, iovcnt: Int, offset: Long, offset_high: Long, flags: Flags("RWF_")):
    if flags & ~RWF_NOAPPEND_MASK:
        raise Errno(EOPNOTSUPP)
    return await (readv(task, fd, iov, iovcnt) if offset == -1 else preadv(task, fd, iov, iovcnt, offset))


@syscall(328)
async def pwritev2(task, fd: Fd, iov: Ptr, iovcnt: Int, offset: Long, offset_high: Long, flags: Flags("RWF_")):
    if flags & ~RWF_NOAPPEND_MASK:
        raise Errno(EOPNOTSUPP)
    return await (writev(task, fd, iov, iovcnt) if offset == -1 else pwritev(task, fd, iov, iovcnt, offset))


@syscall(8)
def lseek(task, fd: Fd, offset: Long, whence: Enum("SEEK_", "fcntl")):
    file = task.files.get(fd)
    target = file.seek_now(offset, whence)
    return file.seek(offset, whence) if target is None else target


@syscall(187)
def readahead(task, fd: Fd, offset: Long, count: Size):
    if not isinstance(readable(task, fd), RegularFile):
        raise Errno(EINVAL)
    return 0


@syscall(221)
def fadvise64(task, fd: Fd, offset: Long, length: Long, advice: Int):
    file = task.files.get(fd)
    if isinstance(file, PipeFile):
        raise Errno(ESPIPE)
    if not 0 <= advice <= 5 or length < 0:
        raise Errno(EINVAL)
    return 0


# -- descriptors ----------------------------------------------------------------------------------------------------------


@syscall(3)
def close(task, fd: Fd):
    task.files.close(fd)
    return 0


@syscall(436)
def close_range(task, first: UInt, last: UInt, flags: Flags("CLOSE_RANGE_", "fcntl")):
    if first > last or flags & ~(CLOSE_RANGE_CLOEXEC | CLOSE_RANGE_UNSHARE):
        raise Errno(EINVAL)
    if flags & CLOSE_RANGE_UNSHARE and task.files.refs > 1:
        shared, task.files = task.files, task.files.copy()
        shared.release()
    for fd in [fd for fd in task.files if first <= fd <= last]:
        if flags & CLOSE_RANGE_CLOEXEC:
            task.files.set_cloexec(fd, True)
        else:
            task.files.close(fd)
    return 0


@syscall(32)
def dup(task, oldfd: Fd):
    return task.files.dup(oldfd)


@syscall(33)
def dup2(task, oldfd: Fd, newfd: Fd):
    file = task.files.get(oldfd)
    if oldfd != newfd:
        task.files.set(newfd, file)
    return newfd


@syscall(292)
def dup3(task, oldfd: Fd, newfd: Fd, flags: Flags("O_", "fcntl")):
    if flags & ~O_CLOEXEC or oldfd == newfd:
        raise Errno(EINVAL)
    task.files.set(newfd, task.files.get(oldfd), bool(flags))
    return newfd


@syscall(72, note="no leases, no F_NOTIFY, no signals on descriptors")
async def fcntl(task, fd: Fd, cmd: Enum("F_", "fcntl"), arg: Size):
    files, file = task.files, task.files.get(fd)
    if cmd == F_DUPFD or cmd == F_DUPFD_CLOEXEC:
        return files.dup(fd, cmd == F_DUPFD_CLOEXEC, _int(arg))
    if cmd == F_GETFD:
        return FD_CLOEXEC if files.cloexec(fd) else 0
    if cmd == F_SETFD:
        files.set_cloexec(fd, bool(arg & FD_CLOEXEC))
        return 0
    if cmd == F_GETFL:
        return file.flags & ~O_CLOEXEC
    if file.flags & O_PATH:
        raise Errno(EBADF)
    if cmd == F_SETFL:
        file.flags = file.flags & ~SETTABLE | arg & SETTABLE
        return 0
    if cmd in LOCKS:
        return await _record_lock(task, file, cmd, arg)
    if cmd in (F_SETPIPE_SZ, F_GETPIPE_SZ):
        if not isinstance(file, PipeFile):
            raise Errno(EBADF)
        return file.pipe.capacity if cmd == F_GETPIPE_SZ else file.resize(_int(arg))
    if cmd in (F_GETOWN, F_GETSIG, F_SETOWN, F_SETSIG):
        return 0
    if cmd in (F_ADD_SEALS, F_GET_SEALS):
        seals = getattr(file, "seals", None)
        if seals is None:
            raise Errno(EINVAL)
        if cmd == F_ADD_SEALS:
            file.seals |= _int(arg)
            return 0
        return seals
    raise Errno(EINVAL)


def _int(value):
    value &= 0xFFFFFFFF
    return value - (1 << 32) if value >> 31 else value


async def _record_lock(task, file, cmd, address):
    kind, whence, start, length, pid = FLOCK.unpack(await task.mem.read(address, FLOCK.size))
    if file.dentry is None or not file.seekable:
        raise Errno(EINVAL)
    if whence == SEEK_CUR:
        start += file.pos
    elif whence == SEEK_END:
        start += file.inode.size
    elif whence != SEEK_SET:
        raise Errno(EINVAL)
    if length < 0:
        start, length = start + length, -length
    if start < 0:
        raise Errno(EINVAL)
    if start + length > TO_END:
        raise Errno(EOVERFLOW)
    ofd = cmd in (F_OFD_GETLK, F_OFD_SETLK, F_OFD_SETLKW)
    if kind not in (F_RDLCK, F_WRLCK, F_UNLCK) or ofd and pid:
        raise Errno(EINVAL)
    end = start + length if length else TO_END
    wanted = Lock(kind, start, end, file if ofd else task.files, -1 if ofd else task.group.pid)
    locks = task.kernel.locks
    if cmd in (F_GETLK, F_OFD_GETLK):
        other = locks.conflict(file.inode, wanted)
        if other is None:
            reply = FLOCK.pack(F_UNLCK, whence, start, length, pid)
        else:
            length = 0 if other.end == TO_END else other.end - other.start
            reply = FLOCK.pack(other.type, SEEK_SET, other.start, length, other.pid)
        await task.mem.write(address, reply)
        return 0
    if kind == F_RDLCK and not file.readable or kind == F_WRLCK and not file.writable:
        raise Errno(EBADF)
    await locks.set(file.inode, wanted, cmd in (F_SETLKW, F_OFD_SETLKW))
    return 0


@syscall(73)
async def flock(task, fd: Fd, operation: Flags("LOCK_", "fcntl")):
    file = task.files.get(fd)
    if operation & ~LOCK_NB not in (LOCK_SH, LOCK_EX, LOCK_UN):
        raise Errno(EINVAL)
    if isinstance(file, PathFile):
        raise Errno(EBADF)
    await task.kernel.locks.flock(file, operation)
    return 0


# -- directories ----------------------------------------------------------------------------------------------------------


async def _getdents(task, fd, address, count, pack):
    directory = task.files.get(fd)
    if not isinstance(directory, Directory):
        raise Errno(EBADF if isinstance(directory, PathFile) else ENOTDIR)
    if directory.inode.nlink == 0:
        raise Errno(ENOENT)
    entries = await directory.entries()
    position, room, records = directory.pos, count, []
    while position < len(entries):
        name, ino, kind = entries[position]
        record = pack(ino, position + 1, kind, name)
        if len(record) > room:
            if not records:
                raise Errno(EINVAL)
            break
        records.append(record)
        room -= len(record)
        position += 1
    if records:
        await task.mem.write(address, b"".join(records))
    directory.pos = position
    return count - room


@syscall(217)
async def getdents64(task, fd: Fd, dirent: Ptr, count: UInt):
    return await _getdents(task, fd, dirent, count, pack_dirent64)


@syscall(78)
async def getdents(task, fd: Fd, dirent: Ptr, count: UInt):
    return await _getdents(task, fd, dirent, count, pack_dirent)


# -- sizes ----------------------------------------------------------------------------------------------------------------


async def _truncate(task, inode, length):
    if length < 0:
        raise Errno(EINVAL)
    if inode.is_dir:
        raise Errno(EISDIR)
    if not inode.is_reg:
        raise Errno(EINVAL)
    if length > inode.size and length > task.group.limit(RLIMIT_FSIZE):
        signals.send(task.kernel, task.group, SIGXFSZ, task=task)
        raise Errno(EFBIG)
    await inode.truncate(length)
    await drop_privileges(task, inode)
    return 0


@syscall(76)
async def truncate(task, path: Path, length: Long):
    dentry = await resolve(task, await task.mem.cstring(path))
    if dentry.inode.is_reg:
        check_writable(task, dentry)
        check(task.cred, dentry.inode, MAY_WRITE)
    return await _truncate(task, dentry.inode, length)


@syscall(77)
async def ftruncate(task, fd: Fd, length: Long):
    file = task.files.get(fd)
    if isinstance(file, PathFile):
        raise Errno(EBADF)
    if not file.writable or not file.inode.is_reg:
        raise Errno(EINVAL)
    return await _truncate(task, file.inode, length)


@syscall(285)
async def fallocate(task, fd: Fd, mode: Flags("FALLOC_FL_", "fcntl"), offset: Long, length: Long):
    file = writable(task, fd)
    if offset < 0 or length <= 0:
        raise Errno(EINVAL)
    if offset + length >= 1 << 63:
        raise Errno(EFBIG)
    if isinstance(file, PipeFile):
        raise Errno(ESPIPE)
    if not file.inode.is_reg:
        raise Errno(ENODEV)
    await file.inode.fallocate(mode, offset, length)
    await drop_privileges(task, file.inode)
    return 0


# -- flushing: what is written is in memory already, except on file systems of the host -----------------------------------


@syscall(162)
async def sync(task):
    for mount in task.kernel.mounts.list:
        await mount.fs.sync()
    return 0


async def _sync(task, fd):
    file = task.files.get(fd)
    if isinstance(file, PathFile):
        raise Errno(EBADF)
    if not file.inode.is_reg and not file.inode.is_dir:
        raise Errno(EINVAL)
    await file.inode.fs.sync()
    return 0


@syscall(74)
async def fsync(task, fd: Fd):
    return await _sync(task, fd)


@syscall(75)
async def fdatasync(task, fd: Fd):
    return await _sync(task, fd)


@syscall(306)
async def syncfs(task, fd: Fd):
    await task.files.get(fd).inode.fs.sync()
    return 0


@syscall(277)
def sync_file_range(task, fd: Fd, offset: Long, length: Long, flags: UInt):
    task.files.get(fd)
    return 0


# -- memory files ---------------------------------------------------------------------------------------------------------


class MemoryFile(RegularFile):
    """memfd_create: a file of a tmpfs that no directory knows. Seals are remembered, not enforced."""

    seals = 1  # F_SEAL_SEAL: none can be added unless asked for


@syscall(319, note="seals are remembered, not enforced")
async def memfd_create(task, name: Path, flags: Flags("MFD_", "fcntl")):
    label = await task.mem.cstring(name)
    if len(label) > 249 or flags & ~0x1F:
        raise Errno(EINVAL)
    fs = task.kernel.shm
    inode: MemFile = fs.new_file(0o777, task.cred.fsuid, task.cred.fsgid)
    inode.nlink = 0
    file = MemoryFile(inode, O_RDWR | O_LARGEFILE)
    file.seals = 0 if flags & 2 else 1
    file.dentry = Dentry(inode, None, b"memfd:" + label + b" (deleted)")
    return task.files.install(file, bool(flags & MFD_CLOEXEC))


# -- not here -------------------------------------------------------------------------------------------------------------


@syscall(303, note="ENOTSUP")
def name_to_handle_at(task, fd: Fd, path: Path, handle: Ptr, mount_id: Ptr, flags: Int):
    raise Errno(EOPNOTSUPP)


@syscall(304, note="EPERM")
def open_by_handle_at(task, fd: Fd, handle: Ptr, flags: Int):
    raise Errno(EPERM)


@syscall(425, note="ENOSYS, as where io_uring is switched off")
def io_uring_setup(task, entries: UInt, params: Ptr):
    raise Errno(ENOSYS)


@syscall(253, note="ENOSYS")
def inotify_init(task):
    raise Errno(ENOSYS)


@syscall(294, note="ENOSYS")
def inotify_init1(task, flags: Flags("O_", "fcntl")):
    raise Errno(ENOSYS)
