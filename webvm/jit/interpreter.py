"""Tier 0: the interpreter, a Wasm module generated from the opcode maps and the meanings.

`build` puts it together: a handler for each shape, the record decoder, and the few functions around them. The module's
contract with an engine (imports, exports) stands in the docstring of `build`.
"""
from ..wasm import encoding as w
from ..wasm.module import Module
from ..x86 import flags, ieee, integer
from ..x86.meaning import ROUTINES, RSP, Int
from ..x86.processor import CPUS, DEFAULT
from ..x86.x87_common import FUNCTIONS
from . import cases, decoder
from . import layout as at
from . import sse, x87
from .assembler import Function, X, c32, c64, invoke, invoke_indirect
from .decoder import INDEX_LIMIT, Tables, hash_block, hash_mask, hash_slot, index_code, next_slot
from .frame import PARAMETERS, RESULTS
from .handler import (CALL, COUNTED, FALL, R_COUNT, R_HANDLER, R_IMM, R_LENGTH, R_NEXT, R_RIP, R_SLOT, R_TARGET, RECORD,
                      UNLINKED, Handler, Runtime, Shape, generate)

BASELINE = CPUS[DEFAULT]               # CPUID features beyond x86-64 with SSE2 that the guest is shown
REGION_SHARE = 3                       # regions may spend fuel << this in a run
MOST_REGION_FUEL = 1 << 30
MOST_FUEL = (1 << 31) - 1
_RSP = at.GPR + 8 * RSP
LEAST_HASH_MASK, MOST_HASH_MASK = (8 << 14) - 8, (8 << 20) - 8


