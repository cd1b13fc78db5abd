"""Serves a folder on localhost, as any static host would: `static_server.py FOLDER PORT`.

Python's own file server (no byte ranges), kept to this machine, connections kept open, its log left out.
"""

import functools
import http.server
import sys


class Handler(http.server.SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    extensions_map = {**http.server.SimpleHTTPRequestHandler.extensions_map, ".mjs": "text/javascript", ".wasm": "application/wasm"}

    def log_request(self, code="-", size="-"):
        pass


def main(folder: str, port: int) -> None:
    try:
        server = http.server.ThreadingHTTPServer(("localhost", port), functools.partial(Handler, directory=folder))
    except OSError as error:
        sys.exit(f"serve: port {port}: {error.strerror} (another port: scripts/serve PORT)")
    try:
        print(f"webvm is at http://localhost:{server.server_port} (Ctrl-C stops)", flush=True)
        server.serve_forever()
    except KeyboardInterrupt:
        print()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
