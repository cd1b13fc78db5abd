"""Where things lie in the memory of one address space.

Knows the addresses that generated code and the engines share. Knows nothing of meanings, and nothing of Linux.

A wasm address is a guest address plus BIAS; the structures of the machine itself lie below BIAS. Every access of
guest memory adds BIAS through the offset immediate of its load or store, so the sum costs nothing.
"""

# ---- CPU state, at wasm address 0; CONTEXT bytes of it belong to a thread
GPR          = 0        # 16 x u64, in encoding order: rax rcx rdx rbx rsp rbp rsi rdi r8 .. r15
ZERO         = 128      # u64, always 0: the register that an absent base, index or segment reads
FS_BASE      = 136      # u64
GS_BASE      = 144      # u64
RIP          = 152      # u64
FLAG_A       = 160      # u64  operands of the last flag-setting instruction, shifted up to bit 63
FLAG_B       = 168      # u64
FLAG_KIND    = 176      # u32  which instruction that was (x86.flags), shift << 8
DF           = 180      # u32  the direction flag: 0, or 1 for downwards
MXCSR        = 184      # u32
EFLAGS_REST  = 188      # u32  flags that are neither arithmetic nor DF (ID, AC, NT; IF and bit 1 are always set)
FCW          = 192      # u16  x87 control word
FSW          = 194      # u16  x87 status word, TOP included
FTW          = 196      # u8   x87 tags in FXSAVE's short form: bit n set where physical register n is in use
FOP          = 198      # u16  opcode of the x87 instruction that raised an unmasked exception
FIP          = 200      # u64  where the last x87 instruction was
FDP          = 208      # u64  of the one that raised an unmasked exception, the operand in memory
WATCHED      = 224      # u32, not 0 once the thread's program has seen to MXCSR, so that exceptions of numbers are to be found there;
                        #      UNPLAIN of it where a region has found that numbers are not rounded to nearest, or flushed, or may trap
SELECTORS    = 232      # 4 x u16: of ES, DS, FS, GS
VECTOR       = 256      # 16 x 32 bytes: xmm in the lower half, room for ymm
X87          = 768      # 8 x 16 bytes: physical registers R0..R7, 10 bytes each in use; MMX lies in the lower 8
CONTEXT      = 896

UNPLAIN = 2

INSTRUCTIONS = 1024     # u64, instructions executed in this address space since the memory was made
STOP         = 1032     # u32, why the run in progress is to end
FLUSHES      = 1036     # u32, how often the record arena was emptied
ARENA_NEXT   = 1040     # u32, first free byte of the record arena (0: not set up yet)
BLOCK_COUNT  = 1044     # u32, entries in use in the block index
HOT_COUNT    = 1048     # u32, entries in use in HOT
WARM         = 1052     # u32, how many counted arrivals make a new block hot (0: as good as never)
REHOT        = 1056     # u32, how many more until it is reported again
REGION_FUEL  = 1060     # i32, instructions that regions may still execute in this run
EPOCH        = 1064     # u32, how often `forget` dropped code
HASH_MASK    = 1068     # u32, the offset of the last entry of HASH in use, a multiple of 8 below a power of two
REGION_INSTRUCTIONS = 1072      # u64, the part of INSTRUCTIONS that regions executed
CHECK        = 1080     # u32, with check.py only: what happens where a region is to be entered
CHECK_PASS   = 1084     # u32, where it is passed over once
CHECK_RETRY  = 1088     # u32, not 0 once a region left an instruction to the interpreter

DEPTH        = 1092     # u32, guest calls that may still be nested in the `run` or `resume` that interprets now
ENTERED      = 1096     # u32, EPOCH when the outermost region on the stack was entered
NESTED       = 1100     # u32, instructions that `resume` interpreted in this run

X87_VALUE    = 1104     # u64, what a shared function of x87.py answers: a significand, or bits to be stored
X87_HIGH     = 1112     # u32, sign and exponent
X87_FLAGS    = 1116     # u32, exceptions and C1 of the arithmetic in progress

SSE_EXCEPTIONS = 1120   # u32, exceptions of the lanes computed so far, see sse.py
SSE_TRAPS    = 1124     # u32, not 0 where one of them is unmasked: the oracle is to execute the instruction
SSE_FOREIGN  = 1128     # u32, 1 where Wasm's NaNs are not those of an x86 here

MORE_ARRIVALS = 1132    # u32, arrivals that one by way of a region's end counts for, less that one: what hot code leads to

