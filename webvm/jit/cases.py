"""Common instructions executed within the interpreter's loop, without a call: the cases of a br_table.

A call of a handler is 30 instructions of the host around the 20 that it is about, and where it leads is known late, which is
dear in programs that never do the same for long. What cases do is what their handlers do, by the same code; only how they
leave differs. Knows which shapes are worth it. Knows nothing of decoding, nor of regions.
"""
from ..wasm import encoding as w
from . import layout as at
from .assembler import Function, X, invoke, invoke_indirect
from .handler import (
    CALL, COUNTED, JUMP, R_COUNT, R_HANDLER, R_NEXT, R_RIP, R_TARGET, RECORD, UNLINKED, Handler, Runtime, Shape, field
)

# Meaning: the kinds of its operands, widths of the first.
_COMMON = {
    "mov": ("rr rm rM mr Mr ri mi", (32, 64)), "movzx": ("rr rm rM", (32,)), "movsxd": ("rr rm rM", (64,)), "lea": ("rm rM", (32, 64)),
    "push": ("r m i", (64,)), "pop": ("r", (64,)), "add": ("rr ri rm", (32, 64)), "sub": ("rr ri", (32, 64)),
    "and": ("rr ri", (32, 64)), "or": ("rr ri", (32, 64)), "xor": ("rr", (32, 64)), "shl": ("ri", (32, 64)), "shr": ("ri", (32, 64)), "sar": ("ri", (32, 64)),
    "jcc": ("j", ()), "jmp": ("j", ()), "call": ("j", ()), "ret": ("", ()), "jmp_indirect": ("r m M", (64,)), "call_indirect": ("r m M", (64,)),
}
_BYTES = {"mov": "rm mr mi"}
_JOINED = {"cmp": {"ri": (8, 16, 32, 64), "mi": (8, 16, 32, 64), "rr": (32, 64), "rm": (32, 64), "mr": (32, 64)},
           "test": {"rr": (8, 32, 64), "ri": (8, 32), "mi": (8,)}}
_CONDITIONS = {"cmp": (2, 3, 4, 5, 6, 7, 14, 15), "test": (4, 5, 8, 9, 14, 15)}


def common(shape: Shape) -> bool:
    """Whether the shape's handler is a case, too."""
    kinds, first = "".join(kind[0] for kind in shape.kinds), shape.bits[:1]
    if shape.rep is not None:
        return False
    if shape.then is not None:
        return (shape.then in _CONDITIONS.get(shape.meaning, ()) and first[0] in _JOINED[shape.meaning].get(kinds, ()))
    if kinds == "j":
        return shape.meaning in _COMMON and (shape.cc is None or shape.cc in _CONDITIONS["cmp"])
    if first == (8,):
        return kinds in _BYTES.get(shape.meaning, "").split()
    some, widths = _COMMON.get(shape.meaning, ("", None))
    return widths is not None and (kinds in some.split() or not kinds and not some) and (not first or first[0] in widths)


class _Loop:
    """What the cases share: locals of each type, handed out to each case anew, and where they go on."""

    def __init__(self, f: Function):
        self.f = f
        self.record, self.left = f.params[:2]
        self.pools: dict[str, list[int]] = {"i32": [], "i64": [], "v128": []}
        self.target, self.way, self.branch = f.local(), f.local(), f.local()                # of a branch, whose record is `branch`
        self.sure = self.doubtful = self.taken = self.others = 0        # labels, see emit

    def local(self, type: str, k: int) -> int:
        """The k-th of its type."""
        pool = self.pools[type]
        if k == len(pool):
            pool.append(self.f.local(type).index)
        return pool[k]


