"""Regions as WEBVM_TRACE shows them, and the names of the machine's switches."""

from dataclasses import fields

import pytest

from tests.jit.test_faults import CODE, RAX, RCX, Guest
from webvm.engine.native import NativeEngine
from webvm.jit import image, trace
from webvm.jit.options import Options

LOOP = bytes.fromhex("4801c8"           # add rax, rcx
                     "ffc9"             # dec ecx
                     "75f9"             # jne CODE
                     "0f05")            # syscall


def traced(capsys, *kinds: str, **options) -> list[str]:
    """What is written while a loop becomes a region."""
    made = image.Image(traced=kinds, **options)
    guest = Guest(NativeEngine(made))
    guest.space.set(RAX, 0)
    guest.space.set(RCX, 1 << 24)
    for _ in range(100):
        guest.run(LOOP if not guest.space.instructions else b"", fuel=10_000)
        if made.translator and made.translator.counters.regions:
            break
    return capsys.readouterr().err.splitlines()


def test_asm_is_the_guests_code_by_blocks(capsys):
    assert traced(capsys, "asm") == f"""\
region {CODE:#x}: 1 blocks, 3 instructions
 {CODE:#x}:  (loop, from {CODE:#x})
  {CODE:8x}  add rax, rcx
  {CODE + 3:8x}  dec ecx
  {CODE + 5:8x}  jne {CODE:#x}
            -> branch {CODE:#x} {CODE + 7:#x} (outside)""".splitlines()


def test_wat_names_what_locals_hold(capsys):
    first, *body = traced(capsys, "wat")
    assert first.startswith(f"function {CODE:#x} (local exit_rip i32) ") and "(local rax i64) (local rcx i64)" in first
    body = [line.strip() for line in body]
    at = body.index("local.get $rcx")
    assert body[at:at + 3] == ["local.get $rcx", "i64.add", "local.set $rax"]
    assert "return_call $enter" in body and "local.set $exit_rip" in body and any(line.startswith("loop $") for line in body)


def test_both_come_in_order(capsys):
    lines = traced(capsys, "wat", "asm")
    assert lines[0].startswith("region ") and lines[6].startswith("function ")


@pytest.mark.parametrize("options", [{}, {"tier": "jit"}, {"tier": "interp"}])
def test_nothing_is_shown_unless_asked(capsys, options):
    assert traced(capsys, **options) == []
    assert trace.tracer([], print) is None


def test_every_optimisation_has_a_switch():
    assert image.SWITCHES == tuple(f.name.replace("_", "-") for f in fields(Options) if f.type in (bool, "bool"))
    assert image.without([]) == Options()
    off = image.without(image.SWITCHES)
    assert not any(getattr(off, name.replace("-", "_")) for name in image.SWITCHES)
    assert image.without(["dead-flags"]) == Options(dead_flags=False)


@pytest.mark.parametrize(("options", "message"), [
    ({"tier": "fast"}, r"no such tier: fast \(there are jit, interp\)"),
    ({"traced": ["asm", "bytes"]}, r"no such trace: bytes \(there are asm, wat\)"),
])
def test_what_is_not_known_is_refused(options, message):
    with pytest.raises(image.NoSuchOption, match=message):
        image.Image(**options)
    with pytest.raises(image.NoSuchOption, match="no such optimisation: dead_flags"):
        image.without(["cover", "dead_flags"])
