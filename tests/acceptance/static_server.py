"""A small web server for lists, in a process of its own so that its work is not counted as that of the program.

    python -m tests.acceptance.static_server FOLDER

serves the files of FOLDER on a free port of 127.0.0.1 (the port is the first line it prints), with ETag,
Last-Modified and 304, until its standard input ends: it never outlives the test that started it.
"""

from __future__ import annotations

import subprocess
import sys
import threading
from contextlib import contextmanager
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar
from urllib.parse import unquote, urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterator

REPOSITORY = Path(__file__).resolve().parents[2]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = 1 << 16
    disable_nagle_algorithm = True
    folder: ClassVar[Path]

    def do_GET(self) -> None:
        path = (self.folder / unquote(urlsplit(self.path).path).lstrip("/")).resolve()
        if not path.is_relative_to(self.folder) or not path.is_file():
            self._answer(404, b"404: Not Found")
            return
        status = path.stat()
        tag, date = f'"{status.st_mtime_ns:x}-{status.st_size:x}"', formatdate(status.st_mtime, usegmt=True)
        if self.headers["If-None-Match"] == tag and self.headers["If-Modified-Since"] == date:
            self._answer(304, b"", ETag=tag)
        else:
            self._answer(200, path.read_bytes(), **{"ETag": tag, "Last-Modified": date})

    def _answer(self, status: int, body: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if status != 304:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def main(folder: Path) -> None:
    """Serve until standard input ends."""
    _Handler.folder = folder.resolve()
    with ThreadingHTTPServer(("127.0.0.1", 0), _Handler) as server:
        print(server.server_port, flush=True)  # noqa: T201  this is how the port is told
        threading.Thread(target=server.serve_forever, daemon=True).start()
        sys.stdin.read()
        server.shutdown()


@contextmanager
def serving(folder: Path) -> Iterator[str]:
    """The server over a folder as a child process; gives its URL without a final slash."""
    command = [sys.executable, "-m", "tests.acceptance.static_server", str(folder)]
    with subprocess.Popen(
        command,
        cwd=REPOSITORY,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        finally:
            process.stdin.close()
            process.wait(10)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
