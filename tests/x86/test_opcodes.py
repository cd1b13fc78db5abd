"""The opcode maps: what their notation says, and that they hold together."""

from itertools import combinations, product

import pytest

from webvm.x86 import opcodes
from webvm.x86.opcodes import MAP_0F3A, MAP_0F38, NP, ONE_BYTE, P66, PF2, PF3, ROWS, SIZE_V, SIZE_Z, TWO_BYTE, lookup
from webvm.x86.opcodes.row import parse

BASELINE = frozenset()


def only(line):
    (row,) = parse(line)
    return row


# ---- notation

def test_a_plain_row_holds_for_every_prefix_and_modrm():
    row = only("01  add  Ev, Gv  lock")
    assert (row.map, list(row.opcodes), row.prefix, row.classes) == (ONE_BYTE, [1], None, (NP, P66, PF3, PF2))
    assert (row.reg, row.mod, row.rm, row.has_modrm, row.imm) == (None, None, None, True, None)
    assert (row.mnemonic, row.meaning, row.notation, row.size) == ("add", "add", ("Ev", "Gv"), SIZE_V)
    assert row.lock and not row.d64 and row.feature == ""


def test_a_digit_is_modrm_reg():
    row = only("80 /5  sub  Eb, Ib  lock")
    assert (row.reg, row.mod, row.imm, row.size) == (5, None, "b", 1)


def test_digits_make_a_row_each():
    assert [row.reg for row in parse("8E /2-5  mov  Sw, Ew")] == [2, 3, 4, 5]


def test_mandatory_prefix_map_and_feature():
    row = only("66 0F 3A 44  pclmulqdq  Vdq, Wdq, Ib  pclmulqdq")
    assert (row.map, row.opcode, row.classes, row.feature) == (MAP_0F3A, 0x44, (P66,), "pclmulqdq")


def test_nfx_leaves_66_as_the_operand_size():
    assert only("NFx 0F 38 F0  movbe  Gv, Mv  movbe").classes == (NP, P66)


def test_a_register_in_the_opcode_covers_eight_opcodes():
    row = only("58+r  pop  Zv  d64")
    assert (list(row.opcodes), row.has_modrm, row.d64) == (list(range(0x58, 0x60)), False, True)


def test_a_condition_in_the_opcode_makes_sixteen_rows():
    rows = parse("0F 80+cc  j  Jz  =jcc f64")
    assert [row.mnemonic for row in rows[:6]] == ["jo", "jno", "jb", "jae", "je", "jne"]
    assert [row.cc for row in rows] == list(range(16))
    assert {row.meaning for row in rows} == {"jcc"}


def test_a_full_modrm_byte_fixes_mod_reg_and_rm():
    row = only("F3 0F 1E FA  endbr64  -  =nop")
    assert (row.mod, row.reg, row.rm, row.has_modrm, row.operands) == ("reg", 7, 2, True, ())


def test_plus_i_frees_rm():
    row = only("D8 C8+i  fmul  ST0, STi")
    assert (row.mod, row.reg, row.rm) == ("reg", 1, None)


def test_a_slash_between_operands_makes_a_row_for_each_mod():
    register, memory = parse("66 0F 3A 14  pextrb  Rd/Mb, Vdq, Ib  sse4.1")
    assert (register.mod, register.notation) == ("reg", ("Rd", "Vdq", "Ib"))
    assert (memory.mod, memory.notation) == ("mem", ("Mb", "Vdq", "Ib"))


def test_names_by_operand_size():
    assert only("98  cbw/cwde/cdqe  -").mnemonics == ["cbw", "cwde", "cdqe"]
    assert only("66 0F 6E  movd/movq  Vdq, Ey").mnemonics == ["movd", "movd", "movq"]


@pytest.mark.parametrize("line, imm", [
    ("C8  enter  Iw, Ib", "wb"), ("B8+r  mov  Zv, Iv", "v"), ("A0  mov  AL, Ob", "o"), ("E8  call  Jz  f64", "z"),
    ("6B  imul  Gv, Ev, Ibs", "b"), ("C3  ret  -", None), ("D0 /4  shl  Eb, 1", None)])
def test_immediate_bytes_follow_from_the_operands(line, imm):
    assert only(line).imm == imm


def test_sign_extended_immediates_have_the_operand_size():
    assert [operand.size for operand in only("6B  imul  Gv, Ev, Ibs").operands] == [SIZE_V, SIZE_V, SIZE_V]
    assert only("05  add  rAX, Iz").operands[1].size == SIZE_V
    assert only("E5  in  eAX, Ib").operands[0].size == SIZE_Z


# ---- the maps as a whole

def test_every_row_is_the_answer_to_some_question():
    seen = set(opcodes.BEHIND)
    for entry in opcodes.view() + opcodes.view(BASELINE) + opcodes.view(BASELINE | {"vex"}):      # which stands for what is not there
        seen.update(entry if isinstance(entry, tuple) else (entry,))
    assert [row for row in ROWS if row not in seen] == []


