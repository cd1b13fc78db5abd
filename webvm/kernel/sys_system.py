"""System calls about the machine and the task as a whole: uname, sysinfo, getrandom, prctl, arch_prctl, and refusals."""

import os

from webvm.kernel import signals
from webvm.kernel.syscall import Enum, Fd, Flags, Int, Long, Out, Path, Ptr, Size, Struct, UInt, syscall
from webvm.linux import prctl as pr
from webvm.linux.errno import (
    EINVAL, ENODEV, ENOSYS, EPERM, Errno,
)  # fmt: skip
from webvm.linux.random import GRND_INSECURE, GRND_NONBLOCK, GRND_RANDOM
from webvm.linux.time import SECOND
from webvm.linux.utsname import HOST_NAME_MAX, NEW_UTSNAME

RELEASE, VERSION, MACHINE = b"6.12.0-webvm", b"#1 SMP PREEMPT_DYNAMIC", b"x86_64"

RANDOM_MAX = 33554431


def _show_utsname(data):
    names = ("sysname", "nodename", "release", "version", "machine", "domainname")
    return "{" + ", ".join(f'{n}="{v.rstrip(bytes(1)).decode()}"' for n, v in zip(names, NEW_UTSNAME.unpack(data))) + "}"


@syscall(63)
async def uname(task, buf: Struct(NEW_UTSNAME.size, _show_utsname, out=True)):
    kernel = task.kernel
    await task.mem.write(buf, NEW_UTSNAME.pack(b"Linux", kernel.hostname, RELEASE, VERSION, MACHINE, kernel.domainname))
    return 0


async def _name(task, address, length):
    if not task.cred.privileged:
        raise Errno(EPERM)
    if not 0 <= length <= HOST_NAME_MAX:
        raise Errno(EINVAL)
    return await task.mem.read(address, length)


@syscall(170)
async def sethostname(task, name: Ptr, len: Int):
    task.kernel.hostname = await _name(task, name, len)
    return 0


@syscall(171)
async def setdomainname(task, name: Ptr, len: Int):
    task.kernel.domainname = await _name(task, name, len)
    return 0


@syscall(99)
async def sysinfo(task, info: Ptr):
    kernel = task.kernel
    used = kernel.memory_used()
    load = int(kernel.load_average() * 65536)
    await task.mem.write(info, pr.SYSINFO.pack(
        (kernel.clock.monotonic() - kernel.booted) // SECOND, load, load, load, kernel.memory, kernel.memory - used, 0, 0, 0, 0,
        len(kernel.tasks), 0, 0, 1))
    return 0


@syscall(318)
async def getrandom(task, buf: Out, count: Size, flags: Flags("GRND_", "random")):
    if flags & ~(GRND_NONBLOCK | GRND_RANDOM | GRND_INSECURE) or flags & GRND_RANDOM and flags & GRND_INSECURE:
        raise Errno(EINVAL)
    count = min(count, RANDOM_MAX)
    for done in range(0, count, 65536):
        await task.mem.write(buf + done, os.urandom(min(65536, count - done)))
    return count


# -- the task's own state -----------------------------------------------------------------------------------------------------

@syscall(158)
async def arch_prctl(task, op: Enum("ARCH_", "prctl"), addr: Ptr):
    space = task.mem.space
    if op in (pr.ARCH_SET_FS, pr.ARCH_SET_GS):
        if addr >= 1 << 47:
            raise Errno(EPERM)
        if op == pr.ARCH_SET_FS:
            space.fs_base = addr
        else:
            space.gs_base = addr
        return 0
    if op in (pr.ARCH_GET_FS, pr.ARCH_GET_GS):
        value = space.fs_base if op == pr.ARCH_GET_FS else space.gs_base
        await task.mem.write(addr, value.to_bytes(8, "little"))
        return 0
    if op == pr.ARCH_GET_CPUID:
        return 1
    if op == pr.ARCH_SET_CPUID:
        raise Errno(ENODEV)
    raise Errno(EINVAL)


@syscall(157, note="names, death signal, subreaper, dumpable, no_new_privs, capability bounding set; no seccomp")
async def prctl(task, option: Enum("PR_", "prctl"), arg2: Size, arg3: Size, arg4: Size, arg5: Size):
    group = task.group
    match option:
        case pr.PR_SET_NAME:
            task.name = (await task.mem.cstring(arg2, pr.TASK_COMM_LEN))[:pr.TASK_COMM_LEN - 1]
        case pr.PR_GET_NAME:
            await task.mem.write(arg2, task.name.ljust(pr.TASK_COMM_LEN, b"\0"))
        case pr.PR_SET_PDEATHSIG:
            if arg2 > signals.NSIG:
                raise Errno(EINVAL)
            task.pdeathsig = arg2
        case pr.PR_GET_PDEATHSIG:
            await task.mem.write(arg2, task.pdeathsig.to_bytes(4, "little"))
        case pr.PR_SET_DUMPABLE:
            if arg2 > 1:
                raise Errno(EINVAL)
            group.dumpable = arg2
        case pr.PR_GET_DUMPABLE:
            return group.dumpable
        case pr.PR_SET_KEEPCAPS:
            task.keepcaps = bool(arg2)
        case pr.PR_GET_KEEPCAPS:
            return int(task.keepcaps)
        case pr.PR_SET_CHILD_SUBREAPER:
            group.subreaper = bool(arg2)
        case pr.PR_GET_CHILD_SUBREAPER:
            await task.mem.write(arg2, int(group.subreaper).to_bytes(4, "little"))
        case pr.PR_SET_NO_NEW_PRIVS:
            if arg2 != 1:
                raise Errno(EINVAL)
            task.no_new_privs = True
        case pr.PR_GET_NO_NEW_PRIVS:
            return int(task.no_new_privs)
        case pr.PR_SET_TIMERSLACK:
            task.timer_slack = arg2 or 50000
        case pr.PR_GET_TIMERSLACK:
            return task.timer_slack
        case pr.PR_CAPBSET_READ:
            if arg2 > pr.CAP_LAST_CAP:
                raise Errno(EINVAL)
            return 1
        case pr.PR_GET_TSC:
            await task.mem.write(arg2, (1).to_bytes(4, "little"))
        case pr.PR_GET_SECCOMP | pr.PR_GET_THP_DISABLE:
            return 0
        case pr.PR_SET_THP_DISABLE | pr.PR_SET_VMA:
            return 0
        case _:
            raise Errno(EINVAL)
    return 0


