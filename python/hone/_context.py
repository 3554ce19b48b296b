# SPDX-License-Identifier: MIT
"""Contexts, and calls that Ctrl-C reaches.

Every call runs on a helper thread while its caller waits. Only so a signal is seen at once (Python runs handlers between
bytecodes of the main thread, which a call in C would keep from it), and no exception can fall into a callback from C, where
ctypes would drop it. What a callback sees is handed to the waiting thread, which runs the user's function.
"""

from __future__ import annotations

import ctypes
import json
import logging
import os
import queue
import threading
import weakref
from collections.abc import Callable, Iterable
from typing import Any

from . import _errors
from ._library import LOG, WRITE, ContextOpts, call, lib

log = logging.getLogger("hone")


@LOG
def _log(_user, level: int, text: bytes) -> None:
    log.log(logging.WARNING if level else logging.INFO, "%s", text.decode(errors="replace"))


def _destroy(context: ctypes.c_void_p, model: ctypes.c_void_p) -> None:
    lib.hone_model_destroy(model)
    lib.hone_context_destroy(context)


class Context:
    """A hone_context with at most one model, used by one thread at a time. plugins: paths, loaded into it."""

    def __init__(self, plugins: Iterable[str | os.PathLike[str]] = ()) -> None:
        self.handle, self.model = ctypes.c_void_p(), ctypes.c_void_p()
        self._lock = threading.Lock()
        self._caller: int | None = None
        options = ContextOpts(ctypes.sizeof(ContextOpts), log=ctypes.cast(_log, ctypes.c_void_p))
        call("hone_context_create", options, self.handle)
        weakref.finalize(self, _destroy, self.handle, self.model)
        self.plugins = tuple(os.fspath(path) for path in plugins)
        for path in self.plugins:
            call("hone_plugin_load", self.handle, os.fsencode(path))

    def run(self, work: Callable, receive: Callable | None = None) -> Any:
        """What work(ask) returns; ask(item) gives receive(item), called on this thread. An exception here, KeyboardInterrupt
        among them, asks the library to stop and is raised when it has."""
        if self._caller == threading.get_ident():
            raise _errors.usage("hone", "this model is at work: wanted another one, or to wait until the call has ended")
        return _Job(self, work, receive).run()


class _Job:
    def __init__(self, context: Context, work: Callable, receive: Callable | None) -> None:
        self.context, self.work, self.receive = context, work, receive
        self.items: queue.SimpleQueue = queue.SimpleQueue()
        self.answers: queue.SimpleQueue = queue.SimpleQueue()
        self.value: Any = None
        self.failed: BaseException | None = None
        self.stop: BaseException | None = None
        self.cancelled = False  # whether it has begun or not, it shall not any more
        self.caller = threading.get_ident()

    # ---- on the helper thread

    def ask(self, item: object) -> int:
        self.items.put(item)
        while self.stop is None:
            try:
                return self.answers.get(timeout=0.2)
            except queue.Empty:
                pass
        return 0  # the library was asked to stop

    def work_on(self) -> None:
        if self.cancelled:
            return
        try:
            with self.context._lock:
                self.context._caller = self.caller
                try:
                    self.value = self.work(self.ask)
                finally:
                    self.context._caller = None
        except BaseException as why:
            self.failed = why
        self.items.put(None)

    # ---- on the caller's

    def serve(self, seconds: float) -> bool:
        """Waits for an item and answers it; whether it was the last one."""
        try:
            item = self.items.get(timeout=seconds)
        except queue.Empty:
            return False
        if item is not None and self.stop is None and self.receive:
            self.answers.put(1 if self.receive(item) else 0)
        return item is None

    def wait(self, thread: threading.Thread) -> None:
        """Until the thread has ended, which had been started."""
        ended = False
        while thread.is_alive():
            if self.stop is not None:
                lib.hone_request_stop(self.context.handle)  # again and again: a run that begins forgets earlier ones
            if ended:
                thread.join()
            else:
                ended = self.serve(0.5 if self.stop is None else 0.1)

    def run(self) -> Any:
        thread, waits = threading.Thread(target=self.work_on, name="hone"), True
        while waits:  # a signal's exception may come at any line of it
            try:
                if thread.ident is None:
                    thread.start()
                self.wait(thread)
                waits = False
            except BaseException as why:
                self.stop, self.cancelled = self.stop or why, True
                lib.hone_request_stop(self.context.handle)  # before the callback at work returns
                waits = thread.ident is not None
        try:
            if self.stop is not None:
                raise self.stop
            if self.failed is not None:
                raise self.failed
            return self.value
        finally:
            self.stop = self.failed = None  # an exception that knows this frame shall not keep it


def collect(name: str, *before, after: tuple = (None,)) -> bytes:
    """The bytes that a function hands to a write callback."""
    pieces = []

    @WRITE
    def write(_user, data, size):
        pieces.append(ctypes.string_at(data, size))
        return 0

    call(name, *before, write, *after)
    return b"".join(pieces)


def result(name: str, *before) -> dict:
    """Calls a function whose last argument is a hone_result, and reads that."""
    handle = ctypes.c_void_p()
    call(name, *before, handle)
    try:
        return json.loads(collect("hone_result_json", handle, 0))
    finally:
        lib.hone_result_destroy(handle)
