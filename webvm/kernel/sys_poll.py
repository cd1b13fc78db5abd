"""Waiting for several files at once: poll, select and epoll, and their variants with a signal mask."""

import struct
from itertools import chain

from webvm.fs.vfs import File, PathFile
from webvm.fs.wait import Wait, WaitQueue
from webvm.kernel.syscall import Fd, Flags, Int, Ptr, Size, Timespec, Timeval, syscall
from webvm.linux.errno import EBADF, EEXIST, EINVAL, ELOOP, ENOENT, EPERM, Errno
from webvm.linux.fcntl import O_CLOEXEC, O_RDWR
from webvm.linux.poll import (
    EPOLL_CTL_ADD,
    EPOLL_CTL_DEL,
    EPOLL_CTL_MOD,
    EPOLL_EVENT,
    EPOLLET,
    EPOLLONESHOT,
    FD_SETSIZE,
    POLLERR,
    POLLFD,
    POLLHUP,
    POLLIN,
    POLLNVAL,
    POLLOUT,
    POLLPRI,
    POLLRDBAND,
    POLLRDNORM,
    POLLWRBAND,
    POLLWRNORM,
    READABLE,
)
from webvm.linux.resource import RLIMIT_NOFILE
from webvm.linux.stat import TIMESPEC, TIMEVAL

SECOND = 1_000_000_000
ALWAYS = POLLERR | POLLHUP


async def wait_until(task, look, queues, deadline):
    """The first true answer of `look()`, asked again when one of `queues()` wakes; its last one when `deadline` is over.

    `deadline`: None for ever, 0 not at all, else a time of the monotonic clock.
    """
    found = look()
    if found or deadline == 0:
        return found
    clock = task.kernel.clock
    while True:
        wait = Wait(tuple(queues()))
        timer = None if deadline is None else clock.call_at(deadline, wait.wake)
        try:
            await wait
        finally:
            if timer is not None:
                timer.cancel()
        found = look()
        if found or deadline is not None and clock.monotonic() >= deadline:
            return found


def deadline_in(task, nanoseconds):
    """None: never; 0: at once."""
    if nanoseconds is None or nanoseconds < 0:
        return None
    return nanoseconds and task.kernel.clock.monotonic() + nanoseconds


async def read_time(task, address, layout=TIMESPEC, unit=1):
    """Nanoseconds of a timespec, or (unit 1000) a timeval; None for a null pointer. EINVAL."""
    if not address:
        return None
    seconds, fraction = layout.unpack(await task.mem.read(address, layout.size))
    if seconds < 0 or fraction < 0 or unit == 1 and fraction >= SECOND:
        raise Errno(EINVAL)
    return seconds * SECOND + fraction * unit


async def mask_signals(task, address, size):
    """The signal mask a call brings, until it returns."""
    if address:
        if size != 8:
            raise Errno(EINVAL)
        task.set_temporary_mask(int.from_bytes(await task.mem.read(address, 8), "little"))


# -- poll -----------------------------------------------------------------------------------------------------------------


async def _poll(task, address, count, nanoseconds):
    if count > task.group.limit(RLIMIT_NOFILE):
        raise Errno(EINVAL)
    asked = list(POLLFD.iter_unpack(await task.mem.read(address, count * POLLFD.size)))
    files = task.files
    watched = [(files.get(fd) if fd in files else None, events & 0xFFFF | ALWAYS) for fd, events, _ in asked]

    def look():
        masks = [
            (POLLNVAL if fd >= 0 else 0) if file is None else file.poll() & events
            for (fd, _, _), (file, events) in zip(asked, watched)
        ]
        return masks if any(masks) else None

    def queues():
        return chain.from_iterable(file.poll_queues() for file, _ in watched if file is not None)

    masks = await wait_until(task, look, queues, deadline_in(task, nanoseconds)) or [0] * count
    reply = b"".join(POLLFD.pack(fd, events, mask) for (fd, events, _), mask in zip(asked, masks))
    await task.mem.write(address, reply)
    return count - masks.count(0)


@syscall(7, restart=False)
async def poll(task, fds: Ptr, nfds: Size, timeout: Int):
    return await _poll(task, fds, nfds & 0xFFFFFFFF, None if timeout < 0 else timeout * 1_000_000)


