// The JavaScript half of webvm/engine/browser.py: memories and instances, reached from Python in one call each.
//
// The worker registers it before the engine is made:
//     import * as engine from "./engine.js";  pyodide.registerJsModule("webvm_engine", engine);
//
// Bytes cross in a staging bytearray of Python's: a copy within JavaScript and one within Python cost 1 us, a conversion of
// a typed array 3 us, getBuffer 13 us.

let stage, stageBuffer;

// The Python bytearray through which peek and poke go.
export function setStage(bytearray) {
    stageBuffer?.release();
    stage?.destroy();
    stage = bytearray.copy();
    stageBuffer = stage.getBuffer("u8");
}

function stageBytes() {
    if (stageBuffer.data.length === 0) {        // Pyodide's own memory grew, which detached the view
        stageBuffer.release();
        stageBuffer = stage.getBuffer("u8");
    }
    return stageBuffer.data;
}

// Numbers of table slots, which Python staged.
function stagedSlots(n) {
    const bytes = stageBytes();
    return new Uint32Array(bytes.buffer, bytes.byteOffset, n);
}

export function compile(wasm) {
    const buffer = wasm.getBuffer("u8");
    try {
        return new WebAssembly.Module(buffer.data);
    } finally {
        buffer.release();
    }
}

// The same beside what goes on; then tells Python the module, or what was wrong.
export function compileBeside(wasm, tell) {
    const buffer = wasm.getBuffer("u8");
    const done = (module, error) => {
        tell(module, error);
        tell.destroy();
    };
    try {
        WebAssembly.compile(buffer.data).then((module) => done(module, ""), (error) => done(undefined, String(error)));
    } finally {
        buffer.release();
    }
}

// An address space. Throws RangeError when there can be no more memories.
export function create(module, wasmPages, maximum, syscall, fault, escape) {
    const memory = new WebAssembly.Memory({ initial: wasmPages, maximum });
    const hooks = {
        memory,
        syscall: () => syscall(),
        fault: (low, high, access) => fault(low >>> 0, high >>> 0, access),
        escape: () => escape(),
        clock: () => performance.now() * 1e6,
    };
    const { exports } = new WebAssembly.Instance(module, { env: hooks });
    const { table } = exports;
    const forRegions = { env: { ...hooks, ...exports } };
    let u8 = new Uint8Array(memory.buffer);

    return {
        exports,
        bytes: () => u8,                        // for copies between spaces; do not keep, it is detached by resize
        words: () => new Uint32Array(memory.buffer),
        resize(pages) {
            memory.grow(Math.max(pages - memory.buffer.byteLength / 65536, 0));
            u8 = new Uint8Array(memory.buffer);
        },
        extend(n) {
            return table.grow(n);
        },
        // Functions "0" .. of a region module, into as many staged slots.
        link(module, n) {
            const { exports } = new WebAssembly.Instance(module, forRegions);
            if (n && !exports[n - 1]) {
                throw new WebAssembly.LinkError(`the region module has no function ${n - 1}`);
            }
            stagedSlots(n).forEach((slot, i) => table.set(slot, exports[i]));
        },
        clear(n) {
            stagedSlots(n).forEach((slot) => table.set(slot, null));
        },
        peek(address, n) {
            stageBytes().set(u8.subarray(address, address + n));
        },
        poke(address, n) {
            u8.set(stageBytes().subarray(0, n), address);
        },
        blank(address, n, byte) {
            u8.fill(byte, address, address + n);
        },
        view(address, n) {
            return u8.subarray(address, address + n);
        },
        copy(from, address, n) {
            u8.set(from.bytes().subarray(address, address + n), address);
        },
    };
}
