"""A server of HTTP that lists and gives the files of a folder, as object stores do, and can refuse or break off."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


class ServedFolder(ThreadingHTTPServer):
    """A folder at `url`.

    Attributes:
        sent: bytes of each file that was given, by its path.
        forbidden: is answered with 403 where a path holds it.
        tells_what_is_not_there: or else that is answered with 403, too.
        cut: is sent by half, and the connection closed, where a path holds it.
    """

    daemon_threads = True

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), partial(_Handler, directory=str(folder)))
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.sent: dict[str, int] = {}
        self.forbidden = self.cut = "\0"
        self.tells_what_is_not_there = True


class _Handler(SimpleHTTPRequestHandler):
    server: ServedFolder

    def log_message(self, *_: object) -> None:
        """Be quiet."""

    def send_head(self):
        if self.server.forbidden in self.path:
            self.send_error(403)
            return None
        return super().send_head()

    def send_error(self, code, *arguments) -> None:
        super().send_error(code if self.server.tells_what_is_not_there else 403, *arguments)

    def copyfile(self, source, outputfile) -> None:
        content = source.read()
        self.server.sent[self.path] = self.server.sent.get(self.path, 0) + len(content)
        outputfile.write(content[: len(content) // 2] if self.server.cut in self.path else content)


@contextmanager
def serve(folder: Path) -> Iterator[ServedFolder]:
    with ServedFolder(folder) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server
        server.shutdown()
