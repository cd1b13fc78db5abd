"""System calls of resources: limits, usage, priorities, scheduling.  One CPU; nobody is preferred."""

import struct

from webvm.kernel.syscall import Enum, Int, Pid, Ptr, Struct, UInt, syscall
from webvm.linux.errno import EINVAL, EPERM, ESRCH, Errno
from webvm.linux.resource import (
    PRIO_PGRP, PRIO_PROCESS, PRIO_USER, RLIM_INFINITY, RLIM_NLIMITS, RLIMIT, RLIMIT_AS, RLIMIT_DATA, RLIMIT_NOFILE, RUSAGE,
    RUSAGE_CHILDREN, RUSAGE_SELF, RUSAGE_THREAD,
)  # fmt: skip
from webvm.linux.sched import SCHED_BATCH, SCHED_FIFO, SCHED_IDLE, SCHED_OTHER, SCHED_RR
from webvm.linux.time import timespec

NR_OPEN = 1048576


def _show_rlimit(data):
    def one(value):
        if value == RLIM_INFINITY:
            return "RLIM64_INFINITY"
        return f"{value // 1024}*1024" if value > 1024 and not value % 1024 else str(value)
    soft, hard = RLIMIT.unpack(data)
    return f"{{rlim_cur={one(soft)}, rlim_max={one(hard)}}}"


Resource = Enum("RLIMIT_", "resource")
Rlimit = Struct(RLIMIT.size, _show_rlimit)
RlimitOut = Struct(RLIMIT.size, _show_rlimit, out=True)


def _set_limit(task, group, resource, soft, hard):
    if soft > hard or resource == RLIMIT_NOFILE and hard > NR_OPEN and hard != group.rlimits[resource][1]:
        raise Errno(EINVAL if soft > hard else EPERM)
    if hard > group.rlimits[resource][1] and not task.cred.privileged:
        raise Errno(EPERM)
    group.rlimits[resource] = soft, hard
    for thread in group.threads:
        if resource == RLIMIT_NOFILE:
            thread.files.limit = soft
        elif resource == RLIMIT_AS:
            thread.mem.as_limit = soft
        elif resource == RLIMIT_DATA:
            thread.mem.data_limit = soft


def _check(resource):
    if not 0 <= resource < RLIM_NLIMITS:
        raise Errno(EINVAL)


@syscall(97)
async def getrlimit(task, resource: Resource, rlim: RlimitOut):
    _check(resource)
    await task.mem.write(rlim, RLIMIT.pack(*task.group.rlimits[resource]))
    return 0


@syscall(160, note="kept and reported; NOFILE, AS, DATA, STACK, NPROC are enforced")
async def setrlimit(task, resource: Resource, rlim: Rlimit):
    _check(resource)
    _set_limit(task, task.group, resource, *RLIMIT.unpack(await task.mem.read(rlim, RLIMIT.size)))
    return 0


@syscall(302)
async def prlimit64(task, pid: Pid, resource: Resource, new_limit: Rlimit, old_limit: RlimitOut):
    _check(resource)
    target = task.kernel.tasks.get(pid) if pid else task
    if target is None:
        raise Errno(ESRCH)
    if task.cred.euid not in (0, target.cred.uid):
        raise Errno(EPERM)
    old = target.group.rlimits[resource]
    if new_limit:
        _set_limit(task, target.group, resource, *RLIMIT.unpack(await task.mem.read(new_limit, RLIMIT.size)))
    if old_limit:
        await task.mem.write(old_limit, RLIMIT.pack(*old))
    return 0


