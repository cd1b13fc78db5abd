"""Guest code to WebAssembly: the generated interpreter now, regions later. Knows x86 and wasm; nothing of Linux."""
