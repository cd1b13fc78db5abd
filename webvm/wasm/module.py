"""A WebAssembly module, put together from functions. Knows the binary format's sections; nothing of what is in them."""
from .encoding import END, FUNCREF, HINT, TYPES, i32, name, uleb, vec


def _type(params: str, results: str) -> bytes:
    return b"\x60" + vec(TYPES[t] for t in params.split()) + vec(TYPES[t] for t in results.split())


class Module:
    """Collects imports, functions, tables, one memory; `encode` gives the bytes. Table 0 holds `table`, and never changes.

    Function indices are handed out by `import_function` (first) and `declare`; a declared function gets its body by
    `define`, so functions may call each other whatever the order.
    """

    def __init__(self):
        self.types: list[bytes] = []
        self.imports: list[bytes] = []
        self.imported_functions = 0
        self.functions: list[tuple[int, bytes | None]] = []      # type index, code
        self.exports: list[bytes] = []
        self.data: list[tuple[int, bytes]] = []
        self.table: list[int] = []                               # function indices
        self.open_tables: list[int] = []                         # minimum sizes; these may grow
        self.names: dict[int, str] = {}
        self.hints: dict[int, bytes] = {}                        # function index -> its branch hints

    def type(self, params: str, results: str = "") -> int:
        """The index of a function type: space-separated value types, as in "i32 i64"."""
        encoded = _type(params, results)
        if encoded not in self.types:
            self.types.append(encoded)
        return self.types.index(encoded)

    def declare_table(self, label: str, minimum: int) -> int:
        """A table of empty entries, exported, that may grow. The answer is its index."""
        assert self.table, "table 0 comes first"
        self.open_tables.append(minimum)
        self.exports.append(name(label) + b"\x01" + uleb(len(self.open_tables)))
        return len(self.open_tables)

    def import_memory(self, module: str, field: str, minimum_pages: int, maximum_pages: int) -> None:
        self.imports.append(name(module) + name(field) + b"\x02\x01" + uleb(minimum_pages) + uleb(maximum_pages))

    def import_table(self, module: str, field: str) -> int:
        """A table that may grow; its index. A module with one has none of its own."""
        assert not self.table
        self.imports.append(name(module) + name(field) + b"\x01" + FUNCREF + b"\x00" + uleb(0))
        return 0

    def import_function(self, module: str, field: str, params: str, results: str = "") -> int:
        assert not self.functions, "imports come before functions"
        self.imports.append(name(module) + name(field) + b"\x00" + uleb(self.type(params, results)))
        self.imported_functions += 1
        return self.imported_functions - 1

    def declare(self, label: str, params: str, results: str = "", export: bool = False) -> int:
        """A function to be defined; `label` goes into the name section, and is its export name if exported."""
        self.functions.append((self.type(params, results), None))
        index = self.imported_functions + len(self.functions) - 1
        self.names[index] = label
        if export:
            self.export(label, index)
        return index

    def export(self, label: str, index: int) -> None:
        """Exports a function, be it an imported one."""
        self.exports.append(name(label) + b"\x00" + uleb(index))

    def define(self, index: int, locals_: list[str], body: bytes) -> None:
        """Gives function `index` its extra locals (value types, in order) and its body, without the final `end`. The body may hold
        branch hints."""
        at = index - self.imported_functions
        type_index, code = self.functions[at]
        assert code is None, f"{self.names[index]} is defined twice"
        runs: list[list] = []
        for t in locals_:
            if runs and runs[-1][1] == t:
                runs[-1][0] += 1
            else:
                runs.append([1, t])
        declared = vec(uleb(n) + TYPES[t] for n, t in runs)
        body, *rest = body.split(HINT)
        if rest:
            pieces, hints, offset = [body], [], len(declared) + len(body)
            for piece in rest:
                hints.append(uleb(offset) + b"\1" + piece[:1])
                pieces.append(piece[1:])
                offset += len(piece) - 1
            self.hints[index] = uleb(index) + vec(hints)
            body = b"".join(pieces)
        self.functions[at] = type_index, declared + body + END

    def encode(self) -> bytes:
        def section(number: int, content: bytes) -> bytes:
            return bytes([number]) + uleb(len(content)) + content

        missing = [self.names[k + self.imported_functions] for k, (_, code) in enumerate(self.functions) if code is None]
        assert not missing, f"declared but not defined: {missing}"
        out = [b"\0asm\1\0\0\0", section(1, vec(self.types)), section(2, vec(self.imports)),
               section(3, vec(uleb(t) for t, _ in self.functions))]
        if self.table:
            fixed = FUNCREF + b"\x01" + uleb(len(self.table)) + uleb(len(self.table))
            out.append(section(4, vec([fixed, *(FUNCREF + b"\x00" + uleb(minimum) for minimum in self.open_tables)])))
        out.append(section(7, vec(self.exports)))
        if self.table:
            out.append(section(9, vec([b"\x00" + i32(0) + END + vec(uleb(f) for f in self.table)])))
        if self.hints:
            out.append(section(0, name("metadata.code.branch_hint") + vec(hints for _, hints in sorted(self.hints.items()))))
        out.append(section(10, vec(uleb(len(code)) + code for _, code in self.functions)))
        if self.data:
            out.append(section(11, vec(b"\x00" + i32(at) + END + uleb(len(d)) + d for at, d in self.data)))
        names = vec(uleb(k) + name(label) for k, label in sorted(self.names.items()))
        out.append(section(0, name("name") + b"\x01" + uleb(len(names)) + names))
        return b"".join(out)
