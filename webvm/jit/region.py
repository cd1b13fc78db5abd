"""Tier 1: a region, one Wasm function over the control flow graph that begins at a hot entry.

A region's function takes the number of further activations it may make, the rip to begin at and the stack pointer. It answers the
next rip and the stack pointer; or 0 with RIP and STOP set, and the stack pointer in memory. Guest registers live in its locals:
loaded where it begins and after calls, stored where it ends and before calls; but not the stack pointer, which is passed on. A
memory access that its check refuses, and whatever must trap, leaves with STOP = RETRY before the instruction has changed
anything, and the interpreter executes it.

The code of instructions comes from instruction.py; here is how control flows: loops and blocks
from the dominator tree (N. Ramsey, "Beyond Relooper", ICFP 2022); several entries, indirect jumps and edges into the middle
of a loop share one br_table (cfg.SWITCH).
"""
import sys
from dataclasses import dataclass

from ..wasm import encoding as w
from ..x86 import ieee
from ..x86.meaning import ARITHMETIC, Int
from . import deferred, sse
from . import layout as at
from .cfg import OUTER, SWITCH, Graph
from .frame import (
    DEPTH, ENTRY, LEFT, LOAD_STACK, OWED, PLACE, ROUNDS, SCALARS, STACK, STORE_STACK, VECTOR, VECTORS, ZERO32, both_forms, loads, lows,
    stores, vector_in
)
from .hoist import hoist
from .inline import address_of
from .instruction import DEFERRED, EASY, HARD, LOOSE, NONE, Imports, Instructions
from .lanes import choose_forms
from .liveness import FLAGS, MIXED, analyse
from .options import Options
from .template import Templates

_FRAMES = 10                     # of Python, that a block inside another may take
_FUEL = ZERO32 + w.access("i32.load", at.REGION_FUEL)
_ALL_PAID = w.get(LEFT) + w.get(OWED) + w.OP["i32.sub"]
# Not 0 where MXCSR's controls are not those after a reset, or exceptions are watched.
_UNPLAIN = (ZERO32 + w.access("i32.load", at.MXCSR) + w.i32(0xFFC0) + w.OP["i32.and"] + w.i32(ieee.RESET) + w.OP["i32.xor"]
            + ZERO32 + w.access("i32.load", at.WATCHED) + w.OP["i32.or"])
# Not 0 where such a region must leave.
_UNFIT = {LOOSE: _UNPLAIN, DEFERRED: deferred.UNPLAIN}


def has_floats(graph: Graph) -> bool:
    """Whether something in it depends on MXCSR."""
    return any(map(_depends_on_mxcsr, graph.blocks.values()))


def _depends_on_mxcsr(block) -> bool:
    return block.summary.special and any(op.insn.effects.float_ops for op in block.ops)


def floats_ahead(graph: Graph) -> set[int]:
    """Where blocks begin from which something that depends on MXCSR is reached before a call."""
    ahead = {start for start in graph.order if _depends_on_mxcsr(graph.blocks[start])}
    work = [graph.number[start] for start in ahead]
    while work:
        for p in graph.predecessors[work.pop()]:
            start = graph.order[p]
            if start not in ahead and not graph.blocks[start].reloads:
                ahead.add(start)
                work.append(p)
    return ahead


