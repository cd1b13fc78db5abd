"""Instructions on the processor that runs the tests: the last judge. x86-64 Linux with gcc only; `missing` says what is wanted.

    native = Native()
    outcomes = native.run_many([(code, state, data), ...])         # machines.Outcome, as oracle and interpreter give it

One instruction a case: `code` at CODE, a `State`, and DATA_SIZE bytes at DATA, all at the addresses that the other machines use.
Registers (xmm, x87 and control registers too), flags, memory, and how it ended are those of the processor: "ok", "UD", "DE", "BP",
"GP", "SS", "AC", "DB", "MF", "XM", or "fault 0x...". `Result.signal` is the signal that Linux gave: (number, si_code, si_addr).
native.c, compiled when the first Native is made, executes the cases in a child process; one that ends the child is "died".
What does not come from here: SYSCALL, SYSENTER and INT 80 ("not run": they would do what they say), and bits of `rest` but AC.
`HOST` has the names, as the opcode tables have them, of the CPUID features here: a case that needs another is not to be run.
"""
import mmap
import platform
import select
import shutil
import struct
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from tests.x86.machines import CODE, DATA_SIZE, Outcome
from webvm.x86 import opcodes
from webvm.x86.decode import Undefined, decode
from webvm.x86.oracle import State

BATCH = 256
SECONDS = 120                                   # that a batch may take
ARITHMETIC, DF, REST = 0x8D5, 10, 1 << 18
STEP, BREAK = 0, 1
_REGISTERS = struct.Struct("<20Q")              # gpr, rip, flags, fs, gs
_END = struct.Struct("<6I2Q")                   # mode, signo, si_code, trapno, error, -, si_addr, cr2
_FX = struct.Struct("<HHBx2x16xI")              # fcw, fsw, ftw, mxcsr
_UPPER = 160 + 512
_CODE = _UPPER + 256
_ENDING, _DATA = _CODE + 16, _CODE + 16 + 40
CASE = _DATA + DATA_SIZE
HEADER = 4096
TRAPS = {0: "DE", 1: "DB", 3: "BP", 4: "OF", 6: "UD", 12: "SS", 13: "GP", 16: "MF", 17: "AC", 19: "XM"}
NEVER = {"syscall", "sysenter"}
# After these the trap flag would be seen in memory, would come too late, or would stop in the middle.
UNSTEPPED = {"pushf", "int1", "mov_to_seg", "pop_seg", "ins", "outs",
             "sldt", "str", "sgdt", "sidt", "smsw"}         # Linux does these for a program: UMIP

missing = "" if sys.platform == "linux" and platform.machine() == "x86_64" and shutil.which("gcc") else "x86-64 Linux with gcc"

_CPUINFO = {"pni": "sse3", "sse4_1": "sse4.1", "sse4_2": "sse4.2", "abm": "lzcnt", "sha_ni": "sha", "avx512f": "evex"}


def _host_features() -> frozenset[str]:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return frozenset()
    flags = next((line.split(":")[1].split() for line in lines if line.startswith("flags")), [])
    return frozenset(_CPUINFO.get(flag, flag) for flag in flags) & opcodes.FEATURES


HOST = _host_features()


@dataclass
class Result(Outcome):
    """An Outcome, and the signal that Linux sent for it: (number, si_code, si_addr)."""
    signal: tuple[int, int, int] = (0, 0, 0)


