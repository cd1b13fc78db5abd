"""What CPUID, time stamps, segment registers and other rare instructions mean; most are run by the oracle alone."""
from .meaning import RAX, RBP, RCX, RDX, RSP, meaning
from .oracle import Trap, python_meaning
from .primitives import M64
from .processor import leaves


@meaning()
def cpuid(m):
    """Not left to the oracle: the dynamic linker asks thirty times in each program."""
    leaf, subleaf = m.reg(RAX, 32), m.reg(RCX, 32)
    answer = [m.int(0, 32)] * 4
    for (number, sub), values in leaves(m.features()).items():
        asked = leaf == number if sub is None else (leaf == number) & (subleaf == sub)
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
