"""/proc against the real one: the same names of fields, in the same order, in the same shape."""

import asyncio
import os
import re
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from webvm.fs.proc import Mapping, MountRow, OpenFile, ProcFs
from webvm.linux.errno import Errno

LINUX = sys.platform == "linux" and Path("/proc/self/status").exists()
CONTENT = b"python3\0-c\0pass\0"


class FakeProcess(SimpleNamespace):
    def maps(self):
        return [Mapping(0x400000, 0x401000, 5, False, 0, 0x801, 99, b"/usr/bin/x"), Mapping(0x7FFF000, 0x8000000, 3, False, 0, 0, 0, b"[stack]")]  # fmt: skip

    def files(self):
        return {0: OpenFile(b"/dev/tty1", "the terminal", 0o2, 0, 5, 9), 7: OpenFile(b"pipe:[3]", "a pipe", 0o1, 0, 0, 3)}

    def link(self, name):
        return b"/" + name, name

    async def memory(self, start, length):
        return CONTENT[start : start + length]


def process(tid=42, **changes):
    values = dict(
        pid=42, tid=tid, ppid=1, pgrp=42, session=42, tty_nr=0x401, tpgid=42, comm=b"a (b) c", state="S",
        uids=(1000, 1000, 1000, 1000), gids=(100,) * 4, groups=(100, 27), umask=0o22, nice=0, threads=[42, 43], started=10**9,
        user_time=15 * 10**7, system_time=10**8, child_user_time=0, child_system_time=0, faults=12, vm_size=1 << 20,
        vm_rss=1 << 19, vm_text=4096, vm_data=8192, vm_stack=4096, pending=0, shared_pending=0, blocked=1, ignored=2, caught=4,
        no_new_privs=False, limits=[((1 << 64) - 1,) * 2] * 16, oom_score_adj=0, auxv=bytes(32), waits_in=(), start_stack=0x7FFF000,
        code=(0x400000, 0x401000), arguments=(0, len(CONTENT)), environment=(0, 0),
    )  # fmt: skip
    return FakeProcess(**values | changes)


class FakeSystem(SimpleNamespace):
    def pids(self):
        return [42]

    def process(self, tid):
        return process(tid) if tid in (42, 43) else None

    def caller(self):
        return 42, 43

    def mounts(self):
        return [MountRow(1, 0, 0x801, b"/", b"ext4", b"/dev/root", b"rw,relatime"), MountRow(2, 1, 7, b"/a b", b"tmpfs", b"tmpfs", b"rw")]

    def uuid(self):
        return b"0" * 36


@pytest.fixture
def proc():
    system = FakeSystem(
        hostname=b"host", domainname=b"(none)", release=b"6.12.0", version=b"#1", cmdline=b"x", memory_total=1 << 30,
        memory_free=1 << 29, shmem=0, uptime=5 * 10**9, idle=10**9, user_time=10**9, system_time=10**8, boot_time=10**18,
        context_switches=0, forks=3, running=1, last_pid=43, pid_max=32768, load=(0.5, 0.25, 0), cpu_flags=b"fpu sse2",
        cpu_mhz=1000.0, boot_id=b"1" * 36,
    )  # fmt: skip
    return ProcFs(system)


def find(proc, path):
    async def main():
        inode = proc.root
        for name in path.split(b"/"):
            inode = await inode.lookup(name)
        return inode

    return asyncio.run(main())


def read(proc, path):
    async def main():
        file, got = await find_now(proc, path), b""
        while part := await file.read(1000):
            got += part
        return got

    async def find_now(proc, path):
        inode = proc.root
        for name in path.split(b"/"):
            inode = await inode.lookup(name)
        return await inode.open(0)

    return asyncio.run(main())


def keys(text):
    return [line.split(b":")[0].strip() for line in text.splitlines() if b":" in line]


@pytest.mark.skipif(not LINUX, reason="needs a real /proc")
@pytest.mark.parametrize("name", ["status", "meminfo", "cpuinfo", "io"])
def test_fields_are_those_of_linux_in_their_order(proc, name):
    where = f"42/{name}" if name in ("status", "io") else name
    ours = keys(read(proc, where.encode()))
    real = keys(Path("/proc", "self" if "/" in where else "", name).read_bytes())
    order = [key for key in real if key in ours]
    assert [key for key in ours if key in order] == list(dict.fromkeys(order))
    assert len(order) >= min(10, len(ours))


