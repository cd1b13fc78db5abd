"""The harness that asks this machine's processor: what goes in comes out, and every ending is recognised."""
import random

import pytest

from tests.x86 import machines, native
from tests.x86.machines import CODE, DATA, DATA_SIZE, MIDDLE, State

pytestmark = pytest.mark.skipif(bool(native.missing), reason=f"the processor is not asked: it needs {native.missing}")
RAX, RCX, RBX, RSP, RSI, RDI = 0, 1, 3, 4, 6, 7


@pytest.fixture(scope="module")
def processor():
    made = native.Native()
    yield made
    made.close()


def state_at(**registers) -> State:
    state = State(rip=CODE, fs_base=MIDDLE)
    state.gpr[RSP] = state.gpr[RBX] = MIDDLE
    for name, value in registers.items():
        state.gpr[globals()[name]] = value
    return state


def test_a_nop_changes_nothing(processor):
    rng = random.Random(1)
    for _ in range(20):
        state, data = machines.random_state(rng, False, False), rng.randbytes(DATA_SIZE)
        state.fsw, state.ftw, state.rest, state.mxcsr = rng.randrange(8) << 11, rng.randrange(256), 0, 0x1FC0
        state.x87 = [rng.getrandbits(80) for _ in range(8)]
        for n in range(8):                      # the processor forgets what is in registers that are marked empty
            if not state.ftw >> n & 1:
                state.x87[n] = 0
        found = processor.run(b"\x90", state, data)
        state.rip += 1
        for n in range(8):
            if not state.ftw >> n & 1:
                found.state.x87[n] = 0
        assert found.state == state and found.data == data and found.end == "ok"


@pytest.mark.parametrize("code, registers, end, signal", [
    ("0f0b", {}, "UD", (4, 2, CODE)), ("cc", {}, "BP", (5, 0x80, 0)), ("f1", {}, "DB", None), ("f4", {}, "GP", (11, 0x80, 0)),
    ("fa", {}, "GP", (11, 0x80, 0)), ("f6f1", {"RCX": 0}, "DE", (8, 1, CODE)), ("8803", {"RBX": DATA - 1}, f"fault {DATA - 1:#x}", (11, 1, DATA - 1)),
    ("8803", {"RBX": 1 << 63}, "GP", (11, 0x80, 0)), ("50", {"RSP": 1 << 63}, "SS", (7, 0x80, 0)),
    ("8803", {"RBX": 0xFFFFFFFFFF600000}, "fault 0xffffffffff600000", (11, 1, 0xFFFFFFFFFF600000)), ("0f05", {}, "not run", (0, 0, 0))])
def test_how_it_ended(processor, code, registers, end, signal):
    found = processor.run(bytes.fromhex(code), state_at(**registers), bytes(DATA_SIZE))
    assert found.end == end
    assert signal is None or found.signal == signal


def test_a_repeated_string_runs_to_its_end(processor):
    data = bytes(range(256)) * (DATA_SIZE // 256)
    found = processor.run(b"\xf3\xa4", state_at(RCX=100, RSI=DATA, RDI=DATA + 0x1000), data)
    assert (found.end, found.state.gpr[RCX], found.state.rip) == ("ok", 0, CODE + 2)
    assert found.data[0x1000:0x1000 + 100] == bytes(range(100))


def test_jumps_and_flags_on_the_stack(processor):
    assert processor.run(b"\xe9\x00\x10\x00\x00", state_at(), bytes(DATA_SIZE)).state.rip == CODE + 0x1005
    state = state_at()
    state.flags, state.df = 0x8D5, 1
    assert processor.run(b"\x9c", state, bytes(DATA_SIZE)).data[0xFF8:0x1000] == (0xED7).to_bytes(8, "little")


def test_one_that_ends_the_child_is_told_and_the_rest_run(processor, monkeypatch):
    """exit_group(0) by way of a SYSCALL, which is not run otherwise."""
    monkeypatch.setattr(native, "NEVER", set())
    cases = [(b"\x90", state_at(), bytes(DATA_SIZE)), (b"\x0f\x05", state_at(RAX=231), bytes(DATA_SIZE)), (b"\x90", state_at(), bytes(DATA_SIZE))]
    assert [found.end for found in processor.run_many(cases)] == ["ok", "died", "ok"]
