"""Switches of the guest: jump tables that are recognised make their arms part of the region."""
import struct

import pytest

from tests.jit.regions import CODE, CODE_SIZE, Guest, engine
from tests.x86 import machines
from tests.x86.machines import DATA, DATA_SIZE
from webvm.jit import layout as at
from webvm.jit import tables
from webvm.jit.cfg import SWITCH
from webvm.jit.options import Options

RBX, RCX, RDX = 3, 1, 2
ARMS = [CODE + 0x0e, CODE + 0x14, CODE + 0x1a, CODE + 0x20]
# loop: eax = ecx & 3 ; jump by the table ; arms: add rbx, 1 2 4 8 ; dec ecx ; jnz loop ; syscall
REST = "4883c301 eb10 4883c302 eb0a 4883c304 eb04 4883c308 ffc9 75d8 0f05"
HEAD = "89c8 83e003"
FORMS = {
    "distances off a register": (HEAD + "48630482 4801d0 ffe0", struct.pack("<4i", *(arm - DATA for arm in ARMS))),
    "addresses": (HEAD + "ff24c5" + struct.pack("<I", DATA).hex(), struct.pack("<4Q", *ARMS)),
    "addresses off a register": (HEAD + "ff24c2", struct.pack("<4Q", *ARMS)),
}


def prepared(form, options=Options()) -> Guest:
    """Its loop has run 300 times, so all is decoded."""
    code, table = FORMS[form]
    guest = Guest(engine(options=options))
    head = bytes.fromhex(code)
    assert len(head) <= 14
    guest.space.write(CODE, (head.ljust(14, b"\x90") + bytes.fromhex(REST)).ljust(CODE_SIZE, b"\xf4"))
    run(guest, table)
    return guest


def run(guest, table, data: bytes = b"") -> int:
    state = machines.State(rip=CODE)
    state.gpr[RCX], state.gpr[RDX] = 300, DATA
    guest.load(state, (table + data).ljust(DATA_SIZE, b"\0"))
    before = guest.in_regions
    assert guest.run() == "syscall"
    assert guest.space.get(RBX) == 75 * 15
    return guest.in_regions - before


@pytest.mark.parametrize("form", FORMS)
def test_arms_of_a_switch_are_in_its_region(form):
    guest = prepared(form)
    graphs, _ = guest.translator._graphs(guest.space, [CODE])
    assert [(graph.entries, graph.arms) for graph in graphs] == [([CODE], set(ARMS))]
    assert guest.translate([CODE]) == 1
    assert run(guest, FORMS[form][1]) > 2000


def test_without_tables_arms_are_left_to_other_regions():
    form = "addresses"
    guest = prepared(form, Options(tables=False))
    assert not guest.translator._graphs(guest.space, [CODE])[0][0].arms
    assert guest.translate([CODE]) == 1
    assert run(guest, FORMS[form][1]) < 2000


def test_what_is_no_table_does_no_harm():
    """The table is of something else at the time: nothing, addresses of instructions' middles, of nowhere."""
    form = "distances off a register"
    for wrong in bytes(64), struct.pack("<4i", *(arm + 1 - DATA for arm in ARMS)), b"\xff" * 64, b"\x80" * DATA_SIZE:
        guest = prepared(form)
        guest.space.write(DATA, wrong)
        assert guest.translate([CODE]) == 1
        run(guest, FORMS[form][1])


def test_memory_that_is_not_there_is_not_read():
    guest = prepared("distances off a register")
    for address in 0, 0xFFFFFFFF, (1 << 64) - 8, DATA + DATA_SIZE - 8, 0x12345000:
        size = guest.space.pages
        guest.space.poke(at.GPR + 8 * RDX, struct.pack("<Q", address))
        guest.translator._graphs(guest.space, [CODE])
        assert guest.space.pages == size


def test_table_ends_where_something_far_begins():
    guest = prepared("addresses")
    guest.space.write(DATA, struct.pack("<6Q", *ARMS[:3], 1 << 40, *ARMS[2:]))
    block = guest.translator._block(guest.space, CODE)
    assert tables.find(block, [], guest.space.read, lambda register: 0).places == ARMS[:3]


@pytest.mark.parametrize("form", FORMS)
def test_arms_follow_the_jump_itself(form):
    """The region begins before the switch, and nothing leads over cfg.SWITCH; where the switch is off, everything does."""
    for arms in True, False:
        guest = prepared(form, Options(arms=arms))
        graph, = guest.translator._graphs(guest.space, [CODE])[0]
        jump = next(block for block in graph.blocks.values() if block.end in ("table", "jump_indirect"))
        assert (SWITCH in graph.blocks) is not arms and jump.end == ("table" if arms else "jump_indirect")
        assert not arms or set(graph.edges(jump.start)) == set(ARMS) and not graph.detours


@pytest.mark.parametrize("form", FORMS)
def test_table_that_is_changed_leads_where_it_says(form):
    """Places that the region has for other arms; one that leads to where its region has nothing; one that is no address: that faults
    at the jump."""
    _, table = FORMS[form]
    size = len(table) // 4
    places = [table[k:k + size] for k in range(0, len(table), size)]
    guest, plain = prepared(form), prepared(form, Options(switches=False))
    assert guest.translate([CODE]) == 1
    elsewhere = bytes.fromhex("4883c320 0f05")                              # add rbx, 32 ; syscall
    for machine in guest, plain:
        machine.space.write(CODE + 0x400, elsewhere)
    distance = int.from_bytes(places[0], "little") + CODE + 0x400 - ARMS[0] & (1 << 8 * size) - 1
    for changed in (places[::-1], [places[1]] * 4, [places[0], distance.to_bytes(size, "little"), *places[2:]],
                    [*places[:3], b"\x7f" * size], [*places[:2], bytes(size), places[3]]):
        seen = []
        for machine in guest, plain:
            state = machines.State(rip=CODE)
            state.gpr[RCX], state.gpr[RDX] = 50, DATA
            machine.load(state, b"".join(changed).ljust(DATA_SIZE, b"\0"))
            end = machine.run()
            seen.append((end, machine.space.rip, [machine.space.get(n) for n in range(16)]))
        assert seen[0] == seen[1], changed
