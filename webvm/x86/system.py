"""What CPUID, time stamps, segment registers and other rare instructions mean; most are run by the oracle alone."""
from .integer import set_eflags
from .meaning import RAX, RBP, RCX, RDX, RSP, meaning
from .oracle import Trap, python_meaning
from .primitives import M64, signed
from .processor import XCR0, leaves


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


@meaning()
def xgetbv(m):
    """XCR0 is the only register there is."""
    m.trap_if(m.reg(RCX, 32) != 0, "GP")
    m.set_reg(RAX, m.int(XCR0, 32))
    m.set_reg(RDX, m.int(0, 32))


# ---------------------------------------------------------------------------------------------- segments and far transfers
# What a 64-bit Linux process has, and can load: CS and SS never change, of the others nothing matters but FS's and GS's bases.

_ES, _CS, _SS, _DS, _FS, _GS = range(6)
_SELECTORS = {_CS: 0x33, _SS: 0x2B}
_PLACES = {_ES: 0, _DS: 16, _FS: 32, _GS: 48}           # of the others, in State.selectors

# Linux's descriptors that user mode may use, by selector without its RPL: rights as LAR gives them, limit.
_DESCRIPTORS = {0x20: (0xCFFB00, 0xFFFFFFFF),           # 32-bit code, which is never executed here
                0x28: (0xCFF300, 0xFFFFFFFF),           # data
                0x30: (0xAFFB00, 0xFFFFFFFF),           # 64-bit code
                0x78: (0x40F500, 0)}                    # data; the limit is the number of the processor
_WRITABLE = 0x28


def puts_traps_off(insn) -> bool:
    """Whether single steps have no trap after it, but after the next instruction: a system call, and what loads SS."""
    return insn.meaning == "syscall" or insn.meaning in ("mov_to_seg", "pop_seg") and insn.operands[0].number == _SS


def _selector(m, register: int) -> int:
    return _SELECTORS[register] if register in _SELECTORS else m.state.selectors >> _PLACES[register] & 0xFFFF


def _load_segment(m, register: int, selector: int) -> None:
    """FS and GS get the base 0 of every descriptor there is, and from a null selector, as from Intel's processors and AMD's newer ones."""
    if register == _SS:
        if selector != _SELECTORS[_SS]:
            raise Trap("GP", selector & 0xFFFC)
    elif selector & 0xFFFC not in _DESCRIPTORS and selector & 0xFFFC:
        raise Trap("GP", selector & 0xFFFC)
    else:
        place = _PLACES[register]
        m.state.selectors = m.state.selectors & ~(0xFFFF << place) | selector << place
        if register in (_FS, _GS):
            m.set_base("fs" if register == _FS else "gs", m.int(0, 64))


@python_meaning()
def mov_from_seg(m):
    m.dst = m.int(_selector(m, m.insn.operands[1].number), m.bits[0])


@python_meaning()
def mov_to_seg(m): _load_segment(m, m.insn.operands[0].number, m.src.raw & 0xFFFF)


@python_meaning()
def push_seg(m): m.push(m.int(_selector(m, m.insn.operands[0].number), m.size))


@python_meaning()
def pop_seg(m):
    value = m.pop(m.size)
    _load_segment(m, m.insn.operands[0].number, value.raw & 0xFFFF)


def _far_pointer(m, k: int) -> tuple[int, int]:
    """(offset, selector) of a far pointer in memory."""
    raw = m.memory.read(m.address(k).raw, m.insn.operands[k].size)
    return int.from_bytes(raw[:-2], "little"), int.from_bytes(raw[-2:], "little")


@python_meaning("lss", "lfs", "lgs")
def load_far_pointer(m):
    offset, selector = _far_pointer(m, 1)
    _load_segment(m, {"lss": _SS, "lfs": _FS, "lgs": _GS}[m.insn.meaning], selector)
    m.dst = m.int(offset, m.bits[0])


def _code_segment(m, selector: int, offset: int, returning: bool) -> None:
    """#GP unless it is the 64-bit code segment, the only one that is executed here."""
    if selector & ~3 != _SELECTORS[_CS] & ~3 or returning and selector != _SELECTORS[_CS]:
        raise Trap("GP", selector & 0xFFFC)
    m.target(m.int(offset, 64))


def _stacked(m, count: int) -> list[int]:
    """So many integers of the operand size from the top of the stack."""
    size = m.size // 8
    raw = m.memory.read(m.state.gpr[RSP], count * size)
    return [int.from_bytes(raw[at:at + size], "little") for at in range(0, count * size, size)]


@python_meaning()
def jmpf(m):
    offset, selector = _far_pointer(m, 0)
    _code_segment(m, selector, offset, False)
    m.goto(m.int(offset, 64))


