"""What system calls do at once, without a coroutine: the same as they do where nothing is at hand."""

import asyncio
import os
import random
import time

import pytest
from tests.fake_task import FakeTask, Memory
from tests.kernel.scripted import Machine, call
from webvm.fs import vfs
from webvm.fs.overlay import Overlay
from webvm.fs.pipe import PipeFile
from webvm.fs.tmpfs import PAGE, MemFile, Tmpfs
from webvm.fs.vfs import File, RegularFile
from webvm.kernel.syscall import sent
from webvm.linux.errno import EFAULT, Errno
from webvm.linux.fcntl import O_APPEND, O_CREAT, O_NONBLOCK, O_RDWR
from webvm.linux.stat import STAT

SEED = int(os.environ.get("WEBVM_SEED", time.time()))
SIZE = 5 * PAGE


async def tmpfs():
    fs = Tmpfs()
    await (await fs.root.create(b"file", 0o666, 0, 0)).write(0, bytes(range(256)) * 50)
    return fs


async def overlay():
    return Overlay(await tmpfs())


def nothing_at_hand(patch):
    """Files, and what they are in; also memory, now and then."""
    for kind in (RegularFile, PipeFile):
        for name in ("read_now", "write_now", "pread_now", "pwrite_now", "seek_now"):
            if name != "seek_now":              # without it, seeking has no other way
                patch.setattr(kind, name, getattr(File, name))
    patch.setattr(MemFile, "read_now", lambda self, offset, n: None if offset < self.size and n else b"")
    patch.setattr(MemFile, "write_now", lambda self, offset, data: None if data else 0)
    patch.setattr(Memory, "read_now", lambda self, address, n: None)
    patch.setattr(Memory, "write_now", lambda self, address, data: False)


async def story(make, seed):
    """What each of some random calls answers, and what the file is in the end."""
    rng = random.Random(seed)
    task = FakeTask(await make())
    ends = await task.pipe(O_NONBLOCK)
    fds = [await task.open(b"/file", O_RDWR), await task.open(b"/file", O_RDWR | O_APPEND), await task.open(b"/new", O_RDWR | O_CREAT)]
    place = task.mem.put(bytes(SIZE))
    told = []
    for _ in range(150):
        fd, n = rng.choice(fds), rng.choice((0, 1, 7, 100, PAGE - 1, PAGE, PAGE + 1, rng.randrange(SIZE)))
        offset = rng.choice((0, PAGE, 2 * PAGE - 3, rng.randrange(SIZE), rng.randrange(1 << 20)))
        name, arguments = rng.choice((
            ("read", (fd, place, n)), ("pread64", (fd, place, n, offset)), ("write", (fd, place, n)), ("pwrite64", (fd, place, n, offset)),
            ("lseek", (fd, offset % SIZE, rng.randrange(6))), ("ftruncate", (fd, offset)), ("read", (ends[0], place, n)),
            ("write", (ends[1], place, n)), ("pread64", (ends[0], place, n, 0)), ("lseek", (ends[0], 0, 0)), ("read", (99, place, n)),
            ("pread64", (fd, place, n, -1)), ("pwrite64", (fd, 0xFFFF0000, 8, offset)), ("read", (fds[0], 0xFFFF0000, 1)),
        ))
        if name.endswith(("write", "write64")) and len(arguments) > 1:
            task.mem.bytes[place - 0x1000:place - 0x1000 + SIZE] = rng.randbytes(SIZE)
        try:
            result = await task(name, *arguments)
        except Errno as error:
            result = error.name
        task.mem.top = place + SIZE
        told.append((name, arguments, result, task.mem.at(place, SIZE)))
    return told, [await task.kernel.mounts.root.inode.fs.root.find(name) for name in (b"file", b"new")]


