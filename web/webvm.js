// The page's API: a machine in a worker, its terminal in an element.
//
//     import { WebVM } from "./webvm.js";
//     const vm = await WebVM.boot({ disk: "https://example.org/disk/", element: document.querySelector("#terminal") });
//     const { status, stdout } = await vm.run(["uname", "-m"]);
//
// Knows xterm.js and the worker's messages; nothing of the page around the element.

import { ClipboardAddon } from "./vendor/addon-clipboard.mjs";
import { FitAddon } from "./vendor/addon-fit.mjs";
import { Unicode11Addon } from "./vendor/addon-unicode11.mjs";
import { WebLinksAddon } from "./vendor/addon-web-links.mjs";
import { Terminal } from "./vendor/xterm.mjs";
import { missingSentence } from "./features.js";

const SCROLLBACK = 5000;
const INPUT_PART = 1 << 14; // bytes of a paste sent in one message

const THEMES = {
    dark: {
        background: "#14161a", foreground: "#d8dee6", cursor: "#7fd1b9", cursorAccent: "#14161a", selectionBackground: "#3a4a5e",
        black: "#2b303a", red: "#e5707a", green: "#8fc98a", yellow: "#e3c078", blue: "#79aee8", magenta: "#c792e0", cyan: "#6cc7c9", white: "#c8ced8",
        brightBlack: "#6b7484", brightRed: "#f28b93", brightGreen: "#a8dba3", brightYellow: "#f0d394", brightBlue: "#9bc4f2", brightMagenta: "#d9afee", brightCyan: "#8edcdd", brightWhite: "#f2f5f8",
    },
    light: {
        background: "#fbfbf9", foreground: "#23282f", cursor: "#0f766e", cursorAccent: "#fbfbf9", selectionBackground: "#c9dcf3",
        black: "#23282f", red: "#b3261e", green: "#2b7a2f", yellow: "#8a6100", blue: "#1f5fb0", magenta: "#8338a8", cyan: "#0b7378", white: "#dcdfe4",
        brightBlack: "#68707c", brightRed: "#cf3d34", brightGreen: "#3a9140", brightYellow: "#a67600", brightBlue: "#3a7ad0", brightMagenta: "#9c53c0", brightCyan: "#178b90", brightWhite: "#fbfbf9",
    },
};

/** What went wrong, as one sentence in `message`; `code` is the errno's name (ENOENT, ...) when the guest's kernel said no. */
export class WebVMError extends Error {
    constructor(message, code) {
        super(message);
        this.name = "WebVMError";
        this.code = code;
    }
}

/**
 * Events (CustomEvent, `detail`): progress {loaded, sizes} of the files being loaded; phase "python" | "install" | "machine" |
 * "up" | "failed"; stats, the counters, twice a second; notice, a sentence about trouble with the disk or "" when it is over;
 * failed, the sentence that ends it.
 */
export class WebVM extends EventTarget {
    /**
     * Start a machine and wait until its login shell is there.
     *
     * disk     address of an image: a folder of chunk files ("/" at its end), their manifest, or a file served with ranges;
     *          without it the disk published with the page
     * element  where the terminal goes; without it the machine has a terminal that nobody sees
     * cpu      the processor that programs see: "x86-64", "x86-64-v2", "x86-64-v3", "max"; without it the usual one
     * tier     "jit", or "interp" to have no code translated
     * jitOff   optimisations of translated code to go without: "dead-flags", "cover", ... (a name that is none is told, with all)
     * codeCache whether translated code is kept in the browser for the next visit, and used if there is some
     * trace    what to show of each piece of translated code in the console: "asm" the guest's, "wat" what became of it
     * on       listeners for events from the very start: { progress: (detail) => ..., ... }
     */
    static async boot({ disk, element, cpu, tier = "jit", jitOff = [], codeCache = true, trace = [], on = {} } = {}) {
        const vm = new WebVM(disk, element, { cpu, tier, jit_off: jitOff, code_cache: codeCache, traced: trace });
        for (const [type, listener] of Object.entries(on)) vm.addEventListener(type, (event) => listener(event.detail));
        await vm.#start();
        return vm;
    }

    constructor(disk, element, options) {
        super();
        this.#options = options;
        this.#disk = disk && new URL(disk, document.baseURI).href;
        this.#element = element;
        this.#openTerminal();
    }

