"""A device near by made of one far away: blocks in memory, in a persistent store, read ahead, each fetched once.

Knows blocks and when they are wanted; does not know how they are fetched or kept.

Whoever reads may be a coroutine outside any asyncio task, so what is awaited here is always a plain future of its own
(which a cancelled reader may cancel); the work is done by tasks that no reader owns.
"""

import asyncio
from collections import OrderedDict

from webvm.block.device import Source, check_range
from webvm.block.errors import BlockError, Unreachable
from webvm.block.fetch import Trouble, nobody
from webvm.block.stats import Stats
from webvm.block.store import Seal, Store

BLOCK_SIZE = 65536
MEMORY = 40 << 20           # bytes of blocks kept in memory
MEMORY_BESIDE = 16 << 20    # where a store has them as well; and the kernel has what mappings read
READ_AHEAD = 1 << 20        # bytes fetched ahead of a sequential reader at most; 0 turns it off
FIRST_AHEAD = 2             # blocks read ahead when a second block in sequence is wanted; doubles from there
STREAMS = 64                # sequential readers remembered
PARALLEL = 6                # requests at a time, as browsers have it: one that waits for its turn must not seem to hang
SAVE_DELAY = 0.1            # seconds that fetched blocks wait for others to be saved with
SAVE_BATCH = 64             # blocks

Outcome = bytes | BaseException


