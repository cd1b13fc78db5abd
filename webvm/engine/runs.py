"""Runs: stretches of pages that follow each other and are all accessible in one way.

Knows numbers of pages, nothing of where tables lie. Each run has a number, which stands in a table of bytes, one a page.
"""
import re

MOST = 254                     # runs that have numbers of their own
OTHERS = 255                   # the number of all beyond: nothing is noted of them
BYTES = [bytes([b]) for b in range(256)]
_ONES = bytes(b != 0 for b in range(256))
_RUN = re.compile(b"\1+")


class Runs:
    """Of one kind of access: `numbers` has a byte for each page, 0 where it is not accessible."""

    def __init__(self):
        self.numbers = bytearray()
        self._at: dict[int, tuple[int, int]] = {}          # number -> (first page, the one after the last)
        self._free = list(range(MOST, 0, -1))

    def set(self, first: int, bits: bytes) -> tuple[int, bytes, list[tuple[int, int, int]], bool] | None:
        """Pages from `first` on are accessible where `bits` has a 1, else 0. Answers what that changes: (from which page on, numbers;
        runs (number, first page, pages) that are new or others now; whether a page is not accessible any more), or None for nothing."""
        numbers, end = self.numbers, first + len(bits)
        if end >= len(numbers):
            numbers.extend(bytes(end + 1 - len(numbers)))
        old = numbers[first:end]
        if 0 not in bits:
            return self._join(first, end, old) if 0 in old else None
        if 1 not in bits and not any(old):
            return None
        return self._set(first, end, old.translate(_ONES), bits)

    def _join(self, first: int, end: int, old: bytearray):
        """All of these pages are accessible now: one run, with those on either side."""
        numbers, at, free = self.numbers, self._at, self._free
        low, high, left, right = first, end, numbers[first - 1] if first else 0, numbers[end]
        number = left or right
        if left:
            low = numbers.rfind(0, 0, first) + 1
        if right:
            high = numbers.find(0, end)
        if number in (0, OTHERS):
            number = free.pop() if free else OTHERS
        for other in {left, right, *old} - {0, OTHERS, number}:
            del at[other]
            free.append(other)
        begin, stop = first if left in (0, number) else low, end if right in (0, number) else high
        numbers[begin:stop] = new = BYTES[number] * (stop - begin)
        if number == OTHERS:
            return begin, new, [], False
        at[number] = low, high
        return begin, new, [(number, low, high - low)], False

    def _set(self, first: int, end: int, old: bytearray, bits: bytes):
        """The same where some are not accessible; `old`: what of them was, as in `bits`."""
        numbers = self.numbers
        if old == bits:
            return None
        lost = bool(int.from_bytes(old) & ~int.from_bytes(bits))
        low = numbers.rfind(0, 0, first) + 1               # with the runs on either side
        high = numbers.find(0, end)
        left, right = numbers[low] if low < first else 0, numbers[end]
        at, free = self._at, self._free
        for number in set(numbers[low:high]) - {0, OTHERS}:
            del at[number]
            free.append(number)
        around = b"\1" * (first - low) + bits + b"\1" * (high - end)
        changed = []
        for run in _RUN.finditer(around):
            a, b = low + run.start(), low + run.end()
            number = left if left and a == low else right if right and b == high else 0
            if number in (0, OTHERS) or number not in free:
                number = free.pop() if free else OTHERS
            else:
                free.remove(number)
            if number != OTHERS:
                at[number] = a, b
                changed.append((number, a, b - a))
            numbers[a:b] = BYTES[number] * (b - a)
        if old.find(1) >= 0:
            for gap in re.finditer(b"\0+", bits):
                numbers[first + gap.start():first + gap.end()] = bytes(gap.end() - gap.start())
        begin = first if low < first and numbers[low] == left else low
        stop = end if end < high and numbers[end] == right else high
        return begin, bytes(numbers[begin:stop]), changed, lost
