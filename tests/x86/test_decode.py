"""The decoder: by hand where the manual is subtle, against capstone (reference.py) everywhere."""

import os
from random import Random

import pytest

from webvm.x86.decode import TooLong, Truncated, Undefined, decode
from webvm.x86.insn import Imm, Mem, Reg, Rel
from webvm.x86.opcodes import ROWS

from .encodings import encode, random_code
from .reference import disagreement
from .sweep import executable_sections, instructions

NAMED_ROWS = [row for row in ROWS if row.feature not in ("vex", "evex")]


def seed():
    """A seed, printed so that a failure can be repeated with WEBVM_SEED=n."""
    value = int(os.environ.get("WEBVM_SEED", 1))
    print(f"WEBVM_SEED={value}")
    return Random(value)


def at(text, address=0x1000, **more):
    return decode(bytes.fromhex(text), address, **more)


# ---- by hand

@pytest.mark.parametrize("code, text", [
    ("01 d8",                   "add eax, ebx"),
    ("66 01 d8",                "add ax, bx"),
    ("48 01 d8",                "add rax, rbx"),
    ("66 48 01 d8",             "add rax, rbx"),                    # REX.W wins over 66
    ("48 66 01 d8",             "add ax, bx"),                      # REX counts only right before the opcode
    ("00 e0",                   "add al, ah"),
    ("40 00 e0",                "add al, spl"),                     # any REX makes ah spl
    ("4d 01 f8",                "add r8, r15"),
    ("48 83 c0 ff",             "add rax, 0xffffffffffffffff"),     # sign-extended to the operand size
    ("83 c0 ff",                "add eax, 0xffffffff"),
    ("66 83 c0 ff",             "add ax, 0xffff"),
    ("48 05 00 00 00 80",       "add rax, 0xffffffff80000000"),
    ("6a ff",                   "push 0xffffffffffffffff"),         # 64 bits by default
    ("66 6a ff",                "push 0xffff"),
    ("41 50",                   "push r8"),
    ("48 b8 08 07 06 05 04 03 02 01", "mov rax, 0x102030405060708"),
    ("90",                      "nop"),
    ("48 90",                   "nop"),
    ("41 90",                   "xchg r8d, eax"),                   # REX.B names another register
    ("f3 90",                   "pause"),
    ("f3 41 90",                "xchg r8d, eax"),
    ("f3 0f 1e fa",             "endbr64"),
    ("f3 c3",                   "ret"),                             # F3 does nothing here
    ("f3 a4",                   "rep movsb byte ptr [rdi], byte ptr [rsi]"),
    ("f2 48 af",                "repne scasq rax, qword ptr [rdi]"),
    ("f3 f2 a6",                "repne cmpsb byte ptr [rsi], byte ptr [rdi]"),      # the last one
    ("64 a4",                   "movsb byte ptr [rdi], byte ptr fs:[rsi]"),         # only the source
    ("67 a4",                   "movsb byte ptr [edi], byte ptr [esi]"),
    ("f0 01 18",                "lock add dword ptr [rax], ebx"),
    ("8b 05 10 00 00 00",       "mov eax, dword ptr [0x1016]"),     # RIP-relative: from the end
    ("c7 05 10 00 00 00 01 00 00 00", "mov dword ptr [0x101a], 0x1"),
    ("8b 04 25 10 00 00 00",    "mov eax, dword ptr [0x10]"),       # SIB without base
    ("8b 04 65 10 00 00 00",    "mov eax, dword ptr [0x10]"),       # nor index
    ("42 8b 04 65 10 00 00 00", "mov eax, dword ptr [r12*2 + 0x10]"),
    ("41 8b 04 24",             "mov eax, dword ptr [r12]"),        # rm 4 is SIB with REX.B too
    ("41 8b 45 f0",             "mov eax, dword ptr [r13 - 0x10]"),
    ("8b 44 8b 08",             "mov eax, dword ptr [rbx + rcx*4 + 0x8]"),
    ("67 8b 00",                "mov eax, dword ptr [eax]"),
    ("64 8b 04 25 28 00 00 00", "mov eax, dword ptr fs:[0x28]"),
    ("64 2e 8b 00",             "mov eax, dword ptr fs:[rax]"),     # CS does nothing, not even that
    ("64 65 8b 00",             "mov eax, dword ptr gs:[rax]"),
    ("a1 08 07 06 05 04 03 02 01", "mov eax, dword ptr [0x102030405060708]"),
    ("67 a1 08 07 06 05",       "mov eax, dword ptr [0x5060708]"),
    ("eb fe",                   "jmp 0x1000"),
    ("0f 84 fa ff ff ff",       "je 0x1000"),
    ("66 0f 84 f9 ff ff ff",    "je 0x1000"),                       # 66 does nothing (Intel)
    ("66 e8 00 00 00 00",       "call 0x1006"),
    ("0f b6 c4",                "movzx eax, ah"),
    ("48 63 c7",                "movsxd rax, edi"),
    ("f2 0f 10 00",             "movsd xmm0, qword ptr [rax]"),
    ("66 0f 6e c0",             "movd xmm0, eax"),
    ("66 48 0f 6e c0",          "movq xmm0, rax"),
    ("66 f2 0f 38 f1 c1",       "crc32 eax, cx"),                   # F2 the class, 66 the operand size
    ("66 f3 0f b8 c1",          "popcnt ax, cx"),
    ("66 f3 0f 10 c1",          "movss xmm0, xmm1"),                # F3 wins over 66
    ("f0 48 0f c7 0c 24",       "lock cmpxchg16b xmmword ptr [rsp]"),
    ("d8 c1",                   "fadd st(0), st(1)"),
    ("db 28",                   "fld tbyte ptr [rax]"),
    ("c8 10 00 01",             "enter 0x10, 0x1"),
    ("0f 01 d0",                "xgetbv"),
    ("c5 f8 77",                "vzeroupper"),
    ("c5 fc 77",                "vzeroall"),
    ("c5 f9 70 05 00 00 00 00 e4", "vpshufd xmm0, xmmword ptr [0x1009], 0xe4"),
    ("c5 7d 6f 01",             "vmovdqa ymm8, ymmword ptr [rcx]"),
    ("c4 e2 f5 b8 c2",          "vfmadd231pd ymm0, ymm1, ymm2"),    # W chooses the row
    ("c4 e2 75 b8 c2",          "vfmadd231ps ymm0, ymm1, ymm2"),
    ("c4 e3 75 4a c2 30",       "vblendvps ymm0, ymm1, ymm2, ymm3"),
    ("c4 e2 ed 92 2c b5 04 00 00 00", "vgatherdpd ymm5, qword ptr [xmm6*4 + 0x4], ymm2"),
    ("c4 e2 6d 91 2c 25 04 00 00 00", "vpgatherqd xmm5, dword ptr [ymm4 + 0x4], xmm2"),
    ("c5 f8 41 05 00 00 00 00", "vex"),                             # an address that no operand names
])
def test_decodes(code, text):
    insn = at(code)
    assert (str(insn), insn.length) == (text, len(bytes.fromhex(code)))


