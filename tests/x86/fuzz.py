"""Random byte strings through decoder, interpreter and regions: `python -m tests.x86.fuzz STRINGS [SEED]`

Half are valid encodings with bytes changed, put in or left out, the rest random. Each is decoded in Python and executed from
registers that mostly point into the data. What must hold: no exception in Python, no trap in Wasm; decoder and interpreter
agree on what is no instruction and on lengths; and nothing changes outside of the pages that the guest may write: the
decode tables and permissions below the guest's memory, and all of the guest's other memory, which is filled, are compared
after every batch. Prints what failed, with the seed of its batch, and counts; exit status 1 if anything did.
"""
import logging
import random
import sys
import time
from collections import Counter
from dataclasses import dataclass, field

from tests.jit.regions import engine
from tests.x86 import encodings, forms, machines
from tests.x86.machines import DATA, DATA_SIZE, MIDDLE, FEATURES
from webvm.engine.protocol import EngineError
from webvm.jit import image as machine_image
from webvm.jit import layout as at
from webvm.jit.handler import STOPS
from webvm.x86 import opcodes
from webvm.x86.decode import TooLong, Undefined, decode
from webvm.x86.meaning import MEANINGS
from webvm.x86.oracle import PYTHON_MEANINGS

CODE, SLOT, BATCH = 0x400000, 32, 1024
CODE_PAGES = SLOT * BATCH >> 12
FENCE = 0x300000, 0x600000                      # is filled, but for the data
CONTEXTS = 64
RX, RW, PRESENT = 5 | 32, 3 | 32, 32
MARKS = at.CODE | at.WRITE                      # bits of permission bytes that the module itself changes
STRANGE = {STOPS[name] for name in ("UD", "GP")}
# Where RIP is not at the next instruction after one step: it jumps, repeats, or does the next one too.
ELSEWHERE = {"jmp", "jmp_indirect", "jcc", "call", "call_indirect", "ret", "loop", "loope", "loopne", "jrcxz", "syscall", "cmp", "test",
             "retf", "iret", "callf", "jmpf", "xbegin"}


@dataclass
class Tally:
    strings: int = 0
    undefined: int = 0
    regions: int = 0
    stops: Counter = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)


def valid(rng: random.Random) -> list[bytes]:
    """Encodings of every form of every row."""
    found = [forms.make(form, rng, FEATURES).code for form in forms.all_forms(FEATURES)]
    rows = [row for row in opcodes.ROWS if row.map < opcodes.EVEX and row.feature not in ("vex", "evex")]
    return found + [encodings.encode(row, rng)[:14] for row in rows for _ in range(4)]


def string(rng: random.Random, pool: list[bytes]) -> bytes:
    """One, SLOT bytes long."""
    kind = rng.random()
    if kind < .35:
        return rng.randbytes(SLOT)
    if kind < .5:
        return encodings.random_code(rng).ljust(SLOT, b"\x90")[:SLOT]
    code = bytearray(pool[int(rng.random() * len(pool))])
    for _ in range(int(rng.random() * 3.5)):
        where, how = int(rng.random() * len(code)), rng.random()
        if how < .4:
            code[where] ^= 1 << int(rng.random() * 8)
        elif how < .6:
            code[where] = int(rng.random() * 256)
        elif how < .8:
            code.insert(where, rng.choice(b"\x66\x67\xf2\xf3\xf0\x64\x65\x2e\x48\x41\x4f\x0f\xc4\x62"))
        elif len(code) > 1:
            del code[where]
    return bytes(code + rng.randbytes(SLOT - len(code) if len(code) < SLOT else 0))[:SLOT]