@python_meaning()
def callf(m):
    offset, selector = _far_pointer(m, 0)
    _code_segment(m, selector, offset, False)
    size = m.insn.operands[0].size - 2
    frame = m.next.to_bytes(8, "little")[:size] + _SELECTORS[_CS].to_bytes(size, "little")
    sp = m.state.gpr[RSP] - len(frame) & M64
    m.memory.write(sp, frame)
    m.state.gpr[RSP] = sp
    m.goto(m.int(offset, 64))


@python_meaning()
def retf(m):
    offset, selector = _stacked(m, 2)
    selector &= 0xFFFF
    _code_segment(m, selector, offset, True)
    more = m.insn.operands[0].value if m.insn.operands else 0
    m.state.gpr[RSP] = m.state.gpr[RSP] + 2 * m.size // 8 + more & M64
    m.goto(m.int(offset, 64))


@python_meaning()
def iret(m):
    offset, selector, flags, sp, stack = _stacked(m, 5)
    _code_segment(m, selector & 0xFFFF, offset, True)
    if stack & 0xFFFF != _SELECTORS[_SS]:
        raise Trap("GP", stack & 0xFFFC)
    if m.size == 16:
        flags |= m.state.rest & 0xFFFF0000
    set_eflags(m, m.int(flags, 32))
    m.state.gpr[RSP] = sp
    m.goto(m.int(offset, 64))


@python_meaning("int")
def int_(m):
    """Of the gates, user mode may use two. Linux has a third, 80, for 32-bit system calls; there are none here."""
    number = m.insn.operands[0].value
    raise Trap({3: "BP", 4: "OF"}.get(number, "GP"), 0 if number in (3, 4) else number << 3 | 2)


@python_meaning()
def int1(m): raise Trap("DB")


# ---------------------------------------------------------------------------------------------- what there is of descriptors


def _usable(m) -> int | None:
    """The selector (without RPL) in the last operand, if user mode may use its descriptor."""
    selector = m.operand(len(m.bits) - 1).raw & 0xFFFC
    return selector if selector in _DESCRIPTORS else None


@python_meaning()
def verr(m): m.flags_set(zf=m.bool(_usable(m) is not None))


@python_meaning()
def verw(m): m.flags_set(zf=m.bool(_usable(m) == _WRITABLE))


@python_meaning("lar", "lsl")
def lar(m):
    selector = _usable(m)
    if selector is not None:
        m.dst = m.int(_DESCRIPTORS[selector][m.insn.meaning == "lsl"], m.bits[0])
    m.flags_set(zf=m.bool(selector is not None))


# Newer processors refuse these to user mode (UMIP); Linux then gives every program the same answers.
_TABLES = {"sgdt": 0xFFFFFFFFFFFE0000, "sidt": 0xFFFFFFFFFFFF0000}
_WORDS = {"sldt": 0, "str": 0x40, "smsw": 0x80050033}


@python_meaning("sgdt", "sidt")
def store_table(m): m.memory.write(m.address(0).raw, bytes(2) + _TABLES[m.insn.meaning].to_bytes(8, "little"))


@python_meaning("sldt", "str", "smsw")
def store_word(m):
    """A 32-bit register keeps its upper half: it is Linux that writes."""
    value = _WORDS[m.insn.meaning]
    if m.kinds[0] == "m" or m.size != 32:
        m.dst = m.int(value, m.bits[0])
    else:
        number = m.insn.operands[0].number
        m.state.gpr[number] = m.state.gpr[number] >> 32 << 32 | value


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


@meaning("clflush", "clflushopt", "clwb")
def flush_line(m): m.operand(0)                         # faults as a load of the byte would


@python_meaning()
def vgather(m):
    """Elements at the addresses that a vector of indices makes, where the mask says so; the mask is zero then. Those that are there
    already when one faults are not kept: the processor keeps them, and goes on with the rest."""
    (target, memory, mask), state = m.insn.operands, m.state

    def register(number): return state.upper[number] << 128 | state.xmm[number]

    def elements(number, size): return [register(number) >> 8 * k & (1 << 8 * size) - 1 for k in range(0, 32, size)]
    size, base = memory.size, state.gpr[memory.base] if memory.base is not None else 0
    segment = {None: 0, "fs": state.fs_base, "gs": state.gs_base}[memory.segment]
    old, chosen, indices = elements(target.number, size), elements(mask.number, size), elements(memory.index, 8 if m.insn.row.vsibq else 4)
    found = 0
    for k in range(target.size // size):
        value = old[k]
        if chosen[k] >> 8 * size - 1:
            index = signed(indices[k], 64 if m.insn.row.vsibq else 32)
            at = base + index * memory.scale + memory.disp & (0xFFFFFFFF if memory.asize == 4 else M64)
            value = int.from_bytes(m.memory.read(at + segment & M64, size), "little")
        found |= value << 8 * size * k
    state.xmm[target.number], state.upper[target.number] = found & (1 << 128) - 1, found >> 128
    state.xmm[mask.number] = state.upper[mask.number] = 0
