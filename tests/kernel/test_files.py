"""Descriptors, pipes, locks, polling and sockets through their system calls, on a small task without processes."""

import asyncio

import pytest
from tests.fake_task import FakeTask
from webvm.fs.tmpfs import Tmpfs
from webvm.kernel.files import FileTable
from webvm.linux.errno import Errno
from webvm.linux.fcntl import (
    F_DUPFD,
    F_DUPFD_CLOEXEC,
    F_GETFD,
    F_GETLK,
    F_GETPIPE_SZ,
    F_OFD_SETLK,
    F_RDLCK,
    F_SETLK,
    F_SETLKW,
    F_SETPIPE_SZ,
    F_UNLCK,
    F_WRLCK,
    FLOCK,
    LOCK_EX,
    LOCK_NB,
    LOCK_SH,
    LOCK_UN,
    O_CLOEXEC,
    O_CREAT,
    O_NONBLOCK,
    O_RDONLY,
    O_RDWR,
    O_TMPFILE,
    O_WRONLY,
)
from webvm.linux.poll import (
    EPOLL_CTL_ADD,
    EPOLL_CTL_DEL,
    EPOLL_CTL_MOD,
    EPOLL_EVENT,
    EPOLLET,
    EPOLLONESHOT,
    POLLERR,
    POLLFD,
    POLLHUP,
    POLLIN,
    POLLNVAL,
    POLLOUT,
)
from webvm.linux.signal import SIGPIPE
from webvm.linux.socket import AF_INET, AF_UNIX, CMSGHDR, MSGHDR, SOCK_DGRAM, SOCK_STREAM, SOL_SOCKET


@pytest.fixture
def killed(monkeypatch):
    """Signals that were sent to the task."""
    sent = []
    monkeypatch.setattr("webvm.kernel.signals.send", lambda kernel, group, signo, info=None, task=None: sent.append(signo))
    return sent


def on_task(program):
    """A test that is a coroutine over a task with an empty root directory."""

    def test():
        asyncio.run(program(FakeTask(Tmpfs(mode=0o755))))

    test.__name__ = program.__name__
    return test


async def error_of(coroutine):
    with pytest.raises(Errno) as caught:
        await coroutine
    return caught.value.name


async def started(coroutine):
    """A future of the coroutine, which has run until it waits."""
    future = asyncio.ensure_future(coroutine)
    await asyncio.sleep(0)
    return future


# -- descriptors ----------------------------------------------------------------------------------------------------------


@on_task
async def test_the_lowest_free_descriptor_is_taken(task):
    fds = [await task.open(b"/") for _ in range(5)]
    await task("close", 3)
    await task("close", 1)
    assert fds == [0, 1, 2, 3, 4]
    assert [await task.open(b"/") for _ in range(3)] == [1, 3, 5]
    assert await task("dup2", 0, 9) == 9 and await task("dup", 0) == 6
    assert await task("fcntl", 0, F_DUPFD, 20) == 20


@on_task
async def test_close_on_exec_is_of_the_descriptor(task):
    fd = await task.open(b"/", O_CLOEXEC)
    other = await task("dup", fd)
    third = await task("fcntl", fd, F_DUPFD_CLOEXEC, 0)
    assert [await task("fcntl", n, F_GETFD, 0) for n in (fd, other, third)] == [1, 0, 1]
    task.files.close_on_exec()
    assert list(task.files) == [other]


@on_task
async def test_a_table_is_full_at_its_limit(task):
    task.files.limit = 3
    for _ in range(3):
        await task.open(b"/")
    assert await error_of(task.open(b"/")) == "EMFILE"
    assert await error_of(task("dup2", 0, 3)) == "EBADF"
    assert await error_of(task("fcntl", 0, F_DUPFD, 3)) == "EINVAL"


@on_task
async def test_an_unlinked_file_lives_while_it_is_open(task):
    fd = await task.open(b"/f", O_RDWR | O_CREAT)
    await task.write(fd, b"still here")
    await task("unlink", b"/f")
    fs = task.kernel.mounts.root.inode.fs
    assert await error_of(task.open(b"/f")) == "ENOENT" and fs.used_pages == 1
    await task("lseek", fd, 0, 0)
    assert await task.read(fd, 100) == b"still here"
    await task("close", fd)
    assert fs.used_pages == 0


