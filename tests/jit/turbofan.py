"""Regions and the interpreter in V8, compiled by TurboFan before they are first executed: in Chromium, and in node, whose V8 is
often an older one.

A space of wasmtime's gives its regions and its memory; V8 gets copies of both, with an interpreter of its own beside them.
Registers go in and out; what a region stores elsewhere is not looked at. `V8S` names those that there are here.
"""
import base64
import json
import shutil
import subprocess
import tempfile
from pathlib import Path

from tests.bench.devtools import Browser
from tests.jit.regions import DATA, DATA_SIZE, STACK, STACK_SIZE, Guest
from webvm.jit import image as machine_image
from webvm.jit import layout as at

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
NODE = shutil.which("node")
V8S = [name for name, program in (("chromium", CHROMIUM), ("node", NODE)) if program]
ONLY_TURBOFAN = "--no-liftoff"
PAGE = 1 << 16

RUN = """async ({interpreter, modules, memory: pages, size, cases, registers, fuel, left}) => {
    const bytes = text => Uint8Array.from(atob(text), c => c.charCodeAt(0));
    const memory = new WebAssembly.Memory({initial: size, maximum: 65536}), all = new Uint8Array(memory.buffer);
    const env = {memory, syscall: () => 0, fault: () => 0, escape: () => 0, clock: () => 0};
    const {instance} = await WebAssembly.instantiate(bytes(interpreter), {env});
    for (const [address, text] of pages) all.set(bytes(text), address);
    const regions = [];
    for (const module of modules) regions.push((await WebAssembly.instantiate(bytes(module), {env: {...instance.exports, memory}})).instance.exports);
    const after = cases.map(([state, module, name, rip, stack]) => {
        all.set(bytes(state), 0);
        new DataView(memory.buffer).setInt32(left, fuel, true);
        if (module < 0) instance.exports.run(fuel);
        else regions[module][name](100, rip, BigInt(stack));
        return btoa(String.fromCharCode(...all.subarray(0, registers)));
    });
    return {after, exchanges: instance.exports.exchanges(10) != 0};
}"""


class Regions:
    """What a guest has translated."""

    def __init__(self, guest: Guest):
        self.guest, self.modules = guest, []
        compile_ = guest.engine._compile

        def noted(wasm):
            self.modules.append(wasm)
            return compile_(wasm)
        guest.engine._compile = noted

    def run(self, v8: str, states) -> tuple[list, bool]:
        """What the region leaves that begins at each state's rip, or the interpreter, where nothing is translated: states, of which only the
        registers are those after it. And whether V8 says that it exchanges operands."""
        space, place, cases = self.guest.space, {}, []
        for k, batch in enumerate(self.guest.translator._batches if self.guest.translator else ()):
            place |= {rip: (k, str(number)) for number, rip in enumerate(batch.place)}
        for state in states:
            self.guest.load(state)
            cases.append([_text(space.peek(0, at.CONTEXT)), *place.get(state.rip, (-1, "")), state.rip, state.gpr[4]])
        end = at.BIAS + max(DATA + DATA_SIZE, STACK + STACK_SIZE)
        parts = [(k, min(PAGE, end - k)) for k in range(0, end, PAGE)]
        pages = [(k, data) for k, n in parts if any(data := space.peek(k, n))]
        given = {"interpreter": _text(self.guest.engine.image.wasm), "modules": [_text(wasm) for wasm in self.modules],
                 "memory": [(k, _text(data)) for k, data in pages], "size": end // PAGE + 1, "cases": cases, "registers": at.CONTEXT, "fuel": 1000, "left": at.REGION_FUEL}
        left, found = [], (_in_chromium if v8 == "chromium" else _in_node)(given)
        for registers in found["after"]:
            space.poke(0, base64.b64decode(registers))
            left.append(machine_image.read_state(space))
        return left, found["exchanges"]


def _text(data) -> str: return base64.b64encode(data).decode()


def _in_chromium(given) -> dict:
    browser = Browser(CHROMIUM, "--no-sandbox", f"--js-flags={ONLY_TURBOFAN}")
    try:
        return browser.open("about:blank").evaluate(RUN, given)
    finally:
        browser.close()


def _in_node(given) -> dict:
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "run.mjs"
        script.write_text(f"console.log(JSON.stringify(await ({RUN})({json.dumps(given)})))")
        return json.loads(subprocess.run([NODE, ONLY_TURBOFAN, script], capture_output=True, text=True, check=True).stdout)
