"""The engine in a browser, from Pyodide.

Knows the JavaScript API of WebAssembly and what crossing between Python and JavaScript costs. Must not know x86, Linux or
the kernel. Its JavaScript half is web/engine.js, which the page registers as the module `webvm_engine`.
"""

from pyodide.ffi import JsException, create_proxy

import struct
from array import array

from . import space
from .protocol import EngineError, EngineTrap, Image, OutOfMemory, OutOfSpaces
from .space import ARGUMENTS, WASM_LIMIT, WASM_PAGE

STAGE = 65536
HEAD = STAGE                       # behind the bytes: their wasm address and how many there are,
CALL = STAGE + 8                   # and the arguments of a system call
_arguments = struct.Struct(f"<{len(ARGUMENTS)}Q").unpack_from
_stage = bytearray(CALL + 8 * len(ARGUMENTS))      # see web/engine.js
_window = memoryview(_stage)
_head = _window[HEAD:CALL].cast("I")

# What the hook tells web/engine.js: to leave; to go on, rax being right; else what is to be stored in rax, which is less.
SMALL, LEAVE, GO_ON = 1 << 31, 1 << 31, (1 << 31) + 1


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
        self.hooks = [create_proxy(hook) for hook in (self.syscall, self.fault, self.escape)]

    def syscall(self) -> int:
        space = self.running
        space._result = GO_ON
        try:
            goes_on = space.on_syscall()
        except BaseException as error:
            self.raised = error
            goes_on = False
        result = space._result
        space._result = None
        if goes_on:
            return result
        if result != GO_ON:
            space.set_result(result)
        return LEAVE

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

    def close(self) -> None:
        super().close()
        for hook in self.hooks:
            hook.destroy()
        self.hooks.clear()


class BrowserSpace(space.Space):
    """An address space in a WebAssembly.Memory with an instance of its own."""

    def __init__(self, engine: BrowserEngine):
        super().__init__(engine)
        self._result = None                # in a system call's hook, for which the registers were staged: what it is to tell
        try:
            self._js = js = engine.js.create(
                engine.module, self._bias // WASM_PAGE + 16, WASM_LIMIT // WASM_PAGE, self._layout.GPR, *engine.hooks)
        except JsException as error:
            if error.name != "RangeError":
                raise
            raise OutOfSpaces(str(error)) from error
        self._exports, self._called = js.exports, {}           # those that were called: to ask for one costs more than to call it
        self._js_run = js.exports.run
        self._js_peek, self._js_poke, self._js_view = js.peek, js.poke, js.view
        self._js_blank = js.blank
        self._u32 = js.words()

    def syscall_args(self) -> tuple[int, int, int, int, int, int, int]:
        return super().syscall_args() if self._result is None else _arguments(_stage, CALL)

    def set_result(self, value: int) -> None:
        if self._result is not None and -SMALL <= value < SMALL:
            self._result = value           # crosses with what the hook returns
        else:
            super().set_result(value)

    def _resize(self, wasm_pages: int) -> None:
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
        data = array("I", slots).tobytes()
        _window[:len(data)] = data

    def _destroy(self) -> None:
        del self._js, self._exports, self._called, self._js_run, self._u32
        del self._js_peek, self._js_poke, self._js_view, self._js_blank

    def _enter(self, fuel: int) -> int:
        try:
            return self._js_run(fuel)
        except JsException as error:        # WebAssembly.RuntimeError, or RangeError when the stack is exhausted
            raise EngineTrap(str(error)) from error

    def _call(self, export: str, *args: int) -> int:
        function = self._called.get(export)
        if function is None:
            function = self._called[export] = getattr(self._exports, export)
        try:
            return function(*args)
        except JsException as error:
            raise EngineTrap(str(error)) from error

    def peek(self, address: int, n: int) -> bytes:
        if n > STAGE:
            return self._js_view(address, n).to_bytes()
        _head[0] = address
        _head[1] = n
        self._js_peek()
        return _window[:n].tobytes()

    def poke(self, address: int, data) -> None:
        n = len(data)
        if n > STAGE:
            self._js_view(address, n).assign(data)
        else:
            _window[:n] = data
            _head[0] = address
            _head[1] = n
            self._js_poke()

    def blank(self, address: int, n: int, byte: int) -> None:
        self._js_blank(address, n, byte)

    def _copy(self, other: "BrowserSpace", address: int, n: int) -> None:
        self._js.copy(other._js, address, n)
