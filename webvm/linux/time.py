"""linux/time.h, linux/times.h, linux/timerfd.h: clocks, timespec and its relatives."""

import struct

# fmt: off
CLOCK_REALTIME, CLOCK_MONOTONIC, CLOCK_PROCESS_CPUTIME_ID, CLOCK_THREAD_CPUTIME_ID = 0, 1, 2, 3
CLOCK_MONOTONIC_RAW, CLOCK_REALTIME_COARSE, CLOCK_MONOTONIC_COARSE, CLOCK_BOOTTIME = 4, 5, 6, 7
CLOCK_REALTIME_ALARM, CLOCK_BOOTTIME_ALARM, CLOCK_TAI = 8, 9, 11
TIMER_ABSTIME = 1
ITIMER_REAL, ITIMER_VIRTUAL, ITIMER_PROF = 0, 1, 2
TFD_TIMER_ABSTIME, TFD_TIMER_CANCEL_ON_SET = 1, 2
TFD_NONBLOCK, TFD_CLOEXEC = 0o4000, 0o2000000
EFD_SEMAPHORE, EFD_NONBLOCK, EFD_CLOEXEC = 1, 0o4000, 0o2000000
SFD_NONBLOCK, SFD_CLOEXEC = 0o4000, 0o2000000
# fmt: on

SECOND = 1_000_000_000                  # nanoseconds
USER_HZ = 100

TIMESPEC = struct.Struct("<qq")         # tv_sec tv_nsec
TIMEVAL = struct.Struct("<qq")          # tv_sec tv_usec
ITIMERVAL = struct.Struct("<qqqq")      # it_interval it_value
ITIMERSPEC = struct.Struct("<qqqq")
TMS = struct.Struct("<qqqq")            # tms_utime tms_stime tms_cutime tms_cstime


def timespec(ns):
    return TIMESPEC.pack(*divmod(ns, SECOND))


def timeval(ns):
    seconds, rest = divmod(ns, SECOND)
    return TIMEVAL.pack(seconds, rest // 1000)
