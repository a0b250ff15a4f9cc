"""Headless Chromium: what a page looks like, and what it does, at a given width.

The page stands in a frame of a wrapper, which is as wide as wanted, looks into the frame and writes down what it finds.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from e2e.pages import parsed
from support.packages import absent

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
DARK, LIGHT = 0, 1

_WRAPPER = """<!doctype html><meta charset="utf-8"><style>body{margin:0}iframe{border:0;display:block}</style>
<iframe id="frame" SANDBOX style="width:WIDTHpx;height:HEIGHTpx" src="PAGE"></iframe><pre id="found"></pre>
<script>
frame.onload = () => {
  const page = frame.contentDocument, look = (LOOK);
  let found;
  try { found = {value: look(page, frame.contentWindow)}; } catch (error) { found = {error: String(error)}; }
  document.getElementById("found").textContent = JSON.stringify(found);
};
</script>"""


def find_browser() -> str:
    """Where Chromium is. Without it, tests are skipped, but not in CI, which installs it (`.ci/run`)."""
    found = next((place for name in NAMES if (place := shutil.which(name))), None)
    if found is None:
        absent("no Chromium: apt-get install chromium")
    return found


@dataclass(frozen=True)
class Browser:
    """A browser.

    Attributes:
        program: Chromium.
        folder: for profiles, wrappers and pictures.
    """

    program: str
    folder: Path

    def look(self, page: Path, script: str, *, width: int = 1000, height: int = 800, scripts: bool = True) -> Any:
        """What a function `(document, window) => value` gives, once the page is loaded in a frame of this size.

        Args:
            page: the file.
            script: the function.
            width: of the frame, in pixels.
            height: the same.
            scripts: whether those of the page run.
        """
        shown = self._run(self._wrapped(page, script, width, height, scripts), "--dump-dom", width=width, height=height)
        (element,) = parsed(shown).all("pre", id="found")
        found = json.loads(element.text)
        assert "error" not in found, found
        return found["value"]

    def picture(self, page: Path, name: str, *, width: int, height: int = 1200, scheme: int = LIGHT) -> Path:
        """A PNG of the top of the page."""
        file = self.folder / f"{name}.png"
        wrapper = self._wrapped(page, "() => true", width, height)
        shot = (f"--screenshot={file}", "--hide-scrollbars", f"--blink-settings=preferredColorScheme={scheme}")
        self._run(wrapper, *shot, width=width, height=height)
        return file

    def _wrapped(self, page: Path, script: str, width: int, height: int, scripts: bool = True) -> Path:
        text = _WRAPPER.replace("WIDTH", str(width)).replace("HEIGHT", str(height))
        text = text.replace("SANDBOX", "" if scripts else 'sandbox="allow-same-origin"')
        wrapper = self.folder / "wrapper.html"
        wrapper.write_text(text.replace("PAGE", page.resolve().as_uri()).replace("LOOK", script), encoding="utf-8")
        return wrapper

    def _run(self, page: Path, *options: str, width: int = 1000, height: int = 800) -> str:
        command = [
            *(self.program, "--headless", "--no-sandbox", "--disable-gpu", "--allow-file-access-from-files"),
            *(f"--user-data-dir={self.folder / 'profile'}", f"--window-size={max(width, 500)},{height}"),
            *("--no-first-run", "--virtual-time-budget=4000", *options, page.resolve().as_uri()),
        ]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, encoding="utf-8")
        assert done.returncode == 0, done.stderr
        return done.stdout
