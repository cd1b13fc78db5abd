"""In which form a region keeps each vector register at each point: whole, or with its lowest lane apart.

Scalar floating point uses the lowest lane alone; kept in a local of its own, no lane is taken out and put back between two
instructions. A form is decided by what uses the register next, and where control meets by that too; what nothing uses stays
as it was written, if loops allow.
A set of forms is an int: bit n, the lowest 64 bits of xmm n are apart; bit 16 + n, the lowest 32.

Works on the graph and the effects of its instructions; emits nothing, and nothing depends on it but speed.
"""
from .cfg import Graph

ALL = 0xFFFF


def choose_forms(graph: Graph) -> None:
    """Sets `low_in` of blocks, the forms that they begin with, and `whole` of the instructions whose result is used whole next."""
    blocks = [graph.blocks[start] for start in graph.order]
    summaries = [_summary(block) for block in blocks]
    count = len(blocks)
    wants, again = [(0, 0, 0)] * count, True
    while again:                                            # what uses registers next: their 64, their 32 lowest bits, all
        again = False
        for k in range(count - 1, -1, -1):
            double, single, whole, passed = summaries[k]
            if passed and not blocks[k].reloads:
                for t in graph.successors[k]:
                    a, b, c = wants[t]
                    double, single, whole = double | a & passed, single | b & passed, whole | c & passed
            if (double, single, whole) != wants[k]:
                wants[k] = double, single, whole
                again = bool(graph.loops)
    written = []
    for k, block in enumerate(blocks):
        double = single = whole = 0
        if not block.reloads:
            for t in graph.successors[k]:
                a, b, c = wants[t]
                double, single, whole = double | a, single | b, whole | c
        written.append(_decide(block, double, single, whole & ~(double | single)))
    ins, again = [(0, 0)] * count, True
    while again:                                            # what registers are like that nothing uses
        again = False
        for k in range(count):
            double = single = 0
            for p in graph.predecessors[k]:
                if not blocks[p].reloads:
                    a, b, c = written[p]
                    double, single = double | a | ins[p][0] & ~(a | b | c), single | b | ins[p][1] & ~(a | b | c)
            a, b, c = wants[k]
            double = a | double & ~(b | c)
            single = (b | single & ~c) & ~double
            if (double, single) != ins[k]:
                ins[k] = double, single
                again = bool(graph.loops)
    for block, (double, single) in zip(blocks, ins):
        block.low_in = double | single << 16


def _summary(block) -> tuple[int, int, int, int]:
    """Registers whose first use is of 64 bits, of 32, of all; and those that are not mentioned."""
    double = single = whole = 0
    passed = ALL
    for op in block.ops:
        vectors = op.insn.vectors
        if vectors:
            double |= vectors.double & passed
            single |= vectors.single & passed
            whole |= vectors.whole & passed
            passed &= ~(vectors.used | vectors.written)
    return double, single, whole, passed


def _decide(block, double: int, single: int, whole: int) -> tuple[int, int, int]:
    """Given what uses registers after the block, says so for each instruction; those written with 64, with 32 bits apart, whole."""
    for op in reversed(block.ops):
        vectors = op.insn.vectors
        if not vectors:
            continue
        op.whole = bool(whole & vectors.written)
        if vectors.copied and not vectors.copied & (double | single | whole):           # as its copy
            for n, wanted in enumerate((double, single, whole)):
                if wanted & vectors.written:
                    double, single, whole = (x | vectors.copied if n == m else x for m, x in enumerate((double, single, whole)))
        keep = ~((vectors.written | vectors.used) & ~vectors.copied)
        double, single, whole = (double & keep | vectors.double, single & keep | vectors.single, whole & keep | vectors.whole)
    double = single = whole = 0
    for op in block.ops:
        vectors = op.insn.vectors
        if vectors and vectors.written:
            bits = vectors.bits
            if vectors.copied:
                bits = 64 if vectors.copied & double else 32 if vectors.copied & single else 0 if vectors.copied & whole else 64
            keep = ~vectors.written
            double, single, whole = double & keep, single & keep, whole & keep
            if op.whole or not bits:
                whole |= vectors.written
            elif bits == 64:
                double |= vectors.written
            else:
                single |= vectors.written
    return double, single, whole