@pytest.mark.parametrize("make", [tmpfs, overlay], ids=["tmpfs", "overlay"])
def test_what_is_at_hand_is_what_would_have_been_waited_for(make, monkeypatch):
    for seed in range(SEED, SEED + 12):
        print("WEBVM_SEED", seed)
        fast, files = asyncio.run(story(make, seed))
        with monkeypatch.context() as patch:
            nothing_at_hand(patch)
            slow, others = asyncio.run(story(make, seed))
        for one, other in zip(fast, slow, strict=True):
            assert one == other
        for one, other in zip(files, others, strict=True):
            assert (one.size, one.blocks, one.fs.used_pages) == (other.size, other.blocks, other.fs.used_pages)
            content, wanted = (asyncio.run(inode.read(0, 1 << 21)) for inode in (one, other))
            assert content == wanted and len(content) == one.size and type(content) is bytes


def test_buffers_that_are_not_there_yet_are_had_first_and_others_are_efault():
    seen = []

    def program(space):
        space.write(0x400800, b"/data\0")
        fd = yield call(2, 0x400800, 2, 0)
        fresh = yield call(9, 0, 1 << 20, 3, 0x22, -1, 0)
        seen.append((yield call(0, fd, fresh + 4094, 5)))
        seen.append(space.read(fresh + 4094, 5))
        seen.append((yield call(17, fd, fresh + 0x20000, 3, 1)))
        seen.append(space.read(fresh + 0x20000, 3))
        seen.append((yield call(18, fd, fresh + 0x40000, 2, 4)))
        seen.append((yield call(5, fd, fresh + 0x60000)))
        seen.append(STAT.unpack(space.read(fresh + 0x60000, STAT.size))[7])
        seen.append((yield call(228, 1, fresh + 0x80000 - 8)))
        seen.append((yield call(96, fresh + 0x90000, fresh + 0xA0000 - 4)))
        seen.append(any(space.read(fresh + 0x90000, 8)))
        for number, *arguments in ((0, fd, 0x5000000, 1), (17, fd, 0x5000000, 1, 0), (1, fd, 0x5000000, 1), (18, fd, 0x5000000, 1, 0),
                                   (5, fd, 0x5000000), (228, 1, 0x5000000), (96, 0x5000000, 0), (0, fd, 1 << 63, 1)):
            yield call(8, fd, 0, 0)
            seen.append((yield call(number, *arguments)))
    Machine(program, files={b"data": b"content"}).run()
    assert seen == [5, b"conte", 3, b"ont", 2, 0, 7, 0, 0, True] + [-EFAULT] * 8


def test_within_a_slice_files_get_the_time_of_the_last_look_at_the_clock(monkeypatch):
    clock = iter(range(1000, 100000, 10))
    monkeypatch.setattr(vfs, "time_ns", lambda: next(clock))
    first = vfs.now()
    assert vfs.now() == first + 10
    try:
        vfs.hold_time()
        held = vfs.now()
        assert held > first + 10 and vfs.now() == held
        vfs.hold_time()
        assert vfs.now() > held
    finally:
        vfs.hold_time(False)
    assert vfs.now() < vfs.now()


def test_nobody_is_left_with_an_old_time_when_a_program_waits_or_ends():
    seen = []

    def program(space):
        seen.append(vfs._held)
        ends = yield call(22, 0x400800)
        seen.append(vfs._held)
        assert ends == 0
        yield call(0, int.from_bytes(space.read(0x400800, 4), "little"), 0x400900, 1)      # for ever: the other end is its own

    async def during(task):
        while task.coroutine is None:
            await asyncio.sleep(0)
        seen.append(vfs._held)
        machine.kernel.end_group(task.group, 9)
        machine.kernel.scheduler.ready(task)
    machine = Machine(program)
    machine.run(during=during)
    assert seen[0] and seen[1] and seen[2:] == [0] and not vfs._held


def test_the_calls_that_read_a_buffer_say_which():
    calls = sent()
    assert calls[1] == calls[18] == (2, 3) and calls[44] == (2, 3)      # write, pwrite64, sendto
    assert not {0, 17, 2, 39} & calls.keys()
