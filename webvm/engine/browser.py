"""The engine in a browser, from Pyodide.

Knows the JavaScript API of WebAssembly and what crossing between Python and JavaScript costs. Must not know x86, Linux or
the kernel. Its JavaScript half is web/engine.js, which the page registers as the module `webvm_engine`.
"""

from pyodide.ffi import JsException, create_proxy, to_js

import struct
from array import array

from . import space
from .protocol import EngineError, EngineTrap, Image, OutOfMemory, OutOfSpaces
from .space import ARGUMENTS, PAGE, WASM_LIMIT, WASM_PAGE

COLLECT = 32 << 20                 # bytes that spaces which were dropped have had in them, until the browser is made to free them
STAGE = 65536
HEAD = STAGE                       # behind the bytes: their wasm address, and how many there are to be stored or fetched, or
                                   # were fetched for a system call, because it will read them (FETCHED);
CALL = STAGE + 16                  # and the arguments of a system call; then, in the place of the first, its result
_arguments = struct.Struct(f"<{len(ARGUMENTS)}Q").unpack_from
_stage = bytearray(CALL + 8 * len(ARGUMENTS))      # see web/engine.js
_window = memoryview(_stage)
_head = _window[HEAD:CALL].cast("I")
FETCHED = 2
_result = _window[CALL:CALL + 8].cast("q")


_caller = None                     # the space in whose hook of a system call Python is, as long as nothing waits in the stage
_waits = None                      # the same space, if the staged bytes are to be stored in it when the hook returns


def _store() -> None:
    """Store now what waits: something else is to happen to memory or to the stage before the hook returns."""
    global _caller, _waits
    _caller, _waits = _waits, None
    _caller._js_poke()


class BrowserEngine(space.Engine):
    """Executes an image in the browser's own WebAssembly.

    V8 has room for about 124 memories in a page, whatever their size, and those dropped count until they are collected:
    hence the default of max_spaces.
    """

    def __init__(self, image: Image, module=None, max_spaces: int = 100, **kept: int):
        """`module`: the image's WebAssembly.Module, if the page has compiled it already, in parallel with other things."""
        import webvm_engine        # not above: a snapshot of Python's memory may hold this module, but nothing of JavaScript
        webvm_engine.setStage(_stage)
        super().__init__(image, max_spaces, **kept)
        self.js = webvm_engine
        self.module = module or webvm_engine.compile(image.wasm)
        self.dropped = 0                   # of such bytes, since that was last done
        self.hooks = [create_proxy(hook) for hook in (self.syscall, self.fault, self.escape)]

    def syscall(self) -> bool | None:
        """What web/engine.js is to do: False, leave; True, go on; None, store in rax what is staged, and go on. (Nothing else
        crosses as fast: a small int takes 0.2 us more, one of 32 bits 0.6.) In any case it stores the bytes that wait."""
        global _caller, _waits
        _caller = space = self.running
        try:
            result = space.on_syscall(_arguments(_stage, CALL))
            if space._changed and result is not False:
                space.publish()
        except BaseException as error:
            self.raised = error
            result = False
        _caller = _waits = None
        if result.__class__ is int:
            _result[0] = result
            return None
        return result is True and not space.stepping

    def expect(self, sent) -> None:
        self.js.setSent(*(to_js([numbers[i] for numbers in ((number, *places) for number, places in sent.items())]) for i in range(3)))

    def _create(self) -> "BrowserSpace":
        return BrowserSpace(self)

    def _compile(self, wasm: bytes):
        try:
            return self.js.compile(wasm)
        except JsException as error:
            raise EngineError(str(error)) from error

    def compile_beside(self, wasm: bytes) -> space.Regions:
        regions = space.Regions(wasm)

        def tell(module, error: str) -> None:
            if not regions.ready:               # else somebody could not wait
                regions.module, regions.error = (None, EngineError(error)) if error else (module, None)
            del regions.wasm

        self.regions.add(regions)
        regions.wasm = wasm                     # until then
        self.js.compileBeside(wasm, create_proxy(tell))
        return regions

    def _finish(self, regions) -> None:
        self._compile_into(regions, regions.wasm)

    def drop(self, n_bytes: int) -> None:
        """The memory of a space that has had so much in it is garbage now."""
        self.dropped += n_bytes
        if self.dropped >= COLLECT:
            self.dropped = 0
            self.js.collect()

    def close(self) -> None:
        super().close()
        for hook in self.hooks:
            hook.destroy()
        self.hooks.clear()


