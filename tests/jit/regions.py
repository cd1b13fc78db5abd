"""Programs of many blocks on three machines: the oracle, the interpreter, and the interpreter with regions.

`Guest` is a space with code, data and a stack. `random_program` makes control-flow graphs whose every cycle counts R15 down,
so they end; their straight code comes from the opcode tables.
"""
import random
import struct
from dataclasses import dataclass
from time import sleep

from tests.jit.test_interpreter import SEED, cases
from tests.x86 import machines
from webvm.engine.native import NativeEngine
from webvm.jit import image as machine_image
from webvm.jit import layout as at
from webvm.jit import regions
from webvm.jit.handler import STOPS
from webvm.jit.options import Options
from webvm.x86 import ieee
from webvm.x86.decode import decode
from webvm.x86.insn import Mem, Reg
from webvm.x86.oracle import GuestFault, Oracle, SystemCall, Trap

CODE, CODE_SIZE = machines.CODE, 0x8000
DATA, DATA_SIZE, MIDDLE = machines.DATA, machines.DATA_SIZE, machines.MIDDLE
STACK, STACK_SIZE = 0x700000, 0x3000
POINTERS, FUNCTIONS = DATA, 10              # to the functions of random programs, which are fewer
TOP = STACK + 0x2000                        # where RSP begins; above it lie return addresses that lead out
READ, RX, RW, RWX = 1 | 32, 5 | 32, 3 | 32, 7 | 32
RAX, RCX, RDX, RBX, RSP, RSI, RDI, R15 = 0, 1, 2, 3, 4, 6, 7, 15
ENDS = {at.FUEL: "fuel"} | {stop: vector for vector, stop in STOPS.items()}


# ---------------------------------------------------------------------------------------------- machines


def engine(tier: str = "jit", options: Options = Options()) -> NativeEngine:
    """An engine that translates nothing by itself."""
    made = NativeEngine(machine_image.Image(machines.FEATURES, tier=tier, options=options))
    made.hot = None
    if made.image.translator is not None:
        made.image.translator.beside, made.image.translator.strict = False, True
    return made


class Guest:
    """A space whose faults and system calls end the run, unless `grant` says what a fault at a page gives, or `calls` answers."""

    def __init__(self, engine: NativeEngine, code_permission: int = RX):
        self.engine = engine
        self.space = engine.space()
        self.translator = engine.image.translator
        self.space.on_fault, self.space.on_syscall = self.fault, self.syscall
        self.faults, self.grant, self.calls, self.end = [], {}, None, ""
        self.seen = None                    # a list: gets the registers at each fault
        self.space.protect(CODE >> 12, CODE_SIZE >> 12, code_permission)
        self.show()

    def show(self):
        """All of data and stack may be used."""
        self.hidden = None
        for first, size in ((DATA, DATA_SIZE), (STACK, STACK_SIZE)):
            self.space.protect(first >> 12, size >> 12, RW)

    def fault(self, address, access):
        self.faults.append((address, access))
        if self.seen is not None:
            self.seen.append(machine_image.read_state(self.space))
        permission = self.grant.get(address >> 12)
        if self.hidden is not None and len(self.faults) % 5 == 0:
            self.hide(self.hidden)
        if permission is None or access & permission != access:
            self.end = f"fault {address:#x} {access}"
            return False
        self.space.protect(address >> 12, 1, permission)
        return True

    def syscall(self, registers):
        if self.calls is not None and self.calls():
            return True
        self.end = "syscall"
        return False

    def load(self, state, data: bytes = b"", stack: bytes = b""):
        space = self.space
        if data:
            space.write(DATA, data)
        if stack:
            space.write(STACK, stack)
        machine_image.write_state(space, state)
        self.faults, self.end = [], ""

    def hide(self, permission: int):
        """Of data and stack, what is permitted now; the rest once a fault asks for it, and until a few faults later. 0: nothing,
        READ: no writing."""
        self.hidden = permission
        for first, size in ((DATA, DATA_SIZE), (STACK, STACK_SIZE)):
            self.space.protect(first >> 12, size >> 12, permission)
            self.grant |= dict.fromkeys(range(first >> 12, first + size >> 12), RW)

    def run(self, fuel: int = 1 << 20) -> str:
        """How the run ended."""
        self.end = ""
        stop = self.space.run(fuel)
        if stop == at.LEFT and not self.end and self.space.stepping:
            return "steps"                                  # TF was set
        return self.end if stop == at.LEFT else ENDS[stop]

    def outcome(self, end: str) -> machines.Outcome:
        space = self.space
        return machines.Outcome(machine_image.read_state(space), space.read(DATA, DATA_SIZE) + space.read(STACK, STACK_SIZE), end,
                                unseen=0 if self.translator is None else ieee.EXCEPTIONS if self.translator.options.loose_floats else ieee.DE)

    def translate(self, entries, rng=None) -> int:
        """Makes regions at those addresses that have been decoded, in modules of random sizes. How many."""
        space, translator = self.space, self.translator
        space.poke(at.HOT_COUNT, bytes(4))
        if space in translator._code:
            translator._code[space].floats = ""            # as if the program had just begun
        translator.hot(space)                              # makes it known
        entries = [rip for rip in dict.fromkeys(entries) if space.find(rip)]
        was = translator.counters.installed
        while entries:
            n = rng.randrange(1, 9) if rng else regions.BATCH
            translator._translate(space, entries[:n])
            entries = entries[n:]
        self.wait()
        return translator.counters.installed - was

    def wait(self):
        """Until no region is being compiled, which another thread does."""
        while self.translator is not None and self.translator._compiling:
            sleep(0.0002)
            self.translator._install_compiled()

    def is_region(self, rip: int) -> bool:
        record = self.space.find(rip)
        return bool(record) and self.space.peek(record, 4) == b"\4\0\0\0"

    @property
    def in_regions(self) -> int:
        """Instructions executed in regions."""
        return struct.unpack("<Q", self.space.peek(at.REGION_INSTRUCTIONS, 8))[0]


