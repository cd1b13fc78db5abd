"""What a kernel needs to have files: devices, pipes, sockets, locks, the terminal; and what is mounted where.

Importing this registers the system calls on files.
"""

from webvm.fs.devfs import TTY1, Devices, DevFs
from webvm.fs.pipe import PipeFs
from webvm.fs.proc import ProcFs
from webvm.fs.socket import SocketFs
from webvm.fs.sysfs import SysFs
from webvm.fs.tmpfs import Tmpfs
from webvm.fs.tty import Console, Tty
from webvm.fs.vfs import Filesystem
from webvm.kernel import jobctl
from webvm.kernel import (  # noqa: F401  (they register system calls)
    sys_file, sys_ioctl, sys_path, sys_poll, sys_socket, sys_splice, sys_xattr,
)  # fmt: skip
from webvm.kernel.locks import LockTable
from webvm.kernel.path import Dentry, Mounts
from webvm.kernel.proc_view import SystemView

SHM_LIMIT = 256 << 20


def equip(kernel, write) -> Tty:
    """Give the kernel its devices; returns the console, whose output goes to `write(bytes)`."""
    console = Tty(Console(write), b"tty1", TTY1)
    kernel.devices = Devices(console)
    kernel.devices.on_new_tty = lambda tty: jobctl.attach(kernel, tty)
    jobctl.attach(kernel, console)
    kernel.release_tty = jobctl.release
    kernel.locks = LockTable()
    kernel.on_close = kernel.locks.closed
    kernel.pipefs = PipeFs()
    kernel.sockets = SocketFs()
    kernel.shm = Tmpfs(SHM_LIMIT)
    return console


async def mount_at(mounts: Mounts, path: bytes, fs: Filesystem, read_only: bool = False):
    """Mount on a directory, which is made when it is not there (in memory, should the file system below be read-only)."""
    at = mounts.root
    for name in path.strip(b"/").split(b"/"):
        child = await at.child(name)
        if child is None:
            if at.inode.fs.read_only:
                child = at.children[name] = Dentry(Tmpfs(0, 0o755).root, at, name)
            else:
                child = at.add(name, await at.inode.mkdir(name, 0o755, 0, 0))
        at = child
    mounts.mount(fs, at, read_only)


async def mount_standard(kernel):
    """/proc, /sys, /dev, /dev/pts, /dev/shm, /tmp and /run."""
    mounts = kernel.mounts
    await mount_at(mounts, b"/proc", ProcFs(SystemView(kernel)))
    await mount_at(mounts, b"/sys", SysFs())
    await mount_at(mounts, b"/dev", DevFs())
    await mount_at(mounts, b"/dev/pts", kernel.devices.pts)
    await mount_at(mounts, b"/dev/shm", kernel.shm)
    await mount_at(mounts, b"/tmp", Tmpfs())
    await mount_at(mounts, b"/run", Tmpfs(mode=0o755))