X87_LOWER    = 1136     # u64, the lower half of what functions of x87_transcendental.py answer

# ---- tables
HOT          = 0x0004000    # 16 KiB: HOT_MAX x u32, guest addresses of blocks that became hot
EXPECTED     = 0x0008000    # 32 KiB: a bit for each hash of an address (see expected_bit): a region of a block there is known
DECODE       = 0x0010000    # decode tables (data segments), up to PERMISSIONS
PERMISSIONS  = 0x0100000    # 1 MiB: a byte for each 4 KiB guest page, see below
READABLE     = 0x0200000    # 1 MiB: a byte for each 4 KiB guest page: the number of the run of pages that may be read which it is in,
                            #        or 0. Kept by the engine, for regions
WRITABLE     = 0x0300000    # 1 MiB: likewise, reading and writing, and no executing
HASH         = 0x0400000    # 8 MiB: 2**20 x (u32 rip, u32 record) at most, open addressing; HASH_MASK says how many now
LINKS        = 0x0C00000    # 64 KiB: regions lately called, 2**13 x (u32 rip, u32 table slot), see link_place
BLOCKS       = 0x0C10000    # 8 MiB: block index, 2**19 x (u32 first byte, u32 last byte, u32 record, u32 records)
RUNS         = 0x1410000    # 256 x (u64 address, u64 bytes in the run but NARROW - 1): where accesses of as many bytes may begin, by
                            # the number of the run; all 0 for none. Kept by the engine
RUNS_WRITABLE = 0x1412000   # those of WRITABLE
LATELY       = 0x1420000    # 128 KiB: LATELY_MAX x (u64 address, u64 bytes): for checks in regions, what RUNS had for each when it was
                            #          made last; from LATELY_WIDE on, for checks of up to WIDE bytes. The engine drops all when something
                            #          is not permitted any more
LATELY_WRITABLE = 0x1440000 # 128 KiB: of WRITABLE
RECORDS      = 0x1460000    # record arena, up to BIAS: 2.8 million of them; a C++ compiler executes a million instructions
BIAS         = 0x8000000    # guest address 0
LEAST        = 0x10000      # no guest address below this is accessible

HOT_MAX      = 4096
LATELY_MAX   = 8192
LATELY_WIDE  = 6144
NARROW       = 64
WIDE         = 512
EXPECTED_BYTES = 32768
EARLY        = 64           # arrivals that make a block hot where EXPECTED says so, instead of WARM
DEPTH_LIMIT  = 192          # guest calls that may stand on the Wasm stack at a time
RESUME_DEPTH = 6            # so many of them a `resume` counts for

# ---- bits of a permission byte
READ, WRITE, EXECUTE = 1, 2, 4   # access that generated code may make without asking
CODE         = 8                 # records were decoded from this page: WRITE is withheld
MAY_WRITE    = 16                # the kernel permits writing, whether WRITE is withheld or not
PRESENT      = 32                # the kernel's own mark

# ---- why `run` came back
FUEL, LEFT, ILLEGAL, DIVIDE, BREAKPOINT, PROTECTION = 1, 2, 3, 4, 5, 6
FLOATING = 9                     # an exception of the x87 is pending
SIMD = 10                        # an SSE exception that is not masked
STACK_FAULT, OVERFLOW, DEBUG = 11, 12, 13
STEP = 14                        # an instruction was executed, and the trap flag was set
RETRY = 7                        # why a region came back: the interpreter is to execute the instruction at RIP
RESUME = 8                       # or: everything on the stack is to come back, then it goes on at RIP


def expected_bit(address):
    """Which bit of EXPECTED is an address's; the interpreter computes it likewise."""
    return (address * 0x9E3779B1 & 0xFFFFFFFF) >> 14


LINK_FACTOR = 0x9E3779B1


def link_place(address):
    """Where in LINKS the region at an address is noted, as an offset; regions compute it likewise."""
    return (address * LINK_FACTOR & 0xFFFFFFFF) >> 16 & 0xFFF8


def lately_place(entry: int, k: int, wide: bool = False) -> int:
    """Where in LATELY the check number k of the region at `entry` has its run, as an offset. wide: a check of more than NARROW bytes."""
    first, n = (LATELY_WIDE, LATELY_MAX - LATELY_WIDE) if wide else (0, LATELY_WIDE)
    return (first + (((entry * LINK_FACTOR & 0xFFFFFFFF) >> 16) + k) % n) * 16