@syscall(271, restart=False)
async def ppoll(task, fds: Ptr, nfds: Size, timeout: Timespec, sigmask: Ptr, size: Size):
    nanoseconds = await read_time(task, timeout)
    await mask_signals(task, sigmask, size)
    return await _poll(task, fds, nfds & 0xFFFFFFFF, nanoseconds)


# -- select ---------------------------------------------------------------------------------------------------------------

# What makes a file ready, for the first, second and third set (fs/select.c: POLLIN_SET, POLLOUT_SET, POLLEX_SET).
SETS = (
    POLLRDNORM | POLLRDBAND | POLLIN | POLLHUP | POLLERR,
    POLLWRBAND | POLLWRNORM | POLLOUT | POLLERR,
    POLLPRI,
)


async def _select(task, n, addresses, nanoseconds):
    if n < 0:
        raise Errno(EINVAL)
    n = min(n, max(FD_SETSIZE, task.group.limit(RLIMIT_NOFILE)))
    size = (n + 63) // 64 * 8
    wanted = [int.from_bytes(await task.mem.read(a, size), "little") & (1 << n) - 1 if a else 0 for a in addresses]
    watched, left = [], wanted[0] | wanted[1] | wanted[2]
    while left:
        fd = (left & -left).bit_length() - 1
        left &= left - 1
        watched.append((1 << fd, task.files.get(fd)))

    def look():
        found = [0, 0, 0]
        for bit, file in watched:
            mask = file.poll()
            for i in range(3):
                if wanted[i] & bit and mask & SETS[i]:
                    found[i] |= bit
        return found if any(found) else None

    def queues():
        return chain.from_iterable(file.poll_queues() for _, file in watched)

    found = await wait_until(task, look, queues, deadline_in(task, nanoseconds)) or (0, 0, 0)
    for address, bits in zip(addresses, found):
        if address:
            await task.mem.write(address, bits.to_bytes(size, "little"))
    return sum(bits.bit_count() for bits in found)


