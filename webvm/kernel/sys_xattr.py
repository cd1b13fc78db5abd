"""Extended attributes: 12 system calls that are four operations on three ways to name a file."""

from webvm.kernel.path import MAY_READ, MAY_WRITE, check, check_writable, resolve
from webvm.kernel.sys_path import of_file
from webvm.kernel.syscall import Fd, Flags, In, Out, Path, Size, syscall
from webvm.linux.errno import E2BIG, EINVAL, ENODATA, EOPNOTSUPP, EPERM, ERANGE, Errno
from webvm.linux.fcntl import XATTR_CREATE, XATTR_REPLACE

XATTR_NAME_MAX = 255
XATTR_SIZE_MAX = 65536


async def _name(task, address) -> bytes:
    name = await task.mem.cstring(address)
    if not 0 < len(name) <= XATTR_NAME_MAX:
        raise Errno(ERANGE)
    return name


def _check(task, dentry, name, want):
    """user.* goes by the mode of files and directories, trusted.* is root's; other spaces are what they say (EOPNOTSUPP)."""
    space, _, rest = name.partition(b".")
    if space not in (b"user", b"trusted", b"security", b"system") or not rest:
        raise Errno(EOPNOTSUPP)
    if want == MAY_WRITE:
        check_writable(task, dentry)
    inode = dentry.inode
    if space == b"trusted" and not task.cred.privileged:
        raise Errno(EPERM if want == MAY_WRITE else ENODATA)
    if space == b"security" and want == MAY_WRITE and not task.cred.privileged:
        raise Errno(EPERM)
    if space == b"system":
        raise Errno(EOPNOTSUPP)
    if space == b"user":
        if not inode.is_reg and not inode.is_dir:
            raise Errno(EPERM if want == MAY_WRITE else ENODATA)
        check(task.cred, inode, want)


async def _set(task, dentry, name, value, size, flags):
    if flags & ~(XATTR_CREATE | XATTR_REPLACE):
        raise Errno(EINVAL)
    name = await _name(task, name)
    if size > XATTR_SIZE_MAX:
        raise Errno(E2BIG)
    _check(task, dentry, name, MAY_WRITE)
    await dentry.inode.setxattr(name, await task.mem.read(value, size), flags)
    return 0


async def _reply(task, address, size, data):
    if size:
        if len(data) > size:
            raise Errno(ERANGE)
        await task.mem.write(address, data)
    return len(data)


async def _get(task, dentry, name, value, size):
    name = await _name(task, name)
    _check(task, dentry, name, MAY_READ)
    return await _reply(task, value, size, await dentry.inode.getxattr(name))


async def _list(task, dentry, address, size):
    names = await dentry.inode.listxattr()
    shown = [name for name in names if task.cred.privileged or not name.startswith(b"trusted.")]
    return await _reply(task, address, size, b"".join(name + b"\0" for name in shown))


async def _remove(task, dentry, name):
    name = await _name(task, name)
    _check(task, dentry, name, MAY_WRITE)
    await dentry.inode.removexattr(name)
    return 0


async def _followed(task, path):
    return await resolve(task, await task.mem.cstring(path))


async def _itself(task, path):
    return await resolve(task, await task.mem.cstring(path), follow=False)


def _opened(task, fd):
    return of_file(task.files.get(fd))


XattrFlags = Flags("XATTR_", "fcntl")


@syscall(188)
async def setxattr(task, path: Path, name: Path, value: In, size: Size, flags: XattrFlags):
    return await _set(task, await _followed(task, path), name, value, size, flags)


@syscall(189)
async def lsetxattr(task, path: Path, name: Path, value: In, size: Size, flags: XattrFlags):
    return await _set(task, await _itself(task, path), name, value, size, flags)


@syscall(190)
async def fsetxattr(task, fd: Fd, name: Path, value: In, size: Size, flags: XattrFlags):
    return await _set(task, _opened(task, fd), name, value, size, flags)


@syscall(191)
async def getxattr(task, path: Path, name: Path, value: Out, size: Size):
    return await _get(task, await _followed(task, path), name, value, size)


@syscall(192)
async def lgetxattr(task, path: Path, name: Path, value: Out, size: Size):
    return await _get(task, await _itself(task, path), name, value, size)


@syscall(193)
async def fgetxattr(task, fd: Fd, name: Path, value: Out, size: Size):
    return await _get(task, _opened(task, fd), name, value, size)


@syscall(194)
async def listxattr(task, path: Path, list: Out, size: Size):
    return await _list(task, await _followed(task, path), list, size)


@syscall(195)
async def llistxattr(task, path: Path, list: Out, size: Size):
    return await _list(task, await _itself(task, path), list, size)


@syscall(196)
async def flistxattr(task, fd: Fd, list: Out, size: Size):
    return await _list(task, _opened(task, fd), list, size)


@syscall(197)
async def removexattr(task, path: Path, name: Path):
    return await _remove(task, await _followed(task, path), name)


@syscall(198)
async def lremovexattr(task, path: Path, name: Path):
    return await _remove(task, await _itself(task, path), name)


@syscall(199)
async def fremovexattr(task, fd: Fd, name: Path):
    return await _remove(task, _opened(task, fd), name)
