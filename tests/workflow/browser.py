"""A headless Chromium without a network, driven through pipes by the Chrome DevTools protocol."""

import base64
import itertools
import json
import os
import shutil
import subprocess
import time
from contextlib import contextmanager

CHROMIUM = next(
    (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None
)
OPTIONS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--remote-debugging-pipe"]
#: no name is resolved, so that nothing is fetched from outside
OPTIONS += ["--host-resolver-rules=MAP * ~NOTFOUND", "--no-first-run", "--disable-background-networking"]
SIZE = {"width": 1500, "height": 1000, "deviceScaleFactor": 1, "mobile": False}


class Page:
    """One page; `errors` are the console's messages, `requests` the addresses it asked for."""

    def __init__(self, commands, answers):
        self._commands, self._answers, self._numbers = commands, answers, itertools.count(1)
        self._session, self._pending, self.errors, self.requests = None, b"", [], []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")
        self.call("Emulation.setDeviceMetricsOverride", **SIZE)

    def call(self, method, **parameters):
        number = next(self._numbers)
        message = {"id": number, "method": method, "params": parameters}
        message |= {"sessionId": self._session} if self._session else {}
        os.write(self._commands, json.dumps(message).encode() + b"\0")
        while (answer := self._next()).get("id") != number:
            self._note(answer)
        if "error" in answer:
            raise RuntimeError(f"{method}: {answer['error']}")
        return answer["result"]

    def _next(self):
        while b"\0" not in self._pending:
            piece = os.read(self._answers, 1 << 20)
            if not piece:
                raise RuntimeError("Chromium has ended.")
            self._pending += piece
        message, _, self._pending = self._pending.partition(b"\0")
        return json.loads(message)

    def _note(self, event):
        method, fields = event.get("method"), event.get("params", {})
        if method == "Runtime.exceptionThrown":
            self.errors.append(str(fields["exceptionDetails"]))
        elif method == "Runtime.consoleAPICalled" and fields["type"] in ("error", "assert"):
            self.errors.append(str(fields["args"]))
        elif method == "Log.entryAdded" and fields["entry"]["level"] == "error":
            self.errors.append(str(fields["entry"]))
        elif method == "Network.requestWillBeSent":
            self.requests.append(fields["request"]["url"])

    def run(self, script):
        """Value of a JavaScript expression."""
        answer = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in answer:
            raise RuntimeError(f"{script}: {answer['exceptionDetails']}")
        return answer["result"].get("value")

    def text(self):
        return self.run("document.body.innerText")

    def wait_for(self, script, seconds=60):
        """Until a JavaScript expression is true."""
        end = time.monotonic() + seconds
        while not (value := self.run(script)):
            if time.monotonic() > end:
                raise TimeoutError(f"{script} isn't true after {seconds} s. The page says: {self.text()[:2000]}")
            time.sleep(0.1)
        return value

    def click(self, label):
        """Click the first visible thing that carries this text and nothing else."""
        self.wait_for(f"!!({_FIND})({json.dumps(label)})")
        self.run(f"({_FIND})({json.dumps(label)}).click()")

    def screenshot(self, path):
        data = self.call("Page.captureScreenshot", format="png")["data"]
        path.write_bytes(base64.b64decode(data))


_FIND = (
    "label => [...document.querySelectorAll('a, button, [role=button]')]"
    ".find(e => e.offsetParent && e.innerText.trim().toLowerCase() == label.toLowerCase())"
)


@contextmanager
def opened(address, profile):
    """Yield the page at `address`; `profile` is a folder for Chromium's own files."""
    from_us, to_us = os.pipe(), os.pipe()
    command = [CHROMIUM, *OPTIONS, f"--user-data-dir={profile}"]
    script = f'exec "$@" 3<&{from_us[0]} 4>&{to_us[1]}'
    process = subprocess.Popen(
        ["bash", "-c", script, "bash", *command], pass_fds=(from_us[0], to_us[1]), stderr=subprocess.DEVNULL
    )
    os.close(from_us[0])
    os.close(to_us[1])
    try:
        page = Page(from_us[1], to_us[0])
        page.call("Page.navigate", url=address)
        page.wait_for("document.readyState == 'complete'")
        yield page
    finally:
        process.kill()
        process.wait()
        os.close(from_us[1])
        os.close(to_us[0])
