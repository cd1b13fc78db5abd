"""Small functions become part of the regions that call them.

A copy of the function's blocks stands in the graph for the call: the call pushes its return address and goes there, and RET goes on
behind the call if that is the address it finds, or else leaves the region as ever. A jump through an absolute address, as a function of
another library is called, becomes a call that has its return address already. A call through such an address is compared with where it
leads now: there a copy of that function follows, elsewhere it is a call as ever. So the guest's stack and every state are as without this;
but no register goes to memory and back, and nothing is entered.
A copy has a number, and its blocks are known by that and their address.

Works on blocks; emits nothing.
"""
from collections import deque

from . import layout as at

SHIFT = 64                  # of a copy's number, in the starts of its blocks: more than any address that a jump can name
MOST_OPS = 32               # instructions in a function that is copied
MOST_NESTED = 2             # copies within copies
MOST_COPIED = 120           # instructions copied into one region
_CALLS = "call", "call_indirect"
_RETURNS = "ret", "jump_indirect"        # which may be a function's last instruction


def address_of(start: int) -> int:
    """Where the code of a block is."""
    return start & (1 << SHIFT) - 1 if start >> SHIFT > 0 else start


def inline(blocks: dict, fetch, most_ops: int, held=None) -> None:
    """Copies functions into the blocks of a region, up to so many instructions in all. fetch: start -> Block or None. held: the address
    of a pointer -> where it leads now, or None; without, calls through pointers are as ever."""
    room = min(most_ops - sum(len(block.ops) for block in blocks.values()), MOST_COPIED)
    functions: dict[int, list | None] = {}
    work, copies = deque((block, 0) for block in blocks.values() if block.end in _CALLS and block.next in blocks), 0
    while work:
        call, nested = work.popleft()
        target = call.target if call.end == "call" else _where_now(call, held)
        if target not in functions:
            functions[target] = _function(target, fetch)
        function = functions[target]
        size = sum(len(block.ops) for block in function or ())
        if not function or size > room:
            continue
        copies += 1
        room -= size
        made = [block.copied(copies << SHIFT, call.next) for block in function]
        blocks.update((copy.start, copy) for copy in made)
        inside = nested if len(made) == 1 and made[0].end == "call_indirect" else nested + 1         # a jump is as good as none
        if inside < MOST_NESTED:
            work.extend((copy, inside) for copy in made if copy.end in _CALLS and copy.next in blocks)
        if call.end == "call":
            call.becomes_jump(copies << SHIFT | target)
        else:
            copies += 1
            other = call.becomes_choice((copies - 1) << SHIFT | target, copies << SHIFT | address_of(call.start))
            blocks[other.start] = other


def _where_now(call, held) -> int | None:
    insn = call.ops[-1].insn
    return held(call.ops[-1].disp) if held and insn.absolute and insn.segment == at.ZERO // 8 else None


def _function(target: int | None, fetch) -> list | None:
    """The blocks of a function that is small and simple, or None."""
    if target is None:
        return None
    found: dict = {}
    size, work = 0, [target]
    while work:
        start = work.pop()
        if start in found:
            continue
        block = fetch(start) if 0 < start < 1 << 32 else None
        if block is None:
            continue
        size += len(block.ops)
        if size > MOST_OPS or block.end == "jump_indirect" and not block.ops[-1].insn.absolute:
            return None
        found[start] = block
        work += block.ways_gone
    if target not in found or not any(block.end in _RETURNS for block in found.values()):
        return None
    return [block.cut(found.keys()) for block in found.values()]
