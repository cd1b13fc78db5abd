// The JavaScript half of webvm/engine/browser.py: memories and instances, reached from Python in one call each.
//
// The worker registers it before the engine is made:
//     import * as engine from "./engine.js";  pyodide.registerJsModule("webvm_engine", engine);
//
// Bytes cross in a staging bytearray of Python's: a copy within JavaScript and one within Python cost 1 us, a conversion of
// a typed array 3 us, getBuffer 13 us. So do their address and number, since each argument of a call costs 0.2 us.

const STAGE = 65536, MOST_SENT = 4096, ARGUMENTS = [0, 7, 6, 2, 10, 8, 9]; // registers of a system call: rax, rdi rsi rdx r10 r8 r9
let stage, stageBuffer, staged; // the bytearray, Pyodide's view of it, all its bytes
let head; // the words behind the first STAGE bytes, see HEAD in browser.py; FETCHED and CALL are places in it
const FETCHED = 2, CALL = 4;
let sentFrom = [], sentBytes = []; // by number of a system call that reads memory: where in head its address is, and how much

// The Python bytearray through which peek and poke go.
export function setStage(bytearray) {
    stageBuffer?.release();
    stage?.destroy();
    stage = bytearray.copy();
    view();
}

function view() {
    stageBuffer = stage.getBuffer("u8");
    staged = stageBuffer.data;
    head = new Uint32Array(staged.buffer, staged.byteOffset + STAGE, CALL + 2 * ARGUMENTS.length);
}

function stageBytes() {
    if (staged.length === 0) {        // Pyodide's own memory grew, which detached the view
        stageBuffer.release();
        view();
    }
    return staged;
}

// System calls that read memory, and which of their arguments say where and how much.
export function setSent(numbers, addresses, lengths) {
    sentFrom = new Uint8Array(Math.max(0, ...numbers) + 1);
    sentBytes = new Uint8Array(sentFrom.length);
    numbers.forEach((number, i) => {
        sentFrom[number] = CALL + 2 * addresses[i];
        sentBytes[number] = CALL + 2 * lengths[i];
    });
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

// Have memories freed that nobody refers to any more. The browser looks for those when much has been allocated since it last did,
// written to or not; else memories of programs that have ended stay for long, 100 MB each.
const MUCH = 2 ** 30, TIMES = 3;
export function collect() {
    if (!ArrayBuffer.prototype.transfer) return; // which frees at once what is allocated here
    const held = [];
    try {
        while (held.length < TIMES) held.push(new ArrayBuffer(MUCH));
    } catch {
        // so much cannot be had, for which the browser has looked too
    }
    for (const buffer of held) buffer.transfer(0);
}

// An address space, its general registers at a wasm address, the guest's memory from `bias` on. Throws RangeError when there can be no more memories.
export function create(module, wasmPages, maximum, registers, bias, syscall, fault, escape) {
    const memory = new WebAssembly.Memory({ initial: wasmPages, maximum });
    const hooks = {
        memory,
        syscall() {
            stageBytes();
            head[1] = head[FETCHED] = 0;
            for (let i = 0; i < ARGUMENTS.length; i++) {
                const at = (registers >> 2) + 2 * ARGUMENTS[i];
                head[CALL + 2 * i] = words[at];
                head[CALL + 2 * i + 1] = words[at + 1];
            }
            const from = sentFrom[head[CALL]];
            if (from) fetchSent(from, sentBytes[head[CALL]]);
            const answer = syscall(); // see browser.py
            stageBytes();
            if (head[1]) poke();
            if (answer === undefined) {
                words[registers >> 2] = head[CALL];
                words[(registers >> 2) + 1] = head[CALL + 1];
                return 1;
            }
            return answer ? 1 : 0;
        },
        fault: (low, high, access) => fault(low >>> 0, high >>> 0, access),
        escape: () => escape(),
        clock: () => performance.now() * 1e6,
    };
    const { exports } = new WebAssembly.Instance(module, { env: hooks });
    const { table } = exports;
    const forRegions = { env: { ...hooks, ...exports } };
    let u8 = new Uint8Array(memory.buffer);
    let words = new Uint32Array(memory.buffer);

    function poke() {
        const from = stageBytes();
        u8.set(from.subarray(0, head[1]), head[0]);
        head[1] = head[FETCHED] = 0;
    }

    // Bytes that Python will want, should it find that the guest may read them.
    function fetchSent(from, bytes) {
        const n = head[bytes], address = head[from] + bias;
        if (n === 0 || n > MOST_SENT || head[bytes + 1] || head[from + 1] || address + n > u8.length) return;
        staged.set(u8.subarray(address, address + n));
        head[0] = address;
        head[FETCHED] = n;
    }

    return {
        exports,
        bytes: () => u8,                        // for copies between spaces; do not keep, it is detached by resize
        words: () => words,
        resize(pages) {
            memory.grow(Math.max(pages - memory.buffer.byteLength / 65536, 0));
            u8 = new Uint8Array(memory.buffer);
            words = new Uint32Array(memory.buffer);
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
        peek() {
            const to = stageBytes(), address = head[0];
            to.set(u8.subarray(address, address + head[1]));
            head[1] = head[FETCHED] = 0;
        },
        poke,
        // Several pieces: the stage begins with the wasm address and the length of each, their bytes follow.
        pokes(n) {
            const from = stageBytes(), places = new Uint32Array(from.buffer, from.byteOffset, 2 * n);
            let at = 8 * n;
            for (let i = 0; i < 2 * n; i += 2) {
                u8.set(from.subarray(at, at += places[i + 1]), places[i]);
            }
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
