"""Address spaces: everything about them that does not depend on who executes Wasm.

Knows the layout it is given, permission bytes, the register context of a thread and the FXSAVE image (Intel SDM vol. 1,
10.5.1). Must not know wasmtime or JavaScript: a subclass of Space supplies `peek`, `poke`, `blank`, `_resize` and the calls
into the module, a subclass of Engine creates spaces and connects the module's imports to its hooks.

A *wasm address* counts from the start of the Memory, a guest address from BIAS.
"""

import re
import struct
from abc import ABC, abstractmethod
from array import array
from collections.abc import Callable, Collection
from dataclasses import dataclass
from threading import Lock
from time import perf_counter
from weakref import WeakSet

from .protocol import EngineError, Image, Layout, OutOfMemory, OutOfSpaces
from .runs import BYTES, Runs

PAGE = 4096
WASM_PAGE = 65536
WASM_LIMIT = 1 << 32
GROWTH = 16 << 20              # a Memory grows in steps of this: growing is dear where views must be made anew
OVERREACH = 64                 # how far an access whose first byte's page is permitted may reach into the page after it
MIN_SLOTS = 64                 # a table grows by at least this, and doubles what is linked: growing copies it
MAX_SLOTS = 1 << 14            # functions linked to a space at a time
NEVER = 0x7FFFFFFF             # what a counter of arrivals begins with where nobody asks what is hot
STRAYS = 256                   # how many writes to absent pages are remembered before looking which still are absent

M64 = (1 << 64) - 1
RESET_MXCSR = 0x1F80           # all exceptions masked, as after reset and in a new Linux process
RESET_FCW = 0x037F
RESET_RFLAGS = 0x202           # IF and the bit that is always 1
TRAP_FLAG = 0x100              # in RFLAGS
MXCSR_MASK = 0xFFFF

ARGUMENTS = 0, 7, 6, 2, 10, 8, 9           # registers of a system call: rax, rdi rsi rdx r10 r8 r9
ARGUMENTS_OF = struct.Struct("<Q8xQ24x5Q")  # the same of all of them, in ascending order
RUN = struct.Struct("<2Q")
PAIR = struct.Struct("<II")
U16, U32, U64 = struct.Struct("<H"), struct.Struct("<I"), struct.Struct("<Q")
FCW_FSW = struct.Struct("<HH")
FX_HEADER = struct.Struct("<HHBxHQQII")    # FCW FSW FTW(short) FOP FIP FDP MXCSR MXCSR_MASK
FX_PENDING, FX_BUSY, FX_EXCEPTIONS = 0x80, 0x8000, 0x3F    # in FSW; exceptions in FCW also
FCW_BITS, FCW_ONE = 0x1F3F, 0x40           # what can be set in FCW, what always is
FX_X87, FX_XMM, FX_SIZE = 32, 160, 512

_USED = re.compile(rb"\0*([^\0]+)")          # the next pages in use; the zeroes before them are skipped fast

# Hooks: a system call's gets rax and the arguments rdi rsi rdx r10 r8 r9, and answers what rax is to be when the guest goes on
# (signed), True if it is to go on with the registers as they are, False if it is to leave. That of a fault gets the address and
# the access, and answers whether it is permitted now.
SyscallHook = Callable[[tuple[int, ...]], "int | bool"]
FaultHook = Callable[[int, int], bool]


def _used(perms: bytes) -> list[tuple[int, int]]:
    """The runs (first, end) of pages that have a permission."""
    return [match.span(1) for match in _USED.finditer(perms.rstrip(b"\0"))]     # a match at each step: linear time


