"""Regions kept between runs: found again, used where the code is the same, dropped where anything else is not."""
import asyncio
import multiprocessing
import os
import random
import time

import pytest

from tests.block import code_stores
from tests.jit.test_faults import CODE, RAX, RCX, Guest
from webvm.engine.native import NativeEngine
from webvm.jit import build, image
from webvm.jit import layout as at
from webvm.jit.cache import CodeCache, Index, pack, unpack
from webvm.jit.folder import FolderStore
from webvm.jit.options import Options
from webvm.jit.regions import REHOT, WARM, Compiled, Translator
from webvm.jit.shipped import Memory

ROUNDS = 60_000
# mov ecx, ROUNDS ; xor eax, eax ; loop: add eax, ecx ; dec ecx ; jnz loop ; syscall
LOOP = bytes.fromhex("b960ea0000 31c0 01c8 ffc9 75fa 0f05")
OTHER = LOOP.replace(bytes.fromhex("01c8"), bytes.fromhex("29c8"))         # sub eax, ecx
SUM = sum(range(ROUNDS + 1)) & 0xFFFFFFFF


class Run:
    """One run of a machine whose regions are kept in a store: programs are executed in it, then it ends."""

    def __init__(self, store, **more):
        folder = getattr(store, "folder", None)
        self.image = image.Image(cache=store, **more)
        self.engine = NativeEngine(self.image, region_cache=folder)
        self.cache, self.translator = self.image.code_cache, self.image.translator

    def program(self, code=LOOP, rounds=ROUNDS) -> int:
        """What it leaves in rax."""
        guest = Guest(self.engine)
        guest.space.write(CODE, code)
        guest.space.rip = CODE
        while guest.space.run(4000) == at.FUEL:
            while any(not batch.module.ready for _, batch in self.translator._compiling):
                time.sleep(0.001)
        result = guest.space.get(RAX)
        guest.space.release()
        return result

    def end(self):
        asyncio.run(self.cache.flush())
        self.engine.close()
        return self

    @property
    def regions(self): return self.translator.counters.regions

    @property
    def installed(self): return self.translator.counters.installed


def once(store, code=LOOP, **more):
    run = Run(store, **more)
    assert run.program(code) == (SUM if code == LOOP else -SUM & 0xFFFFFFFF)
    return run.end()


@pytest.fixture
def store(tmp_path): return FolderStore(tmp_path / "regions")


@pytest.fixture
def filled(store):
    run = once(store)
    assert run.regions and run.cache.kept and not run.cache.loaded
    return store


def entries(store): return [path for path in store.folder.iterdir() if "-" in path.name and not path.name.endswith("-index")]


# ---------------------------------------------------------------------------------------------- found again

def test_the_second_run_translates_nothing(filled):
    run = once(filled)
    assert run.regions == 0 and run.cache.loaded == 1 and run.installed >= 1
    assert run.engine.region_instructions > 0.9 * 3 * ROUNDS


def test_the_second_run_compiles_nothing(filled, monkeypatch):
    monkeypatch.setattr(NativeEngine, "_compile", lambda self, wasm: pytest.fail("compiled"))
    assert once(filled).installed


def test_regions_are_used_even_where_their_compiled_form_is_gone(filled):
    for path in filled.folder.glob("*.cwasm"):
        path.unlink()
    run = once(filled)
    assert run.regions == 0 and run.installed


def test_another_process_of_the_same_machine_begins_with_the_regions_of_the_first(store):
    run = Run(store)
    assert run.program() == SUM
    before, installed = run.regions, run.installed
    assert run.program() == SUM
    assert run.regions == before and run.installed > installed and not run.cache.loaded
    run.end()


