"""timerfd, eventfd and signalfd: events as files.  Knows time, counters and signals; polling them is sys_poll.py."""

from webvm.fs.vfs import File
from webvm.fs.wait import WaitQueue
from webvm.kernel import signals
from webvm.kernel.sys_signal import read_set
from webvm.kernel.sys_time import Clock, deadline_of, pack_itimerspec, read_itimerspec
from webvm.kernel.syscall import Fd, Flags, Int, Ptr, SigSet, Size, UInt, syscall
from webvm.linux import siginfo
from webvm.linux.errno import EAGAIN, EINVAL, Errno
from webvm.linux.fcntl import O_NONBLOCK, O_RDWR
from webvm.linux.poll import POLLIN, POLLOUT
from webvm.linux.signalfd import SIGNALFD_SIGINFO
from webvm.linux.time import (
    CLOCK_BOOTTIME, CLOCK_MONOTONIC, CLOCK_REALTIME, EFD_CLOEXEC, EFD_NONBLOCK, EFD_SEMAPHORE, SFD_CLOEXEC, SFD_NONBLOCK,
    TFD_CLOEXEC, TFD_NONBLOCK, TFD_TIMER_ABSTIME, TFD_TIMER_CANCEL_ON_SET,
)  # fmt: skip

COUNTER_MAX = (1 << 64) - 2


class EventFile(File):
    """A file without an inode whose readiness changes with `queue`."""

    kind = b""

    def __init__(self, flags):
        super().__init__(None, O_RDWR | flags & O_NONBLOCK)
        self.queue = WaitQueue()

    def poll_queues(self):
        return (self.queue,)

    def name(self):
        return b"anon_inode:[%s]" % self.kind

    async def wait_for(self, condition):
        """Wait until CONDITION(); EAGAIN under O_NONBLOCK."""
        while not condition():
            if self.flags & O_NONBLOCK:
                raise Errno(EAGAIN)
            await self.queue.wait()


class EventFd(EventFile):
    kind = b"eventfd"

    def __init__(self, count, flags):
        super().__init__(flags)
        self.count, self.semaphore = count, bool(flags & EFD_SEMAPHORE)

    def poll(self):
        return (POLLIN if self.count else 0) | (POLLOUT if self.count < COUNTER_MAX else 0)

    async def read(self, n):
        if n < 8:
            raise Errno(EINVAL)
        await self.wait_for(lambda: self.count)
        value = 1 if self.semaphore else self.count
        self.count -= value
        self.queue.wake()
        return value.to_bytes(8, "little")

    async def write(self, data):
        if len(data) < 8:
            raise Errno(EINVAL)
        value = int.from_bytes(data[:8], "little")
        if value > COUNTER_MAX:
            raise Errno(EINVAL)
        await self.wait_for(lambda: self.count + value <= COUNTER_MAX)
        self.count += value
        self.queue.wake()
        return 8


@syscall(284)
def eventfd(task, count: UInt):
    return task.files.install(EventFd(count, 0))


@syscall(290)
def eventfd2(task, count: UInt, flags: Flags("EFD_", "time")):
    if flags & ~(EFD_SEMAPHORE | EFD_CLOEXEC | EFD_NONBLOCK):
        raise Errno(EINVAL)
    return task.files.install(EventFd(count, flags), bool(flags & EFD_CLOEXEC))


class TimerFd(EventFile):
    kind = b"timerfd"

    def __init__(self, task, clock, flags):
        super().__init__(flags)
        self.host_clock, self.clock = task.kernel.clock, clock
        self.handle, self.deadline, self.interval, self.expirations = None, 0, 0, 0

    def arm(self, deadline, interval):
        self.deadline, self.interval = deadline, interval
        self.handle = self.host_clock.call_at(deadline, self._expire)

    def disarm(self):
        if self.handle is not None:
            self.handle.cancel()
        self.handle, self.expirations = None, 0

    def _expire(self):
        self.handle = None
        if self.interval:
            missed = max(self.host_clock.monotonic() - self.deadline, 0) // self.interval
            self.expirations += 1 + missed
            self.arm(self.deadline + self.interval * (1 + missed), self.interval)
        else:
            self.expirations += 1
        self.queue.wake()

    def remaining(self):
        return max(self.deadline - self.host_clock.monotonic(), 1) if self.handle is not None else 0

    def poll(self):
        return POLLIN if self.expirations else 0

    async def read(self, n):
        if n < 8:
            raise Errno(EINVAL)
        await self.wait_for(lambda: self.expirations)
        value, self.expirations = self.expirations, 0
        return value.to_bytes(8, "little")

    def close(self):
        self.disarm()