@pytest.mark.skipif(not LINUX, reason="needs a real /proc")
@pytest.mark.parametrize("name", ["limits", "filesystems", "uptime", "loadavg", "statm", "swaps", "stat"])
def test_lines_have_the_shape_of_linux(proc, name):
    def shape(text):
        return re.sub(rb"[0-9.]+", b"0", text.splitlines()[0]).split()

    own = name in ("limits", "statm")
    ours, real = read(proc, f"42/{name}".encode() if own else name.encode()), Path("/proc", "self" if own else "", name).read_bytes()
    if name == "filesystems":
        assert set(ours.splitlines()) >= {b"nodev\tproc", b"\text4"}
    else:
        assert shape(ours) == shape(real)


def test_stat_has_52_fields_and_a_name_in_parentheses(proc):
    text = read(proc, b"42/stat")
    head, _, rest = text.rpartition(b") ")
    assert head == b"42 (a (b) c" and len(rest.split()) == 50
    assert rest.split()[:6] == [b"S", b"1", b"42", b"42", b"1025", b"42"]
    assert rest.split()[11:13] == [b"15", b"10"]  # utime, stime in ticks


@pytest.mark.skipif(not LINUX, reason="needs a real /proc")
def test_maps_are_aligned_as_on_linux(proc):
    pattern = rb"[0-9a-f]{8,}-[0-9a-f]{8,} [r-][w-][x-][ps] [0-9a-f]{8} [0-9a-f]{2,}:[0-9a-f]{2} \d+ *(.*)"
    ours, real = read(proc, b"42/maps").splitlines(), Path("/proc/self/maps").read_bytes().splitlines()
    assert all(re.fullmatch(pattern, line) for line in ours + real)
    named = next(line for line in real if b"/" in line and line.find(b"/") == 73)
    assert ours[0].index(b"/usr/bin/x") == named.index(b"/") == 73


def test_links_lead_to_what_they_stand_for(proc):
    async def text(path):
        return await find(proc, path).readlink()

    assert find(proc, b"42/fd/0").follow() == "the terminal" and find(proc, b"42/exe").follow() == b"exe"
    assert asyncio.run(find(proc, b"42/fd/7").readlink()) == b"pipe:[3]"
    assert asyncio.run(find(proc, b"self").readlink()) == b"42"
    assert asyncio.run(find(proc, b"thread-self").readlink()) == b"42/task/43"
    assert find(proc, b"self").follow() is None
    assert read(proc, b"42/fdinfo/7").startswith(b"pos:\t0\nflags:\t01\n")


def test_what_is_not_there_is_not_found(proc):
    for path in (b"1", b"42/fd/3", b"42/fd/00", b"42/nothing", b"sys/kernel/nothing", b"042x"):
        with pytest.raises(Errno) as error:
            find(proc, path)
        assert error.value.name == "ENOENT"


def test_listings_name_what_can_be_looked_up(proc):
    async def check(inode, depth):
        for entry in await inode.readdir():
            found = await inode.lookup(entry.name)
            assert (found.ino, found.dtype) == (entry.ino, entry.type), entry
            if found.is_dir and depth:
                await check(found, depth - 1)

    asyncio.run(check(proc.root, 4))


def test_memory_is_read_for_cmdline(proc):
    assert read(proc, b"42/cmdline") == CONTENT and read(proc, b"42/environ") == b""


def test_mounts_escape_spaces(proc):
    assert b"tmpfs /a\\040b tmpfs rw 0 0" in read(proc, b"42/mounts").splitlines()
    assert read(proc, b"42/mountinfo").splitlines()[0] == b"1 0 8:1 / / rw,relatime - ext4 /dev/root rw"


def test_a_reader_in_small_steps_sees_one_state(proc):
    async def main():
        file = await find_file()
        first = await file.read(5)
        proc.system.uptime += 10**12
        rest = await file.read(100)
        file.pos = 0
        return first + rest, await file.read(100)

    async def find_file():
        return await (await proc.root.lookup(b"uptime")).open(os.O_RDONLY)

    before, after = asyncio.run(main())
    assert before == b"5.00 1.00\n" and after == b"1005.00 1.00\n"


def test_a_file_opened_before_its_process_ended_says_so(proc):
    async def main():
        file = await (await (await proc.root.lookup(b"42")).lookup(b"cmdline")).open(os.O_RDONLY)
        proc.system.process = lambda tid: None
        await file.read(5)

    with pytest.raises(Errno, match="ESRCH"):
        asyncio.run(main())
