"""Tier 1: a region, one Wasm function over the control flow graph that begins at a hot entry.

A region's function takes the number of further activations it may make and the rip to begin at, and answers the next rip,
or 0 with RIP and STOP set. Guest registers live in its locals: loaded where it begins and after calls, stored where it ends and before calls. A
memory access that its check refuses, and whatever must trap, leaves with STOP = RETRY before the instruction has changed
anything, and the interpreter executes it.

The code of instructions comes from the meanings; here is where operands live, and how control flows: loops and blocks
from the dominator tree (N. Ramsey, "Beyond Relooper", ICFP 2022); several entries, indirect jumps and edges into the middle
of a loop share one br_table (cfg.SWITCH).
"""
import secrets
import sys
from dataclasses import dataclass, field
from functools import lru_cache

from ..wasm import encoding as w
from ..x86 import flags, ieee
from ..x86.meaning import AF, ARITHMETIC, CF, MEANINGS, OF, Bool, Float, Int, Vec
from ..x86.primitives import PRIM
from ..x86.sse_floats import SIGNATURES, plainly, result
from ..x86.x87_common import FUNCTIONS
from ..x86.x87_state import execute
from . import layout as at
from . import sse
from .cfg import SWITCH, Graph, Op
from .emit import Emitter
from .handler import CELLS, LOAD, LOAD_VECTOR, STORE, sse_operand
from .hoist import hoist
from .lanes import choose_forms
from .liveness import CLEAN, FLAGS, MIXED, analyse

_FRAMES = 10                     # of Python, that a block inside another may take
_ZERO32 = w.i32(0)
_FUEL = _ZERO32 + w.access("i32.load", at.REGION_FUEL)
_TO32 = w.OP["i32.wrap_i64"] + w.OP["i64.extend_i32_u"]
# Not 0 where MXCSR's controls are not those after a reset, or exceptions are watched.
_UNPLAIN = (_ZERO32 + w.access("i32.load", at.MXCSR) + w.i32(0xFFC0) + w.OP["i32.and"] + w.i32(ieee.RESET) + w.OP["i32.xor"]
            + _ZERO32 + w.access("i32.load", at.WATCHED) + w.OP["i32.or"])
_FLAGS_SET = 1 << 16            # in the local that holds the kind: the flags in locals are newer than those in memory


@dataclass(frozen=True)
class Options:
    """A switch for each optimisation."""
    dead_flags: bool = True     # flags that nobody reads are not computed
    cover: bool = True          # one check for several accesses off one register
    hoist: bool = True          # checks for many rounds of a loop at once
    lanes: bool = True          # lowest lanes of vector registers have locals of their own
    comparisons: bool = True    # of numbers, numbers are kept, not the flags
    pairs: bool = True          # one look into READABLE or WRITABLE tells of most accesses that they are permitted
    structured: bool = True     # control flow from the dominator tree, not all of it over br_table
    direct_calls: bool = True   # calls within a module
    links: bool = True          # calls and jumps to another module go by what is noted in LINKS
    calls_flags: bool = True    # flags that a function called sets before it reads them are not stored for it
    resume: bool = True         # a call that comes back elsewhere is interpreted to its end, and the caller's frame stays
    switches: bool = True       # indirect jumps within a region
    hints: bool = True          # the engine is told which ways are unlikely
    tables: bool = True         # also to where jump tables say
    templates: bool = True      # what was emitted for an instruction is used again for equal ones
    loose_floats: bool = True   # exceptions of numbers are not added to MXCSR until the program loads it


NONE, LOOSE, EASY, HARD = "", "loose", "easy", "hard"      # how a region does operations on numbers, see there


def has_floats(graph: Graph) -> bool:
    """Whether something in it depends on MXCSR."""
    return any(op.insn.effects.float_ops for block in graph.blocks.values() for op in block.ops)


@dataclass(frozen=True)
class Imports:
    """Function indices of what regions call in the interpreter; `type`, that of regions."""
    type: int
    enter: int          # (rip, depth) -> next rip
    resume: int         # (answer, depth, rip after the call) -> that rip, or 0
    syscall_out: int    # (next rip) -> next rip
    escape_out: int     # (rip) -> next rip
    flags: int          # () -> the arithmetic flags, from the state in memory
    divide: int         # (high, low, divisor) -> quotient
    x87: int            # (which, a, b) -> 0, or 1 where the oracle is to do it
    routines: dict[str, int] = field(default_factory=dict)     # by name, see x86.meaning.ROUTINES
    float_ops: dict[str, int] = field(default_factory=dict)    # by name, see sse.py
    unfit: int = 0      # (rip) -> 0: leaves for the interpreter, where MXCSR is not as the region wants it

    def names(self) -> dict[str, int]:
        """All of them by name."""
        return {name: index for name, index in vars(self).items() if name not in ("routines", "float_ops")} | self.routines | self.float_ops


class Low(bytes):
    """The bytes that push a vector; its lowest `bits` bits are the float `low`, the others those of `upper`."""
    def __new__(cls, low, bits, upper, whole=None):
        self = super().__new__(cls, upper + low + _REPLACE[bits] if whole is None else whole)
        self.low, self.bits, self.upper = low, bits, upper
        return self


class Load(bytes):
    """The bytes that push what is in memory: to be evaluated once, where needed."""


class Pattern(bytes):
    """The bytes that push the `bits` bits of the number `float` as an integer, perhaps a wider one."""
    def __new__(cls, raw, float, bits):
        self = super().__new__(cls, raw)
        self.float, self.bits = float, bits
        return self


_REPLACE = {64: w.lane("f64x2.replace_lane", 0), 32: w.lane("f32x4.replace_lane", 0)}
_EXTRACT = {64: w.lane("f64x2.extract_lane", 0), 32: w.lane("f32x4.extract_lane", 0)}
_AS_FLOAT = {64: w.OP["f64.reinterpret_i64"], 32: w.OP["f32.reinterpret_i32"]}
_AS_INT = {64: w.OP["i64.reinterpret_f64"], 32: w.OP["i32.reinterpret_f32"]}
ONES = (1 << 128) - 1


class Const(bytes):
    """The bytes that push a constant, which is known."""
    def __new__(cls, raw, value):
        self = super().__new__(cls, raw)
        self.value = value
        return self


# ---- locals, which have the same numbers in all regions. Temporary ones are those that an instruction needs; the few that need
# more than these get theirs at the end. Vectors and floats are declared where they are used
EXIT_RIP, LEFT, GIVEN, NEXT, ROUNDS, FLAG_KIND = 2, 3, 4, 5, 6, 7
_I32 = 10                       # locals of that type, some temporary
FLAG_A, FLAG_B, LINK = _I32 + 2, _I32 + 3, _I32 + 4
GENERAL = LINK + 1              # 16
_I64 = 3 + 16 + 6
VECTOR = 2 + _I32 + _I64        # 16
_V128, _F64, _F32 = 16 + 4, 16 + 2 + 4, 16 + 4
DOUBLE = VECTOR + _V128         # 16 each: the lowest 64 and 32 bits of vector registers, where they are apart
FLAG_X, FLAG_Y = DOUBLE + 16, DOUBLE + 17
SINGLE = DOUBLE + _F64
SCALARS, VECTORS = ["i32"] * _I32 + ["i64"] * _I64, ["v128"] * _V128 + ["f64"] * _F64 + ["f32"] * _F32
TEMPORARY = {"i32": range(FLAG_KIND + 1, 2 + _I32), "i64": range(GENERAL + 16, VECTOR), "v128": range(VECTOR + 16, VECTOR + _V128),
             "f64": range(FLAG_Y + 1, SINGLE), "f32": range(SINGLE + 16, SINGLE + _F32)}
LOCAL = [*range(GENERAL, GENERAL + 16), *range(VECTOR, VECTOR + 16)]       # of each register (xmm n: 16 + n)


def _both(mask: int) -> int:
    """Forms of the vector registers in a mask."""
    return (mask >> 16 & 0xFFFF) | mask & 0xFFFF0000


