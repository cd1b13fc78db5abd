"""Integers and instructions in the WebAssembly binary format (core specification, section 5).

Knows bytes only. An expression is the bytes that leave its value on the stack, so expressions concatenate.
"""
from functools import lru_cache

I32, I64, F32, F64, V128, FUNCREF = b"\x7f", b"\x7e", b"\x7d", b"\x7c", b"\x7b", b"\x70"
TYPES = {"i32": I32, "i64": I64, "f32": F32, "f64": F64, "v128": V128}
EMPTY = b"\x40"                                   # block type without a result
NUMBERS = 8192                                    # whose encoding is remembered, of each sort: guests have any


@lru_cache(NUMBERS)
def uleb(n: int) -> bytes:
    """Unsigned LEB128."""
    if n < 128:
        return bytes((n,))
    if n < 1 << 14:
        return bytes((n & 127 | 128, n >> 7))
    if n < 1 << 21:
        return bytes((n & 127 | 128, n >> 7 & 127 | 128, n >> 14))
    return bytes((n & 127 | 128, n >> 7 & 127 | 128, n >> 14 & 127 | 128)) + uleb(n >> 21)


@lru_cache(NUMBERS)
def sleb(n: int) -> bytes:
    """Signed LEB128."""
    if -64 <= n < 64:
        return bytes((n & 127,))
    if -8192 <= n < 8192:
        return bytes((n & 127 | 128, n >> 7 & 127))
    return bytes((n & 127 | 128, n >> 7 & 127 | 128)) + sleb(n >> 14)


def vec(items) -> bytes:
    """A vector: the count, then the items' bytes."""
    items = list(items)
    return uleb(len(items)) + b"".join(items)


def name(text: str) -> bytes:
    data = text.encode()
    return uleb(len(data)) + data


@lru_cache(NUMBERS)
def i32(n: int) -> bytes:
    """i32.const of n modulo 2**32."""
    n &= 0xFFFFFFFF
    return b"\x41" + sleb(n - (n >> 31 << 32))


@lru_cache(NUMBERS)
def i64(n: int) -> bytes:
    """i64.const of n modulo 2**64."""
    n &= 0xFFFFFFFFFFFFFFFF
    return b"\x42" + sleb(n - (n >> 63 << 64))


def v128(n: int) -> bytes:
    """v128.const of a 128-bit integer, lane 0 lowest."""
    return b"\xfd\x0c" + n.to_bytes(16, "little")


@lru_cache(None)
def get(local: int) -> bytes:  return b"\x20" + uleb(local)
@lru_cache(None)
def put(local: int) -> bytes:  return b"\x21" + uleb(local)
@lru_cache(None)
def tee(local: int) -> bytes:  return b"\x22" + uleb(local)
@lru_cache(None)
def call(function: int) -> bytes:  return b"\x10" + uleb(function)
def call_indirect(type: int, table: int = 0) -> bytes:  return b"\x11" + uleb(type) + uleb(table)
def return_call_indirect(type: int, table: int = 0) -> bytes:  return b"\x13" + uleb(type) + uleb(table)
@lru_cache(None)
def br(depth: int) -> bytes:  return b"\x0c" + uleb(depth)
@lru_cache(None)
def br_if(depth: int) -> bytes:  return b"\x0d" + uleb(depth)


def mark(first: int) -> bytes:
    """Bytes to put between pieces of code, which are found again whatever constants the code has: of code itself, 0xFF is in
    constants only, for no instruction begins with it. There nine follow each other at most, or sixteen in all of a v128.const,
    after its opcode's 0x0C; never sixteen after `first`, which may be anything but these two."""
    assert first not in (0x0C, 0xFF)
    return bytes([first]) + b"\xff" * 16


# Hints for `if` and `br_if`: put at the end of the condition, and taken out again by module.Module.define (the proposal "branch
# hinting"; who does not know it skips it). What is unlikely is compiled out of the way.
HINT = mark(0xFE)
UNLIKELY, LIKELY = HINT + b"\0", HINT + b"\1"


