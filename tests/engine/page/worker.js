// Runs the Python function that the query names (?run=module.function) in Pyodide; posts what it returns, a JSON text.
import { loadPyodide } from "./pyodide/pyodide.mjs";
import * as engine from "./engine.js";

try {
    const pyodide = await loadPyodide({ indexURL: new URL("./pyodide/", self.location).href });
    pyodide.registerJsModule("webvm_engine", engine);
    pyodide.unpackArchive(await (await fetch("sources.zip")).arrayBuffer(), "zip", { extractDir: "/src" });
    const [module, name] = new URLSearchParams(self.location.search).get("run").split(".");
    self.postMessage({
        result: pyodide.runPython(`
            import sys, importlib
            sys.path.insert(0, "/src")
            importlib.import_module("engine_tests.${module}").${name}()
        `),
    });
} catch (error) {
    self.postMessage({ failed: `${error}\n${error.stack}` });
}
