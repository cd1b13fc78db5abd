"""asm-generic/resource.h, linux/resource.h: resource limits, rusage, priorities."""

import struct

(RLIMIT_CPU, RLIMIT_FSIZE, RLIMIT_DATA, RLIMIT_STACK, RLIMIT_CORE, RLIMIT_RSS, RLIMIT_NPROC, RLIMIT_NOFILE, RLIMIT_MEMLOCK,
 RLIMIT_AS, RLIMIT_LOCKS, RLIMIT_SIGPENDING, RLIMIT_MSGQUEUE, RLIMIT_NICE, RLIMIT_RTPRIO, RLIMIT_RTTIME) = range(16)
RLIM_NLIMITS = 16
RLIM_INFINITY = (1 << 64) - 1
RLIMIT = struct.Struct("<QQ")           # rlim_cur rlim_max

RUSAGE_SELF, RUSAGE_CHILDREN, RUSAGE_THREAD = 0, -1, 1
# ru_utime ru_stime (timevals) ru_maxrss (KiB) .. ru_minflt ru_majflt .. ru_nvcsw ru_nivcsw
RUSAGE = struct.Struct("<4q14q")

PRIO_PROCESS, PRIO_PGRP, PRIO_USER = 0, 1, 2
