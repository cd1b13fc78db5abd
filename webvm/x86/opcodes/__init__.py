"""The opcode maps as data: every row, and the view of them that a set of CPUID features gives.

ROWS is all that is known. `view(features)` is what a processor with these features decodes; `lookup` is the
one question a decoder asks it. Knows nothing of operands' values: see decode.py.
"""

from . import one_byte, two_byte, three_byte, vex, x87
from .row import (CLASSES, CONDITIONS, EVEX, MAP_0F38, MAP_0F3A, MAPS, NP, ONE_BYTE, P66, PF2, PF3, SIZE_E, SIZE_H, SIZE_K, SIZE_P,
                  SIZE_U, SIZE_V, SIZE_X, SIZE_Y, SIZE_YY, SIZE_Z, TWO_BYTE, VEX, Operand, Row, parse)

__all__ = ["CLASSES", "CONDITIONS", "EVEX", "FEATURES", "MAP_0F38", "MAP_0F3A", "MAPS", "NP", "ONE_BYTE", "P66", "PF2",
           "PF3", "ROWS", "SIZE_E", "SIZE_H", "SIZE_K", "SIZE_P", "SIZE_U", "SIZE_V", "SIZE_X", "SIZE_Y", "SIZE_YY", "SIZE_Z", "TWO_BYTE", "UNALIGNED", "VEX", "Operand",
           "Row", "lookup", "view"]


def _all_rows():
    rows = [row for table in (one_byte, x87, two_byte, three_byte, vex) for row in parse(table.TABLE)]
    for index, row in enumerate(rows):
        row.index = index
    for special in rows:
        if special.with_rexb is True:
            special.with_rexb = None
            for row in rows:
                if row.map == special.map and special.opcode in row.opcodes and row is not special:
                    row.with_rexb = special
        if special.w1:
            for row in rows:
                if row.w0 and row.map == special.map and row.opcode == special.opcode and row.prefix == special.prefix and row.mod == special.mod:
                    row.with_w = special
    return rows


ROWS = _all_rows()
FEATURES = frozenset(row.feature for row in ROWS if row.feature)
UNALIGNED = frozenset(row.meaning for row in ROWS if row.unaligned)      # of all rows with these meanings, or of none
BEHIND = frozenset(other for row in ROWS for other in (row.with_rexb, row.with_w) if other)     # in no table: rows that hold instead of others
_views = {}


def view(features=None):
    """The table of a processor with these CPUID features (a frozenset; None is every row known).

    A list with an entry at map << 10 | opcode << 2 | prefix class: None for #UD, a Row, or a tuple of 256
    rows (or None), to be indexed with the ModRM byte. An entry that is a Row holds for every ModRM byte.
    """
    if features not in _views:
        _views[features] = _build(features)
    return _views[features]


def lookup(map, opcode, prefix, modrm, features=None):
    """The row for these numbers, or None for #UD. `prefix` is a class (NP, P66, PF3, PF2); `modrm` the byte that
    follows the opcode, of no effect where none does. REX.B and VEX.W may still exchange it: see Row.with_rexb."""
    entry = view(features)[map << 10 | opcode << 2 | prefix]
    return entry[modrm] if entry.__class__ is tuple else entry


def _build(features):
    cells = {}
    for row in ROWS:
        if row not in BEHIND and (features is None or not row.feature or row.feature in features):
            for opcode in row.opcodes:
                for prefix in row.classes:
                    cells.setdefault(row.map << 10 | opcode << 2 | prefix, []).append(row)

    table = [None] * (MAPS << 10)
    for index, rows in cells.items():
        # The more particular row wins: first by prefix, then by ModRM.
        rows.sort(key=_particularity)
        if rows[-1].reg is rows[-1].mod is None:
            table[index] = rows[-1]
        else:
            by_modrm = [None] * 256
            for row in rows:
                for modrm in _modrms(row):
                    by_modrm[modrm] = row
            table[index] = tuple(by_modrm)
    return table


def _particularity(row):
    return 4 - len(row.classes), row.rm is not None, row.reg is not None, row.mod is not None


def _modrms(row):
    mods = {"mem": (0x00, 0x40, 0x80), "reg": (0xC0,), None: (0x00, 0x40, 0x80, 0xC0)}[row.mod]
    regs = range(8) if row.reg is None else (row.reg,)
    rms = range(8) if row.rm is None else (row.rm,)
    return [mod | reg << 3 | rm for mod in mods for reg in regs for rm in rms]
