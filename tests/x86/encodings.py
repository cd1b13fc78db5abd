"""Byte strings to decode: encodings of a row, and random ones. Every choice comes from the `random.Random` given."""

from webvm.x86.opcodes import NP, P66, PF2, PF3, ROWS, VEX

_CLASS_BYTES = {NP: b"", P66: b"\x66", PF3: b"\xf3", PF2: b"\xf2"}
_MAPS = (b"", b"\x0f", b"\x0f\x38", b"\x0f\x3a")
_NEEDS_REXB = frozenset(row.with_rexb for row in ROWS if row.with_rexb)
_MODS = {"mem": (0, 1, 2), "reg": (3,), None: (0, 1, 2, 3)}


def encode(row, random):
    """An encoding of a row: any prefixes it allows, any registers and addresses, random bytes behind."""
    while True:
        code = _encode(row, random)
        if not (row.vsibd or row.vsibq):
            return code
        at = code.index(0xC4)
        registers = (code[at + 4] >> 3 & 7 | ~code[at + 1] >> 4 & 8, ~code[at + 2] >> 3 & 15, code[at + 5] >> 3 & 7 | ~code[at + 1] >> 3 & 8)
        if len(set(registers)) == 3:                     # as they must be
            return code


def _encode(row, random):
    prefixes = [_CLASS_BYTES[random.choice(row.classes)]]
    if random.random() < .1:
        prefixes.append(random.choice((b"\x64", b"\x65")))
    if random.random() < .1:
        prefixes.append(b"\x67")
    mod = random.choice(_MODS[row.mod])
    if row.lock and mod < 3 and prefixes[0] in (b"", b"\x66") and random.random() < .2:
        prefixes.append(b"\xf0")
    random.shuffle(prefixes)
    rex = bytes([random.randrange(0x40, 0x50)]) if random.random() < .6 else b""
    if row in _NEEDS_REXB:
        rex = b"\x41"
    if row.map >= VEX:
        vvvv = 15 if row.v1111 else random.randrange(16)
        code = bytes([0xC4, random.randrange(0, 256, 32) | row.map & 3,
                      (0x80 if row.w1 else 0 if row.w0 else random.choice((0, 0x80))) | vvvv << 3
                      | (4 if row.l1 else 0 if row.lz else random.choice((0, 4))) | row.classes[0]])
    else:
        code = b"".join(prefixes) + rex + _MAPS[row.map]
    code += bytes([random.choice(row.opcodes)])
    if row.has_modrm:
        reg = random.randrange(8) if row.reg is None else row.reg
        rm = 4 if row.vsibd or row.vsibq else random.randrange(8) if row.rm is None else row.rm
        code += bytes([mod << 6 | reg << 3 | rm])
    return code + random.randbytes(15)


def random_code(random):
    """Any bytes behind a few prefixes: at most one that chooses a class or locks, REX last."""
    groups = [b"\x64\x65", b"\x67", b"\x66\xf2\xf3\xf0"]
    random.shuffle(groups)
    code = bytes(random.choice(group) for group in groups if random.random() < .3)
    if random.random() < .5:
        code += bytes([random.randrange(0x40, 0x50)])
    return code + random.choice((b"", b"", b"\x0f", b"\x0f", b"\x0f\x38", b"\x0f\x3a")) + random.randbytes(15)
