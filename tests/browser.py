"""Chromium, driven through chromedriver."""

import json
import time
import urllib.request


class Browser:
    """What little of the WebDriver protocol (W3C) is needed; narrow ones are phones, with touch."""

    def __init__(self, port, size, downloads):
        self._server = f"http://127.0.0.1:{port}"
        width, height = size
        arguments = ["--headless=new", "--no-sandbox", "--disable-gpu", f"--window-size={max(width, 500)},{height}"]
        touch = width < 500
        device = {"width": width, "height": height, "pixelRatio": 1, "touch": touch, "mobile": touch}
        options = {"args": arguments, "mobileEmulation": {"deviceMetrics": device}}
        options["prefs"] = {"download.default_directory": str(downloads)}
        wanted = {"goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"}}
        session = self._ask("POST", "/session", {"capabilities": {"alwaysMatch": wanted}})
        self._session = f"/session/{session['sessionId']}"

    def _ask(self, method, path, body=None):
        content = json.dumps(body).encode() if body is not None else None
        request = urllib.request.Request(self._server + path, content, {"Content-Type": "application/json"}, method=method)
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)["value"]

    def go(self, url):
        self._ask("POST", f"{self._session}/url", {"url": url})

    def reload(self):
        self._ask("POST", f"{self._session}/refresh", {})

    def run(self, script):
        return self._ask("POST", f"{self._session}/execute/sync", {"script": script, "args": []})

    def find(self, selector):
        found = self._ask("POST", f"{self._session}/element", {"using": "css selector", "value": selector})
        return next(iter(found.values()))

    def press(self, selector, keys):
        self._ask("POST", f"{self._session}/element/{self.find(selector)}/value", {"text": keys})

    def click(self, selector):
        self._ask("POST", f"{self._session}/element/{self.find(selector)}/click", {})

    def drag(self, selector, *points):
        """Drags through points of an element, each a share of its width and of its height."""
        box = f"const place = document.querySelector('{selector}'); place.scrollIntoView({{block: 'center'}});"
        box += "const box = place.getBoundingClientRect(); return [box.left, box.top, box.width, box.height]"
        left, top, width, height = self.run(box)
        at = [
            {"type": "pointerMove", "x": round(left + x * width), "y": round(top + y * height), "duration": 50} for x, y in points
        ]
        moves = [at[0], {"type": "pointerDown", "button": 0}, *at[1:], {"type": "pointerUp", "button": 0}]
        self._ask("POST", f"{self._session}/actions", {"actions": [{"type": "pointer", "id": "mouse", "actions": moves}]})

    def touch(self, selector, *fingers):
        """Drags fingers over an element at the same time, each through as many points as the others, given as in `drag`."""
        box = f"const place = document.querySelector('{selector}'); place.scrollIntoView({{block: 'center'}});"
        box += "const box = place.getBoundingClientRect(); return [box.left, box.top, box.width, box.height]"
        left, top, width, height = self.run(box)
        steps = [[{"x": left + x * width, "y": top + y * height} for x, y in points] for points in zip(*fingers, strict=True)]
        for kind, points in [("touchStart", steps[0]), *(("touchMove", points) for points in steps[1:])]:
            self.devtools("Input.dispatchTouchEvent", type=kind, touchPoints=points)
        time.sleep(0.1)  # fingers rest before they are lifted: a page that still glides takes the next tap for its end
        self.devtools("Input.dispatchTouchEvent", type="touchEnd", touchPoints=[])

    def keys(self, *keys):
        """Presses keys one after the other and then lets them go, wherever the focus is."""
        moves = [{"type": "keyDown", "value": key} for key in keys] + [{"type": "keyUp", "value": key} for key in reversed(keys)]
        self._ask("POST", f"{self._session}/actions", {"actions": [{"type": "key", "id": "keyboard", "actions": moves}]})

    def devtools(self, command, **values):
        return self._ask("POST", f"{self._session}/goog/cdp/execute", {"cmd": command, "params": values})

    def wait(self, condition, seconds=30):
        """Waits until an expression in the page is true."""
        end = time.monotonic() + seconds
        while not self.run(f"return Boolean({condition})"):
            shown = "no text" if time.monotonic() < end else self.run("return document.body.innerText")
            assert time.monotonic() < end, f"{condition} has not come true: {shown}"
            time.sleep(0.05)

    def requests(self):
        """The addresses of all requests since the last call, by the browser's own log of its network."""
        entries = self._ask("POST", f"{self._session}/se/log", {"type": "performance"})
        events = [json.loads(entry["message"])["message"] for entry in entries]
        return [event["params"]["request"]["url"] for event in events if event["method"] == "Network.requestWillBeSent"]

    def messages(self):
        return self._ask("POST", f"{self._session}/se/log", {"type": "browser"})

    def close(self):
        self._ask("DELETE", self._session)
