"""Of two NaNs a sum or a product has the first, made quiet, on an x86. Wasm lets an engine take either, as those do that exchange operands.

There a region mends results that are NaNs. One alone is looked at where it comes; of instructions over registers only those results are
that no other of a group takes, for who takes a NaN gives one. If there may be one, all results of the group are made once more in their order,
from their first operands, which were kept in locals. A group ends before whatever may leave the region or looks at a result in another way.

Knows operations, locals and where registers lie; knows no control flow.
"""
from functools import lru_cache

from ..wasm import encoding as w
from ..wasm.encoding import OP
from ..x86.ieee import FORMATS
from . import layout as at
from .deferred import KEPT, ROOM
from .frame import DOUBLE, SINGLE, VECTOR
from .values import AS_FLOAT, AS_INT

EXCHANGED = ("add", "mul", "addsub")
# Instructions that may be of a group, and their shapes.
LINKED = {f"{op}{form}": shape for op in ("add", "sub", "mul", "div")
          for form, shape in (("sd", "f64"), ("ss", "f32"), ("pd", "f64x2"), ("ps", "f32x4"))}
_HOME = {"f64": DOUBLE, "f32": SINGLE, "f64x2": VECTOR, "f32x4": VECTOR}


def _type(shape: str) -> str: return "v128" if "x" in shape else shape


@lru_cache(None)
def is_nan(shape: str, x: bytes) -> bytes:
    """Not 0 where a number, or one of a vector, is a NaN, which is not <= itself: of scalars, engines take one jump for that."""
    if "x" in shape:
        return x + x + OP[shape + ".ne"] + OP[f"i{shape[1:]}.bitmask"]
    return x + x + OP[shape + ".le"] + OP["i32.eqz"]


@lru_cache(1 << 12)
def nan_or(shape: str, x: bytes, other: bytes) -> bytes:
    """x, made quiet, where it is a NaN; else the other."""
    if "x" in shape:
        bits = int(shape[1:3])
        quiet = w.v128(sum(FORMATS[bits].quiet << k for k in range(0, 128, bits)))
        return x + quiet + OP["v128.or"] + other + x + x + OP[shape + ".ne"] + OP["v128.bitselect"]
    bits = int(shape[1:])
    quiet = x + AS_INT[bits] + (w.i64 if bits == 64 else w.i32)(FORMATS[bits].quiet) + OP[f"i{bits}.or"] + AS_FLOAT[bits]
    return quiet + other + x + x + OP[shape + ".ne"] + w.SELECT


class Mending:
    """What Instructions have of this."""

    def begin_links(self) -> None:
        self.links: list = []             # of the group: shape, local of the first operand, of the result, links that are operands or None
        self.links_at: dict[int, int] = {}      # vector registers that hold a result of the group -> its link
        self.link = False                 # whether the instruction that is recorded is part of a group
        self.joins = False                # that takes a result of the group

    def _with_first_nan(self, op, operands: list[bytes], answer: bytes) -> bytes:
        """A local where there is what Wasm's instruction gave. Where that is a NaN it gets that of the first of these operands (locals) that is
        one; the last operand may be left out."""
        shape = op.split(".")[0]

        def choose():
            chosen = answer
            for x in reversed(operands):
                chosen = nan_or(shape, x, chosen)
            self.out.append(chosen + b"\x21" + answer[1:])
        self._if(is_nan(shape, answer) + w.UNLIKELY, choose)
        return answer

    # ---- a group
    def _operands(self, insn) -> tuple[str, int, int | None] | None:
        """Of an instruction that may be of a group: its shape, its first register, and the second."""
        shape = LINKED.get(insn.shape.meaning)
        if shape is None:
            return None
        return shape, insn.operands[0] - at.VECTOR >> 5, insn.operands[1] - at.VECTOR >> 5 if insn.form.kinds[1] == "x" else None

    def takes_a_link(self, insn) -> bool:
        if not self.links:
            return False
        operands = self._operands(insn)
        return operands is not None and any(n in self.links_at for n in operands[1:])

    def begin_link(self, op: str, exchanged: bool) -> bool:
        """Whether the instruction that is recorded is to be of a group. exchanged: its operands may be."""
        if not self.options.nan_groups or not self.recording or self.inside or self.floats != "loose" or not (exchanged or self.joins):
            return False
        operands = self._operands(self.insn)
        if operands is None or operands[0] != op.split(".")[0] or self.op.whole and "x" not in operands[0]:
            return False
        self.link = True
        return True

    def keep_link(self, x: bytes, answer: bytes) -> None:
        type = _type(LINKED[self.insn.shape.meaning])
        self.kept[type] = 2
        self.out.append(x + b"\x21" + self.group_hole(KEPT[type]) + answer + b"\x21" + self.group_hole(KEPT[type] + 1))

    def must_mend(self, insn, template) -> bool:
        """Whether the group must end before an instruction."""
        if template.leaves:
            return True
        if template.link:
            shape, *registers = self._operands(insn)
            other = any(n in self.links_at and self.links[self.links_at[n]][0] != shape for n in registers)
            type = _type(shape)
            return other or self.taken.get(type, 0) + 2 > ROOM[type]
        touched = (insn.reads | insn.writes) >> 16
        return any(touched >> n & 1 for n in self.links_at)

    def join_link(self, insn) -> None:
        shape, first, second = self._operands(insn)
        type = _type(shape)
        k = KEPT[type] + self.taken.get(type, 0)
        self.taken[type] = self.taken.get(type, 0) + 2
        x, answer = (w.get(self.extra_local(k + i)) for i in (0, 1))
        self.links.append((shape, x, answer, self.links_at.get(first), self.links_at.get(second)))
        self.links_at[first] = len(self.links) - 1

    def mend(self) -> None:
        """Ends the group."""
        if not self.links:
            return
        taken = {k for *_, first, second in self.links for k in (first, second)}
        sums: dict[str, bytes] = {}
        for k, (shape, _, answer, *_) in enumerate(self.links):
            if k not in taken:
                sums[shape] = sums[shape] + answer + OP[shape + ".add"] if shape in sums else answer
        tests = b""
        for k, (shape, total) in enumerate(sums.items()):
            if len(total) > 4:
                local = self._result_local(shape + ".add")
                self.out.append(total + w.put(local))
                total = w.get(local)
            tests += is_nan(shape, total) + OP["i32.or"] * (k > 0)
        again = b""
        for shape, x, answer, first, second in self.links:
            chosen = answer if second is None else nan_or(shape, self.links[second][2], answer)
            x = x if first is None else self.links[first][2]
            again += nan_or(shape, x, chosen) + b"\x21" + answer[1:]
        for n, k in self.links_at.items():
            shape, _, answer, *_ = self.links[k]
            again += answer + w.put(_HOME[shape] + n)
        self.out.append(w.if_(tests + w.UNLIKELY, again))
        self.links, self.links_at, self.taken = [], {}, {}