def without_hints(body: bytes) -> bytes:
    first, *rest = body.split(HINT)
    return first + b"".join(piece[1:] for piece in rest)


UNREACHABLE, ELSE, END, RETURN, DROP, SELECT = b"\x00", b"\x05", b"\x0b", b"\x0f", b"\x1a", b"\x1b"


def block(body: bytes, result: bytes = EMPTY) -> bytes:  return b"\x02" + result + body + END
def loop(body: bytes, result: bytes = EMPTY) -> bytes:  return b"\x03" + result + body + END


def if_(condition: bytes, then: bytes, otherwise: bytes = b"", result: bytes = EMPTY) -> bytes:
    return condition + b"\x04" + result + then + (ELSE + otherwise if otherwise else b"") + END


# Loads and stores: opcode and natural alignment exponent. Guest accesses are unaligned, which Wasm permits.
MEMORY = {
    "i32.load":     (0x28, 2), "i64.load":     (0x29, 3), "f32.load":     (0x2A, 2), "f64.load":     (0x2B, 3),
    "i32.load8_s":  (0x2C, 0), "i32.load8_u":  (0x2D, 0), "i32.load16_s": (0x2E, 1), "i32.load16_u": (0x2F, 1),
    "i64.load8_s":  (0x30, 0), "i64.load8_u":  (0x31, 0), "i64.load16_s": (0x32, 1), "i64.load16_u": (0x33, 1),
    "i64.load32_s": (0x34, 2), "i64.load32_u": (0x35, 2),
    "i32.store":    (0x36, 2), "i64.store":    (0x37, 3), "f32.store":    (0x38, 2), "f64.store":    (0x39, 3),
    "i32.store8":   (0x3A, 0), "i32.store16":  (0x3B, 1),
    "i64.store8":   (0x3C, 0), "i64.store16":  (0x3D, 1), "i64.store32":  (0x3E, 2),
}
SIMD_MEMORY = {"v128.load": (0, 4), "v128.load32_zero": (92, 2), "v128.load64_zero": (93, 3), "v128.store": (11, 4)}


@lru_cache(NUMBERS)
def access(op: str, offset: int = 0) -> bytes:
    """A load or store with its immediate offset, to follow the address (and the value)."""
    if op in SIMD_MEMORY:
        code, _ = SIMD_MEMORY[op]
        return b"\xfd" + uleb(code) + b"\x00" + uleb(offset)
    code, _ = MEMORY[op]
    return bytes([code, 0]) + uleb(offset)


# Numeric instructions in opcode order, from the specification's index of instructions.
def _series(first: int, names: str) -> dict[str, bytes]:
    return {n: bytes([first + k]) for k, n in enumerate(names.split())}


