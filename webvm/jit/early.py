"""Blocks of which a region may be known are reported early, after layout.EARLY arrivals: that they are hot is not said yet.

Knows the bits that the interpreter looks at, and the counter in a record; knows nothing of regions.
"""
import struct
from collections.abc import Iterable

from . import layout as at
from .decoder import Tables
from .handler import R_COUNT, R_HANDLER

U32 = struct.Struct("<I")
STEP = 4                        # a region that is known but does not fit yet is tried after so many times the arrivals
TRIES = 3


def expect(expected: bytearray, addresses: Iterable[int]) -> None:
    """Set the bits of addresses in what is to lie at layout.EXPECTED."""
    for address in addresses:
        bit = at.expected_bit(address)
        expected[bit >> 3] |= 1 << (bit & 7)


class Early:
    """Which addresses are expected, and which early reports were of no use."""

    def __init__(self, warm: int):
        """warm: arrivals after which a block that nobody expects is reported."""
        self._warm = warm
        self._expected = bytearray(at.EXPECTED_BYTES)
        self._reports: dict = {}                        # space -> {address: early reports of it}, of each in use

    def expect(self, addresses: Iterable[int]) -> None: expect(self._expected, addresses)

    def expect_all(self, expected: bytes) -> None:
        """What `expect` has made elsewhere."""
        both = int.from_bytes(self._expected, "little") | int.from_bytes(expected, "little")
        self._expected = bytearray(both.to_bytes(at.EXPECTED_BYTES, "little"))
        for space in self._reports:
            space.poke(at.EXPECTED, self._expected)

    def created(self, space) -> None:
        self._reports[space] = {}
        space.poke(at.EXPECTED, self._expected)

    def released(self, space) -> None: self._reports.pop(space, None)

    def put_off(self, space, address: int, known: bool, coming: bool) -> bool:
        """A report of this space that has led to nothing: whether it was early. Then there will be another one, soon if a
        region is `known` that may fit later (what it calls may not have been loaded yet), or one is `coming`: for that it
        waits however long it takes."""
        bit = at.expected_bit(address)
        if not self._expected[bit >> 3] >> (bit & 7) & 1:
            return False
        reports = self._reports.setdefault(space, {})
        n = reports.get(address, 0)
        record = space.find(address)
        if not coming and n > TRIES or not record or space.peek(record + R_HANDLER, 4) != U32.pack(Tables.COUNT):
            return False
        arrivals = at.EARLY * STEP ** n
        if coming:
            left = at.EARLY
        elif known and n < TRIES:
            reports[address] = n + 1
            left = arrivals * (STEP - 1)
        else:
            reports[address] = TRIES + 1
            left = max(self._warm - arrivals, 1)
        space.poke(record + R_COUNT, U32.pack(left))
        return True
