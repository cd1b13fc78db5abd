"""The overlay beyond what the random comparison sees: what is read from below, identity, memory, positions."""

import asyncio

import pytest
from tests.fake_task import FakeTask
from webvm.fs.overlay import FIRST_NEW_INO, Overlay
from webvm.fs.tmpfs import PAGE, Tmpfs
from webvm.linux.errno import Errno
from webvm.linux.fcntl import O_DIRECTORY, O_RDWR


async def lower():
    """/d/{a,b}, /d/hard = /d/a, /big of 1000 pages; read-only."""
    fs = Tmpfs(mode=0o755)
    d = await fs.root.mkdir(b"d", 0o755, 0, 0)
    a = await d.create(b"a", 0o644, 0, 0)
    await a.write(0, b"content of a")
    await d.link(b"hard", a)
    await d.create(b"b", 0o644, 0, 0)
    big = await fs.root.create(b"big", 0o644, 0, 0)
    await big.write(0, b"0123456789abcdef" * (PAGE // 16) * 1000)
    for inode in (fs.root, d, a, big):
        inode.atime = inode.mtime = inode.ctime = 10**18
    fs.read_only = True
    return fs


def on_overlay(program):
    def test():
        async def main():
            await program(FakeTask(Overlay(await lower())))

        asyncio.run(main())

    test.__name__ = program.__name__
    return test


@on_overlay
async def test_one_written_byte_costs_one_page(task):
    fs = task.kernel.mounts.root.inode.fs
    big = await fs.lower.root.lookup(b"big")
    reads, read = [], type(big).read

    async def counted(self, offset, n):
        if self is big:
            reads.append((offset, n))
        return await read(self, offset, n)

    type(big).read = counted
    try:
        fd = await task.open(b"/big", O_RDWR)
        await task("lseek", fd, 500 * PAGE + 7, 0)
        await task.write(fd, b"X")
        assert reads == [(500 * PAGE, PAGE)] and fs.used_pages == 1
    finally:
        type(big).read = read
    await task("lseek", fd, 499 * PAGE, 0)
    data = b"0123456789abcdef" * (PAGE // 16)
    assert await task.read(fd, 3 * PAGE) == data + data[:7] + b"X" + data[8:] + data
    assert (await task.stat(b"/big"))["size"] == 1000 * PAGE
    lower_now = await big.read(500 * PAGE, 16)
    assert lower_now == b"0123456789abcdef"


@on_overlay
async def test_truncating_and_growing_shows_zeros_not_what_was_below(task):
    fd = await task.open(b"/big", O_RDWR)
    await task("ftruncate", fd, 10)
    await task("ftruncate", fd, 100)
    assert await task.read(fd, 1000) == b"0123456789" + bytes(90)


@on_overlay
async def test_names_of_one_lower_file_stay_one_file(task):
    fd = await task.open(b"/d/a", O_RDWR)
    await task.write(fd, b"CHANGED")
    assert await task.read(await task.open(b"/d/hard"), 100) == b"CHANGED of a"
    first, second = await task.stat(b"/d/a"), await task.stat(b"/d/hard")
    assert first == second and first["nlink"] == 2
    await task("unlink", b"/d/a")
    assert (await task.stat(b"/d/hard"))["nlink"] == 1


@on_overlay
async def test_inode_numbers_last(task):
    before = (await task.stat(b"/d/a"))["ino"]
    fd = await task.open(b"/d/a", O_RDWR)
    await task.write(fd, b"x")
    await task("rename", b"/d/a", b"/moved")
    assert (await task.stat(b"/moved"))["ino"] == before
    await task("mkdir", b"/new", 0o755)
    assert (await task.stat(b"/new"))["ino"] >= FIRST_NEW_INO


@on_overlay
async def test_a_lower_directory_is_renamed_with_all_that_is_in_it(task):
    await task("rename", b"/d", b"/e")
    assert sorted(await task.names(b"/e")) == [b".", b"..", b"a", b"b", b"hard"]
    assert sorted(await task.names(b"/")) == [b".", b"..", b"big", b"e"]
    await task("mkdir", b"/d", 0o755)  # where the old one was: nothing shines through
    assert await task.names(b"/d") == [b".", b".."]


@on_overlay
async def test_a_removed_directory_made_anew_is_empty(task):
    for name in (b"/d/a", b"/d/b", b"/d/hard"):
        await task("unlink", name)
    await task("rmdir", b"/d")
    await task("mkdir", b"/d", 0o755)
    assert await task.names(b"/d") == [b".", b".."]
    assert (await task.stat(b"/"))["nlink"] == 3


@on_overlay
async def test_directory_positions_last_while_names_come_and_go(task):
    fd = await task.open(b"/d", O_DIRECTORY)
    at = task.mem.put(bytes(64))
    await task("getdents64", fd, at, 32)
    position = int.from_bytes(task.mem.at(at + 8, 8), "little")
    await task("unlink", b"/d/a")
    await task("mkdir", b"/d/new", 0o755)

    async def rest():
        names = []
        while n := await task("getdents64", fd, at, 32):
            names.append(task.mem.at(at + 19, n - 19).split(b"\0")[0])
        return names

    first = await rest()
    await task("lseek", fd, position, 0)
    assert await rest() == first == [b"..", b"a", b"hard", b"b"]
    await task("lseek", fd, 0, 0)
    assert sorted(await rest()) == [b".", b"..", b"b", b"hard", b"new"]


@on_overlay
async def test_access_times_are_relative(task):
    async def atime():
        s = await task.stat(b"/d/a")
        return s["atime"] * 10**9 + s["atime_ns"]

    old = await atime()
    fd = await task.open(b"/d/a", O_RDWR)
    await task.read(fd, 1)
    first = await atime()
    await task.read(fd, 1)
    assert first > old and await atime() == first  # only the first read after a change counts
    await task.write(fd, b"x")
    await task.read(fd, 1)
    assert await atime() > first


@on_overlay
async def test_changed_attributes_are_not_forgotten(task):
    await task("chmod", b"/d/b", 0o600)
    await task("setxattr", b"/d/b", b"user.note", b"kept", 4, 0)
    fs = task.kernel.mounts.root.inode.fs
    task.kernel.mounts.root.children.clear()  # as if the cache of names were dropped
    assert (await task.stat(b"/d/b"))["mode"] & 0o777 == 0o600
    assert await (await (await fs.root.lookup(b"d")).lookup(b"b")).getxattr(b"user.note") == b"kept"


@on_overlay
async def test_space_ends_and_comes_back(task):
    fs = task.kernel.mounts.root.inode.fs
    fs.limit_pages = 3
    fd = await task.open(b"/big", O_RDWR)
    assert await task.write(fd, bytes(5 * PAGE)) == 3 * PAGE
    with pytest.raises(Errno) as error:
        await task.write(fd, b"x")
    assert error.value.name == "ENOSPC"
    await task("ftruncate", fd, 0)
    assert fs.used_pages == 0
