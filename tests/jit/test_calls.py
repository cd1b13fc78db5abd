"""What calls and the stack cost in regions: return addresses looked at once, the stack pointer passed on, accesses off one address."""
from functools import lru_cache

import pytest

from tests.jit.regions import CODE, DATA, RX, STACK, engine
from tests.jit.test_region_leaves import RW, Pair
from webvm.jit import layout as at
from webvm.jit.frame import ANCHOR, LOAD_STACK, STORE_STACK
from webvm.jit.instruction import LOOSE
from webvm.jit.options import Options
from webvm.wasm import encoding as w

_engine = lru_cache(engine)
OTHER = CODE + 0x1000


def _pair(code, other="", off="", **registers):
    options = Options(**{off: False}) if off else Options()
    return Pair((_engine("interp"), _engine(options=options)), code, other=other, **registers)


def _body(pair, rip=CODE) -> bytes:
    """Of the function of the region at rip."""
    translator, bodies = pair.guest.translator, []
    translator.trace = lambda region, body, _: bodies.append(body)
    try:
        translator.module(translator._graphs(pair.guest.space, [rip])[0], pair.guest.space.read)
    finally:
        translator.trace = None
    return bodies[0]


# call OTHER ; inc rsi ; syscall     OTHER: inc rbx ; mov [rsp], rax ; ret, or ret 16
@pytest.mark.parametrize("target", [0, 0x40000000, (1 << 32) - 1, 1 << 32, (1 << 32) + CODE + 5, 1 << 47, (1 << 63) + CODE + 5, (1 << 64) - 1])
@pytest.mark.parametrize("ret", ["c3", "c21000"])
@pytest.mark.parametrize("off", ["", "returns", "stack"])
def test_copied_function_that_returns_to_no_code_faults_as_ever(target, ret, off):
    pair = _pair("e8fb0f0000 48ffc6 0f05", "48ffc3 48890424 " + ret, off, RAX=CODE + 5).warmed()
    for machine in pair.both:
        machine.space.set(0, target)
    found = pair.agree()
    assert found.end.startswith(("fault", "GP")) and found.state.gpr[6] == 0


@pytest.mark.parametrize("ret, more", [("c3", 0), ("c21000", 16)])
def test_copied_function_that_returns_elsewhere_leaves_the_stack_as_it_says(ret, more):
    """To the INC RSI behind the syscall."""
    pair = _pair("e8fb0f0000 0f05 48ffc6 0f05", "48ffc3 48890424 " + ret, RAX=CODE + 5).warmed()
    for machine in pair.both:
        machine.space.set(0, CODE + 7)
    before = pair.guest.space.get(4)
    found = pair.agree(end="syscall")
    assert found.state.gpr[6] == 1 and found.state.gpr[4] == before + more


# push rbx ; push rcx ; inc rcx ; push rdx ; call OTHER ; pop rdx ; pop rcx ; pop rbx ; syscall     OTHER: push rsi ; pop rdi ; ret
PUSHES = "53 51 48ffc1 52 e8f50f0000 5a 59 5b 0f05", "56 5f c3"


@pytest.mark.parametrize("off", ["", "anchors", "stack", "inline"])
@pytest.mark.parametrize("permissions", [(RW, RW), (0, RW), (at.READ, RW), (RW, 0), (RW, at.READ), (RX, RW)])
@pytest.mark.parametrize("into", [0, 4, 8, 16, 20, 24, 32, 36, 40, 44, 48])
def test_pushes_over_the_end_of_a_page_fault_where_they_do(into, permissions, off):
    pair = _pair(*PUSHES, off, RSI=6, RCX=1 << 40).warmed()
    for machine in pair.both:
        for k, permission in enumerate(permissions):
            machine.space.protect((STACK >> 12) + k, 1, permission)
        machine.space.set(4, STACK + 0x1000 + into)
    found = pair.agree()
    assert found.end == "syscall" or pair.guest.faults


@pytest.mark.parametrize("sp", [0, 8, 16, 32, 44, (1 << 32) + 16, 1 << 32, (1 << 32) + 4, 1 << 63])
def test_pushes_where_no_stack_can_be_fault(sp):
    pair = _pair(*PUSHES).warmed()
    for machine in pair.both:
        machine.space.set(4, sp)
    assert pair.agree().end.startswith("fault")


def test_pushes_and_pops_go_off_one_address():
    """Four pushes, one of them of the return address, and one of the copy; pops likewise."""
    pairs = [_pair(*PUSHES, off).warmed() for off in ("", "anchors")]
    with_, without = ([_body(pair).count(w.get(ANCHOR + k)) for k in (0, 1)] for pair in pairs)
    assert sum(with_) >= 5 and sum(without) == 0


def test_stack_pointer_goes_to_memory_only_where_control_leaves():
    """CODE: call OTHER ; syscall     OTHER: push rbx ; dec ecx ; jz 1f ; call OTHER ; 1: pop rbx ; ret"""
    code, other = "e8fb0f0000 0f05", "53 ffc9 7405 e8f6ffffff 5b c3"
    bodies = [_body(_pair(code, other, off, RCX=5).warmed(CODE, OTHER), OTHER) for off in ("", "stack")]
    assert bodies[0].count(LOAD_STACK) < bodies[1].count(LOAD_STACK) and bodies[0].count(STORE_STACK) < bodies[1].count(STORE_STACK)


@pytest.mark.parametrize("control", [0x5F80, 0x7F80, 0x9FC0])
@pytest.mark.parametrize("copies", [True, False])
def test_a_function_changes_how_numbers_are_rounded(copies, control):
    """CODE: call OTHER ; cvtsi2sd xmm0, rdx ; cvtsi2sd xmm1, rcx ; divsd xmm0, xmm1 ; movq rsi, xmm0 ; syscall
    OTHER: test eax, eax ; jz 1f ; ldmxcsr [rdi] ; 1: ret"""
    engines = _engine("interp"), _engine(options=Options(inline=copies))
    pair = Pair(engines, "e8fb0f0000 f2480f2ac2 f2480f2ac9 f20f5ec1 66480f7ec6 0f05", other="85c0 7403 0fae17 c3", RDI=DATA, RDX=1, RCX=3)
    pair.warmed(CODE, OTHER)
    assert pair.guest.translator._code[pair.guest.space].floats == LOOSE
    pair.code, pair.other = b"", b""
    for machine in pair.both:
        pair.start(machine, RAX=1)
        machine.space.write(DATA, control.to_bytes(4, "little"))
    found = pair.agree(flags=False, end="syscall")
    assert found.state.mxcsr & 0xFFC0 == control & 0xFFC0


def test_mxcsr_is_looked_at_where_something_depends_on_it_before_the_next_call():
    """mov ecx, 3 ; call OTHER ; mov ecx, 3 ; call OTHER ; divsd xmm0, xmm1 ; syscall     OTHER: dec ecx ; jz 1f ; call OTHER ; 1: ret"""
    code, other = "b903000000 e8f60f0000 b903000000 e8ec0f0000 f20f5ec1 0f05", "ffc9 7405 e8f7ffffff c3"
    looks = []
    for on in (True, False):
        engines = _engine("interp"), _engine(options=Options(inline=False, floats_ahead=on))
        looks.append(_body(Pair(engines, code, other=other).warmed(CODE, OTHER)).count(w.access("i32.load", at.MXCSR)))
    assert looks == [1, 3]
