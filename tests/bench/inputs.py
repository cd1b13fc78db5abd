"""What the benchmark's programs work on: made of nothing but a seed, so the same bytes everywhere.

Knows how the C programs are built and what the generated files look like; not who runs what on them.
"""

import random
import struct
import subprocess
from itertools import accumulate
from pathlib import Path

GUEST = Path(__file__).parent / "guest"
PIECES = 4              # of each kind of input
PIECE = 1 << 20         # bytes of one

#         program     source       how it is built
BUILDS = (
    ("integer", "integer.c", ("-O2",)),
    ("scalar",  "floats.c",  ("-O2", "-fno-tree-vectorize", "-fno-math-errno")),
    ("vector",  "floats.c",  ("-O3", "-fno-math-errno")),
    ("calls",   "calls.c",   ("-O2",)),
)  # fmt: skip


def make(folder: Path, piece: int = PIECE, source_lines: int = 2000) -> list[Path]:
    """Puts everything that the programs need into the folder; the files."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, source, options in BUILDS:
        subprocess.run(["gcc", *options, "-static", "-o", folder / name, GUEST / source, "-lm"], check=True)
    for path in GUEST.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    for number in range(PIECES):
        (folder / f"text.{number}").write_bytes(text(number, piece))
        (folder / f"mixed.{number}").write_bytes(mixed(number, piece))
        (folder / f"keys.{number}").write_bytes(keys(number, piece))
    (folder / "big.c").write_text(c_source(source_lines))
    return sorted(path for path in folder.iterdir() if path.is_file())


def text(seed: int, size: int) -> bytes:
    """Sentences of made-up words, frequent ones short, with numbers between them."""
    rng = random.Random(seed)
    syllables = "ba ce di fo gu ha je ki lo mu na pe qui ro sta the tra un ver wi xe yo zu and ing er".split()
    words = ["".join(rng.choices(syllables, k=1 + i // 700 + i % 2)) for i in range(3000)]
    weights = list(accumulate(1 / (i + 5) for i in range(len(words))))
    lines, length = [], 0
    while length < size:
        line = rng.choices(words, cum_weights=weights, k=4 + int(rng.random() * 10))
        line[0] = line[0].capitalize()
        if rng.random() < 0.3:
            line[-1] = str(int(rng.random() * 10000))
        lines.append(" ".join(line) + (".\n" if rng.random() < 0.6 else ",\n"))
        length += len(lines[-1])
    return "".join(lines).encode()[:size - 1] + b"\n"


def mixed(seed: int, size: int) -> bytes:
    """Records as a program would write them, then a stretch of code-like repetition, then noise."""
    rng = random.Random(seed + 100)
    parts, length, at = [], 0, 0.0
    motifs = [rng.randbytes(5 + i % 11) for i in range(200)]
    while length < size:
        records = []
        for i in range(400):
            at += rng.random() - 0.5
            records.append(struct.pack("<IHHd", 0x1000 + i * 16, int(rng.random() * 7), 0xFFFF, at))
        code = rng.choices(motifs, k=900)
        parts += [*records, *code, rng.randbytes(1500)]
        length += 400 * 16 + sum(map(len, code)) + 1500
    return b"".join(parts)[:size]


def keys(seed: int, size: int) -> bytes:
    """Short lines of a word and a number."""
    rng = random.Random(seed + 200)
    lines, length = [], 0
    while length < size:
        lines.append(f"{int(rng.random() * 36 ** 4):x}{'klmn'[int(rng.random() * 4)]} {int(rng.random() * 1e6)}\n")
        length += len(lines[-1])
    return "".join(lines).encode()[:size - 1] + b"\n"


def c_source(lines: int) -> str:
    """A C file of about so many lines: structures, loops, switches, calls, floating point. LINES, if less, makes it shorter."""
    rng = random.Random(7)
    out = ["#include <stdint.h>", "#include <stdio.h>", "#include <string.h>", "",
           "struct node { struct node *next; int key; double weight; char name[24]; };", ""]
    number = 0
    while len(out) < lines - 30:
        a, b, c, d = (1 + int(rng.random() * 60) for _ in range(4))
        called = f"work{int(rng.random() * number)}(list, n / 2, text)" if number else "n"
        out += [
            f"#if LINES > {len(out)}",
            f"int work{number}(struct node *list, int n, const char *text)",
            "{",
            f"    int table[{a + 8}] = {{ {b}, {c} }}, sum = {d};",
            f"    double mean = {a}.5;",
            f"    for (int i = 0; i < {a + 8}; i++)",
            f"        for (int j = i + 1; j < n; j++) table[i] = (table[j & 7] * {b} + i) ^ (sum >> {c % 13}), mean += table[j & 3] * 0.5;",
            "    for (struct node *at = list; at; at = at->next) {",
            f"        switch ((at->key + n) % {5 + d % 9}) {{",
            f"        case 0: sum += table[at->key & 7] * {a}; break;",
            f"        case 1: sum ^= at->name[{b % 24}] << {c % 7}; break;",
            f"        case 2: mean = mean * at->weight + {d}.25; break;",
            f"        case 3: sum -= (int)(mean / (at->weight + {a})); break;",
            f"        case 4: at->key = sum % {b + 1}; break;",
            f"        default: if (at->key > {c} && sum < {a * b}) sum += {d}; else sum = sum * {b} + 1; break;",
            "        }",
            "    }",
            f"    while (n > {a % 7 + 2} && *text) {{",
            f"        sum = sum * {a + 2} + (*text >= 'a' && *text <= 'z' ? *text - 'a' : table[n % {a + 8}]);",
            f"        if (sum & {1 << d % 9})",
            f"            n -= {b % 3 + 1};",
            "        else",
            "            text++, n--;",
            "    }",
            f"    uint64_t wide = (uint64_t)sum * {a * 1000003}u + (unsigned)table[{b % 8}];",
            f"    return (int)(wide >> {c % 17 + 8}) + (n > {d % 5} ? {called} : (int)mean);",
            "}",
            "#endif",
            "",
        ]
        number += 1
    return "\n".join([*out, ""])
