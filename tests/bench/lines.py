"""What the benchmark measures: its lines, in groups, and how much of each is done.

Knows commands as a shell in the image would be told them; not where they run.
"""

import re
import shlex
from dataclasses import dataclass

from .inputs import PIECES

FOLDER = "/tmp/bench"                   # where the inputs are, everywhere
TIMED = ("integer", "scalar", "vector", "calls")        # groups that are C programs; each is told a load and prints "result nanoseconds"


@dataclass(frozen=True)
class Line:
    """One row of the report.

    command: for a shell in FOLDER; of the groups in TIMED nothing; of start-up, words that are executed as they are. In it,
    {n} is the amount; {text} {mixed} {keys} that many pieces of input; {run} and {wrapper} stand before and in a program
    that starts others; {out} is where much output goes.
    """
    group: str
    name: str
    amount: int
    command: str = ""

    def argv(self, scale: float = 1, run: str = "", out: str = "/dev/null") -> list[str]:
        """The program and its arguments. run: what runs another program there: nothing, but under qemu-x86_64 its children
        would run on the real processor."""
        n = max(1, round(self.amount * scale))
        if self.group in TIMED:
            return [f"{FOLDER}/{self.group}", self.name, str(n)]
        pieces = {kind: " ".join(f"{kind}.{i % PIECES}" for i in range(n)) for kind in ("text", "mixed", "keys")}
        filled = self.command.format(n=n, run=run, out=out, wrapper=f"-B/usr/bin/ -wrapper {','.join(run.split())}" if run else "", **pieces)
        return shlex.split(filled) if self.group == "start-up" else ["/usr/bin/dash", "-c", f"cd {FOLDER} && exec {run}{filled}"]

    @property
    def needs(self) -> list[str]:
        """The files of the image without which it can't run."""
        return re.findall(r"/usr/bin/[\w.+-]+", self.command)


# Amounts give 0.3 seconds of native work or more for the C programs, 2 or more for the others; of calls, less: they are that many.
LINES = tuple(Line(*row) for row in (
    #group       line                   amount   command
    ("integer",  "fib",                   2400),
    ("integer",  "sieve",                 1400),
    ("integer",  "xxhash",               80000),
    ("integer",  "chacha",                3500),
    ("integer",  "interp",               22000),
    ("integer",  "quicksort",              220),
    ("integer",  "list",                  5500),
    ("integer",  "coremark",             32000),
    ("integer",  "sha256",                 800),

    ("scalar",   "matmul",                 350),
    ("scalar",   "mandelbrot",             400),
    ("scalar",   "nbody",                 1400),
    ("scalar",   "spectral",              1000),

    ("vector",   "matmul",                1250),
    ("vector",   "mandelbrot",             550),
    ("vector",   "nbody",                 2000),
    ("vector",   "spectral",              2000),

    ("calls",    "getpid",              200000),
    ("calls",    "lseek",               200000),
    ("calls",    "pread 8",             200000),
    ("calls",    "pread 4096",          200000),
    ("calls",    "pwrite 4096",         200000),
    ("calls",    "read 1",              200000),
    ("calls",    "write 1",             200000),
    ("calls",    "read 65536",           20000),
    ("calls",    "write 65536",          20000),
    ("calls",    "fstat",               200000),
    ("calls",    "lock and unlock",     100000),
    ("calls",    "clock",               200000),
    ("calls",    "through a pipe",      100000),
    ("calls",    "no such file",        100000),

    ("programs", "gzip -9",                 10,  "/usr/bin/gzip -9 -c {text} {mixed} >{out}"),
    ("programs", "bzip2",                   14,  "/usr/bin/bzip2 -c {text} {mixed} >{out}"),
    ("programs", "xz",                       3,  "/usr/bin/xz -T1 -c {text} {mixed} >{out}"),
    ("programs", "sha256sum",             2900,  "/usr/bin/sha256sum {mixed} >{out}"),
    ("programs", "sort",                    32,  "/usr/bin/sort --parallel=1 -S 50M -k2,2n -k1,1 {keys} >{out}"),
    ("programs", "grep -c",                420,  "/usr/bin/grep -c -E '(th|st)e[a-z]* [0-9]+' {text}"),
    ("programs", "gawk",                    20,  "/usr/bin/gawk -f count.awk {text}"),
    ("programs", "python3 nbody",       450000,  "/usr/bin/python3 nbody.py {n}"),
    ("programs", "python3 richards",    700000,  "/usr/bin/python3 richards.py {n}"),
    ("programs", "python3 json",          1900,  "/usr/bin/python3 documents.py {n}"),
    ("programs", "perl loops",             700,  "/usr/bin/perl loops.pl {n}"),
    ("programs", "lua5.4 fib",             180,  "/usr/bin/lua5.4 fib.lua {n}"),
    ("programs", "lua5.4 strings",        6500,  "/usr/bin/lua5.4 strings.lua {n}"),
    ("programs", "sqlite3",             200000,  "/usr/bin/sqlite3 rows.db '.parameter set @rows {n}'" + " '.read rows.sql'" * 2),
    ("programs", "gcc -O2",               2000,  "/usr/bin/gcc {wrapper} -DLINES={n} -O2 -c big.c -o big.o"),

    ("start-up", "bash and ls",              1,  "/usr/bin/bash -c '{run}/usr/bin/ls -la /usr/bin'"),
    ("start-up", "python3 -c",               1,  "/usr/bin/python3 -c print(1)"),
    ("start-up", "git --version",            1,  "/usr/bin/git --version"),
    ("start-up", "gcc hello.c",              1,  "/usr/bin/gcc {wrapper} -o /tmp/hello /tmp/bench/hello.c"),

    ("system",   "200 x fork and exec",    200,  "/usr/bin/dash -c 'i=0; while [ $i -lt {n} ]; do {run}/usr/bin/true; i=$((i + 1)); done; echo $i'"),
))  # fmt: skip