def test_no_two_rows_claim_the_same_cell_with_equal_right():
    under_rexb = opcodes.BEHIND
    cells = {}
    for row in ROWS:
        if row not in under_rexb:
            for opcode, prefix in product(row.opcodes, row.classes):
                cells.setdefault((row.map, opcode, prefix, opcodes._particularity(row)), []).append(row)
    for rows in cells.values():
        for one, other in combinations(rows, 2):
            assert set(opcodes._modrms(one)).isdisjoint(opcodes._modrms(other)), (one, other)


def test_rows_of_one_cell_agree_on_having_a_modrm_byte():
    for entry in opcodes.view():
        if isinstance(entry, tuple):
            assert {row.has_modrm for row in entry if row} == {True}


def test_an_index_is_a_place_in_rows():
    assert all(ROWS[row.index] is row for row in ROWS)


def test_lockable_rows_have_a_destination_that_can_be_memory():
    assert {row.operands[0].place for row in ROWS if row.lock} == {"E", "M"}


def test_fixed_and_register_operands_exist_in_the_sizes_they_name():
    assert {row.operands[0].size for row in ROWS if row.operands and row.operands[0].place == "E"} <= {
        1, 2, 4, 8, SIZE_V, opcodes.SIZE_Y, SIZE_Z}


def test_the_sixteen_byte_memory_operands_that_need_no_alignment_are_marked():
    assert {row.mnemonic for row in ROWS if row.unaligned and row.map < opcodes.VEX} == {
        "movups", "movupd", "movdqu", "lddqu", "pcmpestrm", "pcmpestri", "pcmpistrm", "pcmpistri",
        "sha1rnds4", "sha1nexte", "sha1msg1", "sha1msg2", "sha256rnds2", "sha256msg1", "sha256msg2"}
    assert {row.mnemonic for row in ROWS if not row.unaligned and row.map >= opcodes.VEX} == {
        "vmovaps", "vmovapd", "vmovdqa", "vmovntps", "vmovntpd", "vmovntdq", "vmovntdqa"}


# ---- lookup and features

@pytest.mark.parametrize("map, opcode, prefix, modrm, mnemonic", [
    (ONE_BYTE, 0x01, NP, 0xC3, "add"), (ONE_BYTE, 0xF7, NP, 0xF1, "div"), (ONE_BYTE, 0x90, PF3, 0, "pause"),
    (TWO_BYTE, 0x1E, PF3, 0xFA, "endbr64"), (TWO_BYTE, 0x1E, NP, 0xFA, "nop"), (TWO_BYTE, 0x01, NP, 0xD0, "xgetbv"),
    (TWO_BYTE, 0xAE, NP, 0xEA, "lfence"), (TWO_BYTE, 0xAE, NP, 0x28, "xrstor"), (TWO_BYTE, 0x12, NP, 0xC0, "movhlps"),
    (TWO_BYTE, 0x12, NP, 0x00, "movlps"), (TWO_BYTE, 0xB8, PF3, 0xC0, "popcnt"), (MAP_0F38, 0xF1, PF2, 0xC0, "crc32"),
    (MAP_0F38, 0xF1, P66, 0x00, "movbe"), (ONE_BYTE, 0xD9, NP, 0xE8, "fld1"), (ONE_BYTE, 0xDB, NP, 0x28, "fld")])
def test_lookup_finds(map, opcode, prefix, modrm, mnemonic):
    assert lookup(map, opcode, prefix, modrm).mnemonic == mnemonic


@pytest.mark.parametrize("map, opcode, prefix, modrm", [
    (ONE_BYTE, 0x06, NP, 0), (ONE_BYTE, 0x8E, NP, 0xC8), (ONE_BYTE, 0xFE, NP, 0xD0), (TWO_BYTE, 0x54, PF3, 0xC0),
    (TWO_BYTE, 0xB8, NP, 0xC0), (TWO_BYTE, 0xC7, NP, 0xC8), (TWO_BYTE, 0xBA, NP, 0xC0), (MAP_0F38, 0x10, NP, 0xC0)])
def test_lookup_of_what_is_undefined_gives_none(map, opcode, prefix, modrm):
    assert lookup(map, opcode, prefix, modrm) is None


@pytest.mark.parametrize("prefix, opcode, modrm, mnemonic", [
    (PF3, 0xBC, 0xC1, "bsf"), (PF3, 0xBD, 0xC1, "bsr"), (PF3, 0x1E, 0xC8, "nop"), (PF3, 0xB8, 0xC1, None),
    (NP, 0xA2, 0, "cpuid")])
def test_without_a_feature_its_rows_give_way(prefix, opcode, modrm, mnemonic):
    row = lookup(TWO_BYTE, opcode, prefix, modrm, BASELINE)
    assert (row and row.mnemonic) == mnemonic


def test_a_feature_adds_its_rows_and_no_others():
    features = frozenset(("popcnt",))
    assert lookup(TWO_BYTE, 0xB8, PF3, 0xC1, features).mnemonic == "popcnt"
    assert lookup(TWO_BYTE, 0xBC, PF3, 0xC1, features).mnemonic == "bsf"