OP: dict[str, bytes] = {
    **_series(0x45, """i32.eqz i32.eq i32.ne i32.lt_s i32.lt_u i32.gt_s i32.gt_u i32.le_s i32.le_u i32.ge_s i32.ge_u
        i64.eqz i64.eq i64.ne i64.lt_s i64.lt_u i64.gt_s i64.gt_u i64.le_s i64.le_u i64.ge_s i64.ge_u
        f32.eq f32.ne f32.lt f32.gt f32.le f32.ge f64.eq f64.ne f64.lt f64.gt f64.le f64.ge
        i32.clz i32.ctz i32.popcnt i32.add i32.sub i32.mul i32.div_s i32.div_u i32.rem_s i32.rem_u
        i32.and i32.or i32.xor i32.shl i32.shr_s i32.shr_u i32.rotl i32.rotr
        i64.clz i64.ctz i64.popcnt i64.add i64.sub i64.mul i64.div_s i64.div_u i64.rem_s i64.rem_u
        i64.and i64.or i64.xor i64.shl i64.shr_s i64.shr_u i64.rotl i64.rotr
        f32.abs f32.neg f32.ceil f32.floor f32.trunc f32.nearest f32.sqrt f32.add f32.sub f32.mul f32.div
        f32.min f32.max f32.copysign
        f64.abs f64.neg f64.ceil f64.floor f64.trunc f64.nearest f64.sqrt f64.add f64.sub f64.mul f64.div
        f64.min f64.max f64.copysign
        i32.wrap_i64 i32.trunc_f32_s i32.trunc_f32_u i32.trunc_f64_s i32.trunc_f64_u i64.extend_i32_s i64.extend_i32_u
        i64.trunc_f32_s i64.trunc_f32_u i64.trunc_f64_s i64.trunc_f64_u
        f32.convert_i32_s f32.convert_i32_u f32.convert_i64_s f32.convert_i64_u f32.demote_f64
        f64.convert_i32_s f64.convert_i32_u f64.convert_i64_s f64.convert_i64_u f64.promote_f32
        i32.reinterpret_f32 i64.reinterpret_f64 f32.reinterpret_i32 f64.reinterpret_i64
        i32.extend8_s i32.extend16_s i64.extend8_s i64.extend16_s i64.extend32_s"""),
    **{n: b"\xfc" + bytes([k]) for k, n in enumerate("""i32.trunc_sat_f32_s i32.trunc_sat_f32_u i32.trunc_sat_f64_s
        i32.trunc_sat_f64_u i64.trunc_sat_f32_s i64.trunc_sat_f32_u i64.trunc_sat_f64_s i64.trunc_sat_f64_u""".split())},
    "memory.copy": b"\xfc\x0a\x00\x00", "memory.fill": b"\xfc\x0b\x00", "select": SELECT,
}


# Vector instructions without immediates: number, name (the fixed-width SIMD section of the index).
def _simd(first: int, names: str) -> dict[str, bytes]:
    return {n: b"\xfd" + uleb(first + k) for k, n in enumerate(names.split()) if n != "-"}