@on_task
async def test_a_file_without_a_name_can_be_given_one(task):
    fd = await task.open(b"/", O_TMPFILE | O_RDWR, 0o600)
    await task.write(fd, b"x")
    assert await task.names(b"/") == [b".", b".."]
    await task("linkat", fd, b"", -100, b"/named", 0x1000)
    assert await task.names(b"/") == [b".", b"..", b"named"]


@on_task
async def test_a_full_file_system_says_so_and_takes_what_fits(task):
    task.kernel.mounts.root.inode.fs.limit_pages = 2
    fd = await task.open(b"/f", O_RDWR | O_CREAT)
    assert await task.write(fd, bytes(10000)) == 8192
    assert await error_of(task.write(fd, b"more")) == "ENOSPC"


@on_task
async def test_an_unlinked_working_directory_has_no_name(task):
    await task("mkdir", b"/d", 0o755)
    await task("chdir", b"/d")
    await task("rmdir", b"/d")
    assert await error_of(task("getcwd", task.mem.put(bytes(100)), 100)) == "ENOENT"
    assert await error_of(task.open(b"f", O_CREAT | O_RDWR)) == "ENOENT"


# -- pipes ----------------------------------------------------------------------------------------------------------------


@on_task
async def test_a_pipe_can_be_given_to_another_user(task):
    r, w = await task.pipe()
    assert await task("fchown", w, 7, 8) == 0 == await task("fchmod", w, 0o640)


@on_task
async def test_a_pipe_holds_64_kib_and_small_writes_are_whole(task):
    r, w = await task.pipe(O_NONBLOCK)
    assert await task("fcntl", w, F_GETPIPE_SZ, 0) == 65536
    assert await task.write(w, bytes(65000)) == 65000
    assert await error_of(task.write(w, bytes(600))) == "EAGAIN"  # not 536 of them
    assert await task.write(w, bytes(5000)) == 536
    assert len(await task.read(r, 100000)) == 65536
    assert await error_of(task.read(r, 1)) == "EAGAIN"


@on_task
async def test_a_writer_waits_for_room_and_a_reader_for_bytes(task):
    r, w = await task.pipe()
    reader = await started(task.files.get(r).read(10))
    await task.write(w, b"hello")
    assert await reader == b"hello"
    writer = await started(task.files.get(w).write(b"x" * 100000))
    got = b""
    while len(got) < 100000:
        got += await task.files.get(r).read(7000)
        await asyncio.sleep(0)
    assert await writer == 100000 and got == b"x" * 100000


def test_writing_without_readers_is_sigpipe(killed):
    async def program(task):
        r, w = await task.pipe()
        await task("close", r)
        assert await error_of(task.write(w, b"x")) == "EPIPE"

    asyncio.run(program(FakeTask(Tmpfs())))
    assert killed == [SIGPIPE]


@on_task
async def test_a_pipe_ends_when_its_last_writer_goes(task):
    r, w = await task.pipe()
    copy = await task("dup", w)
    await task("close", w)
    reading = await started(task.files.get(r).read(1))
    assert not reading.done()
    await task("close", copy)
    assert await reading == b""


@on_task
async def test_a_pipe_can_be_resized_in_powers_of_two(task):
    r, w = await task.pipe()
    assert await task("fcntl", w, F_SETPIPE_SZ, 5000) == 8192
    await task.write(w, bytes(5000))
    assert await error_of(task("fcntl", w, F_SETPIPE_SZ, 4096)) == "EBUSY"
    assert await error_of(task("fcntl", w, F_SETPIPE_SZ, 1 << 21)) == "EPERM"


@on_task
async def test_a_fifo_opens_when_both_sides_are_there(task):
    await task("mknod", b"/p", 0o010644, 0)
    assert await error_of(task.open(b"/p", O_WRONLY | O_NONBLOCK)) == "ENXIO"
    reader = await started(task.open(b"/p", O_RDONLY))
    writer = await task.open(b"/p", O_WRONLY)
    await task.write(writer, b"through")
    assert await task.read(await reader, 100) == b"through"


