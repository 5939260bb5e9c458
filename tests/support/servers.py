"""HTTP servers on loopback that answer exactly what a test wants, honest or not."""

import socket
import ssl
import threading
from collections.abc import Callable
from typing import Self

Script = Callable[[socket.socket, bytes], None]


def answer(
    body: bytes = b"{}",
    *,
    status: str = "200 OK",
    content_type: str = "application/json",
    headers: tuple[str, ...] = (),
    length: int | None = None,
) -> Script:
    """A plain answer, with another Content-Length if *length* says so."""

    def send(connection: socket.socket, _request: bytes) -> None:
        size = len(body) if length is None else length
        lines = [f"HTTP/1.1 {status}", f"Content-Length: {size}", *headers]
        if content_type:
            lines.append(f"Content-Type: {content_type}")
        connection.sendall("\r\n".join([*lines, "", ""]).encode() + body)

    return send


class Server:
    """Runs *script* for each request; `requests` is what came, head and body."""

    def __init__(self, script: Script, *, tls: ssl.SSLContext | None = None) -> None:
        self.script = script
        self.requests: list[bytes] = []
        self._tls = tls
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._open: list[socket.socket] = []
        self._stopping = False
        self._thread = threading.Thread(target=self._accept, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping = True
        socket.create_connection(("127.0.0.1", self.port)).close()
        self._thread.join(timeout=60)
        self._listener.close()
        for each in self._open:
            each.close()

    @property
    def url(self) -> str:
        """For plain http."""
        return f"http://localhost:{self.port}"

    def _accept(self) -> None:
        while True:
            connection, _ = self._listener.accept()
            if self._stopping:
                connection.close()
                return
            self._open.append(connection)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        try:
            if self._tls is not None:
                connection = self._tls.wrap_socket(connection, server_side=True)
                self._open.append(connection)
            while request := _read(connection):
                self.requests.append(request)
                self.script(connection, request)
        except OSError:  # the client has had enough
            connection.close()


def _read(connection: socket.socket) -> bytes:
    data = b""
    while b"\r\n\r\n" not in data:
        piece = connection.recv(65536)
        if not piece:
            return b""
        data += piece
    head, _, body = data.partition(b"\r\n\r\n")
    length = 0
    for line in head.split(b"\r\n"):
        if line.lower().startswith(b"content-length:"):
            length = int(line.split(b":")[1])
    while len(body) < length:
        body += connection.recv(65536)
    return head + b"\r\n\r\n" + body
