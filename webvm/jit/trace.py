"""What a region was made of, and what it became, as people read it: WEBVM_TRACE=asm,wat.

Knows regions from outside; must not change anything about them.
"""
from collections.abc import Callable, Collection

from ..wasm import encoding as w
from ..wasm import text
from ..x86.decode import decode
from ..x86.insn import Reg
from .cfg import COPY, OUTER
from .frame import DOUBLE, SINGLE
from .inline import SHIFT

KINDS = ("asm", "wat")          # the guest's code, block by block; the function's body
LOCALS = ("exit_rip", "spent", "next", "flag_kind", "flag_a", "flag_b")      # that a region may have, beside registers


def tracer(kinds: Collection[str], write: Callable[[str], None]):
    """What shows regions to `write` as they are made: called with a region, its function's body, and `read(first, last)`
    for the guest's bytes. None where `kinds` is empty."""
    def trace(region, body: bytes, read):
        if "asm" in kinds:
            write("\n".join(assembly(region.graph, read)))
        if "wat" in kinds:
            write("\n".join(wat(region, body)))
    return trace if kinds else None


def assembly(graph, read) -> list[str]:
    """The guest's code in the order of its blocks: how control gets to each, and where it goes."""
    size = sum(len(block.ops) for block in graph.blocks.values())
    detours = f", {len(graph.detours)} detours" if graph.detours else ""
    out = [f"region {_list(graph.entries)}: {len(graph.blocks)} blocks, {size} instructions{detours}"]
    for start in graph.order:
        block = graph.blocks[start]
        marks = ["loop"] * (start in graph.loops) + [f"from {_list(graph.preds[start])}"] * bool(graph.preds[start])
        out.append(f" {_name(start)}:" + (f"  ({', '.join(marks)})" if marks else ""))
        for op in block.ops:
            out.append(f"  {op.rip:8x}  {decode(read(op.rip, op.rip + op.length - 1), op.rip)}")
        out.append("  " + " " * 8 + f"  -> {_way_out(graph, block)}")
    return out


def _way_out(graph, block) -> str:
    """How the block ends; what is no block of the region is outside."""
    ways = [_name(t) + ("" if t in graph.blocks else " (outside)") for t in block.edges]
    match block.end:
        case "call": ways.insert(0, f"of {block.target:#x}, then")
        case "return": ways.append("or elsewhere")
        case "call_indirect" | "call_next" | "syscall" | "out": ways.insert(0, "then")
        case "retry": ways = ["by the interpreter"]
    return " ".join([block.end.replace("_", " "), *ways])


def _name(start) -> str:
    marks = [("copy", start & COPY), ("outer", start & OUTER), (f"inlined {start >> SHIFT}", start >> SHIFT)]
    return f"{start & 0xFFFFFFFF:#x}" + "".join(f" ({mark})" for mark, there in marks if there)


def _list(starts) -> str: return " ".join(map(_name, starts))


def wat(region, body: bytes) -> list[str]:
    """The body of a region's function; locals are named by what they hold, functions by what they are."""
    names = {0: "depth"} | {local: name for name in LOCALS if (local := vars(region).get(name))}
    names |= {local: str(Reg("g", n, 8) if n < 16 else Reg("x", n & 15, 16)) + ".upper" * (n >= 32) for n, local in region.local.items()}
    names |= {first + n - 16: f"{names[local]}.{part}" for n, local in region.local.items() if 16 <= n < 32
              for first, part in ((DOUBLE, "double"), (SINGLE, "single"))}
    functions = {index: name for name, index in region.imports.names().items()}
    functions |= {index: f"{rip:#x}" for rip, index in region.batch.items()}
    locals_ = [f"(local {names.get(k, k)} {t})" for k, t in enumerate(region.locals, region.first_local)]
    return [f"function {_list(region.graph.entries)} {' '.join(locals_)}", *("  " + line for line in text.lines(w.without_hints(body), names, functions))]
