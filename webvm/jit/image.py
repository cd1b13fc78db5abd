"""The machine as an engine runs it: the interpreter module, its layout, and the oracle behind it.

The escape executes one instruction in the oracle over a space's state. Knows how registers lie in that state; knows
nothing of Linux: what a trap means is for whoever reads the stop code.
"""
import logging
import struct
import sys
from collections.abc import Collection
from dataclasses import fields
from types import ModuleType

from ..x86 import system, x87                                       # noqa: F401  register their meanings
from ..x86.decode import TooLong, Truncated, Undefined, decode
from ..x86.insn import Insn
from ..x86.meaning import MEANINGS
from ..x86.oracle import PYTHON_MEANINGS, GuestFault, Oracle, State, SystemCall, Trap
from ..x86.primitives import M64
from ..x86.processor import CPUS
from . import build, trace
from . import layout as at
from .cache import CodeCache, Source, Store, version
from .check import Checker
from .handler import STOPS
from .interpreter import BASELINE
from .options import Options
from .regions import REHOT, WARM, Counters, Translator

log = logging.getLogger("webvm.cpu")

_GPR = struct.Struct("<16Q")
_X87 = struct.Struct("<" + "QH6x" * 8)
_SCALARS = {name: (struct.Struct("<" + code), where) for name, code, where in (
    ("fs_base", "Q", at.FS_BASE),
    ("gs_base", "Q", at.GS_BASE),
    ("rip",     "Q", at.RIP),
    ("df",      "I", at.DF),
    ("mxcsr",   "I", at.MXCSR),
    ("watched", "I", at.WATCHED),
    ("rest",    "I", at.EFLAGS_REST),
    ("selectors", "Q", at.SELECTORS),
    ("fcw",     "H", at.FCW),
    ("fsw",     "H", at.FSW),
    ("ftw",     "B", at.FTW),
    ("fop",     "H", at.FOP),
    ("fip",     "Q", at.FIP),
    ("fdp",     "Q", at.FDP))}
_VECTORS = {"xmm": [slice(at.VECTOR + 32 * n, at.VECTOR + 32 * n + 16) for n in range(16)],
            "upper": [slice(at.VECTOR + 32 * n + 16, at.VECTOR + 32 * n + 32) for n in range(16)]}
_ARITHMETIC = 0x8D5
_EXECUTE, _READ, _WRITE = at.EXECUTE, at.READ, at.WRITE
PAGE = 4096
TIERS = ("jit", "interp")
DECODED = 10000                                                     # instructions remembered by an image


SWITCHES = tuple(f.name.replace("_", "-") for f in fields(Options) if f.default is True)      # the optimisations, by name


class NoSuchOption(ValueError):
    """A name that is none of those known, which the message gives."""


def known(what: str, names: Collection[str], there_are: Collection[str]) -> None:
    """Raises NoSuchOption when one of the names is not among them."""
    if wrong := [name for name in names if name not in there_are]:
        raise NoSuchOption(f"no such {what}: {', '.join(wrong)} (there are {', '.join(there_are)})")


def without(names: Collection[str]) -> Options:
    """All optimisations but those, named as in SWITCHES."""
    known("optimisation", names, SWITCHES)
    return Options(**{name.replace("-", "_"): False for name in names})


def processor(cpu: str) -> frozenset[str]:
    """The features of a processor by its name."""
    known("processor", [cpu], CPUS)
    return CPUS[cpu]


class Left(Exception):
    """A hook of the kernel said to leave."""


