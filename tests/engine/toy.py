"""A toy interpreter module with the imports and exports of the real one, to test engines without x86.

Its instructions are 8 bytes: opcode, register a, register b, 0, immediate i32. It decodes into a cache and runs from it, as
the real one does, so stale code is really executed if nobody forgets it.
"""

import struct
from pathlib import Path

from webvm.jit import layout as L

ILLEGAL, ADDI, LOAD, STORE, SYSCALL, INT3, UNREACHABLE, ESCAPE, JUMP, RECURSE, OUTSIDE, HOT, ENTER = range(13)
DECODE_TABLE = b"a table the module brings along"
HANDLERS = 3            # functions the module's own table begins with
DEPTH = 100_000         # how deep regions may call each other
LINES = 0x4000          # of the decode cache at HASH: u32 rip, 0, 8 bytes of instruction


def code(*instructions: tuple[int, ...]) -> bytes:
    """Machine code from (opcode, a, b, immediate) tuples, trailing zeros left out."""
    return b"".join(struct.pack("<BBBBi", *(i + (0,) * (3 - len(i)))[:3], 0, i[3] if len(i) > 3 else 0) for i in instructions)


WAT = f"""(module
  (import "env" "memory" (memory {L.BIAS // 65536 + 16} 65536))
  (import "env" "syscall" (func $syscall (result i32)))
  (import "env" "fault" (func $fault (param i32 i32 i32) (result i32)))
  (import "env" "escape" (func $escape (result i32)))
  (import "env" "clock" (func $clock (result f64)))
  (type $code (func (param i32) (result i32)))
  (table (export "table") {HANDLERS} funcref)
  (data (i32.const {L.DECODE}) "{DECODE_TABLE.decode()}")

  (func $permitted (param $addr i64) (param $bit i32) (result i32)    ;; whether the access may go on, 0: leave
    (loop $again
      (if (i64.lt_u (local.get $addr) (i64.const 0x100000000))
        (then (if (i32.and (local.get $bit)
                    (i32.load8_u offset={L.PERMISSIONS} (i32.wrap_i64 (i64.shr_u (local.get $addr) (i64.const 12)))))
          (then (return (i32.const 1))))
        (if (i32.eq (local.get $bit) (i32.const {L.WRITE}))           ;; withheld for the sake of code?
          (then (if (i32.and (i32.const {L.MAY_WRITE})
                    (i32.load8_u offset={L.PERMISSIONS} (i32.wrap_i64 (i64.shr_u (local.get $addr) (i64.const 12)))))
            (then (call $forget (i32.wrap_i64 (i64.shr_u (local.get $addr) (i64.const 12))) (i32.const 1))
                  (br $again)))))))
      (br_if $again (call $fault (i32.wrap_i64 (local.get $addr)) (i32.wrap_i64 (i64.shr_u (local.get $addr) (i64.const 32)))
                      (local.get $bit))))
    (i32.const 0))

  (func $line (param $rip i64) (result i32)                           ;; the decode cache's line for rip, filled
    (local $line i32) (local $page i32)
    (local.set $line (i32.shl (i32.and (i32.shr_u (i32.wrap_i64 (local.get $rip)) (i32.const 3)) (i32.const {LINES - 1}))
                       (i32.const 4)))
    (if (i32.ne (i32.load offset={L.HASH} (local.get $line)) (i32.wrap_i64 (local.get $rip)))
      (then
        (i32.store offset={L.HASH} (local.get $line) (i32.wrap_i64 (local.get $rip)))
        (i64.store offset={L.HASH + 8} (local.get $line) (i64.load offset={L.BIAS} (i32.wrap_i64 (local.get $rip))))
        (local.set $page (i32.wrap_i64 (i64.shr_u (local.get $rip) (i64.const 12))))
        (i32.store8 offset={L.PERMISSIONS} (local.get $page)
          (i32.or (i32.const {L.CODE}) (i32.and (i32.const {0xFF - L.WRITE})
            (i32.load8_u offset={L.PERMISSIONS} (local.get $page)))))
        (i32.store (i32.const {L.ARENA_NEXT}) (i32.const {L.RECORDS + 64}))
        (i32.store (i32.const {L.HASH_MASK}) (i32.const {16 * LINES - 8}))
        (i64.store (i32.const {L.RECORDS}) (i64.const -1))
        (i32.store (i32.const {L.BLOCK_COUNT}) (i32.add (i32.const 1) (i32.load (i32.const {L.BLOCK_COUNT}))))
        (i64.store offset={L.BLOCKS - 16} (i32.shl (i32.load (i32.const {L.BLOCK_COUNT})) (i32.const 4)) (i64.const -1))))
    (local.get $line))

  (func $register (param $line i32) (param $which i32) (result i32)   ;; address of register a (1) or b (2)
    (i32.shl (i32.load8_u offset={L.HASH + 8} (i32.add (local.get $line) (local.get $which))) (i32.const 3)))

  (func $recurse (param i32) (result i32) (i32.add (i32.const 1) (call $recurse (i32.add (local.get 0) (i32.const 1)))))

  (func $find (export "find") (param $rip i32) (result i32)           ;; the line of rip, if it was decoded
    (local $line i32)
    (local.set $line (i32.shl (i32.and (i32.shr_u (local.get $rip) (i32.const 3)) (i32.const {LINES - 1})) (i32.const 4)))
    (select (i32.add (local.get $line) (i32.const {L.HASH})) (i32.const 0)
      (i32.eq (i32.load offset={L.HASH} (local.get $line)) (local.get $rip))))

  (func (export "install_ranges") (param $rip i32) (param $slot i32) (param $size i32) (result i32) (i32.const 0))
  (func (export "exchanges") (param $rounds i32) (result i32) (i32.const 0))

  (func (export "install") (param $rip i32) (param $slot i32) (param $first i32) (param $last i32) (result i32)
    (local $line i32)
    (local.set $line (call $find (local.get $rip)))
    (if (i32.eqz (local.get $line)) (then (return (i32.const 0))))
    (i64.store offset=8 (local.get $line) (i64.const {ENTER}))
    (i32.store offset=12 (local.get $line) (local.get $slot))
    (i32.store offset={L.BLOCKS} (i32.shl (i32.load (i32.const {L.BLOCK_COUNT})) (i32.const 4)) (local.get $first))
    (i32.store offset={L.BLOCKS + 4} (i32.shl (i32.load (i32.const {L.BLOCK_COUNT})) (i32.const 4)) (local.get $last))
    (i32.store (i32.const {L.BLOCK_COUNT}) (i32.add (i32.const 1) (i32.load (i32.const {L.BLOCK_COUNT}))))
    (i32.const 1))

  (func (export "enter") (param $rip i32) (param $depth i32) (result i32)
    (local $line i32)
    (local.set $line (call $find (local.get $rip)))
    (if (i32.and (i32.ne (local.get $line) (i32.const 0)) (i32.ne (local.get $depth) (i32.const 0)))
      (then (if (i32.eq (i32.load8_u offset=8 (local.get $line)) (i32.const {ENTER}))
        (then (return_call_indirect (type $code) (i32.sub (local.get $depth) (i32.const 1))
          (i32.load offset=12 (local.get $line)))))))
    (local.get $rip))

  (func (export "syscall_out") (param $next i32) (result i32)
    (i64.store (i32.const {L.RIP}) (i64.extend_i32_u (local.get $next)))
    (i32.store (i32.const {L.STOP}) (i32.const {L.LEFT}))
    (if (result i32) (call $syscall) (then (i32.load (i32.const {L.RIP}))) (else (i32.const 0))))

  (func (export "run") (param $fuel i32) (result i32)
    (local $rip i64) (local $line i32) (local $op i32) (local $a i32) (local $addr i64) (local $stop i32)
    (loop $next
      (if (i32.eqz (local.get $fuel)) (then (return (i32.const {L.FUEL}))))
      (local.set $fuel (i32.sub (local.get $fuel) (i32.const 1)))
      (local.set $rip (i64.load (i32.const {L.RIP})))
      (if (i32.eqz (call $permitted (local.get $rip) (i32.const {L.EXECUTE}))) (then (return (i32.const {L.LEFT}))))
      (local.set $line (call $line (local.get $rip)))
      (local.set $op (i32.load8_u offset={L.HASH + 8} (local.get $line)))
      (local.set $a (call $register (local.get $line) (i32.const 1)))
      (if (i32.eqz (local.get $op)) (then (return (i32.const {L.ILLEGAL}))))
      (if (i32.eq (local.get $op) (i32.const {UNREACHABLE})) (then unreachable))
      (if (i32.eq (local.get $op) (i32.const {RECURSE})) (then (drop (call $recurse (i32.const 0)))))
      (if (i32.eq (local.get $op) (i32.const {OUTSIDE})) (then (drop (i32.load (i32.const -4)))))
      (if (i32.eq (local.get $op) (i32.const {ESCAPE})) (then
        (local.set $stop (call $escape))
        (br_if $next (i32.eqz (local.get $stop)))
        (return (local.get $stop))))
      (if (i32.eq (local.get $op) (i32.const {ENTER})) (then
        (local.set $stop (call_indirect (type $code) (i32.const {DEPTH}) (i32.load offset={L.HASH + 12} (local.get $line))))
        (if (i32.eqz (local.get $stop)) (then (return (i32.load (i32.const {L.STOP})))))
        (i64.store (i32.const {L.RIP}) (i64.extend_i32_u (local.get $stop)))
        (br $next)))
      (if (i32.and (i32.eq (local.get $op) (i32.const {HOT}))
                   (i32.ne (i32.load (i32.const {L.WARM})) (i32.const 0x7FFFFFFF)))
        (then
          (i32.store offset={L.HOT} (i32.shl (i32.load (i32.const {L.HOT_COUNT})) (i32.const 2)) (i32.wrap_i64 (local.get $rip)))
          (i32.store (i32.const {L.HOT_COUNT}) (i32.add (i32.const 1) (i32.load (i32.const {L.HOT_COUNT}))))))
      (local.set $addr (i64.add (i64.load (call $register (local.get $line) (i32.const 2)))
                                (i64.load32_s offset={L.HASH + 12} (local.get $line))))
      (if (i32.eq (local.get $op) (i32.const {LOAD})) (then
        (if (i32.eqz (call $permitted (local.get $addr) (i32.const {L.READ}))) (then (return (i32.const {L.LEFT}))))
        (i64.store (local.get $a) (i64.load offset={L.BIAS} (i32.wrap_i64 (local.get $addr))))))
      (if (i32.eq (local.get $op) (i32.const {STORE})) (then
        (if (i32.eqz (call $permitted (local.get $addr) (i32.const {L.WRITE}))) (then (return (i32.const {L.LEFT}))))
        (i64.store offset={L.BIAS} (i32.wrap_i64 (local.get $addr)) (i64.load (local.get $a)))))
      (i64.store (i32.const {L.INSTRUCTIONS}) (i64.add (i64.const 1) (i64.load (i32.const {L.INSTRUCTIONS}))))
      (i64.store (i32.const {L.RIP}) (i64.add (local.get $rip) (i64.const 8)))
      (if (i32.eq (local.get $op) (i32.const {ADDI})) (then
        (i64.store (local.get $a) (i64.add (i64.load (local.get $a)) (i64.load32_s offset={L.HASH + 12} (local.get $line))))))
      (if (i32.eq (local.get $op) (i32.const {JUMP})) (then
        (i64.store (i32.const {L.RIP}) (i64.load32_u offset={L.HASH + 12} (local.get $line)))))
      (if (i32.eq (local.get $op) (i32.const {INT3})) (then (return (i32.const {L.BREAKPOINT}))))
      (if (i32.eq (local.get $op) (i32.const {SYSCALL})) (then
        (br_if $next (call $syscall))
        (return (i32.const {L.LEFT}))))
      (br $next))
    unreachable)

  (func $forget (export "forget") (param $first i32) (param $n i32)
    (local $line i32) (local $page i32) (local $byte i32)
    (loop $lines
      (if (i32.lt_u (i32.sub (i32.shr_u (i32.load offset={L.HASH} (local.get $line)) (i32.const 12)) (local.get $first))
                    (local.get $n))
        (then (i32.store offset={L.HASH} (local.get $line) (i32.const 0))))
      (local.set $line (i32.add (local.get $line) (i32.const 16)))
      (br_if $lines (i32.lt_u (local.get $line) (i32.const {16 * LINES}))))
    (loop $pages
      (local.set $page (i32.add (local.get $first) (local.get $n)))
      (if (i32.eqz (local.get $n)) (then (return)))
      (local.set $n (i32.sub (local.get $n) (i32.const 1)))
      (local.set $page (i32.add (local.get $first) (local.get $n)))
      (local.set $byte (i32.load8_u offset={L.PERMISSIONS} (local.get $page)))
      (i32.store8 offset={L.PERMISSIONS} (local.get $page)
        (i32.or (i32.and (local.get $byte) (i32.const {0xFF - L.CODE}))
          (select (i32.const {L.WRITE}) (i32.const 0) (i32.and (local.get $byte) (i32.const {L.MAY_WRITE})))))
      (br $pages)))

  (func (export "protect") (param $first i32) (param $n i32) (param $perm i32)
    (call $forget (local.get $first) (local.get $n))
    (memory.fill (i32.add (i32.const {L.PERMISSIONS}) (local.get $first))
      (i32.or (i32.and (local.get $perm) (i32.const {L.READ | L.EXECUTE | L.PRESENT}))
        (select (i32.const {L.WRITE | L.MAY_WRITE}) (i32.const 0) (i32.and (local.get $perm) (i32.const {L.WRITE}))))
      (local.get $n)))

  (func (export "eflags") (result i32) (i32.or (i32.const 0x202) (i32.load (i32.const {L.EFLAGS_REST}))))
  (func (export "set_eflags") (param i32) (i32.store (i32.const {L.EFLAGS_REST}) (local.get 0))))
"""