class Native:
    """A child process that executes cases."""

    def __init__(self):
        assert not missing, missing
        self.folder = tempfile.TemporaryDirectory(prefix="webvm-native-")
        self.program = Path(self.folder.name) / "native"
        source = Path(__file__).with_name("native.c")
        subprocess.run(["gcc", "-O1", "-w", "-fno-stack-protector", "-mno-avx", "-pie", "-fPIE", "-o", self.program, source], check=True)
        shared = Path(self.folder.name) / "shared"
        shared.write_bytes(bytes(HEADER + BATCH * CASE))
        with shared.open("r+b") as file:
            self.shared = mmap.mmap(file.fileno(), 0)
        self.child = None

    def close(self):
        """Ends the child."""
        if self.child is not None:
            self.child.kill()
            self.child.wait()
            self.child.stdin.close()
            self.child.stdout.close()
            self.child = None
        self.folder.cleanup()

    def _start(self):
        self.child = subprocess.Popen([self.program, Path(self.folder.name) / "shared"], stdin=subprocess.PIPE,
                                      stdout=subprocess.PIPE, bufsize=0)

    def run(self, code: bytes, state: State, data: bytes) -> Result: return self.run_many([(code, state, data)])[0]

    def run_many(self, cases) -> list[Result]:
        """The results of any number of (code, state, data), in order."""
        cases, results = list(cases), []
        for first in range(0, len(cases), BATCH):
            results += self._batch(cases[first:first + BATCH])
        return results

    def _batch(self, cases) -> list[Result]:
        modes = [_mode(code) for code, *_ in cases]
        runs = [k for k, mode in enumerate(modes) if mode is not None]
        results = [Result(state.copy(), data, "not run") for _, state, data in cases]
        at = 0
        while at < len(runs):
            for place, k in enumerate(runs[at:]):
                self._put(place, *cases[k], modes[k])
            self._go(len(runs) - at)
            done, = struct.unpack_from("<I", self.shared, 4)
            for place, k in enumerate(runs[at:at + done]):
                results[k] = self._take(place, cases[k][1], modes[k], cases[k][0])
            if at + done < len(runs):
                results[runs[at + done]].end = "died"
                done += 1
            at += done
        return results

    def _go(self, count):
        struct.pack_into("<II", self.shared, 0, count, 0)
        if self.child is None:
            self._start()
        self.child.stdin.write(b"\n")
        ready, _, _ = select.select([self.child.stdout], [], [], SECONDS)
        if not ready or not self.child.stdout.read(1):
            self.child.kill()
            self.child.wait()
            self.child = None

    def _put(self, place, code, state: State, data, mode):
        raw, at = self.shared, HEADER + place * CASE
        _REGISTERS.pack_into(raw, at, *state.gpr, CODE, state.flags | state.df << DF | state.rest & REST, state.fs_base, state.gs_base)
        fx = bytearray(512)
        _FX.pack_into(fx, 0, state.fcw, state.fsw, state.ftw, state.mxcsr)
        top = state.fsw >> 11 & 7
        for i in range(8):
            fx[32 + 16 * i:42 + 16 * i] = state.x87[top + i & 7].to_bytes(10, "little")
        for i, value in enumerate(state.xmm):
            fx[160 + 16 * i:176 + 16 * i] = value.to_bytes(16, "little")
        raw[at + 160:at + 160 + 512] = bytes(fx)
        raw[at + _UPPER:at + _CODE] = b"".join(value.to_bytes(16, "little") for value in state.upper)
        raw[at + _CODE:at + _CODE + 16] = code[:16].ljust(16, b"\xcc")
        _END.pack_into(raw, at + _ENDING, mode, 0, 0, 0, 0, 0, 0, 0)
        raw[at + _DATA:at + CASE] = data

    def _take(self, place, before: State, mode, code) -> Result:
        raw, at = self.shared, HEADER + place * CASE
        *gpr, rip, flags, fs, gs = _REGISTERS.unpack_from(raw, at)
        fx = raw[at + 160:at + 160 + 512]
        fcw, fsw, ftw, mxcsr = _FX.unpack_from(fx, 0)
        top, x87 = fsw >> 11 & 7, [0] * 8
        for i in range(8):
            x87[top + i & 7] = int.from_bytes(fx[32 + 16 * i:42 + 16 * i], "little")
        xmm = [int.from_bytes(fx[160 + 16 * i:176 + 16 * i], "little") for i in range(16)]
        upper = [int.from_bytes(raw[at + _UPPER + 16 * i:at + _UPPER + 16 * i + 16], "little") for i in range(16)]
        _, signo, si_code, trapno, error, _, si_addr, cr2 = _END.unpack_from(raw, at + _ENDING)
        end = TRAPS.get(trapno, f"trap {trapno}")
        if trapno == 14:
            end = f"fault {cr2:#x}"
        elif trapno == 1 and mode == STEP:
            end = "ok"
        elif trapno == 3 and mode == BREAK and code[:1] != b"\xcc":
            rip, end = rip - 1, "ok"
        state = State(gpr=gpr, xmm=xmm, upper=upper, rip=rip, flags=flags & ARITHMETIC, df=flags >> DF & 1,
                      rest=flags & REST | before.rest & ~REST, fs_base=fs, gs_base=gs, mxcsr=mxcsr, fcw=fcw, fsw=fsw, ftw=ftw, x87=x87)
        return Result(state, raw[at + _DATA:at + CASE], end, signal=(signo, si_code, si_addr))


def _mode(code) -> int | None:
    """How the processor is stopped after the instruction; None: it is not run at all."""
    try:
        insn = decode(code.ljust(16, b"\xcc"), CODE)
    except Undefined:
        return STEP
    if insn.meaning in NEVER or insn.meaning == "int" and insn.operands[0].value == 0x80:
        return None
    return BREAK if insn.meaning in UNSTEPPED or insn.rep else STEP
