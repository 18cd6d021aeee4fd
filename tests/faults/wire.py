"""The wire between a client and its server: passes bytes on, counts the turns of the talk, and is cut at one of them.

A turn is what a client sends before it hears an answer; every statement and every step of a login is one. So a test
can cut a talk everywhere, whatever the protocol and whatever a backend sends in how many statements.
"""

from __future__ import annotations

import contextlib
import random
import socket
import threading
import time
from collections.abc import Callable
from typing import Literal
from urllib.parse import urlsplit

Cut = Literal["before", "after", "late"]

CUTS: tuple[Cut, ...] = ("before", "after", "late")
LATE_S = 0.1


class Wire:
    """A port of loopback that leads to the server of a URL. `url` is that one, through it."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._server = (parts.hostname, parts.port)
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        who = parts.netloc.rpartition("@")[0]
        self.url = parts._replace(netloc=f"{who}@127.0.0.1:{self._listener.getsockname()[1]}").geturl()
        self.turns = 0  #: of all connections so far
        self.cuts = 0  #: made so far
        self.refuses = False  #: new connections
        self._lock = threading.Lock()
        self._cut: tuple[int, Cut] | None = None
        self._deed: tuple[int, Callable[[], object]] | None = None
        self._talks: list[Talk] = []
        self._haunt: tuple[random.Random, int] | None = None
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self, turn: int, how: Cut) -> None:
        """Cut the connection at a turn counted from now on, 1 is the next one: "before" the server hears it, or
        "after", so that its answer is lost; or "late": the client is cut off, and the server hears it a while later."""
        with self._lock:
            self._cut = (self.turns + turn, how)

    def sever(self) -> None:
        """Cut off every client; the server is not told, and goes on with what it has heard."""
        with self._lock:
            talks, self._talks = self._talks, []
        for talk in talks:
            talk.sever()

    def at(self, turn: int, deed: Callable[[], object]) -> None:
        """Do something at a turn counted from now on, before the server hears it."""
        with self._lock:
            self._deed = (self.turns + turn, deed)

    def haunt(self, dice: random.Random, most: int) -> None:
        """From now on cut again and again, in any way, each time at one of the next `most` turns, whoever's it is."""
        self._haunt = dice, most
        self.cut(dice.randint(1, most), dice.choice(CUTS))

    def rest(self) -> None:
        """No more cuts and deeds."""
        with self._lock:
            self._haunt = self._cut = self._deed = None

    @property
    def waits(self) -> bool:
        """Whether the turn of the cut has not come yet."""
        return self._cut is not None

    def close(self) -> None:
        """No new connections; those that are there stay."""
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                if self.refuses:
                    client.close()
                    continue
                talk = Talk(self, client)
                self._talks.append(talk)
                threading.Thread(target=talk.upward, daemon=True).start()

    def connect(self) -> socket.socket:
        return socket.create_connection(self._server)

    def turn(self) -> Cut | None:
        """One more turn; what befalls it."""
        deed = None
        with self._lock:
            self.turns += 1
            if self._deed is not None and self.turns >= self._deed[0]:
                deed, self._deed = self._deed[1], None
            how = self._cut[1] if self._cut is not None and self.turns >= self._cut[0] else None
            if how is not None:
                self._cut = None
                self.cuts += 1
            if how is not None and self._haunt is not None:
                dice, most = self._haunt
                self._cut = self.turns + dice.randint(1, most), dice.choice(CUTS)
        if deed is not None:
            deed()
        return how


class Talk:
    """One connection through the wire."""

    def __init__(self, wire: Wire, client: socket.socket) -> None:
        self._wire = wire
        self._client = client
        self._server = wire.connect()
        self._answered = True  #: the server has said something since the client has
        self._deaf = False  #: the client will not hear the next answer
        self._severed = False  #: the client is gone, and the server has not been told
        threading.Thread(target=self._downward, daemon=True).start()

    def sever(self) -> None:
        self._severed = True
        self._end()

    def upward(self) -> None:
        with contextlib.suppress(OSError), self._client:
            while data := self._client.recv(1 << 16):
                how = self._wire.turn() if self._answered else None
                self._answered = False
                if how == "before":
                    self._end()
                    return
                if how == "late":
                    self._client.shutdown(socket.SHUT_RDWR)
                    time.sleep(LATE_S)
                    self._server.sendall(data)
                    time.sleep(LATE_S / 2)  # until the server has read it
                    self._end()
                    return
                self._deaf = self._deaf or how == "after"
                self._server.sendall(data)
            self._end()

    def _downward(self) -> None:
        with contextlib.suppress(OSError):
            while data := self._server.recv(1 << 16):
                if self._deaf:
                    break
                self._answered = True
                self._client.sendall(data)
        self._end()

    def _end(self) -> None:
        """Both sides learn of it; closing alone would say nothing while the other thread still receives."""
        for side in (self._client,) if self._severed else (self._client, self._server):
            with contextlib.suppress(OSError):
                side.shutdown(socket.SHUT_RDWR)
