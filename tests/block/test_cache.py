"""webvm.block.cache over a source that says what it was asked, and a store that says what it keeps."""

import asyncio
import random

import pytest

from webvm.block import CachedDevice, Stats, cache
from webvm.block.errors import BlockError, Changed, Damaged, OutOfRange, Unreachable

SIZE = 65536


class Source:
    """An image whose reads are written down, can be held back, and fail as told."""

    def __init__(self, data: bytes, run: int = 1 << 20, identity: str = "one", packs: tuple[tuple[int, ...], ...] = ()):
        """`packs`: the blocks in each; needs a run of one block."""
        self.data, self.size, self.run = data, len(data), run
        self.packs = {number * SIZE: tuple(other * SIZE for other in pack) for pack in packs for number in pack}
        self.name, self.identity = "image", identity
        self.asked: list[tuple[int, ...]] = []          # (first block, blocks) of each read; the blocks of each pack
        self.gate: asyncio.Event | None = None
        self.bad: dict[int, BlockError] = {}            # by block

    async def read(self, offset, length):
        first, count = offset // SIZE, -(-length // SIZE)
        self.asked.append((first, count))
        if self.gate:
            await self.gate.wait()
        else:
            await asyncio.sleep(0)
        for number in range(first, first + count):
            if number in self.bad:
                raise self.bad[number]
        return self.data[offset:offset + length]

    async def read_pack(self, offset):
        pack = self.packs[offset]
        self.asked.append(tuple(at // SIZE for at in pack))
        if self.gate:
            await self.gate.wait()
        if offset // SIZE in self.bad:
            raise self.bad[offset // SIZE]
        return {at: self.data[at:at + SIZE] for at in pack}

    def close(self): ...


class FakeStore:
    """A store in a dict, refusing as told."""

    def __init__(self):
        self.records: dict[int, bytes] = {}
        self.identity = None
        self.refuse: set[str] = set()
        self.puts: list[list[int]] = []
        self.gets: list[list[int]] = []

    def _maybe(self, what):
        if what in self.refuse:
            raise OSError(28, "No space left on device")

    async def open(self, name, identity):
        self._maybe("open")
        if identity != self.identity:
            self.records.clear()
            self.identity = identity

    async def get_many(self, numbers):
        await asyncio.sleep(0)
        self._maybe("get")
        self.gets.append(numbers)
        return {number: self.records[number] for number in numbers if number in self.records}

    async def put_many(self, records):
        await asyncio.sleep(0)
        self._maybe("put")
        self.puts.append(list(records))
        self.records |= records

    def close(self): ...


@pytest.fixture
def source(image):
    return Source(image)


def cached(source, store=None, **options):
    return CachedDevice.open(source, store, **{"read_ahead": 0, **options})


def blocks(source):
    """All blocks asked of the source, with repetitions, in order."""
    return sorted(number for first, count in source.asked for number in range(first, first + count))


def drive(coroutine):
    """Run a coroutine as the kernel does: from event loop callbacks, outside any task."""
    loop = asyncio.get_running_loop()
    result = loop.create_future()

    def step(_=None):
        assert asyncio.current_task() is None
        try:
            coroutine.send(None).add_done_callback(step)
        except StopIteration as stop:
            result.set_result(stop.value)
        except BlockError as error:
            result.set_exception(error)

    loop.call_soon(step)
    return result


# ---- the right bytes

@pytest.mark.parametrize("options", [{}, {"memory": 4 * SIZE}, {"read_ahead": 1 << 20}, {"memory": 20 * SIZE, "read_ahead": 1 << 20}], ids=str)
@pytest.mark.parametrize("kept", [False, True])
def test_random_reads_by_many_readers_give_the_image(source, image, options, kept):
    async def main():
        device = await cached(source, FakeStore() if kept else None, **options)
        dice = random.Random(5)

        async def reader():
            for _ in range(40):
                offset = dice.randrange(len(image))
                length = min(dice.choice([1, 4096, 70_000, 300_000]), len(image) - offset)
                assert await device.read(offset, length) == image[offset:offset + length]

        await asyncio.gather(*(reader() for _ in range(8)))
        device.close()

    asyncio.run(main())


def test_a_read_beyond_the_image_is_an_error_whether_its_block_is_in_memory_or_not(source, image):
    async def main():
        device = await cached(source)
        for _ in range(2):
            for offset, length in [(-1, 1), (0, -1), (len(image) - 1, 2), (len(image), 1), (5, 1 << 40)]:
                with pytest.raises(OutOfRange):
                    await device.read(offset, length)
            await device.read(len(image) - 10, 10)
            await device.read(0, 10)
        assert await device.read(len(image), 0) == b""

    asyncio.run(main())


def test_a_block_in_memory_is_read_without_suspending(source, image):
    async def main():
        device = await cached(source)
        await device.read(0, 2 * SIZE)
        with pytest.raises(StopIteration) as stop:
            device.read(100, 4096).send(None)
        assert stop.value.value == image[100:4196]
        with pytest.raises(StopIteration) as stop:
            device.read(SIZE - 10, 20).send(None)
        assert stop.value.value == image[SIZE - 10:SIZE + 10]

    asyncio.run(main())


def test_a_reader_outside_any_task_is_served(source, image):
    async def main():
        device = await cached(source, FakeStore(), read_ahead=1 << 20)
        assert await drive(device.read(1000, 200_000)) == image[1000:201_000]
        source.bad[40] = Damaged("bad")
        with pytest.raises(Damaged):
            await drive(device.read(40 * SIZE, 1))

    asyncio.run(main())


# ---- each block once

def test_concurrent_misses_of_a_block_fetch_it_once(source, image):
    async def main():
        device = await cached(source, FakeStore())
        reads = [device.read(n * 100, 100) for n in range(20)]
        assert await asyncio.gather(*reads) == [image[n * 100:n * 100 + 100] for n in range(20)]
        assert source.asked == [(0, 1)]

    asyncio.run(main())


def test_neighbouring_misses_are_one_request_as_long_as_the_source_likes(source):
    async def main():
        device = await cached(source, stats=(stats := Stats()))
        await device.read(3 * SIZE + 5, 4 * SIZE)
        assert source.asked == [(3, 5)]
        await device.read(0, 10 * SIZE)                     # 3..7 are here
        assert source.asked[1:] == [(0, 3), (8, 2)]
        await device.read(10 * SIZE, 40 * SIZE)
        assert source.asked[3:] == [(10, 16), (26, 16), (42, 8)]
        assert stats.blocks_fetched == 50 and stats.memory_hits == 5

    asyncio.run(main())


def test_so_many_requests_at_a_time_and_no_more(image):
    class Counting(Source):
        now = most = 0

        async def read(self, offset, length):
            self.now += 1
            self.most = max(self.most, self.now)
            data = await super().read(offset, length)
            self.now -= 1
            return data

    async def main():
        source = Counting(image, run=SIZE)
        device = await cached(source)
        assert await device.read(0, len(image)) == image
        assert len(source.asked) == 51 and source.most == 6

    asyncio.run(main())


def test_memory_is_bounded_and_forgets_the_least_recently_used(source):
    async def main():
        device = await cached(source, memory=3 * SIZE)
        for number in (0, 1, 2, 0, 3):                      # 3 pushes 1 out
            await device.read(number * SIZE, 1)
        for number in (0, 2, 3):
            await device.read(number * SIZE, 1)
        assert len(source.asked) == 4
        await device.read(1 * SIZE, 1)
        assert source.asked[4:] == [(1, 1)]

    asyncio.run(main())


def test_a_read_bigger_than_memory_is_whole(source, image):
    async def main():
        device = await cached(source, memory=2 * SIZE)
        assert await device.read(0, len(image)) == image

    asyncio.run(main())


def test_a_cancelled_reader_takes_nobody_with_it(source, image):
    async def main():
        source.gate = asyncio.Event()
        device = await cached(source)
        one, two = (asyncio.ensure_future(device.read(0, 10)) for _ in range(2))
        await asyncio.sleep(0)
        one.cancel()
        source.gate.set()
        assert await two == image[:10]
        assert one.cancelled() and source.asked == [(0, 1)]

    asyncio.run(main())


def test_closing_lets_no_reader_wait_for_ever(source):
    async def main():
        source.gate = asyncio.Event()
        device = await cached(source)
        reads = [asyncio.ensure_future(device.read(n * SIZE, 10)) for n in range(2)]
        await asyncio.sleep(0)
        device.close()
        for read in reads:
            with pytest.raises(BlockError, match="closed"):
                await read

    asyncio.run(main())


# ---- read-ahead

def test_a_sequential_reader_finds_the_next_blocks_fetched_twice_as_far_each_time(source, image):
    async def main():
        device = await cached(source, read_ahead=1 << 20, stats=(stats := Stats()))
        for offset in range(0, len(image), 4096):
            assert await device.read(offset, 4096) == image[offset:offset + 4096]
        assert source.asked[:4] == [(0, 1), (1, 3), (4, 4), (8, 8)]
        assert len(source.asked) <= 8
        assert blocks(source) == list(range(51))            # each once, none beyond the end
        assert stats.blocks_ahead == 49

    asyncio.run(main())


def test_read_ahead_is_bounded(source):
    async def main():
        device = await cached(source, read_ahead=4 * SIZE)
        for number in range(40):
            await device.read(number * SIZE, 1)
            assert max(blocks(source)) <= number + 2 * 4
        assert max(count for _, count in source.asked) <= 5

    asyncio.run(main())


def test_the_next_stretch_is_on_its_way_before_this_one_is_used_up(source):
    async def main():
        device = await cached(source, read_ahead=1 << 20)
        await device.read(0, 1)
        await device.read(SIZE, 1)                          # fetches 1, 2, 3
        source.gate = asyncio.Event()
        await device.read(2 * SIZE, 1)                      # in memory, and the mark: 4.. are started
        for _ in range(5):
            await asyncio.sleep(0)
        assert source.asked[-1] == (4, 4)

    asyncio.run(main())


def test_scattered_reads_read_nothing_ahead(source):
    async def main():
        device = await cached(source, read_ahead=1 << 20)
        order = [5, 40, 12, 30, 2, 25, 8, 45, 17]
        for number in order:
            await device.read(number * SIZE, 4096)
        assert blocks(source) == sorted(order)

    asyncio.run(main())


def test_two_interleaved_sequential_readers_are_both_read_ahead_for(source):
    async def main():
        device = await cached(source, read_ahead=1 << 20)
        for number in range(20):
            await device.read(number * SIZE, 4096)
            await device.read((25 + number) * SIZE, 4096)
        assert len(source.asked) <= 12
        assert len(set(blocks(source))) == len(blocks(source))

    asyncio.run(main())


def test_read_ahead_off_fetches_what_is_read(source):
    async def main():
        device = await cached(source, read_ahead=0)
        for number in range(10):
            await device.read(number * SIZE, 4096)
        assert source.asked == [(number, 1) for number in range(10)]

    asyncio.run(main())


def test_a_failure_among_blocks_read_ahead_does_not_fail_the_reader(source, image):
    async def main():
        device = await cached(source, read_ahead=1 << 20)
        await device.read(0, 1)
        source.bad[3] = Damaged("bad block")
        assert await device.read(SIZE, 10) == image[SIZE:SIZE + 10]
        with pytest.raises(Damaged):
            await device.read(3 * SIZE, 1)

    asyncio.run(main())


# ---- failures

def test_a_failure_reaches_every_reader_and_is_not_remembered(source, image):
    async def main():
        device = await cached(source)
        source.bad[1] = Unreachable("gone")
        for result in await asyncio.gather(*(device.read(SIZE, 10) for _ in range(3)), return_exceptions=True):
            assert isinstance(result, Unreachable)
        assert len(source.asked) == 1
        del source.bad[1]
        assert await device.read(SIZE, 10) == image[SIZE:SIZE + 10]

    asyncio.run(main())


def test_what_is_in_memory_stays_readable_when_the_image_has_changed(source, image):
    async def main():
        device = await cached(source)
        await device.read(0, 1)
        source.bad = dict.fromkeys(range(51), Changed("changed"))
        assert await device.read(100, 10) == image[100:110]
        with pytest.raises(Changed):
            await device.read(SIZE - 1, 2)

    asyncio.run(main())


# ---- the store

def test_the_second_visit_fetches_nothing_that_the_first_fetched(source, image):
    async def main():
        store = FakeStore()
        for visit in range(2):
            device = await cached(source, store, read_ahead=1 << 20, stats=(stats := Stats()))
            for offset in (0, 5 * SIZE, 6 * SIZE, 7 * SIZE, len(image) - 100):
                assert await device.read(offset, 100) == image[offset:offset + 100]
            await device.flush()
            device.close()
            if visit == 0:
                fetched = len(source.asked)
                assert stats.store_hits == 0
        assert len(source.asked) == fetched
        assert stats.store_hits and stats.blocks_fetched == 0

    asyncio.run(main())


def test_blocks_are_put_in_batches_and_got_in_batches(source):
    async def main():
        store = FakeStore()
        device = await cached(source, store)
        await asyncio.gather(*(device.read(n * SIZE, 1) for n in range(30)))
        await device.flush()
        assert [len(put) for put in store.puts] == [30]
        device = await cached(source, store)
        await device.read(0, 30 * SIZE)
        assert [len(got) for got in store.gets][-1:] == [30]

    asyncio.run(main())


def test_blocks_are_saved_without_being_asked_to(source, monkeypatch):
    async def main():
        monkeypatch.setattr("webvm.block.cache.SAVE_DELAY", 0.0)
        store, saved = FakeStore(), asyncio.Event()
        put_many = store.put_many

        async def put_and_tell(records):
            await put_many(records)
            saved.set()

        store.put_many = put_and_tell
        device = await cached(source, store)
        await device.read(0, 1)
        await asyncio.wait_for(saved.wait(), 60)
        assert list(store.records) == [0]

    asyncio.run(main())


def test_a_changed_image_drops_all_old_blocks(source, image):
    async def main():
        store = FakeStore()
        device = await cached(source, store)
        await device.read(0, 10 * SIZE)
        await device.flush()
        new = Source(bytes(len(image)), identity="two")
        device = await cached(new, store)
        assert store.records == {}
        assert await device.read(0, SIZE) == bytes(SIZE)

    asyncio.run(main())


def test_a_damaged_foreign_or_misplaced_record_counts_as_not_there(source, image):
    async def main():
        store = FakeStore()
        device = await cached(source, store)
        await device.read(0, 8 * SIZE)
        await device.flush()
        foreign_store = FakeStore()
        foreign = await cached(Source(bytes(len(image)), identity="two"), foreign_store)
        await foreign.read(0, 8 * SIZE)
        await foreign.flush()
        sound = dict(store.records)
        store.records[0] = sound[0][:100] + bytes([sound[0][100] ^ 1]) + sound[0][101:]     # one bit
        store.records[1] = sound[1][:-1]                                                    # short
        store.records[2] = sound[3]                                                         # of another place
        store.records[4] = b""
        store.records[5] = foreign_store.records[5]                                         # of another image
        store.records[6] = sound[6] + b"x"
        device = await cached(source, store, stats=(stats := Stats()))
        source.asked.clear()
        assert await device.read(0, 8 * SIZE) == image[:8 * SIZE]
        assert blocks(source) == [0, 1, 2, 4, 5, 6]
        assert stats.store_hits == 2
        await device.flush()
        assert store.records == sound                       # and mended

    asyncio.run(main())


@pytest.mark.parametrize("refused", ["open", "get", "put"])
def test_a_store_that_is_refused_full_or_broken_is_gone_without(source, image, refused):
    async def main():
        store, troubles = FakeStore(), []
        store.refuse.add(refused)
        device = await cached(source, store, on_trouble=troubles.append)
        for number in range(5):
            assert await device.read(number * SIZE, 10) == image[number * SIZE:number * SIZE + 10]
        await device.flush()
        assert len(troubles) == 1 and "No space left" in troubles[0] and "going on without" in troubles[0]

    asyncio.run(main())


def test_a_store_that_became_full_still_gives_what_it_has(source, image):
    async def main():
        store = FakeStore()
        device = await cached(source, store)
        await device.read(0, 1)
        await device.flush()
        store.refuse.add("put")
        device = await cached(source, store)
        await device.read(SIZE, 1)
        await device.flush()
        assert await device.read(0, 10) == image[:10]
        assert blocks(source) == [0, 1]

    asyncio.run(main())


def test_where_a_store_has_the_blocks_memory_holds_fewer(source, image, monkeypatch):
    monkeypatch.setattr(cache, "MEMORY_BESIDE", 3 * SIZE)

    async def main(store):
        device = await cached(source, store, memory=6 * SIZE, stats=(stats := Stats()))
        for number in (*range(6), *range(6)):
            assert await device.read(number * SIZE, SIZE) == image[number * SIZE:(number + 1) * SIZE]
            await device.flush()
        assert len(device._memory) == (3 if store and not store.refuse else 6)
        return stats.memory_hits, stats.store_hits, stats.blocks_fetched

    full = FakeStore()
    full.refuse.add("put")
    assert asyncio.run(main(FakeStore())) == (0, 6, 6)
    assert asyncio.run(main(None)) == asyncio.run(main(full)) == (6, 0, 6)


def test_blocks_that_are_not_saved_yet_are_not_fetched_again(source, image, monkeypatch):
    monkeypatch.setattr(cache, "MEMORY_BESIDE", 2 * SIZE)

    async def main():
        store = FakeStore()
        device = await cached(source, store)
        for number in (*range(5), 0, 1, 4):
            assert await device.read(number * SIZE, SIZE) == image[number * SIZE:(number + 1) * SIZE]
        assert blocks(source) == [0, 1, 2, 3, 4] and not store.puts
        await device.flush()
        assert sorted(store.records) == [0, 1, 2, 3, 4]

    asyncio.run(main())


# ---- packs

PACKS = ((0, 3, 4, 9), (6, 7, 50))


@pytest.fixture
def packed(image):
    return Source(image, run=SIZE, packs=PACKS)


def test_a_block_that_came_in_a_pack_and_was_forgotten_comes_alone(packed, image, monkeypatch):
    """From the store, that is; where there is none, with its pack again."""
    monkeypatch.setattr(cache, "MEMORY_BESIDE", 2 * SIZE)

    async def main(store):
        packed.asked.clear()
        device = await cached(packed, store, memory=2 * SIZE)
        for number in (0, 0, 3, 9):
            assert await device.read(number * SIZE, SIZE) == image[number * SIZE:(number + 1) * SIZE]
            await device.flush()
        return packed.asked

    store = FakeStore()
    assert asyncio.run(main(store)) == [PACKS[0]]
    assert sorted(store.gets[0]) == [0, 3, 4, 9] and store.gets[1:] == [[0], [3], [9]]
    assert asyncio.run(main(None)) == [PACKS[0]] * 3


@pytest.mark.parametrize("options", [{}, {"memory": 2 * SIZE}, {"read_ahead": 1 << 20}], ids=str)
@pytest.mark.parametrize("kept", [False, True])
def test_packs_do_not_change_what_is_read(image, options, kept):
    async def main(source):
        device = await cached(source, FakeStore() if kept else None, **options)
        rng = random.Random(3)
        places = [(at := rng.randrange(len(image)), rng.randrange(min(len(image) - at, 4 * SIZE) + 1)) for _ in range(60)]
        return places, await asyncio.gather(*(device.read(*place) for place in places))

    with_packs, without = (asyncio.run(main(Source(image, run=SIZE, packs=packs))) for packs in (PACKS, ()))
    assert with_packs == without
    assert all(data == image[at:at + length] for (at, length), data in zip(*without))


def test_a_miss_brings_the_whole_pack_in_one_request_and_concurrent_misses_share_it(packed, image):
    async def main():
        packed.gate = asyncio.Event()
        device = await cached(packed, stats=(stats := Stats()))
        reads = [asyncio.ensure_future(device.read(number * SIZE, 5)) for number in (3, 9, 3, 1)]
        for _ in range(5):
            await asyncio.sleep(0)
        packed.gate.set()
        assert await asyncio.gather(*reads) == [image[number * SIZE:number * SIZE + 5] for number in (3, 9, 3, 1)]
        assert await device.read(0, 5) == image[:5]
        assert sorted(packed.asked) == [(0, 3, 4, 9), (1, 1)]
        assert stats.blocks_fetched == 5 and stats.memory_hits == 1

    asyncio.run(main())


def test_a_kept_pack_comes_from_the_store_at_once(packed, image):
    async def main():
        store = FakeStore()
        device = await cached(packed, store)
        await device.read(0, 1)
        await device.flush()
        assert sorted(store.records) == [0, 3, 4, 9]
        device = await cached(packed, store, stats=(stats := Stats()))
        packed.asked.clear()
        store.gets.clear()
        for number in (4, 0, 3):
            assert await device.read(number * SIZE, 9) == image[number * SIZE:number * SIZE + 9]
        assert packed.asked == [] and len(store.gets) == 1
        assert stats.store_hits == 4 and stats.blocks_fetched == 0

    asyncio.run(main())


def test_a_pack_kept_in_part_is_fetched_only_for_what_is_missing(packed, image):
    async def main():
        store = FakeStore()
        device = await cached(packed, store)
        await device.read(0, 1)
        await device.flush()
        del store.records[9]
        device = await cached(packed, store, stats=(stats := Stats()))
        packed.asked.clear()
        await device.read(0, 1)
        assert packed.asked == []                           # for nobody wants the one that is missing
        assert await device.read(9 * SIZE, SIZE) == image[9 * SIZE:10 * SIZE]
        assert packed.asked == [(0, 3, 4, 9)]
        assert stats.store_hits == 3 and stats.blocks_fetched == 1

    asyncio.run(main())


def test_a_pack_that_cannot_be_had_is_an_error_for_all_who_wait_and_asked_for_again_later(packed, image):
    async def main():
        packed.gate = asyncio.Event()
        packed.bad = {number: Damaged("no") for number in PACKS[0]}
        device = await cached(packed)
        reads = [asyncio.ensure_future(device.read(number * SIZE, 1)) for number in (3, 4, 2)]
        packed.gate.set()
        three, four, two = await asyncio.gather(*reads, return_exceptions=True)
        assert isinstance(three, Damaged) and isinstance(four, Damaged) and two == image[2 * SIZE:2 * SIZE + 1]
        packed.bad = {}
        assert await device.read(3 * SIZE, 1) == image[3 * SIZE:3 * SIZE + 1]

    asyncio.run(main())


def test_reading_ahead_fetches_no_pack_that_nobody_wants(packed, image):
    async def main():
        device = await cached(packed, read_ahead=1 << 20)
        for number in (10, 11, 12, 5):
            await device.read(number * SIZE, SIZE)
        await device.read(1 * SIZE, 2 * SIZE)               # 3 and 4 would be next
        assert all(len(asked) == 2 for asked in packed.asked)

    asyncio.run(main())


def test_reading_a_pack_in_sequence_reads_nothing_ahead(image):
    async def main():
        source = Source(image, run=SIZE, packs=((0, 1, 2, 3, 4),))
        device = await cached(source, read_ahead=1 << 20)
        for number in range(5):
            await device.read(number * SIZE, SIZE)
        assert source.asked == [(0, 1, 2, 3, 4)]

    asyncio.run(main())