def _vector_in(n: int, low: int) -> bytes:
    """Vector register n, from the locals that it is in."""
    if low >> n & 1:
        return Low(w.get(DOUBLE + n), 64, w.get(VECTOR + n))
    if low >> 16 + n & 1:
        return Low(w.get(SINGLE + n), 32, w.get(VECTOR + n))
    return w.get(VECTOR + n)


@lru_cache(1 << 12)
def _stores_of(mask: int, low: int) -> bytes:
    """Registers (and whatever else) from their locals to the state."""
    return b"".join(_ZERO32 + (w.get(LOCAL[n]) if n < 16 else _vector_in(n - 16, low))
                    + (w.access("i64.store", at.GPR + 8 * n) if n < 16 else w.access("v128.store", at.VECTOR + 32 * (n - 16)))
                    for n in range(32) if mask >> n & 1)


@lru_cache(1 << 12)
def _lows(low: int) -> bytes:
    """The lowest lanes of whole vector registers to their own locals."""
    return b"".join([w.get(VECTOR + n) + _EXTRACT[64] + w.put(DOUBLE + n) for n in range(16) if low >> n & 1]
                    + [w.get(VECTOR + n) + _EXTRACT[32] + w.put(SINGLE + n) for n in range(16) if low >> 16 + n & 1])


@lru_cache(1 << 12)
def _loads(mask: int) -> bytes:
    return b"".join(_ZERO32 + (w.access("i64.load", at.GPR + 8 * n) if n < 16 else w.access("v128.load", at.VECTOR + 32 * (n - 16)))
                    + w.put(LOCAL[n]) for n in range(32) if mask >> n & 1)


# What stands in a template for an exit, the constants that differ from place to place, and the address after the instruction;
# followed by how many ifs of the instruction the exit is in, or the number of what it is. Random: no guest can know it.
_HOLE = secrets.token_bytes(16)
_DISP, _LOW, _HIGH, _AFTER = range(100, 104)


def _hole(which: int) -> bytes: return _HOLE + bytes([which])


class Template:
    """What was emitted for an instruction, to be emitted again where all is equal that `Region._instruction` looks at.

    first, rest     the code: pieces with holes between them, what is in each hole with the piece after it
    kind            the flags after it (None: as they were); ends: what the meaning has left for the block's end
    narrow          registers known to hold 32 bits afterwards, of those it has to do with
    vectors         whether it needs locals of that sort
    low             forms of vector registers afterwards, of those it has to do with
    """
    __slots__ = ("first", "rest", "kind", "narrow", "ends", "vectors", "low")

    def __init__(self, code: bytes, kind, narrow: int, ends, vectors: bool, low: int):
        self.first, *rest = code.split(_HOLE)
        self.rest = tuple((piece[0], piece[1:]) for piece in rest)
        self.kind, self.narrow, self.ends, self.vectors, self.low = kind, narrow, ends, vectors, low


class Templates(dict):
    """Instruction -> key -> Template. For regions with the same options and imports."""

    MOST = 30_000

    def __init__(self):
        super().__init__()
        self.count = 0

    def add(self, known: dict, key, template: Template) -> None:
        known[key] = template
        self.count += 1
        if self.count > self.MOST:
            self.clear()
            self.count = 0