class CachedDevice:
    @classmethod
    async def open(cls, source: Source, store: Store | None = None, *, block_size: int = BLOCK_SIZE, memory: int = MEMORY,
                   read_ahead: int = READ_AHEAD, stats: Stats | None = None, on_trouble: Trouble = nobody) -> "CachedDevice":
        """`block_size`: a power of two. A store that will not open is gone without, and `on_trouble` told."""
        device = cls(source, block_size, memory, read_ahead, stats if stats is not None else Stats(), on_trouble)
        if store is not None:
            identity = f"{source.identity}\n{block_size}"
            try:
                await store.open(source.name, identity)
            except OSError as error:
                device._store_failed(error)
            else:
                device._seal, device._store, device._saving = Seal(identity), store, True
                device._room = min(device._capacity, max(MEMORY_BESIDE // block_size, 1))
        return device

    def __init__(self, source: Source, block_size: int, memory: int, read_ahead: int, stats: Stats, on_trouble: Trouble):
        self.size = source.size
        self.stats = stats
        self._source = source
        self._block_size = block_size
        self._shift = block_size.bit_length() - 1
        self._mask = block_size - 1
        self._on_trouble = on_trouble
        packs = source.packs if source.run == block_size else {}
        self._packs = {offset >> self._shift: tuple(at >> self._shift for at in pack) for offset, pack in packs.items()}

        self._memory: OrderedDict[int, bytes] = OrderedDict()               # least recently used first
        self._room = self._capacity = max(memory // block_size, 1)          # _room: blocks kept, as long as a store keeps more
        self._arrived: set[int] = set()                                     # blocks that have been here
        self._flight: dict[int, list[asyncio.Future[Outcome]]] = {}         # blocks being got, and who waits for each
        self._tasks: set[asyncio.Task] = set()
        self._turn = asyncio.Semaphore(PARALLEL)

        self._longest_ahead = min(read_ahead // block_size, self._capacity // 4)
        self._streams: OrderedDict[int, tuple[int, int]] = OrderedDict()    # block whose use triggers: (first block, blocks) to read ahead

        self._store: Store | None = None
        self._seal = Seal("")
        self._saving = False
        self._unsaved: dict[int, bytes] = {}
        self._saver: asyncio.Task | None = None
        self._save_soon: asyncio.TimerHandle | None = None

    async def read(self, offset: int, length: int) -> bytes:
        number, start = offset >> self._shift, offset & self._mask
        end = start + length
        block = self._memory.get(number)
        if block is not None and start <= end <= len(block) and number not in self._streams:
            self._memory.move_to_end(number)
            self.stats.memory_hits += 1
            return block[start:end]
        return await self._read(offset, length)

    async def _read(self, offset: int, length: int) -> bytes:
        check_range(self.size, offset, length)
        if not length:
            return b""
        first, last = offset >> self._shift, (offset + length - 1) >> self._shift
        blocks = []
        for wanted in self._want(first, last):
            outcome = wanted if isinstance(wanted, bytes) else await wanted
            if isinstance(outcome, BaseException):
                raise outcome
            blocks.append(outcome)
        start = offset & self._mask
        return blocks[0][start:start + length] if first == last else b"".join(blocks)[start:start + length]

    async def flush(self) -> None:
        """Until what was fetched is in the store (or the store has failed)."""
        while self._unsaved or self._saver:
            self._save()
            future = asyncio.get_running_loop().create_future()
            self._saver.add_done_callback(lambda _: future.done() or future.set_result(None))
            await future

    def close(self) -> None:
        """Blocks not saved yet are forgotten: flush first where that matters. Readers still waiting get a BlockError."""
        for task in list(self._tasks):
            task.cancel()
        for number in list(self._flight):
            self._arrive(number, BlockError(f"{self._source.name}: closed"))
        if self._save_soon:
            self._save_soon.cancel()
        self._unsaved.clear()
        if self._store:
            self._store.close()
        self._source.close()

    # ---- what to get

    def _want(self, first: int, last: int) -> list[bytes | asyncio.Future[Outcome]]:
        """The blocks first..last, those not here as futures; starts to get them, and what is to be read ahead."""
        wanted: list[bytes | asyncio.Future[Outcome]] = []
        missing = []
        for number in range(first, last + 1):
            block = self._memory.get(number) or self._unsaved.get(number)
            if block is not None:
                self._keep(number, block)
                self.stats.memory_hits += 1
                wanted.append(block)
                continue
            if number not in self._flight:
                self._flight[number] = []
                missing.append(number)
            future = asyncio.get_running_loop().create_future()
            self._flight[number].append(future)
            wanted.append(future)
        alone = any(number not in self._packs for number in missing)
        ahead = self._ahead(first, last, alone) if self._longest_ahead else []
        beside = self._beside(missing)
        for number in ahead + beside:
            self._flight[number] = []
        self.stats.blocks_ahead += len(ahead) + len(beside)
        if missing or ahead:
            self._start(self._get(missing + ahead + beside, set(missing)))
        return wanted

    def _absent(self, number: int) -> bool:
        return number not in self._memory and number not in self._flight

    def _beside(self, missing: list[int]) -> list[int]:
        """The blocks that come in one pack with those missing, not yet here nor on their way; nor here before, if a store has them."""
        known = self._arrived if self._store else ()
        return list(dict.fromkeys(other for number in missing for other in self._packs.get(number, ())
                                  if self._absent(other) and other not in known))

    def _ahead(self, first: int, last: int, missed: bool) -> list[int]:
        """The blocks to read ahead now that first..last are used.

        A miss leaves a mark on the block after it. A use of a marked block is a sequential reader: read on from there,
        twice as far each time, and move the mark to the first block read ahead, so that the next stretch is on its way
        before this one is used up. Blocks in packs neither leave marks nor are read ahead: whoever uses one gets them all.
        """
        mark = next((number for number in range(first, last + 1) if number in self._streams), None)
        if mark is None:
            if missed:
                self._mark(last + 1, last + 1, FIRST_AHEAD)
            return []
        begin, count = self._streams.pop(mark)
        begin, count = max(begin, last + 1), min(count, self._longest_ahead)
        end = min(begin + count, -(-self.size // self._block_size))
        self._mark(begin, end, 2 * count)
        return [number for number in range(begin, end) if self._absent(number) and number not in self._packs]

    def _mark(self, block: int, begin: int, count: int) -> None:
        self._streams[block] = begin, count
        if len(self._streams) > STREAMS:
            self._streams.popitem(last=False)

    # ---- getting it

    def _start(self, work) -> asyncio.Task:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _get(self, numbers: list[int], demanded: set[int]) -> None:
        """Make all `numbers`, which are in flight, arrive: `demanded` because somebody waits, the others ahead of need."""
        flights = {number: self._flight[number] for number in numbers}
        try:
            missing = await self._from_store(numbers)
            packs = self._packed(missing)
            alone = [number for number in missing if number not in self._packs]
            await asyncio.gather(*(self._fetch(run, demanded) for run in self._runs(alone)), *map(self._fetch_pack, packs))
        finally:
            for number, waiters in flights.items():
                if self._flight.get(number) is waiters:     # only after a bug, which asyncio reports: still nobody waits for ever
                    self._arrive(number, BlockError(f"{self._source.name}: not to be had"))

    async def _from_store(self, numbers: list[int]) -> list[int]:
        """Those not in the store."""
        if not self._store:
            return numbers
        try:
            records = await self._store.get_many(numbers)
        except OSError as error:
            self._store = None
            self._store_failed(error)
            return numbers
        missing = []
        for number in numbers:
            block = self._seal.open(number, records[number], self._length(number)) if number in records else None
            if block is None:
                missing.append(number)
            else:
                self.stats.store_hits += 1
                self._arrive(number, block)
        return missing

    def _runs(self, numbers: list[int]) -> list[range]:
        """Neighbours together, as far as the source likes."""
        most = max(self._source.run // self._block_size, 1)
        runs: list[range] = []
        for number in sorted(numbers):
            if runs and number == runs[-1].stop and len(runs[-1]) < most:
                runs[-1] = range(runs[-1].start, number + 1)
            else:
                runs.append(range(number, number + 1))
        return runs

    def _packed(self, missing: list[int]) -> list[list[int]]:
        """Those missing that come in packs, by pack; a pack that nobody waits for is not worth fetching and is let go."""
        packs: dict[tuple[int, ...], list[int]] = {}
        for number in missing:
            if number in self._packs:
                packs.setdefault(self._packs[number], []).append(number)
        wanted = [numbers for numbers in packs.values() if any(self._flight[number] for number in numbers)]
        for numbers in packs.values():
            if numbers not in wanted:
                for number in numbers:
                    del self._flight[number]
        return wanted

    async def _fetch_pack(self, numbers: list[int]) -> None:
        try:
            async with self._turn:
                pieces = await self._source.read_pack(numbers[0] * self._block_size)
        except BlockError as error:
            for number in numbers:
                self._arrive(number, error)
            return
        self._fetched({number: pieces[number * self._block_size] for number in numbers})

    async def _fetch(self, run: range, demanded: set[int]) -> None:
        offset = run.start * self._block_size
        try:
            async with self._turn:
                data = await self._source.read(offset, min(len(run) * self._block_size, self.size - offset))
        except BlockError as error:
            alone = len(run) == 1 or isinstance(error, Unreachable)
            for number in run:
                if alone or number not in demanded:
                    self._arrive(number, error)
                else:                           # its neighbours must not spoil a sound block
                    await self._fetch(range(number, number + 1), demanded)
            return
        self._fetched({number: data[index * self._block_size:(index + 1) * self._block_size] for index, number in enumerate(run)})

    def _fetched(self, blocks: dict[int, bytes]) -> None:
        self.stats.blocks_fetched += len(blocks)
        for number, block in blocks.items():
            if self._saving:
                self._unsaved[number] = block
            self._arrive(number, block)
        self._save_later()

    def _length(self, number: int) -> int:
        return min(self._block_size, self.size - number * self._block_size)

    def _arrive(self, number: int, outcome: Outcome) -> None:
        if isinstance(outcome, bytes):
            self._arrived.add(number)
            self._keep(number, outcome)
        for waiter in self._flight.pop(number, ()):
            if not waiter.done():
                waiter.set_result(outcome)

    # ---- keeping it

    def _keep(self, number: int, block: bytes) -> None:
        self._memory[number] = block
        self._memory.move_to_end(number)
        while len(self._memory) > self._room:
            self._memory.popitem(last=False)

    def _save_later(self) -> None:
        if len(self._unsaved) >= SAVE_BATCH:
            self._save()
        elif self._unsaved and not self._saver and not self._save_soon:
            self._save_soon = asyncio.get_running_loop().call_later(SAVE_DELAY, self._save)

    def _save(self) -> None:
        if self._save_soon:
            self._save_soon.cancel()
            self._save_soon = None
        if not self._saver:
            self._saver = self._start(self._put())

    async def _put(self) -> None:
        try:
            while self._unsaved and self._store:
                batch = {number: self._unsaved[number] for number in list(self._unsaved)[:SAVE_BATCH]}
                await self._store.put_many({number: self._seal.close(number, block) for number, block in batch.items()})
                for number in batch:
                    self._unsaved.pop(number, None)
        except OSError as error:
            self._saving = False
            self._store_failed(error)
        finally:
            self._saver = None
            if not (self._saving and self._store):
                self._unsaved.clear()

    def _store_failed(self, error: OSError) -> None:
        self._room = self._capacity
        self._on_trouble(f"cannot keep disk blocks for the next visit ({error.strerror or error}); going on without")
