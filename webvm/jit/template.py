"""What was emitted for an instruction, kept to be emitted again: code with holes for what differs from place to place."""
from ..wasm.encoding import mark

# What stands in a template for an exit, the constants that differ from place to place, and the address after the instruction;
# followed by how many ifs of the instruction the exit is in, or the number of what it is.
HOLE = mark(0xFD)
(DISP, LOW, HIGH, AFTER, OFFSET, OFFSET_UPPER, SET_ANCHOR, USE_ANCHOR, FROM_ANCHOR, GIVEN_8, GIVEN_16, GIVEN_32, GIVEN_64, GIVEN_NARROW,
 RUN) = range(60, 75)                # and what follows
START = 0                          # the first of three: where the address of a check's run is, where its length, where its address is again
FUNCTION = RUN + 3 * 4             # and what follows
GROUP = 180                        # and what follows: locals, see deferred.py
# The instruction's constant, of so many bits, as an i64.
GIVEN = {8: GIVEN_8, 16: GIVEN_16, 32: GIVEN_32, 64: GIVEN_64}
# What of that constant a template depends on: nothing, as it has a hole for it; how many bytes it takes; what it is.
ANY, LENGTH, VALUE = range(3)


def hole_of(which: int) -> bytes: return HOLE + bytes([which])


def pieces(code: bytes) -> tuple[bytes, tuple[tuple[int, bytes], ...]]:
    """What comes before the first hole; what is in each hole with the piece after it."""
    first, *rest = code.split(HOLE)
    return first, tuple((piece[0], piece[1:]) for piece in rest)


# In the place of the local of a register, where what was emitted is for any registers: a number that is too large for one.
ROLES = range(120, 126)
_ROLE = [(1 << 112) - 1 | role << 112 for role in ROLES]
_ROLE_BYTES = [b"\xff" * 16 + bytes([role]) for role in ROLES]


class General:
    """What was emitted for an instruction with any registers, to make templates of.

    code, ends  with roles in place of locals; others as Template's; depends: what of the constant it depends on
    narrow      a mask of roles, and of registers that are always the same
    """
    __slots__ = ("code", "ends", "narrow", "kind", "vectors", "looks", "depends")

    def __init__(self, code: bytes, ends, narrow: tuple[int, int], kind, vectors: bool, looks: bool, depends: int):
        self.code, self.ends, self.narrow, self.kind, self.vectors, self.looks, self.depends = code, ends, narrow, kind, vectors, looks, depends

    @staticmethod
    def locals(local: dict[int, int], registers: tuple[int, ...]) -> dict[int, int]:
        return local | dict(zip(registers, _ROLE))

    @staticmethod
    def longer(code: bytes) -> int:
        """By how many bytes code is longer than with locals."""
        return 16 * sum(map(code.count, _ROLE_BYTES))

    def template(self, registers: tuple[int, ...], local: dict[int, int]) -> "Template":
        code, ends, (roles, narrow) = self.code, self.ends, self.narrow
        for k, n in enumerate(registers):
            if n not in local:                                  # NOP does nothing with its operand
                continue
            role, number = _ROLE_BYTES[k], bytes([local[n]])
            code = code.replace(role, number)
            if ends is not None:
                ends = ends.replace(role, number)
            narrow |= (roles >> k & 1) << n
        return Template(code, self.kind, narrow, ends, self.vectors, 0, 0, [], {}, 0, self.looks)


class Template:
    """What was emitted for an instruction, to be emitted again where all is equal that `Instructions.instruction` looks at.

    first, rest     the code: pieces with holes between them, what is in each hole with the piece after it
    kind            the flags after it (None: as they were); ends: what the meaning has left for the block's end
    narrow          registers known to hold 32 bits afterwards, of those it has to do with
    vectors         whether it needs locals of that sort
    low             forms of vector registers afterwards, of those it has to do with
    numbers         likewise, those that are known to be normal or zero
    noted, kept, started        for the group of operations, see deferred.py
    link            whether it is part of a group, see nans.py
    leaves          whether control may leave in it, or it looks at MXCSR
    """
    __slots__ = ("first", "rest", "kind", "narrow", "ends", "vectors", "low", "numbers", "noted", "kept", "started", "leaves", "link")

    def __init__(self, code: bytes, kind, narrow: int, ends, vectors: bool, low: int, numbers: int, noted, kept, started: int, looks: bool,
                 link: bool = False):
        self.first, self.rest = pieces(code)
        self.kind, self.narrow, self.ends, self.vectors, self.low, self.numbers = kind, narrow, ends, vectors, low, numbers
        self.noted, self.kept, self.started, self.link = noted, kept, started, link
        self.leaves = looks or any(hole < DISP for hole, _ in self.rest)


class Templates(dict):
    """Instruction -> key -> Template, or what of the instruction's constant it depends on: then (key, that) -> Template. For regions with
    the same options and imports."""

    MOST = 30_000

    def __init__(self):
        super().__init__()
        self.count = 0
        self.general: dict = {}         # likewise of General: what all depends on that has nothing to do with registers -> General

    def add(self, known: dict, key, template: Template) -> None:
        known[key] = template
        self.count += 1
        if self.count > self.MOST:
            self.clear()
            self.general.clear()
            self.count = 0