class SpaceMemory:
    """Guest memory for the oracle: permissions as the kernel sees them, faults through its hook."""

    def __init__(self, space):
        self.space = space

    def _allow(self, address: int, length: int, access: int) -> None:
        space = self.space
        first, last = address // PAGE, (address + length - 1) // PAGE
        if address + length <= space.limit and all(p & access for p in space.perms(first, last - first + 1)):
            return
        for page in range(first, last + 1):
            at_byte = max(address, page * PAGE)
            if at_byte + 1 > space.limit:
                space.on_fault(at_byte, access)
                raise Left
            while not space.perms(page, 1)[0] & access:
                if not space.on_fault(at_byte, access):
                    raise Left

    def read(self, address, length):
        self._allow(address, length, _READ)
        return self.space.read(address, length)

    def write(self, address, data):
        self._allow(address, len(data), _WRITE)
        self.space.write(address, data)

    def check_write(self, address, length): self._allow(address, length, _WRITE)

    def code(self, address: int) -> bytes:
        """Up to 15 bytes of an instruction; fewer where the next page may not be executed."""
        self._allow(address, 1, _EXECUTE)
        room = PAGE - address % PAGE
        if room < 15 and self.space.perms(address // PAGE + 1, 1)[0] & _EXECUTE:
            room = 15
        return self.space.read(address, min(room, 15))


class SpaceState:
    """The registers of the thread loaded in a space, as the oracle's State has them.

    Fields are fetched when first mentioned, into its __dict__; `store` puts back those that changed since.
    """
    __slots__ = ("_space", "_raw", "_was", "__dict__")

    def __init__(self, space):
        self._space, self._raw, self._was = space, space.context(), {}

    def __getattr__(self, name):
        value = self._fetch(name)
        self.__dict__[name] = value
        self._was[name] = value.copy() if value.__class__ is list else value
        return value

    def _fetch(self, name):
        raw = self._raw
        if name in _SCALARS:
            form, where = _SCALARS[name]
            return form.unpack_from(raw, where)[0]
        match name:
            case "gpr":
                return list(_GPR.unpack_from(raw, at.GPR))
            case "x87":
                parts = iter(_X87.unpack_from(raw, at.X87))
                return [low | high << 64 for low, high in zip(parts, parts)]
            case "xmm" | "upper":
                return [int.from_bytes(raw[where], "little") for where in _VECTORS[name]]
            case "flags":
                return self._space.rflags & _ARITHMETIC
        raise AttributeError(name)

    def store(self) -> None:
        was = self._was
        changed = {name: value for name, value in self.__dict__.items() if was.get(name) != value}
        _load(self._space, bytearray(self._raw), changed)
        if "flags" in changed:
            self._space.rflags = self.flags | self.df << 10 | self.rest


def _load(space, raw: bytearray, values: dict) -> None:
    """Loads the context `raw` into a space, with the fields in `values` replaced. Not the arithmetic flags."""
    for name, value in values.items():
        if name in _SCALARS:
            form, where = _SCALARS[name]
            form.pack_into(raw, where, value)
        elif name == "gpr":
            _GPR.pack_into(raw, at.GPR, *value)
        elif name == "x87":
            _X87.pack_into(raw, at.X87, *[part for x in value for part in (x & M64, x >> 64)])
        elif name in _VECTORS:
            for where, x in zip(_VECTORS[name], value):
                raw[where] = x.to_bytes(16, "little")
    space.load_context(raw)


def read_state(space) -> State:
    """All registers of the thread loaded in a space."""
    state = SpaceState(space)
    return State(**{f.name: getattr(state, f.name) for f in fields(State)})


def write_state(space, state: State) -> None:
    """Loads all registers into a space."""
    _load(space, bytearray(space.context()), vars(state))
    space.rflags = state.flags | state.df << 10 | state.rest


class Image:
    """What an engine needs of the processor. `features`: CPUID features beyond x86-64 with SSE2; `tier`: "jit", or "interp"
    to have no code translated; `traced`: of trace.KINDS, what of each region is to be written to standard error; `cache`: where
    regions are kept between runs, `shipped`: where there are more, if there is a cache; `check`: regions are verified against the interpreter, see check.py."""

    def __init__(self, features: frozenset[str] = BASELINE, wasm: bytes | None = None, tier: str = "jit",
                 options: Options = Options(), traced: Collection[str] = (), cache: Store | None = None,
                 shipped: Source | None = None, check: bool = False):
        known("tier", [tier], TIERS)
        known("trace", traced, trace.KINDS)
        self.features = features
        self.translator: Translator | None = None
        self.code_cache: CodeCache | None = None
        if tier == "jit":
            self.translator = (Checker if check else Translator)(features, options)
            self.translator.trace = trace.tracer(traced, lambda text: print(text, file=sys.stderr))
            self.warm, self.rehot = WARM, REHOT                     # what an engine asks of an image whose code gets hot
            self.hot, self.released = self.translator.hot, self.translator.released
            self.created = self.translator.created
            if cache is not None:
                self.code_cache = CodeCache(cache, version(features, options), shipped=shipped)
                self.translator.keep_in(self.code_cache)
        self.layout: ModuleType = at
        self.wasm = build.interpreter(features) if wasm is None else wasm
        self.escapes: dict[str, int] = {}                           # mnemonic -> how often the oracle ran it
        self._decoded: dict[int, tuple[bytes, Insn]] = {}           # by address, good while these bytes are there

    @property
    def counters(self) -> Counters:
        """What translation has done."""
        return self.translator.counters if self.translator else Counters()

    def escape(self, space) -> int:
        """Executes the instruction at RIP. 0: go on at RIP; else a stop code."""
        stop, _ = self._execute(space)
        return stop or (at.LEFT if space.stepping else 0)

    def step(self, space) -> int:
        """The same while the trap flag is set. The stop code is STEP after an instruction that found it set."""
        stop, insn = self._execute(space)
        if stop:
            return stop
        return at.LEFT if system.puts_traps_off(insn) else at.STEP

    def _execute(self, space) -> tuple[int, Insn | None]:
        """Executes the instruction at RIP: a stop code, 0 if there is none, and which it was."""
        memory, rip = SpaceMemory(space), space.rip
        insn = None
        try:
            insn = self._fetch(memory, rip)
            self.escapes[insn.mnemonic] = self.escapes.get(insn.mnemonic, 0) + 1
            state = SpaceState(space)
            Oracle(insn, state, memory, self.features).execute()
        except Left:
            return at.LEFT, insn
        except Undefined as wrong:
            log.error("%s at %#x: no such instruction (SIGILL)", wrong.bytes[:15].hex(" "), rip)
            return at.PROTECTION if isinstance(wrong, TooLong) else at.ILLEGAL, insn
        except GuestFault as fault:                                 # raised by meanings that form addresses themselves
            space.on_fault(fault.address, _WRITE if fault.access == "w" else _READ)
            return at.LEFT, insn
        except Trap as trap:
            if trap.vector == "UD" and insn.meaning not in MEANINGS and insn.meaning not in PYTHON_MEANINGS:
                log.error("%s at %#x: %s is not implemented (SIGILL)", space.read(rip, insn.length).hex(" "), rip, insn)
            space.trap_error = trap.error
            if trap.vector in Trap.AFTER:
                space.rip = rip + insn.length & M64
            if trap.vector == "XM":
                state.store()                                       # the exceptions in MXCSR
            return STOPS[trap.vector], insn
        except SystemCall:
            state.store()
            return 0 if space.call() else at.LEFT, insn
        state.store()
        return 0, insn

    def by_stack(self, space, address: int) -> bool:
        """Whether the instruction at RIP, which faulted at the address, uses the stack segment there."""
        if space.rip >= space.limit:
            return False
        memory = SpaceMemory(space)
        insn = self._fetch(memory, space.rip)
        return Oracle(insn, SpaceState(space), memory, self.features).by_stack(address)

    def _fetch(self, memory: SpaceMemory, rip: int) -> Insn:
        """The instruction at RIP. What was decoded before may be executed still: else it had no record to escape from."""
        code, insn = self._decoded.get(rip, (b"", None))
        if code and memory.space.read(rip, len(code)) == code:
            return insn
        code = memory.code(rip)
        try:
            insn = decode(code, rip, features=self.features)
        except Truncated:
            memory._allow(rip + len(code), 1, _EXECUTE)             # the kernel hears of the page that is missing
            code = memory.code(rip)
            insn = decode(code, rip, features=self.features)
        if len(self._decoded) >= DECODED:
            self._decoded.clear()
        self._decoded[rip] = code[:insn.length], insn
        return insn