@syscall(135)
def personality(task, persona: UInt):
    if persona not in (0, 0xFFFFFFFF, 0x0040000):       # ADDR_NO_RANDOMIZE: addresses never are
        raise Errno(EINVAL)
    return 0


MEMBARRIER_CMD_QUERY = 0
MEMBARRIER_SUPPORTED = 0x1FF


@syscall(324, note="one CPU: every command is a no-op")
def membarrier(task, cmd: Int, flags: UInt, cpu: Int):
    if flags:
        raise Errno(EINVAL)
    return MEMBARRIER_SUPPORTED if cmd == MEMBARRIER_CMD_QUERY else 0


# -- refusals: what a container's kernel would refuse too ---------------------------------------------------------------------

@syscall(334, note="ENOSYS")
def rseq(task, rseq: Ptr, len: UInt, flags: Int, sig: UInt):
    raise Errno(ENOSYS)


@syscall(101, note="EPERM")
def ptrace(task, request: Long, pid: Long, addr: Ptr, data: Ptr):
    raise Errno(EPERM)


@syscall(317, note="EINVAL")
def seccomp(task, operation: UInt, flags: UInt, args: Ptr):
    raise Errno(EINVAL)


@syscall(272, note="sharing less is accepted for files and the file system; no namespaces")
def unshare(task, flags: Flags("CLONE_", "sched")):
    if flags & ~(0x200 | 0x400 | 0x10000 | 0x800 | 0x100 | 0x40000):
        raise Errno(EPERM)
    if flags & 0x200:
        task.fs = task.fs.copy()
    if flags & 0x400 and task.files.refs > 1:
        shared, task.files = task.files, task.files.copy()
        shared.release()
    return 0


@syscall(308, note="EPERM")
def setns(task, fd: Fd, nstype: Int):
    raise Errno(EPERM)


@syscall(103, note="the log is empty")
def syslog(task, type: Int, buf: Ptr, len: Int):
    if type in (2, 3, 4):
        return 0
    if type in (9, 10):
        return 0
    raise Errno(EPERM)


@syscall(169, note="EPERM, or the end of the machine for root")
def reboot(task, magic: UInt, magic2: UInt, cmd: UInt, arg: Ptr):
    if not task.cred.privileged:
        raise Errno(EPERM)
    if magic != 0xFEE1DEAD:
        raise Errno(EINVAL)
    if cmd in (0, 0x89ABCDEF):                          # CAD on and off
        return 0
    for group in list(task.kernel.groups.values()):
        signals.send(task.kernel, group, 9)
    return 0


@syscall(321, note="EPERM")
def bpf(task, cmd: Int, attr: Ptr, size: UInt):
    raise Errno(EPERM)


@syscall(298, note="ENOSYS")
def perf_event_open(task, attr: Ptr, pid: Int, cpu: Int, group_fd: Int, flags: Size):
    raise Errno(ENOSYS)


@syscall(163, note="EPERM")
def acct(task, filename: Path):
    raise Errno(EPERM)


@syscall(248, note="ENOSYS")
def add_key(task, type: Path, description: Path, payload: Ptr, plen: Size, keyring: Int):
    raise Errno(ENOSYS)


@syscall(250, note="ENOSYS")
def keyctl(task, operation: Int, arg2: Size, arg3: Size, arg4: Size, arg5: Size):
    raise Errno(ENOSYS)


@syscall(239, note="one node")
async def get_mempolicy(task, mode: Ptr, nodemask: Ptr, maxnode: Size, addr: Ptr, flags: Size):
    if mode:
        await task.mem.write(mode, bytes(4))
    return 0


@syscall(237, note="ENOSYS, as without NUMA")
def mbind(task, addr: Ptr, len: Size, mode: Int, nodemask: Ptr, maxnode: Size, flags: UInt):
    raise Errno(ENOSYS)


@syscall(238, note="ENOSYS, as without NUMA")
def set_mempolicy(task, mode: Int, nodemask: Ptr, maxnode: Size):
    raise Errno(ENOSYS)