def test_an_instruction_says_everything_a_consumer_needs():
    insn = decode(bytes.fromhex("cc f0 64 67 41 81 44 88 04 78 56 34 12 cc"), 0x4000, offset=1)
    assert (insn.address, insn.length, insn.mnemonic, insn.meaning) == (0x4000, 12, "add", "add")
    assert (insn.size, insn.asize, insn.lock, insn.rep, insn.segment, insn.cc) == (4, 4, True, None, "fs", None)
    assert insn.operands == (Mem(8, 1, 4, 4, "fs", 4, 4), Imm(0x12345678, 4))


def test_conditions_and_targets():
    insn = at("75 10")
    assert (insn.meaning, insn.cc, insn.operands) == ("jcc", 5, (Rel(0x1012),))
    assert at("e9 00 00 00 80", 0x10).operands == (Rel(2 ** 64 - 2 ** 31 + 0x15),)


def test_rip_relative_operands_hold_the_address():
    (_, memory) = at("67 8d 05 f0 ff ff ff", 0).operands
    assert (memory.base, memory.rip, memory.disp, memory.asize) == (None, True, 0xFFFFFFF7, 4)


@pytest.mark.parametrize("code, operands, size", [
    ("0f be c8", (Reg("g", 1, 4), Reg("g", 0, 1)), 4), ("0f 7f c8", (Reg("m", 0, 8), Reg("m", 1, 8)), 8),
    ("41 0f 7f c8", (Reg("m", 0, 8), Reg("m", 1, 8)), 8), ("8c d8", (Reg("g", 0, 4), Reg("s", 3, 2)), 4),
    ("8c 18", (Mem(0, None, 1, 0, None, 2), Reg("s", 3, 2)), 2), ("c1 e0 80", (Reg("g", 0, 4), Imm(0x80, 1)), 4),
    ("f2 0f 2a c1", (Reg("x", 0, 8), Reg("g", 1, 4)), 8), ("66 0f 3a 14 c0 01",
                                                          (Reg("g", 0, 4), Reg("x", 0, 16), Imm(1, 1)), 4)])
