// Makes the memory snapshot of a site, at build time: node snapshot.mjs PYODIDE WHEELS OUT
//
// Starts the site's own Pyodide, installs the project's wheel with micropip as the page would, imports all of it that
// runs in a page, and writes the memory, gzipped. `_makeSnapshot` and `_loadSnapshot` are private options of Pyodide:
// its version is pinned. A snapshot holds no file system, so whatever is not imported here cannot be imported later.
// What must differ from one start to the next is renewed by webvm.browser.wake.

import { writeFileSync } from "node:fs";
import { gzipSync } from "node:zlib";

const [pyodide, wheels, out] = process.argv.slice(2);
const { loadPyodide } = await import(`${pyodide}/pyodide.mjs`);
const python = await loadPyodide({
    _makeSnapshot: true,
    lockFileURL: `${wheels}/pyodide-lock.json`,
    packages: ["micropip"],
});
await python.runPythonAsync(`
import micropip
await micropip.install("webvm")

import sys
for name in [name for name in sys.modules if name.partition(".")[0] == "micropip"]:
        del sys.modules[name]
del micropip, name, sys

import webvm.browser
webvm.browser.sleep()
`);
writeFileSync(out, gzipSync(python.makeMemorySnapshot(), { level: 9 }));
process.exit(0);
