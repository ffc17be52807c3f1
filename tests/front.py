"""A way to a server on this machine, over TCP, that a test can cut."""

import socket
import threading
from contextlib import suppress


class Front:
    """Listens at ``url`` and passes on to the server at another port what comes, while ``up``."""

    def __init__(self, server: str) -> None:
        self._port = int(server.rsplit(":", 1)[1])
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}"
        self._open = set[socket.socket]()
        self._threads = [threading.Thread(target=self._listen)]
        self._up = True

    def __enter__(self) -> "Front":
        self._threads[0].start()
        return self

    def __exit__(self, *_: object) -> None:
        self.cut()
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        for thread in self._threads:
            thread.join()

    def cut(self) -> None:
        """Be as a server that has ended."""
        self._up = False
        for end in list(self._open):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def _listen(self) -> None:
        while True:
            try:
                client, _ = self._listening.accept()
            except OSError:
                return
            if not self._up:
                client.close()
                continue
            server = socket.create_connection(("127.0.0.1", self._port))
            self._open |= {client, server}
            for pair in ((client, server), (server, client)):
                self._threads.append(threading.Thread(target=self._pass, args=pair))
                self._threads[-1].start()

    @staticmethod
    def _pass(source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                target.sendall(data)
        with suppress(OSError):
            target.shutdown(socket.SHUT_RDWR)
        source.close()
