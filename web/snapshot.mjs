// Makes the memory snapshot of a site, at build time: node snapshot.mjs PYODIDE WHEEL OUT
//
// Starts the site's own Pyodide, unpacks the project's wheel, imports all of it that a machine needs, and writes the
// memory, gzipped. (Not with micropip: it leaves JavaScript objects behind, which a snapshot cannot hold.) `_makeSnapshot`
// and `_loadSnapshot` are private options of Pyodide: its version is pinned. webvm/browser/snapshot.py says what is in
// a snapshot; webvm/browser/boot.py renews what must differ from one start to the next.

import { readFileSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { gzipSync } from "node:zlib";

const [pyodide, wheel, out] = process.argv.slice(2);
try {
    const { loadPyodide } = await import(`${pyodide}/pyodide.mjs`);
    const python = await loadPyodide({ _makeSnapshot: true, lockFileURL: `${dirname(wheel)}/pyodide-lock.json` });
    python.unpackArchive(new Uint8Array(readFileSync(wheel)), "wheel");
    python.runPython(`
from webvm.browser.snapshot import prepare
prepare()
del prepare
`);
    writeFileSync(out, gzipSync(python.makeMemorySnapshot(), { level: 9 }));
    process.exit(0);
} catch (error) {
    console.error(error.stack ?? error); // and not the line of Pyodide it comes from, which is a megabyte long
    process.exit(1);
}
