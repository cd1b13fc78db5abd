"""The primitive operations over Python numbers: what `Machine.prim` means to the oracle.

Integers are unsigned Python ints, floats are Python floats (binary32 values are doubles that binary32 can hold),
vectors are 128-bit ints. Names and definitions are those of the WebAssembly specification, section 4.3; vectors are in
`x86.vectors`.
"""
import math
import struct

M32, M64 = (1 << 32) - 1, (1 << 64) - 1


def signed(n: int, bits: int) -> int:
    return n - (n >> bits - 1 << bits)


def canonical(address: int) -> bool:
    """Whether bits 63 to 47 of an address are equal, as all of its accesses require."""
    return address >> 47 in (0, (1 << 17) - 1)


def bits_f64(x: float) -> int: return int.from_bytes(struct.pack("<d", x), "little")
def f64_bits(n: int) -> float: return struct.unpack("<d", n.to_bytes(8, "little"))[0]


def bits_f32(x: float) -> int:
    if x != x:                                   # struct would turn a signalling NaN into a quiet one
        wide = bits_f64(x)
        return (wide >> 63 << 31) | 0x7F800000 | (wide >> 29 & 0x7FFFFF) or 0x7FC00000
    return int.from_bytes(struct.pack("<f", x), "little")


def f32_bits(n: int) -> float:
    if n & 0x7F800000 == 0x7F800000 and n & 0x7FFFFF:
        return f64_bits((n >> 31 << 63) | 0x7FF << 52 | (n & 0x7FFFFF) << 29)
    return struct.unpack("<f", n.to_bytes(4, "little"))[0]


def round32(x: float) -> float:
    """To the nearest binary32, ties to even; overflow gives an infinity."""
    if x != x or math.isinf(x):
        return x
    try:
        return struct.unpack("<f", struct.pack("<f", x))[0]
    except OverflowError:
        return math.copysign(math.inf, x)


def _clz(bits): return lambda a: bits - a.bit_length()
def _ctz(bits): return lambda a: (a & -a).bit_length() - 1 if a else bits


def _integers(p: str, bits: int):
    mask = (1 << bits) - 1

    def s(n): return signed(n, bits)

    def div_s(a, b):
        a, b = s(a), s(b)
        q = abs(a) // abs(b)
        return (q if (a < 0) == (b < 0) else -q) & mask

    def rem_s(a, b):
        a, b = s(a), s(b)
        r = abs(a) % abs(b)
        return (-r if a < 0 else r) & mask
    table = {
        "eqz": lambda a: int(a == 0), "eq": lambda a, b: int(a == b), "ne": lambda a, b: int(a != b),
        "lt_u": lambda a, b: int(a < b), "gt_u": lambda a, b: int(a > b), "le_u": lambda a, b: int(a <= b),
        "ge_u": lambda a, b: int(a >= b), "lt_s": lambda a, b: int(s(a) < s(b)), "gt_s": lambda a, b: int(s(a) > s(b)),
        "le_s": lambda a, b: int(s(a) <= s(b)), "ge_s": lambda a, b: int(s(a) >= s(b)),
        "clz": _clz(bits), "ctz": _ctz(bits), "popcnt": lambda a: a.bit_count(),
        "add": lambda a, b: a + b & mask, "sub": lambda a, b: a - b & mask, "mul": lambda a, b: a * b & mask,
        "div_u": lambda a, b: a // b, "rem_u": lambda a, b: a % b, "div_s": div_s, "rem_s": rem_s,
        "and": lambda a, b: a & b, "or": lambda a, b: a | b, "xor": lambda a, b: a ^ b,
        "shl": lambda a, n: a << n % bits & mask, "shr_u": lambda a, n: a >> n % bits,
        "shr_s": lambda a, n: s(a) >> n % bits & mask,
        "rotl": lambda a, n: (a << n % bits | a >> -n % bits) & mask,
        "rotr": lambda a, n: (a >> n % bits | a << -n % bits) & mask,
    }
    return {f"{p}.{name}": f for name, f in table.items()}


def _extend(bits, to): return lambda a: signed(a & (1 << bits) - 1, bits) & (1 << to) - 1


