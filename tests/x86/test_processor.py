"""The processors that a guest may be given: what CPUID and /proc/cpuinfo say of them is what there is."""
from itertools import product

import pytest

from tests.x86 import machines
from webvm.jit import image
from webvm.x86 import opcodes, processor
from webvm.x86.decode import Undefined, decode
from webvm.x86.meaning import MEANINGS
from webvm.x86.oracle import PYTHON_MEANINGS
from webvm.x86.processor import CPUS

CPUID, RAX, RCX, RDX, RBX = b"\x0f\xa2", 0, 1, 2, 3
ASKED = [*product((0, 1, 2, 4, 7, 13, 0x80000000, 0x80000001, 0x80000002, 0x80000003, 0x80000004, 0x80000008, 0x80000009), (0, 1))]
V2 = {"cx16", "lahf_lm", "popcnt", "sse3", "sse4.1", "sse4.2", "ssse3"}                # the psABI's x86-64-v2

V3 = {"avx", "avx2", "bmi1", "bmi2", "f16c", "fma", "lzcnt", "movbe", "osxsave"}


class Judge(machines.Interpreter):
    """The interpreter for one processor."""
    def __init__(self, cpu, monkeypatch):
        monkeypatch.setattr(machines, "FEATURES", CPUS[cpu])
        super().__init__()


@pytest.mark.parametrize("cpu", CPUS)
def test_cpuid_is_the_same_in_interpreter_and_oracle(cpu, monkeypatch):
    interpreter, known = Judge(cpu, monkeypatch), processor.leaves(CPUS[cpu])
    for leaf, subleaf in ASKED:
        state = machines.State(rip=machines.CODE, gpr=[1 << 60 | n for n in range(16)])
        state.gpr[RAX], state.gpr[RCX] = leaf | 5 << 40, subleaf | 7 << 40
        wanted = known.get((leaf, None)) or known.get((leaf, subleaf), (0, 0, 0, 0))
        for machine in (machines.on_oracle, interpreter.run):
            after = machine(CPUID, state, bytes(machines.DATA_SIZE)).state
            assert tuple(after.gpr[n] for n in (RAX, RBX, RCX, RDX)) == wanted, (hex(leaf), subleaf)


@pytest.mark.parametrize("cpu", CPUS)
def test_every_instruction_of_a_feature_has_a_meaning(cpu):
    lacking = [row for row in opcodes.ROWS if row.feature in CPUS[cpu] and not row.cpl0 and row.meaning not in MEANINGS and row.meaning not in PYTHON_MEANINGS]
    assert lacking == []


@pytest.mark.parametrize("cpu", CPUS)
def test_cpuid_shows_each_feature_and_no_other(cpu):
    shown, known = set(), processor.leaves(CPUS[cpu])
    for table, leaf, register in ((processor.LEAF_1_EDX, (1, None), 3), (processor.LEAF_1_ECX, (1, None), 2), (processor.LEAF_7_EBX, (7, 0), 1),
                                  (processor.LEAF_7_ECX, (7, 0), 2), (processor.EXTENDED_ECX, (0x80000001, None), 2), (processor.EXTENDED_EDX, (0x80000001, None), 3)):
        bits = known[leaf][register] ^ (processor.X87_POINTERS if table is processor.LEAF_7_EBX else 0)
        names = {name for name, bit in table.items() if bits >> bit & 1}
        assert sum(1 << table[name] for name in names) == bits
        shown |= names
    assert shown == processor.BASE | CPUS[cpu]
    assert {processor.LINUX_NAMES.get(name, name) for name in shown} == set(processor.linux_flags(CPUS[cpu])) | shown & {"osxsave"}


def test_levels_have_what_the_abi_asks_for():
    assert CPUS["x86-64"] < CPUS["x86-64-v2"] < CPUS["x86-64-v3"] < CPUS["max"]
    assert V2 | V3 <= processor.BASE | CPUS["x86-64-v3"]
    assert V2 <= processor.BASE | CPUS["x86-64-v2"] and not V2 <= processor.BASE | CPUS["x86-64"]
    assert CPUS["max"] - {"osxsave"} <= opcodes.FEATURES


