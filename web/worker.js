// The machine's worker: loads Python, then passes messages between the page (webvm.js) and webvm.browser.boot.
//
// from the page: boot, input, resize, drawn, call    to the page: progress, phase, ready, output, stats, notice, failed, answer

import * as ahead from "./ahead.js";
import * as engine from "./engine.js";

const STALL = 30_000; // milliseconds without a byte until a download counts as failed
const STATS = 500; // milliseconds between two reports

let session; // the Python half, once it is there
let ready = false; // the machine is up
const loaded = {}; // bytes so far, by file of the site
const marks = {}; // when each phase of the start was over, in milliseconds of Date.now

const post = (type, fields, transfer) => self.postMessage({ type, ...fields }, transfer ?? []);
const sentence = (message) => Object.assign(new Error(message), { isSentence: true });

// ---- downloads

const nativeFetch = self.fetch.bind(self);

/**
 * Fetch a file of the site and tell the page how far it is. The type is set right, whatever the host makes of it.
 * Whatever fails, also in the middle of the body, is told `fail` as a sentence: whoever reads the body may lose it.
 */
async function fetchFile(url, name, fail, options) {
    const stop = new AbortController();
    const trouble = (message) => {
        const error = sentence(`${name} could not be fetched: ${message}.`);
        fail(error);
        return error;
    };
    const silence = () => { throw trouble("the server does not answer"); };
    let timer;
    const alive = () => {
        clearTimeout(timer);
        timer = setTimeout(() => stop.abort(), STALL);
    };
    alive();
    const response = await nativeFetch(url, { ...options, signal: stop.signal }).catch(silence);
    if (!response.ok) {
        clearTimeout(timer);
        throw trouble(`the server answers ${response.status}`);
    }
    loaded[name] = 0;
    const reader = response.body.getReader();
    const body = new ReadableStream({
        async pull(controller) {
            alive();
            const { done, value } = await reader.read().catch(silence);
            clearTimeout(timer);
            if (done) return controller.close();
            loaded[name] += value.byteLength;
            report();
            controller.enqueue(value);
        },
    });
    const type = name.endsWith(".wasm") ? "application/wasm" : response.headers.get("content-type") ?? "";
    return new Response(body, { headers: { "content-type": type } });
}

let reported = 0;
function report() {
    const now = performance.now();
    if (now - reported < 50) return;
    reported = now;
    post("progress", { loaded });
}

// ---- start

async function boot({ site, disk, columns, rows, options }) {
    const base = new URL(".", site);
    const here = (name) => new URL(name, base).href;
    let fail; // Pyodide logs a failed download and then waits for ever: so this ends the wait
    const failed = new Promise((_, reject) => (fail = reject));
    failed.catch(() => {});
    const get = (name, options) => fetchFile(here(name), name, fail, options);

    const description = await (await get("site.json", { cache: "no-cache" })).json();
    const interpreters = description.interpreters;
    const chosen = interpreters[options.cpu ?? description.cpu];
    for (const name of Object.values(interpreters)) if (name !== chosen) delete description.sizes[name];
    post("progress", { loaded, sizes: description.sizes });
    const address = disk ?? (description.disk && here(description.disk));
    if (address) beginDisk(address, disk ? null : description.boot, here);
    const usual = !options.cpu || options.cpu === description.cpu;
    const code = usual && !disk && options.code_cache && options.tier === "jit" && description.code && here(description.code);
    if (code) ahead.begin(`${code}index`, {});
    self.fetch = (input, options) => {
        const url = here(input.url ?? input);
        return url.startsWith(base.href) ? get(url.slice(base.href.length)) : nativeFetch(input, options);
    };
    const interpreter = chosen && WebAssembly.compileStreaming(get(chosen));
    interpreter?.catch(fail);
    const python = await Promise.race([failed, loadPython(description, here, get, fail)]);
    const module = await Promise.race([failed, interpreter]);
    self.fetch = ahead.fetch;
    marks.python = Date.now();
    post("progress", { loaded });
    post("phase", { name: "machine" });

    python.registerJsModule("webvm_engine", engine);
    session = python.pyimport("webvm.browser.boot").Session({ output, prompt, notice, failed: fatal });
    setInterval(() => post("stats", { stats: counters() }), STATS);
    if (!(await session.boot(address ?? undefined, module ?? undefined, columns, rows, { ...options, shipped_code: code || "" }))) return;
    marks.machine = Date.now();
    ready = true;
    for (const message of waiting.splice(0)) receive[message.type](message);
    post("ready");
}

