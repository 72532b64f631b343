# SPDX-License-Identifier: MIT
"""A TCP proxy whose connections a test cuts, resets or lets fall silent."""

import select
import socket
import struct
import threading

from harness import LOOPBACK


class Proxy:
    def __init__(self, port):
        self.upstream = port
        self.listener = socket.create_server((LOOPBACK, 0))
        self.port = self.listener.getsockname()[1]
        self.lock = threading.Lock()
        self.pairs = []
        self.silent = threading.Event()
        self.stopping = False
        self._spawn(self._accept)

    @staticmethod
    def _spawn(run, *args):
        threading.Thread(target=run, args=args, daemon=True).start()

    def _accept(self):
        while not self.stopping:
            try:
                near, _ = self.listener.accept()
            except OSError:
                return
            try:
                far = socket.create_connection((LOOPBACK, self.upstream))
            except OSError:
                near.close()
                continue
            with self.lock:
                self.pairs.append((near, far))
            self._spawn(self._pump, near, far)

    def _pump(self, near, far):
        other = {near: far, far: near}
        try:
            while True:
                ready, _, _ = select.select([near, far], [], [], 0.05)
                if self.silent.is_set():
                    continue
                for sock in ready:
                    data = sock.recv(65536)
                    if not data:
                        return
                    other[sock].sendall(data)
        except (OSError, ValueError):
            pass
        finally:
            near.close()
            far.close()

    def _take(self):
        with self.lock:
            pairs, self.pairs = self.pairs, []
        return pairs

    def reset(self):
        """RST on every connection."""
        for near, far in self._take():
            for sock in (near, far):
                try:
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    sock.close()
                except OSError:
                    pass

    def finish(self):
        """FIN on every connection."""
        for near, far in self._take():
            for sock in (near, far):
                try:
                    sock.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass

    def blackhole(self, on):
        """Nothing comes through, and nobody is told."""
        if on:
            self.silent.set()
        else:
            self.silent.clear()

    def close(self):
        self.stopping = True
        self.listener.close()
        self.finish()