def test_operands_have_the_size_they_are_used_with(code, operands, size):
    insn = at(code)
    assert (insn.operands, insn.size) == (operands, size)


@pytest.mark.parametrize("code", [
    "06", "0f 04", "ff f8", "8e c8", "0f c7 c8",
    "f0 01 d8",             # LOCK without memory
    "f0 8b 00",             # LOCK without a memory destination
    "f0 90", "f0 39 00", "f3 0f 54 c0", "66 c5 f8 77", "48 c5 f8 77", "f3 c5 f8 77", "c4 e0 78 77", "8d c0",
    "c4 e2 7c f2 c0",       # ANDN with VEX.L
    "c4 e2 79 5a 00", "c4 e2 fd 18 00", "c5 f1 6f c8",      # L, W and vvvv as they must not be
    "c4 e2 ed 92 2c ad 04 00 00 00", "c4 e2 ed 92 28",      # a gather with one register twice; without a vector of indices
])
def test_undefined(code):
    with pytest.raises(Undefined) as caught:
        at(code)
    assert not isinstance(caught.value, TooLong)
    assert caught.value.address == 0x1000 and bytes.fromhex(code).startswith(caught.value.bytes)


def test_an_absent_feature_is_undefined_or_what_older_processors_do():
    with pytest.raises(Undefined):
        at("f3 0f b8 c1", features=frozenset())
    assert at("f3 0f bc c1", features=frozenset()).mnemonic == "bsf"


def test_fifteen_bytes_are_an_instruction_and_sixteen_are_not():
    assert at("2e " * 10 + "05 01 00 00 00").length == 15
    for code in ("2e " * 11 + "05 01 00 00 00", "66 " * 15, "2e " * 14 + "0f a2", "f0 " * 20):
        with pytest.raises(TooLong):
            at(code)


def test_every_cut_instruction_is_truncated():
    random = Random(1)
    for row in NAMED_ROWS:
        code = encode(row, random)
        code = code[:decode(code, 0).length]
        for cut in range(len(code)):
            with pytest.raises(Truncated) as caught:
                decode(code[:cut], 0)
            assert caught.value.needs == cut


# ---- against capstone

def test_every_row_agrees_with_capstone():
    random, problems = seed(), []
    for row in NAMED_ROWS:
        for _ in range(4):
            code = encode(row, random)
            problems += [(code.hex(" "), problem) for problem in [disagreement(code)] if problem]
    assert problems == []


def test_every_row_decodes_to_itself():
    random = Random(1)
    for row in NAMED_ROWS:
        if row.mnemonic != "nop" or row.opcode not in (0x1A, 0x1B):      # with MPX nothing is left of these
            assert any(decode(encode(row, random), 0).row is row for _ in range(200)), row


def test_random_bytes_agree_with_capstone():
    random, problems = seed(), []
    for _ in range(20_000):
        code = random_code(random)
        problems += [(code.hex(" "), problem) for problem in [disagreement(code)] if problem]
    assert problems == []


@pytest.mark.parametrize("path", ["/usr/bin/bash", "/lib64/ld-linux-x86-64.so.2", "/lib/x86_64-linux-gnu/libc.so.6"])
def test_real_programs_agree_with_capstone(path):
    """Of instructions with the same length and first three bytes, one; `python -m tests.x86.sweep` takes all."""
    seen, problems = set(), []
    for data in executable_sections(path):
        for start, length in instructions(data[:250_000]):
            shape = data[start:start + 3], length
            if shape not in seen:
                seen.add(shape)
                code = data[start:start + 15]
                problems += [(code.hex(" "), problem) for problem in [disagreement(code)] if problem]
    assert len(seen) > 1000 and problems == []
