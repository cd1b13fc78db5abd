"""Where guest code spends its time, as `perf report` would show it: samples, and the names of functions.

Knows the kernel's address spaces and ELF files. Takes a sample whenever the scheduler gets control back from guest code,
and counts the time since it gave it away for where the code was then; system calls made meanwhile and translation are in it.
"""

from dataclasses import dataclass

from webvm.kernel.symbols import Symbols, read_symbols
from webvm.linux.errno import Errno

PAGE = 4096
ROWS = 30                       # of a listing


@dataclass
class Place:
    """What was sampled at one address."""
    address: int
    samples: int = 0
    ns: int = 0
    instructions: int = 0
    in_regions: int = 0         # the part of them that regions executed

    def add(self, other: "Place") -> None:
        self.samples += other.samples
        self.ns += other.ns
        self.instructions += other.instructions
        self.in_regions += other.in_regions


class Profile:
    """Samples, by file and the offset in it; where code is in no file, by what the mapping is called and the address."""

    def __init__(self, region_instructions, path_of):
        """region_instructions: () -> how many instructions regions have executed so far. path_of: an open file -> its name."""
        self._region_instructions, self._path_of = region_instructions, path_of
        self._before = region_instructions()
        self._places: dict[object, dict[int, Place]] = {}       # inode or name -> offset -> what was sampled
        self._paths: dict[object, str] = {}                     # inode -> name

    def sample(self, mem, space, ns: int, instructions: int) -> None:
        """Guest code of `mem` comes back after so many ns and instructions, with its registers in `space`."""
        before, self._before = self._before, self._region_instructions()
        rip = space.rip
        vma = mem.find(rip)
        if vma is None:
            where, offset = "[unmapped]", rip
        elif vma.file is None:
            where, offset = (vma.name or b"[anonymous]").decode(errors="replace"), rip
        else:
            where, offset = vma.file.inode, rip - vma.start + vma.pgoff * PAGE
            if where not in self._paths:
                self._paths[where] = self._path_of(vma.file)
        places = self._places.setdefault(where, {})
        place = places.get(offset)
        if place is None:
            place = places[offset] = Place(rip)
        place.add(Place(rip, 1, ns, instructions, self._before - before))

    async def rows(self) -> list[tuple[str, str, Place]]:
        """(file, function, what was sampled in it, with the address where most of it was), those that took longest first."""
        found: dict[tuple[str, str], Place] = {}
        hottest: dict[tuple[str, str], tuple[int, str]] = {}
        for where, places in self._places.items():
            file, symbols = await self._file(where)
            for offset, place in places.items():
                function, inside = symbols.find(offset)
                row = found.setdefault((file, function), Place(0))
                row.add(place)
                if place.ns >= hottest.get((file, function), (0, ""))[0]:
                    row.address = place.address
                    hottest[file, function] = place.ns, f"{function}+{inside:#x}" if function else ""
        order = sorted(found, key=lambda row: -found[row].ns)
        return [(file, hottest[file, function][1], found[file, function]) for file, function in order]

    async def _file(self, where) -> tuple[str, Symbols]:
        if where not in self._paths:
            return where, Symbols()
        try:
            return self._paths[where], await read_symbols(where.read)
        except Errno:
            return self._paths[where], Symbols()

    async def listing(self, most: int = ROWS) -> str:
        """A table for people; a line for each function."""
        rows = await self.rows()
        whole = Place(0)
        for _, _, place in rows:
            whole.add(place)
        head = f"{whole.ns / 1e9:.2f} s of guest code, {whole.samples} samples, {_percent(whole.in_regions, whole.instructions)} of its instructions in regions"
        table = [head, "  share regions    address  hottest place"]
        for file, place_name, place in rows[:most]:
            table.append(f"{_percent(place.ns, whole.ns):>7} {_percent(place.in_regions, place.instructions):>7} {place.address:10x}  "
                         + f"{place_name}  {file}".strip())
        if len(rows) > most:
            rest = sum(place.ns for _, _, place in rows[most:])
            table.append(f"{_percent(rest, whole.ns):>7}  in {len(rows) - most} other functions")
        return "\n".join(table)


def _percent(part: float, whole: float) -> str:
    return f"{100 * part / whole:.1f} %" if whole else "-"