class Region(Emitter):
    """A machine for MEANINGS that emits the function of one region.

    Its parameters: how many further activations there may be, and the rip to begin at, one of graph.entries.

    Operations of SSE's numbers, by `floats`:
      LOOSE   are those of Wasm, and add no exceptions to MXCSR. The region leaves where it finds that MXCSR is not as after a reset,
              exceptions aside, or that the program watches it.
      EASY    are as MXCSR says, but only where no exception comes that is not there, which tests show: else it leaves.
      HARD    are as MXCSR says: calls of functions. They cost most around them, for no register survives a call."""
    first_local = 2

    def __init__(self, graph: Graph, imports: Imports, batch: dict[int, int], options: Options = Options(),
                 templates: Templates | None = None, floats: str = LOOSE, hard: int = 0):
        """batch: rip -> function index of the regions in the same module. hard: where `floats` is EASY, the function of the same graph
        where they are HARD, made after this."""
        super().__init__()
        self.floats, self.hard = floats if has_floats(graph) else NONE, hard
        self.graph, self.imports, self.options = graph, imports, options
        self.batch = batch if options.direct_calls else {}
        self.calls_flags = options.calls_flags and options.dead_flags
        self.called: set[int] = set()                     # rips of regions that this one calls directly
        if floats != HARD:
            self.graph.inner = {}
            if options.hoist:
                hoist(graph)
            analyse(graph, options.dead_flags, options.cover, options.comparisons, self.calls_flags)
        self.templates = (Templates() if templates is None else templates) if options.templates else None
        self.written, self.sets_flags = graph.written, graph.sets_flags
        self.locals, self.vectors = SCALARS, bool(graph.touched >> 16)
        self.exit_rip, self.next, self.flag_kind, self.flag_a, self.flag_b = EXIT_RIP, NEXT, FLAG_KIND, FLAG_A, FLAG_B
        self.alone = not any(block.reloads for block in graph.blocks.values())      # it calls nothing out
        self.local = {n: local for n, local in enumerate(LOCAL) if graph.touched >> n & 1}     # register number (xmm n: 16 + n) -> local
        self.more: dict[str, list[int]] = {}              # temporary locals beyond TEMPORARY
        self.used: dict[str, int] = {}
        self.masks: dict[tuple[int, int], int] = {}       # (registers to store at a fault, forms of vector registers) -> label
        self.recording = False                            # exits are marked, not emitted
        self.ordinary = True                              # what is being emitted would be the same in any region
        self.labels: list = []                            # what encloses the code being emitted, outermost first
        self.depth = 0                                    # the same, counted with ifs inside instructions
        self.op: Op | None = None
        self.kind = CLEAN                                 # (kind, bits) of the flags in locals, CLEAN or MIXED
        self.narrow = 0                                   # registers known to hold 32 bits
        self.low = 0                                      # forms of vector registers, see lanes
        if self.vectors and options.lanes:
            choose_forms(graph)
        self.inside = 0                                   # conditions we are under
        self.implicit = 0

    # ---- locals and constants
    def let(self, type, raw):
        k = self.used.get(type, 0)
        self.used[type] = k + 1
        pool = TEMPORARY[type]
        if type[0] != "i":
            self.vectors = True
        self.out.append(raw + (put := w.put(pool[k] if k < len(pool) else self._more(type, k - len(pool)))))
        return b"\x20" + put[1:]

    def _more(self, type: str, k: int) -> int:
        self.ordinary, self.vectors = False, True
        if self.locals is SCALARS:
            self.locals = SCALARS + VECTORS
        pool = self.more.setdefault(type, [])
        if k == len(pool):
            self.locals.append(type)
            pool.append(self.first_local + len(self.locals) - 1)
        return pool[k]

    def const(self, type, n):
        return Const(super().const(type, n), n & ((1 << (32 if type == "i32" else 64 if type == "i64" else 128)) - 1))

    def keep(self, type_, raw):
        kind = raw.__class__
        if kind is Const:
            return raw
        if kind is Low:
            return raw if raw.low.__class__ is Load else Low(self.keep(f"f{raw.bits}", raw.low), raw.bits, self.keep("v128", raw.upper))
        if kind is Load:
            return self.let(type_, raw)
        return super().keep(type_, raw)

    def prim(self, op, *raws):
        if op in _PATTERNS and raws[0].__class__ is not Const:
            return self._pattern(op, raws[0])
        if op == "v128.xor":
            if raws[0] == raws[1]:
                return self.const("v128", 0)
            if raws[1].__class__ is Const and raws[0].__class__ is not Const and raws[1].value in (0, ONES):
                return raws[0] + w.OP["v128.not"] if raws[1].value else raws[0]
        if type(raws[-1]) is Const:
            if op == "select":
                return raws[0] if raws[2].value else raws[1]
            if op == "i8x16.swizzle":
                return self.shuffle(raws[0], self.const("v128", 0), [min(i, 16) for i in raws[1].value.to_bytes(16, "little")])
            if op in _FOLDED and all(type(r) is Const for r in raws):
                value = PRIM[op](*(r.value for r in raws))
                return self.const(_FOLDED[op], value)
        return b"".join(raws) + w.OP[op]

    def _pattern(self, op, raw):
        """Between numbers and integers, without going there and back."""
        code, bits = raw + w.OP[op], raw.bits if raw.__class__ is Pattern else None
        match op:
            case "i64.reinterpret_f64": return Pattern(code, raw, 64)
            case "i32.reinterpret_f32": return Pattern(code, raw, 32)
            case "f64.reinterpret_i64": return raw.float if bits == 64 else code
            case "f32.reinterpret_i32": return raw.float if bits == 32 else code
        return Pattern(code, raw.float, 32) if bits == 32 else code             # i64.extend_i32_u, i32.wrap_i64

    def lane(self, op, index, *raws):
        vector = raw = raws[0]
        kind, width = op[0], int(op[1:3]) if op[2] != "x" else 8
        if "extract" in op:
            if raw.__class__ is Low:
                if index * width >= raw.bits:
                    raw = raw.upper
                elif index == 0 and width <= raw.bits and width >= 32:
                    if width == raw.bits:
                        return raw.low if kind == "f" else Pattern(raw.low + _AS_INT[width], raw.low, width)
                    if kind == "i":
                        return raw.low + _AS_INT[64] + w.OP["i32.wrap_i64"]
            code = raw + w.lane(op, index)
            return Pattern(code, raw + w.lane(f"f{op[1:]}", index), width) if kind == "i" and width >= 32 else code
        value = raws[1]
        if value.__class__ is Pattern and value.bits == width:         # not by way of a general register
            value, kind, op = value.float, "f", "f" + op[1:]
        if index == 0 and width >= 32 and not self.op.whole:
            number = value if kind == "f" else value + _AS_FLOAT[width]
            return Low(number, width, vector.upper if vector.__class__ is Low and vector.bits <= width else vector)
        if vector.__class__ is Low and index * width >= vector.bits:
            return Low(vector.low, vector.bits, vector.upper + value + w.lane(op, index))
        return vector + value + w.lane(op, index)

    def wrap(self, raw, bits):
        if bits == 64:
            return raw
        if type(raw) is Const:
            return self.const("i64", raw.value & (1 << bits) - 1)
        return raw + _TO32 if bits == 32 else raw + w.i64((1 << bits) - 1) + w.OP["i64.and"]

    def known(self, n): return n if isinstance(n, int) else n.raw.value if type(n.raw) is Const else None

    # ---- the function
    def code(self) -> bytes:
        graph = self.graph
        first = graph.blocks[graph.entry]
        none_left = w.if_(_FUEL + _ZERO32 + w.OP["i32.ge_s"], w.get(1) + w.RETURN)          # activations; or else fuel
        none_left += self._leave_at(w.get(1) + w.OP["i64.extend_i32_u"], w.i32(at.FUEL))
        self.out = [w.if_(_FUEL + w.tee(LEFT) + w.get(0) + w.OP["i32.or"] + _ZERO32 + w.OP["i32.lt_s"] + w.UNLIKELY, none_left)]
        if self.floats == LOOSE:
            self.out.append(w.if_(_UNPLAIN + w.UNLIKELY, w.get(1) + w.call(self.imports.unfit) + w.RETURN))
        elif self.floats == EASY:
            self.out.append(w.if_(sse.HARD + w.UNLIKELY, w.get(0) + w.get(1) + b"\x12" + w.uleb(self.hard)))
        if not self.alone:
            self.out.append(w.get(LEFT) + w.put(GIVEN))
        if graph.entry == SWITCH:
            self.out.append(w.get(1) + w.put(self.next))
        self._load(first.live_in, first.low_in)
        head = b"".join(self.out)
        limit = sys.getrecursionlimit()
        sys.setrecursionlimit(max(limit, _FRAMES * len(graph.order) + 1000))
        try:
            body = self.nested(lambda: self._tree(graph.entry))
        finally:
            sys.setrecursionlimit(limit)
        tail, n = b"", len(self.masks)
        for (mask, low), label in self.masks.items():
            self.low = low
            tail += w.END + self._stores(mask) + w.br(n - 1 - label + (mask < FLAGS))
        if self.vectors and self.locals is SCALARS:
            self.locals = SCALARS + VECTORS
        stop = w.i32(at.FUEL) + w.i32(at.RETRY) + _FUEL + _ZERO32 + w.OP["i32.lt_s"] + w.SELECT
        end = (self._store_mixed_flags() if self.sets_flags else b"") + w.END + self._pay()
        end += self._leave_at(w.get(self.exit_rip) + w.OP["i64.extend_i32_u"], stop)
        jump = self._pay() + self._linked_jump()
        code = head + b"\x02\x40" * (n + 3) + body + w.UNREACHABLE + w.END + jump + tail + w.END + end
        return code if self.options.hints else w.without_hints(code)

    def _leave_at(self, rip: bytes, stop: bytes) -> bytes:
        return (_ZERO32 + rip + w.access("i64.store", at.RIP) + _ZERO32 + stop + w.access("i32.store", at.STOP)
                + _ZERO32 + w.RETURN)

    def _spend(self, n: int): self.out.append(w.get(LEFT) + w.i32(n) + w.OP["i32.sub"] + w.put(LEFT))

    def _pay(self) -> bytes:
        """Takes what was spent off the fuel: once, at the end. What is called in between takes its own."""
        left = w.get(LEFT)
        if not self.alone:
            left = _FUEL + w.get(GIVEN) + left + w.OP["i32.sub"] + w.OP["i32.sub"]
        return _ZERO32 + left + w.access("i32.store", at.REGION_FUEL)

    def _stores(self, mask: int) -> bytes: return _stores_of(mask, self.low & _both(mask))

    def _load(self, mask: int, low: int):
        self.out.append(_loads(mask) + _lows(low & _both(mask)))
        self.low = low

    def _convert(self, y):
        """Puts vector registers into the forms that block y begins with."""
        block = self.graph.blocks[y]
        differ = (self.low ^ block.low_in) & _both(block.valid_in & self.graph.touched)
        if differ:
            registers = (differ | differ >> 16) & 0xFFFF
            apart = (self.low | self.low >> 16) & registers
            whole = [_vector_in(n, self.low) + w.put(VECTOR + n) for n in range(16) if apart >> n & 1]
            self.out.append(b"".join(whole) + _lows(block.low_in & (registers | registers << 16)))

    def _exit(self, mask: int | None = None) -> bytes:
        """A branch to where the registers are stored and RETRY (or FUEL) is answered for the current instruction."""
        if self.recording:
            return _hole(self.depth - self.outside)
        mask = self.op.saved if mask is None else mask
        label = self.masks.setdefault((mask, self.low & _both(mask)), len(self.masks))
        rip = w.get(self.next) if self.rip == SWITCH else w.i32(self.rip)
        return rip + w.put(self.exit_rip) + w.br(self.depth + 1 + label)

    def _jump_out(self) -> bytes:
        """A branch to where control leaves for the rip in `next`, all state in memory."""
        return w.br(self.depth)

    def _if(self, condition: bytes, body) -> None:
        self.depth += 1
        inner = self.nested(body)
        self.depth -= 1
        self.out.append(w.if_(condition, inner))

    def _exit_if(self, condition: bytes, mask: int | None = None):
        self._if(condition + w.UNLIKELY, lambda: self.out.append(self._exit(mask)))

    # ---- control flow
    def _tree(self, x):
        """Code for the part of the graph that x dominates."""
        graph = self.graph
        merges = sorted((c for c in graph.children[x] if c in graph.merges), key=graph.number.get)
        if x in graph.loops:
            strip = graph.blocks[x].strip
            if strip:
                self.out.append(b"\x03\x40")
                self._push(("strip", x))
                self._strip(graph.blocks[x])
            self.out.append(b"\x03\x40")
            self._push(("loop", x))
            self._within(x, merges)
            self._pop()
            self.out.append(w.END)
            if strip:
                self._pop()
                self.out.append(w.END)
        else:
            self._within(x, merges)

    def _push(self, label):
        self.labels.append(label)
        self.depth += 1

    def _pop(self):
        self.labels.pop()
        self.depth -= 1

    def _within(self, x, merges):
        if merges:
            self.out.append(b"\x02\x40")
            self._push(("block", merges[-1]))
            self._within(x, merges[:-1])
            self._pop()
            self.out.append(w.END)
            self._tree(merges[-1])
        else:
            self._block(x)

    def _goto(self, x, y):
        """From the end of block x to the rip y."""
        graph = self.graph
        if y not in graph.blocks or (x, y) in graph.cuts:
            self._spill(graph.blocks[x], graph.flags_at(y))                     # out of the region
            if 0 < y < 1 << 32:
                self.out.append(w.i32(y) + w.put(self.next) + self._jump_out())
            else:
                self.out.append(self._pay() + self._leave_at(w.i64(y), w.i32(at.RETRY)))
        elif (x, y) in graph.detours:
            self.out.append(w.i32(y) + w.put(self.next))
            self._to_switch()
        elif graph.number[y] <= graph.number[x]:
            self._convert(y)
            again = self.depth - self.labels.index(("loop", y)) - 1
            if graph.blocks[y].strip:
                self.out.append(w.get(ROUNDS) + w.i32(1) + w.OP["i32.sub"] + w.tee(ROUNDS) + _ZERO32 + w.OP["i32.ge_s"] + w.LIKELY + w.br_if(again))
                again += 1
            self.out.append(w.br(again))
        elif y in graph.merges:
            self._convert(y)
            self.out.append(w.br(self.depth - self.labels.index(("block", y)) - 1))
        else:
            if y in graph.loops:
                self._convert(y)
            else:
                graph.blocks[y].low_in = self.low
            self._tree(y)

    def _to_switch(self):
        self._convert(SWITCH)
        self.out.append(w.br(self.depth - self.labels.index(("loop", SWITCH)) - 1))

    def _end_switch(self, block):
        """To the block that begins at `next`: by a hash that puts every one into a place of its own, and a comparison."""
        places = _spread(block.edges)
        size = len(places.table)
        target = w.get(self.next)
        slot = target + w.i32(places.factor) + w.OP["i32.mul"] + w.i32(places.shift) + w.OP["i32.shr_u"]
        number = {rip: k for k, rip in enumerate(block.edges)}
        labels = [number[rip] if rip else len(number) for rip in places.table]
        self.out.append(b"\x02\x40" * (len(number) + 1) + slot + b"\x0e" + w.vec(w.uleb(k) for k in labels) + w.uleb(len(number)))
        assert size == 1 << 32 - places.shift
        for k, rip in enumerate(block.edges):
            inside = len(number) - k                        # blocks of these that are still open after this END
            depth = self.depth + inside - self.labels.index(("block", rip)) - 1
            found = target + w.i32(rip) + w.OP["i32.eq"] + w.LIKELY
            convert = self.nested(lambda: self._convert(rip))
            found += w.br_if(depth) if not convert else b"\x04\x40" + convert + w.br(depth + 1) + w.END
            self.out.append(w.END + found + w.br(inside - 1))
        self.out.append(w.END)
        self._spill(block)
        self.out.append(self._jump_out())

    def _block(self, x):
        block = self.graph.blocks[x]
        self.kind, self.narrow, self.low = block.kind_in or MIXED, 0, block.low_in
        self.rip = x
        if block.ops:
            self._spend(len(block.ops))
        if x in self.graph.loops and not block.strip:
            self._exit_if(w.get(LEFT) + _ZERO32 + w.OP["i32.lt_s"], block.saved)
        self.ends = None
        for op in block.ops:
            self._instruction(op)
        getattr(self, "_end_" + block.end)(block)

    def _strip(self, block):
        """Before the head of a loop, finds how many rounds may follow the next one without this."""
        mask = block.saved
        self.rip, self.low = block.start, block.low_in
        self.out.append(w.get(LEFT) + w.put(ROUNDS))
        self._exit_if(w.get(ROUNDS) + _ZERO32 + w.OP["i32.lt_s"], mask)
        self.out.append(w.get(ROUNDS) + w.i32(len(block.ops).bit_length()) + w.OP["i32.shr_u"] + w.put(ROUNDS))
        for group in block.strip:
            self.used = {}
            self._check_group(group, mask)

    def _check_group(self, group, mask):
        """Leaves unless a round may access this; takes the rounds down to those that stay in the same pages."""
        base, index = group.base, group.index
        address = w.get(self.local[base]) if base is not None else b""
        if index is not None:
            scaled = w.get(self.local[index]) + (w.i64(group.scale) + w.OP["i64.shl"] if group.scale else b"")
            address = address + scaled + w.OP["i64.add"] if address else scaled
        if not address:
            self._check_constant(group.low, group.high - group.low, group.access, mask)
            return
        first, last = self._check_range(address, group.low, group.high, group.access, mask)
        if group.sixteenth is not None:
            distance = w.i32(group.sixteenth - group.low) + w.OP["i32.add"]
            self._exit_if(first + w.OP["i32.wrap_i64"] + distance + w.i32(15) + w.OP["i32.and"], mask)
        if group.stride:
            up = w.i32(4095) + last + w.OP["i32.wrap_i64"] + w.OP["i32.sub"]
            room = (up if group.stride > 0 else first + w.OP["i32.wrap_i64"]) + w.i32(4095) + w.OP["i32.and"]
            most = self.let("i32", room + w.i32((abs(group.stride) - 1).bit_length()) + w.OP["i32.shr_u"])
            rounds = w.get(ROUNDS)
            self.out.append(most + rounds + most + rounds + w.OP["i32.lt_u"] + w.SELECT + w.put(ROUNDS))

    def _end_jump(self, block): self._goto(block.start, block.target)

    def _end_branch(self, block):
        condition, first, second, ways = self.ends, block.target, block.next, block.ways
        inner, head = self.graph.inner, self.graph.inner.get(block.start, 0)
        if head and inner.get(first) == head != inner.get(second):
            # wasmtime lays out first what comes second: loops in one piece get better registers
            condition, first, second = condition + w.OP["i32.eqz"], second, first
            ways = ways[::-1]
        state = self.kind, self.narrow, self.low
        hint = {(True, False): w.LIKELY, (False, True): w.UNLIKELY}.get(ways, b"")
        self.out.append(condition + hint + b"\x04\x40")
        self._push(None)
        self._goto(block.start, first)
        self.out.append(w.ELSE)
        self.kind, self.narrow, self.low = state
        self._goto(block.start, second)
        self._pop()
        self.out.append(w.END + w.UNREACHABLE)

    def _spill(self, block, flags: int = ARITHMETIC):
        """flags: those that are needed from now on."""
        self.out.append(self._stores(block.dirty_out))
        if flags or not self.calls_flags:
            self._flush_flags()

    def _callout(self, block, call: bytes):
        """Calls out with all state in memory, and goes on at block.next if that is the rip answered."""
        following = next(iter(self.graph.edges(block.start)), None)     # by way of the switch, perhaps
        other = self._pay() + w.get(self.next) + w.RETURN
        if self.options.resume:
            resume = w.get(self.next) + w.get(0) + w.i32(block.next) + w.call(self.imports.resume) + w.tee(self.next)
            other = w.if_(resume + w.i32(block.next) + w.OP["i32.ne"], other)
        self.out.append(w.if_(call + w.tee(self.next) + w.i32(block.next) + w.OP["i32.ne"] + w.UNLIKELY, other))
        if following is None:
            self.out.append(self._jump_out())
            return
        if self.floats == LOOSE:
            self.out.append(w.if_(_UNPLAIN + w.UNLIKELY, self._pay() + w.i32(block.next) + w.call(self.imports.unfit) + w.RETURN))
        elif self.floats == EASY:
            self.out.append(w.if_(sse.HARD + w.UNLIKELY, self._pay() + self._leave_at(w.i64(block.next), w.i32(at.RETRY))))
        if self.sets_flags:
            self.out.append(_ZERO32 + w.put(self.flag_kind))
        self._load(self.graph.blocks[following].live_in, self.graph.blocks[following].low_in)
        self._goto(block.start, block.next)

    def _end_call(self, block):
        self._spill(block, self.graph.flags_at(block.target))
        target = block.target
        if not 0 < target < 1 << 32:
            self.out.append(self._pay() + self._leave_at(w.i64(target), w.i32(at.RETRY)))
            return
        if target in self.batch:
            self.called.add(target)
            call = self._one_less() + w.i32(target) + w.call(self.batch[target])
        else:
            call = self._linked_call(w.i32(target), _ZERO32, at.LINKS + at.link_place(target))
        self._callout(block, call)

    def _end_call_indirect(self, block):
        self._spill(block)
        self._target()
        self._callout(block, self._linked_call(w.get(self.next), self._place(), at.LINKS))

    def _end_jump_indirect(self, block):
        if SWITCH in self.graph.blocks:
            self._target()
            self._to_switch()
        else:
            self._spill(block)
            self._target()
            self.out.append(self._jump_out())

    def _end_ret(self, block):
        self._spill(block)
        self._target()
        self.out.append(self._pay() + w.get(self.next) + w.RETURN)

    def _target(self): self.out.append(self.ends + w.OP["i32.wrap_i64"] + w.put(self.next))

    def _end_syscall(self, block):
        self._spill(block)
        self._callout(block, w.i32(block.next) + w.call(self.imports.syscall_out))

    def _end_out(self, block):
        self._spend(1)                                     # a jump that is executed elsewhere may lead back here
        self._spill(block)
        self._callout(block, w.i32(block.target) + w.call(self.imports.escape_out))

    def _end_retry(self, block):
        self._spill(block)
        self.out.append(self._pay() + self._leave_at(w.i64(block.target), w.i32(at.RETRY)))

    # ---- calls and jumps out: by way of LINKS, which `enter` keeps
    @staticmethod
    def _one_less() -> bytes: return w.get(0) + w.i32(1) + w.OP["i32.sub"]

    def _place(self) -> bytes:
        """As layout.link_place, of `next`."""
        return w.get(self.next) + w.i32(at.LINK_FACTOR) + w.OP["i32.mul"] + w.i32(16) + w.OP["i32.shr_u"] + w.i32(0xFFF8) + w.OP["i32.and"]

    def _is_linked(self, rip: bytes, place: bytes, offset: int) -> bytes:
        return place + w.access("i64.load", offset) + w.tee(LINK) + w.OP["i32.wrap_i64"] + rip + w.OP["i32.eq"] + w.LIKELY

    def _slot(self) -> bytes: return w.get(LINK) + w.i64(32) + w.OP["i64.shr_u"] + w.OP["i32.wrap_i64"]

    def _linked_call(self, rip: bytes, place: bytes, offset: int) -> bytes:
        """Calls the region at rip, which LINKS may have at place + offset; its answer."""
        enter = rip + w.get(0) + w.call(self.imports.enter)
        if not self.options.links:
            return enter
        return (self._is_linked(rip, place, offset) + b"\x04\x7f" + self._one_less() + rip + self._slot() + w.call_indirect(self.imports.type)
                + w.ELSE + enter + w.END)

    def _linked_jump(self) -> bytes:
        """Leaves for the region at `next`."""
        rip = w.get(self.next)
        enter = rip + w.get(0) + w.i32(1) + w.OP["i32.add"] + b"\x12" + w.uleb(self.imports.enter)
        if not self.options.links:
            return enter
        return w.if_(self._is_linked(rip, self._place(), at.LINKS),
                     w.get(0) + rip + self._slot() + w.return_call_indirect(self.imports.type)) + enter

    # ---- an instruction
    def _instruction(self, op: Op):
        self.op, self.rip = op, op.rip
        if self.templates is None:
            self._emit(op)
        else:
            self._emit_template(op)
        if op.insn.effects.pointer:
            self.out.append(_ZERO32 + w.i64(op.rip) + w.access("i64.store", at.FIP))

    def _emit_template(self, op: Op):
        insn = op.insn
        known = self.templates.get(insn)
        if known is None:
            known = self.templates[insn] = {}
        key = self.narrow & insn.short, op.disp if insn.absolute else op.disp != 0, _sort(op.checks) if op.checks else None
        if insn.compares:
            key = *key, op.flags_live != 0
        elif insn.flags:
            key = *key, self.kind, op.flags_live
        both = insn.vectors.both if insn.vectors else 0
        if both:
            key = *key, self.low & both, op.whole
        template = known.get(key)
        if template is None:
            template = self._record(op)
            if self.ordinary:
                self.templates.add(known, key, template)
        out = self.out
        out.append(template.first)
        if template.rest:
            leave = None
            for hole, piece in template.rest:
                if hole < _DISP:
                    if leave is None:
                        leave = w.i32(op.rip) + w.put(EXIT_RIP) + b"\x0c"
                        label = self.masks.setdefault((op.saved, self.low & _both(op.saved)), len(self.masks)) + self.depth + 1
                    out.append(leave + w.uleb(label + hole) + piece)
                elif hole == _DISP:
                    out.append(w.i64(op.disp) + piece)
                elif hole == _AFTER:
                    out.append(w.i64(op.after) + piece)
                else:
                    cover = next(filter(None, op.checks.values()))
                    out.append(w.i64(cover[1] if hole == _LOW else cover[2] - 1) + piece)
        if template.kind is not None:
            self.kind = template.kind
        self.narrow = self.narrow & ~insn.writes | template.narrow
        self.low = self.low & ~both | template.low
        self.ends = template.ends
        self.vectors |= template.vectors

    def _record(self, op: Op) -> Template:
        """Emits an instruction apart, its exits marked."""
        before = self.kind, self.narrow, self.vectors, self.low
        self.recording, self.ordinary, self.outside, self.vectors, self.ends = True, True, self.depth, False, None
        if op.insn.compares:
            self.kind = None                               # it has nothing to do with those before
        code = self.nested(lambda: self._emit(op))
        both = op.insn.vectors.both if op.insn.vectors else 0
        self.ordinary &= self.ends is None or _HOLE not in self.ends
        template = Template(code, self.kind if op.insn.flags else None, self.narrow & op.insn.writes, self.ends, self.vectors,
                            self.low & both)
        self.recording = False
        self.kind, self.narrow, self.vectors, self.low = before
        return template

    def _emit(self, op: Op):
        insn = self.insn = op.insn
        shape = insn.shape
        self.size, self.bits, self.cc, self.rep = shape.size, shape.bits, shape.cc, shape.rep
        self.kinds = insn.form.kinds
        self.asize, self.segment = 64, None
        self.used = {}
        self.implicit = 0
        self.addresses = {}
        if insn.effects.repeats:
            self.out.append(b"\x03\x40")
            self.depth += 1
        for k, (access, bits) in insn.effects.memory.items():
            self.addresses[k] = self._check(self._effective_address(k, True), bits, access, ("m", k), bits == 128 and shape.aligned)
        execute(self, MEANINGS[shape.meaning])
        if insn.effects.repeats:
            self._repeat()

    def _repeat(self):
        def once_more():
            self._spend(1)
            self.out.append(w.get(LEFT) + _ZERO32 + w.OP["i32.ge_s"] + w.br_if(1))
            self.out.append(self._exit())
        self._if(self.ends, once_more)
        self.depth -= 1
        self.out.append(w.END)

    def again(self, condition): self.ends = condition.raw

    # ---- registers
    def _general(self, n: int, bits: int, high: bool = False) -> bytes:
        raw = w.get(self.local[n])
        if high:
            raw += w.i64(8) + w.OP["i64.shr_u"]
        if bits < 64 and not (bits == 32 and self.narrow >> n & 1):
            raw = self.wrap(raw, bits)
        return self.let("i64", raw) if self.insn.writes >> n & 1 else raw

    def _set_general(self, n: int, value: Int, high: bool = False):
        local, bits, raw = self.local[n], value.bits, value.raw
        if bits >= 32:
            self.out.append(raw + w.put(local))
            if bits == 32 and not self.inside:
                self.narrow |= 1 << n
            elif bits == 64:
                self.narrow &= ~(1 << n)
            return
        shift = 8 if high else 0
        mask = (1 << bits) - 1 << shift
        if high:
            raw += w.i64(8) + w.OP["i64.shl"]
        self.out.append(w.get(local) + w.i64(~mask) + w.OP["i64.and"] + raw + w.OP["i64.or"] + w.put(local))

    def _vector(self, n: int) -> bytes:
        self.vectors = True
        raw = _vector_in(n, self.low)
        if not self.insn.writes >> 16 + n & 1:
            return raw
        return Low(self.let(f"f{raw.bits}", raw.low), raw.bits, raw.upper) if raw.__class__ is Low else self.let("v128", raw)

    def _set_vector(self, n: int, raw: bytes):
        self.vectors = True
        vector, low = w.get(VECTOR + n), self.low >> n & 0x10001
        if raw.__class__ is Low and not self.op.whole and not self.inside:
            upper = raw.upper if raw.upper != vector else b""
            self.out.append(upper + raw.low + w.put((DOUBLE if raw.bits == 64 else SINGLE) + n) + (w.put(VECTOR + n) if upper else b""))
            self.low = self.low & ~(0x10001 << n) | (1 if raw.bits == 64 else 0x10000) << n
        else:
            self.out.append(raw + w.put(VECTOR + n))
            if self.inside:                                 # the form stays: control may not come here
                self.out.append(_lows(low << n))
            else:
                self.low &= ~(0x10001 << n)

    def reg(self, number, bits): return Int(self, self._general(number, bits), bits)
    def set_reg(self, number, value): self._set_general(number, value)
    def xmm(self, number): return Vec(self, self._vector(number))
    def set_xmm(self, number, value): self._set_vector(number, value.raw)

    def _where(self, k):
        """The state offset of register operand k."""
        kind = self.insn.shape.kinds[k]
        if len(kind) > 1:
            n = int(kind[1:])
            return 8 * n if kind[0] == "g" else at.VECTOR + 32 * n
        return self.insn.operands[k]

    # ---- operands
    def read(self, k, bits):
        kind = self.kinds[k]
        if kind == "i":
            return self.const("i64", self.insn.imm & (1 << bits) - 1)
        if kind == "m":
            return self.let("i64", self.addresses[k] + w.access(LOAD[bits], at.BIAS))
        where = self._where(k)
        if kind == "r":
            return self._general(where >> 3, bits, where & 7)
        if kind == "x":
            return Vec(self, self._vector(where - at.VECTOR >> 5)).int(0, bits).raw
        return self.let("i64", _ZERO32 + w.access(LOAD[bits], where))

    def write(self, k, value):
        kind = self.kinds[k]
        if kind == "m":
            if value.raw.__class__ is Pattern and value.raw.bits == value.bits:
                self.out.append(self.addresses[k] + value.raw.float + w.access(f"f{value.bits}.store", at.BIAS))
            else:
                self.out.append(self.addresses[k] + value.raw + w.access(STORE[value.bits], at.BIAS))
            return
        where = self._where(k)
        if kind == "r":
            self._set_general(where >> 3, value, where & 7)
        else:
            assert kind == "q", "vector registers are written whole"
            self.out.append(_ZERO32 + value.raw + w.access(STORE[64 if value.bits == 32 else value.bits], where)
                            + _ZERO32 + w.i64(0xFFFF) + w.access("i64.store16", where + 8))

    def read_vec(self, k):
        kind = self.kinds[k]
        if kind == "m":
            bits, address = self.bits[k], self.addresses[k]
            if bits in (32, 64):
                return Low(Load(address + w.access(f"f{bits}.load", at.BIAS)), bits, self.const("v128", 0),
                           address + w.access(LOAD_VECTOR[bits], at.BIAS))
            return self.let("v128", address + w.access(LOAD_VECTOR[bits], at.BIAS))
        where = self._where(k)
        if kind == "x":
            return self._vector(where - at.VECTOR >> 5)
        return self.let("v128", _ZERO32 + w.access(LOAD_VECTOR[64], where))

    def write_vec(self, k, value):
        kind = self.kinds[k]
        if kind == "x":
            self._set_vector(self._where(k) - at.VECTOR >> 5, value.raw)
        elif self.bits[k] < 128:
            self.write(k, value.int(0, self.bits[k]))
        elif kind == "m":
            self.out.append(self.addresses[k] + value.raw + w.access("v128.store", at.BIAS))
        else:
            self.out.append(_ZERO32 + value.raw + w.access("v128.store", self._where(k)))

    def _number(self, n: int, hole: int) -> bytes: return _hole(hole) if self.recording else w.i64(n)

    def _bound(self, n: int, hole: int) -> bytes:
        """Of a range. A template has room for one; what a loop's head checks is in none."""
        if not self.recording:
            return w.i64(n)
        if sum(map(bool, self.op.checks.values())) == 1:
            return self._number(n, hole)
        self.ordinary = False
        return w.i64(n)

    # ---- memory
    def _effective_address(self, k, segment, plus=None):
        op = self.insn
        raw = b""
        if op.base < at.ZERO:
            raw = w.get(self.local[op.base >> 3])
        if op.shape.kinds[k] != "m":
            if op.index < at.ZERO:
                index = w.get(self.local[op.index >> 3])
                if op.scale:
                    index += w.i64(op.scale) + w.OP["i64.shl"]
                raw = raw + index + w.OP["i64.add"] if raw else index
        if plus is not None:
            raw = raw + plus.raw + w.OP["i64.add"] if raw else plus.raw
        if not raw:
            raw = self.const("i64", self.op.disp)
        elif self.op.disp:
            raw += self._number(self.op.disp, _DISP) + w.OP["i64.add"]
        if op.shape.kinds[k] != "m":
            if op.a32:
                raw = self.wrap(raw, 32)
            if segment and op.segment != at.ZERO // 8:
                raw += _ZERO32 + w.access("i64.load", op.segment * 8) + w.OP["i64.add"]
        return raw

    def address(self, k, segment=True, plus=None):
        raw = self._effective_address(k, segment, plus)
        return Int(self, raw if type(raw) is Const else self.let("i64", raw), 64)

    def _check(self, address: bytes, bits: int, access: int, key, sixteenth: bool = False) -> bytes:
        """Leaves for the interpreter unless `access` to bits/8 bytes at the i64 `address` is permitted; the address as i32.
        sixteenth: it must be a multiple of 16, too."""
        checks = self.op.checks
        if key in checks:
            cover = checks[key]
            if cover:
                register, *rest = cover
                self._check_range(w.get(self.local[register]), *rest)
            low = self.let("i32", address + w.OP["i32.wrap_i64"])
            if sixteenth and cover is not False:
                self._exit_if(low + w.i32(15) + w.OP["i32.and"])
            return low
        if type(address) is Const:
            if sixteenth and address.value & 15:
                self._exit_if(w.i32(1))
            return self._check_constant(address.value, bits // 8, access)
        address = self.let("i64", address) if len(address) > 2 else address
        low = self.let("i32", address + w.OP["i32.wrap_i64"])
        denied = self._without(low + w.i32(12) + w.OP["i32.shr_u"] + w.access("i32.load8_u", at.PERMISSIONS), access)
        denied += address + w.i64(32) + w.OP["i64.shr_u"] + w.OP["i32.wrap_i64"] + w.OP["i32.or"]
        if bits > 8:
            denied += low + w.i32(4095) + w.OP["i32.and"] + w.i32(4096 - bits // 8) + w.OP["i32.gt_u"] + w.OP["i32.or"]
        if sixteenth:
            self._exit_if(low + w.i32(15) + w.OP["i32.and"])
        self._exit_if_denied(address, access, denied)
        return low

    def _exit_if_denied(self, address: bytes, access: int, denied: bytes, mask: int | None = None) -> None:
        """For an access that begins at the i64 `address` and goes into the next page at most. `denied` is the whole test; few get to it."""
        if not self.options.pairs:
            self._exit_if(denied, mask)
            return
        page = address + w.OP["i32.wrap_i64"] + w.i32(12) + w.OP["i32.shr_u"]
        pair = page + w.access("i64.load8_u", at.WRITABLE if access & at.WRITE else at.READABLE)
        refused = address + w.i64(32) + w.OP["i64.shr_u"] + pair + w.OP["i64.ge_u"]                # 0 < 1 is what it should be
        self._if(refused + w.UNLIKELY, lambda: self._exit_if(denied, mask))

    @staticmethod
    def _without(permission: bytes, access: int) -> bytes:
        """Zero where the permission has all of `access`."""
        return permission + w.i32(access) + w.OP["i32.and"] + w.i32(access) + w.OP["i32.xor"]

    def _check_constant(self, address, size, access, mask=None):
        first, last = address >> 12, address + size - 1 >> 12
        if last >= 1 << 20:
            self._exit_if(w.i32(1), mask)
        else:
            permission = _ZERO32 + w.access("i32.load8_u", at.PERMISSIONS + first)
            if last != first:
                permission += _ZERO32 + w.access("i32.load8_u", at.PERMISSIONS + last) + w.OP["i32.and"]
            self._exit_if(self._without(permission, access), mask)
        return self.const("i32", address)

    def _check_range(self, base, low, high, access, mask=None):
        """All bytes from base + low up to base + high, which is less than two pages; the addresses of the first and the last."""
        first = self.let("i64", base + self._bound(low, _LOW) + w.OP["i64.add"] if low else base)
        last = self.let("i64", base + self._bound(high - 1, _HIGH) + w.OP["i64.add"])
        page = [x + w.OP["i32.wrap_i64"] + w.i32(12) + w.OP["i32.shr_u"] + w.access("i32.load8_u", at.PERMISSIONS) for x in (first, last)]
        denied = self._without(page[0] + page[1] + w.OP["i32.and"], access)
        denied += first + last + w.OP["i64.or"] + w.i64(32) + w.OP["i64.shr_u"] + w.OP["i32.wrap_i64"] + w.OP["i32.or"]
        if high - low <= 4096:
            self._exit_if_denied(first, access, denied, mask)
        else:
            self._exit_if(denied, mask)
        return first, last

    def _implicit(self, address: Int, bits: int, access: int) -> bytes:
        self.implicit += 1
        return self._check(address.raw, bits, access, ("i", self.implicit - 1))

    def load(self, address, bits):
        low = self._implicit(address, bits, at.READ)
        return Int(self, self.let("i64", low + w.access(LOAD[bits], at.BIAS)), bits)

    def store(self, address, value):
        low = self._implicit(address, value.bits, at.WRITE)
        self.out.append(low + value.raw + w.access(STORE[value.bits], at.BIAS))

    def load_vec(self, address):
        low = self._implicit(address, 128, at.READ)
        return Vec(self, self.let("v128", low + w.access("v128.load", at.BIAS)))

    def store_vec(self, address, value):
        low = self._implicit(address, 128, at.WRITE)
        self.out.append(low + value.raw + w.access("v128.store", at.BIAS))

    def writable(self, address, bits): self._implicit(address, bits, at.WRITE)

    # ---- control registers
    def base(self, segment):
        return Int(self, self.let("i64", _ZERO32 + w.access("i64.load", {"fs": at.FS_BASE, "gs": at.GS_BASE}[segment])), 64)

    def set_base(self, segment, value):
        self.out.append(_ZERO32 + value.raw + w.access("i64.store", {"fs": at.FS_BASE, "gs": at.GS_BASE}[segment]))

    def cell(self, name):
        where, bits = CELLS[name]
        return Int(self, self.let("i64", _ZERO32 + w.access(LOAD[bits], where)), bits)

    def set_cell(self, name, value):
        where, bits = CELLS[name]
        self.out.append(_ZERO32 + value.raw + w.access(STORE[bits], where))

    def stack_number(self, k): return self.int(self.insn.operands[k], 16)

    def part(self, k, offset, bits):
        return Int(self, self.let("i64", self.addresses[k] + w.access(LOAD[bits], at.BIAS + offset)), bits)

    def set_part(self, k, offset, value):
        self.out.append(self.addresses[k] + value.raw + w.access(STORE[value.bits], at.BIAS + offset))

    def call_shared(self, name, a, b):
        return self.let("i32", w.i32(FUNCTIONS.index(name)) + a.raw + b.raw + w.call(self.imports.x87))

    def float_op(self, op, *values):
        if self.floats != HARD:
            return plainly(self, op, *values) if self.floats == LOOSE else self._easy_float_op(op, *values)
        self.ordinary = False                             # functions have other numbers in other modules
        type, function = SIGNATURES[op][1], self.imports.float_ops[op]
        raw = b"".join(w.i32(v) if isinstance(v, int) else sse_operand(v) for v in values) + w.call(function)
        answer = self.let(type, raw) if type else self.out.append(raw)
        traps = _ZERO32 + w.access("i32.load", at.SSE_TRAPS)
        self._if(traps + w.UNLIKELY, lambda: self.out.append(_ZERO32 + _ZERO32 + w.access("i32.store", at.SSE_TRAPS) + self._exit()))
        return result(self, op, answer) if type else None

    def _easy_float_op(self, op, *values):
        """Where HARD is 0, and with usual numbers; others the interpreter has."""
        type = SIGNATURES[op][1]
        answer = self.let(type, plainly(self, op, *values).raw) if type else None
        first, *more = sse.unusual(op, [v if isinstance(v, int) else v.raw for v in values], answer)
        self._if(first + w.UNLIKELY, lambda: self._exit_if(more[0]) if more else self.out.append(self._exit()))
        return result(self, op, answer) if type else None

    # ---- control
    def leave_pointer(self): pass                       # after what may come from a template
    def next_ip(self): return Int(self, Const(self._number(self.op.after, _AFTER), self.op.after), 64)

    def goto(self, address): self.ends = address.raw

    def target(self, address):
        """The interpreter has those that are no address that code can have."""
        below = address.raw + w.i64(1) + w.OP["i64.sub"]                   # 0 too is none
        self._exit_if(below + w.i64(0xFFFFFFFF) + w.OP["i64.ge_u"])

    def branch(self, condition=None): self.ends = condition.raw if condition is not None else None
    def system_call(self): pass

    def when(self, condition, body):
        raw = condition.raw
        if type(raw) is Const:
            if raw.value:
                body()
            return
        self.inside += 1
        self._if(raw, body)
        self.inside -= 1

    def choose(self, condition, yes, no):
        raw = condition.raw
        if type(raw) is Const:
            return yes() if raw.value else no()
        self.depth += 1
        answer = super().choose(condition, yes, no)
        self.depth -= 1
        return answer

    def call(self, routine, *values):
        if routine.inline:
            return super().call(routine, *values)
        self.ordinary = False                              # modules import what they call
        raw = b"".join(v.raw for v in values) + w.call(self.imports.routines[routine.name])
        return self.value(routine.result, self.let(routine.result, raw))

    def trap_if(self, condition, vector): self._exit_unless_known(condition)
    def slow_if(self, condition): self._exit_unless_known(condition)

    def _exit_unless_known(self, condition):
        if type(condition.raw) is not Const or condition.raw.value:
            self._exit_if(condition.raw)

    def divide_wide(self, high, low, divisor, signed):
        if not signed:
            self.trap_if(~high.lt_u(divisor), "DE")
            call = high.raw + low.raw + divisor.raw + w.call(self.imports.divide)
            q = Int(self, self.let("i64", call), 64)
            return q, low - q * divisor
        self.slow_if((high != low.sar(63)) | (divisor == -1))
        return low.div_s(divisor), low.rem_s(divisor)

    # ---- flags
    def _set_lazy(self, kind, a: bytes, b: bytes, bits: int):
        if not self.op.flags_live & self.insn.effects.flags_touched:
            return
        code = kind | 64 - bits << 8 | _FLAGS_SET
        self.out.append(a + b + w.put(self.flag_b) + w.put(self.flag_a) + w.i32(code) + w.put(self.flag_kind))
        self.kind = MIXED if self.inside else (kind, bits)

    def flags_sub(self, x, y): self._set_lazy(flags.SUB, x.raw, y.raw, x.bits)
    def flags_add(self, x, y): self._set_lazy(flags.ADD, x.raw, y.raw, x.bits)
    def flags_logic(self, r): self._set_lazy(flags.SUB, r.raw, w.i64(0), r.bits)

    def _count_flags(self, kind, r):
        live = self.op.flags_live
        if live & self.insn.effects.flags_touched:
            self._set_lazy(kind, r.raw, self.cf.int(64).raw if live & 1 << CF else w.i64(0), r.bits)

    def flags_inc(self, r): self._count_flags(flags.INC, r)
    def flags_dec(self, r): self._count_flags(flags.DEC, r)

    def flags_result(self, r, cf, of, af=None):
        live = self.op.flags_live
        if live & ARITHMETIC:
            b = flags.pack(self, cf, of, af).raw if live & (1 << CF | 1 << OF | 1 << AF) else w.i64(0)
            self._set_lazy(flags.RESULT, r.raw, b, r.bits)

    def flags_set(self, **bits):
        live, named = self.op.flags_live, self.insn.effects.flags_touched
        if not live & named:
            return
        if live & ~named:
            super().flags_set(**bits)
            return
        packed = self.int(0, 32)
        for name, bit in bits.items():
            packed = packed | (bit.int(32) << _NUMBER[name])
        self.set_arithmetic_flags(packed)

    def set_arithmetic_flags(self, packed): self._set_lazy(flags.EXPLICIT, w.i64(0), packed.raw, 64)

    def _lazy(self) -> tuple[int, Int, Int]:
        kind, bits = self.kind
        return kind, Int(self, w.get(self.flag_a), bits), Int(self, w.get(self.flag_b), bits if kind in (flags.SUB, flags.ADD) else 64)

    def flags_compare(self, x, y):
        if not self.options.comparisons:
            super().flags_compare(x, y)
        elif self.op.flags_live & self.insn.effects.flags_touched:
            self.vectors = True
            code = flags.COMPARE | _FLAGS_SET
            self.out.append(x.to(64).raw + y.to(64).raw + w.put(FLAG_Y) + w.put(FLAG_X) + w.i32(code) + w.put(self.flag_kind))
            self.kind = flags.COMPARE, 64

    def arithmetic_flags(self):
        self._to_memory()
        return Int(self, self.let("i64", w.call(self.imports.flags) + w.OP["i64.extend_i32_u"]), 32)

    def _to_memory(self):
        """The flags are in memory too, and stay in locals as they are."""
        if self.kind is MIXED:
            self.out.append(self._store_mixed_flags())
        elif self.kind is not CLEAN:
            self.out.append(self._store_known_flags())

    def condition(self, cc):
        if isinstance(self.kind, tuple):
            if self.kind[0] == flags.COMPARE:
                x, y = Float(self, w.get(FLAG_X), 64), Float(self, w.get(FLAG_Y), 64)
                return Bool(self, self.let("i32", flags.condition_after_comparison(self, cc, x, y).raw))
            kind, a, b = self._lazy()
            return Bool(self, self.let("i32", flags.condition_after(self, kind, cc, a, b).raw))
        return flags.condition_of(self, cc, self.arithmetic_flags())

    def _store_known_flags(self) -> bytes:
        kind, bits = self.kind
        if kind == flags.COMPARE:
            return (_ZERO32 + _COMPARED + w.access("i64.store", at.FLAG_B)
                    + _ZERO32 + w.i32(flags.EXPLICIT) + w.access("i32.store", at.FLAG_KIND))
        up = w.i64(64 - bits) + w.OP["i64.shl"] if bits < 64 else b""
        return (_ZERO32 + w.get(self.flag_a) + up + w.access("i64.store", at.FLAG_A)
                + _ZERO32 + w.get(self.flag_b) + (up if kind in (flags.SUB, flags.ADD) else b"") + w.access("i64.store", at.FLAG_B)
                + _ZERO32 + w.i32(kind | 64 - bits << 8) + w.access("i32.store", at.FLAG_KIND))

    def _store_mixed_flags(self) -> bytes:
        kind = w.get(self.flag_kind)
        shift = kind + w.i32(8) + w.OP["i32.shr_u"] + w.i32(63) + w.OP["i32.and"] + w.OP["i64.extend_i32_u"]
        shifted = kind + w.i32(255) + w.OP["i32.and"] + w.i32(flags.ADD) + w.OP["i32.le_u"]
        store = (_ZERO32 + w.get(self.flag_a) + shift + w.OP["i64.shl"] + w.access("i64.store", at.FLAG_A)
                 + _ZERO32 + w.get(self.flag_b) + shift + w.OP["i64.shl"] + w.get(self.flag_b) + shifted + w.SELECT + w.access("i64.store", at.FLAG_B)
                 + _ZERO32 + kind + w.i32(0xFFFF) + w.OP["i32.and"] + w.access("i32.store", at.FLAG_KIND))
        if self.graph.compares:                             # as flags packed, then
            explicit = _COMPARED + w.put(self.flag_b) + w.i32(flags.EXPLICIT | _FLAGS_SET) + w.put(self.flag_kind)
            store = w.if_(kind + w.i32(255) + w.OP["i32.and"] + w.i32(flags.COMPARE) + w.OP["i32.eq"], explicit) + store
        return w.if_(kind, store)

    def _flush_flags(self):
        if self.kind is MIXED and not self.sets_flags:
            return
        self._to_memory()

    def flags_rest(self): return Int(self, self.let("i64", _ZERO32 + w.access("i64.load32_u", at.EFLAGS_REST)), 32)
    def set_flags_rest(self, value): self.out.append(_ZERO32 + value.raw + w.access("i64.store32", at.EFLAGS_REST))


def _sort(checks: dict) -> tuple:
    """What the code of checks depends on, but for the numbers in it."""
    return tuple((key, cover and (cover[0], cover[1] != 0, cover[3])) for key, cover in checks.items())


def _relation(x: int, op: str, y: int, flags: int) -> bytes:
    """Those flags where it holds, else 0."""
    return w.i32(flags) + _ZERO32 + w.get(x) + w.get(y) + w.OP[op] + w.SELECT


# The flags after a comparison of the numbers in FLAG_X and FLAG_Y, packed: i64.
_COMPARED = (_relation(FLAG_X, "f64.lt", FLAG_Y, flags.LESS) + _relation(FLAG_X, "f64.eq", FLAG_Y, flags.EQUAL) + w.OP["i32.or"]
             + w.i32(flags.UNORDERED) + _ZERO32 + w.get(FLAG_X) + w.get(FLAG_X) + w.OP["f64.ne"] + w.get(FLAG_Y) + w.get(FLAG_Y) + w.OP["f64.ne"]
             + w.OP["i32.or"] + w.SELECT + w.OP["i32.or"] + w.OP["i64.extend_i32_u"])
_PATTERNS = {"f64.reinterpret_i64", "i64.reinterpret_f64", "f32.reinterpret_i32", "i32.reinterpret_f32", "i64.extend_i32_u", "i32.wrap_i64"}


@dataclass(frozen=True)
class _Places:
    """A hash without collisions: rip * factor >> shift (modulo 2**32) is its place in `table`, which has 0 elsewhere."""
    factor: int
    shift: int
    table: list[int]


def _spread(rips: list[int]) -> _Places:
    bits = max(len(rips) - 1, 1).bit_length()
    while True:
        for k in range(64):
            factor, shift = 0x9E3779B1 * (2 * k + 1) & 0xFFFFFFFF, 32 - bits
            table = [0] * (1 << bits)
            for rip in rips:
                place = (rip * factor & 0xFFFFFFFF) >> shift
                if table[place]:
                    break
                table[place] = rip
            else:
                return _Places(factor, shift, table)
        bits += 1


# What is computed here where all operands are known, and its type.
_TESTS = {"eqz", "eq", "ne", "lt_u", "gt_u", "le_u", "ge_u", "lt_s", "gt_s", "le_s", "ge_s", "wrap_i64"}
_FOLDED = {op: "v128" if "x" in op[:4] or op[0] == "v" else "i32" if op[1] == "3" or op[4:] in _TESTS else "i64" for op in PRIM
           if op[0] in "iv" and not op.endswith(("bitmask", "all_true", "any_true"))}
_NUMBER = {"cf": CF, "pf": 2, "af": AF, "zf": 6, "sf": 7, "of": OF}
