"""What is known of a value while code for it is emitted, beside the bytes that push it.

Each is those bytes, and can be used as no more than that. Knows nothing of regions.
"""
from ..wasm import encoding as w

REPLACE = {64: w.lane("f64x2.replace_lane", 0), 32: w.lane("f32x4.replace_lane", 0)}
EXTRACT = {64: w.lane("f64x2.extract_lane", 0), 32: w.lane("f32x4.extract_lane", 0)}
AS_FLOAT = {64: w.OP["f64.reinterpret_i64"], 32: w.OP["f32.reinterpret_i32"]}
AS_INT = {64: w.OP["i64.reinterpret_f64"], 32: w.OP["i32.reinterpret_f32"]}
ONES = (1 << 128) - 1


class Const(bytes):
    """The bytes that push a constant, which is known. bits, looked: only of one that has a hole for bytes, as a number of so many bits that
    differs from place to place; `looked` is called when the code comes to depend on which it is here."""
    def __new__(cls, raw, value, bits=None, looked=None):
        self = super().__new__(cls, raw)
        self.number, self.bits, self.looked = value, bits, looked
        return self

    @property
    def value(self):
        if self.looked is not None:
            self.looked()
        return self.number

    @property
    def is_short(self):
        """Whether the upper half of 64 bits is zero."""
        return self.bits in (8, 16, 32) or self.value >> 32 == 0


class Low(bytes):
    """The bytes that push a vector; its lowest `bits` bits are the float `low`, the others those of `upper`."""
    def __new__(cls, low, bits, upper, whole=None):
        self = super().__new__(cls, upper + low + REPLACE[bits] if whole is None else whole)
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


class Wide(bytes):
    """The bytes that push an i64 whose upper half is zero; its lower half is the i32 `narrow`."""
    def __new__(cls, raw, narrow):
        self = super().__new__(cls, raw)
        self.narrow = narrow
        return self


class Whole(bytes):
    """The bytes that push the answer of an operation of 64 bits; the lower half is what `narrow` (no more than these bytes) pushes,
    the operation of 32 bits."""
    def __new__(cls, raw, narrow):
        self = super().__new__(cls, raw)
        self.narrow = narrow
        return self


class Signed(bytes):
    """The bytes that push an integer of `bits` bits that is extended already, by its sign, as it is going to be."""
    def __new__(cls, raw, bits):
        self = super().__new__(cls, raw)
        self.bits = bits
        return self


class Masked(bytes):
    """The bytes that push the integer `bare` with no bits but those of `mask`, a number of ones."""
    def __new__(cls, raw, bare, mask):
        self = super().__new__(cls, raw)
        self.bare, self.mask = bare, mask
        return self