def region(i: int) -> str:
    """A function as long as one over some 60 instructions: checked loads and stores in a loop, never left by itself."""
    steps = "".join(f"""
      (br_if $out (i32.eqz (i32.and (i32.const 1) (i32.load8_u offset={L.PERMISSIONS}
        (i32.wrap_i64 (i64.shr_u (i64.add (local.get $a) (i64.const {8 * k})) (i64.const 12)))))))
      (local.set $b (i64.add (local.get $b) (i64.load offset={L.BIAS}
        (i32.wrap_i64 (i64.add (local.get $a) (i64.const {8 * k}))))))
      (if (i64.lt_s (local.get $b) (i64.const {k})) (then
        (local.set $c (i64.xor (local.get $c) (local.get $b)))))
      (local.set $c (i64.rotl (local.get $c) (i64.const {k + i & 63})))""" for k in range(20))
    return f"""
  (func (export "{i}") (param $depth i32) (result i32) (local $a i64) (local $b i64) (local $c i64)
    (local.set $a (i64.load (i32.const 0)))
    (local.set $b (i64.load (i32.const 8)))
    (block $out (loop $top {steps}
      (br $top)))
    (i64.store (i32.const 8) (local.get $b))
    (i64.store (i32.const 16) (local.get $c))
    (i32.const 1))"""


