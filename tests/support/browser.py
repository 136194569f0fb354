"""A headless Chromium that is told what to do through pipes (the DevTools protocol)."""

import base64
import json
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

NAMES = "chromium", "chromium-browser", "google-chrome"
CHROMIUM = next(filter(None, map(shutil.which, NAMES)), "")
needs_chromium = pytest.mark.skipif(not CHROMIUM, reason=(
    f"no {', '.join(NAMES[:-1])} or {NAMES[-1]} on PATH: install one, on Debian the package "
    "chromium"))
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
         "--disable-background-networking", "--disable-component-update", "--disable-sync",
         "--remote-debugging-pipe"]


class Browser:
    """One page. messages : what it wrote to the console, and errors of scripts and loading"""

    def __init__(self):
        self.profile = tempfile.TemporaryDirectory()
        read, self.commands = os.pipe()
        self.answers, write = os.pipe()
        here = f"exec 3<&{read} 4>&{write}; exec \"$@\""       # where Chromium looks for its pipes
        self.process = subprocess.Popen(
            ["bash", "-c", here, "bash", CHROMIUM, *FLAGS,
             f"--user-data-dir={self.profile.name}", "about:blank"],
            pass_fds=(read, write), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        os.close(read)
        os.close(write)
        self.number, self.session, self.buffer, self.messages = 0, None, b"", []
        self.loaded = False
        targets = self("Target.getTargets")["targetInfos"]
        page = next(each["targetId"] for each in targets if each["type"] == "page")
        self.session = self("Target.attachToTarget", targetId=page, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self(f"{domain}.enable")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(20)
        os.close(self.commands)
        os.close(self.answers)
        self.profile.cleanup()

    def __call__(self, method, **params):
        """The result of a command of the protocol."""
        self.number += 1
        message = {"id": self.number, "method": method, "params": params}
        if self.session:
            message["sessionId"] = self.session
        os.write(self.commands, json.dumps(message).encode() + b"\0")
        while True:
            answer = self.read()
            if answer.get("id") == self.number:
                assert "error" not in answer, answer
                return answer["result"]

    def read(self):
        """The next message; of events what is to be known is kept."""
        while b"\0" not in self.buffer:
            part = os.read(self.answers, 1 << 16)
            assert part, "Chromium has ended"
            self.buffer += part
        text, _, self.buffer = self.buffer.partition(b"\0")
        message = json.loads(text)
        if message.get("method") in ("Runtime.consoleAPICalled", "Runtime.exceptionThrown",
                                     "Log.entryAdded", "Network.loadingFailed"):
            self.messages.append(message)
        self.loaded |= message.get("method") == "Page.loadEventFired"
        return message

    def open(self, url, width, height=900):
        """Load a page at a width in pixels, as a telephone does below 500."""
        self("Emulation.setDeviceMetricsOverride", width=width, height=height,
             deviceScaleFactor=1, mobile=width < 500)
        self.loaded = False
        self("Page.navigate", url=url)
        while not self.loaded:
            self.read()

    def evaluate(self, expression):
        """The value of an expression in the page."""
        return self("Runtime.evaluate", expression=expression, returnByValue=True,
                    awaitPromise=True)["result"].get("value")

    def screenshot(self, path):
        """Save a picture of the whole page as PNG."""
        size = self("Page.getLayoutMetrics")["cssContentSize"]
        data = self("Page.captureScreenshot", captureBeyondViewport=True,
                    clip=dict(x=0, y=0, width=size["width"], height=size["height"], scale=1))
        Path(path).write_bytes(base64.b64decode(data["data"]))
