"""Address spaces against a model: a dictionary of pages, changed at random by the same operations."""

import asyncio
import random

import pytest

from tests.kernel.scripted import ScriptedSpace
from webvm.fs.tmpfs import Tmpfs
from webvm.kernel import mm as memory
from webvm.kernel.cpu import PAGE, PRESENT, R, W, X
from webvm.kernel.mm import AddressSpace, GuestFault
from webvm.kernel.pagecache import CHUNK, PageCache
from webvm.linux.errno import EFAULT, ENOMEM, Errno

BASE = 0x100000
PAGES = 48


def nothing(space):
    yield


def new_mm():
    return AddressSpace(ScriptedSpace(nothing))


def run(coroutine):
    return asyncio.run(coroutine)


async def new_file(content):
    inode = await Tmpfs().root.create(b"file", 0o644, 0, 0)
    await inode.write(0, content)
    return PageCache().of(inode)


def check_invariants(mm):
    previous = 0
    for vma, start in zip(mm.vmas, mm.starts):
        assert vma.start == start and previous <= start < vma.end
        previous = vma.end
    for left, right in zip(mm.vmas, mm.vmas[1:]):
        assert not left.continued_by(right)
    perms = mm.space.permissions
    for number in range(BASE // PAGE - 1, BASE // PAGE + 2 * PAGES):
        perm, vma = perms[number], mm.find(number * PAGE)
        if not perm & PRESENT:
            assert perm == 0 and not any(mm.space.pages.get(number, b""))
        else:
            assert vma is not None and not perm & (R | W | X) & ~vma.prot
            following = mm.find((number + 1) * PAGE)
            if perm & (R | W | X) and following is not None and (following.pages is None or following.shared or
                                                                 following.page_index(number + 1) < following.pages.page_count):
                assert perms[number + 1] & PRESENT


class Model:
    """What each page holds and permits."""

    def __init__(self, pages=()):
        self.pages = {n: [prot, bytearray(data)] for n, (prot, data) in dict(pages).items()}

    def readable(self, address, length):
        return all(self.pages.get(n, (0,))[0] & R for n in range(address // PAGE, (address + length - 1) // PAGE + 1))

    def writable(self, address, length):
        return all(self.pages.get(n, (0,))[0] & W for n in range(address // PAGE, (address + length - 1) // PAGE + 1))


async def step(rng, mm, model, file, content):
    start = BASE + rng.randrange(PAGES) * PAGE
    length = rng.randint(1, 12) * PAGE
    numbers = range(start // PAGE, (start + length) // PAGE)
    prot = rng.choice([0, R, R | W, R | X, W, X])
    full = prot | R if prot else 0
    match rng.choice("map map file unmap protect forget read write write remap".split()):
        case "map":
            mm.map(start, length, prot)
            model.pages.update({n: [full, bytearray(PAGE)] for n in numbers})
        case "file":
            pgoff = rng.randrange(0, 6)
            mm.map(start, length, prot, pages=file, pgoff=pgoff)
            for i, n in enumerate(numbers):
                data = content[(pgoff + i) * PAGE:(pgoff + i + 1) * PAGE]
                if data:
                    model.pages[n] = [full, bytearray(data.ljust(PAGE, b"\0"))]
                else:
                    model.pages.pop(n, None)            # mapped, but SIGBUS
        case "unmap":
            mm.unmap(start, length)
            for n in numbers:
                model.pages.pop(n, None)
        case "protect":
            if all(n in model.pages for n in numbers):
                mm.protect(start, length, prot)
                for n in numbers:
                    model.pages[n][0] = full
        case "forget":
            vmas = mm.overlapping(start, start + length)
            if all(v.pages is None for v in vmas):
                mm.forget(start, length)
                for n in numbers:
                    if n in model.pages:
                        model.pages[n][1] = bytearray(PAGE)
        case "read":
            address, n = start + rng.randrange(PAGE), rng.randint(1, 3 * PAGE)
            try:
                data = await mm.read(address, n)
            except Errno as error:
                assert error.number == EFAULT and not model.readable(address, n)
            else:
                assert model.readable(address, n)
                first = address // PAGE
                whole = b"".join(bytes(model.pages[p][1]) for p in range(first, (address + n - 1) // PAGE + 1))
                assert data == whole[address - first * PAGE:][:n]
        case "write":
            address, data = start + rng.randrange(PAGE), rng.randbytes(rng.randint(1, 2 * PAGE))
            try:
                await mm.write(address, data)
            except Errno as error:
                assert error.number == EFAULT and not model.writable(address, len(data))
            else:
                for i, byte in enumerate(data):
                    model.pages[(address + i) // PAGE][1][(address + i) % PAGE] = byte
        case "remap":
            vma = mm.find(start)
            if vma is not None and vma.end >= start + length and vma.pages is None:
                new = BASE + (PAGES + 20) * PAGE
                mm.remap(start, length, length, True, new)
                moved = [model.pages.pop(n) for n in numbers]
                assert bytes().join(bytes(p[1]) for p in moved) == mm.space.read(new, length)
                mm.unmap(new, length)


@pytest.mark.parametrize("seed", range(12))
def test_random_operations_agree_with_the_model(seed):
    async def main():
        rng = random.Random(seed)
        content = rng.randbytes(9 * PAGE + 100)
        file = await new_file(content)
        mm, model = new_mm(), Model()
        for _ in range(150):
            await step(rng, mm, model, file, content)
            check_invariants(mm)
        child = mm.fork(ScriptedSpace(nothing))
        copy = Model({n: (prot, data) for n, (prot, data) in model.pages.items()})
        for _ in range(60):
            await step(rng, mm, model, file, content)
            await step(rng, child, copy, file, content)
        check_invariants(child)
    run(main())


def test_a_fault_populates_the_pages_around_and_the_one_after():
    mm = new_mm()
    mm.map(BASE, 64 * PAGE, R | W)
    run(mm.fault(BASE + 20 * PAGE, W))
    perms = mm.space.perms(BASE // PAGE, 64)
    assert perms == bytes(16) + bytes([R | W | PRESENT]) * 16 + bytes([PRESENT]) + bytes(31)


def test_a_page_before_a_page_not_loaded_yet_waits_for_it():
    async def main():
        file = await new_file(bytes(40 * PAGE))
        mm = new_mm()
        mm.map(BASE, 40 * PAGE, R, pages=file)
        await mm.fault(BASE, R)
        assert set(file.chunks) == {0}
        assert mm.space.perms(BASE // PAGE, 17) == bytes([R | PRESENT]) * 15 + bytes([PRESENT, 0])
        await mm.fault(BASE + 15 * PAGE, R)
        assert set(file.chunks) == {0, 1}
    run(main())


@pytest.mark.parametrize("most", [24, 2, 0])
def test_the_first_fault_has_there_what_was_used_of_the_file_lately(most, monkeypatch):
    monkeypatch.setattr(memory, "MOST_AHEAD", most)
    content = bytes(n >> 12 & 0xFF for n in range(100 * PAGE))

    async def main():
        file = await new_file(content)
        file.inode.mtime = file.inode.ctime = 0         # long ago: it is not read again for that
        first, second = new_mm(), new_mm()
        first.map(BASE, 100 * PAGE, R | W, pages=file)
        for page in (70, 20, 33):                       # in chunks 4, 1 and 2
            await first.fault(BASE + page * PAGE, R)
        await first.write(BASE + 20 * PAGE, b"its own")
        chunk = file.chunks.pop(1)                      # what is not at hand is not waited for
        second.map(BASE, 3 * PAGE, R | W)
        second.map(BASE + 3 * PAGE, 92 * PAGE, R, pages=file, pgoff=5)
        await second.fault(BASE + 3 * PAGE + (70 - 5) * PAGE, R)
        perms = second.space.perms(BASE // PAGE + 3 - 5, 100)
        there = {page // 16 for page in range(100) if perms[page] & R}
        assert there == {24: {2, 4}, 2: {2, 4}, 0: {4}}[most]
        for page in range(100):
            if perms[page] & PRESENT:
                assert second.space.read(BASE + (page - 2) * PAGE, PAGE) == content[page * PAGE:(page + 1) * PAGE]
        check_invariants(second)
        file.chunks[1] = chunk
        assert await second.read(BASE + (20 - 2) * PAGE, PAGE) == content[20 * PAGE:21 * PAGE]
        await second.fault(BASE + (96 - 2) * PAGE, R)
        check_invariants(second)
        assert len(file.lately) <= most
    run(main())


def test_faults_say_what_was_wrong():
    async def main():
        mm = new_mm()
        mm.map(BASE, PAGE, R)
        mm.map(BASE + PAGE, 4 * PAGE, R, pages=await new_file(b"x"))
        found = []
        for address, access in ((BASE + 5, W), (BASE - 1, R), (BASE + 3 * PAGE, R), (1 << 63, R), (1 << 40, R)):
            with pytest.raises(GuestFault) as fault:
                await mm.fault(address, access)
            found.append((fault.value.signo, fault.value.code, fault.value.address))
        assert found == [(11, 2, BASE + 5), (11, 1, BASE - 1), (7, 2, BASE + 3 * PAGE), (11, 0x80, 0), (11, 1, 1 << 40)]
    run(main())


def test_shared_pages_are_seen_by_all_who_map_them():
    async def main():
        mm = new_mm()
        mm.map(BASE, 4 * PAGE, R | W, shared=True)
        other = mm.fork(ScriptedSpace(nothing))
        await other.read(BASE, 1)
        await mm.write(BASE + 10, b"hello")
        mm.sync_shared()
        assert await other.read(BASE + 10, 5) == b"hello"
        await other.write(BASE + 12, b"y")
        other.sync_shared()
        assert await mm.read(BASE + 10, 5) == b"heylo"
    run(main())


def test_a_shared_file_gets_what_was_written_and_gives_what_others_write():
    async def main():
        file = await new_file(b"a" * 5000)
        mm = new_mm()
        mm.map(BASE, 2 * PAGE, R | W, shared=True, pages=file)
        await mm.write(BASE + 4999, b"zzz")
        mm.unmap(BASE, 2 * PAGE)
        assert await file.inode.read(4990, 100) == b"a" * 9 + b"z"
        assert file.inode.size == 5000
    run(main())


def test_brk_grows_shrinks_and_stops_at_what_is_mapped():
    mm = new_mm()
    mm.start_brk = mm.brk = BASE
    mm.map(BASE + 10 * PAGE, PAGE, R)
    assert mm.set_brk(BASE + 100) == BASE + 100
    assert mm.set_brk(BASE + 11 * PAGE) == BASE + 100
    assert mm.set_brk(BASE + 9 * PAGE) == BASE + 9 * PAGE
    assert mm.set_brk(BASE) == BASE and mm.find(BASE) is None
    assert mm.set_brk(BASE - 1) == BASE


def test_no_room_is_enomem():
    mm = new_mm()
    with pytest.raises(Errno) as refused:
        mm.free_range(mm.space.limit)
    assert refused.value.number == ENOMEM


def test_the_last_user_releases_the_memory():
    mm = new_mm()
    space = mm.space
    mm.users = 2
    mm.drop()
    assert not space.released
    mm.drop()
    assert space.released


def test_chunks_of_files_that_are_used_stay(monkeypatch):
    """Room for three: those that nobody looked at for longest go."""
    monkeypatch.setattr("webvm.kernel.pagecache.CACHE_CHUNKS", 3)

    async def main():
        pages = await new_file(b"x" * 5 * CHUNK)
        for index in range(3):
            await pages.load(index)
        assert pages.page(0) and pages.page(2 * CHUNK // PAGE)              # in this order, and 1 before them
        await pages.load(3)
        assert sorted(pages.chunks) == [0, 2, 3]
        await pages.load(0)
        await pages.load(4)
        assert sorted(pages.chunks) == [0, 3, 4]
        assert pages.page(1 * CHUNK // PAGE) is None and pages.page(5 * CHUNK // PAGE) == b""
    run(main())
