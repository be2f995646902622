"""A proxy to the database server, which a test closes, freezes and opens again."""

import contextlib
import socket
import threading


class Gate:
    """A proxy to the database server. When it is closed, it drops all connections and refuses new ones.

    When it is frozen, it accepts data and does not answer, like a stopped server whose kernel still acknowledges data.
    """

    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self._ends: list[socket.socket] = []
        self._lock, self._is_open = threading.Lock(), False
        self._flow = threading.Event()
        self._flow.set()
        self.port = 0
        self.open()

    def open(self) -> None:
        self._door = socket.create_server(("127.0.0.1", self.port))
        self.port, self._is_open = self._door.getsockname()[1], True
        threading.Thread(target=self._admit, args=(self._door,), daemon=True).start()

    def close(self) -> None:
        with self._lock:
            self._is_open = False
            ends, self._ends = [self._door, *self._ends], []
        for end in ends:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def freeze(self) -> None:
        self._flow.clear()

    def thaw(self) -> None:
        self._flow.set()

    def fail_over(self) -> None:
        """Lead new connections to the server, while the existing connections hang forever."""
        self._flow = threading.Event()
        self._flow.set()

    def _admit(self, door: socket.socket) -> None:
        while True:
            try:
                near, _ = door.accept()
            except OSError:
                return
            far = socket.create_connection(self._target)
            with self._lock:
                if not self._is_open:  # it was closed while this connection was opened
                    near.close()
                    far.close()
                    return
                self._ends += [near, far]
            for source, sink in ((near, far), (far, near)):
                threading.Thread(target=self._carry, args=(source, sink, self._flow), daemon=True).start()

    @staticmethod
    def _carry(source: socket.socket, sink: socket.socket, flow: threading.Event) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                flow.wait()
                sink.sendall(data)
        with contextlib.suppress(OSError):
            sink.shutdown(socket.SHUT_RDWR)

    def __enter__(self) -> "Gate":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
