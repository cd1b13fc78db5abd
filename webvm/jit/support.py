"""Which instructions there are and what executes them: the table that `webvm isa` prints, from the opcode tables and the meanings.

Knows rows, shapes and effects; must not know what an instruction does.
"""
from collections import Counter
from typing import NamedTuple

from ..x86 import opcodes, x87                                   # noqa: F401  registers its meanings
from ..x86.meaning import MEANINGS
from ..x86.opcodes.row import MAP_TEXT
from ..x86.oracle import PYTHON_MEANINGS
from ..x86.processor import CPUS
from ..x86.undefined import undefined
from .decoder import MAPS, SIZES, shape_of
from .effects import effects

STATUS = {
    "region":      "translated when hot; interpreted in generated code before",
    "interpreter": "interpreted in generated code",
    "oracle":      "executed in Python",
    "#GP":         "privileged: SIGSEGV, as Linux gives it to a program",
    "-":           "not implemented: SIGILL",
}


class Line(NamedTuple):
    """One row of the opcode tables. `cpu`: the smallest processor that has it, "-" if none; `status`: of STATUS, the best of
    its forms; `undefined`: flags that the manual leaves undefined, those in brackets differ between processors."""
    opcode: str
    name: str
    operands: str
    feature: str
    cpu: str
    status: str
    undefined: str


def opcode_of(row) -> str:
    last = f"-{row.opcodes[-1]:02X}" if len(row.opcodes) > 1 else ""
    reg = "" if row.reg is None else f" /{row.reg}"
    rm = "" if row.rm is None else f" rm={row.rm}"
    return f"{f'{row.prefix} ' if row.prefix else ''}{MAP_TEXT[row.map]}{row.opcode:02X}{last}{reg}{f' {row.mod}' if row.mod else ''}{rm}"


def status_of(row) -> str:
    if row.cpl0 or row.iopl:
        return "#GP"
    if row.meaning not in MEANINGS:
        return "oracle" if row.meaning in PYTHON_MEANINGS else "-"
    shapes = [shape_of(row, size, form) for size in SIZES for form in range(3)] if row.map < MAPS else []
    known = [effects(shape) for shape in shapes if shape is not None]
    if not known:
        return "oracle"
    return "interpreter" if all(e.strange for e in known) else "region"


def cpu_of(row) -> str:
    if not row.feature:
        return next(iter(CPUS))
    return next((name for name, features in CPUS.items() if row.feature in features), "-")


def flags_of(row) -> str:
    words = []
    for flags, when, state, _ in undefined(row.meaning):
        text = " ".join(flags) + ("" if when == "-" else f" ({when})")
        words.append(f"[{text}]" if state == "open" else text)
    return " ".join(words)


def support_table() -> list[Line]:
    """A line for each row that is an instruction of its own (the rows that only measure AVX are left out)."""
    lines = []
    for row in opcodes.ROWS:
        if row.feature not in ("vex", "evex"):
            cpu = cpu_of(row)
            lines.append(Line(opcode_of(row), "/".join(dict.fromkeys(row.mnemonics)), ", ".join(row.notation), row.feature, cpu,
                              status_of(row) if cpu != "-" else "-", flags_of(row)))
    return lines


def summary(lines: list[Line]) -> Counter[str]:
    """How many lines there are with each status, of those that some processor here has."""
    return Counter(line.status for line in lines if line.cpu != "-")
