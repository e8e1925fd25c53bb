#!/usr/bin/python3
"""A real browser for the tests: reads one JSON command a line, and answers each with one JSON line.

Ends, with its browser, at the end of its input. Must not know the pages: what is right is the test's to judge.
"""

import json
import shutil
import sys
import tempfile
from urllib.parse import urlsplit

from selenium import webdriver
from selenium.common.exceptions import WebDriverException
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.expected_conditions import staleness_of
from selenium.webdriver.support.ui import WebDriverWait

# Without a sandbox: the tests may run as root. Without the requests that a browser makes for itself.
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--no-default-browser-check",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-extensions",
    "--disable-sync",
    "--hide-scrollbars",
    "--lang=en",
]

# A script runs before those of the page: the test fires the timer of the page instead of waiting for it.
HOLD_TIMER = """
    window.planned = null;
    const start = window.setTimeout, stop = window.clearTimeout;
    window.setTimeout = (work, pause) => {
        const id = -1 - Math.floor(Math.random() * 1e9);
        window.planned = { id, pause, work };
        return id;
    };
    window.clearTimeout = id => { if (window.planned && window.planned.id === id) window.planned = null; else stop(id); };
"""


def start(profile):
    options = Options()
    for flag in FLAGS + [f"--user-data-dir={profile}"]:
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver")))
    driver.set_page_load_timeout(20)
    driver.set_script_timeout(20)
    return driver


class Browser:
    def __init__(self, driver):
        self.driver = driver
        self.held = None

    def set_up(self, width, dark, scripts, languages, hold):
        """The circumstances of the next pages; all messages and requests so far are forgotten."""
        cdp = self.driver.execute_cdp_cmd
        self.driver.get("about:blank")
        self.size(width, 800)
        scheme = "dark" if dark else "light"
        cdp("Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": scheme}]})
        cdp("Emulation.setScriptExecutionDisabled", {"value": not scripts})
        agent = cdp("Browser.getVersion", {})["userAgent"]
        cdp("Emulation.setUserAgentOverride", {"userAgent": agent, "acceptLanguage": languages})
        if self.held is not None:
            cdp("Page.removeScriptToEvaluateOnNewDocument", {"identifier": self.held})
        self.held = cdp("Page.addScriptToEvaluateOnNewDocument", {"source": HOLD_TIMER})["identifier"] if hold else None
        self.messages()
        self.hosts()

    def size(self, width, height):
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)

    def open(self, url):
        self.driver.get(url)

    def run(self, script):
        return self.driver.execute_script(script)

    def find(self, selector):
        return self.driver.find_element(By.CSS_SELECTOR, selector)

    def click(self, selector):
        self.find(selector).click()

    def follow(self, selector):
        """Clicks on a link or on the button of a form, and waits for the next page."""
        root = self.find("html")
        self.find(selector).click()
        WebDriverWait(self.driver, 20, 0.02).until(staleness_of(root))

    def submit(self):
        """Presses Enter in a field, and waits for the next page."""
        root = self.find("html")
        self.press("ENTER")
        WebDriverWait(self.driver, 20, 0.02).until(staleness_of(root))

    def type(self, selector, text):
        self.find(selector).send_keys(text)

    def press(self, key):
        self.driver.switch_to.active_element.send_keys(getattr(Keys, key))

    def tick(self):
        """Fires the held timer of the page, and waits for the end of its work."""
        self.run("const { work } = window.planned; window.planned = null; return work();")

    def ticks_until(self, text, is_there):
        """Fires the timer again and again until the page has the text, or no longer has it."""

        def holds(_driver):
            self.tick()
            return (text in self.text("body")) == is_there

        WebDriverWait(self.driver, 30, 0.1).until(holds)

    def text(self, selector):
        return self.find(selector).text

    def address(self):
        return self.driver.current_url

    def messages(self):
        """The messages in the console since the last call."""
        return [entry["message"] for entry in self.driver.get_log("browser")]

    def hosts(self):
        """The hosts of all requests since the last call, each once."""
        hosts = set()
        for entry in self.driver.get_log("performance"):
            event = json.loads(entry["message"])["message"]
            if event["method"] == "Network.requestWillBeSent":
                url = urlsplit(event["params"]["request"]["url"])
                if url.scheme not in ("about", "data"):
                    hosts.add(f"{url.scheme}://{url.netloc}")
        return sorted(hosts)

    def picture(self, path, height):
        """A picture of the page, of its whole height if that is 0."""
        width = self.run("return window.innerWidth")
        self.size(width, height or self.run("return document.documentElement.scrollHeight"))
        with open(path, "wb") as file:
            file.write(self.driver.get_screenshot_as_png())
        self.size(width, 800)


def main():
    with tempfile.TemporaryDirectory(prefix="runwrap-browser-", ignore_cleanup_errors=True) as profile:
        driver = start(profile)
        try:
            browser = Browser(driver)
            for line in sys.stdin:
                command, *arguments = json.loads(line)
                try:
                    answer = {"ok": getattr(browser, command)(*arguments)}
                except WebDriverException as error:
                    answer = {"error": f"{type(error).__name__}: {error.msg}"}
                print(json.dumps(answer), flush=True)
        finally:
            driver.quit()


main()
