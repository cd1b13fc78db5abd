"""Meanings run over bytes: what the interpreter's handlers and the regions have in common.

A raw value is the WebAssembly that pushes it. Knows how operators become instructions and how locals are handed out;
where registers, operands and flags live is for the subclasses to say.
"""
from ..wasm import encoding as w
from ..x86.meaning import Bool, Int, Machine, Vec
from . import layout as at

SHORT = 10        # bytes that may be pushed twice rather than kept in a local
_TYPES = {Bool: "i32", Int: "i64", Vec: "v128"}
_CONST = {"i32": w.i32, "i64": w.i64, "v128": w.v128}


def _place(address: Int) -> bytes: return address.raw + w.OP["i32.wrap_i64"] + w.i32(at.BIAS) + w.OP["i32.add"]


class Emitter(Machine):
    """`out` collects statements; `locals` the types of the locals beyond the first `first_local`."""
    first_local = 0

    def __init__(self):
        self.out: list[bytes] = []
        self.locals: list[str] = []

    def prim(self, op, *raws): return b"".join(raws) + w.OP[op]
    def lane(self, op, index, *raws): return b"".join(raws) + w.lane(op, index)
    def shuffle(self, a, b, indices): return a + b + w.shuffle(indices)
    def const(self, type, n): return _CONST[type](n)
    def keep(self, type, raw): return raw if len(raw) <= SHORT else self.let(type, raw)

    def let(self, type, raw):
        """Evaluates raw here; the answer is the local that holds it."""
        n = self.first_local + len(self.locals)
        self.locals.append(type)
        self.out.append(raw + w.put(n))
        return w.get(n)

    def nested(self, body) -> bytes:
        """What `body` emits, apart."""
        outer, self.out = self.out, []
        body()
        inner, self.out = b"".join(self.out), outer
        return inner

    def nested_value(self, make) -> bytes:
        """Statements, then the value that `make` returns."""
        result = None

        def body():
            nonlocal result
            result = make()
        return self.nested(body) + result.raw

    def value(self, type: str, raw):
        """A raw i64 or v128 as an Int or a Vec."""
        return Int(self, raw, 64) if type == "i64" else Vec(self, raw)

    def choose(self, condition: Bool, yes, no):
        answer = None

        def chosen():
            nonlocal answer
            answer = yes()
            return answer
        first, second = self.nested_value(chosen), self.nested_value(no)
        type = _TYPES.get(answer.__class__) or f"f{answer.bits}"
        return answer._like(self.let(type, w.if_(condition.raw, first, second, w.TYPES[type])))

    def move(self, to, source, size):
        self.out.append(_place(to) + _place(source) + size.raw + w.OP["i32.wrap_i64"] + w.OP["memory.copy"])

    def fill(self, to, byte, size):
        self.out.append(_place(to) + byte.raw + w.OP["i32.wrap_i64"] + size.raw + w.OP["i32.wrap_i64"] + w.OP["memory.fill"])

    def when(self, condition: Bool, body): self.out.append(w.if_(condition.raw, self.nested(body)))
