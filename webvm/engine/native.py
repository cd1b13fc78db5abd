"""The engine under wasmtime.

Knows wasmtime's C API. Must not know x86, Linux or the kernel.

wasmtime's public Python API costs 31-36 us a call and 11-15 us a call back. So the hot paths (run, the hooks, the other
exports) go to the C API's unchecked entry points directly: 1 us and 0.4 us. They take and give values in 16-byte slots and
check no types, so the types of imports and exports are checked once, when the engine is made.
"""

import atexit
import ctypes
import hashlib
import os
import tempfile
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from ctypes import POINTER, addressof, byref, c_bool, c_char_p, c_double, c_int32, c_size_t, c_uint32, c_uint64, c_void_p
from functools import cache
from importlib.metadata import version
from itertools import repeat
from pathlib import Path
from time import perf_counter_ns

import wasmtime
from wasmtime import _ffi as ffi

from . import space
from .protocol import EngineError, EngineTrap, Image, OutOfMemory, OutOfSpaces
from .space import WASM_LIMIT

SLOT = ctypes.sizeof(ffi.wasmtime_val_raw_t)
VALUE = ctypes.sizeof(ffi.wasmtime_val_t)
WASM_STACK = 4 << 20           # for regions that call each other; less where the thread has less than twice as much
MIN_STACK = 1 << 20
INSTANCES = 1 << 20            # of region modules, ever linked to a space; wasmtime's default is 10,000
WORN = 512                     # region modules linked to a space, after which it is not used again
MEMORY_GUARD = 160 << 20       # covers the offset immediates of loads and stores (BIAS), so that no bounds are checked

I32, F64 = "i32", "f64"
IMPORTS = {                    # parameters, results
    "syscall":    ((), (I32,)),
    "fault":      ((I32, I32, I32), (I32,)),
    "escape":     ((), (I32,)),
    "clock":      ((), (F64,)),
}
EXPORTS = {
    "run":        ((I32,), (I32,)),
    "protect":    ((I32, I32, I32), ()),
    "forget":     ((I32, I32), ()),
    "eflags":     ((), (I32,)),
    "set_eflags": ((I32,), ()),
    "find":       ((I32,), (I32,)),
    "install":    ((I32, I32, I32, I32), (I32,)),
    "install_ranges": ((I32, I32, I32), (I32,)),
    "exchanges":  ((I32,), (I32,)),
}

# The C functions once more, with plain addresses as arguments, which ctypes converts fastest, and without letting the GIL
# go: run() is short (fuel bounds it), and taking the GIL again in every hook would cost more than the hook.
_dll = ctypes.PyDLL(None, handle=ffi.dll._handle)
_call = _dll.wasmtime_func_call_unchecked
_call.argtypes = [c_void_p, c_void_p, c_void_p, c_size_t, c_void_p]   # context, func, slots, their number, trap
_call.restype = c_void_p                                              # error
_CALLBACK = ctypes.CFUNCTYPE(c_size_t, c_void_p, c_void_p, c_void_p, c_size_t)   # env, caller, slots, number -> trap
_func_new = _dll.wasmtime_func_new_unchecked
_func_new.argtypes = [c_void_p, c_void_p, _CALLBACK, c_void_p, c_void_p, c_void_p]   # context, type, env, finalizer, func
_func_new.restype = None
_export_get = _dll.wasmtime_instance_export_get
_export_get.argtypes = [c_void_p, c_void_p, c_char_p, c_size_t, c_void_p]     # context, instance, name, its length, extern
_export_get.restype = c_bool
_table_set = _dll.wasmtime_table_set
_table_set.argtypes = [c_void_p, c_void_p, c_uint64, c_void_p]                # context, table, slot, value
_table_set.restype = c_void_p                                                 # error


_thread = threading.local()


def cache_directory() -> Path:
    """Where compiled modules are kept between runs."""
    return Path(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")) / "webvm"


def stack_bytes() -> int:
    """How large the stack of the calling thread is; where the C library does not say, what threads have at least."""
    if (known := getattr(_thread, "stack_bytes", 0)):
        return known
    _thread.stack_bytes = n = _ask_stack_bytes()
    return n


def _ask_stack_bytes() -> int:
    try:
        c = ctypes.CDLL(None)
        c.pthread_self.restype = c_void_p
        attributes, low, n = (ctypes.c_char * 256)(), c_void_p(), c_size_t()
        if c.pthread_getattr_np(c_void_p(c.pthread_self()), attributes):
            return MIN_STACK
        c.pthread_attr_getstack(attributes, byref(low), byref(n))
        c.pthread_attr_destroy(attributes)
        return n.value
    except (AttributeError, OSError, TypeError):        # not glibc or musl
        return MIN_STACK


def compile_module(engine: wasmtime.Engine, wasm: bytes, cache: Path | None) -> wasmtime.Module:
    """Compile, or take the compiled module from the cache (None: no cache), which then has it. A cache that cannot be
    written is gone without."""
    if cache is None:
        return wasmtime.Module(engine, wasm)
    module = cached_module(engine, wasm, cache)
    if module is not None:
        return module
    module = wasmtime.Module(engine, wasm)
    compiled = bytes(module.serialize())
    try:
        cache.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=cache, prefix="tmp", delete=False) as file:
            try:
                file.write(hashlib.sha256(compiled).digest() + compiled)
                file.flush()
                os.replace(file.name, _cached(wasm, cache))
            except OSError:
                os.unlink(file.name)
    except OSError:
        pass
    return module


