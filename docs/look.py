"""Look at built pages with Chromium: pictures, console messages, and pages that scroll sideways.

    python docs/look.py build/html build/pictures [--pages index.html,api.html]

Each page is shown at 360, 780 and 1280 pixels. Exit status 1 means that a page wrote to the
console, asked another server for something, or is wider than its window.
"""

import argparse
import functools
import http.server
import re
import shutil
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

WIDTHS = 360, 780, 1280
HEIGHT = 1600
PAGES = (
    "index.html",
    "start/tutorial.html",
    "performance.html",
    "tangent_kernels.html",
    "generated/subquad.estimators.GaussNewtonRegressor.html",
)
# A frame has the width of a telephone, which a window of Chromium cannot have.
FRAME = """<!doctype html><body style="margin:0"><iframe style="border:0" id="frame"
width="{width}" height="{height}" src="{page}"></iframe><script>
const frame = document.getElementById("frame");
frame.onload = () => setTimeout(() => {{
  const inside = frame.contentDocument.documentElement.scrollWidth;
  if (inside > {width}) console.error("sideways: " + inside + " pixels in a window of {width}");
  for (const entry of frame.contentWindow.performance.getEntriesByType("resource"))
    if (new URL(entry.name).host !== location.host) console.error("foreign: " + entry.name);
}}, 1500);</script>"""


class Quiet(http.server.SimpleHTTPRequestHandler):
    """A handler that prints nothing."""

    def log_message(self, *_):
        """Say nothing."""


def look(chromium, address, target):
    """Take a picture, and return what the page wrote to the console."""
    with tempfile.TemporaryDirectory() as profile:
        command = [
            *(chromium, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"),
            *("--disable-background-networking", f"--user-data-dir={profile}"),
            *("--enable-logging=stderr", "--virtual-time-budget=6000"),
            *(f"--window-size=1280,{HEIGHT}", f"--screenshot={target}", address),
        ]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    if not Path(target).is_file():
        return [done.stderr[-500:]]
    said = re.findall(r":CONSOLE[^\]]*\] (.*)", done.stderr)
    return [line for line in said if "[PST]" not in line]  # the theme tells which mode it is in


def main():
    """Look at every page at every width, and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("site", type=Path)
    parser.add_argument("pictures", type=Path)
    parser.add_argument("--pages", type=lambda text: text.split(","), default=PAGES)
    args = parser.parse_args()
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        sys.exit("look.py: Chromium must be installed.")
    args.pictures.mkdir(parents=True, exist_ok=True)
    handler = functools.partial(Quiet, directory=args.site)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    host = f"http://127.0.0.1:{server.server_port}"
    n_bad = 0
    for page in args.pages:
        for width in WIDTHS:
            frame = args.site / "_frame.html"
            frame.write_text(FRAME.format(width=width, height=HEIGHT, page=f"/{page}"))
            name = f"{page.removesuffix('.html').replace('/', '_')}_{width}.png"
            said = look(chromium, f"{host}/_frame.html", args.pictures / name)
            frame.unlink()
            n_bad += bool(said)
            print(f"{page} at {width}:", *(said or ["nothing on the console"]), sep="\n  ")
    return min(n_bad, 1)


if __name__ == "__main__":
    sys.exit(main())