def _saturate(bits, is_signed):
    low, high = (-(1 << bits - 1), (1 << bits - 1) - 1) if is_signed else (0, (1 << bits) - 1)

    def convert(x):
        if x != x:
            return 0
        if math.isinf(x):
            return (high if x > 0 else low) & (1 << bits) - 1
        return min(max(math.trunc(x), low), high) & (1 << bits) - 1
    return convert


def int_to_f32(n: int) -> float:
    """A Python int rounded once to binary32."""
    sign, a = (-1.0, -n) if n < 0 else (1.0, n)
    extra = a.bit_length() - 24
    if extra > 0:
        half, rest = 1 << extra - 1, a & (1 << extra) - 1
        a >>= extra
        a += rest > half or rest == half and a & 1
        a <<= extra
    return sign * float(a)


def divide(a: float, b: float) -> float:
    """IEEE division: by zero gives an infinity, 0/0 a NaN."""
    if b == 0:
        if a != a:
            return a
        if a == 0:
            return -math.nan
        return math.copysign(math.inf, a) * math.copysign(1.0, b)
    return a / b


def sqrt(x: float) -> float: return -math.nan if x < 0 else math.sqrt(x) if x == x else x


def nearest(x: float) -> float:
    if x != x or math.isinf(x) or abs(x) >= 2.0 ** 52:
        return x
    return math.copysign(float(round(x)), x)


def _whole(f):
    return lambda x: x if x != x or math.isinf(x) else math.copysign(float(f(x)), x)


def _floats(bits: int):
    once = (lambda x: x) if bits == 64 else round32
    to_bits, from_bits = (bits_f64, f64_bits) if bits == 64 else (bits_f32, f32_bits)
    top = 1 << bits - 1

    def arithmetic(f):
        def op(*a):
            try:
                return once(f(*a))
            except OverflowError:
                return math.inf
        return op
    table = {
        "eq": lambda a, b: int(a == b), "ne": lambda a, b: int(a != b), "lt": lambda a, b: int(a < b),
        "gt": lambda a, b: int(a > b), "le": lambda a, b: int(a <= b), "ge": lambda a, b: int(a >= b),
        "abs": lambda a: from_bits(to_bits(a) & ~top), "neg": lambda a: from_bits(to_bits(a) ^ top),
        "ceil": _whole(math.ceil), "floor": _whole(math.floor), "trunc": _whole(math.trunc), "nearest": nearest,
        "sqrt": arithmetic(sqrt), "add": arithmetic(lambda a, b: a + b), "sub": arithmetic(lambda a, b: a - b),
        "mul": arithmetic(lambda a, b: a * b), "div": arithmetic(divide),
        "copysign": lambda a, b: from_bits(to_bits(a) & ~top | to_bits(b) & top),
    }
    return {f"f{bits}.{name}": f for name, f in table.items()}


PRIM = {
    **_integers("i32", 32), **_integers("i64", 64), **_floats(32), **_floats(64),
    "i32.wrap_i64": lambda a: a & M32, "i64.extend_i32_u": lambda a: a, "i64.extend_i32_s": _extend(32, 64),
    "i32.extend8_s": _extend(8, 32), "i32.extend16_s": _extend(16, 32),
    "i64.extend8_s": _extend(8, 64), "i64.extend16_s": _extend(16, 64), "i64.extend32_s": _extend(32, 64),
    "i32.reinterpret_f32": bits_f32, "f32.reinterpret_i32": f32_bits,
    "i64.reinterpret_f64": bits_f64, "f64.reinterpret_i64": f64_bits,
    "f32.demote_f64": round32, "f64.promote_f32": lambda x: x,
    "f64.convert_i64_s": lambda a: float(signed(a, 64)), "f64.convert_i64_u": lambda a: float(a),
    "f64.convert_i32_s": lambda a: float(signed(a, 32)), "f64.convert_i32_u": lambda a: float(a),
    "f32.convert_i64_s": lambda a: int_to_f32(signed(a, 64)), "f32.convert_i64_u": int_to_f32,
    "f32.convert_i32_s": lambda a: int_to_f32(signed(a, 32)), "f32.convert_i32_u": int_to_f32,
    **{f"i{bits}.trunc_sat_f{f}_{s}": _saturate(bits, s == "s") for bits in (32, 64) for f in (32, 64) for s in "su"},
    "select": lambda yes, no, condition: yes if condition else no,
}