def build(features: frozenset[str] = BASELINE, fuse: bool = True, within: bool = True) -> bytes:
    """The interpreter for a processor with these CPUID features. `fuse`: join comparisons with the branch after them. `within`: common
    instructions are executed within the loop, see cases.

    Imports (module "env"):
      memory                                  the address space, laid out as `layout` says
      syscall() -> i32                        1: go on at RIP, 0: leave
      fault(low i32, high i32, access i32) -> i32   1: the access to that guest address is permitted now, 0: leave
      escape() -> i32                         the instruction at RIP has been executed elsewhere: 0 go on at RIP,
                                              else a stop code
      clock() -> f64                          nanoseconds, from any moment on
    Exports:
      run(fuel i32) -> i32                    executes up to fuel instructions; a stop code
      protect(page i32, n i32, permission i32)      sets the permission bytes of n pages, forgets code decoded there
      forget(page i32, n i32)                 forgets code decoded from n pages
      eflags() -> i32, set_eflags(i32)        all of RFLAGS
      table                                   of the regions' functions; may grow
      exchanges(rounds i32) -> i32            not 0: operands of sums or products were exchanged in it, see sse

    A region is translated guest code: a function (depth i32, rip i32, rsp i64) -> (i32, i64) that begins at rip with the other
    registers in the CPU state, and returns with them there. The answer is the rip to go on at, and RSP; or 0 with RIP and STOP set,
    and RSP in the state: FUEL when
    REGION_FUEL is used up, LEFT to leave `run`, RETRY to have the interpreter execute the instruction at RIP, RESUME to go on
    at RIP once all regions on the stack have returned. `depth` is how
    many guest calls it may nest. Exports for regions, and for whoever installs them:
      find(rip i32) -> i32                    the record of the block decoded at rip, or 0
      install(rip i32, slot i32, first i32, last i32) -> i32    from now on whoever comes to the block at rip enters the
                                              region at that slot of the table, until a byte of first .. last changes; 0 if
                                              no block was decoded there, or not all pages of those bytes are executable
      install_ranges(rip i32, slot i32, size i32) -> i32    the same for all that lies in the first `size` bytes of HOT: (first byte u32,
                                              bytes u32, these bytes) each; 0 and nothing done if the guest has others
      enter(rip i32, depth i32, rsp i64) -> (i32, i64)      enters the region at rip, and notes it in LINKS; where there is none,
                                              or depth is 0, answers rip and rsp
      resume(rip i32, depth i32, after i32, rsp i64) -> i32      a call was answered with rip and rsp and not with the address
                                              `after` it: has the rest interpreted and answers `after`; or 0, for the region to
                                              return. RSP is in the state
      syscall_out(next i32) -> i32            SYSCALL, the instruction after which is at next; what a region returns
      escape_out(rip i32) -> i32              executes the instruction at rip elsewhere; what a region returns. Either
                                              way 0 if code was forgotten meanwhile: the region may not go on
      flags() -> i32                          the arithmetic flags, packed
      divide(high i64, low i64, divisor i64) -> i64
      x87(which i32, a i64, b i64) -> i32     one of x87.py's functions, in the order of their names
      and by its name each routine of meanings (x86.meaning.ROUTINES) that some instruction calls
      and each function of sse.py
      unfit(rip i32) -> 0                     for a region that can't go on at rip as MXCSR is: reports rip hot, to have another one made
      clock() -> f64                          the import
    """
    tables = Tables(features, fuse)
    data, where = tables.segments()
    m = Module()
    m.import_memory("env", "memory", at.BIAS // 65536 + 16, 65536)
    ask_syscall = m.import_function("env", "syscall", "", "i32")
    ask_fault = m.import_function("env", "fault", "i32 i32 i32", "i32")
    ask_escape = m.import_function("env", "escape", "", "i32")
    clock = m.import_function("env", "clock", "", "f64")

    flush, spread = m.declare("flush", ""), m.declare("spread", "")
    decode, lookup = m.declare("decode", "i32", "i32"), m.declare("lookup", "i64", "i32")
    runtime = Runtime(fault=m.declare("fault", "i64 i32 i32 i32", "i32"), link=m.declare("link", "i32 i32", "i32"),
                      arrive=m.declare("arrive", "i64", "i32"), trap=m.declare("trap", "i32 i32", "i32"),
                      escape=m.declare("escape", "i32", "i32"), syscall=m.declare("syscall", "i32", "i32"),
                      flags=m.declare("flags", "", "i32", export=True), clock=clock,
                      divide=m.declare("divide", "i64 i64 i64", "i64", export=True), x87={}, sse={}, routine=_Routines(m),
                      features=features)
    m.export("clock", clock)
    forget = m.declare("forget", "i32 i32", "", export=True)

    _flush(m, flush)
    _spread(m, spread)
    decoder.emit(m, decode, tables, where, ask_fault, flush, spread)
    _lookup(m, lookup, decode, ask_fault)
    _arrive(m, runtime.arrive, lookup)
    _link(m, runtime.link, lookup)
    _trap(m, runtime.trap)
    _escape(m, runtime.escape, ask_escape, lookup)
    _fault(m, runtime.fault, ask_fault, forget)
    _forget(m, forget)
    _protect(m, forget)
    _flags(m, runtime.flags)
    _divide(m, runtime.divide)
    runtime.x87.update(zip(FUNCTIONS, x87.build(m, runtime.divide)))
    runtime.sse.update(sse.build(m, runtime.divide, features))
    eflags = _eflags(m, runtime)
    _syscall(m, runtime.syscall, ask_syscall, lookup, eflags)

    sse.exchanges(m)
    find = _find(m)
    _install_ranges(m, _install(m, find))
    _syscall_out(m, ask_syscall, eflags)
    _escape_out(m, ask_escape)
    _unfit(m)
    handlers = [runtime.escape, _stale(m, lookup), _goto(m, runtime), _count(m), m.declare("enter region", "i32", "i32")]
    for shape in tables.shapes:
        index = m.declare(str(shape), "i32", "i32")
        m.define(index, *generate(shape, runtime))
        handlers.append(index)
    runtime.routine.define(runtime)
    m.table = handlers + list(runtime.x87.values())
    _x87(m, len(handlers))
    regions = m.declare_table("table", 1)                   # 0 is nobody's slot
    _enter_region(m, handlers[Tables.ENTER], regions, lookup)
    _enter(m, regions)
    steps = m.declare("steps", "i32 i32 i32", "i32 i32")
    common = {k: tables.shapes[k - Tables.RESERVED] for k in range(Tables.RESERVED, tables.common)
              if cases.common(tables.shapes[k - Tables.RESERVED])} if within else {}
    cases.emit(m, steps, common, tables.common, runtime, (Tables.COUNT, Tables.ENTER))
    _resume(m, lookup, steps, handlers[Tables.ENTER])
    _run(m, lookup, steps)
    m.data = data
    return m.encode()


class _Helper(Handler):
    """Runs meanings' language inside a function of the interpreter; it has no record."""

    def __init__(self, function: Function, runtime: Runtime):
        super().__init__(Shape("nop", 64, (), ()), runtime)
        self.first_local, self.locals, self.out = len(function.params), function.locals, function.out


class _Routines:
    """The functions of the interpreter that are routines of the meanings, each made once it is asked for."""

    def __init__(self, module: Module):
        self.module, self.index = module, {}

    def __call__(self, name: str) -> int:
        if name not in self.index:
            routine = ROUTINES[name]
            self.index[name] = self.module.declare(name, " ".join(routine.parameters), routine.result, export=True)
        return self.index[name]

    def define(self, runtime) -> None:
        done = 0
        while done < len(self.index):                      # one may ask for another
            name, index = list(self.index.items())[done]
            routine = ROUTINES[name]
            f = Function(self.module, name, " ".join(routine.parameters), routine.result, index=index)
            e = _Helper(f, runtime)
            result = routine.function(e, *(e.value(p.type, p.raw) for p in f.params))
            self.module.define(index, f.locals, b"".join(f.out) + result.raw)
            done += 1


def _cell(op: str, offset: int) -> X: return c32(0).load(op, offset)


def _flush(m, index):
    """Empties the record arena, the block index, the hash table and the links; sets them up where there are none yet."""
    f = Function(m, "flush", index=index)
    with f.if_(_cell("i32.load", at.ARENA_NEXT)):
        f.out.append(w.i32(at.HASH) + w.i32(0) + (hash_mask() + 8).raw + w.OP["memory.fill"])
        f.out.append(w.i32(at.LINKS) + w.i32(0) + w.i32(at.BLOCKS - at.LINKS) + w.OP["memory.fill"])
    with f.else_():
        f.store("i32.store", 0, LEAST_HASH_MASK, at.HASH_MASK)
    f.store("i32.store", 0, at.RECORDS, at.ARENA_NEXT)
    f.store("i32.store", 0, 0, at.BLOCK_COUNT)
    f.store("i32.store", 0, _cell("i32.load", at.FLUSHES) + 1, at.FLUSHES)
    f.store("i32.store", 0, sse.foreign(f), at.SSE_FOREIGN)
    f.done()


def _spread(m, index):
    """Makes the hash table four times as large, or as large as it may be, and enters the blocks anew."""
    f = Function(m, "spread", index=index)
    f.out.append(w.i32(at.HASH) + w.i32(0) + (hash_mask() + 8).raw + w.OP["memory.fill"])
    larger = f.local(value=(hash_mask() << 2) + 24)
    f.store("i32.store", 0, (larger > MOST_HASH_MASK).pick(MOST_HASH_MASK, larger), at.HASH_MASK)
    entry = f.local(value=at.BLOCKS)
    end = f.local(value=(_cell("i32.load", at.BLOCK_COUNT) << 4) + at.BLOCKS)
    with f.block() as done:
        with f.loop() as each:
            f.br(done, entry >= end)
            record = f.local(value=entry.load("i32.load", 8))
            with f.if_((record != 0) & (entry.load("i32.load", 12) != RECORD)):             # neither forgotten nor a region
                hash_block(f, f.local(value=record.load("i32.load", R_RIP)), record)
            f.set(entry, entry + 16)
            f.br(each)
    f.done()


def _search(f, rip: X, missing: int) -> X:
    """The record of the block decoded at rip; leaves the block `missing` where there is none."""
    slot, key, record = f.local(value=hash_slot(rip)), f.local(), f.local()
    with f.block() as found:
        with f.loop() as probe:
            f.set(key, slot.load("i32.load", at.HASH))
            f.br(missing, key.is_zero())
            f.br(found, key == rip)
            f.set(slot, next_slot(slot))
            f.br(probe)
    f.set(record, slot.load("i32.load", at.HASH + 4))
    f.br(missing, record.is_zero())
    return record


def _arrive(m, index, lookup):
    """(rip) -> the record that a jump to rip leads to; 0 as from `lookup`. What COUNT does is done here, but for its turn."""
    f = Function(m, "arrive", "i64", "i32", index=index)
    rip, = f.params
    with f.block() as missing:
        f.br(missing, (rip >> 32).low())
        record = _search(f, rip.low(), missing)
        left = f.local(value=record.load("i32.load", R_COUNT) - 1)
        with f.if_(left):
            f.store("i32.store", record, left, R_COUNT)
            f.ret(record + RECORD)
        f.ret(record)
    f.ret(invoke(lookup, rip))
    f.done()


def _find(m) -> int:
    f = Function(m, "find", "i32", "i32", export=True)
    rip, = f.params
    with f.block() as missing:
        f.ret(_search(f, rip, missing))
    f.ret(0)
    f.done()
    return f.index


def _lookup(m, index, decode, ask_fault):
    """(rip) -> the record there, decoded now if need be; 0 with STOP and RIP set if it may not be executed."""
    f = Function(m, "lookup", "i64", "i32", index=index)
    rip, = f.params
    low = f.local(value=rip.low())
    with f.block() as missing:
        f.br(missing, (rip >> 32).low())
        f.ret(_search(f, low, missing))
    with f.if_((rip >> 32).low().is_zero()):
        f.ret(invoke(decode, low))
    f.store("i64.store", 0, rip, at.RIP)
    f.store("i32.store", 0, at.LEFT, at.STOP)
    f.call(ask_fault, low, (rip >> 32).low(), c32(at.EXECUTE))
    f.out.append(w.DROP)
    f.ret(0)
    f.done()


def _link(m, index, lookup):
    """(record, way) -> the record that this way out of the branch leads to, remembered in the branch's record.

    Calls and jumps backward arrive at the COUNT of a block, others behind it: a block in a loop is counted once a round.
    """
    f = Function(m, "link", "i32 i32", "i32", index=index)
    record, way = f.params
    flushes = f.local(value=_cell("i32.load", at.FLUSHES))
    target = f.local("i64", way.pick(record.load("i64.load", R_IMM), _after(record)))
    backward = f.local(value=target <= record.load("i64.load32_u", R_RIP))
    found = f.local(value=invoke(lookup, target))
    with f.if_(found.is_zero()):
        f.ret(0)
    counted = f.local(value=(way == CALL) | ((way != FALL) & backward))
    with f.if_(counted.is_zero()):
        f.set(found, found + RECORD)
    with f.if_(flushes == _cell("i32.load", at.FLUSHES)):      # else the branch's record is no more
        with f.if_(way):
            f.store("i32.store", record, counted.pick(found + COUNTED, found), R_TARGET)
        with f.else_():
            f.store("i32.store", record, found, R_NEXT)
    f.ret(found)
    f.done()


def _after(record: X) -> X:
    """The address of the instruction after the record's."""
    return record.load("i64.load32_u", R_RIP) + record.load("i64.load8_u", R_LENGTH)


def _trap(m, index):
    f = Function(m, "trap", "i32 i32", "i32", index=index)
    record, stop = f.params
    f.store("i64.store", 0, (stop == at.BREAKPOINT).pick(_after(record), record.load("i64.load32_u", R_RIP)), at.RIP)
    f.store("i32.store", 0, stop, at.STOP)
    f.ret(0)
    f.done()


def _escape(m, index, ask_escape, lookup):
    f = Function(m, "escape", "i32", "i32", index=index)
    record, = f.params
    f.store("i64.store", 0, record.load("i64.load32_u", R_RIP), at.RIP)
    stop = f.local(value=invoke(ask_escape))
    with f.if_(stop):
        f.store("i32.store", 0, stop, at.STOP)
        f.ret(0)
    f.ret(invoke(lookup, _cell("i64.load", at.RIP)))
    f.done()


def _fault(m, index, ask_fault, forget):
    """(address, bytes, access, record) -> 1 when all the bytes may be accessed now, 0 to leave with RIP exact."""
    f = Function(m, "fault", "i64 i32 i32 i32", "i32", index=index)
    address, size, access, record = f.params
    f.store("i64.store", 0, record.load("i64.load32_u", R_RIP), at.RIP)
    f.store("i32.store", 0, at.LEFT, at.STOP)
    at_byte = f.local("i64")
    page, permission = f.local(), f.local()
    with f.loop() as again:
        with f.block() as denied:
            for which in (address, address + size.wide() - 1):
                f.set(at_byte, which)
                f.br(denied, (at_byte >> 32).low())
                f.set(page, (at_byte >> 12).low())
                f.set(permission, page.load("i32.load8_u", at.PERMISSIONS))
                with f.if_((permission & access) != access):
                    # Writing is withheld from pages with decoded code: drop the code, then it is as the kernel said.
                    f.br(denied, (permission & at.CODE).is_zero() | (permission & at.MAY_WRITE).is_zero())
                    f.call(forget, page, c32(1))
                    f.br(again)
            f.ret(1)
        with f.if_(at_byte != address):
            f.set(at_byte, at_byte & ~0xFFF)                   # the first byte that is refused
        f.br(again, invoke(ask_fault, at_byte.low(), (at_byte >> 32).low(), access))
    f.ret(0)
    f.done()


def _forget(m, index):
    """(page, n): the blocks and regions that touch these pages are dropped; writing is given back where the kernel permits
    it."""
    f = Function(m, "forget", "i32 i32", index=index)
    page, n = f.params
    first, last = f.local(value=page << 12), f.local(value=((page + n) << 12) - 1)
    coded, k = f.local(value=0), f.local(value=page)
    with f.block() as checked:
        with f.loop() as each:
            f.br(checked, k >= page + n)
            permission = f.local(value=k.load("i32.load8_u", at.PERMISSIONS))
            with f.if_(permission & at.CODE):
                f.set(coded, 1)
                write = (permission & at.MAY_WRITE).pick(at.WRITE, 0)
                f.store("i32.store8", k, (permission & (0xFF ^ at.CODE)) | write, at.PERMISSIONS)
            f.set(k, k + 1)
            f.br(each)
    with f.if_(coded.is_zero()):
        f.ret()
    entry = f.local(value=at.BLOCKS)
    end = f.local(value=(_cell("i32.load", at.BLOCK_COUNT) << 4) + at.BLOCKS)
    record, stop, slot, dropped = f.local(), f.local(), f.local(), f.local(value=0)
    with f.block() as done:
        with f.loop() as each:
            f.br(done, entry >= end)
            with f.if_(((entry.load("i32.load", 4) >= first) & (entry.load("i32.load", 0) <= last))
                       & (entry.load("i32.load", 8) != 0)):
                f.set(record, entry.load("i32.load", 8))
                f.set(stop, record + entry.load("i32.load", 12))
                with f.block() as forgotten:
                    with f.if_((stop - record) == RECORD):          # a region; a block has more records
                        f.br(forgotten, record.load("i32.load", R_HANDLER) != Tables.ENTER)
                        f.store("i32.store", record, Tables.COUNT, R_HANDLER)
                        f.store("i32.store", record, _cell("i32.load", at.WARM), R_COUNT)
                        f.br(forgotten)
                    f.set(slot, hash_slot(record.load("i32.load", R_RIP)))
                    with f.block() as unlisted:
                        with f.loop() as probe:
                            f.br(unlisted, slot.load("i32.load", at.HASH).is_zero())
                            with f.if_(slot.load("i32.load", at.HASH + 4) == record):
                                f.store("i32.store", slot, 0, at.HASH + 4)
                                f.br(unlisted)
                            f.set(slot, next_slot(slot))
                            f.br(probe)
                    # every record of the block leads back to a look-up, wherever execution stands in it
                    with f.loop() as stale:
                        f.store("i32.store", record, Tables.STALE, R_HANDLER)
                        f.set(record, record + RECORD)
                        f.br(stale, record < stop)
                f.store("i32.store", entry, 0, 8)
                f.set(dropped, 1)
            f.set(entry, entry + 16)
            f.br(each)
    with f.if_(dropped):
        f.out.append(w.i32(at.LINKS) + w.i32(0) + w.i32(at.BLOCKS - at.LINKS) + w.OP["memory.fill"])
        f.store("i32.store", 0, _cell("i32.load", at.EPOCH) + 1, at.EPOCH)
    f.done()


def _install(m, find) -> int:
    f = Function(m, "install", "i32 i32 i32 i32", "i32", export=True)
    rip, slot, first, last = f.params
    record = f.local(value=invoke(find, rip))
    page, end = f.local(value=first >> 12), f.local(value=(last >> 12) + 1)
    with f.block() as refused:
        f.br(refused, record.is_zero() | (page >= end) | (_cell("i32.load", at.BLOCK_COUNT) >= INDEX_LIMIT))
        with f.loop() as each:
            f.br(refused, (page.load("i32.load8_u", at.PERMISSIONS) & at.EXECUTE).is_zero())
            f.set(page, page + 1)
            f.br(each, page < end)
        f.set(page, first >> 12)
        with f.loop() as each:
            coded = (page.load("i32.load8_u", at.PERMISSIONS) | at.CODE) & (0xFF ^ at.WRITE)
            f.store("i32.store8", page, coded, at.PERMISSIONS)
            f.set(page, page + 1)
            f.br(each, page < end)
        _unlink(f, rip)
        f.store("i32.store", record, slot, R_SLOT)
        f.store("i32.store", record, 1, R_COUNT)
        f.store("i32.store", record, Tables.ENTER, R_HANDLER)
        index_code(f, first, last, record, RECORD)
        f.ret(1)
    f.ret(0)
    f.done()
    return f.index


def _install_ranges(m, install):
    f = Function(m, "install_ranges", "i32 i32 i32", "i32", export=True)
    rip, slot, size = f.params
    place, first, end, here = f.local(value=at.HOT), f.local(), f.local(), f.local()
    stop = f.local(value=size + at.HOT)
    with f.block() as refused:
        with f.loop() as each:
            f.set(first, place.load("i32.load"))
            f.set(end, first + place.load("i32.load", 4))
            f.set(place, place + 8)
            f.set(here, first)
            with f.loop() as byte:
                f.br(refused, ((here >> 12).load("i32.load8_u", at.PERMISSIONS) & at.EXECUTE).is_zero())
                f.br(refused, here.load("i32.load8_u", at.BIAS) != (place + here - first).load("i32.load8_u"))
                f.set(here, here + 1)
                f.br(byte, here < end)
            f.set(place, place + end - first)
            f.br(each, place < stop)
        f.set(place, at.HOT)
        with f.loop() as each:
            f.set(first, place.load("i32.load"))
            f.set(end, first + place.load("i32.load", 4))
            f.br(refused, invoke(install, rip, slot, first, end - 1).is_zero())
            f.set(place, place + 8 + end - first)
            f.br(each, place < stop)
        f.ret(1)
    f.ret(0)
    f.done()


def _link_place(rip: X) -> X:
    """As layout.link_place."""
    return (rip * at.LINK_FACTOR >> 16) & 0xFFF8


def _unlink(f, rip: X):
    """What regions have noted of the region at rip, if anything, is old."""
    f.store("i64.store", _link_place(rip), c64(0), at.LINKS)


def _protect(m, forget):
    f = Function(m, "protect", "i32 i32 i32", export=True)
    page, n, permission = f.params
    f.call(forget, page, n)
    f.set(permission, permission | (permission & at.WRITE).pick(at.MAY_WRITE, 0))
    f.out.append((page + at.PERMISSIONS).raw + permission.raw + n.raw + w.OP["memory.fill"])
    f.done()


def _flags(m, index):
    """The arithmetic flags from the lazy state, packed."""
    f = Function(m, "flags", "", "i32", index=index)
    e = _Helper(f, None)
    kind = _cell("i32.load8_u", at.FLAG_KIND)

    def value(op, offset): return Int(e, e.let("i64", _cell(op, offset).raw), 64)
    a, b = value("i64.load", at.FLAG_A), value("i64.load", at.FLAG_B)
    shift = value("i64.load8_u", at.FLAG_KIND + 1)
    for k in (flags.ADD, flags.RESULT, flags.INC, flags.DEC, flags.EXPLICIT, flags.SUB):
        inner = e.nested_value(lambda: flags.packed_flags(e, k, a, b, shift))
        f.out.append(w.if_((kind == k).raw, inner + w.OP["i32.wrap_i64"] + w.RETURN))
    f.done()


def _divide(m, index):
    """128 bits by 64, in two digits of 32 bits: each is guessed from the divisor's upper half, which makes it 2 too large at
    most (D. Knuth, The Art of Computer Programming, 4.3.1, algorithm D)."""
    f = Function(m, "divide", "i64 i64 i64", "i64", index=index)
    high, low, divisor = f.params
    with f.if_(high.is_zero()):
        f.ret(X("i64", low.raw + divisor.raw + w.OP["i64.div_u"]))
    shift = f.local("i64", X("i64", divisor.raw + w.OP["i64.clz"]))
    with f.if_(shift != 0):
        f.set(divisor, divisor << shift)
        f.set(high, (high << shift) | (low >> (c64(64) - shift)))
        f.set(low, low << shift)
    upper, lower = f.local("i64", divisor >> 32), f.local("i64", divisor & 0xFFFFFFFF)
    digits = []
    for following in (low >> 32, low & 0xFFFFFFFF):
        digit = f.local("i64", X("i64", high.raw + upper.raw + w.OP["i64.div_u"]))
        rest = f.local("i64", high - digit * upper)
        with f.block() as right:
            with f.loop() as guess:
                f.br(right, (digit >> 32).is_zero() & (digit * lower <= (rest << 32 | following)))
                f.set(digit, digit - 1)
                f.set(rest, rest + upper)
                f.br(guess, (rest >> 32).is_zero())
        f.set(high, (high << 32 | following) - digit * divisor)
        digits.append(digit)
    f.ret((digits[0] << 32) + digits[1])
    f.done()


def _eflags(m, runtime) -> int:
    f = Function(m, "eflags", "", "i32", export=True)
    e = _Helper(f, runtime)
    f.ret(X("i64", integer.eflags(e).raw).low())
    f.done()
    index = f.index
    f = Function(m, "set_eflags", "i32", "", export=True)
    e = _Helper(f, runtime)
    integer.set_eflags(e, Int(e, f.params[0].wide().raw, 32))
    f.done()
    return index


def _ask_syscall(f, after: X, ask_syscall, eflags):
    """SYSCALL: leaves the function with 0 when the kernel says so."""
    f.store("i64.store", 0, after, at.RIP)
    f.store("i64.store", 0, _cell("i64.load", at.RIP), at.GPR + 8 * 1)
    f.store("i64.store", 0, invoke(eflags).wide(), at.GPR + 8 * 11)
    f.store("i32.store", 0, at.LEFT, at.STOP)
    with f.if_(invoke(ask_syscall).is_zero()):
        f.ret(0)


def _syscall(m, index, ask_syscall, lookup, eflags):
    f = Function(m, "syscall", "i32", "i32", index=index)
    record, = f.params
    _ask_syscall(f, _after(record), ask_syscall, eflags)
    f.ret(invoke(lookup, _cell("i64.load", at.RIP)))
    f.done()


# ---- for regions


def _go_on(f, epoch: X):
    """Back to a region, at RIP; unless code was forgotten since EPOCH was `epoch`, or RIP is none that a region can say."""
    low = f.local(value=_cell("i32.load", at.RIP))
    with f.if_((low == 0) | (_cell("i32.load", at.RIP + 4) != 0) | (epoch != _cell("i32.load", at.EPOCH))):
        f.store("i32.store", 0, at.RETRY, at.STOP)
        f.ret(0)
    f.ret(low)


def _resume(m, lookup, steps, enter_region):
    """What a call in a region answered was not the address `after` it: interprets until that is reached, so that the frames
    of the callers stay. Answers `after`, or 0 to have them come back."""
    f = Function(m, "resume", "i32 i32 i32 i64", "i32", export=True)
    rip, depth, after, rsp = f.params
    retries = f.local(value=rip.is_zero())
    with f.if_(retries):
        with f.if_(_cell("i32.load", at.STOP) != at.RETRY):
            f.ret(0)
        with f.if_(_cell("i32.load", at.ENTERED) != _cell("i32.load", at.EPOCH)):
            f.ret(0)
    with f.else_():
        f.store("i64.store", 0, rip.wide(), at.RIP)
        f.store("i64.store", 0, rsp, _RSP)
    with f.if_((depth < at.RESUME_DEPTH + 1) | (_cell("i32.load", at.ENTERED) != _cell("i32.load", at.EPOCH))):
        with f.if_(retries.is_zero()):
            f.store("i32.store", 0, at.RESUME, at.STOP)
        f.ret(0)
    outer, used = f.local(value=_cell("i32.load", at.DEPTH)), f.local(value=0)
    f.store("i32.store", 0, depth - at.RESUME_DEPTH, at.DEPTH)
    record, answer = f.local(value=invoke(lookup, _cell("i64.load", at.RIP))), f.local(value=0)
    most, left = f.local(), f.local()
    with f.block() as leave:
        f.br(leave, record.is_zero())
        with f.if_(retries):
            _skip_count(f, record)
        with f.loop() as step:
            f.set(most, X("i32", _cell("i32.load", at.REGION_FUEL).raw + w.i32(REGION_SHARE) + w.OP["i32.shr_s"]))
            f.out.append(record.raw + most.raw + after.raw + w.call(steps) + w.put(left.index) + w.put(record.index))
            _use(f, used, most - left)
            f.br(leave, record.is_zero())
            _if_reached(f, record, after, answer, leave)
            with f.if_(record.load("i32.load", R_HANDLER) == Tables.ENTER):
                f.set(record, invoke(enter_region, record))
                f.br(leave, record.is_zero())
                _use(f, used, c32(1))
                _if_reached(f, record, after, answer, leave)
            f.br(step, X("i32", _cell("i32.load", at.REGION_FUEL).raw + w.i32(0) + w.OP["i32.ge_s"]))
        f.store("i64.store", 0, record.load("i64.load32_u", R_RIP), at.RIP)
        f.store("i32.store", 0, at.FUEL, at.STOP)
    f.store("i32.store", 0, outer, at.DEPTH)
    f.store("i32.store", 0, _cell("i32.load", at.NESTED) + used, at.NESTED)
    f.ret(answer)
    f.done()


def _use(f, used, n: X):
    """So many instructions were interpreted in a `resume`."""
    f.set(used, used + n)
    f.store("i32.store", 0, _cell("i32.load", at.REGION_FUEL) - (n << REGION_SHARE), at.REGION_FUEL)


def _if_reached(f, record: X, after: X, answer, leave: int):
    with f.if_(record.load("i32.load", R_RIP) == after):
        f.store("i64.store", 0, after.wide(), at.RIP)
        f.store("i32.store", 0, at.RESUME, at.STOP)
        f.br(leave, _cell("i32.load", at.ENTERED) != _cell("i32.load", at.EPOCH))
        f.set(answer, after)
        f.br(leave)


def _skip_count(f, record: X):
    """Past the COUNT or ENTER at the beginning of a block."""
    handler = record.load("i32.load", R_HANDLER)
    with f.if_((handler == Tables.ENTER) | (handler == Tables.COUNT)):
        f.set(record, record + RECORD)


def _syscall_out(m, ask_syscall, eflags):
    f = Function(m, "syscall_out", "i32", "i32", export=True)
    after, = f.params
    epoch = f.local(value=_cell("i32.load", at.EPOCH))
    _ask_syscall(f, after.wide(), ask_syscall, eflags)
    _go_on(f, epoch)
    f.done()


def _escape_out(m, ask_escape):
    f = Function(m, "escape_out", "i32", "i32", export=True)
    rip, = f.params
    epoch = f.local(value=_cell("i32.load", at.EPOCH))
    f.store("i64.store", 0, rip.wide(), at.RIP)
    stop = f.local(value=invoke(ask_escape))
    with f.if_(stop):
        f.store("i32.store", 0, stop, at.STOP)
        f.ret(0)
    _go_on(f, epoch)
    f.done()


def _report(f, rip: X):
    """The block there is hot."""
    count = f.local(value=_cell("i32.load", at.HOT_COUNT))
    with f.if_(count < at.HOT_MAX):
        f.store("i32.store", count << 2, rip, at.HOT)
        f.store("i32.store", 0, count + 1, at.HOT_COUNT)


def _unfit(m):
    f = Function(m, "unfit", "i32", "i32", export=True)
    rip, = f.params
    _report(f, rip)
    f.store("i32.store", 0, ((_cell("i32.load", at.MXCSR) & 0xFFC0) != ieee.RESET).pick(c32(1 | at.UNPLAIN), c32(1)), at.WATCHED)
    f.store("i64.store", 0, rip.wide(), at.RIP)
    f.store("i32.store", 0, at.RETRY, at.STOP)
    f.ret(0)
    f.done()


def _x87(m, first):
    f = Function(m, "x87", "i32 i64 i64", "i32", export=True)
    which, a, b = f.params
    f.tail(m.type("i64 i64", "i32"), which + first, a, b)
    f.done()


def _enter(m, regions):
    f = Function(m, "enter", PARAMETERS, RESULTS, export=True)
    rip, depth, rsp = f.params
    with f.block() as none:
        f.br(none, depth.is_zero())
        record = _search(f, rip, none)
        with f.if_(record.load("i32.load", R_HANDLER) != Tables.ENTER):
            left = f.local(value=record.load("i32.load", R_COUNT) - _cell("i32.load", at.MORE_ARRIVALS))
            with f.if_((record.load("i32.load", R_HANDLER) == Tables.COUNT)
                       & X("i32", left.raw + _cell("i32.load", at.REHOT).raw + w.OP["i32.gt_s"])):
                f.store("i32.store", record, left, R_COUNT)
            f.br(none)
        slot, place = f.local(value=record.load("i32.load", R_SLOT)), f.local(value=_link_place(rip))
        f.store("i32.store", place, rip, at.LINKS)
        f.store("i32.store", place, slot, at.LINKS + 4)
        f.tail(m.type(PARAMETERS, RESULTS), slot, depth - 1, rip, rsp, table=regions)
    with f.if_(rip.is_zero()):                              # which no region can say
        f.store("i64.store", 0, rip.wide(), at.RIP)
        f.store("i64.store", 0, rsp, _RSP)
        f.store("i32.store", 0, at.RETRY, at.STOP)
    f.ret(rip, rsp)
    f.done()


# ---- handlers of records that are no instructions. `run` takes each dispatch for one, so they end by executing what follows


def _execute(m, f, record: X):
    """Leaves the function for the handler of a record."""
    f.tail(m.type("i32", "i32"), record.load("i32.load", R_HANDLER), record)


def _stale(m, lookup) -> int:
    """The handler of a record whose bytes have changed."""
    f = Function(m, "stale", "i32", "i32")
    record, = f.params
    f.set(record, invoke(lookup, record.load("i64.load32_u", R_RIP)))
    with f.if_(record.is_zero()):
        f.ret(0)
    _execute(m, f, record)
    f.done()
    return f.index


def _goto(m, runtime) -> int:
    """The handler that continues a block that was cut short."""
    f = Function(m, "goto", "i32", "i32")
    record, = f.params
    target = f.local(value=record.load("i32.load", R_NEXT))
    with f.if_(target == UNLINKED):
        f.set(target, invoke(runtime.link, record, c32(FALL)))
        with f.if_(target.is_zero()):
            f.ret(0)
    _execute(m, f, target)
    f.done()
    return f.index


def _count(m) -> int:
    """The handler at the beginning of a block: counts down, and at zero reports the block in HOT."""
    f = Function(m, "count", "i32", "i32")
    record, = f.params
    left = f.local(value=record.load("i32.load", R_COUNT) - 1)
    f.store("i32.store", record, left, R_COUNT)
    with f.if_(left.is_zero()):
        f.store("i32.store", record, _cell("i32.load", at.REHOT), R_COUNT)
        _report(f, record.load("i32.load", R_RIP))
    _execute(m, f, record + RECORD)
    f.done()
    return f.index


def _enter_region(m, index, regions, lookup):
    """The handler of a block whose beginning is that of a region."""
    f = Function(m, "enter region", "i32", "i32", index=index)
    record, = f.params
    slot = record.load("i32.load", R_SLOT)
    with f.if_(_cell("i32.load", at.DEPTH) == at.DEPTH_LIMIT):
        f.store("i32.store", 0, _cell("i32.load", at.EPOCH), at.ENTERED)
    rip, rsp = f.local(), f.local("i64")
    f.set(rip, invoke_indirect(m.type(PARAMETERS, RESULTS), slot, _cell("i32.load", at.DEPTH), record.load("i32.load", R_RIP),
                               _cell("i64.load", _RSP), table=regions, also=(rsp,)))
    with f.if_(rip):
        f.store("i64.store", 0, rsp, _RSP)
        f.set(record, invoke(lookup, rip.wide()))
        with f.if_(record):                                 # this dispatch was no instruction
            f.store("i64.store", 0, _cell("i64.load", at.INSTRUCTIONS) - 1, at.INSTRUCTIONS)
        f.ret(record)
    with f.if_(_cell("i32.load", at.STOP) != at.RETRY):
        f.ret(0)
    f.set(record, invoke(lookup, _cell("i64.load", at.RIP)))
    with f.if_(record.is_zero()):
        f.ret(0)
    _skip_count(f, record)
    _execute(m, f, record)
    f.done()


def _run(m, lookup, steps):
    f = Function(m, "run", "i32", "i32", export=True)
    fuel, = f.params
    f.set(fuel, (fuel > MOST_FUEL).pick(MOST_FUEL, fuel))
    left = f.local(value=fuel)
    outer = f.local(value=_cell("i32.load", at.REGION_FUEL))         # of a run that this one is nested in
    share = f.local(value=(fuel >= MOST_REGION_FUEL >> REGION_SHARE).pick(MOST_REGION_FUEL, fuel << REGION_SHARE))
    f.store("i32.store", 0, share, at.REGION_FUEL)
    f.store("i32.store", 0, at.DEPTH_LIMIT, at.DEPTH)
    f.store("i32.store", 0, 0, at.NESTED)
    record = f.local(value=invoke(lookup, _cell("i64.load", at.RIP)))
    with f.block() as leave:
        f.br(leave, record.is_zero())
        with f.loop() as again:
            with f.block() as left_all:
                with f.loop() as step:
                    f.out.append(record.raw + left.raw + w.i32(0) + w.call(steps) + w.put(left.index) + w.put(record.index))
                    f.br(left_all, record.is_zero())
                    f.br(step, X("i32", left.raw + w.i32(0) + w.OP["i32.gt_s"]))
                f.store("i64.store", 0, record.load("i64.load32_u", R_RIP), at.RIP)
                f.store("i32.store", 0, at.FUEL, at.STOP)
                f.br(leave)
            f.br(leave, _cell("i32.load", at.STOP) != at.RESUME)
            f.set(record, invoke(lookup, _cell("i64.load", at.RIP)))
            f.br(again, record)
    nested = f.local(value=_cell("i32.load", at.NESTED))
    in_regions = f.local("i64", (share - _cell("i32.load", at.REGION_FUEL) - (nested << REGION_SHARE)).wide())
    f.store("i32.store", 0, outer, at.REGION_FUEL)
    f.store("i64.store", 0, _cell("i64.load", at.REGION_INSTRUCTIONS) + in_regions, at.REGION_INSTRUCTIONS)
    f.store("i64.store", 0, _cell("i64.load", at.INSTRUCTIONS) + (fuel - left + nested).wide() + in_regions, at.INSTRUCTIONS)
    f.ret(_cell("i32.load", at.STOP))
    f.done()
