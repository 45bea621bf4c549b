"""A page in a real headless Chromium, driven through the DevTools protocol on a pair of pipes.

No package is needed: messages are JSON with a zero byte behind each, on descriptors 3 and 4.
"""

from __future__ import annotations

import fcntl
import json
import os
import select
import shutil
import time

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
BROWSER = next(filter(None, map(shutil.which, NAMES)), None)
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--remote-debugging-pipe",
    # Nothing outside can be reached, whatever a page should ask for.
    "--host-resolver-rules=MAP * ~NOTFOUND",
)
PATIENCE = 60.0


class Chromium:
    """One browser with one page; what the page said and asked for is kept."""

    def __init__(self, folder):
        command_read, self._write = os.pipe()
        self._read, answer_write = os.pipe()
        # Out of the way of the numbers that Chromium expects.
        given, taken = (
            fcntl.fcntl(f, fcntl.F_DUPFD_CLOEXEC, 10) for f in (command_read, answer_write)
        )
        self._process = os.posix_spawn(
            BROWSER,
            [BROWSER, *FLAGS, f"--user-data-dir={folder}"],
            os.environ,
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0),
                (os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0),
                (os.POSIX_SPAWN_DUP2, given, 3),
                (os.POSIX_SPAWN_DUP2, taken, 4),
            ],
        )
        for descriptor in (command_read, answer_write, given, taken):
            os.close(descriptor)
        self._buffer = b""
        self._last = 0
        self._session = None
        self.said: list[str] = []
        self.requests: list[str] = []
        self.loaded = False
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        attached = self.call("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        os.close(self._write)  # without its pipe the browser ends
        os.waitpid(self._process, 0)
        os.close(self._read)

    def call(self, method, **parameters):
        """Ask, and wait for the answer; what comes in between is kept."""
        self._last += 1
        message = {"id": self._last, "method": method, "params": parameters}
        if self._session is not None:
            message["sessionId"] = self._session
        os.write(self._write, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next()
            if answer.get("id") == self._last:
                assert "error" not in answer, answer
                return answer["result"]

    def _next(self):
        end = time.monotonic() + PATIENCE
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._read], [], [], max(end - time.monotonic(), 0.0))
            assert ready, "Chromium did not answer"
            got = os.read(self._read, 1 << 16)
            assert got, "Chromium went away"
            self._buffer += got
        first, _, self._buffer = self._buffer.partition(b"\0")
        message = json.loads(first)
        self._note(message)
        return message

    def _note(self, message):
        given = message.get("params", {})
        match message.get("method"):
            case "Runtime.consoleAPICalled" | "Runtime.exceptionThrown" | "Log.entryAdded":
                self.said.append(json.dumps(given))
            case "Network.requestWillBeSent":
                # What a data: address holds is in the page already.
                if not given["request"]["url"].startswith("data:"):
                    self.requests.append(given["request"]["url"])
            case "Page.loadEventFired":
                self.loaded = True

    def open(self, url):
        """Load a page and wait until it is there."""
        # Between addresses that differ behind "#" alone nothing is loaded.
        self.call("Page.navigate", url="about:blank")
        self.loaded = False
        self.said.clear()
        self.requests.clear()
        self.call("Page.navigate", url=url)
        while not (self.loaded and self.value("document.readyState") == "complete"):
            if not self.loaded:
                self._next()

    def value(self, expression):
        """What a JavaScript expression is in the page."""
        found = self.call(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def width(self, pixels, dark=False):
        """Give the page a width in CSS pixels, in light or dark."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=pixels,
            height=900,
            deviceScaleFactor=1,
            mobile=False,
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])
