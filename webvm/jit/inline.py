"""Small functions become part of the regions that call them.

A copy of the function's blocks stands in the graph for the call: the call pushes its return address and goes there, and RET goes on
behind the call if that is the address it finds, or else leaves the region as ever. A jump through an absolute address, as a function of
another library is called, becomes a call that has its return address already. So the guest's stack and every state are as without this; but no
register goes to memory and back, and nothing is entered.
A copy has a number, and its blocks are known by that and their address.

Works on blocks; emits nothing.
"""
from collections import deque

SHIFT = 64                  # of a copy's number, in the starts of its blocks: more than any address that a jump can name
MOST_OPS = 32               # instructions in a function that is copied
MOST_NESTED = 2             # copies within copies
MOST_COPIED = 120           # instructions copied into one region
_RETURNS = "ret", "jump_indirect"        # which may be a function's last instruction


def address_of(start: int) -> int:
    """Where the code of a block is."""
    return start & (1 << SHIFT) - 1 if start >> SHIFT > 0 else start


def inline(blocks: dict, fetch, most_ops: int) -> None:
    """Copies functions into the blocks of a region, up to so many instructions in all. fetch: start -> Block or None."""
    room = min(most_ops - sum(len(block.ops) for block in blocks.values()), MOST_COPIED)
    functions: dict[int, list | None] = {}
    work, copies = deque((block, 0) for block in blocks.values() if block.end == "call" and block.next in blocks), 0
    while work:
        call, nested = work.popleft()
        if call.target not in functions:
            functions[call.target] = _function(call.target, fetch)
        function = functions[call.target]
        size = sum(len(block.ops) for block in function or ())
        if not function or size > room:
            continue
        copies += 1
        room -= size
        made = [block.copied(copies << SHIFT, call.next) for block in function]
        blocks.update((copy.start, copy) for copy in made)
        if nested + 1 < MOST_NESTED:
            work.extend((copy, nested + 1) for copy in made if copy.end == "call" and copy.next in blocks)
        call.becomes_jump(copies << SHIFT | call.target)


def _function(target: int, fetch) -> list | None:
    """The blocks of a function that is small and simple, or None."""
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
    return [block.cut(found) for block in found.values()]