class BrowserSpace(space.Space):
    """An address space in a WebAssembly.Memory with an instance of its own."""

    def __init__(self, engine: BrowserEngine):
        super().__init__(engine)
        try:
            self._js = js = engine.js.create(
                engine.module, self._bias // WASM_PAGE + 16, WASM_LIMIT // WASM_PAGE, self._layout.GPR, self._bias, *engine.hooks)
        except JsException as error:
            if error.name != "RangeError":
                raise
            raise OutOfSpaces(str(error)) from error
        self._exports, self._called = js.exports, {}           # those that were called: to ask for one costs more than to call it
        self._js_run = js.exports.run
        self._js_peek, self._js_poke, self._js_pokes, self._js_view = js.peek, js.poke, js.pokes, js.view
        self._js_blank = js.blank
        self._u32 = js.words()

    def _resize(self, wasm_pages: int) -> None:
        if _waits is not None:
            _store()
        try:
            self._js.resize(wasm_pages)
        except JsException as error:
            if error.name != "RangeError":
                raise
            raise OutOfMemory(str(error)) from error
        self._u32 = self._js.words()

    def _extend(self, n: int) -> int:
        try:
            return self._js.extend(n)
        except JsException as error:
            raise OutOfMemory(str(error)) from error

    def _link(self, module, slots) -> None:
        self._stage_slots(slots)
        try:
            self._js.link(module, len(slots))
        except JsException as error:        # LinkError, or TypeError where an export is missing
            raise EngineError(str(error)) from error

    def _clear(self, slots) -> None:
        self._stage_slots(slots)
        self._js.clear(len(slots))

    def _stage_slots(self, slots) -> None:
        if _waits is not None:
            _store()
        data = array("I", slots).tobytes()
        _window[:len(data)] = data

    def _destroy(self) -> None:
        del self._js, self._exports, self._called, self._js_run, self._u32
        del self._js_peek, self._js_poke, self._js_pokes, self._js_view, self._js_blank
        self.engine.drop(self.touched)

    def _enter(self, fuel: int) -> int:
        if _waits is not None:
            _store()
        try:
            return self._js_run(fuel)
        except JsException as error:        # WebAssembly.RuntimeError, or RangeError when the stack is exhausted
            raise EngineTrap(str(error)) from error
        finally:
            _head[FETCHED] = 0

    def _call(self, export: str, *args: int) -> int:
        if _waits is not None:
            _store()
        function = self._called.get(export)
        if function is None:
            function = self._called[export] = getattr(self._exports, export)
        try:
            return function(*args)
        except JsException as error:
            raise EngineTrap(str(error)) from error

    # Within the hook of a system call, the bytes of a poke wait in the stage: those of the last one cross with what the hook
    # returns. Whatever else has to do with memory or the stage lets them go first.

    def peek(self, address: int, n: int) -> bytes:
        if _waits is not None:
            _store()
        if n > STAGE:
            return self._js_view(address, n).to_bytes()
        _head[0] = address
        _head[1] = n
        self._js_peek()
        return _window[:n].tobytes()

    def poke(self, address: int, data) -> None:
        global _caller, _waits
        if _waits is not None:
            _store()
        n = len(data)
        if n > STAGE:
            _head[FETCHED] = 0
            self._js_view(address, n).assign(data)
            return
        _window[:n] = data
        _head[0] = address
        _head[1] = n
        if self is _caller and address >= self._bias:   # what lies below is reached without the stage too
            _caller, _waits = None, self
        else:
            self._js_poke()

    def pokes(self, pieces) -> None:
        if _waits is not None:
            _store()
        words = [word for address, data in pieces for word in (address, len(data))]
        data = b"".join([array("I", words), *[data for _, data in pieces]])
        if len(data) > STAGE:
            super().pokes(pieces)
            return
        _window[:len(data)] = data
        _head[FETCHED] = 0
        self._js_pokes(len(pieces))

    def blank(self, address: int, n: int, byte: int) -> None:
        if _waits is not None:
            _store()
        _head[FETCHED] = 0
        self._js_blank(address, n, byte)

    def _copy(self, other: "BrowserSpace", address: int, n: int) -> None:
        if _waits is not None:
            _store()
        _head[FETCHED] = 0
        self._js.copy(other._js, address, n)

    # What system calls do most, with less to look at: a page at most, which lies in two. Integers above 2**15 are slow in Pyodide.

    def try_read(self, addr: int, n: int) -> bytes | None:
        if self is _caller and _head[FETCHED] == n and _head[0] == self._bias + addr:
            pages, table, first = self._pages, self._readable_page, addr >> 12
            try:
                if table[pages[first]] and ((addr & PAGE - 1) + n <= PAGE or table[pages[first + 1]]):
                    return _window[:n].tobytes()
            except IndexError:
                return None
        return super().try_read(addr, n)

    def try_write(self, addr: int, data) -> bool:
        global _caller, _waits
        n = len(data)
        if self is _caller and n <= PAGE:
            pages, table, first = self._pages, self._just_writable_page, addr >> 12
            try:
                if table[pages[first]] and ((addr & PAGE - 1) + n <= PAGE or table[pages[first + 1]]):
                    _window[:n] = data
                    _head[0] = self._bias + addr
                    _head[1] = n
                    _caller, _waits = None, self
                    return True
            except IndexError:
                return False
        return super().try_write(addr, data)