class _Memory:
    """The same pages for the oracle."""

    def __init__(self, code: bytes, data: bytes, stack: bytes):
        self.parts = [(CODE, bytearray(code.ljust(CODE_SIZE, b"\xf4")), "r"), (DATA, bytearray(data), "rw"),
                      (STACK, bytearray(stack), "rw")]

    def _part(self, address, length, access):
        for start, part, allowed in self.parts:
            if start <= address and address + length <= start + len(part) and access in allowed:
                return part, address - start
        raise GuestFault(address, access)

    def read(self, address, length):
        part, where = self._part(address, length, "r")
        return bytes(part[where:where + length])

    def check_write(self, address, length): self._part(address, length, "w")

    def write(self, address, data):
        part, where = self._part(address, len(data), "w")
        part[where:where + len(data)] = data


def on_oracle(code: bytes, state, data: bytes, stack: bytes, most: int = 20000) -> machines.Outcome:
    state, memory, decoded, end = state.copy(), _Memory(code, data, stack), {}, "fuel"
    for _ in range(most):
        rip = state.rip
        insn = decoded.get(rip)
        if insn is None:
            if not CODE <= rip < CODE + CODE_SIZE:
                end = "fault"
                break
            insn = decoded[rip] = decode(code[rip - CODE:rip - CODE + 15].ljust(15, b"\xf4"), rip, features=machines.FEATURES)
        try:
            Oracle(insn, state, memory).step()
        except (Trap, SystemCall, GuestFault) as stop:
            end = stop.vector if isinstance(stop, Trap) else "syscall" if isinstance(stop, SystemCall) else "fault"
            break
    return machines.Outcome(state, bytes(memory.parts[1][1] + memory.parts[2][1]), end)


# ---------------------------------------------------------------------------------------------- programs


class Assembly:
    """Code with labels. `rel` and `table` entries are filled in by `encode`."""

    def __init__(self):
        self.code, self.labels, self.holes = bytearray(), {}, []

    def __call__(self, *parts: bytes | str):
        for part in parts:
            self.code += bytes.fromhex(part) if isinstance(part, str) else part

    def label(self, name): self.labels[name] = CODE + len(self.code)

    def rel(self, opcode: str, name):
        """An opcode and the 32-bit distance to a label."""
        self(opcode)
        self.holes.append((len(self.code), "rel", name, 0))
        self(bytes(4))

    def address(self, name):
        self.holes.append((len(self.code), "address", name, 0))
        self(bytes(8))

    def distance(self, name, base):
        self.holes.append((len(self.code), "distance", name, base))
        self(bytes(4))

    def encode(self) -> bytes:
        for where, kind, name, base in self.holes:
            target = self.labels[name]
            if kind == "address":
                struct.pack_into("<Q", self.code, where, target)
            else:
                struct.pack_into("<i", self.code, where, target - (self.labels[base] if base else CODE + where + 4))
        assert len(self.code) <= CODE_SIZE
        return bytes(self.code)


