"""Pipes, and the calls that move bytes from file to file without passing through the program."""

from webvm.fs.pipe import PipeFile
from webvm.fs.vfs import Directory
from webvm.fs.wait import Interrupted, wait_any
from webvm.kernel.sys_file import gather, iovec, readable, writable, write_all
from webvm.kernel.syscall import Fd, Flags, Int, Ptr, Size, UInt, syscall
from webvm.linux.errno import EAGAIN, EBADF, EINVAL, EISDIR, ESPIPE, EXDEV, Errno
from webvm.linux.fcntl import O_APPEND, O_CLOEXEC, O_DIRECT, O_NONBLOCK, SPLICE_F_NONBLOCK

STEP = 1 << 20  # moved between two files at a time


@syscall(293)
async def pipe2(task, pipefd: Ptr, flags: Flags("O_", "fcntl")):
    if flags & ~(O_CLOEXEC | O_NONBLOCK | O_DIRECT):
        raise Errno(EINVAL)
    cloexec, flags = bool(flags & O_CLOEXEC), flags & ~O_CLOEXEC
    ends = task.kernel.pipefs.pipe(task.cred.fsuid, task.cred.fsgid, flags)
    fds = install_pair(task, ends, cloexec)
    try:
        await task.mem.write(pipefd, b"".join(fd.to_bytes(4, "little") for fd in fds))
    except Errno:
        for fd in fds:
            task.files.close(fd)
        raise
    return 0


def install_pair(task, ends, cloexec):
    """Two descriptors, or none (EMFILE)."""
    first, second = ends
    fd = task.files.install(first, cloexec)
    try:
        return fd, task.files.install(second, cloexec)
    except Errno:
        task.files.close(fd)
        raise


@syscall(22)
async def pipe(task, pipefd: Ptr):
    return await pipe2(task, pipefd, 0)


async def _offset(task, address):
    """The off_t at the address; None for a null pointer."""
    if not address:
        return None
    offset = int.from_bytes(await task.mem.read(address, 8), "little", signed=True)
    if offset < 0:
        raise Errno(EINVAL)
    return offset


async def _store(task, address, offset):
    if address:
        await task.mem.write(address, offset.to_bytes(8, "little"))


async def _write_at(task, file, data, offset):
    if offset is None:
        return await write_all(task, file, data)
    return await file.pwrite(data, offset)


async def _copy(task, source, target, count, offset_in, offset_out) -> int:
    """Move up to count bytes; stops at the end of the source or when the target takes less than it was given."""
    done = 0
    while done < count:
        n = min(count - done, STEP)
        if offset_in is None:
            position = source.pos if source.seekable else None
            data = await source.read(n)
        else:
            data = await source.pread(n, offset_in + done)
        if not data:
            break
        try:
            written = await _write_at(task, target, data, None if offset_out is None else offset_out + done)
        except (Errno, Interrupted):
            if offset_in is None and position is not None:
                source.pos = position
            if done:
                break
            raise
        done += written
        if written < len(data):
            if offset_in is None and position is not None:
                source.pos = position + written
            break
        if not source.seekable:
            break
    return done


@syscall(40)
async def sendfile(task, out_fd: Fd, in_fd: Fd, offset: Ptr, count: Size):
    source, target = readable(task, in_fd), writable(task, out_fd)
    if not source.seekable or isinstance(source, Directory) or target.flags & O_APPEND:
        raise Errno(EINVAL)
    start = await _offset(task, offset)
    done = await _copy(task, source, target, min(count, 0x7FFFF000), start, None)
    if start is not None:
        await _store(task, offset, start + done)
    return done


