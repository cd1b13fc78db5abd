"""Regions that are made anew, with ways that were not gone when they were made."""
import pytest

from tests.jit.regions import CODE, RCX, RSI, engine
from tests.jit.test_region_leaves import OTHER, Pair
from webvm.jit import again
from webvm.jit import layout as at
from webvm.jit.options import Options

# 0: call OTHER ; dec rcx ; jne 0b ; syscall     OTHER: test esi, esi ; jne 1f ; inc rax ; ret ; 1: inc rdx ; add rdx, rsi ; ret
LOOP = "e8fb0f0000 48ffc9 75f6 0f05"
FUNCTION = "85f6 7504 48ffc0 c3 48ffc2 4801f2 c3"
OTHER_WAY = OTHER + 8


def exits(guest, rip: int) -> int:
    return int.from_bytes(guest.space.peek(at.EXITS + (at.link_place(rip) >> 1), 4), "little")


@pytest.fixture(params=[(CODE, OTHER), (OTHER,)], ids=["one module", "two modules"])
def together(request): return request.param


@pytest.fixture
def pair(together, monkeypatch, request):
    """A loop and the function that it calls are regions; that has one of its ways, and the other is a region too."""
    monkeypatch.setattr(at, "EXITS_REPORTED", 64)
    options = Options(inline=False, anew=getattr(request, "param", True))
    found = Pair((engine("interp"), engine(options=options)), LOOP, other=FUNCTION, RCX=100, RSI=0)
    found.warmed(*together, fuel=10000)
    if CODE not in together:
        assert found.guest.translate([CODE]) == 1
    go(found, 20, 1)
    assert found.guest.translate([OTHER_WAY]) == 1 and found.guest.is_region(OTHER_WAY)
    return found


def go(pair, rounds: int, way: int):
    for machine in pair.both:
        machine.space.rip = CODE
        machine.space.set(RCX, rounds)
        machine.space.set(RSI, way)
        assert machine.run() == "syscall"
    assert [pair.plain.space.get(n) for n in range(16)] == [pair.guest.space.get(n) for n in range(16)]


def left(pair, rounds: int, way: int) -> int:
    before = exits(pair.guest, OTHER_WAY)
    go(pair, rounds, way)
    return exits(pair.guest, OTHER_WAY) - before


def test_region_left_often_is_made_anew_with_that_way(pair):
    guest, counters = pair.guest, pair.guest.translator.counters
    assert left(pair, 20, 1) == 20
    guest.translator.hot(guest.space)
    guest.wait()
    assert counters.anew == 0                           # too few yet
    assert left(pair, 100, 1) == 100
    guest.translator.hot(guest.space)
    guest.wait()
    assert counters.anew == 1 and guest.is_region(OTHER)
    in_regions = guest.in_regions
    assert left(pair, 1000, 1) == 0                     # nor does it leave for the way that it had
    assert left(pair, 1000, 0) == 0
    assert guest.in_regions - in_regions > 2000 * 6
    guest.translator.hot(guest.space)
    assert counters.anew == 1                           # it is not left any more


@pytest.mark.parametrize("pair", [False], indirect=True)
def test_without_the_switch_nothing_is_counted(pair):
    assert left(pair, 1000, 1) == 0
    pair.guest.translator.hot(pair.guest.space)
    assert pair.guest.translator.counters.anew == 0


def test_it_is_made_anew_a_few_times_at_most(pair):
    guest = pair.guest
    one = guest.translator._code[guest.space].made.worth(OTHER, {OTHER_WAY})
    assert one is not None and one.exits == {OTHER_WAY}
    one.times = again.MOST
    left(pair, 200, 1)
    guest.translator.hot(guest.space)
    assert guest.translator.counters.anew == 0


def test_region_that_is_gone_is_not_made_anew(pair):
    """Its code is written after it was reported."""
    guest = pair.guest
    left(pair, 200, 1)
    guest.space.write(OTHER, bytes.fromhex(FUNCTION))
    guest.translator.hot(guest.space)
    assert guest.translator.counters.anew == 0
    go(pair, 10, 1)
