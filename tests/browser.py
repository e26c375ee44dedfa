"""Chromium without a window, for tests of pages: driven through its DevTools protocol over a pair of pipes."""

import contextlib
import fcntl
import json
import os
import select
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome")
PATIENCE = 60  # seconds for anything that a slow machine may take long over
DESKTOP, PHONE = (1280, 900), (390, 844)  # CSS pixels
FLAGS = (
    *("--headless=new", "--remote-debugging-pipe", "--autoplay-policy=no-user-gesture-required", "--mute-audio"),
    *("--no-first-run", "--no-default-browser-check", "--disable-extensions", "--disable-sync", "--disable-breakpad"),
    *("--disable-background-networking", "--disable-component-update", "--password-store=basic"),
    *("--disable-gpu", "--disable-dev-shm-usage"),
)
KEYS = {"Tab": 9, "Enter": 13, "Space": 32, "ArrowLeft": 37, "ArrowUp": 38, "ArrowRight": 39, "ArrowDown": 40}
# The lowest contrast (WCAG 2, 1.4.3) between the text of the elements that a selector finds and what lies under it:
# a picture of one point is painted with every background, then with the text's colour.
CONTRAST = """(selector => {
  const paint = document.createElement('canvas').getContext('2d', {willReadFrequently: true});
  const cover = (colour, alpha) => {
    paint.globalAlpha = alpha;
    paint.fillStyle = colour;
    paint.fillRect(0, 0, 1, 1);
  };
  const luminance = () => {
    const linear = [...paint.getImageData(0, 0, 1, 1).data].map(part => part / 255)
      .map(part => part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4);
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2];
  };
  const probe = document.body.appendChild(document.createElement('i'));
  probe.style.background = 'Canvas';
  const ground = getComputedStyle(probe).backgroundColor;
  probe.remove();
  const contrast = element => {
    const styles = [];
    for (let each = element; each; each = each.parentElement) styles.unshift(getComputedStyle(each));
    cover(ground, 1);
    styles.forEach(style => cover(style.backgroundColor, 1));
    const under = luminance();
    cover(styles.at(-1).color, styles.reduce((product, style) => product * style.opacity, 1));
    const over = luminance();
    return (Math.max(under, over) + 0.05) / (Math.min(under, over) + 0.05);
  };
  return Math.min(...[...document.querySelectorAll(selector)].filter(each => each.checkVisibility()).map(contrast));
})"""
WRITTEN = {"Enter": "\r", "Space": " "}  # by keys
SHIFT = 8


def installed() -> str | None:
    """The browser's path, or None."""
    return next(filter(None, map(shutil.which, NAMES)), None)


