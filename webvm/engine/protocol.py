"""What an engine is given, what it offers, and how it fails.

Knows the contract between the generated modules and whoever executes them. Knows nothing of x86, of Linux, of wasmtime or
of JavaScript.

The interpreter module
    imports  env.memory   min BIAS / 64 KiB + 16 pages, max 65536
             env.syscall  () -> i32                   1: go on at the state's rip; 0: leave
             env.fault    (lo, hi, access i32) -> i32 1: the page is permitted now; 0: leave
             env.escape   () -> i32                   0: go on at the state's rip; else a stop code
             env.clock    () -> f64                   nanoseconds, from any moment on
    exports  run          (fuel i32) -> i32           a stop code
             protect      (first, n, kernel's permissions i32)   forgets code decoded from the pages
             forget       (first, n)                  drops records decoded from the pages, WRITE comes back
             eflags       () -> i32                   as RFLAGS has them
             set_eflags   (i32)
             table        of functions: the interpreter's own, after them those that are linked to it
             find         (rip i32) -> i32            not 0: code at rip has been decoded
             install      (rip, slot, first, last i32) -> i32    1: from now on the function in that slot of the table
                                                      stands for the code at rip, until a byte of first..last is forgotten
             install_ranges  (rip, slot, size i32) -> i32        the same for ranges that are in HOT, with their bytes
             exchanges    (rounds i32) -> i32         not 0: of two NaNs that were added or multiplied the second was taken
             more, for region modules only

A region module
    imports  from env: memory, and whatever the interpreter imports or exports, by name
    exports  "0", "1", ...: functions, to be put into the table
"""

from typing import Protocol


class EngineError(Exception):
    """The engine itself failed: not the guest, and not the kernel."""


class EngineTrap(EngineError):
    """Generated code trapped (unreachable, out of bounds, stack exhausted): a bug of ours, which a guest may provoke."""


class OutOfSpaces(EngineError, MemoryError):
    """No further address space can be had now. For the guest this is EAGAIN of fork."""


class OutOfMemory(EngineError, MemoryError):
    """The memory of an address space cannot grow. For the guest this is ENOMEM."""


class Layout(Protocol):
    """Where things lie in the memory of one space: the constants of webvm.jit.layout, which says what each is."""

    GPR: int
    FS_BASE: int
    GS_BASE: int
    EFLAGS_REST: int
    RIP: int
    MXCSR: int
    FCW: int
    FSW: int
    FTW: int
    FOP: int
    FIP: int
    FDP: int
    WATCHED: int
    SELECTORS: int
    VECTOR: int
    X87: int
    CONTEXT: int
    INSTRUCTIONS: int
    HOT_COUNT: int
    HOT_MAX: int
    HOT: int
    WARM: int
    REHOT: int
    REGION_INSTRUCTIONS: int
    ARENA_NEXT: int
    BLOCK_COUNT: int
    PERMISSIONS: int
    READABLE: int
    WRITABLE: int
    RUNS: int
    RUNS_WRITABLE: int
    LATELY: int
    LATELY_WRITABLE: int
    LATELY_MAX: int
    NARROW: int
    HASH: int
    HASH_MASK: int
    LINKS: int
    DECODE: int
    BLOCKS: int
    RECORDS: int
    BIAS: int
    LEAST: int
    READ: int
    WRITE: int
    EXECUTE: int
    CODE: int
    MAY_WRITE: int
    PRESENT: int
    LEFT: int


class Image(Protocol):
    """The machine to execute: the interpreter, and the oracle behind it.

    It may have more, all or none of it:
        warm, rehot: int        how often code is arrived at before it is reported hot, and how often until it is once more
        hot(space)              some code of the space is hot; `space.hot()` tells which
        created(space)          somebody is about to use the space, which is as if new
        released(space)         nobody uses the space any more, and its links are gone
        step(space)             executes the instruction at rip where a trap is wanted after each; the stop code
    """

    wasm: bytes
    layout: Layout

    def escape(self, space) -> int:
        """Execute the instruction at rip over the space's state. 0: go on at rip; else a stop code."""
        ...

    def by_stack(self, space, address: int) -> bool:
        """Whether the instruction at rip uses the stack segment to access memory at the address."""
        ...


class Engine(Protocol):
    """Where address spaces come from: `native.NativeEngine` or `browser.BrowserEngine`."""

    def space(self):
        """A zeroed `space.Space`, fresh or reused; raises OutOfSpaces."""
        ...

    def shed(self) -> None:
        """Let go of spaces that wait for reuse."""
        ...
