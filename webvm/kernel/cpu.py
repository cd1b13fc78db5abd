"""What the kernel asks of a machine: address spaces that run guest code and call back.

Engines implement these protocols by duck typing; the kernel knows nothing else of them.
"""

from collections.abc import Callable
from typing import Protocol

PAGE = 4096

# Permission byte of a page, as the kernel sees it.  PRESENT: the content is valid, even where no access is permitted.
R, W, X, PRESENT = 1, 2, 4, 32

# Why `Space.run` came back.
FUEL       = 1          # ran as long as it was asked to
LEFT       = 2          # a hook returned False
ILLEGAL    = 3          # #UD
DIVIDE     = 4          # #DE
BREAKPOINT = 5          # int3; rip is after it
PROTECTION = 6          # #GP: hlt, in, out, cli, ...
FLOATING   = 9          # #MF: an exception of the x87 is pending
SIMD       = 10         # #XM: an SSE exception that is not masked
STACK      = 11         # #SS: a stack at an address that is not canonical
OVERFLOW   = 12         # int 4; rip is after it
DEBUG      = 13         # int1; rip is after it
STEP       = 14         # an instruction was executed, and the trap flag was set in rflags

# Register numbers of `get` and `set`, in encoding order.
RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI, R8, R9, R10, R11, R12, R13, R14, R15 = range(16)


class Space(Protocol):
    """One address space, and the registers of the thread now loaded in it."""

    limit: int                                  # first guest address that can never be mapped
    # rip is after SYSCALL; gets rax rdi rsi rdx r10 r8 r9. An int: go on at rip with that in rax; True: go on; False: leave
    on_syscall: Callable[[tuple[int, int, int, int, int, int, int]], int | bool]
    on_fault: Callable[[int, int], bool]        # (address, R|W|X) not permitted; True: permitted now, try again
    instructions: int                           # executed so far
    trap_error: int                             # the error code of the exception it stopped for; whoever looks sets it to 0

    rip: int
    rflags: int
    fs_base: int
    gs_base: int

    def run(self, fuel: int) -> int: ...        # about FUEL instructions; why it stopped

    def get(self, reg: int) -> int: ...
    def set(self, reg: int, value: int) -> None: ...
    def fxsave(self) -> bytes: ...              # 512 bytes
    def reset_floats(self) -> None: ...         # as a new program finds them
    def heed_exceptions(self) -> None: ...      # of the thread's SSE arithmetic: its program may look at them (a hint)
    def fxrstor(self, image: bytes) -> None: ...
    def uppers(self) -> bytes: ...              # 256 bytes: the upper halves of AVX's registers, asked for where CPUID shows XSAVE
    def load_uppers(self, image: bytes) -> None: ...
    def by_stack(self, address: int) -> bool: ...       # the instruction at rip uses the stack segment at the address
    def context(self) -> bytes: ...             # all registers, opaque
    def load_context(self, context: bytes) -> None: ...

    # Memory: no permission checks, the ranges lie in pages the kernel has mapped.
    def read(self, address: int, length: int) -> bytes: ...
    def write(self, address: int, data) -> None: ...
    def fill(self, address: int, length: int, byte: int = 0) -> None: ...
    def copy(self, other: "Space", address: int, length: int) -> None: ...      # from OTHER, same address
    def protect(self, first_page: int, pages: int, permissions: int) -> None: ...
    def adopt(self, other: "Space", first_page: int, permissions: bytes) -> None: ...   # fork into a fresh space
    def perms(self, first_page: int, pages: int) -> bytes: ...
    def try_read(self, address: int, length: int) -> bytes | None: ...          # None: not all of it has R. LENGTH > 0, here and
    def try_write(self, address: int, data) -> bool: ...                        # here; False: not all of it has W
    def release(self) -> None: ...              # zero what was present, give the space back


class Engine(Protocol):
    def space(self) -> Space: ...               # zeroed; raises OutOfSpaces, a MemoryError, at the limit
    def shed(self) -> None: ...                 # programs use much memory: what is kept for others to come may go
