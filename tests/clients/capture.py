"""An OTLP receiver on loopback that keeps every request raw: an empty success for an answer, nothing decoded."""

import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Captured:
    """One request: its path, its headers by lower-case name, its body as it came (still compressed)."""

    def __init__(self, path: str, headers: dict[str, str], body: bytes):
        self.path = path
        self.headers = headers
        self.body = body


class CaptureServer:
    """Hands each request to `keep` before it answers, so the sender's flush ends after it was kept."""

    def __init__(self, keep: Callable[[Captured], None]):
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(keep))
        self._server.daemon_threads = True
        self.base_url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def _handler(keep: Callable[[Captured], None]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        # Without these two an answer waits 40 ms for the client's delayed acknowledgement.
        disable_nagle_algorithm = True
        wbufsize = -1

        def do_POST(self) -> None:
            headers = {name.lower(): value for name, value in self.headers.items()}
            keep(Captured(self.path, headers, self._body(headers)))
            self.send_response(200)
            self.send_header("Content-Type", headers.get("content-type", "application/x-protobuf"))
            answer = b"{}" if "json" in headers.get("content-type", "") else b""
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def _body(self, headers: dict[str, str]) -> bytes:
            if headers.get("transfer-encoding", "").lower() != "chunked":
                return self.rfile.read(int(headers.get("content-length", "0")))
            chunks = []  # the JavaScript exporters always send chunked bodies
            while size := int(self.rfile.readline().split(b";")[0], 16):
                chunks.append(self.rfile.read(size))
                self.rfile.readline()
            while self.rfile.readline().strip():
                pass  # trailers
            return b"".join(chunks)

        def log_message(self, *_: object) -> None:
            pass

    return Handler
