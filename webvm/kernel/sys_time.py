"""System calls of time: clocks, sleeping, interval timers, POSIX timers, CPU times.  Knows timespec; clocks are clock.py."""

from webvm.fs.wait import Interrupted, Wait
from webvm.kernel import signals
from webvm.kernel.syscall import Enum, Int, Ptr, Struct, Timespec, TimespecOut, TimevalOut, UInt, storing, syscall
from webvm.linux import siginfo, time
from webvm.linux.errno import EINTR, EINVAL, EPERM, Errno
from webvm.linux.signal import NSIG, SIGALRM, SIGPROF, SIGVTALRM
from webvm.linux.time import (
    CLOCK_BOOTTIME, CLOCK_BOOTTIME_ALARM, CLOCK_MONOTONIC, CLOCK_MONOTONIC_COARSE, CLOCK_MONOTONIC_RAW,
    CLOCK_PROCESS_CPUTIME_ID, CLOCK_REALTIME, CLOCK_REALTIME_ALARM, CLOCK_REALTIME_COARSE, CLOCK_TAI, CLOCK_THREAD_CPUTIME_ID,
    ITIMER_PROF, ITIMER_REAL, ITIMER_VIRTUAL, ITIMERSPEC, ITIMERVAL, SECOND, TIMER_ABSTIME, TIMESPEC, TMS, USER_HZ,
)  # fmt: skip

Clock = Enum("CLOCK_", "time")
_REAL = {CLOCK_REALTIME, CLOCK_REALTIME_COARSE, CLOCK_REALTIME_ALARM, CLOCK_TAI}
_MONOTONIC = {CLOCK_MONOTONIC, CLOCK_MONOTONIC_RAW, CLOCK_MONOTONIC_COARSE, CLOCK_BOOTTIME, CLOCK_BOOTTIME_ALARM}


def now(task, clock):
    """Nanoseconds on CLOCK; EINVAL if there is no such clock."""
    kernel = task.kernel
    if clock in _MONOTONIC:
        return kernel.clock.monotonic() - kernel.booted
    if clock in _REAL:
        return kernel.clock.realtime()
    if clock == CLOCK_THREAD_CPUTIME_ID:
        return kernel.cpu_time(task)
    if clock == CLOCK_PROCESS_CPUTIME_ID:
        return kernel.process_time(task.group)
    if clock < 0 and clock & 7 in (2, 6):       # clock_getcpuclockid, pthread_getcpuclockid
        pid = ~(clock >> 3)
        target = kernel.tasks.get(pid or task.pid)
        if target is not None:
            return kernel.cpu_time(target) if clock & 4 else kernel.process_time(target.group)
    raise Errno(EINVAL)


def deadline_of(task, clock, when, absolute):
    """The host's monotonic time at which CLOCK has advanced by, or shows, WHEN."""
    return task.kernel.clock.monotonic() + (max(when - now(task, clock), 0) if absolute else when)


async def read_timespec(task, address):
    """Nanoseconds; EINVAL if it is not a valid interval."""
    seconds, nanoseconds = TIMESPEC.unpack(await task.mem.read(address, 16))
    if seconds < 0 or not 0 <= nanoseconds < SECOND:
        raise Errno(EINVAL)
    return min(seconds * SECOND + nanoseconds, (1 << 63) - 1)


@syscall(228)
def clock_gettime(task, clock: Clock, tp: TimespecOut):
    return storing(task, tp, time.timespec(now(task, clock)))


@syscall(229)
async def clock_getres(task, clock: Clock, res: TimespecOut):
    now(task, clock)
    if res:
        coarse = clock in (CLOCK_REALTIME_COARSE, CLOCK_MONOTONIC_COARSE)
        await task.mem.write(res, time.timespec(4_000_000 if coarse else 1))
    return 0


@syscall(227, note="the clock of the host cannot be set")
def clock_settime(task, clock: Clock, tp: Timespec):
    raise Errno(EPERM)


@syscall(164, note="the clock of the host cannot be set")
def settimeofday(task, tv: Ptr, tz: Ptr):
    raise Errno(EPERM)


@syscall(96)
def gettimeofday(task, tv: TimevalOut, tz: Ptr):
    shown = time.timeval(task.kernel.clock.realtime())
    if tz:
        return _gettimeofday(task, tv, shown, tz)
    return storing(task, tv, shown) if tv else 0


async def _gettimeofday(task, tv, shown, tz):
    if tv:
        await task.mem.write(tv, shown)
    await task.mem.write(tz, bytes(8))
    return 0


@syscall(201, "time")
async def time_(task, tloc: Ptr):
    seconds = task.kernel.clock.realtime() // SECOND
    if tloc:
        await task.mem.write(tloc, seconds.to_bytes(8, "little"))
    return seconds


# -- sleeping ---------------------------------------------------------------------------------------------------------------

