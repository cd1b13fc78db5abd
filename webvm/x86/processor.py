"""Which processors a guest may be given: their features, and what CPUID says of them.

A feature is named as in the opcode maps, which is where it decides whether an instruction exists.
"""
from collections.abc import Collection

VENDOR = b"GenuineIntel"                    # glibc tunes its string functions by it; the other known one is AuthenticAMD
BRAND = b"webvm virtual x86-64 processor"
SIGNATURE = 0x000206C2                      # family 6, model 44 (Westmere), for which glibc prefers unaligned moves to shifted aligned ones

# Bit numbers by feature, of those that can be had. `BASE` is what every processor here has.
LEAF_1_EDX = {"fpu": 0, "tsc": 4, "cx8": 8, "cmov": 15, "clflush": 19, "mmx": 23, "fxsr": 24, "sse": 25, "sse2": 26}
LEAF_1_ECX = {"sse3": 0, "pclmulqdq": 1, "ssse3": 9, "cx16": 13, "sse4.1": 19, "sse4.2": 20, "movbe": 22, "popcnt": 23, "aes": 25, "xsave": 26, "osxsave": 27,
              "avx": 28, "f16c": 29, "fma": 12}
LEAF_7_EBX = {"fsgsbase": 0, "bmi1": 3, "avx2": 5, "bmi2": 8, "adx": 19, "sha": 29}
# Of every processor here, as of Intel's: FDP is set by exceptions alone, FCS and FDS are zero.
X87_POINTERS = 1 << 6 | 1 << 13                 # in EBX of leaf 7
LEAF_7_ECX = {"vaes": 9, "vpclmulqdq": 10}
EXTENDED_ECX = {"lahf_lm": 0, "lzcnt": 5}
EXTENDED_EDX = {"syscall": 11, "nx": 20, "lm": 29}
XCR0, XSAVE_SIZE = 7, 832                    # x87, SSE and AVX are there; bytes of an XSAVE area
BASE = frozenset({*LEAF_1_EDX, *EXTENDED_EDX, "cx16", "lahf_lm"})

V2 = frozenset({"sse3", "ssse3", "sse4.1", "sse4.2", "popcnt"})
V3 = V2 | {"lzcnt", "movbe", "bmi1", "bmi2", "xsave", "osxsave", "avx", "avx2", "fma", "f16c"}
CPUS = {
    "x86-64":    frozenset({"lahf_lm"}),
    "x86-64-v2": frozenset({"lahf_lm"}) | V2,
    "x86-64-v3": frozenset({"lahf_lm"}) | V3,
    "max":       frozenset({"lahf_lm", "aes", "pclmulqdq", "vaes", "vpclmulqdq", "adx", "fsgsbase", "sha"}) | V3,
}
DEFAULT = "x86-64-v2"

LINUX_NAMES = {"sse3": "pni", "lzcnt": "abm", "sha": "sha_ni", "sse4.1": "sse4_1", "sse4.2": "sse4_2"}        # where /proc/cpuinfo has others


def linux_flags(features: Collection[str]) -> list[str]:
    """The words of /proc/cpuinfo's flags, in the order of the bits."""
    tables = LEAF_1_EDX, EXTENDED_EDX, LEAF_1_ECX, EXTENDED_ECX, LEAF_7_EBX, LEAF_7_ECX
    have = BASE.union(features) - {"osxsave"}
    return [LINUX_NAMES.get(name, name) for table in tables for name in table if name in have]


def _mask(table, features): return sum(1 << bit for name, bit in table.items() if name in features)
def _word(text, at): return int.from_bytes(text[at:at + 4].ljust(4, b"\0"), "little")


def leaves(features: Collection[str]) -> dict[tuple[int, int | None], tuple[int, int, int, int]]:
    """EAX, EBX, ECX, EDX by leaf and subleaf (None: any); what is not here is four zeros."""
    have = BASE.union(features)
    found = {
        (0, None): (7, _word(VENDOR, 0), _word(VENDOR, 8), _word(VENDOR, 4)),
        (1, None): (SIGNATURE, 0x00000800, _mask(LEAF_1_ECX, have), _mask(LEAF_1_EDX, have)),
        (7, 0): (0, _mask(LEAF_7_EBX, have) | X87_POINTERS, _mask(LEAF_7_ECX, have), 0),
        (0x80000000, None): (0x80000008, 0, 0, 0),
        (0x80000001, None): (0, 0, _mask(EXTENDED_ECX, have), _mask(EXTENDED_EDX, have)),
        (0x80000008, None): (32 | 48 << 8, 0, 0, 0),
    }
    if "xsave" in have:
        found[0, None] = (13, *found[0, None][1:])
        found[13, 0] = (XCR0, XSAVE_SIZE, XSAVE_SIZE, 0)
        found[13, 2] = (256, 576, 0, 0)                 # of the upper halves of vector registers: size and offset in an XSAVE area
    for k in range(3):
        found[0x80000002 + k, None] = tuple(_word(BRAND, 16 * k + at) for at in range(0, 16, 4))
    return found