OP |= {
    **_simd(14, "i8x16.swizzle i8x16.splat i16x8.splat i32x4.splat i64x2.splat f32x4.splat f64x2.splat"),
    **_simd(35, """i8x16.eq i8x16.ne i8x16.lt_s i8x16.lt_u i8x16.gt_s i8x16.gt_u i8x16.le_s i8x16.le_u i8x16.ge_s i8x16.ge_u
        i16x8.eq i16x8.ne i16x8.lt_s i16x8.lt_u i16x8.gt_s i16x8.gt_u i16x8.le_s i16x8.le_u i16x8.ge_s i16x8.ge_u
        i32x4.eq i32x4.ne i32x4.lt_s i32x4.lt_u i32x4.gt_s i32x4.gt_u i32x4.le_s i32x4.le_u i32x4.ge_s i32x4.ge_u
        f32x4.eq f32x4.ne f32x4.lt f32x4.gt f32x4.le f32x4.ge f64x2.eq f64x2.ne f64x2.lt f64x2.gt f64x2.le f64x2.ge
        v128.not v128.and v128.andnot v128.or v128.xor v128.bitselect v128.any_true"""),
    **_simd(94, """f32x4.demote_f64x2_zero f64x2.promote_low_f32x4
        i8x16.abs i8x16.neg i8x16.popcnt i8x16.all_true i8x16.bitmask i8x16.narrow_i16x8_s i8x16.narrow_i16x8_u
        f32x4.ceil f32x4.floor f32x4.trunc f32x4.nearest
        i8x16.shl i8x16.shr_s i8x16.shr_u i8x16.add i8x16.add_sat_s i8x16.add_sat_u i8x16.sub i8x16.sub_sat_s i8x16.sub_sat_u
        f64x2.ceil f64x2.floor i8x16.min_s i8x16.min_u i8x16.max_s i8x16.max_u f64x2.trunc i8x16.avgr_u
        i16x8.extadd_pairwise_i8x16_s i16x8.extadd_pairwise_i8x16_u i32x4.extadd_pairwise_i16x8_s i32x4.extadd_pairwise_i16x8_u
        i16x8.abs i16x8.neg i16x8.q15mulr_sat_s i16x8.all_true i16x8.bitmask i16x8.narrow_i32x4_s i16x8.narrow_i32x4_u
        i16x8.extend_low_i8x16_s i16x8.extend_high_i8x16_s i16x8.extend_low_i8x16_u i16x8.extend_high_i8x16_u
        i16x8.shl i16x8.shr_s i16x8.shr_u i16x8.add i16x8.add_sat_s i16x8.add_sat_u i16x8.sub i16x8.sub_sat_s i16x8.sub_sat_u
        f64x2.nearest i16x8.mul i16x8.min_s i16x8.min_u i16x8.max_s i16x8.max_u - i16x8.avgr_u
        i16x8.extmul_low_i8x16_s i16x8.extmul_high_i8x16_s i16x8.extmul_low_i8x16_u i16x8.extmul_high_i8x16_u
        i32x4.abs i32x4.neg - i32x4.all_true i32x4.bitmask - -
        i32x4.extend_low_i16x8_s i32x4.extend_high_i16x8_s i32x4.extend_low_i16x8_u i32x4.extend_high_i16x8_u
        i32x4.shl i32x4.shr_s i32x4.shr_u i32x4.add - - i32x4.sub - - - i32x4.mul i32x4.min_s i32x4.min_u i32x4.max_s i32x4.max_u
        i32x4.dot_i16x8_s - i32x4.extmul_low_i16x8_s i32x4.extmul_high_i16x8_s i32x4.extmul_low_i16x8_u i32x4.extmul_high_i16x8_u
        i64x2.abs i64x2.neg - i64x2.all_true i64x2.bitmask - -
        i64x2.extend_low_i32x4_s i64x2.extend_high_i32x4_s i64x2.extend_low_i32x4_u i64x2.extend_high_i32x4_u
        i64x2.shl i64x2.shr_s i64x2.shr_u i64x2.add - - i64x2.sub - - - i64x2.mul
        i64x2.eq i64x2.ne i64x2.lt_s i64x2.gt_s i64x2.le_s i64x2.ge_s
        i64x2.extmul_low_i32x4_s i64x2.extmul_high_i32x4_s i64x2.extmul_low_i32x4_u i64x2.extmul_high_i32x4_u
        f32x4.abs f32x4.neg - f32x4.sqrt f32x4.add f32x4.sub f32x4.mul f32x4.div f32x4.min f32x4.max f32x4.pmin f32x4.pmax
        f64x2.abs f64x2.neg - f64x2.sqrt f64x2.add f64x2.sub f64x2.mul f64x2.div f64x2.min f64x2.max f64x2.pmin f64x2.pmax
        i32x4.trunc_sat_f32x4_s i32x4.trunc_sat_f32x4_u f32x4.convert_i32x4_s f32x4.convert_i32x4_u
        i32x4.trunc_sat_f64x2_s_zero i32x4.trunc_sat_f64x2_u_zero f64x2.convert_low_i32x4_s f64x2.convert_low_i32x4_u"""),
}

LANES = {"i8x16.extract_lane_s": 21, "i8x16.extract_lane_u": 22, "i8x16.replace_lane": 23, "i16x8.extract_lane_s": 24,
          "i16x8.extract_lane_u": 25, "i16x8.replace_lane": 26, "i32x4.extract_lane": 27, "i32x4.replace_lane": 28,
          "i64x2.extract_lane": 29, "i64x2.replace_lane": 30, "f32x4.extract_lane": 31, "f32x4.replace_lane": 32,
          "f64x2.extract_lane": 33, "f64x2.replace_lane": 34}


@lru_cache(None)
def lane(op: str, index: int) -> bytes:
    """extract_lane or replace_lane with its lane number."""
    return b"\xfd" + uleb(LANES[op]) + bytes([index])


def shuffle(indices) -> bytes:
    """i8x16.shuffle: 16 byte indices into the 32 bytes of both operands."""
    return b"\xfd\x0d" + bytes(indices)
