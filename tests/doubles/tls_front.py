"""A TLS front for a Unix socket: what a remote engine's TLS port is to a client, without a second engine.

Faithful in: certificates of both sides are demanded and verified, bytes pass unchanged both ways.
"""

from __future__ import annotations

import asyncio
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def tls_front(socket_path: str, context: ssl.SSLContext) -> Iterator[int]:
    """Pass everything from a loopback port with ``context`` on to ``socket_path``; gives the port."""
    loop = asyncio.new_event_loop()
    started = threading.Event()
    ports: list[int] = []

    async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(1 << 16):
                writer.write(data)
                await writer.drain()
            if writer.can_write_eof():
                writer.write_eof()
            else:  # TLS knows no half-closed connection
                writer.close()
        except OSError:
            writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        engine_reader, engine_writer = await asyncio.open_unix_connection(socket_path)
        await asyncio.gather(pass_on(reader, engine_writer), pass_on(engine_reader, writer))
        writer.close()
        engine_writer.close()

    async def listen() -> None:
        server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
        ports.append(server.sockets[0].getsockname()[1])
        started.set()

    def run() -> None:
        asyncio.set_event_loop(loop)
        listening = loop.create_task(listen())
        loop.run_forever()
        listening.cancel()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    started.wait(10)
    yield ports[0]
    loop.call_soon_threadsafe(loop.stop)
    thread.join(10)