/** Have what a start reads of the disk under way: its manifest, and the packs (path in the site: last block) not kept here. */
function beginDisk(address, boot, here) {
    if (!address.endsWith("/")) return;
    const manifest = `${address}manifest.json`;
    ahead.begin(manifest, { cache: "no-cache" });
    for (const [path, block] of Object.entries(boot?.packs ?? {})) {
        const tell = (bytes) => {
            loaded[path] = (loaded[path] ?? 0) + bytes;
            report();
        };
        ahead.isKept(manifest, boot.identity, block).then((kept) => kept || ahead.begin(here(path), {}, tell));
    }
}

async function loadPython({ pyodide, lock, snapshot }, here, get, fail) {
    const { loadPyodide } = await import(here(`${pyodide}pyodide.mjs`));
    const options = { lockFileURL: here(lock), stdout: (line) => console.log(line), stderr: (line) => console.warn(line) };
    if (snapshot) {
        const memory = unzip(snapshot, get);
        memory.catch(fail);
        const python = await withMemory(memory, () => loadPyodide({ ...options, _loadSnapshot: memory }));
        delete python._api.config._loadSnapshot; // where it stays otherwise, as big as it is
        (await memory).transfer?.(0);
        return python;
    }
    const python = await loadPyodide({ ...options, packages: ["micropip"] });
    marks.pyodide = Date.now();
    post("phase", { name: "install" });
    await python.pyimport("micropip").install("webvm");
    return python;
}

async function unzip(name, get) {
    const { body } = await get(name);
    try {
        return await new Response(body.pipeThrough(new DecompressionStream("gzip"))).arrayBuffer();
    } catch {
        throw sentence(`${name} is damaged on the server.`);
    }
}

/**
 * Give the module that `load` instantiates as much memory as the snapshot has: Pyodide means to (INITIAL_MEMORY), but that
 * has no effect in this version.
 */
async function withMemory(snapshot, load) {
    const { instantiateStreaming } = WebAssembly;
    WebAssembly.instantiateStreaming = async (response, imports) => {
        const result = await instantiateStreaming.call(WebAssembly, response, imports);
        const { memory } = result.instance.exports;
        const missing = (await snapshot).byteLength - memory.buffer.byteLength;
        if (missing > 0) memory.grow(Math.ceil(missing / 65536));
        return result;
    };
    try {
        return await load();
    } finally {
        WebAssembly.instantiateStreaming = instantiateStreaming;
    }
}

// ---- from Python

const output = (data) => post("output", { data }, [data.buffer]);
const prompt = () => (marks.prompt = Date.now());

const notice = (message) => post("notice", { message });
const fatal = (message) => post("failed", { message });
const counters = () => ({ ...session?.stats(), marks });

// ---- from the page

const waiting = []; // messages for a machine that is not up yet
const receive = {
    input: ({ data }) => session.input(data),
    resize: ({ columns, rows }) => session.resize(columns, rows),
    drawn: ({ count }) => session.drawn(count),
    call: async ({ id, name, parameters }) => {
        try {
            if (name === "stats") return post("answer", { id, value: counters() });
            const [value, errno] = await session.call(name, ...parameters);
            post("answer", { id, value, errno });
        } catch (error) {
            console.error(error);
            post("answer", { id, error: lastLine(error) });
        }
    },
};

/** What a Python exception says, without its traceback. */
function lastLine(error) {
    return String(error.message ?? error).trim().split("\n").pop();
}

self.onmessage = async ({ data: message }) => {
    if (message.type !== "boot") {
        if (ready) receive[message.type](message);
        else waiting.push(message);
        return;
    }
    try {
        await boot(message);
    } catch (error) {
        console.error(error);
        fatal(error.isSentence ? error.message : `The machine could not start: ${lastLine(error)}`);
    }
};
