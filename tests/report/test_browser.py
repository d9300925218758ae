"""The page in a real browser: figures are drawn, nothing is wider than the screen, headers sort by keyboard."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from lm_lab.report.page import write_report

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(BROWSER is None, reason="no Chromium is installed")

# in a frame, since a headless window is never narrower than 500 pixels
_FRAME = """<!doctype html><body><iframe id="f" src="page/index.html" style="width:{width}px;height:3000px;border:0">
</iframe><pre id="found"></pre><script>
setTimeout(() => {{
  const page = document.getElementById("f").contentDocument, root = page.documentElement;
  const wide = [...page.querySelectorAll("body *")].filter((e) =>
    !e.closest(".scroll") && !e.closest("svg") && e.getBoundingClientRect().right > {width} + 1);
  const head = page.querySelector("table.sortable th button");
  head.focus();
  head.click();
  const found = {{
    figures: page.querySelectorAll(".js-plotly-plot .main-svg").length,
    drawn: page.querySelectorAll(".js-plotly-plot .scatterlayer .trace").length,
    overflow: root.scrollWidth - root.clientWidth, wide: wide.length,
    sorted: head.parentElement.getAttribute("aria-sort"), focus: page.activeElement === head,
    buttons: [...page.querySelectorAll(".modebar-btn")].map((b) => b.dataset.title).join("|"),
    unlabelled: [...page.querySelectorAll("[role=img]")].filter((e) => !e.getAttribute("aria-label")).length,
    ink: getComputedStyle(page.body).color,
  }};
  document.getElementById("found").textContent = Object.entries(found).map(([k, v]) => k + "=" + v).join("\\n");
}}, 6000);
</script>"""


@pytest.fixture(scope="module")
def page(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_report(finished, tmp_path_factory.mktemp("browser") / "page", draws=50)


def browse(*words: str) -> str:
    assert BROWSER is not None
    command = [BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--allow-file-access-from-files", *words]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout


@pytest.mark.parametrize("width", [400, 1400])
@pytest.mark.parametrize("dark", [False, True])
def test_the_page_is_drawn_and_fits(page: Path, width: int, dark: bool) -> None:
    frame = page.parent.parent / f"{width}{dark}.html"
    frame.write_text(_FRAME.format(width=width))
    scheme = [f"--blink-settings=preferredColorScheme={0 if dark else 1}"]
    dumped = browse(*scheme, "--window-size=1500,3000", "--virtual-time-budget=15000", "--dump-dom", frame.as_uri())
    told = re.search(r'<pre id="found">(.*?)</pre>', dumped, re.DOTALL)
    assert told is not None
    found = dict(line.split("=", 1) for line in told[1].splitlines())
    assert int(found["figures"]) >= 4
    assert int(found["drawn"]) > 10
    assert (found["overflow"], found["wide"], found["unlabelled"]) == ("0", "0", "0")
    assert (found["sorted"], found["focus"]) == ("descending", "true")
    assert "Share" not in found["buttons"]
    assert "Zoom" in found["buttons"]
    assert found["ink"] == ("rgb(228, 230, 234)" if dark else "rgb(34, 38, 43)")


def test_the_page_prints(page: Path, tmp_path: Path) -> None:
    browse("--virtual-time-budget=8000", f"--print-to-pdf={tmp_path / 'page.pdf'}", page.as_uri())
    content = (tmp_path / "page.pdf").read_bytes()
    assert content.startswith(b"%PDF")
    assert len(re.findall(rb"/Type /Page\b", content)) >= 2
