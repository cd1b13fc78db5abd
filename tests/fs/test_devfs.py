"""Devices through their nodes."""

import asyncio

import pytest
from tests.fake_task import FakeTask
from webvm.fs.tmpfs import Tmpfs
from webvm.kernel.filesystems import mount_standard
from webvm.linux.errno import Errno
from webvm.linux.fcntl import O_NONBLOCK, O_RDWR
from webvm.linux.ioctl import TIOCGPTN, TIOCGPTPEER, TIOCSPTLCK


def on_task(program):
    def test():
        async def main():
            task = FakeTask(Tmpfs(mode=0o755))
            await mount_standard(task.kernel)
            await program(task)

        asyncio.run(main())

    test.__name__ = program.__name__
    return test


async def error_of(coroutine):
    with pytest.raises(Errno) as caught:
        await coroutine
    return caught.value.name


@on_task
async def test_the_memory_devices_do_what_they_are_for(task):
    null, zero, full, random = [await task.open(b"/dev/" + name, O_RDWR) for name in (b"null", b"zero", b"full", b"urandom")]
    assert await task.read(null, 10) == b"" and await task.write(null, b"gone") == 4
    assert await task.read(zero, 10) == bytes(10) == await task.read(full, 10)
    assert await error_of(task.write(full, b"x")) == "ENOSPC"
    assert len(await task.read(random, 300)) == 300 and await task.read(random, 32) != await task.read(random, 32)
    assert await task("lseek", zero, 100, 0) == 0


@on_task
async def test_a_device_without_a_driver_cannot_be_opened(task):
    await task("mknod", b"/tmp/none", 0o020666, 0x1234)
    assert await error_of(task.open(b"/tmp/none")) == "ENXIO"
    assert await error_of(task.open(b"/dev/tty")) == "ENXIO"  # no controlling terminal


@on_task
async def test_the_console_becomes_the_controlling_terminal_of_a_session_leader(task):
    task.group.session.tty = None
    fd = await task.open(b"/dev/console", O_RDWR)
    assert task.group.tty is task.kernel.console and task.kernel.console.session == task.group.session.id
    await task.write(await task.open(b"/dev/tty", O_RDWR), b"shown\n")
    assert task.kernel.shown == b"shown\r\n"
    task.kernel.console.input(b"typed\r")
    assert await task.read(fd, 100) == b"typed\n"


@on_task
async def test_a_pty_appears_in_dev_pts_while_its_master_is_open(task):
    master = await task.open(b"/dev/ptmx", O_RDWR | O_NONBLOCK)
    number, unlock = task.mem.put(bytes(4)), task.mem.put(bytes(4))
    await task("ioctl", master, TIOCGPTN, number)
    assert task.mem.at(number, 4) == bytes(4) and await task.names(b"/dev/pts") == [b".", b"..", b"0", b"ptmx"]
    assert await error_of(task.open(b"/dev/pts/0", O_RDWR)) == "EIO"
    await task("ioctl", master, TIOCSPTLCK, unlock)
    slave = await task.open(b"/dev/pts/0", O_RDWR)
    peer = await task("ioctl", master, TIOCGPTPEER, O_RDWR)
    assert (await task.stat(b"/dev/pts/0"))["rdev"] == 136 << 8
    await task.write(slave, b"one ")
    await task.write(peer, b"two\n")
    assert await task.read(master, 100) == b"one two\r\n"
    await task("close", master)
    assert await task.names(b"/dev/pts") == [b".", b"..", b"ptmx"]
    assert await task.read(slave, 10) == b""


@on_task
async def test_a_pty_belongs_to_who_made_it(task):
    task.cred.fsuid = 1000
    await task.open(b"/dev/ptmx", O_RDWR | O_NONBLOCK)
    assert (await task.kernel.devices.pts.root.lookup(b"0")).uid == 1000
