"""System calls of credentials: user and group ids, capabilities.  Root has every capability, everybody else none."""

import struct

from webvm.kernel.syscall import Int, Ptr, UInt, syscall
from webvm.linux.errno import EINVAL, EPERM, ESRCH, Errno
from webvm.linux.prctl import (
    CAP_LAST_CAP, LINUX_CAPABILITY_VERSION_1, LINUX_CAPABILITY_VERSION_2, LINUX_CAPABILITY_VERSION_3,
)  # fmt: skip

UNCHANGED = 0xFFFFFFFF
ALL_CAPS = (1 << CAP_LAST_CAP + 1) - 1
NGROUPS_MAX = 65536


def _change(task, **changes):
    """Ids belong to all threads of a process as glibc has it, but to one thread as the kernel has it."""
    task.cred = task.cred.copy(**changes)
    return 0


@syscall(102)
def getuid(task):
    return task.cred.uid


@syscall(104)
def getgid(task):
    return task.cred.gid


@syscall(107)
def geteuid(task):
    return task.cred.euid


@syscall(108)
def getegid(task):
    return task.cred.egid


@syscall(105)
def setuid(task, uid: UInt):
    cred = task.cred
    if uid == UNCHANGED:
        raise Errno(EINVAL)
    if cred.privileged:
        return _change(task, uid=uid, euid=uid, suid=uid, fsuid=uid)
    if uid not in (cred.uid, cred.suid):
        raise Errno(EPERM)
    return _change(task, euid=uid, fsuid=uid)


@syscall(106)
def setgid(task, gid: UInt):
    cred = task.cred
    if gid == UNCHANGED:
        raise Errno(EINVAL)
    if cred.privileged:
        return _change(task, gid=gid, egid=gid, sgid=gid, fsgid=gid)
    if gid not in (cred.gid, cred.sgid):
        raise Errno(EPERM)
    return _change(task, egid=gid, fsgid=gid)


@syscall(113)
def setreuid(task, ruid: UInt, euid: UInt):
    cred = task.cred
    new_real = cred.uid if ruid == UNCHANGED else ruid
    new_effective = cred.euid if euid == UNCHANGED else euid
    if not cred.privileged and (new_real not in (cred.uid, cred.euid) or new_effective not in (cred.uid, cred.euid, cred.suid)):
        raise Errno(EPERM)
    saved = new_effective if ruid != UNCHANGED or euid not in (UNCHANGED, cred.uid) else cred.suid
    return _change(task, uid=new_real, euid=new_effective, suid=saved, fsuid=new_effective)


@syscall(114)
def setregid(task, rgid: UInt, egid: UInt):
    cred = task.cred
    new_real = cred.gid if rgid == UNCHANGED else rgid
    new_effective = cred.egid if egid == UNCHANGED else egid
    if not cred.privileged and (new_real not in (cred.gid, cred.egid) or new_effective not in (cred.gid, cred.egid, cred.sgid)):
        raise Errno(EPERM)
    saved = new_effective if rgid != UNCHANGED or egid not in (UNCHANGED, cred.gid) else cred.sgid
    return _change(task, gid=new_real, egid=new_effective, sgid=saved, fsgid=new_effective)


def _three(task, wanted, current):
    if not task.cred.privileged and any(w != UNCHANGED and w not in current for w in wanted):
        raise Errno(EPERM)
    return [c if w == UNCHANGED else w for w, c in zip(wanted, current)]


@syscall(117)
def setresuid(task, ruid: UInt, euid: UInt, suid: UInt):
    cred = task.cred
    ruid, euid, suid = _three(task, (ruid, euid, suid), (cred.uid, cred.euid, cred.suid))
    return _change(task, uid=ruid, euid=euid, suid=suid, fsuid=euid)


