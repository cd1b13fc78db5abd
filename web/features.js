// What the page needs of a browser, each with a probe, and the sentence for a browser that lacks something.

const HEADER = [0, 97, 115, 109, 1, 0, 0, 0];

// The smallest module that uses each feature. Types, functions, memory, code: one section after the other.
const WASM = {
    "sign extension": // i32.const 0; i32.extend8_s
        [1, 5, 1, 96, 0, 1, 127, 3, 2, 1, 0, 10, 7, 1, 5, 0, 65, 0, 192, 11],
    "saturating float conversion": // f32.const 0; i32.trunc_sat_f32_s
        [1, 5, 1, 96, 0, 1, 127, 3, 2, 1, 0, 10, 11, 1, 9, 0, 67, 0, 0, 0, 0, 252, 0, 11],
    "bulk memory": // memory.fill
        [1, 4, 1, 96, 0, 0, 3, 2, 1, 0, 5, 3, 1, 0, 1, 10, 13, 1, 11, 0, 65, 0, 65, 0, 65, 0, 252, 11, 0, 11],
    "SIMD": // i32.const 0; i8x16.splat; i8x16.popcnt
        [1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0, 10, 10, 1, 8, 0, 65, 0, 253, 15, 253, 98, 11],
    "tail calls": // return_call 0
        [1, 4, 1, 96, 0, 0, 3, 2, 1, 0, 10, 6, 1, 4, 0, 18, 0, 11],
};

/** The names of the features that this browser lacks. */
export function missingFeatures() {
    if (typeof WebAssembly !== "object") return ["WebAssembly"];
    const missing = Object.keys(WASM)
        .filter((name) => !WebAssembly.validate(new Uint8Array([...HEADER, ...WASM[name]])))
        .map((name) => `WebAssembly ${name}`);
    if (typeof Worker !== "function") missing.push("workers");
    if (typeof DecompressionStream !== "function") missing.push("DecompressionStream");
    return missing;
}

/** One sentence, or "" when nothing is missing. */
export function missingSentence() {
    const missing = missingFeatures();
    if (!missing.length) return "";
    return `This browser cannot run the machine: it lacks ${missing.join(", ")}. ` +
        "Chrome or Edge 112, Firefox 121, Safari 18.2 and anything newer will do.";
}