def _merged(spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Runs (first, end) in order, those that touch or overlap as one."""
    merged: list[tuple[int, int]] = []
    low, high = -1, -1
    for first, end in sorted(spans):
        if first > high:
            if high >= 0:
                merged.append((low, high))
            low, high = first, end
        elif end > high:
            high = end
    merged.append((low, high))
    return merged


def _no_hook(*args) -> bool:
    raise AssertionError("the space has no kernel, or was released")


class Regions:
    """A region module that is compiled, or being compiled. Any space of its engine can link it."""

    def __init__(self, wasm: bytes):
        self.n_bytes = len(wasm)
        self.module = None                  # compiled, as the engine's `_link` takes it
        self.error: EngineError | None = None

    @property
    def ready(self) -> bool:
        """Whether compiling is over, so that linking does not have to wait."""
        return self.module is not None or self.error is not None


@dataclass
class Counters:
    """What region modules have cost an engine so far."""

    modules: int = 0                        # compiled
    module_bytes: int = 0
    compile_seconds: float = 0.0
    links: int = 0
    linked_functions: int = 0
    link_seconds: float = 0.0


class Engine(ABC):
    """Creates address spaces, and keeps released ones for reuse."""

    def __init__(self, image: Image, max_spaces: int, kept_spaces: int = 8, kept_bytes: int = 48 << 20):
        """At most `max_spaces` are in use at a time. Of those released, at most `kept_spaces` wait for reuse, that have had
        `kept_bytes` in them together at most, for a Memory never gives back what was once written; kept_spaces=0 turns
        reuse off."""
        self.image = image
        self.layout: Layout = image.layout
        self.max_spaces = max_spaces
        self.kept_spaces = kept_spaces
        self.kept_bytes = kept_bytes
        self.live = 0                              # spaces handed out
        self.spaces: WeakSet[Space] = WeakSet()    # and which they are
        self.running: Space | None = None          # whose run() is on the stack
        self.raised: BaseException | None = None   # by a hook, until run() has left the Wasm frames
        self._kept: list[Space] = []
        self.counters = Counters()
        self._region_instructions = 0              # executed in spaces that were released
        self._counting = Lock()
        self.regions: WeakSet[Regions] = WeakSet()     # those that somebody still holds
        self.hot = getattr(image, "hot", None)
        self.created, self.released = getattr(image, "created", None), getattr(image, "released", None)
        layout = image.layout
        executable = bytes(b for b in range(256) if b & layout.EXECUTE)
        self.executable = re.compile(b"[" + re.escape(executable) + b"]")
        self.may_read, self.may_write = (bytes(b for b in range(256) if b & bit) for bit in (layout.READ, layout.WRITE))
        self.may_just_write = self.may_write.translate(None, executable)        # no code was decoded there
        self.readable_page = bytes(bool(b & layout.READ) for b in range(256))            # the same for one page
        self.just_writable_page = bytes(b in self.may_just_write for b in range(256))
        self.stored = bytes(                   # the kernel's view of a permission byte -> the byte stored
            b & (layout.READ | layout.EXECUTE | layout.PRESENT) | (layout.WRITE | layout.MAY_WRITE if b & layout.WRITE else 0)
            for b in range(256))
        both = layout.READ | layout.WRITE
        self.readable = bytes(b & layout.READ == layout.READ for b in range(256))       # what of it goes into READABLE and WRITABLE
        self.writable = bytes(b & (both | layout.EXECUTE) == both for b in range(256))
        self.fresh = b""                       # the state below DECODE of a space nobody has used

    def space(self) -> "Space":
        if self.live >= self.max_spaces:
            raise OutOfSpaces(f"{self.live} address spaces are in use")
        space = self._kept.pop() if self._kept else self._new()
        self.live += 1
        self.spaces.add(space)
        if self.created:
            self.created(space)
        return space

    @property
    def region_instructions(self) -> int:
        """Guest instructions that regions executed, in all spaces there ever were."""
        return self._region_instructions + sum(space.region_instructions for space in self.spaces)

    @property
    def slots(self) -> int:
        """Functions of region modules that are in tables now."""
        return sum(len(space._linked) for space in self.spaces)

    def _new(self) -> "Space":
        space = self._create()
        space.reset_registers()
        image, layout, u32 = self.image, self.layout, space._u32
        u32[layout.WARM >> 2], u32[layout.REHOT >> 2] = (image.warm, image.rehot) if self.hot else (NEVER, NEVER)
        if not self.fresh:
            self.fresh = space.peek(0, self.layout.DECODE)
        return space

    def expect(self, sent: dict[int, tuple[int, int]]) -> None:
        """System calls by rax that read memory: which arguments, counted from 1, are its address and how many bytes they are.
        An engine may use that to have the bytes at hand."""

    def close(self) -> None:
        """The engine is no longer needed, and none of its spaces is in use."""
        self.shed()

    def shed(self) -> None:
        """Let go of spaces that wait for reuse."""
        for space in self._kept:
            space._destroy()
        self._kept.clear()

    def compile_regions(self, wasm: bytes, wait: bool = True) -> Regions:
        """Compile a region module (see protocol); raises EngineError. With wait=False that goes on beside the guest, where
        the engine can do so: `ready` tells when it is over, and linking earlier waits. An error is raised by linking then."""
        regions = Regions(wasm)
        self.regions.add(regions)
        if wait or not self._compile_beside(regions, wasm):
            self._compile_into(regions, wasm)
            if wait and regions.error:
                raise regions.error
        return regions

    def compile_beside(self, wasm: bytes) -> Regions:
        """Compile a module that is wanted soon, not now; what that takes need not be counted."""
        return self.compile_regions(wasm, wait=False)

    def _compile_into(self, regions: Regions, wasm: bytes) -> None:
        start = perf_counter()
        try:
            regions.module = self._compile(wasm)
        except EngineError as error:
            regions.error = error
        with self._counting:
            self.counters.modules += 1
            self.counters.module_bytes += len(wasm)
            self.counters.compile_seconds += perf_counter() - start

    def _compile_beside(self, regions: Regions, wasm: bytes) -> bool:
        """Begin to compile while the guest goes on; False if that cannot be."""
        return False

    def _finish(self, regions: Regions) -> None:
        """Wait until regions are ready."""
        raise AssertionError("nothing goes on beside the guest")

    # The module's imports. They keep every exception, KeyboardInterrupt too: none may pass through Wasm frames (that would
    # cost 50-75 us, and leave wasmtime's frames behind). Space.run raises it.

    def syscall(self) -> int:
        try:
            return self._goes_on(self.running.call())
        except BaseException as error:
            self.raised = error
            return 0

    def _goes_on(self, answer) -> int:
        """What a hook has answered, for the module; if the guest goes on, permissions are as the kernel has left them."""
        if not answer:
            return 0
        if self.running._changed:
            self.running.publish()
        return 1

    def fault(self, low: int, high: int, access: int) -> int:
        try:
            return self._goes_on(self.running.on_fault(low | high << 32, access))
        except BaseException as error:
            self.raised = error
            return 0

    def escape(self) -> int:
        try:
            stop = self.image.escape(self.running)
            if self.running._changed:
                self.running.publish()
            return stop
        except BaseException as error:
            self.raised = error
            return self.layout.LEFT

    def _take_back(self, space: "Space", used: int) -> bool:
        """Counts a released space of `used` bytes out; whether it is to be kept for reuse."""
        self.live -= 1
        self.spaces.remove(space)
        self._region_instructions += space.region_instructions
        space.touched = max(space.touched, used)
        return len(self._kept) < self.kept_spaces and sum(other.touched for other in self._kept) + space.touched <= self.kept_bytes

    @abstractmethod
    def _create(self) -> "Space":
        """A space with a new Memory and instance, or OutOfSpaces."""

    @abstractmethod
    def _compile(self, wasm: bytes):
        """The module, compiled; raises EngineError."""


class Space(ABC):
    """One address space, plus the register context of the thread now loaded in it."""

    # The subclass keeps _u32 (and any other view) right: an indexable of u32 over at least the memory below BIAS.
    _u32: "memoryview | list[int]"

    def __init__(self, engine: Engine):
        self.engine = engine
        self._layout = layout = engine.layout
        self._bias = layout.BIAS
        self._permissions = layout.PERMISSIONS
        self.limit = WASM_LIMIT - layout.BIAS - WASM_PAGE
        self._backed = 0                 # guest addresses below this lie in the Memory, and a wasm page above it does too
        # The kernel's permissions, by page. Only the kernel changes them, so they need not be fetched from the Memory, where
        # the module adds marks of its own.
        self._pages = bytearray()
        self._changed: list[tuple[int, int]] | None = []   # runs (first, end) of pages whose permission bytes in the Memory are older
        self._readable, self._writable = Runs(), Runs()
        self._numbered = False           # runs of pages have numbers: regions alone look at them
        self._rip = layout.RIP >> 2
        self._may_read, self._may_write, self._may_just_write = engine.may_read, engine.may_write, engine.may_just_write
        self._readable_page, self._just_writable_page = engine.readable_page, engine.just_writable_page
        self._strays: list[tuple[int, int]] = []   # guest ranges written while a page of them was absent
        self._strays_limit = STRAYS
        self._linked: set[int] = set()   # slots of the table that hold a function of a region module
        self._free: list[int] = []       # and those that hold none
        self._hot_count = layout.HOT_COUNT >> 2
        self._frames = 0                 # calls of run() on the stack
        self.trap_error = 0              # the error code of the exception that stopped a run; whoever looks sets it to 0
        self.stepping = False            # the trap flag is set; nothing but registers loaded from here sets it
        self._released = False
        self._left = bytearray()         # pages that have had a permission and lost it: their Memory stays; not 0 there
        self.touched = 0                 # bytes that one of its users has had in it, at most
        self.on_syscall: SyscallHook = _no_hook
        self.on_fault: FaultHook = _no_hook

    # ---- what an engine supplies

    @abstractmethod
    def _enter(self, fuel: int) -> int:
        """Call the export run; raises EngineTrap."""

    @abstractmethod
    def peek(self, address: int, n: int) -> bytes:
        """Bytes at a wasm address."""

    @abstractmethod
    def poke(self, address: int, data) -> None:
        """Store bytes at a wasm address; nothing else happens."""

    def pokes(self, pieces: list[tuple[int, bytes]]) -> None:
        """Store several pieces, each at a wasm address."""
        for address, data in pieces:
            self.poke(address, data)

    @abstractmethod
    def blank(self, address: int, n: int, byte: int) -> None:
        """Store n times the byte at a wasm address; nothing else happens."""

    @abstractmethod
    def _copy(self, other: "Space", address: int, n: int) -> None:
        """Copy from the same wasm address of another space of the same engine."""

    @abstractmethod
    def _resize(self, wasm_pages: int) -> None:
        """Grow the Memory to so many pages and renew the views; raises OutOfMemory."""

    @abstractmethod
    def _destroy(self) -> None:
        """Drop the Memory and the instance."""

    @abstractmethod
    def _call(self, export: str, *args: int) -> int:
        """Call an export other than run, with up to 4 i32 arguments."""

    @abstractmethod
    def _extend(self, n: int) -> int:
        """Grow the table by n empty slots; the number of the first. Raises OutOfMemory."""

    @abstractmethod
    def _link(self, module, slots: list[int]) -> None:
        """Instantiate a module that Engine._compile made, and put its exports "0", "1", .. into the slots."""

    @abstractmethod
    def _clear(self, slots: Collection[int]) -> None:
        """Empty slots of the table."""

    def _worn(self) -> bool:
        """Whether the space has gathered so much that a new one is better than using it again."""
        return False

    # ---- execution

    def run(self, fuel: int) -> int:
        """Execute at most about `fuel` instructions; returns a stop code. An exception raised in a hook is raised here."""
        engine = self.engine
        outer, engine.running = engine.running, self
        self._frames += 1
        try:
            if self._changed:
                self.publish()
            stop = self._step() if self.stepping else self._enter(fuel)
            if self._u32[self._hot_count] and engine.hot and not self._released:
                engine.hot(self)
        finally:
            engine.running = outer
            raised, engine.raised = engine.raised, None
            self._frames -= 1
            if self._released and not self._frames:
                self._give_back()
        if raised is not None:
            raise raised
        return stop

    def _step(self) -> int:
        self._set64(self._layout.INSTRUCTIONS, self.instructions + 1)
        return self.engine.image.step(self)

    # ---- regions

    def link(self, regions: Regions, count: int) -> list[int]:
        """Instantiate a region module for this space and put its functions "0" .. into the table; their slots.

        Raises EngineError when it does not fit the interpreter, OutOfMemory when the table is full.
        """
        if not regions.ready:
            self.engine._finish(regions)
        if regions.error:
            raise regions.error
        start = perf_counter()
        free, linked = self._free, self._linked
        if not self._numbered:
            self._numbered = True
            self.pokes([piece for first, end in _used(self._pages) for piece in self._number(first, end)])
        if len(linked) + count > MAX_SLOTS:
            raise OutOfMemory(f"{len(linked)} functions are linked, and no room is left for {count}")
        if len(free) < count:
            n = max(count - len(free), len(linked), MIN_SLOTS)
            first = self._extend(n)
            free[:0] = range(first + n - 1, first - 1, -1)
        slots = [free.pop() for _ in range(count)]
        try:
            self._link(regions.module, slots)
        except EngineError:
            free.extend(reversed(slots))
            raise
        linked.update(slots)
        counters = self.engine.counters
        counters.links += 1
        counters.linked_functions += count
        counters.link_seconds += perf_counter() - start
        return slots

    def unlink(self, slots: Collection[int]) -> None:
        """Empty slots that `link` gave, for others to use. By now nothing that is installed may lead to them."""
        assert self._linked.issuperset(slots)
        self._clear(slots)
        self._linked.difference_update(slots)
        self._free.extend(slots)

    def find(self, rip: int) -> int:
        """Not 0 if code at rip has been decoded; where its record lies."""
        return self._call("find", rip) & 0xFFFFFFFF

    def exchanges(self, rounds: int) -> bool:
        """Whether the engine was seen to exchange the operands of sums or products, which may come with how often this was asked."""
        return self._call("exchanges", rounds) != 0

    def install(self, rip: int, slot: int, first: int, last: int) -> bool:
        """Let the function in the slot stand for the code at rip, which was made from the bytes first .. last, until one of
        them changes. False if that cannot be."""
        if self._changed:
            self.publish()
        return self._call("install", rip, slot, first, last) != 0

    def install_ranges(self, rip: int, slot: int, ranges: list[tuple[int, bytes]]) -> bool:
        """The same for a function made from several ranges, if the guest has these bytes there. `hot` forgets what it was to answer.
        Where the answer is False, it may stand there nevertheless: whoever asked takes it out."""
        if self._changed:
            self.publish()
        layout, pieces, size = self._layout, [], 0
        for first, code in ranges:
            if size + PAIR.size + len(code) > 4 * layout.HOT_MAX:
                if not self._install_staged(rip, slot, pieces):
                    return False
                pieces, size = [], 0
            pieces += PAIR.pack(first, len(code)), code
            size += PAIR.size + len(code)
        return self._install_staged(rip, slot, pieces)

    def _install_staged(self, rip: int, slot: int, pieces: list[bytes]) -> bool:
        data = b"".join(pieces)
        self.poke(self._layout.HOT, data)
        return self._call("install_ranges", rip, slot, len(data)) != 0

    def hot(self) -> list[int]:
        """Where code has become hot since this was last asked."""
        n = self._u32[self._hot_count]
        self._u32[self._hot_count] = 0
        return array("I", self.peek(self._layout.HOT, 4 * n)).tolist()

    # ---- registers

    def get(self, reg: int) -> int:
        u32 = self._u32
        reg += reg
        return u32[reg] | u32[reg + 1] << 32

    def set(self, reg: int, value: int) -> None:
        u32 = self._u32
        reg += reg
        u32[reg] = value & 0xFFFFFFFF
        u32[reg + 1] = value >> 32 & 0xFFFFFFFF

    @property
    def rip(self) -> int:
        u32, i = self._u32, self._rip
        return u32[i] | u32[i + 1] << 32

    @rip.setter
    def rip(self, value: int) -> None:
        u32, i = self._u32, self._rip
        u32[i] = value & 0xFFFFFFFF
        u32[i + 1] = value >> 32 & 0xFFFFFFFF

    def by_stack(self, address: int) -> bool:
        """Whether the instruction at rip, which faulted at the address, used the stack segment there."""
        return self.engine.image.by_stack(self, address)

    @property
    def rflags(self) -> int:
        return self._call("eflags") & 0xFFFFFFFF

    @rflags.setter
    def rflags(self, value: int) -> None:
        self.stepping = value & TRAP_FLAG != 0
        self._call("set_eflags", value & 0xFFFFFFFF)

    @property
    def fs_base(self) -> int:
        """With a selector that is null, if it is set here."""
        return self._get64(self._layout.FS_BASE)

    @fs_base.setter
    def fs_base(self, value: int) -> None:
        self._set64(self._layout.FS_BASE, value)
        self.poke(self._layout.SELECTORS + 4, bytes(2))

    @property
    def gs_base(self) -> int:
        return self._get64(self._layout.GS_BASE)

    @gs_base.setter
    def gs_base(self, value: int) -> None:
        self._set64(self._layout.GS_BASE, value)
        self.poke(self._layout.SELECTORS + 6, bytes(2))

    @property
    def instructions(self) -> int:
        return self._get64(self._layout.INSTRUCTIONS)

    @property
    def region_instructions(self) -> int:
        """The part of `instructions` that regions executed."""
        return self._get64(self._layout.REGION_INSTRUCTIONS)

    def _get64(self, address: int) -> int:
        u32 = self._u32
        return u32[address >> 2] | u32[(address >> 2) + 1] << 32

    def _set64(self, address: int, value: int) -> None:
        u32 = self._u32
        u32[address >> 2] = value & 0xFFFFFFFF
        u32[(address >> 2) + 1] = value >> 32 & 0xFFFFFFFF

    def call(self) -> bool:
        """Make a system call, rip being after it; whether to go on at rip."""
        rax, rdx, rsi, rdi, r8, r9, r10 = ARGUMENTS_OF.unpack(self.peek(self._layout.GPR, ARGUMENTS_OF.size))
        result = self.on_syscall((rax, rdi, rsi, rdx, r10, r8, r9))
        if result.__class__ is int:
            self.set(0, result & M64)
            return True
        return result and not self.stepping

    def context(self) -> bytes:
        """The register context of the thread, opaque."""
        return self.peek(0, self._layout.CONTEXT)

    def load_context(self, context: bytes) -> None:
        assert len(context) == self._layout.CONTEXT
        self.stepping = context[self._layout.EFLAGS_REST + 1] & TRAP_FLAG >> 8 != 0
        self.poke(0, context)

    def fxsave(self) -> bytes:
        """The 512 bytes FXSAVE64 stores, its unused parts zero. There are pointers where an x87 exception is pending."""
        layout, state = self._layout, self.context()
        fcw, fsw = FCW_FSW.unpack_from(state, layout.FCW)
        mxcsr, = U32.unpack_from(state, layout.MXCSR)
        pointers = 0, 0, 0
        if fsw & FX_PENDING:
            pointers = *U16.unpack_from(state, layout.FOP), *U64.unpack_from(state, layout.FIP), *U64.unpack_from(state, layout.FDP)
        header = FX_HEADER.pack(fcw, fsw, state[layout.FTW], *pointers, mxcsr, MXCSR_MASK)
        x87 = [state[register:register + 10] + bytes(6) for register in self._stack_order(fsw)]
        xmm = [state[register:register + 16] for register in self._xmm()]
        return b"".join([header, *x87, *xmm]).ljust(FX_SIZE, b"\0")

    def fxrstor(self, image: bytes) -> None:
        """Load what fxsave stored. Reserved bits of MXCSR are dropped, as Linux does for a signal frame."""
        layout, state = self._layout, bytearray(self.context())
        fcw, fsw, ftw, fop, fip, fdp, mxcsr, _ = FX_HEADER.unpack_from(image)
        fcw = fcw & FCW_BITS | FCW_ONE
        fsw &= ~(FX_PENDING | FX_BUSY)
        if fsw & ~fcw & FX_EXCEPTIONS:
            fsw |= FX_PENDING | FX_BUSY
        U16.pack_into(state, layout.FOP, fop & 0x7FF)
        U64.pack_into(state, layout.FIP, fip)
        U64.pack_into(state, layout.FDP, fdp)
        FCW_FSW.pack_into(state, layout.FCW, fcw, fsw)
        state[layout.FTW] = ftw
        U32.pack_into(state, layout.MXCSR, mxcsr & MXCSR_MASK)
        for i, register in enumerate(self._stack_order(fsw)):
            state[register:register + 10] = image[FX_X87 + 16 * i:FX_X87 + 16 * i + 10]
        for i, register in enumerate(self._xmm()):
            state[register:register + 16] = image[FX_XMM + 16 * i:FX_XMM + 16 * i + 16]
        self.poke(0, state)

    def uppers(self) -> bytes:
        """Bits 128 to 255 of the 16 vector registers: what XSAVE stores of AVX."""
        state = self.context()
        return b"".join([state[register + 16:register + 32] for register in self._xmm()])

    def load_uppers(self, image: bytes) -> None:
        state = bytearray(self.context())
        for i, register in enumerate(self._xmm()):
            state[register + 16:register + 32] = image[16 * i:16 * i + 16]
        self.poke(0, state)

    def reset_floats(self) -> None:
        """x87, MMX and SSE registers as a new program finds them."""
        layout = self._layout
        self.blank(layout.VECTOR, layout.X87 - layout.VECTOR, 0)
        self.fxrstor(FX_HEADER.pack(RESET_FCW, 0, 0, 0, 0, 0, RESET_MXCSR, 0).ljust(FX_SIZE, b"\0"))

    def heed_exceptions(self) -> None:
        """The thread's program may look at the exceptions of SSE arithmetic from now on."""
        if not self._u32[self._layout.WATCHED >> 2]:
            self.poke(self._layout.WATCHED, b"\1\0\0\0")

    def _stack_order(self, fsw: int) -> list[int]:
        """Where ST(0) .. ST(7) lie: FXSAVE stores the stack, the state holds physical registers."""
        top = fsw >> 11 & 7
        return [self._layout.X87 + 16 * (top + i & 7) for i in range(8)]

    def _xmm(self) -> range:
        """Where xmm0 .. xmm15 lie, in the lower halves of 32 bytes each; the upper halves are AVX's."""
        return range(self._layout.VECTOR, self._layout.VECTOR + 16 * 32, 32)

    def reset_registers(self) -> None:
        """All registers as a new program finds them: zero, but for the control words and RFLAGS."""
        layout = self._layout
        self.blank(0, layout.CONTEXT, 0)
        self.poke(layout.MXCSR, RESET_MXCSR.to_bytes(4, "little"))
        self.poke(layout.FCW, RESET_FCW.to_bytes(2, "little"))
        self.rflags = RESET_RFLAGS

    # ---- memory

    def read(self, addr: int, n: int) -> bytes:
        if addr + n > self._backed:
            self._back(addr + n)
        return self.peek(self._bias + addr, n)

    def try_read(self, addr: int, n: int) -> bytes | None:
        """What `read` answers for n > 0 bytes; None unless the kernel permits reading all of them."""
        pages, first, last = self._pages, addr >> 12, addr + n - 1 >> 12
        if last >= len(pages):
            return None
        if last - first < 2:
            if not (self._readable_page[pages[first]] and self._readable_page[pages[last]]):
                return None
        elif pages[first:last + 1].strip(self._may_read):
            return None
        return self.peek(self._bias + addr, n)

    def try_write(self, addr: int, data) -> bool:
        """What `write` does with data that is not empty; False, and nothing, unless the kernel permits writing there."""
        pages, first, last = self._pages, addr >> 12, addr + len(data) - 1 >> 12
        if last >= len(pages):
            return False
        if last - first < 2 and self._just_writable_page[pages[first]] and self._just_writable_page[pages[last]]:
            self.poke(self._bias + addr, data)
            return True
        perms = pages[first:last + 1]
        if not perms.strip(self._may_just_write):
            self.poke(self._bias + addr, data)
            return True
        if perms.strip(self._may_write):
            return False
        self.write(addr, data)
        return True

    def write(self, addr: int, data) -> None:
        self._written(addr, len(data))
        self.poke(self._bias + addr, data)

    def fill(self, addr: int, n: int, byte: int = 0) -> None:
        self._written(addr, n)
        self.blank(self._bias + addr, n, byte)

    def copy(self, other: "Space", addr: int, n: int) -> None:
        """Copy contents, not permissions, from the same addresses of another space."""
        if addr + n > other._backed:
            other._back(addr + n)
        self._written(addr, n)
        self._copy(other, self._bias + addr, n)

    def protect(self, first_page: int, n_pages: int, perm: int) -> None:
        """Set the kernel's permissions of pages, dropping code decoded from them. The Memory hears of it when the guest goes on:
        a fault or a call of mmap changes several runs of pages, and an execve many. ValueError: of pages below LEAST, which have none."""
        end = first_page + n_pages
        if perm and first_page * PAGE < self._layout.LEAST:
            raise ValueError(f"no page below {self._layout.LEAST:#x} can be accessible")
        if perm and end * PAGE > self._backed:
            self._back(end * PAGE)
        if self._executable(first_page, end):
            self._call("protect", first_page, n_pages, perm)
        pages = self._pages
        if not perm:
            self._leave(first_page, end)
        if end > len(pages):
            pages.extend(bytes(end - len(pages)))
        pages[first_page:end] = BYTES[perm] * n_pages
        self._changed.append((first_page, end))

    def publish(self) -> None:
        """Put permissions that have changed into the Memory."""
        spans, self._changed = self._changed, []
        if len(spans) > 1:
            spans = _merged(spans)
        pages, stored, permissions = self._pages, self.engine.stored, self._permissions
        pieces = [(permissions + first, pages[first:end].translate(stored)) for first, end in spans]
        if self._numbered:
            for first, end in spans:
                pieces += self._number(first, end)
        self.pokes(pieces)

    def _leave(self, first: int, end: int) -> None:
        left = self._left
        for begin, stop in _used(self._pages[first:end]):
            if first + stop > len(left):
                left.extend(bytes(first + stop - len(left)))
            left[first + begin:first + stop] = b"\1" * (stop - begin)

    def _number(self, first: int, end: int) -> list[tuple[int, bytes]]:
        """Permissions of these pages have changed, and so runs of pages: what is to be stored."""
        layout, perms, pieces = self._layout, self._pages[first:end], []
        for runs, which, table, where, lately in (
                (self._readable, self.engine.readable, layout.READABLE, layout.RUNS, layout.LATELY),
                (self._writable, self.engine.writable, layout.WRITABLE, layout.RUNS_WRITABLE, layout.LATELY_WRITABLE)):
            change = runs.set(first, perms.translate(which))
            if change:
                begin, numbers, changed, lost = change
                for number, page, pages in changed:
                    start, size = page * PAGE, pages * PAGE
                    pieces.append((where + RUN.size * number, RUN.pack(start, size - layout.NARROW + 1)))
                pieces.append((table + begin, numbers))
                if lost:
                    self.blank(lately, 16 * layout.LATELY_MAX, 0)
        return pieces

    def perms(self, first_page: int, n_pages: int) -> bytes:
        """The kernel's permissions of pages, a byte each."""
        return bytes(self._pages[first_page:first_page + n_pages]).ljust(n_pages, b"\0")

    @property
    def pages(self) -> int:
        """How many pages there are up to the last that had a permission."""
        return len(self._pages)

    def adopt(self, other: "Space", first_page: int, perms: bytes) -> None:
        """Fork, into a space nobody has used: copy the pages of another space where `perms` has their permission (0: not
        this page), and set it."""
        perms = perms.rstrip(b"\0")
        end = first_page + len(perms)
        if end * PAGE > self._backed:
            self._back(end * PAGE)
        for first, last in _used(perms):
            self._copy(other, self._bias + (first_page + first) * PAGE, (last - first) * PAGE)
        pages = self._pages
        if end > len(pages):
            pages.extend(bytes(end - len(pages)))
        pages[first_page:end] = perms
        self.poke(self._permissions + first_page, perms.translate(self.engine.stored))
        if self._numbered:
            self.pokes(self._number(first_page, end))

    def release(self) -> None:
        """Give the space back. Whoever holds it must not use it any more. A hook may release the space it was called for
        (exit and execve do) and return False: memory goes once run() has left it."""
        self.on_syscall = self.on_fault = _no_hook
        self._released = True
        if not self._frames:
            self._give_back()

    def _give_back(self) -> None:
        engine, layout = self.engine, self._layout
        self._released = False
        if self._linked:
            self.unlink(list(self._linked))
        if engine.released:
            engine.released(self)
        used = [(first * PAGE, (end - first) * PAGE + OVERREACH) for first, end in _used(self._pages)]
        used += self._absent()
        tables = self._tables()
        gone = sum(self.perms(first, end - first).count(0) for first, end in _used(self._left)) * PAGE
        if not engine._take_back(self, gone + sum(n for _, n in used) + sum(n for _, n in tables)) or self._worn():
            self._destroy()
            self._changed = None            # nothing may reach the Memory any more
            return
        for addr, n in used:
            self.blank(self._bias + addr, n, 0)
        self._strays, self._strays_limit = [], STRAYS
        n_pages = len(self._pages)
        self.blank(self._permissions, n_pages, 0)
        self._pages, self._left, self._changed = bytearray(), bytearray(), []
        if self._numbered:
            for table, n in ((layout.READABLE, n_pages), (layout.WRITABLE, n_pages),
                             (layout.RUNS, RUN.size * 256), (layout.RUNS_WRITABLE, RUN.size * 256),
                             (layout.LATELY, 16 * layout.LATELY_MAX), (layout.LATELY_WRITABLE, 16 * layout.LATELY_MAX)):
                self.blank(table, n, 0)
            self._readable, self._writable, self._numbered = Runs(), Runs(), False
        for addr, n in tables:
            self.blank(addr, n, 0)
        self.poke(0, engine.fresh)
        self.stepping = False
        engine._kept.append(self)

    def _tables(self) -> list[tuple[int, int]]:
        """Where the interpreter keeps what it has decoded, as far as it has used that: wasm addresses and lengths."""
        layout, u32 = self._layout, self._u32
        arena_end = u32[layout.ARENA_NEXT >> 2]
        if not arena_end:
            return []
        return [(layout.HASH, u32[layout.HASH_MASK >> 2] + 8), (layout.LINKS, layout.BLOCKS - layout.LINKS),
                (layout.BLOCKS, 16 * u32[layout.BLOCK_COUNT >> 2]), (layout.RECORDS, arena_end - layout.RECORDS)]

    def _absent(self) -> list[tuple[int, int]]:
        """The strays that no permission byte accounts for even now."""
        return [(addr, n) for addr, n in self._strays
                if 0 in self.perms(addr // PAGE, (addr + n + PAGE - 1) // PAGE - addr // PAGE)]

    def _written(self, addr: int, n: int) -> None:
        """Before the kernel writes: the range is backed, its code forgotten, and release will find it."""
        if addr + n > self._backed:
            self._back(addr + n)
        pages, first, end = self._pages, addr >> 12, addr + n + PAGE - 1 >> 12
        if self._executable(first, end):
            self._call("forget", first, end - first)
        if end > len(pages) or pages.find(0, first, end) >= 0:
            self._strays.append((addr, n))
            if len(self._strays) >= self._strays_limit:
                self._strays = self._absent()
                self._strays_limit = 2 * len(self._strays) + STRAYS

    def _executable(self, first: int, end: int) -> bool:
        """Whether code may have been decoded from any of the pages: it comes from executable ones only."""
        return self.engine.executable.search(self._pages, first, end) is not None

    def _back(self, end: int) -> None:
        """Grow the Memory so that guest addresses below `end` exist, and a wasm page more: the check of an access looks at
        its first byte's page only, and the last access may reach over the end."""
        if end > self.limit:
            raise OutOfMemory(f"guest address {end:#x} is beyond the limit {self.limit:#x}")
        end = min(-(-end // GROWTH) * GROWTH, self.limit)
        self._resize((self._bias + end) // WASM_PAGE + 1)
        self._backed = end
