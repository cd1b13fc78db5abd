// The page around the terminal: what is loading, how the machine is doing, and the buttons.

import { WebVM } from "./webvm.js";

const NOTICE = 8000; // milliseconds that a notice stays when nothing says that the trouble is over

const PHASES = { python: "loading", install: "loading", machine: "booting", up: "running", failed: "stopped" };
const TITLES = { python: "Starting Python", install: "Installing the machine", machine: "Booting" };

// Which part of what is being loaded a file of the site belongs to; files of no part are too small to show.
const PARTS = [
    ["python", /\.asm\.wasm$|stdlib\.zip$/],
    ["machine", /\.whl$|^snapshot-/],
    ["interpreter", /^interpreter-/],
];

const $ = (selector) => document.querySelector(selector);
const mega = (bytes) => (bytes / 1e6).toFixed(1);

// ---- the panel

let sizes = {};

function showProgress({ loaded, sizes: known }) {
    sizes = known ?? sizes;
    for (const [part, pattern] of PARTS) {
        const files = Object.keys(sizes).filter((name) => pattern.test(name));
        const row = $(`[data-part="${part}"]`);
        row.hidden = !files.length;
        const sum = (amounts) => files.reduce((total, name) => total + (amounts[name] ?? 0), 0);
        const [done, all] = [sum(loaded), sum(sizes)];
        const bar = row.querySelector("progress");
        bar.max = all;
        bar.value = done;
        row.querySelector(".amount").textContent = `${mega(done)} of ${mega(all)} MB`;
    }
    const packs = Object.keys(loaded).filter((name) => name.startsWith("disk/")); // none when this browser keeps them
    if (packs.length) {
        const sum = (amounts) => packs.reduce((total, name) => total + (amounts[name] ?? 0), 0);
        $("#disk-note").textContent = "first blocks";
        $('[data-part="disk"] .amount').textContent = `${mega(sum(loaded))} of ${mega(sum(sizes))} MB`;
    }
}

function showPhase(phase) {
    $("#state").textContent = PHASES[phase];
    $("#state").dataset.phase = phase;
    $("#panel").hidden = phase === "up";
    $("#panel").classList.toggle("failed", phase === "failed");
    $("#panel-title").textContent = TITLES[phase] ?? (window.vm ? "The machine stopped" : "The machine did not start");
    if (phase === "machine") $("#disk-note").textContent = "first blocks";
}

function showFailure(message) {
    showNotice("");
    $("#panel-text").textContent = message;
    $("#panel").setAttribute("role", "alert");
    $("#retry").hidden = false;
}

let noticeTimer;
function showNotice(message) {
    clearTimeout(noticeTimer);
    $("#notice").textContent = message;
    $("#notice").hidden = !message;
    if (message) noticeTimer = setTimeout(() => showNotice(""), NOTICE);
}

// ---- the bar

let last = { time: performance.now(), busy: 0 };

function showStats(stats) {
    const now = { time: performance.now(), busy: stats.busy_ms ?? 0 };
    const share = (now.busy - last.busy) / (now.time - last.time);
    last = now;
    $("#cpu").textContent = `${Math.round(100 * Math.min(Math.max(share, 0), 1))} %`;
    $("#fetched").textContent = stats.blocks_fetched;
    $("#cached").textContent = stats.store_hits;
    $("#bytes").textContent = `${mega(stats.bytes_fetched)} MB`;
    $('[data-part="disk"] .amount').textContent = `${stats.blocks_fetched + stats.store_hits} blocks, ${mega(stats.bytes_fetched)} MB`;
}

$("#reset").onclick = $("#retry").onclick = () => location.reload();
$("#clear").onclick = async () => {
    try {
        await window.vm.clearCache();
        showNotice("The disk blocks kept in this browser are gone; the next visit fetches them again.");
    } catch (error) {
        showNotice(`The cache could not be cleared. ${error.message}`);
    }
    window.vm.terminal.focus();
};

// ---- keys for touch screens

let control = false; // Ctrl was tapped and waits for the key it goes with

function setControl(on) {
    control = on;
    $('[data-key="Control"]').setAttribute("aria-pressed", on);
}

function setUpKeys(vm) {
    const arrows = { ArrowUp: "A", ArrowDown: "B", ArrowRight: "C", ArrowLeft: "D" };
    const text = ({ key, text }) => {
        if (text) return text;
        if (key === "Escape") return "\x1b";
        if (key === "Tab") return "\t";
        return `\x1b${vm.terminal.modes.applicationCursorKeysMode ? "O" : "["}${arrows[key]}`;
    };
    for (const button of document.querySelectorAll("#keys button")) {
        button.onpointerdown = (event) => event.preventDefault(); // the terminal keeps the focus, and the keyboard stays
        button.onclick = () => {
            if (button.dataset.key === "Control") setControl(!control);
            else vm.terminal.input(text(button.dataset));
        };
    }
    vm.filter = (data) => {
        if (!control) return data;
        setControl(false);
        return data.length === 1 ? String.fromCharCode(data.toUpperCase().charCodeAt(0) & 0x1f) : data;
    };
}

// ---- start

try {
    const asked = new URLSearchParams(location.search);
    const names = (parameter) => asked.get(parameter)?.split(",").filter(Boolean);
    const vm = await WebVM.boot({
        disk: asked.get("disk") ?? undefined,
        cpu: asked.get("cpu") ?? undefined,
        tier: asked.get("tier") ?? undefined,
        jitOff: names("jit-off"),
        codeCache: asked.get("code-cache") !== "off",
        trace: names("trace"),
        element: $("#terminal"),
        on: { progress: showProgress, phase: showPhase, failed: showFailure, notice: showNotice, stats: showStats },
    });
    window.vm = vm;
    setUpKeys(vm);
    $("#clear").disabled = false;
    vm.terminal.focus();
} catch (error) {
    showPhase("failed");
    showFailure(error.message);
}