MEMORY = '(import "env" "memory" (memory 1 65536))'
REGISTERS = range(16)
MODULES = {
    "toy": WAT,
    # "0" adds 100 to rax and goes on at rdi; "1" asks the kernel; "2" calls what is installed at rdi, then adds 1 to rbx
    "regions": f"""(module {MEMORY}
      (import "env" "enter" (func $enter (param i32 i32) (result i32)))
      (import "env" "syscall_out" (func $syscall_out (param i32) (result i32)))
      (func (export "0") (param i32) (result i32)
        (i64.store (i32.const 0) (i64.add (i64.load (i32.const 0)) (i64.const 100)))
        (i32.load (i32.const {8 * 7})))
      (func (export "1") (param i32) (result i32)
        (call $syscall_out (i32.load (i32.const {8 * 7}))))
      (func (export "2") (param i32) (result i32) (local $next i32)
        (local.set $next (call $enter (i32.load (i32.const {8 * 7})) (local.get 0)))
        (i64.store (i32.const 24) (i64.add (i64.load (i32.const 24)) (i64.const 1)))
        (local.get $next)))""",
    # calls what is at rdi while rax, which it counts down, is not 0; all registers in locals that live across the call
    "deep": f"""(module {MEMORY}
      (import "env" "enter" (func $enter (param i32 i32) (result i32)))
      (import "env" "syscall_out" (func $syscall_out (param i32) (result i32)))
      (func (export "0") (param $depth i32) (result i32) (local $next i32)
        {"".join(f"(local $r{i} i64)" for i in REGISTERS)}
        {"".join(f"(local.set $r{i} (i64.load (i32.const {8 * i})))" for i in REGISTERS)}
        (if (i64.eqz (local.get $r0)) (then (return (call $syscall_out (i32.wrap_i64 (local.get $r7))))))
        (i64.store (i32.const 0) (i64.sub (local.get $r0) (i64.const 1)))
        (local.set $next (call $enter (i32.wrap_i64 (local.get $r7)) (local.get $depth)))
        {"".join(f"(i64.store (i32.const {8 * i}) (local.get $r{i}))" for i in REGISTERS)}
        (local.get $next)))""",
    "misfit": '(module (import "env" "enter" (func (param i64))) (func (export "0") (param i32) (result i32) i32.const 0))',
    "stranger": '(module (import "env" "nothing" (func)) (func (export "0") (param i32) (result i32) i32.const 0))',
    **{f"regions{n}": f"(module {MEMORY} {''.join(map(region, range(n)))})" for n in (1, 20, 200)},
}


def assembled(name: str) -> bytes:
    """A module. Where there is no assembler, page/__init__.py has put it beside this file."""
    path = Path(__file__).parent / f"{name}.wasm"
    if path.exists():
        return path.read_bytes()
    import wasmtime
    return bytes(wasmtime.wat2wasm(MODULES[name]))


class Toy:
    """An image (webvm.engine.protocol) of the toy; its oracle adds 1 to rbx and passes the instruction."""

    layout = L

    def __init__(self, wasm: bytes):
        self.wasm = wasm

    def escape(self, space) -> int:
        if space.get(0) == 13:
            raise LookupError("the oracle fails")
        if space.get(0) == 6:
            return L.PROTECTION
        space.set(3, space.get(3) + 1)
        space.rip += 8
        return 0