    /** The xterm.js Terminal. */
    terminal;
    /** "python", "install", "machine", "up" or "failed". */
    phase = "python";
    /** Changes what the person types before it is sent: text in, text out. */
    filter = (text) => text;

    #disk;
    #options; // of Python's Machine.boot
    #element;
    #fit;
    #worker;
    #started;
    #marks = {};
    #calls = new Map();
    #lastCall = 0;
    #boot; // { resolve, reject } of the start under way

    // ---- what a machine can be asked

    /**
     * Run a program beside the terminal, with pipes for its standard streams.
     *
     * argv: its words, the first found by PATH. stdin: a string or bytes. env: variables beside the login shell's. cwd: where.
     * Answers { status, stdout, stderr, stdoutBytes, stderrBytes }: status as a shell gives it (127 not found, 128 + n killed),
     * the streams as text (UTF-8) and as the bytes they were.
     */
    async run(argv, { stdin = "", env, cwd } = {}) {
        const [status, stdoutBytes, stderrBytes] = await this.#call("run", argv, toBytes(stdin), env, cwd);
        const decoder = new TextDecoder();
        return { status, stdout: decoder.decode(stdoutBytes), stderr: decoder.decode(stderrBytes), stdoutBytes, stderrBytes };
    }

    /** Type at the terminal; "\n" is the Enter key. */
    type(text) {
        this.#send(text.replaceAll("\n", "\r"));
    }

    /** The visible text of the terminal, a line for each row, without blanks at the ends of lines and empty rows below the last. */
    screen() {
        const buffer = this.terminal.buffer.active;
        const rows = [];
        for (let row = 0; row < this.terminal.rows; row++) {
            rows.push(buffer.getLine(buffer.viewportY + row)?.translateToString(true) ?? "");
        }
        return rows.map((line) => line.trimEnd()).join("\n").trimEnd();
    }

    /**
     * Counters since boot. Beside those of the machine and of the disk, `boot`: milliseconds from WebVM.boot to the end of each
     * phase: pyodide and python (the same when a snapshot is used), machine, prompt (the first output).
     */
    async stats() {
        return this.#withBoot(await this.#call("stats"));
    }

    /**
     * Where programs have spent their time, as a table of functions. Samples are taken from the first call on; that one answers
     * an empty string.
     */
    async perf() {
        return await this.#call("perf");
    }

    /** Write a file in the guest: `content` is a string or bytes. */
    async writeFile(path, content) {
        await this.#call("writeFile", path, toBytes(content));
    }

    /** The content of a file in the guest, as bytes. */
    async readFile(path) {
        return await this.#call("readFile", path);
    }

    /** Throw the machine away and start a pristine one in the same terminal. */
    async reset() {
        this.#stop("The machine was reset.");
        this.terminal.reset();
        await this.#start();
    }

    /** Forget the disk blocks kept in the browser. The machine goes on. */
    async clearCache() {
        await this.#call("clearCache");
    }

    // ---- the worker

    async #start() {
        this.#started = Date.now();
        this.#marks = {};
        this.#setPhase("python");
        const missing = missingSentence();
        if (missing) {
            this.#fail(missing);
            throw new WebVMError(missing);
        }
        const { promise, resolve, reject } = withResolvers();
        this.#boot = { resolve, reject };
        const worker = new Worker(new URL("./worker.js", import.meta.url), { type: "module" });
        this.#worker = worker;
        worker.onmessage = ({ data }) => this.#receive[data.type](data);
        worker.onerror = (event) => {
            event.preventDefault();
            this.#abort(`The machine's worker could not run: ${event.message || "a file of the page is missing"}.`);
        };
        const { cols: columns, rows } = this.terminal;
        worker.postMessage({ type: "boot", site: new URL("./site.json", import.meta.url).href, disk: this.#disk, columns, rows, options: this.#options });
        await promise;
    }

    #receive = {
        progress: ({ type, ...detail }) => this.#emit("progress", detail),
        phase: ({ name }) => this.#setPhase(name),
        ready: () => {
            this.#setPhase("up");
            this.#boot.resolve();
        },
        output: ({ data }) => {
            const worker = this.#worker;
            this.terminal.write(data, () => worker.postMessage({ type: "drawn", count: data.length }));
        },
        stats: ({ stats }) => this.#emit("stats", this.#withBoot(stats)),
        notice: ({ message }) => this.#emit("notice", message),
        failed: ({ message }) => this.#abort(message),
        answer: ({ id, value, errno, error }) => {
            const { resolve, reject, name } = this.#calls.get(id);
            this.#calls.delete(id);
            if (errno) reject(new WebVMError(`${name}: ${errno}`, errno));
            else if (error) reject(new WebVMError(error));
            else resolve(value);
        },
    };

