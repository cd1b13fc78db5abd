"""Regions that come with a site: used by a first visit, fetched as they are asked for, refused where anything is wrong."""

import asyncio
import random

import pytest

from tests.jit.test_cache import LOOP, OTHER, SUM, Run, SlowStore, visit
from webvm.jit import build
from webvm.jit.options import Options
from webvm.jit.shipped import INDEX, Memory, Shipped, ship

COUNT = 5                               # programs, each a little longer than the one before it
PROGRAMS = [bytes.fromhex("90") * k + LOOP for k in range(COUNT)]


@pytest.fixture(scope="module")
def kept():
    """A store with an entry for each of the programs."""
    kept = Memory()
    for program in PROGRAMS:
        run = Run(kept)
        assert run.program(program) == SUM
        run.end()
    assert len(kept.files) == 1 + COUNT
    return kept


class Site:
    """Where the files are fetched, and which were."""

    def __init__(self, files): self.files, self.fetched = dict(files), []

    async def fetch(self, name):
        self.fetched.append(name)
        await asyncio.sleep(0)
        if name not in self.files:
            raise OSError(f"no {name} here")
        return self.files[name]


def first_visit(site, **more):
    return asyncio.run(visit(SlowStore(), shipped=Shipped(site.fetch), **more))


def test_a_first_visit_translates_nothing(kept):
    run = first_visit(Site(ship(kept)))
    assert run.regions == 0 and run.cache.shipped == 1 and run.installed and not run.cache.loaded and not run.cache.kept


def test_what_nobody_asks_for_is_not_fetched(kept, monkeypatch):
    monkeypatch.setattr("webvm.jit.shipped.PACK", 1)                    # each entry in a pack of its own
    site = Site(ship(kept))
    assert len(site.files) == 1 + COUNT
    assert first_visit(site).cache.shipped == 1
    assert len(site.fetched) == 2 and site.fetched[0] == INDEX


def test_entries_of_a_pack_come_in_one_request(kept):
    site = Site(ship(kept))
    shipped = Shipped(site.fetch)
    names = [name for name in kept.files if not name.endswith(INDEX)]
    index = [name for name in kept.files if name.endswith(INDEX)]

    async def read():
        return [await shipped.read(some) for some in (index, names[:3], names[3:], ["none"])]

    files = asyncio.run(read())
    assert {name: data for some in files for name, data in some.items()} == kept.files
    assert len(site.fetched) == 2 == len(site.files) and shipped.bytes == sum(map(len, site.files.values()))


def test_packs_are_held_as_long_as_there_is_room(kept, monkeypatch):
    monkeypatch.setattr("webvm.jit.shipped.PACK", 1)
    site = Site(ship(kept))
    monkeypatch.setattr("webvm.jit.shipped.HELD", max(map(len, site.files.values())))
    shipped = Shipped(site.fetch)
    names = [name for name in kept.files if not name.endswith(INDEX)]

    async def read():
        await shipped.read([name for name in kept.files if name.endswith(INDEX)])
        return await shipped.read(names * 2)

    assert asyncio.run(read()) == {name: kept.files[name] for name in names}
    assert len(site.fetched) > 1 + COUNT and sum(map(len, shipped._packs.values())) <= max(map(len, site.files.values()))


def test_what_is_too_much_is_left_out_and_the_rest_is_used(kept):
    files = ship(kept, limit=1)
    assert set(files) == {INDEX}
    run = first_visit(Site(files))
    assert run.regions and not run.cache.shipped


def test_nothing_is_kept_where_nothing_was_translated():
    run = first_visit(Site(ship(Memory())))
    assert run.regions and not run.cache.shipped


def flipped(data, rng):
    data = bytearray(data)
    data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    return bytes(data)


DAMAGES = {
    "cut": lambda data, rng: data[:rng.randrange(len(data))],
    "empty": lambda data, rng: b"",
    "garbage": lambda data, rng: rng.randbytes(len(data)),
    "a bit": flipped,
}


@pytest.mark.parametrize("what", ["index", "packs"])
@pytest.mark.parametrize("damage", DAMAGES)
def test_what_is_damaged_is_as_good_as_not_there(kept, what, damage, monkeypatch):
    monkeypatch.setattr("webvm.jit.shipped.PACK", 1)
    files, rng = ship(kept), random.Random(5)
    for name in files:
        if (name == INDEX) == (what == "index"):
            files[name] = DAMAGES[damage](files[name], rng)
    run = first_visit(Site(files))
    assert run.regions and not run.cache.shipped


def test_a_file_that_does_not_come_is_as_good_as_not_there(kept):
    files = ship(kept)
    for missing in files:
        run = first_visit(Site({name: data for name, data in files.items() if name != missing}))
        assert run.regions and not run.cache.shipped


def test_regions_of_other_code_are_not_used():
    other = Memory()
    run = Run(other)
    run.program(OTHER)
    run.end()
    run = first_visit(Site(ship(other)))
    assert run.regions and not run.cache.shipped


def test_what_another_emitter_made_is_not_used(kept, monkeypatch):
    monkeypatch.setattr(build, "source_hash", lambda: "another")
    run = first_visit(Site(ship(kept)))
    assert run.regions and not run.cache.shipped


def test_what_was_made_with_other_options_is_not_used(kept):
    run = first_visit(Site(ship(kept)), options=Options(dead_flags=False))
    assert run.regions and not run.cache.shipped
