"""Flags that Intel's manual leaves undefined, and what webvm leaves in them.

Software does look at some: hand-written code that was tested on one machine, and comparisons of whole states. So a meaning does
what processors do where they agree ("settled"; the tests hold it to the host's processor), and where they do not, what the
last column says ("open"; only oracle, interpreter and regions have to agree). Data: nothing here is executed by a guest.
"""
from .meaning import AF, CF, OF, PF, SF, ZF

FLAGS = {"CF": 1 << CF, "PF": 1 << PF, "AF": 1 << AF, "ZF": 1 << ZF, "SF": 1 << SF, "OF": 1 << OF}

# fmt: off
TABLE = """
# meanings                  flags               when         state      webvm: why
and or xor test             AF                  -            settled    0: so do Intel and AMD
shl shr sar                 OF                  count>1      settled    as for a count of 1: of the last step
shl shr sar                 CF                  count>size   settled    the last bit shifted out: 0, of SAR the sign
shl shr sar shld shrd       AF                  -            open       0, as Intel; AMD sets it
shld shrd                   OF                  count>1      settled    as for a count of 1: of the last step
shld shrd                   OF                  count=size   open       the same; 16 bits only
shld shrd                   CF OF SF ZF PF      count>size   open       16 bits only: the source comes in again, CF is the last bit out
rol ror rcl rcr             OF                  count>1      settled    as for a count of 1, of the result
bt bts btr btc              OF SF AF PF         -            settled    unchanged
bsf bsr                     CF OF AF            -            settled    0
bsf bsr                     SF PF               -            open       of the source; AMD: of the result
mul imul1 imul2 imul3       SF PF               -            open       of the lower half, as Intel; AMD leaves them
mul imul1 imul2 imul3       ZF                  -            open       of the lower half; Intel clears it, AMD leaves it
mul imul1 imul2 imul3       AF                  -            open       0, as Intel; AMD leaves it
div idiv                    CF PF AF ZF SF OF   -            open       unchanged; every processor differs
tzcnt lzcnt                 OF SF AF PF         -            open       of the result; AMD leaves them
andn blsi blsmsk blsr bzhi  AF PF               -            open       as after AND; so does AMD
bextr                       SF AF PF            -            open       as after AND; AMD sets AF
"""
# fmt: on


def _parse():
    rows = []
    for line in TABLE.strip().splitlines():
        if not line.startswith("#"):
            names, flags, when, state, why = (line[a:b].strip() for a, b in ((0, 28), (28, 48), (48, 61), (61, 72), (72, None)))
            rows.append((names.split(), flags.split(), when, state, why))
    return rows


ROWS = _parse()          # (meanings, flags, when, "settled" or "open", why)


def undefined(meaning: str) -> list[tuple[list[str], str, str, str]]:
    """What the manual leaves undefined after this instruction: (flags, when, state, why)."""
    return [(flags, when, state, why) for names, flags, when, state, why in ROWS if meaning in names]


def undefined_flags(meaning: str, bits: int = 64, count: int = 0, states: tuple[str, ...] = ("settled", "open")) -> int:
    """The flags, at their places in EFLAGS, that are undefined after an instruction with operands of `bits` bits; count: as
    masked, of a shift or rotate."""
    holds = {"-": True, "count>1": count > 1, "count=size": count == bits, "count>size": count > bits}
    return sum({FLAGS[flag] for flags, when, state, _ in undefined(meaning) if state in states and holds[when] for flag in flags})


def open_flags(meaning: str, bits: int = 64, count: int = 0) -> int:
    """Those of them in which processors differ."""
    return undefined_flags(meaning, bits, count, ("open",))
