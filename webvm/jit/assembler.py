"""Writing WebAssembly functions by hand, as Python statements.

An `X` is an expression (its type and the bytes that push it); operators concatenate. A `Function` collects statements.
For the parts of the interpreter that are not instructions' meanings: dispatch, look-up, decoding.
"""
from contextlib import contextmanager

from ..wasm import encoding as w


class X:
    """An i32 or i64 expression. Comparison and shift operators are the unsigned ones."""
    __slots__ = ("type", "raw")

    def __init__(self, type: str, raw: bytes):
        self.type, self.raw = type, raw

    def _raw(self, o): return (w.i32 if self.type == "i32" else w.i64)(o) if isinstance(o, int) else o.raw
    def _op(self, name, o): return X(self.type, self.raw + self._raw(o) + w.OP[f"{self.type}.{name}"])
    def _test(self, name, o): return X("i32", self.raw + self._raw(o) + w.OP[f"{self.type}.{name}"])

    def __add__(self, o): return self._op("add", o)
    def __sub__(self, o): return self._op("sub", o)
    def __mul__(self, o): return self._op("mul", o)
    def __and__(self, o): return self._op("and", o)
    def __or__(self, o): return self._op("or", o)
    def __xor__(self, o): return self._op("xor", o)
    def __lshift__(self, o): return self._op("shl", o)
    def __rshift__(self, o): return self._op("shr_u", o)
    def __eq__(self, o): return self._test("eq", o)
    def __ne__(self, o): return self._test("ne", o)
    def __lt__(self, o): return self._test("lt_u", o)
    def __ge__(self, o): return self._test("ge_u", o)
    def __gt__(self, o): return self._test("gt_u", o)
    def __le__(self, o): return self._test("le_u", o)
    __hash__ = None

    def is_zero(self): return X("i32", self.raw + w.OP[f"{self.type}.eqz"])
    def wide(self): return X("i64", self.raw + w.OP["i64.extend_i32_u"])
    def low(self): return X("i32", self.raw + w.OP["i32.wrap_i64"])
    def load(self, op, offset=0): return X(op[:3], self.raw + w.access(op, offset))

    def pick(self, yes, no):
        """`yes` if this i32 is not zero, else `no`; both are evaluated."""
        kind = next((v for v in (yes, no) if isinstance(v, X)), c32(0))
        return X(kind.type, kind._raw(yes) + kind._raw(no) + self.raw + w.SELECT)


def c32(n): return X("i32", w.i32(n))
def c64(n): return X("i64", w.i64(n))


class Local(X):
    __slots__ = ("index",)

    def __init__(self, type, index):
        super().__init__(type, w.get(index))
        self.index = index


class Function:
    """A function under construction. Parameters and locals are X; statements are method calls, in order."""

    def __init__(self, module, label: str, params: str = "", results: str = "", export=False, index=None):
        self.module = module
        self.index = module.declare(label, params, results, export) if index is None else index
        self.params = [Local(t, k) for k, t in enumerate(params.split())]
        self.results = results
        self.locals: list[str] = []
        self.out: list[bytes] = []
        self.depth = 0

    def local(self, type: str = "i32", value: X | int | None = None) -> Local:
        new = Local(type, len(self.params) + len(self.locals))
        self.locals.append(type)
        if value is not None:
            self.set(new, value)
        return new

    def set(self, local: Local, value): self.out.append(local._raw(value) + w.put(local.index))
    def store(self, op, address, value, offset=0):
        address = c32(address) if isinstance(address, int) else address
        value = X(op[:3], b"")._raw(value)
        self.out.append(address.raw + value + w.access(op, offset))

    def call(self, index: int, *args: X) -> None: self.out.append(b"".join(a.raw for a in args) + w.call(index))
    def ret(self, *values):
        self.out.append(b"".join(w.i32(value) if isinstance(value, int) else value.raw for value in values) + w.RETURN)

    @contextmanager
    def _nest(self, opening: bytes):
        self.out.append(opening)
        self.depth += 1
        yield self.depth
        self.depth -= 1
        self.out.append(w.END)

    def if_(self, condition: X): return self._nest(condition.raw + b"\x04" + w.EMPTY)
    def loop(self): return self._nest(b"\x03" + w.EMPTY)
    def block(self): return self._nest(b"\x02" + w.EMPTY)

    @contextmanager
    def else_(self):
        """Directly after an `if_`."""
        assert self.out.pop() == w.END
        self.depth += 1
        self.out.append(w.ELSE)
        yield
        self.depth -= 1
        self.out.append(w.END)

    def br(self, label: int, condition: X | None = None):
        """To the head of the loop, or out of the block, that gave `label`."""
        depth = self.depth - label
        self.out.append(w.br(depth) if condition is None else condition.raw + w.br_if(depth))

    def tail(self, type_index: int, element: X, *args: X, table: int = 0) -> None:
        """Returns what the function in an element of a table returns; this one's frame is gone by then."""
        self.out.append(b"".join(a.raw for a in args) + element.raw + w.return_call_indirect(type_index, table))

    def done(self):
        """Closes the function. A function with a result must have returned by then."""
        self.module.define(self.index, self.locals, b"".join(self.out) + (w.UNREACHABLE if self.results else b""))


def invoke_indirect(type_index: int, element: X, *args: X, table: int = 0, type: str = "i32", also: tuple[Local, ...] = ()) -> X:
    """A call of the function in an element of a table, as an expression. `also`: where its results after the first go."""
    rest = b"".join(w.put(local.index) for local in reversed(also))
    return X(type, b"".join(a.raw for a in args) + element.raw + w.call_indirect(type_index, table) + rest)


def invoke(index: int, *args: X, type: str = "i32") -> X:
    """A call as an expression."""
    return X(type, b"".join(a.raw for a in args) + w.call(index))
