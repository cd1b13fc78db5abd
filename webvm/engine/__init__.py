"""Who executes WebAssembly and owns guest memory: wasmtime (`native`) or the browser (`browser`).

Only `space` holds behaviour that both share; each engine adds how memory is reached and how Wasm is entered.
"""

from .protocol import EngineError, EngineTrap, OutOfMemory, OutOfSpaces

__all__ = ["EngineError", "EngineTrap", "OutOfMemory", "OutOfSpaces"]
