"""The Python half of the page: runs in a module worker, between `web/worker.js` and the machine.

Knows the page's messages and the browser's APIs; knows of the machine only what `boot` asks of it. With
`webvm/engine/browser.py`, the only place that imports `js` or `pyodide`.
"""
