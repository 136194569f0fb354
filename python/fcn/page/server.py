"""Shows a page on this machine alone."""

from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from fcn.page.errors import PageError

HOST = "127.0.0.1"
TYPES = {".wasm": "application/wasm", ".mjs": "text/javascript", ".js": "text/javascript",
         ".json": "application/json", ".onnx": "application/octet-stream"}
# with the first two the browser lets the net run in several threads
HEADERS = {"Cross-Origin-Opener-Policy": "same-origin",
           "Cross-Origin-Embedder-Policy": "require-corp",
           "Cache-Control": "no-cache", "X-Content-Type-Options": "nosniff"}


class Handler(SimpleHTTPRequestHandler):
    """Files with the types that browsers ask for, whatever the system has registered."""
    extensions_map = {**SimpleHTTPRequestHandler.extensions_map, **TYPES}

    def end_headers(self) -> None:
        for name, value in HEADERS.items():
            self.send_header(name, value)
        super().end_headers()

    def log_message(self, *_: Any) -> None:
        """Nobody wants to read each request."""


def server(directory: Path, port: int = 0) -> ThreadingHTTPServer:
    """A server of a folder that `serve_forever` starts; port 0 is any that is free.

    Raises PageError where the port cannot be had.
    """
    try:
        return ThreadingHTTPServer((HOST, port), partial(Handler, directory=str(directory)))
    except OSError as error:
        raise PageError(f"--port {port}: {error}; give another, or leave it out and a free one is "
                        "taken") from None


def address(of: ThreadingHTTPServer) -> str:
    return f"http://{HOST}:{of.server_address[1]}/"