async def sleep_until(task, deadline):
    """Wait for DEADLINE on the host's monotonic clock."""
    clock = task.kernel.clock
    while clock.monotonic() < deadline:
        wait = Wait()
        timer = clock.call_at(deadline, wait.wake)
        try:
            await wait
        finally:
            timer.cancel()


async def _sleep(task, deadline, remaining):
    try:
        await sleep_until(task, deadline)
    except Interrupted:
        if remaining:
            await task.mem.write(remaining, time.timespec(max(deadline - task.kernel.clock.monotonic(), 0)))
        raise Errno(EINTR) from None
    return 0


@syscall(35, restart=False)
async def nanosleep(task, duration: Timespec, rem: Ptr):
    return await _sleep(task, task.kernel.clock.monotonic() + await read_timespec(task, duration), rem)


@syscall(230, restart=False)
async def clock_nanosleep(task, clock: Clock, flags: Int, request: Timespec, remain: Ptr):
    if clock in (CLOCK_THREAD_CPUTIME_ID, CLOCK_REALTIME_COARSE, CLOCK_MONOTONIC_COARSE, CLOCK_MONOTONIC_RAW):
        raise Errno(EINVAL)
    absolute = flags & TIMER_ABSTIME
    deadline = deadline_of(task, clock, await read_timespec(task, request), absolute)
    return await _sleep(task, deadline, 0 if absolute else remain)


# -- interval timers --------------------------------------------------------------------------------------------------------

CPU_TIMER_SIGNALS = {ITIMER_VIRTUAL: SIGVTALRM, ITIMER_PROF: SIGPROF}


def _get_itimer(task, which):
    """(interval, value) in nanoseconds."""
    group = task.group
    if which == ITIMER_REAL:
        if group.real_timer is None:
            return 0, 0
        _, deadline, interval = group.real_timer
        return interval, max(deadline - task.kernel.clock.monotonic(), 1000)
    if which not in CPU_TIMER_SIGNALS:
        raise Errno(EINVAL)
    due, interval = group.cpu_timers.get(which, (0, 0))
    return interval, max(due - task.kernel.process_time(group), 1000) if due else 0


def _set_itimer(task, which, interval, value):
    group, kernel = task.group, task.kernel
    if which != ITIMER_REAL:
        group.cpu_timers.pop(which, None)
        if value:
            group.cpu_timers[which] = kernel.process_time(group) + value, interval
        return
    if group.real_timer is not None:
        group.real_timer[0].cancel()
        group.real_timer = None
    if value:
        _arm_real(kernel, group, kernel.clock.monotonic() + value, interval)