class Fuzzer:
    """Strings through one space, a batch at a time."""

    def __init__(self, pool: list[bytes]):
        self.pool, self.tally = pool, Tally()
        self.engine = engine()
        self.space = space = self.engine.space()
        self.translator = self.engine.image.translator
        space.on_fault = space.on_syscall = lambda *_: False
        first, end = FENCE
        space.protect(first >> 12, end - first >> 12, PRESENT)
        space.protect(CODE >> 12, CODE_PAGES, RX)
        space.protect(DATA >> 12, DATA_SIZE >> 12, RW)
        rng = random.Random(1)
        space.write(first, rng.randbytes(end - first))
        self.data = rng.randbytes(DATA_SIZE)
        self.contexts = [self._context(rng) for _ in range(CONTEXTS)]
        self.tables = space.peek(at.DECODE, at.PERMISSIONS - at.DECODE)
        self.permissions = self._permissions()

    def _context(self, rng) -> bytes:
        state = machines.random_state(rng, True, rng.random() < .3)
        for n in range(16):
            if rng.random() < .4:
                state.gpr[n] = MIDDLE + rng.randrange(-0x1100, 0x1100)
        state.fs_base, state.gs_base = rng.choice((0, MIDDLE, rng.randrange(0x1000))), rng.choice((0, MIDDLE))
        if rng.random() < .5:
            state.mxcsr = machines.control(rng)
        machine_image.write_state(self.space, state)
        return bytes(self.space.context())

    def _permissions(self) -> bytes:
        self.space.publish()
        return bytes(byte & ~MARKS for byte in self.space.peek(at.PERMISSIONS, 0x1000)) + self.space.peek(at.PERMISSIONS + 0x1000, 0xFF000)

    def _outside(self) -> bytes:
        first, end = FENCE
        memory = bytearray(self.space.peek(at.BIAS + first, end - first))
        memory[DATA - first:DATA - first + DATA_SIZE] = bytes(DATA_SIZE)
        return bytes(memory)

    def batch(self, seed: int, size: int = BATCH) -> None:
        """So many strings, made from the seed."""
        rng, space, tally = random.Random(seed), self.space, self.tally
        strings = [string(rng, self.pool) for _ in range(size)]
        space.protect(CODE >> 12, CODE_PAGES, RX)              # forgets what was decoded
        space.write(CODE, b"".join(strings).ljust(SLOT * BATCH, b"\xf4"))
        space.write(DATA, self.data)
        outside = self._outside()
        sampled = rng.random() < .1
        failed = len(tally.failures)
        for n, code in enumerate(strings):
            try:
                self._one(rng, CODE + SLOT * n, code)
            except Exception as error:                         # whatever it is, it must not be
                tally.failures.append(f"{code.hex(' ')}: {type(error).__name__}: {error}")
        if sampled:
            self._regions(rng, size)
        tally.strings += size
        if (space.peek(at.DECODE, at.PERMISSIONS - at.DECODE) != self.tables or self._permissions() != self.permissions
                or space.peek(at.ZERO, 8) != bytes(8) or self._outside() != outside):
            tally.failures.append("memory outside of the guest's pages has changed")
        tally.failures[failed:] = [f"seed {seed}: {text}" for text in tally.failures[failed:]]

    def _one(self, rng, rip: int, code: bytes) -> None:
        space, tally = self.space, self.tally
        try:
            insn = decode(code, rip, features=FEATURES)
        except Undefined as error:
            insn, tally.undefined = error, tally.undefined + 1
        space.load_context(self.contexts[int(rng.random() * CONTEXTS)])
        space.rip = rip
        stop = space.run(1)
        tally.stops[stop] += 1
        if isinstance(insn, Undefined):
            wanted = STOPS["GP"] if isinstance(insn, TooLong) else STOPS["UD"]
            if stop != wanted:
                tally.failures.append(f"{code.hex(' ')}: undefined for the decoder, the interpreter stops with {stop}")
        elif stop == at.FUEL:
            if space.rip != rip + insn.length and insn.meaning not in ELSEWHERE and insn.rep is None:
                tally.failures.append(f"{code.hex(' ')}: {insn} of {insn.length} bytes, the interpreter goes to {space.rip:#x}")
        elif stop == STOPS["UD"] and (insn.meaning in MEANINGS or insn.meaning in PYTHON_MEANINGS) and not insn.meaning.startswith("ud"):
            if insn.meaning != "xgetbv":
                tally.failures.append(f"{code.hex(' ')}: {insn} is undefined for the interpreter")
        if stop == at.FUEL and rng.random() < .25:
            space.run(40)

    def _regions(self, rng, size: int) -> None:
        """Some of the strings again, translated."""
        space, translator = self.space, self.translator
        some = [CODE + SLOT * n for n in range(size) if rng.random() < .1]
        for rip in some:
            space.load_context(self.contexts[0])
            space.rip = rip
            space.run(1)
        space.poke(at.HOT_COUNT, bytes(4))
        translator.hot(space)
        known = [rip for rip in some if space.find(rip)]
        before = translator.counters.installed
        for first in range(0, len(known), 16):
            translator._translate(space, known[first:first + 16])
        while translator._compiling:
            time.sleep(.0002)
            translator._install_compiled()
        self.tally.regions += translator.counters.installed - before
        for rip in known:
            space.load_context(self.contexts[int(rng.random() * CONTEXTS)])
            space.rip = rip
            try:
                space.run(200)
            except EngineError as error:
                code = space.read(CODE + (rip - CODE) // SLOT * SLOT, SLOT)
                self.tally.failures.append(f"region of {code.hex(' ')}: {error}")


def fuzz(strings: int, seed: int, report=lambda tally: None) -> Tally:
    """So many strings, in batches whose seeds follow from `seed`. `report` is called now and then."""
    logger = logging.getLogger("webvm.cpu")
    was, logger.disabled = logger.disabled, True
    try:
        fuzzer = Fuzzer(valid(random.Random(seed)))
        for n in range(-(-strings // BATCH)):
            fuzzer.batch(1_000_000 * seed + n, min(BATCH, strings - n * BATCH))
            if n % 100 == 99:
                report(fuzzer.tally)
    finally:
        logger.disabled = was
    return fuzzer.tally


def main(strings: int, seed: int) -> int:
    start = time.perf_counter()

    def report(tally):
        print(f"{tally.strings} strings, {tally.undefined} undefined, {tally.regions} regions, {len(tally.failures)} failures, "
              f"{time.perf_counter() - start:.0f} s, stops {dict(tally.stops)}", file=sys.stderr, flush=True)
        for failure in tally.failures[:20]:
            print(failure)
    tally = fuzz(strings, seed, report)
    report(tally)
    return 1 if tally.failures else 0


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 1))
