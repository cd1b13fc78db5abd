"""Regions count as many instructions as they execute, whatever ways control goes; those that leave in between, not many more."""
import random
import struct

import pytest

from tests.jit.regions import CODE, R15, RAX, RSP, TOP, Guest, engine
from tests.jit.test_interpreter import SEED
from tests.jit.test_region_leaves import Pair
from tests.x86 import machines
from webvm.jit import count
from webvm.jit.options import Options

END = "0f05"
PROGRAMS = 10


def _ways(rng) -> bytes:
    """Blocks that go on to any others by the bits of RAX, which turns, some by way of a small function; R15 counts them down."""
    blocks, functions = rng.randrange(3, 12), 3
    pieces = []                                           # (bytes, number of the piece that the last 4 bytes lead to, or None)
    for k in range(blocks):
        pieces.append((bytes.fromhex("48ffc3") * rng.randrange(1, 9) + bytes.fromhex("49ffcf 0f84 00000000"), -1))
        if rng.random() < .4:
            pieces.append((b"\xe8" + bytes(4), ("function", rng.randrange(functions))))
        turn = bytes([0x48, 0xC1, 0xC0, rng.randrange(1, 64), 0xA8, 1 << rng.randrange(8)])          # rol rax, n ; test al, bit
        pieces.append((turn + b"\x0f" + bytes([rng.choice((0x84, 0x85))]) + bytes(4), ("block", rng.randrange(blocks))))
        if rng.random() < .5:
            pieces.append((b"\xe9" + bytes(4), ("block", rng.randrange(blocks))))
        pieces[-1] = *pieces[-1], "last"
    starts, places, code = [0] + [k + 1 for k, piece in enumerate(pieces[:-1]) if len(piece) == 3], {}, b""
    found = []                                            # where each piece is
    for piece in pieces:
        found.append(len(code))
        code += piece[0]
    places.update((("block", n), found[k]) for n, k in enumerate(starts))
    code += b"\xe9" + struct.pack("<i", -len(code) - 5)   # from the last to the first
    places[-1] = len(code)
    code += bytes.fromhex(END)
    for n in range(functions):                            # inc rcx ; test al, bit ; jz the ret ; inc rcx ... ; ret
        places["function", n] = len(code)
        more = bytes.fromhex("48ffc1") * rng.randrange(1, 6)
        code += bytes.fromhex("48ffc1 a8") + bytes([1 << n, 0x74, len(more)]) + more + b"\xc3"
    code = bytearray(code)
    for where, (piece, target, *_) in zip(found, pieces):
        struct.pack_into("<i", code, where + len(piece) - 4, places[target] - where - len(piece))
    return bytes(code)


@pytest.mark.parametrize("off", ["", "ahead", "inline", "structured", "direct_calls"])
def test_regions_count_what_they_execute(off):
    plain, guest, rng = Guest(engine("interp")), Guest(engine(options=Options(**{off: False} if off else {}))), random.Random(SEED)
    ahead = []
    guest.translator.trace = lambda region, *_: ahead.extend(region.counts.after.values())
    for turn in range(PROGRAMS):
        code, bits, counts = _ways(rng), rng.getrandbits(64), []
        for machine in (plain, guest):
            machine.space.write(CODE, code)
            for first, n in ((True, 40 if turn % 2 else 1500), (False, 1500)):         # few rounds go few ways
                state = machines.State(rip=CODE)
                state.gpr[RSP], state.gpr[R15], state.gpr[RAX] = TOP, n, bits
                machine.load(state)
                before = machine.space.instructions
                assert machine.run() == "syscall"
                counts.append((machine.space.instructions - before, machine.outcome("syscall").state.gpr))
                if first and machine is guest:
                    guest.translate(range(CODE, CODE + len(code)), rng)
        assert counts[1][1] == counts[3][1], f"WEBVM_SEED={SEED}, program {turn}: {code.hex()}"
        entered = 1                                       # of which the run hears no more, since it ends in it
        assert counts[3][0] - counts[1][0] == entered, f"WEBVM_SEED={SEED}, program {turn}: {code.hex()}"
    assert guest.in_regions > PROGRAMS * 1000
    assert any(ahead) != (off in ("ahead", "structured"))
    assert max(ahead) <= count.MOST


@pytest.mark.parametrize("off", ["", "ahead"])
def test_what_leaves_in_the_middle_has_counted_no_more_than_a_way(off):
    """A load that faults, between others and 200 more."""
    code = "48ffc3" * 20 + "84c0 7400" + "488b07" + "48ffc3" * 200 + END
    pair = Pair((engine("interp"), engine(options=Options(**{off: False} if off else {}))), code, RDI=0x40000000)
    pair.warmed()
    before = pair.guest.space.instructions
    found = pair.agree()
    assert found.end.startswith("fault")
    assert 23 <= pair.guest.space.instructions - before <= 23 + 202 + count.MOST