@syscall(283)
def timerfd_create(task, clock: Clock, flags: Flags("TFD_", "time")):
    if flags & ~(TFD_CLOEXEC | TFD_NONBLOCK) or clock not in (CLOCK_REALTIME, CLOCK_MONOTONIC, CLOCK_BOOTTIME):
        raise Errno(EINVAL)
    return task.files.install(TimerFd(task, clock, flags), bool(flags & TFD_CLOEXEC))


def _timerfd(task, fd):
    file = task.files.get(fd)
    if not isinstance(file, TimerFd):
        raise Errno(EINVAL)
    return file


@syscall(286)
async def timerfd_settime(task, fd: Fd, flags: Int, new_value: Ptr, old_value: Ptr):
    if flags & ~(TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET):
        raise Errno(EINVAL)
    file = _timerfd(task, fd)
    interval, value = await read_itimerspec(task, new_value)
    old = pack_itimerspec(file.interval, file.remaining())
    file.disarm()
    file.interval = interval
    if value:
        file.arm(deadline_of(task, file.clock, value, flags & TFD_TIMER_ABSTIME), interval)
    if old_value:
        await task.mem.write(old_value, old)
    return 0


@syscall(287)
async def timerfd_gettime(task, fd: Fd, curr_value: Ptr):
    file = _timerfd(task, fd)
    await task.mem.write(curr_value, pack_itimerspec(file.interval, file.remaining()))
    return 0


class SignalFd(EventFile):
    """Reads the signals pending for whoever made it (the kernel: for whoever reads; the same unless passed on)."""

    kind = b"signalfd"

    def __init__(self, task, mask, flags):
        super().__init__(flags)
        self.task, self.mask = task, mask
        self.queue = task.group.signal_queue

    def _pending(self):
        return (self.task.pending.mask | self.task.group.pending.mask) & self.mask

    def poll(self):
        return POLLIN if self._pending() else 0

    async def read(self, n):
        if n < SIGNALFD_SIGINFO.size:
            raise Errno(EINVAL)
        await self.wait_for(self._pending)
        records = []
        while self._pending() and len(records) < n // SIGNALFD_SIGINFO.size:
            found = self._pending()
            records.append(signalfd_siginfo(signals.take(self.task, (found & -found).bit_length())))
        return b"".join(records)


def signalfd_siginfo(info):
    """struct signalfd_siginfo of a siginfo_t."""
    signo, code = siginfo.signo_code(info)
    pid, uid = siginfo.sender(info)
    value = int.from_bytes(info[24:32], "little")
    status = int.from_bytes(info[24:28], "little", signed=True)
    child = signo == 17 and code > 0
    return SIGNALFD_SIGINFO.pack(signo, 0, code, pid & 0xFFFFFFFF, uid, 0, 0, 0, 0, 0, status if child else 0,
                                 value & 0xFFFFFFFF if not child else 0, value if not child else 0, 0, 0, 0)


async def _signalfd(task, fd, mask, sizemask, flags):
    if flags & ~(SFD_CLOEXEC | SFD_NONBLOCK):
        raise Errno(EINVAL)
    wanted = await read_set(task, mask, sizemask)
    if fd == -1:
        return task.files.install(SignalFd(task, wanted, flags), bool(flags & SFD_CLOEXEC))
    file = task.files.get(fd)
    if not isinstance(file, SignalFd):
        raise Errno(EINVAL)
    file.mask = wanted
    file.queue.wake()
    return fd


@syscall(282)
async def signalfd(task, fd: Fd, mask: SigSet, sizemask: Size):
    return await _signalfd(task, fd, mask, sizemask, 0)


@syscall(289)
async def signalfd4(task, fd: Fd, mask: SigSet, sizemask: Size, flags: Flags("SFD_", "time")):
    return await _signalfd(task, fd, mask, sizemask, flags)


