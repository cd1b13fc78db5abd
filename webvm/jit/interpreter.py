"""Tier 0: the interpreter, a Wasm module generated from the opcode maps and the meanings.

`build` puts it together: a handler for each shape, the record decoder, and the few functions around them. The module's
contract with an engine (imports, exports) stands in the docstring of `build`.
"""
from ..wasm import encoding as w
from ..wasm.module import Module
from ..x86 import flags, integer
from ..x86.meaning import Int
from . import decoder
from . import layout as at
from .assembler import Function, X, c32, invoke
from .decoder import HASH_MASK, Tables, hash_slot
from .handler import (R_HANDLER, R_IMM, R_LENGTH, R_NEXT, R_RIP, R_TARGET, RECORD, Handler, Runtime, Shape, generate)

BASELINE = frozenset({"lahf_lm"})      # CPUID features beyond x86-64 with SSE2 that the guest is shown


def build(features: frozenset[str] = BASELINE, fuse: bool = True) -> bytes:
    """The interpreter for a processor with these CPUID features. `fuse`: join comparisons with the branch after them.

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
    """
    tables = Tables(features, fuse)
    data, where = tables.segments()
    m = Module()
    m.import_memory("env", "memory", at.BIAS // 65536 + 16, 65536)
    ask_syscall = m.import_function("env", "syscall", "", "i32")
    ask_fault = m.import_function("env", "fault", "i32 i32 i32", "i32")
    ask_escape = m.import_function("env", "escape", "", "i32")
    clock = m.import_function("env", "clock", "", "f64")

    flush = m.declare("flush", "")
    decode = m.declare("decode", "i32", "i32")
    runtime = Runtime(fault=m.declare("fault", "i64 i32 i32 i32", "i32"), link=m.declare("link", "i32 i32", "i32"),
                      lookup=m.declare("lookup", "i64", "i32"), trap=m.declare("trap", "i32 i32", "i32"),
                      escape=m.declare("escape", "i32", "i32"), syscall=m.declare("syscall", "i32", "i32"),
                      flags=m.declare("flags", "", "i32"), clock=clock,
                      divide=m.declare("divide", "i64 i64 i64", "i64"))
    forget = m.declare("forget", "i32 i32", "", export=True)

    _flush(m, flush)
    decoder.emit(m, decode, tables, where, ask_fault, flush)
    _lookup(m, runtime.lookup, decode, ask_fault)
    _link(m, runtime.link, runtime.lookup)
    _trap(m, runtime.trap)
    _escape(m, runtime.escape, ask_escape, runtime.lookup)
    _fault(m, runtime.fault, ask_fault, forget)
    _forget(m, forget)
    _protect(m, forget)
    _flags(m, runtime.flags)
    _divide(m, runtime.divide)
    eflags = _eflags(m, runtime)
    _syscall(m, runtime.syscall, ask_syscall, runtime.lookup, eflags)

    handlers = [runtime.escape, _stale(m, runtime.lookup), _goto(m, runtime)]
    for shape in tables.shapes:
        index = m.declare(str(shape), "i32", "i32")
        m.define(index, *generate(shape, runtime))
        handlers.append(index)
    m.table = handlers
    _run(m, runtime.lookup)
    m.data = data
    return m.encode()


class _Helper(Handler):
    """Runs meanings' language inside a function of the interpreter; it has no record."""

    def __init__(self, function: Function, runtime: Runtime):
        super().__init__(Shape("nop", 64, (), ()), runtime)
        self.first_local, self.locals, self.out = len(function.params), function.locals, function.out


def _cell(op: str, offset: int) -> X: return c32(0).load(op, offset)


def _flush(m, index):
    """Empties the record arena, the block index and the hash table."""
    f = Function(m, "flush", index=index)
    f.store("i32.store", 0, at.RECORDS, at.ARENA_NEXT)
    f.store("i32.store", 0, 0, at.BLOCK_COUNT)
    f.store("i32.store", 0, _cell("i32.load", at.FLUSHES) + 1, at.FLUSHES)
    f.out.append(w.i32(at.HASH) + w.i32(0) + w.i32(HASH_MASK + 1) + w.OP["memory.fill"])
    f.done()


def _lookup(m, index, decode, ask_fault):
    """(rip) -> the record there, decoded now if need be; 0 with STOP and RIP set if it may not be executed."""
    f = Function(m, "lookup", "i64", "i32", index=index)
    rip, = f.params
    low = f.local(value=rip.low())
    slot = f.local(value=hash_slot(low))
    with f.block() as missing:
        f.br(missing, (rip >> 32).low())
        with f.loop() as probe:
            entry = f.local(value=slot.load("i32.load", at.HASH))
            f.br(missing, entry.is_zero())
            with f.if_(entry == low):
                f.set(entry, slot.load("i32.load", at.HASH + 4))
                f.br(missing, entry.is_zero())
                f.ret(entry)
            f.set(slot, (slot + 8) & HASH_MASK)
            f.br(probe)
    with f.if_((rip >> 32).low().is_zero()):
        f.ret(invoke(decode, low))
    f.store("i64.store", 0, rip, at.RIP)
    f.store("i32.store", 0, at.LEFT, at.STOP)
    f.call(ask_fault, low, (rip >> 32).low(), c32(at.EXECUTE))
    f.out.append(w.DROP)
    f.ret(0)
    f.done()


def _link(m, index, lookup):
    """(record, taken) -> the record that the branch leads to, remembered in the branch's record."""
    f = Function(m, "link", "i32 i32", "i32", index=index)
    record, taken = f.params
    flushes = f.local(value=_cell("i32.load", at.FLUSHES))
    target = f.local("i64", taken.pick(record.load("i64.load", R_IMM), _after(record)))
    found = f.local(value=invoke(lookup, target))
    with f.if_(flushes == _cell("i32.load", at.FLUSHES)):      # else the branch's record is no more
        with f.if_(taken):
            f.store("i32.store", record, found, R_TARGET)
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
    """(page, n): the blocks that touch these pages are dropped; writing is given back where the kernel permits it."""
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
    record, stop, slot = f.local(), f.local(), f.local()
    with f.block() as done:
        with f.loop() as each:
            f.br(done, entry >= end)
            with f.if_(((entry.load("i32.load", 4) >= first) & (entry.load("i32.load", 0) <= last))
                       & (entry.load("i32.load", 8) != 0)):
                # every record of the block leads back to a look-up, wherever execution stands in it
                f.set(record, entry.load("i32.load", 8))
                f.set(stop, record + entry.load("i32.load", 12))
                f.set(slot, hash_slot(entry.load("i32.load", 0)))
                with f.block() as unlisted:
                    with f.loop() as probe:
                        f.br(unlisted, slot.load("i32.load", at.HASH).is_zero())
                        with f.if_(slot.load("i32.load", at.HASH + 4) == record):
                            f.store("i32.store", slot, 0, at.HASH + 4)
                            f.br(unlisted)
                        f.set(slot, (slot + 8) & HASH_MASK)
                        f.br(probe)
                with f.loop() as stale:
                    f.store("i32.store", record, Tables.STALE, R_HANDLER)
                    f.set(record, record + RECORD)
                    f.br(stale, record < stop)
                f.store("i32.store", entry, 0, 8)
            f.set(entry, entry + 16)
            f.br(each)
    f.done()


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
    """128 bits by 64: a bit of the quotient a time, which shifts into `low` as the dividend shifts out of it."""
    f = Function(m, "divide", "i64 i64 i64", "i64", index=index)
    high, low, divisor = f.params
    with f.if_(high.is_zero()):
        f.ret(X("i64", low.raw + divisor.raw + w.OP["i64.div_u"]))
    rounds, carry = f.local(value=64), f.local("i64")
    with f.loop() as bit:
        f.set(carry, high >> 63)
        f.set(high, (high << 1) | (low >> 63))
        f.set(low, low << 1)
        with f.if_((carry != 0) | (high >= divisor)):
            f.set(high, high - divisor)
            f.set(low, low | 1)
        f.set(rounds, rounds - 1)
        f.br(bit, rounds)
    f.ret(low)
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


def _syscall(m, index, ask_syscall, lookup, eflags):
    f = Function(m, "syscall", "i32", "i32", index=index)
    record, = f.params
    f.store("i64.store", 0, _after(record), at.RIP)
    f.store("i64.store", 0, _cell("i64.load", at.RIP), at.GPR + 8 * 1)
    f.store("i64.store", 0, invoke(eflags).wide(), at.GPR + 8 * 11)
    f.store("i32.store", 0, at.LEFT, at.STOP)
    with f.if_(invoke(ask_syscall).is_zero()):
        f.ret(0)
    f.ret(invoke(lookup, _cell("i64.load", at.RIP)))
    f.done()


def _stale(m, lookup) -> int:
    """The handler of a record whose bytes have changed."""
    f = Function(m, "stale", "i32", "i32")
    record, = f.params
    f.ret(invoke(lookup, record.load("i64.load32_u", R_RIP)))
    f.done()
    return f.index


def _goto(m, runtime) -> int:
    """The handler that continues a block that was cut short. It is no instruction, and is not counted."""
    f = Function(m, "goto", "i32", "i32")
    record, = f.params
    target = f.local(value=record.load("i32.load", R_TARGET))
    with f.if_(target.is_zero()):
        f.set(target, invoke(runtime.link, record, c32(1)))
    f.ret(target)
    f.done()
    return f.index


def _run(m, lookup):
    f = Function(m, "run", "i32", "i32", export=True)
    fuel, = f.params
    left = f.local(value=fuel)
    record = f.local(value=invoke(lookup, _cell("i64.load", at.RIP)))
    with f.block() as leave:
        f.br(leave, record.is_zero())
        with f.loop() as step:
            call = record.raw + record.load("i32.load", R_HANDLER).raw + b"\x11" + w.uleb(m.type("i32", "i32")) + b"\x00"
            f.out.append(call + w.tee(record.index) + w.OP["i32.eqz"] + w.br_if(f.depth - leave))
            f.set(left, left - 1)
            f.br(step, left)
        f.store("i64.store", 0, record.load("i64.load32_u", R_RIP), at.RIP)
        f.store("i32.store", 0, at.FUEL, at.STOP)
        f.set(left, 0)
    f.store("i64.store", 0, _cell("i64.load", at.INSTRUCTIONS) + (fuel - left).wide(), at.INSTRUCTIONS)
    f.ret(_cell("i32.load", at.STOP))
    f.done()