class Browser:
    """A running browser with a profile that goes with it; its pages share storage, as tabs of a person's do."""

    def __init__(self, downloads: Path, *flags: str):
        """What is downloaded goes into a folder; `flags` are further options of the command line."""
        self.downloads, self._flags = downloads, flags
        self.events: list[dict] = []
        self._count, self._buffer = 0, b""
        self._profile = tempfile.TemporaryDirectory(prefix="vc-browser-", ignore_cleanup_errors=True)
        self._log = (Path(self._profile.name) / "log").open("wb+")
        self._start()
        try:
            self.call("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(downloads), eventsEnabled=True)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> "Browser":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _start(self) -> None:
        """The browser reads commands from descriptor 3 and writes replies and events to descriptor 4."""
        (commands, self._commands), (self._replies, replies) = _pipe(), _pipe()
        line = [installed(), *FLAGS, *self._flags, f"--user-data-dir={self._profile.name}/profile"]
        line += ["--no-sandbox"] if os.geteuid() == 0 else []  # the sandbox refuses root
        self._process = subprocess.Popen(
            ["bash", "-c", f'exec "$@" 3<&{commands} 4>&{replies} {commands}<&- {replies}>&-', "browser", *line],
            pass_fds=(commands, replies),
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log,
            start_new_session=True,  # a process group, which can be ended as a whole
        )
        os.close(commands)
        os.close(replies)

    def close(self) -> None:
        """End the browser and all that it started."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        os.close(self._commands)
        os.close(self._replies)
        self._log.close()
        self._profile.cleanup()

    def call(self, method: str, session: str | None = None, **parameters: Any) -> dict:
        """Give a command and return its result; what happens meanwhile is kept in `events`."""
        self._count += 1
        message = {"id": self._count, "method": method, "params": parameters}
        message |= {"sessionId": session} if session else {}
        os.write(self._commands, json.dumps(message).encode() + b"\0")
        reply = self._until(lambda found: found.get("id") == message["id"], method)
        assert "error" not in reply, f"{method}: {reply['error']}"
        return reply["result"]

    def event(self, method: str, since: int = 0, **wanted: Any) -> dict:
        """The parameters of the first such event from the `since`th on, waited for if it has not happened yet."""

        def fits(event: dict) -> bool:
            found = {**event, **event.get("params", {})}
            return found.get("method") == method and all(found.get(key) == value for key, value in wanted.items())

        event = next(filter(fits, self.events[since:]), None)
        return (event or self._until(fits, method))["params"]

    def _until(self, fits: Callable[[dict], bool], what: str) -> dict:
        deadline = time.monotonic() + PATIENCE
        while True:
            message = self._next(deadline, what)
            if "method" in message:
                self.events.append(message)
            if fits(message):
                return message

    def _next(self, deadline: float, what: str) -> dict:
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._replies], [], [], max(0, deadline - time.monotonic()))
            content = os.read(self._replies, 1 << 20) if ready else b""
            assert content, f"{what}: the browser {'ended' if ready else 'does not answer'}\n{self._said()}"
            self._buffer += content
        message, _, self._buffer = self._buffer.partition(b"\0")
        return json.loads(message)

    def _said(self) -> str:
        return Path(self._log.name).read_text(errors="replace")[-2000:]

    def open(self, address: Path | str, size: tuple[int, int] = DESKTOP, dark: bool = False) -> "Page":
        """A file, or what a server has at an address, in a tab of its own, loaded."""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        url = address if isinstance(address, str) else address.absolute().as_uri()
        return Page(self, target, session, url, size, dark)

    def download(self, since: int = 0) -> Path:
        """The first file that was saved after the `since`th event, complete."""
        begun = self.event("Browser.downloadWillBegin", since)
        self.event("Browser.downloadProgress", since, guid=begun["guid"], state="completed")
        return self.downloads / begun["suggestedFilename"]


class Page:
    """One tab."""

    def __init__(self, browser: Browser, target: str, session: str, url: str, size: tuple[int, int], dark: bool):
        self.browser, self.target, self.session, self.url = browser, target, session, url
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.call(f"{domain}.enable")
        self.call("Emulation.setFocusEmulationEnabled", enabled=True)  # keys go to this tab, whichever is in front
        self.show(size, dark)
        self._load("Page.navigate", url=url)

    def __enter__(self) -> "Page":
        return self

    def __exit__(self, *_: object) -> None:
        self.browser.call("Target.closeTarget", targetId=self.target)

    def call(self, method: str, **parameters: Any) -> dict:
        return self.browser.call(method, self.session, **parameters)

    def show(self, size: tuple[int, int] = DESKTOP, dark: bool = False) -> None:
        """Size of the window in CSS pixels, PHONE with touch; light or dark."""
        phone = size == PHONE
        screen = {"width": size[0], "height": size[1], "deviceScaleFactor": 1, "mobile": phone}
        self.call("Emulation.setDeviceMetricsOverride", **screen)
        self.call("Emulation.setTouchEmulationEnabled", enabled=phone)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])

    def reload(self) -> None:
        self._load("Page.reload")

    def _load(self, method: str, **parameters: Any) -> None:
        since = len(self.browser.events)
        self.call(method, **parameters)
        self.browser.event("Page.loadEventFired", since, sessionId=self.session)
        self.call("Page.bringToFront")

    def evaluate(self, expression: str) -> Any:
        """The value of a JavaScript expression, awaited if it is a promise."""
        done = self.call("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in done, f"{expression}: {done['exceptionDetails']}"
        return done["result"].get("value")

    def wait(self, expression: str) -> Any:
        """The value of a JavaScript expression as soon as it is true."""
        deadline = time.monotonic() + PATIENCE
        while not (value := self.evaluate(expression)):
            assert time.monotonic() < deadline, f"never true: {expression}"
            time.sleep(0.02)
        return value

    def press(self, key: str, times: int = 1, shift: bool = False) -> None:
        """Press one of KEYS, once the page is on the screen: before its first frame, Chromium drops what is typed."""
        self.wait("performance.getEntriesByName('first-contentful-paint').length > 0")
        about = {"key": " " if key == "Space" else key, "code": key}
        about |= {"windowsVirtualKeyCode": KEYS[key], "modifiers": SHIFT * shift}
        for _ in range(times):
            self.call("Input.dispatchKeyEvent", type="keyDown", text=WRITTEN.get(key, ""), **about)
            self.call("Input.dispatchKeyEvent", type="keyUp", **about)

    def write(self, text: str) -> None:
        """As if it was typed where the focus is."""
        self.call("Input.insertText", text=text)

    def choose_files(self, selector: str, *paths: Path) -> None:
        """As if a person had chosen files in a field."""
        field = self.call("Runtime.evaluate", expression=f"document.querySelector({json.dumps(selector)})")["result"]
        self.call("DOM.setFileInputFiles", objectId=field["objectId"], files=[str(path) for path in paths])

    def contrast(self, selector: str) -> float:
        """The lowest, of what can be seen and matches: 1 is invisible, 21 black on white."""
        return self.evaluate(f"{CONTRAST}({json.dumps(selector)})")

    @property
    def faults(self) -> list[str]:
        """Errors that the page has thrown or written to the console."""
        self.evaluate("0")  # what happened before the answer has been told by then
        found = []
        for event in self._events():
            about = event["params"]
            if event["method"] == "Runtime.exceptionThrown":
                found.append(about["exceptionDetails"].get("exception", about["exceptionDetails"]).get("description"))
            elif event["method"] == "Runtime.consoleAPICalled" and about["type"] in ("error", "assert"):
                found.append(str(about["args"]))
            elif event["method"] == "Log.entryAdded" and about["entry"]["level"] == "error":
                found.append(about["entry"]["text"])
        return found

    @property
    def requests(self) -> list[str]:
        """Addresses that the page has asked for, without itself and what it carries."""
        sent = [each["params"] for each in self._events() if each["method"] == "Network.requestWillBeSent"]
        return [
            url
            for each in sent
            if (url := each["request"]["url"]) != self.url and not url.startswith(("data:", "blob:"))
        ]

    def _events(self) -> list[dict]:
        return [event for event in self.browser.events if event.get("sessionId") == self.session]


def _pipe() -> tuple[int, int]:
    """Ends to read and to write, both above the descriptors that the browser wants them at."""
    ends = os.pipe()
    high = tuple(fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 10) for end in ends)
    for end in ends:
        os.close(end)
    return high