@syscall(98)
async def getrusage(task, who: Enum("RUSAGE_", "resource"), usage: Ptr):
    group, kernel = task.group, task.kernel
    if who == RUSAGE_SELF:
        user, system, faults = kernel.process_time(group), group.times.system, task.mem.faults
    elif who == RUSAGE_CHILDREN:
        user, system, faults = group.child_times.user, group.child_times.system, group.child_times.faults
    elif who == RUSAGE_THREAD:
        user, system, faults = kernel.cpu_time(task), 0, task.mem.faults
    else:
        raise Errno(EINVAL)
    maxrss = task.mem.resident() * 4 if who != RUSAGE_CHILDREN else 0
    await task.mem.write(usage, RUSAGE.pack(
        *divmod(user // 1000, 1_000_000), *divmod(system // 1000, 1_000_000), maxrss, 0, 0, 0, faults, *[0] * 9))
    return 0


# -- priorities -------------------------------------------------------------------------------------------------------------

def _who(task, which, who):
    groups = task.kernel.groups.values()
    if which == PRIO_PROCESS:
        target = task if not who else task.kernel.tasks.get(who)
        found = [target.group] if target else []
    elif which == PRIO_PGRP:
        found = [g for g in groups if g.pgrp == (who or task.group.pgrp)]
    elif which == PRIO_USER:
        found = [g for g in groups if g.leader and g.leader.cred.uid == (who or task.cred.uid)]
    else:
        raise Errno(EINVAL)
    if not found:
        raise Errno(ESRCH)
    return found


@syscall(140)
def getpriority(task, which: Enum("PRIO_", "resource"), who: Int):
    return 20 - min(g.nice for g in _who(task, which, who))


@syscall(141, note="kept and reported; nobody runs less for it")
def setpriority(task, which: Enum("PRIO_", "resource"), who: Int, prio: Int):
    groups = _who(task, which, who)
    prio = max(-20, min(prio, 19))
    for group in groups:
        if prio < group.nice and not task.cred.privileged:
            raise Errno(EPERM)
        group.nice = prio
    return 0


# -- scheduling ---------------------------------------------------------------------------------------------------------------

def _target(task, pid):
    target = task.kernel.tasks.get(pid) if pid else task
    if pid < 0:
        raise Errno(EINVAL)
    if target is None:
        raise Errno(ESRCH)
    return target


@syscall(24)
def sched_yield(task):
    task.kernel.scheduler.end_slice()
    return 0


@syscall(204, note="one CPU")
async def sched_getaffinity(task, pid: Pid, len: UInt, mask: Ptr):
    _target(task, pid)
    if len < 8 or len % 8:
        raise Errno(EINVAL)
    await task.mem.write(mask, (1).to_bytes(8, "little"))
    return 8


@syscall(203, note="one CPU")
async def sched_setaffinity(task, pid: Pid, len: UInt, mask: Ptr):
    _target(task, pid)
    if not any(b & 1 for b in (await task.mem.read(mask, min(len, 8)))[:1]):
        raise Errno(EINVAL)
    return 0


@syscall(309)
async def getcpu(task, cpu: Ptr, node: Ptr, cache: Ptr):
    for address in (cpu, node):
        if address:
            await task.mem.write(address, bytes(4))
    return 0


@syscall(145)
def sched_getscheduler(task, pid: Pid):
    _target(task, pid)
    return SCHED_OTHER


@syscall(144, note="SCHED_OTHER, SCHED_BATCH and SCHED_IDLE, which are the same here")
async def sched_setscheduler(task, pid: Pid, policy: Enum("SCHED_", "sched"), param: Ptr):
    _target(task, pid)
    if policy in (SCHED_FIFO, SCHED_RR):
        raise Errno(EPERM)
    if policy not in (SCHED_OTHER, SCHED_BATCH, SCHED_IDLE) or any(await task.mem.read(param, 4)):
        raise Errno(EINVAL)
    return 0


@syscall(143)
async def sched_getparam(task, pid: Pid, param: Ptr):
    _target(task, pid)
    await task.mem.write(param, bytes(4))
    return 0


@syscall(142)
async def sched_setparam(task, pid: Pid, param: Ptr):
    _target(task, pid)
    if any(await task.mem.read(param, 4)):
        raise Errno(EINVAL)
    return 0


@syscall(146)
def sched_get_priority_max(task, policy: Enum("SCHED_", "sched")):
    return _priority(policy, 99)


@syscall(147)
def sched_get_priority_min(task, policy: Enum("SCHED_", "sched")):
    return _priority(policy, 1)


def _priority(policy, real_time):
    if policy in (SCHED_FIFO, SCHED_RR):
        return real_time
    if policy not in (SCHED_OTHER, SCHED_BATCH, SCHED_IDLE):
        raise Errno(EINVAL)
    return 0


@syscall(148)
async def sched_rr_get_interval(task, pid: Pid, tp: Ptr):
    _target(task, pid)
    await task.mem.write(tp, timespec(4_000_000))
    return 0


SCHED_ATTR = struct.Struct("<IIQiIQQQ")     # size sched_policy sched_flags sched_nice sched_priority runtime deadline period


@syscall(315)
async def sched_getattr(task, pid: Pid, attr: Ptr, size: UInt, flags: UInt):
    target = _target(task, pid)
    if size < SCHED_ATTR.size or flags:
        raise Errno(EINVAL)
    await task.mem.write(attr, SCHED_ATTR.pack(SCHED_ATTR.size, SCHED_OTHER, 0, target.group.nice, 0, 0, 0, 0))
    return 0


@syscall(251)
def ioprio_set(task, which: Int, who: Int, ioprio: Int):
    return 0


@syscall(252)
def ioprio_get(task, which: Int, who: Int):
    return 0