@on_task
async def test_splice_tee_and_sendfile_move_bytes(task):
    fd = await task.open(b"/f", O_RDWR | O_CREAT)
    await task.write(fd, bytes(range(100)))
    r, w = await task.pipe()
    r2, w2 = await task.pipe()
    offset = task.mem.put((10).to_bytes(8, "little"))
    assert await task("splice", fd, offset, w, 0, 20, 0) == 20
    assert task.mem.at(offset, 1) == bytes([30])
    assert await task("tee", r, w2, 100, 0) == 20
    assert await task.read(r, 100) == await task.read(r2, 100) == bytes(range(10, 30))
    await task("lseek", fd, 95, 0)
    assert await task("sendfile", w, fd, 0, 100) == 5
    assert await task.read(r, 100) == bytes(range(95, 100))
    copy = await task.open(b"/g", O_RDWR | O_CREAT)
    assert await task("copy_file_range", fd, offset, copy, 0, 10, 0) == 10
    await task("lseek", copy, 0, 0)
    assert await task.read(copy, 100) == bytes(range(30, 40))


# -- locks ----------------------------------------------------------------------------------------------------------------


def lock(kind, start=0, length=0):
    return FLOCK.pack(kind, 0, start, length, 0)


async def other_process(task):
    other = FakeTask(None, kernel=task.kernel)
    other.group.pid = 200
    return other


@on_task
async def test_record_locks_of_two_processes_exclude_each_other(task):
    other = await other_process(task)
    fd = await task.open(b"/f", O_RDWR | O_CREAT)
    fd2 = await other.open(b"/f", O_RDWR)
    await task("fcntl", fd, F_SETLK, lock(F_WRLCK, 10, 10))
    assert await error_of(other("fcntl", fd2, F_SETLK, lock(F_RDLCK, 15, 1))) == "EAGAIN"
    await other("fcntl", fd2, F_SETLK, lock(F_WRLCK, 20, 0))
    asked = other.mem.put(lock(F_RDLCK, 0, 0))
    await other("fcntl", fd2, F_GETLK, asked)
    assert FLOCK.unpack(other.mem.at(asked, 32)) == (F_WRLCK, 0, 10, 10, 100)
    await task("fcntl", fd, F_SETLK, lock(F_UNLCK, 12, 3))
    await other("fcntl", fd2, F_SETLK, lock(F_RDLCK, 12, 3))
    waiting = await started(other("fcntl", fd2, F_SETLKW, lock(F_WRLCK, 0, 0)))
    assert not waiting.done()
    await task("close", await task("dup", fd))  # closing any descriptor of the file gives all locks up
    assert await waiting == 0


@on_task
async def test_two_that_wait_for_each_other_are_told(task):
    other = await other_process(task)
    fd, fd2 = await task.open(b"/f", O_RDWR | O_CREAT), await other.open(b"/f", O_RDWR)
    await task("fcntl", fd, F_SETLK, lock(F_WRLCK, 0, 1))
    await other("fcntl", fd2, F_SETLK, lock(F_WRLCK, 1, 1))
    waiting = await started(task("fcntl", fd, F_SETLKW, lock(F_WRLCK, 1, 1)))
    assert await error_of(other("fcntl", fd2, F_SETLKW, lock(F_WRLCK, 0, 1))) == "EDEADLK"
    await other("close", fd2)
    assert await waiting == 0


@on_task
async def test_flock_belongs_to_the_open_file(task):
    fd, fd2 = await task.open(b"/f", O_RDWR | O_CREAT), await task.open(b"/f", O_RDWR)
    same = await task("dup", fd)
    await task("flock", fd, LOCK_SH)
    await task("flock", fd2, LOCK_SH)
    assert await error_of(task("flock", fd, LOCK_EX | LOCK_NB)) == "EAGAIN"
    await task("flock", fd2, LOCK_UN)
    await task("flock", same, LOCK_EX)
    await task("close", fd)
    assert await error_of(task("flock", fd2, LOCK_SH | LOCK_NB)) == "EAGAIN"
    waiting = await started(task("flock", fd2, LOCK_EX))
    await task("close", same)
    assert await waiting == 0


@on_task
async def test_ofd_locks_are_between_open_files_of_one_process(task):
    fd, fd2 = await task.open(b"/f", O_RDWR | O_CREAT), await task.open(b"/f", O_RDWR)
    await task("fcntl", fd, F_OFD_SETLK, lock(F_WRLCK, 0, 10))
    assert await error_of(task("fcntl", fd2, F_OFD_SETLK, lock(F_RDLCK, 5, 1))) == "EAGAIN"
    await task("close", fd)
    await task("fcntl", fd2, F_OFD_SETLK, lock(F_RDLCK, 5, 1))


