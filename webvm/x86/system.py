"""What CPUID, time stamps, segment registers and other rare instructions mean; most are run by the oracle alone."""
from .meaning import RAX, RBP, RCX, RDX, RSP, meaning
from .oracle import Trap, python_meaning
from .primitives import M64

VENDOR = b"GenuineIntel"                    # glibc tunes its string functions by it; the other known one is AuthenticAMD
BRAND = b"webvm virtual x86-64 processor"

# CPUID leaf 1: bit numbers by feature, for the features that can be had.
EDX_1 = {"fpu": 0, "tsc": 4, "cx8": 8, "cmov": 15, "clflush": 19, "mmx": 23, "fxsr": 24, "sse": 25, "sse2": 26}
ECX_1 = {"sse3": 0, "pclmulqdq": 1, "ssse3": 9, "cx16": 13, "sse4_1": 19, "sse4_2": 20, "movbe": 22, "popcnt": 23, "aes": 25}
BASE = frozenset(EDX_1)


def _mask(table, features): return sum(1 << bit for name, bit in table.items() if name in features)


def cpuid_leaf(leaf: int, subleaf: int, features: frozenset[str]) -> tuple[int, int, int, int]:
    """EAX, EBX, ECX, EDX of a leaf, for a processor with x86-64, SSE2 and `features`."""
    word = lambda text, at: int.from_bytes(text[at:at + 4].ljust(4, b"\0"), "little")
    features = features | BASE
    match leaf:
        case 0:
            return 7, word(VENDOR, 0), word(VENDOR, 8), word(VENDOR, 4)
        case 1:
            return 0x000306A0, 0x00000800, _mask(ECX_1, features), _mask(EDX_1, features)
        case 7 if subleaf == 0:
            return 0, 0, 0, 0
        case 0x80000000:
            return 0x80000008, 0, 0, 0
        case 0x80000001:
            return 0, 0, int("lahf_lm" in features), 1 << 11 | 1 << 20 | 1 << 29          # SYSCALL, NX, long mode
        case 0x80000002 | 0x80000003 | 0x80000004:
            at = (leaf - 0x80000002) * 16
            return tuple(word(BRAND, at + k) for k in range(0, 16, 4))
        case 0x80000008:
            return 32 | 48 << 8, 0, 0, 0
    return 0, 0, 0, 0


class Processor:
    """What CPUID tells; to be set before the interpreter is generated."""
    features: frozenset[str] = frozenset({"lahf_lm"})


_LEAVES = (0, 1, 7, 0x80000000, 0x80000001, 0x80000002, 0x80000003, 0x80000004, 0x80000008)


@meaning()
def cpuid(m):
    """Not left to the oracle: the dynamic linker asks thirty times in each program."""
    leaf, first = m.reg(RAX, 32), m.reg(RCX, 32).is_zero()
    answer = [m.int(0, 32)] * 4
    for number in _LEAVES:
        asked = leaf == number
        asked = asked & first if number == 7 else asked
        values = cpuid_leaf(number, 0, Processor.features)
        answer = [asked.select(m.int(value, 32), old) for value, old in zip(values, answer)]
    for register, value in zip((RAX, 3, RCX, RDX), answer):
        m.set_reg(register, value)


def _time_stamp(m):
    now = m.time_stamp()
    m.set_reg(RAX, now.low(32))
    m.set_reg(RDX, (now >> 32).low(32))


@meaning()
def rdtsc(m): _time_stamp(m)


@meaning()
def rdtscp(m):
    _time_stamp(m)
    m.set_reg(RCX, m.int(0, 32))


@python_meaning()
def xgetbv(m):
    """CPUID does not show OSXSAVE."""
    raise Trap("UD")


_SELECTORS = {0: 0, 1: 0x33, 2: 0x2B, 3: 0, 4: 0, 5: 0}             # es cs ss ds fs gs in a 64-bit Linux process


@python_meaning()
def mov_from_seg(m):
    m.dst = m.int(_SELECTORS[m.insn.operands[1].number], m.bits[0])


@python_meaning()
def mov_to_seg(m):
    """A null selector or the one that is there already may be loaded; nothing else exists."""
    if m.src.raw & 0xFFFC and m.src.raw != _SELECTORS[m.insn.operands[0].number]:
        raise Trap("GP")


@python_meaning()
def push_seg(m): m.push(m.int(_SELECTORS[m.insn.operands[0].number], 64))


@python_meaning()
def pop_seg(m):
    if m.pop(64).raw & 0xFFFC:
        raise Trap("GP")


@python_meaning()
def enter(m):
    """Makes a stack frame; nested levels copy the frame pointers of the enclosing ones."""
    g, bytes_ = m.state.gpr, m.size // 8
    size, level = m.insn.operands[0].value, m.insn.operands[1].value & 31
    sp, frame = g[RSP], g[RBP]

    def push(value):
        nonlocal sp
        sp = sp - bytes_ & M64
        m.memory.write(sp, (value & (1 << m.size) - 1).to_bytes(bytes_, "little"))
    push(frame)
    new = sp
    for k in range(1, level):
        push(int.from_bytes(m.memory.read(frame - k * bytes_ & M64, bytes_), "little"))
    if level:
        push(new)
    m.memory.check_write(sp - size & M64, 1)
    m.set_reg(RBP, m.int(new, m.size))
    g[RSP] = sp - size & M64


@meaning("clflushopt", "clwb", "cldemote")
def cache_hint(m): pass