KEPT = {RBX, RSP, RSI, R15}                  # what addresses and loops depend on
CONTROL = {"jmp", "jmp_indirect", "jcc", "call", "call_indirect", "ret", "loop", "loope", "loopne", "jrcxz", "syscall"}
LEFT_OUT = CONTROL | {"push", "pop", "pushf", "popf", "enter", "leave", "std", "fxsave", "fxrstor", "cmpxchg8b", "maskmovq", "maskmovdqu",
                      "vmaskmovq", "vgather", "xsave", "xrstor", "xgetbv", "xlat", "int3", "hlt", "cpuid"}
FLOATING = ("ps", "pd", "ss", "sd")


@dataclass
class Piece:
    """Code that falls through, and may be repeated anywhere: it writes no register of KEPT, and only data."""
    code: bytes
    exact: bool                              # no floating point, whose NaNs the oracle makes differently


def pieces() -> list[Piece]:
    """From every row of the tables."""
    found = []
    for row, code, _, _ in cases(1):
        if row.meaning in LEFT_OUT or row.rep or row.repz or any(word in row.meaning for word in ("div", "ud", "fx", "sysc")):
            continue
        insn = decode(code, CODE, features=machines.FEATURES)
        operands = insn.operands
        memory = any(isinstance(o, Mem) for o in operands)
        if any(isinstance(o, Mem) and o.rip for o in operands) or memory and row.meaning in ("bt", "bts", "btr", "btc"):
            continue
        written = operands if row.meaning in ("xchg", "xadd") else operands[:1]
        if any(isinstance(o, Reg) and o.kind == "g" and o.number in KEPT and not (o.high and o.number != 3) for o in written):
            continue
        found.append(Piece(code, not (row.meaning.endswith(FLOATING) or row.meaning.startswith(("cvt", "vcvt")))))
    # string instructions, as compilers set them up: the direction flag may be either
    for rep in ("", "f3", "f2"):
        for op in ("a4", "a5", "48a5", "66a5", "aa", "ab", "48ab", "a6", "a7", "48a7", "ae", "48af", "ac", "48ad"):
            for count in (0, 1, 5):
                set_up = f"56 57 488db300ffffff 488dbb80000000 b9{count:02x}000000" if op in ("a6", "a4") else \
                    f"56 57 488db340ffffff 488dbbc0000000 b9{count:02x}000000"
                prefixed = op[:2] + rep + op[2:] if op[:2] == "66" else rep + op
                found.append(Piece(bytes.fromhex(f"{set_up} {prefixed} 5f 5e"), True))
    # push and pop, flags on the stack, ENTER and LEAVE, x87, and division
    for text in ("50 5a", "52 51 58 5f", "6a7f 58", "6650 6659", "ff33 8f03", "ff742408 59", "9c 5a", "9c 01c8 9d", "9c 58 50 9d", "fc", "fd",
                 "c8100000 c9", "d9e8 dd9b80000000", "dd03 dd5b40",
                 "dd03 dc4308 dd5b40", "df6b08 d9e8 dfe9 ddd8", "db2b d9f8 db7b30", "dd03 db5b20", "31d2 f7f1", "99 f7f9", "4899 48f7f9", "48f7f1"):
        found.append(Piece(bytes.fromhex(text), True))
    rng = random.Random(SEED)
    return found + [pointer_piece(rng) for _ in range(len(found) // 4)]


def _memory(prefix: bytes, wide: bool, opcode: bytes, reg: int, base: int, disp: int) -> bytes:
    """An instruction with register `reg` and [base + disp]; base is not RSP or R12."""
    rex = 0x40 | 8 * wide | (reg >> 3) << 2 | base >> 3
    return prefix + bytes([rex]) + opcode + bytes([0x80 | (reg & 7) << 3 | base & 7]) + struct.pack("<i", disp)


def pointer_piece(rng) -> Piece:
    """Accesses off registers that move, near where one page of the data ends and the next begins."""
    pointers = RDI, 8, 9
    code = b"".join(_memory(b"", True, b"\x8d", p, RBX, rng.randrange(-100, 100)) for p in pointers)         # lea p, [rbx + n]
    for _ in range(rng.randrange(3, 12)):
        p, q, n = rng.choice(pointers), rng.choice(pointers), rng.randrange(-24, 24)
        data = rng.choice((RAX, RCX, RDX, 10, 11))

        def registers(opcode, wide=True, reg=q, rm=p):
            return bytes([0x40 | 8 * wide | (reg >> 3) << 2 | rm >> 3]) + opcode + bytes([0xC0 | (reg & 7) << 3 | rm & 7])
        match rng.randrange(18):
            case 0 | 1 | 2: code += _memory(b"", True, rng.choice((b"\x8b", b"\x89", b"\x01", b"\x03", b"\x39")), data, p, n)
            case 3 | 4: code += _memory(b"", False, rng.choice((b"\x8b", b"\x89", b"\x31", b"\x88", b"\x8a", b"\x0f\xb6")), data, p, n)
            case 5: code += _memory(b"\x66", False, rng.choice((b"\x8b", b"\x89")), data, p, n)
            case 6 | 7: code += _memory(b"", False, rng.choice((b"\x0f\x10", b"\x0f\x11")), rng.randrange(16), p, n)
            case 8 | 9: code += registers(b"\x81", True, rng.choice((0, 5))) + struct.pack("<i", n)   # add, sub
            case 10: code += _memory(b"", True, b"\x8d", q, p, n)                                            # lea q, [p + n]
            case 11: code += registers(b"\x89")                                                             # mov p, q
            case 12: code += registers(b"\x87")                                                             # xchg
            case 13: code += registers(b"\xff", True, rng.randrange(2))                                     # inc, dec
            case 14: code += registers(b"\x83", False, rng.choice((0, 5))) + bytes([rng.randrange(16)])      # add, sub of the lower half
            case 15: code += registers(bytes([0x0F, 0x40 + rng.randrange(16)]), True, q, p)                  # cmov
            case 16: code += bytes([0x40 | p >> 3, 0xB0 | p & 7, rng.randrange(0x80)])                      # mov to the lowest byte
            case 17: code += bytes([0x40 | p >> 3, 0x50 | p & 7, 0x40 | q >> 3, 0x58 | q & 7])              # push p ; pop q
    return Piece(code, True)


# lea r15, [r15 - 1] ; xchg rcx, r15 ; jrcxz leave ; jmp on ; leave: xchg rcx, r15 ; jmp out ; on: xchg ...: flags stay as they are
CALM_GUARD = "4d8d7fff 4987cf e302 eb08 4987cf"


PLAIN_ENDINGS = ("branch",) * 12 + ("through", "jump", "loop", "call")        # of blocks: nested and irreducible loops
ENDINGS = ("branch",) * 6 + ("through",) * 3 + ("call",) * 3 + (
    "jump", "jump", "loop", "indirect call", "table", "table", "return", "odd return", "stack switch", "unwind")
SMALL_ENDINGS = ("call",) * 16 + ("branch",) * 8 + ("through", "jump", "loop", "return", "indirect call", "odd return", "stack switch", "unwind")


class Generator:
    """Random programs of functions, each of several blocks."""

    def __init__(self, rng, pool: list[Piece]):
        self.rng, self.pool = rng, pool

    def program(self, functions: int, blocks: int, longest: int = 5, ends: tuple | None = None) -> tuple[bytes, dict]:
        """The code, which begins at CODE, and its labels: (function, block) for each block, "out" where it ends."""
        rng, self.a = self.rng, Assembly()
        self.ends = ends or (ENDINGS if rng.random() < .6 else PLAIN_ENDINGS)
        counts = [rng.randrange(blocks // 2, blocks + 1) for _ in range(functions)]
        self.blocks = [(f, b) for f in range(functions) for b in range(counts[f])]
        for f, b in self.blocks:
            self.a.label((f, b))
            for _ in range(rng.randrange(longest + 1)):
                self.a(rng.choice(self.pool).code)
            self._end(f, b, counts[f])
        self.a.label("out")
        self.a("0f05")
        return self.a.encode(), self.a.labels

    def _guard(self):
        """Leaves when R15 has come down to zero."""
        a = self.a
        match self.rng.randrange(3):
            case 0:
                a(CALM_GUARD)
                a.rel("e9", "out")
                a("4987cf")
            case 1:
                a("49ffcf")                              # dec r15 ; jz out
                a.rel("0f84", "out")
            case 2:
                a("4983ef01")                            # sub r15, 1 ; jle out
                a.rel("0f8e", "out")

    def _target(self, f, b, count):
        """A block of the function, guarded unless it comes later."""
        rng = self.rng
        target = rng.randrange(count) if rng.random() < .6 or b + 1 == count else rng.randrange(b + 1, count)
        if target <= b:
            self._guard()
        return f, target

    def _end(self, f, b, count):
        rng, a, last = self.rng, self.a, b + 1 == count
        kind = rng.choice(self.ends)
        if last and kind in ("branch", "through", "loop", "call", "indirect call", "stack switch"):
            kind = "return" if rng.random() < .7 and (f or self.ends is not SMALL_ENDINGS) else "jump"
        match kind:
            case "branch":
                a.rel(f"0f{0x80 + rng.randrange(16):02x}", self._target(f, b, count))
            case "jump":
                a.rel("e9", self._target(f, b, count))
            case "loop":
                target = self._target(f, b, count)
                a(f"{rng.choice((0xE0, 0xE1, 0xE2, 0xE3)):02x}02 eb05")
                a.rel("e9", target)
            case "call" if self.ends is SMALL_ENDINGS and rng.random() < .9:          # so that it comes back
                if f < self.blocks[-1][0]:
                    self._call_of(rng.randrange(f + 1, self.blocks[-1][0] + 1))
            case "call":
                self._guard()
                a.rel("e8", rng.choice(self.blocks) if rng.random() < .2 else (rng.randrange(self.blocks[-1][0] + 1), 0))
            case "indirect call":
                self._guard()
                a.rel("488d05", (rng.randrange(self.blocks[-1][0] + 1), 0))            # lea rax, [rip + function]
                a(rng.choice(("ffd0", "50 58 ffd0", "4889 8380000000 ff9380000000")))  # call rax ; or by memory
            case "table":
                self._guard()
                self._table(f, count)
            case "return":
                if rng.random() < .2:
                    a("4883ec08 c20800")                 # sub rsp, 8 ; ret 8 reads what lies there: mostly out by a fault
                else:
                    a("c3")
            case "odd return":                           # to another place than the caller expects
                self._guard()
                a.rel("488d05", rng.choice(self.blocks))
                a("48890424 c3")
            case "stack switch":
                self._guard()
                a("4887a3e0fdffff")                      # xchg [rbx - 0x220], rsp
            case "unwind":                               # as longjmp does
                self._guard()
                a("48c7c4", struct.pack("<i", TOP - 0x200))
                a.rel("e9", (f, rng.randrange(count)))

    def _call_of(self, function):
        """A call of a function, or by the pointer that may lead there: of it, or of a jump by it; at times that is changed before."""
        rng, a, pointer = self.rng, self.a, struct.pack("<I", POINTERS + 8 * function)
        if rng.random() < .4:
            a.rel("e8", (function, 0))
            return
        if rng.random() < .2:
            a.rel("488d05", (rng.randrange(function, self.blocks[-1][0] + 1), 0))      # lea rax, [rip + function]
            a("48890425", pointer)                                                     # mov [pointer], rax
        a("ff1425" if rng.random() < .5 else "e802000000 eb07 ff2425", pointer)        # or: call stub ; jmp on ; stub: jmp [pointer]

    def _table(self, f, count):
        rng, a = self.rng, self.a
        name = ("table", len(a.code))
        a("89c2 83e203")                                 # mov edx, eax ; and edx, 3
        a.rel("488d0d", name)                            # lea rcx, [rip + table]
        targets = [(f, rng.randrange(count)) for _ in range(4)]
        if rng.random() < .5:
            a("ff24d1")                                  # jmp [rcx + rdx * 8]
            a.label(name)
            for target in targets:
                a.address(target)
        else:
            a("48631491 4801ca ffe2")                    # movsxd rdx, [rcx + rdx * 4] ; add rdx, rcx ; jmp rdx
            a.label(name)
            for target in targets:
                a.distance(target, name)


def beginning(rng, labels, rounds: int):
    """The state, data and stack that a random program begins with. Both stacks have addresses above them that lead out."""
    state, data = machines.random_state(rng, True, False), bytearray(rng.randbytes(DATA_SIZE))
    state.gpr[RBX] = MIDDLE + 8 * rng.randrange(8)
    state.gpr[RSP], state.gpr[R15] = TOP, rounds
    if rng.random() < .3:
        state.mxcsr, state.watched = machines.control(rng), rng.choice((0, 1, 1 | at.UNPLAIN))
    struct.pack_into("<Q", data, state.gpr[RBX] - 0x220 - DATA, STACK + 0x1000)
    for function in range(FUNCTIONS):
        struct.pack_into("<Q", data, POINTERS + 8 * function - DATA, labels.get((function, 0), 0))
    stack = struct.pack("<Q", labels["out"]) * (STACK_SIZE // 8)
    return state, bytes(data), stack