# -- polling --------------------------------------------------------------------------------------------------------------


async def polled(task, *pairs, timeout=0):
    at = task.mem.put(b"".join(POLLFD.pack(fd, events, 0) for fd, events in pairs))
    count = await task("poll", at, len(pairs), timeout)
    return count, [mask for _, _, mask in POLLFD.iter_unpack(task.mem.at(at, 8 * len(pairs)))]


@on_task
async def test_poll_says_what_is_ready(task):
    r, w = await task.pipe()
    fd = await task.open(b"/f", O_RDWR | O_CREAT)
    both = POLLIN | POLLOUT
    assert await polled(task, (r, both), (w, both), (fd, both), (-1, both), (99, both)) == (3, [0, POLLOUT, both, 0, POLLNVAL])
    await task.write(w, b"x")
    assert await polled(task, (r, POLLIN)) == (1, [POLLIN])
    await task("close", w)
    assert await polled(task, (r, POLLIN)) == (1, [POLLIN | POLLHUP])
    r2, w2 = await task.pipe()
    await task("close", r2)
    assert (await polled(task, (w2, 0)))[1] == [POLLERR]


@on_task
async def test_poll_waits_for_the_first_and_for_no_longer_than_told(task):
    r, w = await task.pipe()
    waiting = await started(polled(task, (r, POLLIN), timeout=-1))
    await task.files.get(w).write(b"x")
    assert await waiting == (1, [POLLIN])
    await task.read(r, 1)
    assert await polled(task, (r, POLLIN), timeout=5) == (0, [0])


@on_task
async def test_select_reports_by_set(task):
    r, w = await task.pipe()
    bits = lambda *fds: sum(1 << fd for fd in fds).to_bytes(8, "little")  # noqa: E731
    reading, writing = task.mem.put(bits(r, w)), task.mem.put(bits(r, w))
    assert await task("select", w + 1, reading, writing, 0, task.mem.put(bytes(16))) == 1
    assert task.mem.at(reading, 8) == bytes(8) and task.mem.at(writing, 8) == bits(w)
    assert await error_of(task("select", 50, task.mem.put(bits(40)), 0, 0, 0)) == "EBADF"


async def epoll(task, epfd, timeout=0):
    at = task.mem.put(bytes(12 * 8))
    count = await task("epoll_wait", epfd, at, 8, timeout)
    return list(EPOLL_EVENT.iter_unpack(task.mem.at(at, 12 * count)))


@on_task
async def test_epoll_by_level_by_edge_and_once(task):
    r, w = await task.pipe()
    ep = await task("epoll_create1", 0)
    await task("epoll_ctl", ep, EPOLL_CTL_ADD, r, EPOLL_EVENT.pack(POLLIN, 7))
    assert await error_of(task("epoll_ctl", ep, EPOLL_CTL_ADD, r, EPOLL_EVENT.pack(POLLIN, 7))) == "EEXIST"
    waiting = await started(epoll(task, ep, -1))
    await task.files.get(w).write(b"x")
    assert await waiting == [(POLLIN, 7)] == await epoll(task, ep)
    await task("epoll_ctl", ep, EPOLL_CTL_MOD, r, EPOLL_EVENT.pack(POLLIN | EPOLLET, 8))
    assert await epoll(task, ep) == [(POLLIN, 8)] and await epoll(task, ep) == []
    await task.write(w, b"y")
    assert await epoll(task, ep) == [(POLLIN, 8)] and await epoll(task, ep) == []
    await task("epoll_ctl", ep, EPOLL_CTL_MOD, r, EPOLL_EVENT.pack(POLLIN | EPOLLONESHOT, 9))
    assert await epoll(task, ep) == [(POLLIN, 9)] and await epoll(task, ep) == []
    await task("epoll_ctl", ep, EPOLL_CTL_DEL, r, 0)
    fd = await task.open(b"/f", O_RDWR | O_CREAT)
    assert await error_of(task("epoll_ctl", ep, EPOLL_CTL_ADD, fd, EPOLL_EVENT.pack(POLLIN, 7))) == "EPERM"