    #call(name, ...parameters) {
        if (!this.#worker) return Promise.reject(new WebVMError("There is no machine."));
        const id = ++this.#lastCall;
        const { promise, resolve, reject } = withResolvers();
        this.#calls.set(id, { resolve, reject, name: [name, ...parameters.filter((one) => typeof one === "string")].join(" ") });
        this.#worker.postMessage({ type: "call", id, name, parameters });
        return promise;
    }

    #send(text) {
        if (this.phase === "failed") return;
        const data = toBytes(text);
        for (let start = 0; start < data.length; start += INPUT_PART) {
            const part = data.slice(start, start + INPUT_PART);
            this.#worker?.postMessage({ type: "input", data: part }, [part.buffer]);
        }
    }

    /** The machine is lost: everybody who waits for it hears why. */
    #abort(message) {
        this.#stop(message);
        this.#fail(message);
    }

    #fail(message) {
        this.#setPhase("failed");
        this.#emit("failed", message);
    }

    #stop(message) {
        this.#worker?.terminate();
        this.#worker = undefined;
        const error = new WebVMError(message);
        this.#boot?.reject(error);
        for (const { reject } of this.#calls.values()) reject(error);
        this.#calls.clear();
    }

    #withBoot({ marks, ...stats }) {
        const boot = Object.fromEntries(Object.entries(marks).map(([name, time]) => [name, time - this.#started]));
        return { boot, ...stats };
    }

    #setPhase(name) {
        this.phase = name;
        this.#emit("phase", name);
    }

    #emit(type, detail) {
        this.dispatchEvent(new CustomEvent(type, { detail }));
    }

    // ---- the terminal

    #openTerminal() {
        const dark = matchMedia("(prefers-color-scheme: dark)");
        const theme = () => (dark.matches ? THEMES.dark : THEMES.light);
        const terminal = (this.terminal = new Terminal({
            allowProposedApi: true, // the unicode version is one
            cursorBlink: true,
            fontFamily: 'ui-monospace, "Cascadia Mono", "SF Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace',
            fontSize: 14,
            lineHeight: 1.15, // less cuts off the underscores of some fonts
            scrollback: SCROLLBACK,
            theme: theme(),
        }));
        dark.addEventListener("change", () => (terminal.options.theme = theme()));
        terminal.loadAddon(new Unicode11Addon());
        terminal.unicode.activeVersion = "11";
        terminal.loadAddon(new ClipboardAddon());
        terminal.loadAddon(new WebLinksAddon());
        terminal.attachCustomKeyEventHandler((event) => this.#clipboardKey(event));
        terminal.onData((data) => this.#send(this.filter(data)));
        terminal.onBinary((data) => this.#worker?.postMessage({ type: "input", data: Uint8Array.from(data, (c) => c.charCodeAt(0)) }));
        terminal.onResize(({ cols: columns, rows }) => this.#worker?.postMessage({ type: "resize", columns, rows }));
        if (!this.#element) return;
        const fit = new FitAddon();
        terminal.loadAddon(fit);
        terminal.open(this.#element);
        fit.fit();
        new ResizeObserver(() => fit.fit()).observe(this.#element);
        terminal.focus();
    }

    /** Ctrl-Shift-C copies the selection, Ctrl-Shift-V pastes; everything else goes to the guest. */
    #clipboardKey(event) {
        if (!event.ctrlKey || !event.shiftKey || event.altKey || event.metaKey) return true;
        if (event.code === "KeyC") {
            if (event.type === "keydown" && this.terminal.hasSelection()) navigator.clipboard?.writeText(this.terminal.getSelection());
            event.preventDefault();
            return false;
        }
        return event.code !== "KeyV"; // the browser then pastes by itself
    }
}

function toBytes(content) {
    return typeof content === "string" ? new TextEncoder().encode(content) : new Uint8Array(content);
}

function withResolvers() {
    let resolve, reject;
    const promise = new Promise((yes, no) => ([resolve, reject] = [yes, no]));
    return { promise, resolve, reject };
}