def _arm_real(kernel, group, deadline, interval):
    def expire():
        group.real_timer = None
        if interval:
            late = max(kernel.clock.monotonic() - deadline, 0)
            _arm_real(kernel, group, deadline + interval * (1 + late // interval), interval)
        signals.send(kernel, group, SIGALRM)
    group.real_timer = kernel.clock.call_at(deadline, expire), deadline, interval


def check_cpu_timers(group):
    """Send what is due of ITIMER_VIRTUAL and ITIMER_PROF; called after each slice."""
    spent = group.kernel.process_time(group)
    for which, (due, interval) in list(group.cpu_timers.items()):
        if spent >= due:
            del group.cpu_timers[which]
            if interval:
                group.cpu_timers[which] = spent + interval, interval
            signals.send(group.kernel, group, CPU_TIMER_SIGNALS[which])


@syscall(37)
def alarm(task, seconds: UInt):
    _, left = _get_itimer(task, ITIMER_REAL)
    _set_itimer(task, ITIMER_REAL, 0, seconds * SECOND)
    return -(-left // SECOND) if left < SECOND else (left + SECOND // 2) // SECOND


def _pack_itimerval(interval, value):
    return time.timeval(interval) + time.timeval(value)


def show_itimerval(data):
    a, b, c, d = ITIMERVAL.unpack(data)
    return (f"{{it_interval={{tv_sec={a}, tv_usec={b}}}, it_value={{tv_sec={c}, tv_usec={d}}}}}")


@syscall(36)
async def getitimer(task, which: Enum("ITIMER_", "time"), curr_value: Struct(32, show_itimerval, out=True)):
    await task.mem.write(curr_value, _pack_itimerval(*_get_itimer(task, which)))
    return 0


@syscall(38)
async def setitimer(task, which: Enum("ITIMER_", "time"), new_value: Struct(32, show_itimerval),
                    old_value: Struct(32, show_itimerval, out=True)):
    old = _get_itimer(task, which)
    interval = value = 0
    if new_value:
        a, b, c, d = ITIMERVAL.unpack(await task.mem.read(new_value, ITIMERVAL.size))
        if a < 0 or c < 0 or not 0 <= b < 1_000_000 or not 0 <= d < 1_000_000:
            raise Errno(EINVAL)
        interval, value = a * SECOND + b * 1000, c * SECOND + d * 1000
    _set_itimer(task, which, interval, value)
    if old_value:
        await task.mem.write(old_value, _pack_itimerval(*old))
    return 0


# -- POSIX timers -----------------------------------------------------------------------------------------------------------

class PosixTimer:
    """timer_create: a signal (or nothing) when a clock reaches a time."""

    def __init__(self, task, id, clock, notify, signo, value, target):
        self.kernel, self.group, self.id, self.clock = task.kernel, task.group, id, clock
        self.notify, self.signo, self.value, self.target = notify, signo, value, target
        self.handle, self.deadline, self.interval, self.overrun = None, 0, 0, 0

    def arm(self, deadline, interval):
        self.disarm()
        self.deadline, self.interval = deadline, interval
        self.handle = self.kernel.clock.call_at(deadline, self.expire)

    def disarm(self):
        if self.handle is not None:
            self.handle.cancel()
        self.handle, self.deadline, self.interval = None, 0, 0

    def expire(self):
        self.handle = None
        self.overrun = 0
        if self.interval:
            late = max(self.kernel.clock.monotonic() - self.deadline, 0)
            self.overrun = late // self.interval
            self.arm(self.deadline + self.interval * (1 + self.overrun), self.interval)
        else:
            self.deadline = 0
        if self.notify != siginfo.SIGEV_NONE:
            info = siginfo.timer(self.signo, self.id, self.overrun, self.value)
            target = self.target if self.target is not None and not self.target.dead else None
            signals.send(self.kernel, self.group, self.signo, info, target)

    def remaining(self):
        if self.handle is None:
            return 0
        return max(self.deadline - self.kernel.clock.monotonic(), 1)


def _timer(task, id):
    timer = task.group.posix_timers.get(id)
    if timer is None:
        raise Errno(EINVAL)
    return timer


@syscall(222, note="CPU-time clocks are not accepted")
async def timer_create(task, clock: Clock, sevp: Ptr, timerid: Ptr):
    if clock not in _REAL | _MONOTONIC:
        raise Errno(EINVAL)
    timers = task.group.posix_timers
    id = next(i for i in range(len(timers) + 1) if i not in timers)
    value, signo, notify, tid = id, SIGALRM, siginfo.SIGEV_SIGNAL, 0
    if sevp:
        value, signo, notify, tid = siginfo.SIGEVENT.unpack(await task.mem.read(sevp, siginfo.SIGEVENT.size))
    target = None
    if notify == siginfo.SIGEV_SIGNAL | siginfo.SIGEV_THREAD_ID:
        target = task.kernel.tasks.get(tid)
        if target is None or target.group is not task.group:
            raise Errno(EINVAL)
    elif notify not in (siginfo.SIGEV_SIGNAL, siginfo.SIGEV_NONE, siginfo.SIGEV_THREAD):
        raise Errno(EINVAL)
    if notify != siginfo.SIGEV_NONE and not 1 <= signo <= NSIG:
        raise Errno(EINVAL)
    await task.mem.write(timerid, id.to_bytes(4, "little"))
    timers[id] = PosixTimer(task, id, clock, notify, signo, value, target)
    return 0


def pack_itimerspec(interval, value):
    return time.timespec(interval) + time.timespec(value)


async def read_itimerspec(task, address):
    """(interval, value) in nanoseconds; EINVAL."""
    a, b, c, d = ITIMERSPEC.unpack(await task.mem.read(address, ITIMERSPEC.size))
    if a < 0 or c < 0 or not 0 <= b < SECOND or not 0 <= d < SECOND:
        raise Errno(EINVAL)
    return a * SECOND + b, c * SECOND + d


@syscall(223)
async def timer_settime(task, timerid: Int, flags: Int, new_value: Ptr, old_value: Ptr):
    timer = _timer(task, timerid)
    interval, value = await read_itimerspec(task, new_value)
    old = pack_itimerspec(timer.interval, timer.remaining())
    timer.disarm()
    if value:
        timer.arm(deadline_of(task, timer.clock, value, flags & TIMER_ABSTIME), interval)
    if old_value:
        await task.mem.write(old_value, old)
    return 0


@syscall(224)
async def timer_gettime(task, timerid: Int, curr_value: Ptr):
    timer = _timer(task, timerid)
    await task.mem.write(curr_value, pack_itimerspec(timer.interval, timer.remaining()))
    return 0


@syscall(225)
def timer_getoverrun(task, timerid: Int):
    return _timer(task, timerid).overrun


@syscall(226)
def timer_delete(task, timerid: Int):
    _timer(task, timerid).disarm()
    del task.group.posix_timers[timerid]
    return 0


# -- CPU time ---------------------------------------------------------------------------------------------------------------

@syscall(100)
async def times(task, buf: Ptr):
    group, kernel = task.group, task.kernel
    tick = SECOND // USER_HZ
    if buf:
        own = kernel.process_time(group)
        await task.mem.write(buf, TMS.pack(own // tick, group.times.system // tick, group.child_times.user // tick,
                                           group.child_times.system // tick))
    return (kernel.clock.monotonic() - kernel.booted) // tick