@on_task
async def test_epolls_can_be_nested_but_not_in_a_ring(task):
    r, w = await task.pipe()
    inner, outer = await task("epoll_create1", 0), await task("epoll_create1", 0)
    await task("epoll_ctl", inner, EPOLL_CTL_ADD, r, EPOLL_EVENT.pack(POLLIN, 1))
    await task("epoll_ctl", outer, EPOLL_CTL_ADD, inner, EPOLL_EVENT.pack(POLLIN, 2))
    assert await error_of(task("epoll_ctl", inner, EPOLL_CTL_ADD, outer, EPOLL_EVENT.pack(POLLIN, 3))) == "ELOOP"
    waiting = await started(epoll(task, outer, -1))
    await task.files.get(w).write(b"x")
    assert await waiting == [(POLLIN, 2)]


# -- sockets --------------------------------------------------------------------------------------------------------------


async def pair(task, kind=SOCK_STREAM):
    at = task.mem.put(bytes(8))
    await task("socketpair", AF_UNIX, kind, 0, at)
    data = task.mem.at(at, 8)
    return data[0], data[4]


def address(path):
    return AF_UNIX.to_bytes(2, "little") + path


@on_task
async def test_a_socket_pair_carries_bytes_both_ways(task):
    a, b = await pair(task)
    await task.write(a, b"one")
    await task.write(a, b"two")
    assert await task.read(b, 100) == b"onetwo"
    await task.write(b, b"back")
    assert await task.read(a, 2) + await task.read(a, 100) == b"back"
    await task("close", a)
    assert await task.read(b, 1) == b""


@on_task
async def test_datagrams_keep_their_borders(task):
    a, b = await pair(task, SOCK_DGRAM)
    await task.write(a, b"first")
    await task.write(a, b"second")
    assert [await task.read(b, 3), await task.read(b, 100)] == [b"fir", b"second"]


@on_task
async def test_a_server_in_the_file_system_is_connected_to(task):
    server, client = [await task("socket", AF_UNIX, SOCK_STREAM, 0) for _ in range(2)]
    name = address(b"/sock\0")
    assert await error_of(task("connect", client, name, len(name))) == "ENOENT"
    await task("bind", server, name, len(name))
    assert await error_of(task("connect", client, name, len(name))) == "ECONNREFUSED"
    await task("listen", server, 5)
    accepting = await started(task("accept", server, 0, 0))
    await task("connect", client, name, len(name))
    accepted = await accepting
    await task.write(client, b"request")
    assert await task.read(accepted, 100) == b"request"
    assert (await task.stat(b"/sock"))["mode"] & 0o170000 == 0o140000
    again = await task("socket", AF_UNIX, SOCK_STREAM, 0)
    assert await error_of(task("bind", again, name, len(name))) == "EADDRINUSE"
    await task("close", server)
    assert await error_of(task("connect", again, name, len(name))) == "ECONNREFUSED"


@on_task
async def test_a_descriptor_travels_in_a_message(task):
    a, b = await pair(task)
    r, w = await task.pipe()
    await task.write(w, b"in the pipe")
    control = CMSGHDR.pack(CMSGHDR.size + 4, SOL_SOCKET, 1) + r.to_bytes(4, "little")
    at = task.mem.put(control)
    data = task.mem.put(b"x")
    iov = task.mem.put(data.to_bytes(8, "little") + (1).to_bytes(8, "little"))
    await task("sendmsg", a, MSGHDR.pack(0, 0, iov, 1, at, len(control), 0), 0)
    await task("close", r)
    room = task.mem.put(bytes(64))
    message = task.mem.put(MSGHDR.pack(0, 0, iov, 1, room, 64, 0))
    assert await task("recvmsg", b, message, 0) == 1
    received = int.from_bytes(task.mem.at(room + 16, 4), "little")
    assert await task.read(received, 100) == b"in the pipe"


@on_task
async def test_there_is_no_network(task):
    assert await error_of(task("socket", AF_INET, SOCK_STREAM, 0)) == "EAFNOSUPPORT"


def test_fork_shares_open_files_and_copies_numbers():
    async def program(task):
        fd = await task.open(b"/f", O_RDWR | O_CREAT)
        child = task.files.copy()
        await task.write(fd, b"abc")
        assert child.get(fd).pos == 3
        child.close(fd)
        assert fd in task.files and isinstance(child, FileTable)
        await task.write(fd, b"def")

    asyncio.run(program(FakeTask(Tmpfs(mode=0o755))))
