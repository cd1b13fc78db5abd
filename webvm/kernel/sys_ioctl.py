"""ioctl: what concerns descriptors and job control here, everything else by the open file itself."""

from webvm.fs.pipe import PipeFile
from webvm.fs.tty import PtyMaster
from webvm.fs.vfs import PathFile, RegularFile
from webvm.kernel import jobctl
from webvm.kernel.open import open_dentry
from webvm.kernel.syscall import Enum, Fd, Ptr, syscall
from webvm.linux.errno import EBADF, EINVAL, EIO, ENOTTY, EPERM, ESRCH, Errno
from webvm.linux.fcntl import O_CLOEXEC, O_NONBLOCK
from webvm.linux.ioctl import (
    FIOASYNC,
    FIOCLEX,
    FIONBIO,
    FIONCLEX,
    FIONREAD,
    TCFLSH,
    TCSBRK,
    TCSBRKP,
    TCSETA,
    TCSETAF,
    TCSETAW,
    TCSETS,
    TCSETS2,
    TCSETSF,
    TCSETSF2,
    TCSETSW,
    TCSETSW2,
    TCXONC,
    TIOCGPGRP,
    TIOCGPTPEER,
    TIOCGSID,
    TIOCNOTTY,
    TIOCSCTTY,
    TIOCSETD,
    TIOCSPGRP,
    TIOCSTI,
    TIOCVHANGUP,
)
from webvm.linux.signal import SIGCONT, SIGHUP

# Requests a background process is stopped for (tty_check_change).
CHANGES = frozenset((
    TCSETS, TCSETSW, TCSETSF, TCSETA, TCSETAW, TCSETAF, TCSETS2, TCSETSW2, TCSETSF2, TCFLSH, TCXONC, TCSBRK, TCSBRKP, TIOCSETD,
))  # fmt: skip


@syscall(16)
async def ioctl(task, fd: Fd, cmd: Enum("", "ioctl"), arg: Ptr):
    file = task.files.get(fd)
    cmd &= 0xFFFFFFFF
    if isinstance(file, PathFile):
        raise Errno(EBADF)
    if cmd in (FIOCLEX, FIONCLEX):
        task.files.set_cloexec(fd, cmd == FIOCLEX)
        return 0
    if cmd == FIONBIO:
        wanted = any(await task.mem.read(arg, 4))
        file.flags = file.flags | O_NONBLOCK if wanted else file.flags & ~O_NONBLOCK
        return 0
    if cmd == FIOASYNC:
        if isinstance(file, (RegularFile, PipeFile)) or any(await task.mem.read(arg, 4)):
            raise Errno(ENOTTY)
        return 0
    if cmd == FIONREAD and isinstance(file, RegularFile):
        left = max(0, file.inode.size - file.pos)
        await task.mem.write(arg, min(left, 0x7FFFFFFF).to_bytes(4, "little"))
        return 0
    request = TERMINAL.get(cmd)
    tty = file.pty.tty if isinstance(file, PtyMaster) else file.tty
    if request is not None:
        if tty is None:
            raise Errno(ENOTTY)
        if file.tty is not None and file.hung_up:
            raise Errno(EIO)
        return await request(task, file, tty, arg)
    if tty is not None and cmd in CHANGES:
        jobctl.check_change(task, tty)
    return await file.ioctl(cmd, arg, task.mem)


async def _set_controlling(task, file, tty, arg):
    group = task.group
    leader = group.session.id == group.pid
    if leader and tty.session == group.session.id:
        return 0
    if not leader or group.tty is not None:
        raise Errno(EPERM)
    if tty.session and not (arg == 1 and task.cred.privileged):
        raise Errno(EPERM)
    if tty.session:  # stolen
        for other in task.kernel.groups.values():
            if other.session.id == tty.session:
                other.session.tty = None
    jobctl.set_controlling(task, tty)
    return 0


async def _give_up_controlling(task, file, tty, arg):
    if task.group.tty is not tty:
        raise Errno(ENOTTY)
    if task.group.session.id == task.group.pid:
        pgrp = jobctl.release(tty, task.group.session)
        if pgrp:
            task.kernel.signal_pgrp(pgrp, SIGHUP)
            task.kernel.signal_pgrp(pgrp, SIGCONT)
    return 0


async def _get_pgrp(task, file, tty, arg):
    if file.tty is not None and task.group.tty is not tty:
        raise Errno(ENOTTY)
    await task.mem.write(arg, tty.pgrp.to_bytes(4, "little"))
    return 0


async def _set_pgrp(task, file, tty, arg):
    jobctl.check_change(task, tty)
    if task.group.tty is not tty or tty.session != task.group.session.id:
        raise Errno(ENOTTY)
    pgrp = int.from_bytes(await task.mem.read(arg, 4), "little", signed=True)
    if pgrp < 0:
        raise Errno(EINVAL)
    members = task.kernel.members(pgrp)
    if not members:
        raise Errno(ESRCH)
    if members[0].session is not task.group.session:
        raise Errno(EPERM)
    tty.pgrp = pgrp
    return 0


async def _get_session(task, file, tty, arg):
    if file.tty is not None and task.group.tty is not tty or not tty.session:
        raise Errno(ENOTTY)
    await task.mem.write(arg, tty.session.to_bytes(4, "little"))
    return 0


async def _type_in(task, file, tty, arg):
    if task.group.tty is not tty and not task.cred.privileged:
        raise Errno(EPERM)
    tty.input(await task.mem.read(arg, 1))
    return 0


async def _hang_up(task, file, tty, arg):
    if not task.cred.privileged:
        raise Errno(EPERM)
    tty.hang_up()
    return 0


async def _open_peer(task, file, tty, arg):
    """The slave of this master, whatever name space it is in."""
    if not isinstance(file, PtyMaster):
        raise Errno(ENOTTY)
    root = next(mount.root for mount in task.kernel.mounts.list if mount.fs is task.kernel.devices.pts)
    slave = await open_dentry(task, await root.child(b"%d" % file.pty.number), arg & ~O_CLOEXEC)
    return task.files.install(slave, bool(arg & O_CLOEXEC))


TERMINAL = {
    TIOCSCTTY: _set_controlling,
    TIOCNOTTY: _give_up_controlling,
    TIOCGPGRP: _get_pgrp,
    TIOCSPGRP: _set_pgrp,
    TIOCGSID: _get_session,
    TIOCSTI: _type_in,
    TIOCVHANGUP: _hang_up,
    TIOCGPTPEER: _open_peer,
}
