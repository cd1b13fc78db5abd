"""The walk: links, limits, mounts; what the random comparison with the real kernel does not reach."""

import asyncio

import pytest
from tests.fake_task import FakeTask
from webvm.fs.tmpfs import Tmpfs
from webvm.fs.vfs import Filesystem, Inode
from webvm.kernel.filesystems import mount_at, mount_standard
from webvm.kernel.path import resolve, walk
from webvm.linux.errno import ENOENT, Errno
from webvm.linux.fcntl import O_CREAT, O_NOFOLLOW, O_PATH, O_RDWR


def on_task(program):
    def test():
        asyncio.run(program(FakeTask(Tmpfs(mode=0o755))))

    test.__name__ = program.__name__
    return test


async def error_of(coroutine):
    with pytest.raises(Errno) as caught:
        await coroutine
    return caught.value.name


@on_task
async def test_forty_links_are_followed_and_no_more(task):
    await task("mkdir", b"/end", 0o755)
    for n in range(41):
        await task("symlink", b"end" if n == 0 else b"l%d" % (n - 1), b"/l%d" % n)
    assert (await resolve(task, b"/l39")).path() == b"/end"
    assert await error_of(resolve(task, b"/l40")) == "ELOOP"
    assert await error_of(task.open(b"/l0", O_NOFOLLOW)) == "ELOOP"
    assert await task.open(b"/l0", O_NOFOLLOW | O_PATH) >= 0


@on_task
async def test_names_and_paths_have_limits(task):
    assert await error_of(task("mkdir", b"/" + b"n" * 256, 0o755)) == "ENAMETOOLONG"
    await task("mkdir", b"/" + b"n" * 255, 0o755)
    assert await error_of(task.open(b"/." * 2048)) == "ENAMETOOLONG"
    assert await task.open(b"/." * 2047) >= 0
    assert await error_of(task.open(b"")) == "ENOENT"


@on_task
async def test_a_mount_covers_and_uncovers(task):
    await task("mkdir", b"/m", 0o755)
    await task("mkdir", b"/m/below", 0o755)
    mounts = task.kernel.mounts
    inner = Tmpfs(mode=0o755)
    mounts.mount(inner, await resolve(task, b"/m"))
    assert await task.names(b"/m") == [b".", b".."]
    await task("mkdir", b"/m/x", 0o755)
    await task("chdir", b"/m/x")
    assert (await resolve(task, b"../..")).path() == b"/"
    assert task.fs.cwd.path() == b"/m/x"
    assert (await task.stat(b"/m"))["dev"] == inner.dev
    for call in (("rmdir", b"/m"), ("rename", b"/m", b"/n")):
        assert await error_of(task(*call)) == "EBUSY"
    assert await error_of(task("link", b"/m/x", b"/y")) == "EXDEV"
    mounts.umount(await resolve(task, b"/m"))
    assert await task.names(b"/m") == [b".", b"..", b"below"]


@on_task
async def test_a_read_only_mount_of_a_writable_file_system_cannot_be_written(task):
    await mount_at(task.kernel.mounts, b"/ro", Tmpfs(), read_only=True)
    assert await error_of(task.open(b"/ro/f", O_CREAT | O_RDWR)) == "EROFS"
    assert await error_of(task("mkdir", b"/ro/d", 0o755)) == "EROFS"
    assert await error_of(task("chmod", b"/ro", 0o700)) == "EROFS"


@on_task
async def test_nothing_is_above_the_root_of_a_task(task):
    await task("mkdir", b"/jail", 0o755)
    await task("mkdir", b"/jail/in", 0o755)
    await task("mkdir", b"/out", 0o755)
    await task("symlink", b"/out", b"/jail/link")
    await task("chdir", b"/jail/in")
    await task("chroot", b"/jail")
    assert (await resolve(task, b"../../..")).path(task.fs.root) == b"/"
    assert await error_of(resolve(task, b"/out")) == "ENOENT"
    assert await error_of(resolve(task, b"/link")) == "ENOENT"


class Counting(Filesystem):
    """A read-only file system that counts lookups."""

    read_only = True

    def __init__(self):
        super().__init__()
        self.lookups = []
        self.root = CountingDir(self, 1, 0o040755)


class CountingDir(Inode):
    __slots__ = ()

    async def lookup(self, name):
        self.fs.lookups.append(name)
        if name == b"none":
            raise Errno(ENOENT)
        return CountingDir(self.fs, len(self.fs.lookups), 0o040755)


def test_names_are_looked_up_once_the_absent_ones_too():
    async def main():
        task = FakeTask(Counting())
        for _ in range(3):
            await resolve(task, b"/a/b")
            assert (await walk(task, b"/a/none")).dentry is None
        return task.kernel.mounts.root.inode.fs.lookups

    assert asyncio.run(main()) == [b"a", b"b", b"none"]


class EmptyDir(CountingDir):
    __slots__ = ()

    async def lookup(self, name):
        raise Errno(ENOENT)


def test_the_standard_places_are_mounted_over_an_empty_read_only_root():
    async def main():
        fs = Counting()
        fs.root = EmptyDir(fs, 1, 0o040755)
        task = FakeTask(fs)
        await mount_standard(task.kernel)
        return [mount.root.path() for mount in task.kernel.mounts.list]

    assert asyncio.run(main()) == [b"/", b"/proc", b"/sys", b"/dev", b"/dev/pts", b"/dev/shm", b"/tmp", b"/run"]