class Region(Instructions):
    """A machine for MEANINGS that emits the function of one region.

    Its parameters: how many further activations there may be, the rip to begin at, one of graph.entries, and the stack pointer.

    Operations of SSE's numbers, by `floats`:
      LOOSE   are those of Wasm, and add no exceptions to MXCSR. The region leaves where it finds that
              MXCSR is not as after a reset, exceptions aside, or that the program watches it.
      DEFERRED are those of Wasm, and exceptions are added to MXCSR before anybody can look there, but DE; see deferred.py. The region leaves
              where it finds that MXCSR is not as after a reset, exceptions aside.
      MENDED  of these: where the engine exchanges operands of sums and products, the first of two NaNs is put in place of the second.
      EASY    are as MXCSR says, but only where no exception comes that is not there, which tests show: else it leaves.
      HARD    are as MXCSR says: calls of functions. They cost most around them, for no register survives a call."""

    def __init__(self, graph: Graph, imports: Imports, batch: dict[int, int], options: Options = Options(),
                 templates: Templates | None = None, floats: str = LOOSE, hard: int = 0):
        """batch: rip -> function index of the regions in the same module. hard: where `floats` is EASY, the function of the same graph
        where they are HARD, made after this."""
        self.calls_flags = options.calls_flags and options.dead_flags
        if floats != HARD:
            graph.inner = {}
            graph.forget()
            if options.hoist:
                hoist(graph)
            analyse(graph, options.dead_flags, options.cover, options.comparisons, self.calls_flags, options.beyond, options.anchors)
        super().__init__(imports, options, templates, floats if has_floats(graph) else NONE, graph.touched)
        self.exposed = floats_ahead(graph) if self.floats == LOOSE and options.floats_ahead else None
        self.graph, self.hard, self.home = graph, hard, (graph.entries or [graph.entry])[0]
        self.batch = batch if options.direct_calls else {}
        self.called: set[int] = set()                     # rips of regions that this one calls directly
        self.sets_flags = graph.sets_flags
        self.labels: list = []                            # what encloses the code being emitted, outermost first
        self.owed_at = {SWITCH: 0}                        # where a block begins: what is owed there, whatever way control came
        if self.vectors and options.lanes:
            choose_forms(graph)

    # ---- the function
    def code(self) -> bytes:
        graph = self.graph
        first = graph.blocks[graph.entry]
        none_left = w.if_(_FUEL + ZERO32 + w.OP["i32.ge_s"], self._answer(w.get(ENTRY)))          # activations; or else fuel
        none_left += self._leave_at(w.get(ENTRY) + w.OP["i64.extend_i32_u"], w.i32(at.FUEL))
        self.out = [] if self.options.stack else [LOAD_STACK]
        self.out += [w.if_(_FUEL + w.tee(LEFT) + w.get(DEPTH) + w.OP["i32.or"] + ZERO32 + w.OP["i32.lt_s"] + w.UNLIKELY, none_left)]
        self._leave_if_unfit(w.get(ENTRY), graph.entry)
        if self.floats == EASY:
            self.out.append(w.if_(sse.HARD + w.UNLIKELY, w.get(DEPTH) + w.get(ENTRY) + w.get(STACK) + b"\x12" + w.uleb(self.hard)))
        if graph.entry == SWITCH:
            self.out.append(w.get(ENTRY) + w.put(self.next))
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
        stop = w.i32(at.FUEL) + w.i32(at.RETRY) + _FUEL + ZERO32 + w.OP["i32.lt_s"] + w.SELECT
        end = (self._store_mixed_flags() if self.sets_flags else b"") + w.END + self._pay(_ALL_PAID)
        end += self._leave_at(w.get(self.exit_rip) + w.OP["i64.extend_i32_u"], stop)
        jump = self._pay(_ALL_PAID) + self._linked_jump()
        code = head + b"\x02\x40" * (n + 3) + body + w.UNREACHABLE + w.END + jump + tail + w.END + end
        return code if self.options.hints else w.without_hints(code)

    def _leave_at(self, rip: bytes, stop: bytes) -> bytes:
        return (STORE_STACK + ZERO32 + rip + w.access("i64.store", at.RIP) + ZERO32 + stop + w.access("i32.store", at.STOP)
                + ZERO32 + w.get(STACK) + w.RETURN)

    def _leave_if_unfit(self, rip: bytes, block: int) -> None:
        """Leaves for the rip where MXCSR is not as LOOSE and DEFERRED want it: where the function begins, and where it may have been changed;
        unless nothing depends on it from the block on until it is looked at again."""
        if self.floats in _UNFIT and (self.exposed is None or block in self.exposed):
            leave = STORE_STACK + rip + w.call(self.imports.unfit) + w.get(STACK) + w.RETURN
            self.out.append(w.if_(_UNFIT[self.floats] + w.UNLIKELY, leave))
        if self.floats == DEFERRED:
            self.out.append(self.begin_exact())

    def _answer(self, rip: bytes) -> bytes: return self._keep_stack() + rip + w.get(STACK) + w.RETURN

    def _keep_stack(self) -> bytes:
        """Where it is passed to somebody."""
        return b"" if self.options.stack else STORE_STACK

    def _take_stack(self) -> bytes:
        """What a call has answered, or put there."""
        return w.put(STACK) if self.options.stack else w.DROP + LOAD_STACK

    def _spend(self, n: int):
        """Where nothing depends on it, what is used is only added up here: most ways through the code of a region take nothing off LEFT."""
        if self.options.owing:
            self.owed += n
        else:
            self._take_off(n)

    def _take_off(self, n: int):
        if n:
            self.out.append(w.get(LEFT) + w.i32(n) + w.OP["i32.sub"] + w.put(LEFT))

    def _settle_for(self, y):
        """On the way to block y, where what is owed is what the first way there left."""
        owed = self.owed_at.setdefault(y, self.owed)
        self._take_off(self.owed - owed)

    def _fuel(self) -> bytes: return w.get(LEFT) + (w.i32(self.owed) + w.OP["i32.sub"] if self.owed else b"")

    def _pay(self, fuel: bytes = b"") -> bytes:
        """The fuel is in memory, as it must be where control leaves or calls."""
        return ZERO32 + (fuel or self._fuel()) + w.access("i32.store", at.REGION_FUEL)

    def _stores(self, mask: int) -> bytes: return stores(mask, self.low & both_forms(mask))

    def _load(self, mask: int, low: int):
        self.out.append(loads(mask) + lows(low & both_forms(mask)))
        self.low = low

    def _convert(self, y):
        """Puts vector registers into the forms that block y begins with."""
        block = self.graph.blocks[y]
        differ = (self.low ^ block.low_in) & both_forms(block.valid_in & self.graph.touched)
        if differ:
            registers = (differ | differ >> 16) & 0xFFFF
            apart = (self.low | self.low >> 16) & registers
            whole = [vector_in(n, self.low) + w.put(VECTOR + n) for n in range(16) if apart >> n & 1]
            self.out.append(b"".join(whole) + lows(block.low_in & (registers | registers << 16)))

    def _jump_out(self) -> bytes:
        """A branch to where control leaves for the rip in `next`, all state in memory."""
        return self._note_owed() + w.br(self.depth)

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
        y = graph.instead.get((x, y), y)
        if y not in graph.blocks or (x, y) in graph.cuts:
            y = address_of(y)
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
            self._settle_for(y)
            again = self.depth - self.labels.index(("loop", y)) - 1
            if graph.blocks[y].strip:
                self.out.append(w.get(ROUNDS) + w.i32(1) + w.OP["i32.sub"] + w.tee(ROUNDS) + ZERO32 + w.OP["i32.ge_s"] + w.LIKELY + w.br_if(again))
                again += 1
            self.out.append(w.br(again))
        elif y in graph.merges:
            self._convert(y)
            self._settle_for(y)
            self.out.append(w.br(self.depth - self.labels.index(("block", y)) - 1))
        else:
            if y in graph.loops:
                self._convert(y)
            else:
                graph.blocks[y].low_in = self.low
            self.owed_at[y] = self.owed
            self._tree(y)

    def _to_switch(self):
        self._convert(SWITCH)
        self._settle_for(SWITCH)
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
            start = self.graph.instead.get((SWITCH, rip), rip)
            depth = self.depth + inside - self.labels.index(("block", start)) - 1
            found = target + w.i32(rip) + w.OP["i32.eq"] + w.LIKELY
            convert = self.nested(lambda: (self._convert(start), self._settle_for(start)))
            found += w.br_if(depth) if not convert else b"\x04\x40" + convert + w.br(depth + 1) + w.END
            self.out.append(w.END + found + w.br(inside - 1))
        self.out.append(w.END)
        self._spill(block)
        self.out.append(self._jump_out())

    def _block(self, x):
        block = self.graph.blocks[x]
        self.kind, self.narrow, self.low, self.numbers = block.kind_in or MIXED, 0, block.low_in, 0
        self.rip = block.rip
        self.owed = self.owed_at.setdefault(x, 0)
        if x in self.graph.loops and not block.strip and not x & OUTER:
            self._exit_if(w.get(LEFT) + w.i32(self.owed) + w.OP["i32.lt_s"], block.saved)
        self._spend(len(block.ops))
        self.ends = None
        if block.end == "table":
            self._table_jump(block)
        else:
            trusted = block.ops[-1] if block.end == "return" and self.options.returns else None
            for op in block.ops:
                self.trusting = op is trusted
                self.instruction(op)
            self.trusting = False
        self.settle()
        getattr(self, "_end_" + block.end)(block)

    def _strip(self, block):
        """Before the head of a loop, finds how many rounds may follow the next one without this."""
        mask = block.saved
        self.rip, self.low = block.rip, block.low_in
        self.owed = self.owed_at.setdefault(block.start, 0)
        self.out.append(self._fuel() + w.put(ROUNDS))
        self._exit_if(w.get(ROUNDS) + ZERO32 + w.OP["i32.lt_s"], mask)
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

    def _state(self) -> tuple: return self.kind, self.narrow, self.low, self.owed
    def _set_state(self, state: tuple): self.kind, self.narrow, self.low, self.owed = state

    def _end_branch(self, block):
        condition, first, second, ways = self.ends, block.target, block.next, block.ways
        inner, head = self.graph.inner, self.graph.inner.get(block.start, 0)
        if head and inner.get(first) == head != inner.get(second):
            # wasmtime lays out first what comes second: loops in one piece get better registers
            condition, first, second = condition + w.OP["i32.eqz"], second, first
            ways = ways[::-1]
        state = self._state()
        hint = {(True, False): w.LIKELY, (False, True): w.UNLIKELY}.get(ways, b"")
        self.out.append(condition + hint + b"\x04\x40")
        self._push(None)
        self._goto(block.start, first)
        self.out.append(w.ELSE)
        self._set_state(state)
        self._goto(block.start, second)
        self._pop()
        self.out.append(w.END + w.UNREACHABLE)

    def _spill(self, block, flags: int = ARITHMETIC):
        """flags: those that are needed from now on."""
        self.out.append(self._stores(block.dirty_out))
        if flags or not self.calls_flags:
            self._flush_flags()

    def _callout(self, block, call: bytes):
        """Calls out with all state in memory but the stack pointer, which `call` sets anew, and goes on at block.next if that is the rip
        answered."""
        following = next(iter(self.graph.edges(block.start)), None)     # by way of the switch, perhaps
        after = address_of(block.next)
        other = w.get(self.next) + w.get(STACK) + w.RETURN
        if self.options.resume:
            resume = w.get(self.next) + w.get(DEPTH) + w.i32(after) + w.get(STACK) + w.call(self.imports.resume) + w.tee(self.next)
            other = w.if_(resume + w.i32(after) + w.OP["i32.ne"], other) + LOAD_STACK
        self.out.append(self._pay() + w.if_(call + w.tee(self.next) + w.i32(after) + w.OP["i32.ne"] + w.UNLIKELY, other)
                        + _FUEL + w.put(LEFT))
        self.owed = 0
        if following is None:
            self.out.append(self._jump_out())
            return
        self._leave_if_unfit(w.i32(after), following)
        if self.floats == EASY:
            self.out.append(w.if_(sse.HARD + w.UNLIKELY, self._leave_at(w.i64(after), w.i32(at.RETRY))))
        if self.sets_flags:
            self.out.append(ZERO32 + w.put(self.flag_kind))
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
            call = self._one_less() + w.i32(target) + w.get(STACK) + w.call(self.batch[target])
            call = self._keep_stack() + call + self._take_stack()
        else:
            call = self._linked_call(w.i32(target), ZERO32, at.LINKS + at.link_place(target))
        self._callout(block, call)

    def _end_call_indirect(self, block):
        self._target()
        self._end_call_next(block)

    def _end_choice(self, block):
        self._target()
        self.ends = w.get(self.next) + w.i32(address_of(block.target)) + w.OP["i32.eq"]
        self._end_branch(block)

    def _end_call_next(self, block):
        self._spill(block)
        self._callout(block, self._place() + self._linked_call(w.get(self.next), w.get(PLACE), at.LINKS))

    def _table_jump(self, block):
        """Its instructions; the number of the place is in `next` then, and where that leads is not looked at."""
        jump = block.ops[-1]
        for op in block.ops:
            if op.rip == block.table.load:
                self.out.append(w.get(self.local[block.table.index >> 3]) + w.OP["i32.wrap_i64"] + w.put(self.next))
            if op is not jump:
                self.instruction(op)
        self.settle()
        self.op, self.rip, self.trusting = jump, jump.rip, True
        self._emit(jump)
        self.trusting = False

    def _end_table(self, block):
        """By the number of the place, if what is there now leads there."""
        number = {rip: k for k, rip in enumerate(block.edges)}
        n, target, state = len(number), self.ends, self._state()
        places = [number.get(rip, n) for rip in block.table.places]
        while places and places[-1] == n:
            places.pop()
        self.out.append(b"\x02\x40" * (n + 1) + w.get(self.next) + b"\x0e" + w.vec(map(w.uleb, places)) + w.uleb(n))
        for _ in range(n + 1):
            self._push(None)
        for rip, k in number.items():
            self._set_state(state)
            self.out.append(w.END + target + w.i64(rip) + w.OP["i64.eq"] + w.LIKELY + b"\x04\x40")
            self._goto(block.start, rip)
            self._pop()
            self.out.append(w.END + w.br(n - k - 1))
        self.out.append(w.END)
        self._pop()
        self._set_state(state)
        self.target(Int(self, target, 64))
        self._end_jump_indirect(block)

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
        self.out.append(self._pay() + self._answer(w.get(self.next)))

    def _end_return(self, block):
        """In a copy of a function: behind the call, if that is where it returns to."""
        state = self._state()
        self.out.append(self.ends + w.i64(address_of(block.next)) + w.OP["i64.ne"] + w.UNLIKELY + b"\x04\x40")
        self._push(None)
        if self.options.returns:
            self._if(self._is_strange(self.ends) + w.UNLIKELY, lambda: self.out.append(self._not_returned() + self._exit()))
        self._end_ret(block)
        self._pop()
        self.out.append(w.END)
        self._set_state(state)
        self._goto(block.start, block.next)

    def _not_returned(self) -> bytes:
        """The stack pointer as it is before the RET."""
        insn = self.op.insn
        return w.get(STACK) + w.i64(8 + (insn.imm & 0xFFFF if insn.form.kinds else 0)) + w.OP["i64.sub"] + w.put(STACK)

    def _target(self): self.out.append(self.ends + w.OP["i32.wrap_i64"] + w.put(self.next))

    def _end_syscall(self, block):
        self._spill(block)
        self._callout(block, STORE_STACK + w.i32(address_of(block.next)) + w.call(self.imports.syscall_out) + LOAD_STACK)

    def _end_out(self, block):
        self._spend(1)                                     # a jump that is executed elsewhere may lead back here
        self._spill(block)
        self._callout(block, STORE_STACK + w.i32(block.target) + w.call(self.imports.escape_out) + LOAD_STACK)

    def _end_retry(self, block):
        self._spill(block)
        self.out.append(self._pay() + self._leave_at(w.i64(block.target), w.i32(at.RETRY)))

    # ---- calls and jumps out: by way of LINKS, which `enter` keeps
    @staticmethod
    def _one_less() -> bytes: return w.get(DEPTH) + w.i32(1) + w.OP["i32.sub"]

    def _place(self) -> bytes:
        """Computes layout.link_place of `next`."""
        return w.get(self.next) + w.i32(at.LINK_FACTOR) + w.OP["i32.mul"] + w.i32(16) + w.OP["i32.shr_u"] + w.i32(0xFFF8) + w.OP["i32.and"] + w.put(PLACE)

    def _is_linked(self, rip: bytes, place: bytes, offset: int) -> bytes:
        return place + w.access("i32.load", offset) + rip + w.OP["i32.eq"] + w.LIKELY

    @staticmethod
    def _slot(place: bytes, offset: int) -> bytes: return place + w.access("i32.load", offset + 4)

    def _linked_call(self, rip: bytes, place: bytes, offset: int) -> bytes:
        """Calls the region at rip, which LINKS may have at place + offset; its answer. place: cheap, and evaluated twice."""
        enter = rip + w.get(DEPTH) + w.get(STACK) + w.call(self.imports.enter) + self._take_stack()
        if not self.options.links:
            return self._keep_stack() + enter
        linked = self._one_less() + rip + w.get(STACK) + self._slot(place, offset) + w.call_indirect(self.imports.type)
        linked = self._is_linked(rip, place, offset) + b"\x04\x7f" + linked + self._take_stack()
        return self._keep_stack() + linked + w.ELSE + enter + w.END

    def _linked_jump(self) -> bytes:
        """Leaves for the region at `next`."""
        rip = w.get(self.next)
        enter = rip + w.get(DEPTH) + w.i32(1) + w.OP["i32.add"] + w.get(STACK) + b"\x12" + w.uleb(self.imports.enter)
        if not self.options.links:
            return self._keep_stack() + enter
        place = w.get(PLACE)
        linked = w.get(DEPTH) + rip + w.get(STACK) + self._slot(place, at.LINKS) + w.return_call_indirect(self.imports.type)
        return self._keep_stack() + self._place() + w.if_(self._is_linked(rip, place, at.LINKS), linked) + enter

    def _flush_flags(self):
        if self.kind is MIXED and not self.sets_flags:
            return
        self._to_memory()


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
