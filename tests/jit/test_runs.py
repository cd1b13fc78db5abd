"""Runs of pages: how the engine numbers them, and that checks which remember them refuse what they must."""
import random
from functools import lru_cache

import pytest

from tests.jit.regions import DATA, READ, RW, SEED, engine
from tests.jit.test_region_leaves import Pair
from webvm.engine import runs
from webvm.jit import layout as at
from webvm.jit.options import Options

_engine = lru_cache(engine)
PAGES = 8
# mov rcx, 7 ; add rdx, rcx ; accesses ; xor eax, eax ; syscall
CODES = {name: "48c7c107000000 4801ca" + accesses + "31c0 0f05" for name, accesses in {
    "read": "488b37", "write": "488917", "both": "480117", "byte": "448a07 8857ff", "vector": "0f1007 0f114710",
    "cover": "488b37 4c8b87b80b0000", "writes": "488917 488997b80b0000", "frames": "488b37 4c8b4708 4881c700100000 488b37 4c8b87b80b0000", "index": "488b3497 488914d7",
    "frame": "488b37 4c8b8780000000", "frames written": "488917 48899780000000 488997f8010000 488b37",
    "loop": "b908000000 8a07 8807 48ffc7 ffc9 75f5"}.items()}


@pytest.mark.parametrize("most", [254, 5, 0])
def test_each_run_has_one_number_and_its_place_is_known(most):
    rng = random.Random(SEED)
    for _ in range(30):
        made = runs.Runs()
        del made._free[:len(made._free) - most]
        table, wanted, known = bytearray(400), bytearray(400), {}
        for _ in range(40):
            n = rng.randrange(1, 60)
            first = rng.randrange(400 - n)
            bits = rng.choice([bytes(n), b"\1" * n, bytes(rng.randrange(2) for _ in range(n))])
            lost = any(a > b for a, b in zip(wanted[first:first + n], bits))
            same = wanted[first:first + n] == bits
            wanted[first:first + n] = bits
            change = made.set(first, bits)
            assert (change is None) == same
            if change:
                begin, numbers, changed, found = change
                table[begin:begin + len(numbers)] = numbers
                known |= {number: (page, pages) for number, page, pages in changed}
                assert found == lost
            assert bytes(map(bool, table)) == wanted
            there = [match.span() for match in runs._RUN.finditer(wanted)]
            numbers = [set(table[a:b]) for a, b in there]
            assert all(len(some) == 1 for some in numbers)
            named = [some.pop() for some in numbers]
            assert all(number == runs.OTHERS or known[number] == (a, b - a) for number, (a, b) in zip(named, there))
            own = [number for number in named if number != runs.OTHERS]
            assert len(own) == len(set(own)) >= min(most, len(there)) * (most == 254)


def test_runs_have_numbers_once_there_are_regions():
    """And none again when the space is given back."""
    pair = Pair((_engine("interp"), _engine()), CODES["both"], RDI=DATA + 0x800)
    space, n = pair.guest.space, (DATA >> 12) + 64

    def right() -> bool:
        perms = space.perms(0, n)
        return all([bool(number) for number in space.peek(table, n)] == [perm & access == access and not (access & at.WRITE and perm & at.EXECUTE)
                                                                         for perm in perms]
                   for table, access in ((at.READABLE, at.READ), (at.WRITABLE, at.READ | at.WRITE)))
    for machine in pair.both:
        machine.space.protect((DATA >> 12) + 3, 5, READ)
    assert not any(space.peek(at.READABLE, n)) and not any(space.peek(at.RUNS, 4096))
    pair.warmed()
    assert right() and any(space.peek(at.RUNS, 4096))
    for first, pages, perm in ((4, 1, 0), (9, 3, RW), (8, 1, RW), (12, 1, READ), (20, 2, RW)):
        space.protect((DATA >> 12) + first, pages, perm)
    space.publish()
    assert right()
    engine = space.engine
    space.release()
    assert engine.space() is space and not any(space.peek(at.READABLE, 2 * n)) and not any(space.peek(at.RUNS_WRITABLE, 8192))


@pytest.mark.parametrize("on", [True, False, "narrow", "one place"])
@pytest.mark.parametrize("name", CODES)
def test_only_what_is_permitted_now_is_accessed(name, on, monkeypatch):
    """Permissions come and go between executions of one region; each ends as in the interpreter, at the same fault. Also where all
    checks remember in the same place."""
    rng = random.Random(f"{SEED} {name}")
    if on == "one place":
        monkeypatch.setattr(at, "lately_place", lambda entry, k, wide=False: 16 * at.LATELY_WIDE * wide)
    guest = engine(options=Options()) if on == "one place" else _engine(options=Options(runs=bool(on), wide_runs=on != "narrow"))
    pair = Pair((_engine("interp"), guest), CODES[name], RDI=DATA + 0x800).warmed()
    pair.code, ends, page = b"", set(), DATA >> 12
    for machine in pair.both:
        machine.space.protect(page, PAGES, RW)
    for _ in range(100):
        if rng.random() < .4:
            first = rng.randrange(PAGES)
            n, permission = rng.randrange(1, PAGES - first + 1), rng.choice([0, READ, RW, RW])
            for machine in pair.both:
                machine.space.protect(page + first, n, permission)
        address = DATA + rng.randrange(-1, PAGES + 1) * 4096 + rng.choice([0, 8, 1, 800, 4096 - 8, 4096 - 7, 4096 - 3000, 4096 - 3001,
                                                                            4096 - 3008, 4096 - 16, 4096 - 32, 4096 - 63, 4096 - 64, -1,
                                                                            4096 - 136, 4096 - 135, 4096 - 511, 4096 - 512, 4096 - 513])
        if rng.random() < .1:
            address = (address + (rng.randrange(1, 1 << 32) << 32)) % (1 << 64)
        for machine in pair.both:
            machine.seen, machine.end = [], ""
            pair.start(machine, RDI=address)
        ends.add(pair.agree(flags=False).end[:5])
    assert ends == {"fault", "sysca"}


def test_a_check_finds_the_same_run_without_the_tables():
    """Once made, a check does not look at the tables until something is not permitted any more."""
    pair = Pair((_engine("interp"), _engine()), CODES["write"], RDI=DATA + 0x800).warmed()
    pair.agree(flags=False, end="syscall")
    space, pair.code = pair.guest.space, b""
    table = space.peek(at.PERMISSIONS + (DATA >> 12), 1)
    space.poke(at.PERMISSIONS + (DATA >> 12), b"\0")
    for machine in pair.both:
        pair.start(machine)
    pair.agree(flags=False, end="syscall")
    space.poke(at.PERMISSIONS + (DATA >> 12), table)
    for machine in pair.both:
        machine.space.protect((DATA >> 12) + 1, 1, READ)
    space.publish()                                  # as when the guest goes on
    assert not any(space.peek(at.LATELY_WRITABLE, 16 * at.LATELY_MAX)) and any(space.peek(at.RUNS_WRITABLE, 8192))
