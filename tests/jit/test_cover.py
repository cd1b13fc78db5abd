"""Checks of memory accesses that hold in the blocks after."""
from functools import lru_cache

import pytest

from tests.jit.regions import CODE, DATA, MIDDLE, RAX, RDI, RDX, engine
from tests.jit.test_region_leaves import Pair
from webvm.jit import layout as at
from webvm.jit.options import Options
from webvm.wasm import encoding as w

_engine = lru_cache(engine)
SWITCH = pytest.mark.parametrize("beyond", [True, False])
# test edx, edx ; jz 1f ; mov [rdi], rdx ; 1: mov rsi, [rdi] ; test edx, edx ; jz 2f ; mov [rdi + 16], rdx ; 2: xor eax, eax ; syscall
TWO_WAYS = "85d2 7403 488917 488b37 85d2 7404 48895710 31c0 0f05"


def _pair(code, beyond, **registers):
    return Pair((_engine("interp"), _engine(options=Options(beyond=beyond))), code, RDI=MIDDLE, **registers)


@SWITCH
@pytest.mark.parametrize("address, permissions", [
    (0, ()), (1 << 32, ()), ((1 << 64) - 8, ()), ((1 << 32) - 8, ()), (DATA + 0x1FF0, ()), (DATA + 0xFF0, (at.READ | at.WRITE, 0)),
    (DATA + 0xFF8, (at.READ | at.WRITE, at.READ)), (DATA + 0xFF4, (at.READ, 0)), (DATA + 0x800, (at.READ, 0)), (DATA + 0x800, (0, 0))])
@pytest.mark.parametrize("way", [0, 1])
def test_what_one_way_has_checked_is_not_taken_for_checked_on_another(address, permissions, way, beyond):
    """The region knows both ways; each access that may not be made faults where the interpreter's does, with the same registers."""
    pair = _pair(TWO_WAYS, beyond)
    for edx in 0, 1:                                        # both ways have been gone
        for machine in pair.both:
            pair.start(machine, RDX=edx)
            machine.run(1000)
            machine.end = ""
    pair.warmed(RDX=way)
    for machine in pair.both:
        for k, permission in enumerate(permissions):
            machine.space.protect((DATA >> 12) + k, 1, permission)
        machine.space.set(RDI, address)
        machine.space.set(RDX, way)
    pair.agree(flags=False)


@SWITCH
def test_permission_that_a_system_call_takes_is_asked_for_again(beyond):
    """mov [rdi], rdx ; test edx, edx ; jz +0 ; mov rsi, [rdi + 8] ; mov eax, 39 ; syscall ; mov rsi, [rdi + 8] ; xor eax, eax ; syscall"""
    pair = _pair("488917 85d2 7400 488b7708 b827000000 0f05 488b7708 31c0 0f05", beyond, RDX=5)
    for machine in pair.both:
        def calls(machine=machine):
            if machine.space.get(RAX) != 39:
                return False
            if machine.takes:
                machine.space.protect(MIDDLE >> 12, 1, 0)
            return True
        machine.calls, machine.takes = calls, False
    pair.warmed()
    for machine in pair.both:
        machine.takes = True
    assert pair.agree(flags=False).end.startswith("fault")
    assert pair.guest.faults == [(MIDDLE + 8, at.READ)]


@pytest.mark.parametrize("beyond, checks", [(True, 2), (False, 4)])
def test_what_follows_in_other_blocks_is_checked_at_once(beyond, checks):
    """mov rsi, [rdi] ; jz 1f ; 1: mov rsi, [rdi + 8] ; jz 2f ; 2: mov rsi, [rdi + 16] ; call 3f ; 3: mov rsi, [rdi] ; ..."""
    pair = _pair("488b37 7400 488b7708 7400 488b7710 e800000000 488b37 31c0 0f05", beyond, RDX=1)
    pair.warmed()
    translator = pair.guest.translator
    wasm = translator.module(translator._graphs(pair.guest.space, [CODE])[0], pair.guest.space.read)[0]
    assert wasm.count(w.access("i32.load8_u", at.READABLE)) == checks
    pair.agree(end="syscall", flags=False)
