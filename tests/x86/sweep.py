"""Compares the decoder with capstone on every instruction of ELF files: `python -m tests.x86.sweep FILE|FOLDER...`

Sweeps every executable section linearly, on all processors of this machine. Instructions with the same prefixes, opcode, ModRM
and SIB bytes, and of the same length, differ in displacements and immediates only: one of them is compared (length, mnemonic,
operands), all are counted. Prints each kind of disagreement, and what is executed by no processor that webvm has, by CPUID feature
(what a program finds by asking CPUID, and what a sweep meets in data). Exit status 1 if anything disagrees, or if
an instruction that the processor with most features has is not executed.
"""
import os
import sys
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor

import capstone
from elftools.common.exceptions import ELFError
from elftools.elf.elffile import ELFFile

from webvm.jit import support
from webvm.x86 import opcodes
from webvm.x86.decode import Truncated, Undefined, decode

from .reference import ADDRESS, disagreement, ours

SHF_EXECINSTR = 4
_PREFIXES = frozenset(b"\x26\x2e\x36\x3e\x64\x65\x66\x67\xf0\xf2\xf3") | frozenset(range(0x40, 0x50))
_VEX_BYTES = {0xC5: 2, 0xC4: 3, 0x62: 4}


def executable_sections(path):
    """The bytes of each executable section of an x86-64 ELF file; none for other files."""
    with open(path, "rb") as file:
        if file.read(4) != b"\x7fELF":
            return
        try:
            elf = ELFFile(file)
            if elf["e_machine"] == "EM_X86_64":
                for section in elf.iter_sections("SHT_PROGBITS"):
                    if section["sh_flags"] & SHF_EXECINSTR:
                        yield section.data()
        except ELFError:
            return


def instructions(data):
    """The byte strings that a linear sweep of `data` meets: instructions, and single bytes that begin none."""
    at = 0
    while at < len(data):
        try:
            length = decode(data, ADDRESS, at).length
        except Undefined:
            length = 1
        except Truncated:
            return
        yield at, length
        at += length


# Opcodes with a ModRM byte, as map << 8 | opcode: those of any row.
_WITH_MODRM = frozenset(row.map << 8 | opcode for row in opcodes.ROWS if row.has_modrm and row.map < opcodes.VEX for opcode in row.opcodes)


def shape(data: bytes, at: int) -> bytes:
    """Of the instruction there, all that its length depends on: prefixes, opcode, ModRM and SIB bytes."""
    to, end = at, len(data)
    while to < end and data[to] in _PREFIXES:
        to += 1
    if to + 4 >= end:
        return data[at:end]
    first, map = data[to], 0
    if first == 0x0F:
        to += 1
        map = {0x38: 2, 0x3A: 3}.get(data[to], 1)
        to += map > 1
        modrm = map << 8 | data[to] in _WITH_MODRM
    elif first in _VEX_BYTES:
        to += _VEX_BYTES[first]
        modrm = data[to] != 0x77
    else:
        modrm = first in _WITH_MODRM
    if modrm:
        to += 1
        if to < end and data[to] & 7 == 4 and data[to] < 0xC0:
            to += 1
    return data[at:to + 1]


class Sweep:
    """What a sweep has found."""

    def __init__(self):
        self.bytes = self.instructions = self.files = 0
        self.shapes: set = set()                 # (bytes, length by capstone)
        self.kinds: Counter = Counter()          # of disagreements
        self.examples: dict = {}
        self.missing: Counter = Counter()        # what no processor here executes, by (feature, mnemonic): how many shapes
        self.counts: Counter = Counter()         # instructions, by feature
        self.lacking: dict = {}                  # an instruction that should be executed, and is not: an example
        self._feature: dict = {}                 # shape -> feature where missing
        self._engine = capstone.Cs(capstone.CS_ARCH_X86, capstone.CS_MODE_64)
        self._engine.skipdata = True

    def section(self, data: bytes, path: str) -> None:
        self.bytes += len(data)
        seen, missing, at, n = self.shapes, self._feature, 0, 0
        for _, size, mnemonic, _ in self._engine.disasm_lite(data, ADDRESS):
            key = shape(data, at), size
            n += 1
            if key not in seen:
                seen.add(key)
                if at + 15 <= len(data):
                    self._compare(key, data[at:at + 15], mnemonic, path)
            if key in missing:
                self.counts[missing[key]] += 1
            at += size
        self.instructions += n

    def _compare(self, key, code: bytes, mnemonic: str, path: str) -> None:
        if problem := disagreement(code):
            kind = problem.split(" ", 1)[0] if problem[0] != "[" else "operands", mnemonic
            self.kinds[kind] += 1
            self.examples.setdefault(kind, (path, code.hex(" "), problem))
        insn = ours(code)
        if insn is None:
            return
        cpu = "-" if insn.row.feature in ("vex", "evex") else support.cpu_of(insn.row)
        if cpu == "-":
            self.missing[insn.row.feature, insn.mnemonic] += 1
            self._feature[key] = insn.row.feature
        elif support.status_of(insn.row) == "-":
            self.lacking.setdefault(insn.mnemonic, (path, code.hex(" ")))

    def add(self, other: "Sweep") -> None:
        self.bytes += other.bytes
        self.instructions += other.instructions
        self.files += other.files
        self.shapes |= other.shapes
        for mine, theirs in ((self.kinds, other.kinds), (self.missing, other.missing), (self.counts, other.counts)):
            mine.update(theirs)
        self.examples = other.examples | self.examples
        self.lacking = other.lacking | self.lacking


def files_in(paths):
    for path in paths:
        if not os.path.isdir(path):
            yield path
        for folder, _, names in os.walk(path):
            for name in names:
                full = os.path.join(folder, name)
                if os.path.isfile(full) and not os.path.islink(full):
                    yield full


def sweep(paths: list[str]) -> Sweep:
    """Of these files, all that is executable."""
    found = Sweep()
    for path in paths:
        try:
            sections = list(executable_sections(path))
        except PermissionError:
            continue
        for data in sections:
            found.section(data, path)
        found.files += bool(sections)
    found._engine = None                         # which can't be sent to another process
    return found


def main(paths: list[str]) -> int:
    start, found = time.perf_counter(), Sweep()
    files = sorted(files_in(paths), key=os.path.getsize, reverse=True)
    groups = [files[n::64] for n in range(64)]
    with ProcessPoolExecutor() as pool:
        for part in pool.map(sweep, [group for group in groups if group]):
            found.add(part)
    report(found)
    print(f"{time.perf_counter() - start:.0f} s", file=sys.stderr)
    return 1 if found.kinds or found.lacking else 0


def report(found: Sweep) -> None:
    for kind, count in found.kinds.most_common():
        print("disagreement", count, *found.examples[kind], sep="  ")
    for mnemonic, example in found.lacking.items():
        print("not executed", mnemonic, *example, sep="  ")
    print(f"{found.files} files, {found.bytes} bytes, {found.instructions} instructions, {len(found.shapes)} shapes, "
          f"{sum(found.kinds.values())} disagreements")
    print("of features that no processor here has:")
    for feature, count in found.counts.most_common():
        names = sorted(name for where, name in found.missing if where == feature)
        print(f"  {count:9} {feature:10} {' '.join(names[:12])}{' ...' if len(names) > 12 else ''}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