def test_a_program_that_runs_for_a_short_time_uses_what_a_long_one_left(filled):
    run = Run(filled)
    guest = Guest(run.engine)
    guest.space.write(CODE, LOOP)
    guest.space.set(RCX, WARM // 4)
    guest.space.rip = CODE + 7                              # behind where ecx is set
    while guest.space.run(500) == at.FUEL:
        pass
    assert run.installed == 1 and guest.space.get(RAX) == sum(range(WARM // 4 + 1))
    guest.space.release()
    run.end()


# ---------------------------------------------------------------------------------------------- not used

def test_regions_of_other_code_at_the_same_address_are_not_used(filled):
    run = once(filled, OTHER)
    assert run.regions and not run.cache.loaded
    assert len(entries(filled)) == 2
    run = Run(filled)
    assert (run.program(), run.program(OTHER)) == (SUM, -SUM & 0xFFFFFFFF)
    assert run.regions == 0 and run.cache.loaded == 2
    run.end()


def test_code_that_differs_after_its_first_bytes_is_looked_at_whole(store):
    """The index knows the beginning only."""
    nops = bytes.fromhex("0f1f8000000000") * 4
    code, other = (loop[:7] + nops + loop[7:11] + bytes([0x75, 0xFA - len(nops)]) + loop[13:] for loop in (LOOP, OTHER))
    first = Run(store)
    assert first.program(code) == SUM
    first.end()
    again = Run(store)
    assert again.program(other) == -SUM & 0xFFFFFFFF and again.cache.loaded and again.regions
    again.end()


def test_what_another_emitter_made_is_not_used(filled, monkeypatch):
    monkeypatch.setattr(build, "source_hash", lambda: "another")
    run = once(filled)
    assert run.regions and not run.cache.loaded


@pytest.mark.parametrize("more", [{"options": Options(dead_flags=False)}, {"features": frozenset()}])
def test_what_was_made_with_other_options_is_not_used(filled, more):
    run = once(filled, **more)
    assert run.regions and not run.cache.loaded


DAMAGES = {
    "cut": lambda data, rng: data[:rng.randrange(len(data))],
    "empty": lambda data, rng: b"",
    "garbage": lambda data, rng: rng.randbytes(len(data)),
    "a bit": lambda data, rng: (int.from_bytes(data, "little") ^ 1 << rng.randrange(8 * len(data))).to_bytes(len(data), "little"),
    "longer": lambda data, rng: data + b"x",
}


@pytest.mark.parametrize("what, damage", [*(("entry", damage) for damage in DAMAGES), ("index", "cut"), ("index", "a bit"),
                                          ("compiled", "cut"), ("compiled", "a bit")])
def test_what_is_damaged_is_as_good_as_not_there(filled, what, damage):
    rng = random.Random(7)
    paths = {"entry": entries(filled), "index": [*filled.folder.glob("*-index")], "compiled": [*filled.folder.glob("*.cwasm")]}[what]
    assert paths
    for path in paths:
        path.write_bytes(DAMAGES[damage](path.read_bytes(), rng))
    run = once(filled)
    assert run.regions == 0 if what == "compiled" else run.regions and not run.cache.loaded
    assert once(filled).regions == 0, "and is made anew"


def test_an_entry_under_the_name_of_another_is_not_used(filled):
    once(filled, OTHER)
    one, two = entries(filled)
    a, b = one.read_bytes(), two.read_bytes()
    one.write_bytes(b)
    two.write_bytes(a)
    run = once(filled)
    assert run.regions and not run.cache.loaded


# ---------------------------------------------------------------------------------------------- stores that fail, or fill

def test_a_lost_index_is_made_from_the_entries(filled):
    for path in filled.folder.glob("*-index"):
        path.unlink()
    once(filled, OTHER)
    run = Run(filled)
    assert (run.program(), run.program(OTHER)) == (SUM, -SUM & 0xFFFFFFFF)
    assert run.regions == 0
    run.end()


@pytest.mark.parametrize("check", code_stores.CONTRACT, ids=lambda check: check.__name__)
def test_folder(tmp_path, check):
    asyncio.run(check(lambda: FolderStore(tmp_path / "folder")))


@pytest.mark.parametrize("method", ["read", "write", "used", "listing", "remove"])
def test_a_store_that_fails_is_gone_without(filled, method, monkeypatch):
    async def fail(*args):
        raise OSError("broken")
    monkeypatch.setattr(FolderStore, method, fail)
    once(filled)
    once(filled, OTHER)


def test_a_folder_that_is_a_file_is_gone_without(tmp_path):
    (tmp_path / "regions").write_text("here first")
    run = once(FolderStore(tmp_path / "regions"))
    assert run.regions and not run.cache.kept


def test_the_oldest_go_when_the_store_is_full(store):
    limit = 80_000
    asyncio.run(store.write({"stranger": bytes(30_000)}))
    os.utime(store.folder / "stranger", (1, 1))
    code = CodeCache(store, bytes(32), limit)
    for k in range(8):
        code.add([Compiled([4096 * k], [(4096 * k, bytes([k]) * 20)], set(), 5)], bytes([k]) * 9_000)
        asyncio.run(code.flush())
        for path in entries(store):                          # each older than the next
            os.utime(path, (path.stat().st_mtime - 10,) * 2)
        assert sum(size for _, size, _ in asyncio.run(store.listing())) <= limit + at.EXPECTED_BYTES + 2000
    again = CodeCache(store, bytes(32), limit)
    again.open()
    there = [k for k in range(8) if list(again.lookup(4096 * k, lambda address, n: bytes([address >> 12]) * n))]
    assert there and there == list(range(8 - len(there), 8)) and not (store.folder / "stranger").exists()


def test_what_is_used_does_not_grow_old(filled):
    path, = entries(filled)
    os.utime(path, (1, 1))
    once(filled)
    assert path.stat().st_mtime > 1000


def _write(folder, first, count):
    code = CodeCache(FolderStore(folder), bytes(32))
    code.open()
    for k in range(first, first + count):
        code.add([Compiled([4096 * k], [(4096 * k, k.to_bytes(4, "little"))], set(), 1)], b"wasm %d" % k)
        asyncio.run(code.flush())


def test_processes_that_write_at_a_time_lose_nothing(store):
    """What the index of one has not, the next index has."""
    workers = [multiprocessing.get_context("spawn").Process(target=_write, args=(store.folder, 100 * k, 15)) for k in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
        assert worker.exitcode == 0
    _write(store.folder, 900, 1)
    code = CodeCache(store, bytes(32))
    code.open()
    for k in [*range(15), *range(100, 115), *range(200, 215), 900]:
        (_, wasm), = code.lookup(4096 * k, lambda address, n: (address >> 12).to_bytes(4, "little")[:n])
        assert wasm == b"wasm %d" % k


# ---------------------------------------------------------------------------------------------- stores that make us wait

class SlowStore:
    """In memory, and never at once, as in a browser; nothing is read while it is `held`, nor the index while that is late."""

    at_once = False

    def __init__(self): self.files, self.held, self.late, self.reads = {}, False, False, []

    async def read(self, names):
        self.reads.append(names)
        index = any(name.endswith("index") for name in names)
        await asyncio.sleep(0)
        while self.late if index else self.held:
            await asyncio.sleep(0)
        return {name: self.files[name] for name in names if name in self.files}

    async def write(self, files): self.files.update(files)
    async def remove(self, names): [self.files.pop(name, None) for name in names]
    async def used(self, names): pass
    async def listing(self): return [(0, len(data), name) for name, data in self.files.items()]


async def visit(store, slices=0, **more):
    """The run of a machine that has LOOP executed, 333 rounds of it in a slice; after so many slices the store is quick again."""
    run = Run(store, **more)
    await run.cache.opened(1 if getattr(store, "late", False) else 60)
    guest = Guest(run.engine)
    guest.space.write(CODE, LOOP)
    guest.space.rip = CODE
    while guest.space.run(1000) == at.FUEL:
        await asyncio.sleep(0.001)
        slices -= 1
        if not slices:
            store.held = store.late = False
            await run.cache.opened(60)
    assert guest.space.get(RAX) == SUM
    guest.space.release()
    await run.cache.flush()
    run.engine.close()
    return run


@pytest.fixture
def slow_store():
    store = SlowStore()
    assert asyncio.run(visit(store)).regions
    return store


def test_what_is_not_here_yet_is_tried_again(slow_store):
    again = asyncio.run(visit(slow_store))
    assert again.regions == 0 and again.cache.loaded == 1 and again.installed


def test_what_takes_long_to_come_is_waited_for(slow_store, monkeypatch):
    monkeypatch.setattr("webvm.jit.cache.WAIT", 60)
    slow_store.held = True
    again = asyncio.run(visit(slow_store, slices=(WARM + REHOT) // 333 + 10))
    assert again.regions == 0 and again.cache.loaded == 1 and again.installed


def test_what_takes_too_long_to_come_is_made_anew(slow_store, monkeypatch):
    monkeypatch.setattr("webvm.jit.cache.WAIT", 0)
    slow_store.held = True
    again = asyncio.run(visit(slow_store, slices=(WARM + REHOT) // 333 + 40))
    assert again.regions and again.installed


def test_an_index_that_comes_late_is_of_use_to_programs_that_run(slow_store):
    slow_store.late = True
    again = asyncio.run(visit(slow_store, slices=10))
    assert again.regions == 0 and again.cache.loaded == 1 and again.installed


# ---------------------------------------------------------------------------------------------- parts

def random_regions(rng):
    return [Compiled([rng.randrange(1 << 32) for _ in range(rng.randrange(1, 4))],
                     [(rng.randrange(1 << 32), rng.randbytes(rng.randrange(1, 40))) for _ in range(rng.randrange(1, 4))],
                     {rng.randrange(1 << 32) for _ in range(rng.randrange(3))}, rng.randrange(600)) for _ in range(rng.randrange(1, 5))]


def test_an_entry_gives_back_what_was_packed():
    rng = random.Random(3)
    for _ in range(50):
        regions, wasm = random_regions(rng), rng.randbytes(rng.randrange(100))
        assert unpack(pack(regions, wasm)) == (regions, wasm)


def test_an_index_gives_back_its_rows():
    rng = random.Random(4)
    rows = {f"name {k}": sorted((rng.randrange(1 << 32), rng.randrange(1 << 32)) for _ in range(20)) for k in range(9)}
    rows["name 0"][0] = rows["name 1"][0]                  # one address in two entries
    index = Index.decode(Index.of(rows).encode())
    assert {name: sorted(row) for name, row in index.rows().items()} == {name: sorted(row) for name, row in rows.items()}
    for name, row in rows.items():
        for rip, check in row:
            assert (name, check) in list(index.find(rip))
            bit = at.expected_bit(rip)
            assert index.expected[bit >> 3] >> (bit & 7) & 1


def test_what_is_expected_in_vain_becomes_hot_when_others_do():
    run = Run(None)
    run.translator._early.expect([CODE + 7])
    run.program()
    assert run.regions == 1
    run.engine.close()


# ---------------------------------------------------------------------------------------------- how many at a time

def test_few_entries_wait_for_others_but_not_for_ever(monkeypatch):
    """Where modules are made for others, each is to have many regions."""
    regions = {}
    for least, turns in ((1, 12), (2, 12), (2, 1000)):
        monkeypatch.setattr("webvm.jit.regions.MOST_TURNS_WAITED", turns)
        run = Run(Memory())
        run.translator.least = least
        assert run.program() == SUM
        regions[least, turns] = run.engine.region_instructions
        run.end()
    assert regions[1, 12] > regions[2, 12] + 9 * 3 * REHOT and regions[2, 12] > 0.4 * 3 * ROUNDS and not regions[2, 1000]


@pytest.mark.parametrize("bursts, first", [(True, 2), (False, 0)])
def test_translation_takes_a_quarter_of_the_time_but_for_bursts(bursts, first):
    """Something is always hot; but for a while of an hour, when it is again as in the beginning."""
    translator, now = Translator(frozenset(), Options(bursts=bursts)), 3600.0
    for _ in range(2):
        took, begun = {}, now
        for seconds in (4, 40):
            spent = took.get(4, 0)
            while now < begun + seconds:
                if now >= translator._pause_until:
                    translator._pause(now, now + 0.01)
                    now, spent = now + 0.01, spent + 0.01
                now += 0.001
            took[seconds] = spent
        assert abs(took[4] - first - (4 - first) / 4) < 0.2, took
        assert abs(took[40] - took[4] - 36 / 4) < 0.5, took
        now += 3600