class _Case(Handler):
    """Emits a handler's body within the loop."""

    def __init__(self, shape: Shape, runtime: Runtime, loop: _Loop, checks):
        self.loop, self.used, self.inner = loop, dict.fromkeys(loop.pools, 0), 0
        self.branches = self.jumps = False                  # how it ends: sets loop.target, or perhaps the record to 0
        super().__init__(shape, runtime, checks)

    def let(self, type, raw):
        n = self.loop.local(type, self.used[type])
        self.used[type] += 1
        self.out.append(raw + w.put(n))
        return w.get(n)

    def nested(self, body) -> bytes:
        self.inner += 1
        raw = super().nested(body)
        self.inner -= 1
        return raw

    def _ask(self, address, bits, access):
        """Has the handler do it, all of it."""
        assert not self.inner, "labels are counted from the case itself"
        return w.br(self.loop.f.depth - self.loop.others + 1)

    def _leave(self): return w.get(self.loop.left.index) + w.RETURN
    def _count_one(self): self.out.append((self.loop.left - 1).raw + w.put(self.loop.left.index))

    def goto(self, address):
        super().goto(address)
        self.jumps = True

    def slow_if(self, condition): raise AssertionError(f"{self.shape} is too rare to be a case")

    def branch(self, condition=None):
        if condition is None:
            way, record = w.i32(CALL if self.shape.meaning == "call" else JUMP), field("i32.load", self.at + R_TARGET)
        else:
            way = self.let("i32", condition.raw)
            record = field("i32.load", self.at + R_TARGET) + field("i32.load", self.at + R_NEXT) + way + w.SELECT
        loop, self.branches, self.result = self.loop, True, b""
        self.out.append(record + w.put(loop.target.index) + way + w.put(loop.way.index) + self._record(self.at) + w.put(loop.branch.index))


def emit(m, index: int, shapes: dict[int, Shape], places: int, runtime: Runtime, special: tuple[int, int]) -> None:
    """Defines function `index`, the loop: (record, left, after) -> (record, left).

    Executes from `record` on until `left` is no longer above 0, each instruction counting 1, or control comes to the address `after`, or,
    if that is not 0, to the ENTER of a region. The record answered is 0 where the interpreter is to leave, with RIP and STOP set.
    shapes: handler index -> shape, of the cases, all below `places`. special: the indices of COUNT and ENTER.
    """
    f = Function(m, "steps", "i32 i32 i32", "i32 i32", index=index)
    record, left, after = f.params
    loop = _Loop(f)
    handler = record.load("i32.load", R_HANDLER)
    with f.loop() as again:                                 # to there nothing is counted
        loop.sure, loop.doubtful, loop.taken, loop.others = (_open(f) for _ in range(4))
        labels = {number: _open(f) for number in (*special, *shapes)} if shapes else {}
        if labels:
            rest = f.depth - loop.others
            places = [f.depth - labels[k] if k in labels else rest for k in range(places)]
            f.out.append(handler.raw + b"\x0e" + w.vec(map(w.uleb, places)) + w.uleb(rest))
        for number in reversed(labels):
            _close(f)
            if number in shapes:
                _body(f, loop, shapes[number], runtime)
            elif number == special[0]:                      # COUNT; its last turn is the handler's
                count = f.local(value=record.load("i32.load", R_COUNT) - 1)
                f.br(loop.others, count.is_zero())
                f.store("i32.store", record, count, R_COUNT)
                f.set(record, record + RECORD)
                f.br(again)
            else:
                with f.if_(after):
                    f.ret(record, left)
                f.br(loop.others)
        _close(f)                                           # others: those that are no cases, and accesses that a case refuses, before it has changed anything
        f.set(record, invoke_indirect(m.type("i32", "i32"), handler, record))
        f.br(loop.doubtful)
        _close(f)                                           # taken: a branch, to `target`
        f.set(record, loop.target)
        f.br(loop.sure, (record & COUNTED).is_zero())
        with f.if_(record != UNLINKED):
            f.set(record, record - COUNTED)
            count = f.local(value=record.load("i32.load", R_COUNT) - 1)
            f.br(loop.sure, count.is_zero())
            f.store("i32.store", record, count, R_COUNT)
            f.set(record, record + RECORD)
            f.br(loop.sure)
        f.set(record, invoke(runtime.link, loop.branch, loop.way))
        _close(f)                                           # doubtful: the record may be 0
        with f.if_(record.is_zero()):
            f.ret(0, left)
        _close(f)                                           # sure: it is not
        f.set(left, left - 1)
        with f.if_(X("i32", left.raw + w.i32(0) + w.OP["i32.gt_s"])):
            f.br(again, record.load("i32.load", R_RIP) != after)
    f.ret(record, left)
    f.done()


def _open(f: Function) -> int:
    """Begins a block; its label."""
    f.out.append(b"\x02" + w.EMPTY)
    f.depth += 1
    return f.depth


def _close(f: Function) -> None:
    f.depth -= 1
    f.out.append(w.END)


def _body(f: Function, loop: _Loop, shape: Shape, runtime: Runtime) -> None:
    trial = Handler(shape, runtime)
    trial.code()
    case = _Case(shape, runtime, loop, trial.accesses)
    body = case.code()
    f.out.append(body if case.branches else body + w.put(loop.record.index))
    f.br(loop.taken if case.branches else loop.doubtful if case.jumps else loop.sure)
