"""Where a switch of the guest leads: the jump tables that compilers make of it.

Recognises an indirect jump through a table of addresses, or of distances from the table, and reads it. What it answers need not be
right: a region compares before it goes somewhere. Knows instructions as `cfg` has them; knows nothing of regions or spaces.
"""
import struct
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from . import layout as at

MOST = 512                      # places in a table
FAR = 1 << 16                   # no arm of a switch is farther from its jump


@dataclass(frozen=True)
class Table:
    """load: the address of the instruction that looks into it, by a number in the register `index` (a state offset); places: where it
    leads by that number, near addresses."""
    load: int
    index: int
    places: list[int]


def find(block, blocks: Iterable, read: Callable[[int, int], bytes], held: Callable[[int], int]) -> Table | None:
    """The table of the indirect jump that ends a block. `blocks`: others of the function, which may have the table's address.
    `read(address, n)`: the guest's bytes, fewer where there are not so many. `held`: what a register, by its state offset, holds at the
    moment, which is what it holds in a loop that is hot."""
    jump, before = block.ops[-1], list(reversed(block.ops[:-1]))
    insn, relative = jump.insn, None
    if insn.shape.kinds == ("r",):
        load = _setter(before, insn.operands[0])
        if load is not None and load.insn.shape.meaning == "add" and load.insn.shape.kinds == ("r", "r"):
            before = before[before.index(load) + 1:]
            one, other = load.insn.operands[:2]
            load = _setter(before, one)
            if load is None or load.insn.shape.meaning != "movsxd":
                load, other = _setter(before, other), one
            if load is None or load.insn.shape.meaning != "movsxd":
                return None
            relative = other
        elif load is None or load.insn.shape.meaning != "mov" or load.insn.shape.size != 64:
            return None
    else:
        load = jump
    insn = load.insn
    if not insn.form.address or insn.index >= at.ZERO or insn.scale != (3 if relative is None else 2):
        return None
    before = before[before.index(load) + 1:] if load is not jump else before
    for base in _values(insn.base, before, blocks, held):
        for origin in [0] if relative is None else _values(relative, before, blocks, held):
            found = _read(base + load.disp, origin, relative is not None, jump.rip, read)
            if found:
                return Table(load.rip, insn.index, found)
    return None


def _setter(ops, register: int):
    """The nearest of these that writes all of the register at a state offset, if it does so as its first operand."""
    for op in ops:
        if op.insn.writes >> (register >> 3) & 1:
            return op if op.insn.operands[0] == register else None
    return None


def _values(register: int, before, blocks, held) -> list[int]:
    """What a register may hold, the likeliest first: constants that LEA or MOV put there; what it holds now."""
    if register >= at.ZERO:
        return [0]
    nearest = _setter(before, register)
    if nearest is not None:
        return [value for value in [_constant(nearest)] if value is not None]
    found = [_constant(op) for block in blocks for op in block.ops if op.insn.writes >> (register >> 3) & 1 and op.insn.operands[0] == register]
    return list(dict.fromkeys(value for value in [*found, held(register)] if value is not None))


def _constant(op) -> int | None:
    shape = op.insn.shape
    if shape.meaning == "lea" and op.insn.absolute:
        return op.disp
    if shape.meaning == "mov" and shape.kinds[-1] == "i":
        return op.insn.imm
    return None


def _read(table: int, origin: int, relative: bool, rip: int, read) -> list[int]:
    size = 4 if relative else 8
    if not 0 < table < (1 << 32) - MOST * size:
        return []
    found = []
    there = read(table, MOST * size)
    for value, in struct.iter_unpack("<i" if relative else "<Q", there[:len(there) // size * size]):
        if abs(origin + value - rip) > FAR:
            break
        found.append(origin + value)
    return found