@pytest.mark.parametrize("code, first", [
    ("660f3800c1", "x86-64-v2"), ("660f3a63c102", "x86-64-v2"), ("f20f38f1c1", "x86-64-v2"), ("660f38dcc1", "max"), ("c4e278f2c1", "x86-64-v3"),
    ("c4e2fbf6c1", "x86-64-v3"), ("0f38f003", "x86-64-v3"), ("c5fc58c1", "x86-64-v3"), ("c5fdfcc1", "x86-64-v3"), ("c4e275b8c2", "x86-64-v3"),
    ("c4e27d13c1", "x86-64-v3"), ("c4e275dcc2", "max"), ("0f01d0", "x86-64-v3")])
def test_an_instruction_is_undefined_where_its_feature_is_not(code, first, monkeypatch):
    """PSHUFB, PCMPISTRI, CRC32, AESENC, ANDN, MULX, MOVBE, VADDPS, VPADDB, VFMADD231PS, VCVTPH2PS, VAESENC, XGETBV."""
    there = False
    for cpu in CPUS:
        there |= cpu == first
        state = machines.State(rip=machines.CODE)
        state.gpr[RBX] = machines.DATA
        with monkeypatch.context() as patched:
            assert Judge(cpu, patched).run(bytes.fromhex(code), state, bytes(machines.DATA_SIZE)).end == ("ok" if there else "UD"), cpu


@pytest.mark.parametrize("code, end", [
    ("c4e278f2c1", "ok"), ("c4e37bf0c101", "ok"), ("c462f8f7d8", "ok"), ("c4e278f203", "ok"), ("67c4e278f203", "ok"), ("2ec4e278f2c1", "ok"),
    ("c4e27cf2c1", "UD"), ("c4e373f0c101", "UD"), ("66c4e278f2c1", "UD"), ("f3c4e278f2c1", "UD"), ("f2c4e278f2c1", "UD"),
    ("40c4e278f2c1", "UD"), ("f0c4e278f203", "UD"), ("c4e078f2c1", "UD"), ("c4ff78f2c1", "UD"), ("62f27d0858c1", "UD"), ("c5f877", "ok"),
    ("c5f077", "UD"), ("c4e2fd18c0", "UD"), ("c4e2791ac0", "UD"), ("c4e2791a03", "UD"), ("c4e27d1a03", "ok"), ("c4e3fd00c1e4", "ok"), ("c4e37d00c1e4", "UD"),
    ("c4e1fdfcc1", "ok"), ("c4e2f5b8c2", "ok"), ("c4e375f8c2", "UD")])
def test_vex_is_decoded_alike(code, end, monkeypatch):
    """With L, W, vvvv where none may be, or where they must be, after other prefixes, in maps that are empty; EVEX."""
    state, code = machines.State(rip=machines.CODE, gpr=[3 * n for n in range(16)]), bytes.fromhex(code)
    state.gpr[RBX] = machines.DATA
    found = Judge("max", monkeypatch).run(code, state, bytes(machines.DATA_SIZE))
    assert found.end == end
    if end == "ok":
        assert found.state.gpr == machines.on_oracle(code, state, bytes(machines.DATA_SIZE)).state.gpr
    else:
        with pytest.raises(Undefined):
            decode(code.ljust(16, b"\xf4"), machines.CODE, features=CPUS["max"])


def test_segment_registers_keep_what_is_loaded_and_have_the_base_zero_then(monkeypatch):
    """mov gs, ecx ; mov ecx, gs. Selectors are null, of data, of none; those of the other registers stay."""
    there = 0x0044_0033_0022_0011
    for selector, end in ((0, "ok"), (3, "ok"), (0x2B, "ok"), (0x40, "GP")):
        before = machines.State(rip=machines.CODE, gs_base=0x5000, fs_base=0x6000, selectors=there)
        before.gpr[RCX] = selector
        for run in (machines.on_oracle, Judge("max", monkeypatch).run):
            after = run(bytes.fromhex("8ee9"), before, bytes(machines.DATA_SIZE))
            assert after.end == end
            if end == "ok":
                assert (after.state.gs_base, after.state.fs_base, after.state.selectors) == (0, 0x6000, 0x3300220011 | selector << 48)
                seen = run(bytes.fromhex("8ce9"), machines.State(rip=machines.CODE, selectors=after.state.selectors), bytes(machines.DATA_SIZE))
                assert seen.state.gpr[RCX] == selector
            else:
                assert (after.state.gs_base, after.state.selectors) == (0x5000, there)


def test_a_processor_that_is_none_is_refused():
    with pytest.raises(image.NoSuchOption, match="no such processor: 486 .there are x86-64, x86-64-v2, x86-64-v3, max."):
        image.processor("486")