@syscall(119)
def setresgid(task, rgid: UInt, egid: UInt, sgid: UInt):
    cred = task.cred
    rgid, egid, sgid = _three(task, (rgid, egid, sgid), (cred.gid, cred.egid, cred.sgid))
    return _change(task, gid=rgid, egid=egid, sgid=sgid, fsgid=egid)


async def _store_three(task, addresses, values):
    for address, value in zip(addresses, values):
        await task.mem.write(address, value.to_bytes(4, "little"))
    return 0


@syscall(118)
async def getresuid(task, ruid: Ptr, euid: Ptr, suid: Ptr):
    cred = task.cred
    return await _store_three(task, (ruid, euid, suid), (cred.uid, cred.euid, cred.suid))


@syscall(120)
async def getresgid(task, rgid: Ptr, egid: Ptr, sgid: Ptr):
    cred = task.cred
    return await _store_three(task, (rgid, egid, sgid), (cred.gid, cred.egid, cred.sgid))


@syscall(122)
def setfsuid(task, uid: UInt):
    cred, old = task.cred, task.cred.fsuid
    if cred.privileged or uid in (cred.uid, cred.euid, cred.suid, cred.fsuid):
        _change(task, fsuid=uid)
    return old


@syscall(123)
def setfsgid(task, gid: UInt):
    cred, old = task.cred, task.cred.fsgid
    if cred.privileged or gid in (cred.gid, cred.egid, cred.sgid, cred.fsgid):
        _change(task, fsgid=gid)
    return old


@syscall(115)
async def getgroups(task, size: Int, list: Ptr):
    groups = task.cred.groups
    if size < 0 or 0 < size < len(groups):
        raise Errno(EINVAL)
    if size:
        await task.mem.write(list, struct.pack(f"<{len(groups)}I", *groups))
    return len(groups)


@syscall(116)
async def setgroups(task, size: UInt, list: Ptr):
    if not task.cred.privileged:
        raise Errno(EPERM)
    if size > NGROUPS_MAX:
        raise Errno(EINVAL)
    return _change(task, groups=struct.unpack(f"<{size}I", await task.mem.read(list, 4 * size)))


# -- capabilities -----------------------------------------------------------------------------------------------------------

_WORDS = {LINUX_CAPABILITY_VERSION_1: 1, LINUX_CAPABILITY_VERSION_2: 2, LINUX_CAPABILITY_VERSION_3: 2}
CAP_HEADER = struct.Struct("<Ii")


async def _cap_target(task, header):
    version, pid = CAP_HEADER.unpack(await task.mem.read(header, CAP_HEADER.size))
    if version not in _WORDS:
        await task.mem.write(header, LINUX_CAPABILITY_VERSION_3.to_bytes(4, "little"))
        return None, None
    target = task.kernel.tasks.get(pid) if pid else task
    if target is None:
        raise Errno(ESRCH)
    return _WORDS[version], target


def capabilities(cred):
    """The effective and permitted set."""
    return ALL_CAPS if cred.privileged else 0


@syscall(125)
async def capget(task, header: Ptr, data: Ptr):
    words, target = await _cap_target(task, header)
    if words is None:
        if not data:
            return 0
        raise Errno(EINVAL)
    if data:
        caps = capabilities(target.cred)
        await task.mem.write(data, b"".join(
            struct.pack("<III", caps >> 32 * i & 0xFFFFFFFF, caps >> 32 * i & 0xFFFFFFFF, 0) for i in range(words)))
    return 0


@syscall(126, note="capabilities follow the user id: giving some up is accepted and has no effect")
async def capset(task, header: Ptr, data: Ptr):
    words, target = await _cap_target(task, header)
    if words is None:
        raise Errno(EINVAL)
    if target is not task:
        raise Errno(EPERM)
    fields = struct.unpack(f"<{3 * words}I", await task.mem.read(data, 12 * words))
    permitted = sum(fields[3 * i + 1] << 32 * i for i in range(words))
    if permitted & ~capabilities(task.cred):
        raise Errno(EPERM)
    return 0