def cached_module(engine: wasmtime.Engine, wasm: bytes, cache: Path) -> wasmtime.Module | None:
    """The compiled module if the cache has it; then its file counts as used now.

    Loading a compiled module executes what is in the file, so the file's digest is verified, and one that is damaged, or
    from another wasmtime or processor, is as good as none.
    """
    path = _cached(wasm, cache)
    try:
        stored = path.read_bytes()
        if hashlib.sha256(stored[32:]).digest() == stored[:32]:
            module = wasmtime.Module.deserialize(engine, stored[32:])
            with suppress(OSError):
                os.utime(path)
            return module
    except (OSError, wasmtime.WasmtimeError):
        pass
    return None


@cache
def _compiler() -> bytes:
    """Of what a compiled module depends on besides its Wasm and the processor."""
    return f"wasmtime {version('wasmtime')} guard {MEMORY_GUARD}\n".encode()


def _cached(wasm: bytes, cache: Path) -> Path:
    key = hashlib.sha256(_compiler() + wasm).hexdigest()
    return cache / f"{key}.cwasm"


def _signature(ty: wasmtime.FuncType) -> tuple[tuple[str, ...], tuple[str, ...]]:
    return tuple(map(str, ty.params)), tuple(map(str, ty.results))


class NativeEngine(space.Engine):
    """Executes an image under wasmtime."""

    def __init__(self, image: Image, max_spaces: int = 1000, cache: Path | bool = True, region_cache: Path | None = None,
                 **kept: int):
        """`cache`: the directory of compiled interpreters; True: cache_directory(); False: none. `region_cache`: that of
        compiled region modules, which somebody else must keep from growing for ever."""
        super().__init__(image, max_spaces, **kept)
        config = wasmtime.Config()
        config.cranelift_opt_level = "speed"
        config.parallel_compilation = True
        config.wasm_tail_call = True
        config.memory_reservation = WASM_LIMIT      # a Memory never moves
        config.memory_may_move = False
        config.memory_guard_size = MEMORY_GUARD
        self.wasm_stack = min(WASM_STACK, stack_bytes() // 2)
        config.max_wasm_stack = self.wasm_stack
        _dll.wasmtime_config_async_stack_size_set(config.ptr(), c_size_t(self.wasm_stack))    # unused, but may not be less
        self.wasmtime = wasmtime.Engine(config)
        self.module = compile_module(self.wasmtime, image.wasm, cache_directory() if cache is True else cache or None)
        self.imports = [i.name for i in self.module.imports]
        self._check_types()
        self.region_cache = region_cache
        self.compiler: Compiler | None = None
        self.hooks = {                              # wasmtime holds their addresses: they live as long as the engine
            "syscall": _CALLBACK(self._syscall),
            "fault": _CALLBACK(self._fault),
            "escape": _CALLBACK(self._escape),
            "clock": _CALLBACK(self._clock),
        }

    def _check_types(self) -> None:
        imports = {i.name: i.type for i in self.module.imports}
        exports = {e.name: e.type for e in self.module.exports}
        memory = imports.pop("memory", None)
        if not isinstance(memory, wasmtime.MemoryType):
            raise EngineError("the interpreter imports no memory")
        for wanted, given in ((IMPORTS, imports), (EXPORTS, exports)):
            for name, signature in wanted.items():
                ty = given.get(name)
                if not isinstance(ty, wasmtime.FuncType) or _signature(ty) != signature:
                    raise EngineError(f"{name} of the interpreter is {ty and _signature(ty)}, not {signature}")
        if not isinstance(exports.get("table"), wasmtime.TableType):
            raise EngineError("the interpreter exports no table")
        if unknown := imports.keys() - IMPORTS.keys():
            raise EngineError(f"the interpreter imports {', '.join(sorted(unknown))}")
        self.memory_type = memory
        self.hook_types = imports

    def _compile(self, wasm: bytes) -> "RegionModule":
        try:
            return RegionModule(compile_module(self.wasmtime, wasm, self.region_cache))
        except wasmtime.WasmtimeError as error:
            raise EngineError(str(error)) from error

    def _compile_beside(self, regions, wasm) -> bool:
        if self.region_cache is not None and (module := cached_module(self.wasmtime, wasm, self.region_cache)) is not None:
            regions.module = RegionModule(module)
            return True
        if self.compiler is None:
            self.compiler = Compiler()
        self.compiler.put(lambda: self._compile_into(regions, wasm))
        return True

    def _finish(self, regions) -> None:
        self.compiler.wait_until(lambda: regions.ready)
        if not regions.ready:
            raise EngineError("the engine was closed before the region module was compiled")

    def close(self) -> None:
        super().close()
        if self.compiler is not None:
            self.compiler.stop()

    def _create(self) -> "NativeSpace":
        return NativeSpace(self)

    def _syscall(self, env, caller, slots, n) -> int:
        c_int32.from_address(slots).value = self.syscall()
        return 0                                    # no trap

    def _fault(self, env, caller, slots, n) -> int:
        c_int32.from_address(slots).value = self.fault(
            c_uint32.from_address(slots).value,
            c_uint32.from_address(slots + SLOT).value,
            c_int32.from_address(slots + 2 * SLOT).value)
        return 0

    def _escape(self, env, caller, slots, n) -> int:
        c_int32.from_address(slots).value = self.escape()
        return 0

    def _clock(self, env, caller, slots, n) -> int:
        c_double.from_address(slots).value = perf_counter_ns()
        return 0


class Compiler:
    """A thread that does one task after the other: Cranelift lets the GIL go."""

    def __init__(self):
        self._tasks: deque[Callable[[], None]] = deque()
        self._changed = threading.Condition()
        self._stopped = False
        self._thread = threading.Thread(target=self._work, name="webvm-compiler", daemon=True)
        self._thread.start()
        atexit.register(self.stop)          # a thread inside wasmtime must not outlive Python

    def put(self, task: Callable[[], None]) -> None:
        with self._changed:
            self._tasks.append(task)
            self._changed.notify_all()

    def wait_until(self, done: Callable[[], bool]) -> None:
        with self._changed:
            self._changed.wait_for(lambda: done() or self._stopped)

    def stop(self) -> None:
        """Wait for the task in progress only."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()
        self._thread.join()
        atexit.unregister(self.stop)

    def _work(self) -> None:
        try:
            while True:
                with self._changed:
                    self._changed.wait_for(lambda: self._tasks or self._stopped)
                    if self._stopped:
                        return
                    task = self._tasks.popleft()
                task()
                with self._changed:
                    self._changed.notify_all()
        finally:                            # whatever happened: nobody may wait for ever
            with self._changed:
                self._stopped = True
                self._changed.notify_all()


class RegionModule:
    """A compiled region module, and what it imports."""

    def __init__(self, module: wasmtime.Module):
        self.module = module
        self.imports = [i.name for i in module.imports]


class NativeSpace(space.Space):
    """An address space in a wasmtime store of its own, since only a whole store can be freed."""

    def __init__(self, engine: NativeEngine):
        super().__init__(engine)
        if stack_bytes() < engine.wasm_stack * 3 // 2:
            raise EngineError(f"the engine was made in a thread with more stack than this one's {stack_bytes()} bytes")
        try:
            self._store = store = wasmtime.Store(engine.wasmtime)
            store.set_limits(instances=INSTANCES)
            self._memory = wasmtime.Memory(store, engine.memory_type)
            offered = {"memory": self._memory}
            offered |= {name: self._hook(engine.hook_types[name], engine.hooks[name]) for name in engine.hook_types}
            instance = wasmtime.Instance(store, engine.module, [offered[name] for name in engine.imports])
        except wasmtime.WasmtimeError as error:
            raise OutOfSpaces(str(error)) from error
        exports = instance.exports(store)
        self._offered = offered | dict(exports)             # to region modules
        self._table = exports["table"]
        self._instances = 0
        self._functions = {name: exports[name]._func for name in EXPORTS}
        self._context_address = ctypes.cast(store._context(), c_void_p).value
        self._addresses = {name: addressof(function) for name, function in self._functions.items()}
        self._run = self._addresses["run"]
        self._slots = (ffi.wasmtime_val_raw_t * 4)()        # of the exports that may be called while run is on the stack
        self._slots_address = addressof(self._slots)
        self._run_slots = (ffi.wasmtime_val_raw_t * 1)()
        self._run_slots_address = addressof(self._run_slots)
        self._fuel = c_int32.from_buffer(self._run_slots)   # both its argument and its result
        self._trap = POINTER(ffi.wasm_trap_t)()
        self._trap_address = addressof(self._trap)
        self._base = ctypes.cast(self._memory.data_ptr(store), c_void_p).value
        self._u32 = memoryview((c_uint32 * (self._bias // 4)).from_address(self._base)).cast("B").cast("I")
        self._renew()

    def _hook(self, ty: wasmtime.FuncType, callback) -> wasmtime.Func:
        func = ffi.wasmtime_func_t()
        _func_new(self._store._context(), ty.ptr(), callback, None, None, byref(func))
        return wasmtime.Func._from_raw(func)

    def _renew(self) -> None:
        size = self._memory.data_len(self._store)
        self._u8 = memoryview((ctypes.c_ubyte * size).from_address(self._base)).cast("B")

    def _resize(self, wasm_pages: int) -> None:
        try:
            self._memory.grow(self._store, max(wasm_pages - self._memory.size(self._store), 0))
        except wasmtime.WasmtimeError as error:
            raise OutOfMemory(str(error)) from error
        self._renew()

    def _destroy(self) -> None:
        self._u8 = self._u32 = memoryview(bytearray())   # nothing may reach the memory once it is gone: not even a bug
        self._addresses.clear()
        del self._run, self._offered, self._table
        self._store.close()

    def _extend(self, n: int) -> int:
        try:
            return self._table.grow(self._store, n, None)
        except wasmtime.WasmtimeError as error:
            raise OutOfMemory(str(error)) from error

    def _link(self, module: RegionModule, slots) -> None:
        store = self._store
        try:
            instance = wasmtime.Instance(store, module.module, [self._offered[name] for name in module.imports])
        except KeyError as error:
            raise EngineError(f"the region module imports {error}") from error
        except wasmtime.WasmtimeError as error:
            raise EngineError(str(error)) from error
        self._instances += 1
        extern = ffi.wasmtime_extern_t()
        values = (ffi.wasmtime_val_t * len(slots))()
        for i, value in enumerate(values):
            name = b"%d" % i
            found = _export_get(self._context_address, addressof(instance._instance), name, len(name), addressof(extern))
            if not found or extern.kind != ffi.WASMTIME_EXTERN_FUNC.value:
                raise EngineError(f"the region module has no function {i}")
            value.kind = ffi.WASMTIME_FUNCREF.value
            value.of.funcref = extern.of.func
        self._fill(slots, range(addressof(values), addressof(values) + len(slots) * VALUE, VALUE))

    def _clear(self, slots) -> None:
        null = ffi.wasmtime_val_t(ffi.WASMTIME_FUNCREF)
        self._fill(slots, repeat(addressof(null)))

    def _fill(self, slots, values) -> None:
        context, table = self._context_address, addressof(self._table._table)
        for slot, value in zip(slots, values):
            if error := _table_set(context, table, slot, value):
                self._fail(error)

    def _worn(self) -> bool:
        return self._instances > WORN                       # an instance lives as long as its store

    def _enter(self, fuel: int) -> int:
        self._fuel.value = fuel
        error = _call(self._context_address, self._run, self._run_slots_address, 1, self._trap_address)
        if error or self._trap:
            self._fail(error)
        return self._fuel.value

    def _call(self, export: str, *args: int) -> int:
        slots = self._slots
        for i, value in enumerate(args):
            slots[i].i32 = value
        error = _call(self._context_address, self._addresses[export], self._slots_address, len(slots), self._trap_address)
        if error or self._trap:
            self._fail(error)
        return slots[0].i32

    def _fail(self, error: int | None) -> None:
        if error:
            raise EngineError(str(wasmtime.WasmtimeError._from_ptr(ctypes.cast(error, POINTER(ffi.wasmtime_error_t)))))
        trap = wasmtime.Trap._from_ptr(self._trap)
        self._trap = POINTER(ffi.wasm_trap_t)()
        self._trap_address = addressof(self._trap)
        raise EngineTrap(str(trap))

    def peek(self, address: int, n: int) -> bytes:
        return self._u8[address:address + n].tobytes()

    def poke(self, address: int, data) -> None:
        self._u8[address:address + len(data)] = data

    def blank(self, address: int, n: int, byte: int) -> None:
        assert address + n <= len(self._u8)
        ctypes.memset(self._base + address, byte, n)

    def _copy(self, other: "NativeSpace", address: int, n: int) -> None:
        assert address + n <= len(self._u8) and address + n <= len(other._u8)
        ctypes.memmove(self._base + address, other._base + address, n)
