"""Compares the decoder with capstone on every instruction of ELF files: `python -m tests.x86.sweep FILE|FOLDER...`

Sweeps the executable sections linearly and prints each kind of disagreement once with a count. Exit status 1 if any.
"""

import os
import sys
import time
from collections import Counter

from elftools.common.exceptions import ELFError
from elftools.elf.elffile import ELFFile

from webvm.x86.decode import Truncated, Undefined, decode

from .reference import ADDRESS, disagreement, theirs

SHF_EXECINSTR = 4


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


def sweep(data, seen):
    """Disagreements (code, sentence) over `data`, on instructions that are not in the set `seen` yet; adds them."""
    for at, length in instructions(data):
        code = data[at:at + length]
        if code not in seen:
            seen.add(code)
            problem = disagreement(data[at:at + 15])
            if problem:
                yield data[at:at + 15], problem


def files_in(paths):
    for path in paths:
        if not os.path.isdir(path):
            yield path
        for folder, _, names in os.walk(path):
            for name in names:
                full = os.path.join(folder, name)
                if os.path.isfile(full) and not os.path.islink(full):
                    yield full


def main(paths):
    seen, kinds, examples, total = set(), Counter(), {}, 0
    start = time.perf_counter()
    for path in files_in(paths):
        for data in executable_sections(path):
            total += len(data)
            for code, problem in sweep(data, seen):
                insn = theirs(code)
                kind = (problem.split(" ", 1)[0] if problem[0] != "[" else "operands", insn and insn.mnemonic)
                kinds[kind] += 1
                examples.setdefault(kind, (path, code.hex(" "), problem))
    for kind, count in kinds.most_common():
        print(count, *examples[kind], sep="  ")
    print(f"{total} bytes, {len(seen)} distinct instructions, {sum(kinds.values())} disagreements, "
          f"{time.perf_counter() - start:.1f} s", file=sys.stderr)
    return 1 if kinds else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