@syscall(326)
async def copy_file_range(task, fd_in: Fd, off_in: Ptr, fd_out: Fd, off_out: Ptr, length: Size, flags: UInt):
    source, target = readable(task, fd_in), writable(task, fd_out)
    if flags:
        raise Errno(EINVAL)
    if source.inode.is_dir or target.inode.is_dir:
        raise Errno(EISDIR)
    if not source.inode.is_reg or not target.inode.is_reg:
        raise Errno(EINVAL)
    if target.flags & O_APPEND:
        raise Errno(EBADF)
    if source.inode.fs is not target.inode.fs:
        raise Errno(EXDEV)
    start, end = await _offset(task, off_in), await _offset(task, off_out)
    length = min(length, 0x7FFFF000)
    if source.inode is target.inode:
        first, second = (source.pos if start is None else start), (target.pos if end is None else end)
        if first < second + length and second < first + length:
            raise Errno(EINVAL)
    done = await _copy(task, source, target, length, start, end)
    await _store(task, off_in, (start or 0) + done)
    await _store(task, off_out, (end or 0) + done)
    return done


async def _ready(pipe_file, flags, ready):
    """Wait until `ready()`, unless SPLICE_F_NONBLOCK or O_NONBLOCK say otherwise."""
    while not ready():
        if flags & SPLICE_F_NONBLOCK or pipe_file.flags & O_NONBLOCK:
            raise Errno(EAGAIN)
        await wait_any(pipe_file.poll_queues())


async def _await_data(file, flags) -> bool:
    """False: the pipe is empty and will stay so."""
    await _ready(file, flags, lambda: file.pipe.size or not file.pipe.writers)
    return file.pipe.size > 0


async def _await_room(file, flags):
    await _ready(file, flags, lambda: file.pipe.size < file.pipe.capacity or not file.pipe.readers)


@syscall(275)
async def splice(task, fd_in: Fd, off_in: Ptr, fd_out: Fd, off_out: Ptr, length: Size, flags: Flags("SPLICE_F_", "fcntl")):
    if flags & ~0xF:
        raise Errno(EINVAL)
    if not length:
        return 0
    source, target = readable(task, fd_in), writable(task, fd_out)
    from_pipe, to_pipe = isinstance(source, PipeFile), isinstance(target, PipeFile)
    if not from_pipe and not to_pipe:
        raise Errno(EINVAL)
    if off_in and from_pipe or off_out and to_pipe:
        raise Errno(ESPIPE)
    start, end = await _offset(task, off_in), await _offset(task, off_out)
    if from_pipe and to_pipe and source.pipe is target.pipe or target.flags & O_APPEND and not to_pipe:
        raise Errno(EINVAL)
    if from_pipe and not await _await_data(source, flags):
        return 0
    if to_pipe:
        await _await_room(target, flags)
        length = min(length, target.pipe.capacity - target.pipe.size or 1)
    if from_pipe:
        length = min(length, source.pipe.size)
    done = await _copy(task, source, target, min(length, STEP), start, end)
    await _store(task, off_in, (start or 0) + done)
    await _store(task, off_out, (end or 0) + done)
    return done


@syscall(276)
async def tee(task, fd_in: Fd, fd_out: Fd, length: Size, flags: Flags("SPLICE_F_", "fcntl")):
    if flags & ~0xF:
        raise Errno(EINVAL)
    if not length:
        return 0
    source, target = readable(task, fd_in), writable(task, fd_out)
    if not isinstance(source, PipeFile) or not isinstance(target, PipeFile) or source.pipe is target.pipe:
        raise Errno(EINVAL)
    if not await _await_data(source, flags):
        return 0
    await _await_room(target, flags)
    room = target.pipe.capacity - target.pipe.size or 1
    return await write_all(task, target, source.pipe.peek(min(length, room)))


@syscall(278, note="to a pipe only")
async def vmsplice(task, fd: Fd, iov: Ptr, nr_segs: Int, flags: Flags("SPLICE_F_", "fcntl")):
    file = writable(task, fd)
    if not isinstance(file, PipeFile):
        raise Errno(EBADF)
    return await write_all(task, file, await gather(task, await iovec(task, iov, nr_segs)))
