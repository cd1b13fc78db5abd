"""Hashes of file names, as directory indexes order them (fs/ext4/hash.c): legacy, half MD4, TEA.

Each exists in a signed and an unsigned form, because char is signed on some machines and the first
implementation forgot to say which.
"""

from struct import unpack

from .layout import DX_HASH_HALF_MD4, DX_HASH_LEGACY, DX_HASH_TEA, DX_HASH_TEA_UNSIGNED

MASK = 0xFFFFFFFF
EXT4_HTREE_EOF_32BIT = 0x7FFFFFFF
INITIAL = (0x67452301, 0xEFCDAB89, 0x98BADCFE, 0x10325476)


def _legacy(name: bytes, signed: bool) -> int:
    hash0, hash1 = 0x12A3FE2D, 0x37ABE8F9
    for c in name:
        if signed and c > 127:
            c -= 256
        hash_ = (hash1 + (hash0 ^ c * 7152373)) & MASK
        if hash_ & 0x80000000:
            hash_ -= 0x7FFFFFFF
        hash1, hash0 = hash0, hash_
    return hash0 << 1 & MASK


def _words(name: bytes, count: int, signed: bool) -> list[int]:
    """The first 4 * count bytes of name as big-endian sums (not ORs: signed bytes borrow), padded with its length."""
    pad = len(name) & 0xFF
    pad |= pad << 8
    pad |= pad << 16
    words = []
    for start in range(0, count * 4, 4):
        value = pad
        for c in name[start:start + 4]:
            value = (c - 256 if signed and c > 127 else c) + (value << 8) & MASK
        words.append(value)
    return words


def _half_md4_transform(state: list[int], words: list[int]) -> None:
    def rounds(function, constant, order, shifts):
        nonlocal a, b, c, d
        for index, k in enumerate(order):
            x = a + function(b, c, d) + words[k] + constant & MASK
            s = shifts[index & 3]
            a, b, c, d = d, (x << s | x >> 32 - s) & MASK, b, c

    a, b, c, d = state
    rounds(lambda x, y, z: z ^ x & (y ^ z), 0, (0, 1, 2, 3, 4, 5, 6, 7), (3, 7, 11, 19))
    rounds(lambda x, y, z: (x & y) + ((x ^ y) & z), 0x5A827999, (1, 3, 5, 7, 0, 2, 4, 6), (3, 5, 9, 13))
    rounds(lambda x, y, z: x ^ y ^ z, 0x6ED9EBA1, (3, 7, 2, 6, 1, 5, 0, 4), (3, 9, 11, 15))
    state[:] = [old + new & MASK for old, new in zip(state, (a, b, c, d))]


def _tea_transform(state: list[int], words: list[int]) -> None:
    b0, b1 = state[0], state[1]
    a, b, c, d = words
    total = 0
    for _ in range(16):
        total = total + 0x9E3779B9 & MASK
        b0 = b0 + ((b1 << 4) + a ^ b1 + total ^ (b1 >> 5) + b) & MASK
        b1 = b1 + ((b0 << 4) + c ^ b0 + total ^ (b0 >> 5) + d) & MASK
    state[0] = state[0] + b0 & MASK
    state[1] = state[1] + b1 & MASK


def dirhash(name: bytes, version: int, seed: bytes) -> int | None:
    """The major hash of a name, lowest bit clear; None for a hash version not known here."""
    if version > DX_HASH_TEA_UNSIGNED:
        return None
    signed, family = version <= DX_HASH_TEA, version % 3
    state = list(unpack("<4I", seed)) if any(seed) else list(INITIAL)
    if family == DX_HASH_LEGACY:
        value = _legacy(name, signed)
    elif family == DX_HASH_HALF_MD4:
        for start in range(0, len(name), 32):
            _half_md4_transform(state, _words(name[start:], 8, signed))
        value = state[1]
    else:
        for start in range(0, len(name), 16):
            _tea_transform(state, _words(name[start:], 4, signed))
        value = state[0]
    value &= ~1
    return value - 2 if value == EXT4_HTREE_EOF_32BIT << 1 & MASK else value
