"""The primitive operations on 128-bit vectors over Python ints (WebAssembly specification, section 4.3, vectors)."""
from .primitives import PRIM, bits_f32, bits_f64, f32_bits, f64_bits, signed

M128 = (1 << 128) - 1


def split(v: int, bits: int) -> list[int]:
    """The lanes of a vector, lane 0 first, unsigned."""
    mask = (1 << bits) - 1
    return [v >> k & mask for k in range(0, 128, bits)]


def join(lanes, bits: int) -> int:
    mask = (1 << bits) - 1
    return sum((lane & mask) << k * bits for k, lane in enumerate(lanes))


def _each(bits, f): return lambda *vs: join((f(*lanes) for lanes in zip(*(split(v, bits) for v in vs))), bits)
def _clamp(n, low, high): return min(max(n, low), high)


def _integer_lanes(bits: int):
    p, full, top = f"i{bits}x{128 // bits}", (1 << bits) - 1, 1 << bits - 1

    def s(n): return signed(n, bits)

    def test(f): return _each(bits, lambda a, b: full if f(a, b) else 0)
    table = {
        "splat": lambda a: join([a] * (128 // bits), bits),
        "add": _each(bits, lambda a, b: a + b), "sub": _each(bits, lambda a, b: a - b), "mul": _each(bits, lambda a, b: a * b),
        "neg": _each(bits, lambda a: -a), "abs": _each(bits, lambda a: abs(s(a))),
        "eq": test(lambda a, b: a == b), "ne": test(lambda a, b: a != b),
        "lt_s": test(lambda a, b: s(a) < s(b)), "lt_u": test(lambda a, b: a < b),
        "gt_s": test(lambda a, b: s(a) > s(b)), "gt_u": test(lambda a, b: a > b),
        "le_s": test(lambda a, b: s(a) <= s(b)), "le_u": test(lambda a, b: a <= b),
        "ge_s": test(lambda a, b: s(a) >= s(b)), "ge_u": test(lambda a, b: a >= b),
        "min_s": _each(bits, lambda a, b: min(s(a), s(b))), "min_u": _each(bits, min),
        "max_s": _each(bits, lambda a, b: max(s(a), s(b))), "max_u": _each(bits, max),
        "add_sat_s": _each(bits, lambda a, b: _clamp(s(a) + s(b), -top, top - 1)),
        "add_sat_u": _each(bits, lambda a, b: min(a + b, full)),
        "sub_sat_s": _each(bits, lambda a, b: _clamp(s(a) - s(b), -top, top - 1)),
        "sub_sat_u": _each(bits, lambda a, b: max(a - b, 0)),
        "avgr_u": _each(bits, lambda a, b: a + b + 1 >> 1),
        "shl": lambda v, n: join((a << n % bits for a in split(v, bits)), bits),
        "shr_u": lambda v, n: join((a >> n % bits for a in split(v, bits)), bits),
        "shr_s": lambda v, n: join((s(a) >> n % bits for a in split(v, bits)), bits),
        "bitmask": lambda v: sum((a >> bits - 1) << k for k, a in enumerate(split(v, bits))),
        "all_true": lambda v: int(all(split(v, bits))),
    }
    if bits > 8:
        half = bits // 2
        q = f"i{half}x{128 // half}"

        def lanes(v, which, sign):
            n = 128 // bits
            part = split(v, half)[n:] if which == "high" else split(v, half)[:n]
            return [signed(a, half) for a in part] if sign == "s" else part
        for which in ("low", "high"):
            for sign in "su":
                table[f"extend_{which}_{q}_{sign}"] = lambda v, w=which, g=sign: join(lanes(v, w, g), bits)
                table[f"extmul_{which}_{q}_{sign}"] = lambda a, b, w=which, g=sign: join(
                    (x * y for x, y in zip(lanes(a, w, g), lanes(b, w, g))), bits)
        for sign in "su":
            table[f"extadd_pairwise_{q}_{sign}"] = lambda v, g=sign: join(
                (x + y for x, y in zip(*[iter(lanes(v, "low", g) + lanes(v, "high", g))] * 2)), bits)
    if bits < 64:
        wide = bits * 2
        q = f"i{wide}x{128 // wide}"
        for sign, low, high in (("s", -top, top - 1), ("u", 0, full)):
            table[f"narrow_{q}_{sign}"] = lambda a, b, lo=low, hi=high: join(
                (_clamp(signed(x, wide), lo, hi) for x in split(a, wide) + split(b, wide)), bits)
    return {f"{p}.{name}": f for name, f in table.items()}


def _float_lanes(bits: int):
    p, full = f"f{bits}x{128 // bits}", (1 << bits) - 1
    to_bits, from_bits = (bits_f64, f64_bits) if bits == 64 else (bits_f32, f32_bits)

    def lift(f): return _each(bits, lambda *a: to_bits(f(*map(from_bits, a))))
    def test(f): return _each(bits, lambda *a: full if f(*map(from_bits, a)) else 0)
    table = {n: lift(PRIM[f"f{bits}.{n}"]) for n in ("add", "sub", "mul", "div", "sqrt", "ceil", "floor", "trunc", "nearest")}
    table |= {n: test(PRIM[f"f{bits}.{n}"]) for n in ("eq", "ne", "lt", "gt", "le", "ge")}
    table["pmin"] = _each(bits, lambda a, b: b if from_bits(b) < from_bits(a) else a)
    table["pmax"] = _each(bits, lambda a, b: b if from_bits(a) < from_bits(b) else a)
    table["splat"] = lambda x: join([to_bits(x)] * (128 // bits), bits)
    return {f"{p}.{name}": f for name, f in table.items()}


def swizzle(a: int, indices: int) -> int:
    source = a.to_bytes(16, "little")
    return int.from_bytes(bytes(source[i] if i < 16 else 0 for i in indices.to_bytes(16, "little")), "little")


def _saturated(bits): return lambda lane: PRIM["i32.trunc_sat_f64_s" if bits == 64 else "i32.trunc_sat_f32_s"](
    f64_bits(lane) if bits == 64 else f32_bits(lane))


PRIM |= {
    **_integer_lanes(8), **_integer_lanes(16), **_integer_lanes(32), **_integer_lanes(64),
    **_float_lanes(32), **_float_lanes(64),
    "v128.not": lambda a: a ^ M128, "v128.and": lambda a, b: a & b, "v128.andnot": lambda a, b: a & ~b,
    "v128.or": lambda a, b: a | b, "v128.xor": lambda a, b: a ^ b,
    "v128.bitselect": lambda a, b, mask: a & mask | b & ~mask, "v128.any_true": lambda a: int(a != 0),
    "i8x16.swizzle": swizzle,
    "i16x8.q15mulr_sat_s": _each(16, lambda a, b: min(signed(a, 16) * signed(b, 16) + 0x4000 >> 15, 0x7FFF)),
    "i32x4.dot_i16x8_s": lambda a, b: join((
        signed(x0, 16) * signed(y0, 16) + signed(x1, 16) * signed(y1, 16)
        for x0, x1, y0, y1 in zip(split(a, 16)[::2], split(a, 16)[1::2], split(b, 16)[::2], split(b, 16)[1::2])), 32),
    "i32x4.trunc_sat_f32x4_s": lambda v: join(map(_saturated(32), split(v, 32)), 32),
    "f32x4.convert_i32x4_s": lambda v: join((bits_f32(PRIM["f32.convert_i32_s"](a)) for a in split(v, 32)), 32),
    "f64x2.convert_low_i32x4_s": lambda v: join((bits_f64(float(signed(a, 32))) for a in split(v, 32)[:2]), 64),
    "f64x2.promote_low_f32x4": lambda v: join((bits_f64(f32_bits(a)) for a in split(v, 32)[:2]), 64),
    "f32x4.demote_f64x2_zero": lambda v: join([bits_f32(PRIM["f32.demote_f64"](f64_bits(a))) for a in split(v, 64)] + [0, 0], 32),
}
