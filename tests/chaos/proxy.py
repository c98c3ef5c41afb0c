"""A TCP proxy that behaves badly on request: slow, cut, half-open. One thread, any number of listeners.

Modes, for all connections of a listener at once:
  clear      everything passes
  slow       pieces of 700 bytes, each after up to 120 ms
  cut        open connections are reset, new ones are refused
  half-open  connections stay open and new ones are taken, but nothing passes any more
  flaky      each connection is reset after a random number of bytes
"""

import asyncio
import random
import socket
import struct
import threading

MODES = ("slow", "cut", "half-open", "flaky")
PIECE = 700


class Listener:
    def __init__(self, listen, target, seed):
        self.listen, self.target = listen, target
        self.mode = "clear"
        self.random = random.Random(seed)
        self.writers = set()
        self.changed = None  # asyncio.Event: wakes what a mode holds back


class Proxy:
    """set() is thread-safe."""

    def __init__(self):
        self._loop = asyncio.new_event_loop()
        self._listeners = {}
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self):
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()

    def _call(self, coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(30)

    def add(self, name, target, listen=("127.0.0.1", 0), seed=0):
        """Listens for `target`; the address it listens on."""
        listener = Listener(listen, target, seed)
        self._listeners.setdefault(name, []).append(listener)
        return self._call(self._start(listener))

    def set(self, name, mode):
        self._call(self._set(name, mode))

    def stop(self):
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    async def _start(self, listener):
        listener.changed = asyncio.Event()
        server = await asyncio.start_server(lambda r, w: self._serve(listener, r, w), *listener.listen)
        return server.sockets[0].getsockname()[:2]

    async def _set(self, name, mode):
        for listener in self._listeners[name]:
            listener.mode = mode
            listener.changed.set()
            listener.changed = asyncio.Event()
            if mode == "cut" or mode == "clear":
                # A half-open connection is not healed: its peer has to notice by itself, or now.
                for writer in list(listener.writers):
                    reset(writer)

    async def _serve(self, listener, reader, writer):
        if listener.mode == "cut":
            return reset(writer)
        try:
            far_reader, far_writer = await asyncio.open_connection(*listener.target)
        except OSError:
            return reset(writer)
        listener.writers |= {writer, far_writer}
        budget = [listener.random.randrange(200, 60_000)]
        try:
            await asyncio.gather(self._pump(listener, reader, far_writer, budget),
                                 self._pump(listener, far_reader, writer, budget))
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            listener.writers -= {writer, far_writer}
            reset(writer)
            reset(far_writer)

    async def _pump(self, listener, reader, writer, budget):
        while True:
            slow = listener.mode in ("slow", "flaky")
            data = await reader.read(PIECE if slow else 65536)
            while listener.mode == "half-open":
                await listener.changed.wait()
            if not data:
                if writer.can_write_eof():
                    writer.write_eof()
                return
            if listener.mode == "slow":
                await asyncio.sleep(listener.random.random() * 0.12)
            if listener.mode == "flaky":
                budget[0] -= len(data)
                if budget[0] < 0:
                    raise ConnectionResetError
            writer.write(data)
            await writer.drain()


def reset(writer):
    """Closes with RST, so that the peer knows at once and nothing lingers."""
    sock = writer.get_extra_info("socket")
    try:
        if sock is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    except OSError:
        pass
    writer.transport.abort()
