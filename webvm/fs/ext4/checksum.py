"""crc32c and crc16 as ext4 uses them: the bare remainder, no final inversion.

A 4 KiB block takes 0.1 ms in CPython: two look-ups in 16-bit tables per 32-bit word. The tables are
made at the first use, by linearity, in about 15 ms.
"""

from functools import cache
from struct import unpack_from

CRC32C_POLYNOMIAL = 0x82F63B78      # Castagnoli, bit-reversed
CRC16_POLYNOMIAL = 0xA001           # IBM, bit-reversed


def _shift(crc: int, bits: int, polynomial: int) -> int:
    for _ in range(bits):
        crc = crc >> 1 ^ (polynomial if crc & 1 else 0)
    return crc


def _linear_table(basis: list[int]) -> list[int]:
    """The XOR of the basis vectors selected by each index's bits."""
    table = [0]
    for vector in basis:
        table += [value ^ vector for value in table]
    return table


@cache
def _crc32c_tables() -> tuple[list[int], list[int], list[int]]:
    """What is left of a byte after 8 shifts, of a low half word after 32, of a high half word after 16 (and its own 16)."""
    def shifted(width: int, shifts: int) -> list[int]:
        return _linear_table([_shift(1 << bit, shifts, CRC32C_POLYNOMIAL) for bit in range(width)])
    return shifted(8, 8), shifted(16, 32), shifted(16, 16)


@cache
def _crc16_table() -> list[int]:
    return _linear_table([_shift(1 << bit, 8, CRC16_POLYNOMIAL) for bit in range(8)])


def crc32c(crc: int, data: bytes) -> int:
    byte, low, high = _crc32c_tables()
    words = len(data) // 4
    for word in unpack_from(f"<{words}I", data):
        crc ^= word
        crc = low[crc & 0xFFFF] ^ high[crc >> 16]
    for value in data[words * 4:]:
        crc = crc >> 8 ^ byte[(crc ^ value) & 0xFF]
    return crc


def crc16(crc: int, data: bytes) -> int:
    table = _crc16_table()
    for value in data:
        crc = crc >> 8 ^ table[(crc ^ value) & 0xFF]
    return crc
