"""Which blocks a region is made of, and which entries get one: with code that has run a while, as the interpreter leaves it."""
import random
import struct

import pytest

from tests.jit.regions import CODE, CODE_SIZE, RCX, RDI, RDX, RSP, TOP, Generator, Guest, engine, pieces
from tests.jit.test_interpreter import difference
from tests.jit.test_region import NO_STACK, SEED, beginning
from tests.x86 import machines
from tests.x86.machines import DATA_SIZE
from webvm.jit import layout as at
from webvm.jit import regions
from webvm.jit.handler import R_COUNT
from webvm.jit.options import Options

# 0: mov ecx, 5 ; 5: dec ecx ; jnz 5 ; 9: dec edi ; jnz 0 ; 13: syscall
NEST, INNER = "b905000000 ffc9 75fc ffcf 75f3 0f05", CODE + 5


def prepared(code: str, options=Options(), **registers) -> Guest:
    """Its code has been executed to the syscall at its end."""
    guest = Guest(engine(options=options))
    guest.space.write(CODE, bytes.fromhex(code).ljust(CODE_SIZE, b"\xf4"))
    execute(guest, **registers)
    return guest


def execute(guest, **registers):
    state = machines.State(rip=CODE)
    state.gpr[RDI], state.gpr[RSP] = 10, TOP
    for name, value in registers.items():
        state.gpr[{"rdx": RDX, "rcx": RCX}[name]] = value
    guest.load(state, bytes(DATA_SIZE), NO_STACK)
    assert guest.run() == "syscall"


def blocks(guest, rip=CODE) -> set[int]:
    graph, = guest.translator._graphs(guest.space, [rip])[0]
    return set(graph.blocks)


def test_what_follows_an_indirect_call_is_part_of_the_region():
    # 0: call rdx ; 2: dec edi ; jnz 0 ; 6: syscall ; 8: ret
    guest = prepared("ffd2 ffcf 75fa 0f05 c3", rdx=CODE + 8)
    assert {CODE, CODE + 2, CODE + 6} <= blocks(guest)
    guest.translate([CODE])
    before = guest.in_regions
    execute(guest, rdx=CODE + 8)
    assert guest.in_regions - before > 20                  # the calls and the loop around them


def test_what_follows_a_system_call_is_part_of_the_region():
    # 0: syscall ; 2: dec edi ; jnz 0 ; 6: hlt, which traps
    guest = Guest(engine())
    guest.space.write(CODE, bytes.fromhex("0f05 ffcf 75fa").ljust(CODE_SIZE, b"\xf4"))
    guest.calls = lambda: True
    state = machines.State(rip=CODE)
    state.gpr[RDI] = 10
    guest.load(state, bytes(DATA_SIZE), NO_STACK)
    assert guest.run() == "GP"
    assert {CODE, CODE + 2} <= blocks(guest)


def test_a_call_that_never_comes_back_leads_no_further():
    # 0: call rdx, where a syscall ends it ; 2: what nobody has executed
    guest = prepared("ffd2 ffcf 75fa f4 f4 0f05", rdx=CODE + 8)
    assert blocks(guest) == {CODE}


def count_at(guest, rip) -> int: return struct.unpack("<I", guest.space.peek(guest.space.find(rip) + R_COUNT, 4))[0]


@pytest.mark.parametrize("patience", [True, False])
def test_what_is_in_a_region_to_come_waits_for_it(patience):
    guest = prepared(NEST, Options(patience=patience))
    translator, space = guest.translator, guest.space
    code = translator._code[space]

    def asked():
        graphs, put_off = translator._graphs(space, [INNER], patient=True)
        assert bool(graphs) != bool(put_off)
        return "made" if graphs else "put off"

    blocks(guest)
    code.busy.add(CODE)                                    # as while it is compiled
    assert [asked() for _ in range(3)] == (["put off"] * 3 if patience else ["put off", "made", "made"])
    code.busy.clear()
    if patience:
        assert [asked() for _ in range(2)] == ["put off", "made"]
        assert count_at(guest, INNER) == regions.AGAIN
    else:
        assert count_at(guest, INNER) != regions.AGAIN


@pytest.mark.parametrize("patience", [True, False])
def test_what_is_hot_in_a_region_gets_a_large_one(patience):
    # 0: 1,000 x nop ; dec edi ; jnz 0 ; syscall
    n = 1000
    guest = prepared("90" * n + "ffcf 0f85" + struct.pack("<i", -n - 8).hex() + "0f05", Options(patience=patience))
    translator, space = guest.translator, guest.space
    size = []
    for _ in range(2):
        graphs, _ = translator._graphs(space, [CODE], patient=True)
        size += [sum(len(block.ops) for block in graph.blocks.values()) for graph in graphs]
        translator._code[space].inside.setdefault(CODE, CODE)
    graphs, _ = translator._graphs(space, [CODE], patient=True)
    size += [sum(len(block.ops) for block in graph.blocks.values()) for graph in graphs]
    assert size[0] < n
    assert size[-1] > n if patience else size[-1] < n


@pytest.mark.parametrize("options", [Options(), Options(patience=False)], ids=["on", "patience off"])
def test_programs_that_become_hot_bit_by_bit_agree_with_the_interpreter(options, monkeypatch):
    """Regions come and are made anew while programs run, as their entries are reported."""
    monkeypatch.setattr(regions, "AGAIN", 5)
    pool, interpreter, guest = pieces(), Guest(engine("interp")), Guest(engine(options=options))
    guest.translator.share = 0
    for seed in range(1000 * SEED, 1000 * SEED + 40):
        rng = random.Random(seed)
        code, labels = Generator(rng, pool).program(rng.randrange(1, 4), 12)
        state, data, stack = beginning(rng, labels, 100)
        outcomes = []
        for machine in interpreter, guest:
            machine.space.write(CODE, code.ljust(CODE_SIZE, b"\xf4"))
            machine.space.poke(at.WARM, struct.pack("<II", 3, 2))
            for _ in range(3):
                machine.load(state, data, stack)
                while (end := machine.run(30)) == "fuel":
                    if machine is guest:
                        guest.translator.hot(guest.space)
                        guest.wait()
            outcomes.append(machine.outcome(end))
        wrong = difference(*outcomes, 0x8D5 if end == "syscall" else 0)
        assert not wrong and outcomes[0].end == outcomes[1].end, f"program {seed}: {wrong}"
    assert guest.translator.counters.regions > 20 and guest.in_regions > 5000