@syscall(23, restart=False)
async def select(task, n: Int, readfds: Ptr, writefds: Ptr, exceptfds: Ptr, timeout: Timeval):
    nanoseconds = await read_time(task, timeout, TIMEVAL, 1000)
    start = task.kernel.clock.monotonic()
    try:
        return await _select(task, n, (readfds, writefds, exceptfds), nanoseconds)
    finally:
        if timeout:
            left = max(0, nanoseconds - (task.kernel.clock.monotonic() - start))
            await task.mem.write(timeout, TIMEVAL.pack(left // SECOND, left % SECOND // 1000))


@syscall(270, restart=False)
async def pselect6(task, n: Int, readfds: Ptr, writefds: Ptr, exceptfds: Ptr, timeout: Timespec, sigmask: Ptr):
    nanoseconds = await read_time(task, timeout)
    if sigmask:
        await mask_signals(task, *struct.unpack("<QQ", await task.mem.read(sigmask, 16)))
    return await _select(task, n, (readfds, writefds, exceptfds), nanoseconds)


# -- epoll ----------------------------------------------------------------------------------------------------------------


class Watch:
    """One descriptor an epoll looks at. An edge-triggered one is looked at only after its queues woke (`armed`)."""

    def __init__(self, file, events, data, changed):
        self.file, self.changed = file, changed
        self.wait = None
        self.set(events, data)

    def set(self, events, data):
        self.events, self.data = events, data
        self.armed = True
        self.drop()
        if events & EPOLLET:
            self._listen()

    def _listen(self):
        self.wait = Wait(self.file.poll_queues())
        self.wait.add_done_callback(self._woken)

    def _woken(self, wait):
        self.armed = True
        self._listen()
        self.changed.wake()

    def drop(self):
        if self.wait is not None:
            self.wait.forget()

    def ready(self) -> int:
        if self.events & EPOLLET and not self.armed:
            return 0
        return self.file.poll() & (self.events | ALWAYS) if self.events & ~(EPOLLET | EPOLLONESHOT) else 0


class Epoll(File):
    """An epoll descriptor: readable when one of those it watches is ready."""

    def __init__(self):
        super().__init__(None, O_RDWR)
        self.watches: dict[int, Watch] = {}
        self.changed = WaitQueue()  # the set of watches changed

    def close(self):
        for watch in self.watches.values():
            watch.drop()

    def _alive(self):
        """The watches, less those whose file is closed everywhere."""
        for fd in [fd for fd, watch in self.watches.items() if not watch.file.refs]:
            self.watches.pop(fd).drop()
        return self.watches.values()

    def poll(self):
        return READABLE if any(watch.ready() for watch in self._alive()) else 0

    def poll_queues(self):
        return (self.changed, *chain.from_iterable(watch.file.poll_queues() for watch in self._alive()))

    def take(self, limit) -> list[tuple[int, int]]:
        """[(events, data)] to report now; edges and one-shots are used up."""
        found = []
        for fd, watch in list(self.watches.items()):
            mask = watch.ready() if watch.file.refs else 0
            if not mask:
                continue
            found.append((mask, watch.data))
            watch.armed = False
            if watch.events & EPOLLONESHOT:
                watch.events &= EPOLLET | EPOLLONESHOT
            self.watches[fd] = self.watches.pop(fd)  # the others come first next time
            if len(found) == limit:
                break
        return found

    def watches_file(self, file) -> bool:
        return any(w.file is file or isinstance(w.file, Epoll) and w.file.watches_file(file) for w in self._alive())

    def name(self):
        return b"anon_inode:[eventpoll]"


@syscall(291)
def epoll_create1(task, flags: Flags("EPOLL_CLOEXEC", "poll")):
    if flags & ~O_CLOEXEC:
        raise Errno(EINVAL)
    return task.files.install(Epoll(), bool(flags))


@syscall(213)
def epoll_create(task, size: Int):
    if size <= 0:
        raise Errno(EINVAL)
    return epoll_create1(task, 0)


def _epoll(task, fd) -> Epoll:
    file = task.files.get(fd)
    if not isinstance(file, Epoll):
        raise Errno(EINVAL)
    return file


@syscall(233)
async def epoll_ctl(task, epfd: Fd, op: Int, fd: Fd, event: Ptr):
    events, data = EPOLL_EVENT.unpack(await task.mem.read(event, 12)) if op != EPOLL_CTL_DEL else (0, 0)
    file, target = task.files.get(epfd), task.files.get(fd)
    if isinstance(target, PathFile):
        raise Errno(EBADF)
    if not isinstance(target, Epoll) and not target.poll_queues():
        raise Errno(EPERM)
    epoll = _epoll(task, epfd)
    if target is file:
        raise Errno(EINVAL)
    watch = epoll.watches.get(fd)
    if watch is not None and watch.file is not target:
        watch.drop()
        watch = None
    if op == EPOLL_CTL_ADD:
        if watch is not None:
            raise Errno(EEXIST)
        if isinstance(target, Epoll) and target.watches_file(epoll):
            raise Errno(ELOOP)
        epoll.watches[fd] = Watch(target, events, data, epoll.changed)
    elif watch is None:
        raise Errno(ENOENT)
    elif op == EPOLL_CTL_MOD:
        watch.set(events, data)
    elif op == EPOLL_CTL_DEL:
        epoll.watches.pop(fd).drop()
    else:
        raise Errno(EINVAL)
    epoll.changed.wake()
    return 0


async def _epoll_wait(task, epfd, events, maxevents, nanoseconds):
    epoll = _epoll(task, epfd)
    if maxevents <= 0:
        raise Errno(EINVAL)
    found = await wait_until(task, lambda: epoll.take(maxevents), epoll.poll_queues, deadline_in(task, nanoseconds))
    await task.mem.write(events, b"".join(EPOLL_EVENT.pack(*pair) for pair in found))
    return len(found)


def _milliseconds(timeout):
    return None if timeout < 0 else timeout * 1_000_000


@syscall(232, restart=False)
async def epoll_wait(task, epfd: Fd, events: Ptr, maxevents: Int, timeout: Int):
    return await _epoll_wait(task, epfd, events, maxevents, _milliseconds(timeout))


@syscall(281, restart=False)
async def epoll_pwait(task, epfd: Fd, events: Ptr, maxevents: Int, timeout: Int, sigmask: Ptr, size: Size):
    await mask_signals(task, sigmask, size)
    return await _epoll_wait(task, epfd, events, maxevents, _milliseconds(timeout))


@syscall(441, restart=False)
async def epoll_pwait2(task, epfd: Fd, events: Ptr, maxevents: Int, timeout: Timespec, sigmask: Ptr, size: Size):
    nanoseconds = await read_time(task, timeout)
    await mask_signals(task, sigmask, size)
    return await _epoll_wait(task, epfd, events, maxevents, nanoseconds)
