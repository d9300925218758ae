"""The page in a real browser: it is drawn, nothing is wider than the screen, names stand apart, filters filter."""

import re
import shutil
import subprocess
from dataclasses import replace
from html import unescape
from pathlib import Path

import pytest

from lm_lab.report.curves import Point
from lm_lab.report.page import write_report
from lm_lab.report.palette import FAMILIES
from lm_lab.results.coordinates import Coordinates

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(BROWSER is None, reason="no Chromium is installed")

# in a frame, since a headless window is never narrower than 500 pixels
_FRAME = """<!doctype html><body><iframe id="f" src="page/index.html" style="width:{width}px;height:3000px;border:0">
</iframe><pre id="found"></pre><script>
setTimeout(async () => {{
  const page = document.getElementById("f").contentDocument, root = page.documentElement;
  const all = (which) => [...page.querySelectorAll(which)];
  {act}
  await new Promise((done) => setTimeout(done, 3000));
  const wide = all("body *").filter((e) =>
    !e.closest(".scroll") && !e.closest("svg") && e.getBoundingClientRect().right > {width} + 1);
  const head = page.querySelector("table.sortable th button");
  head.focus();
  head.click();
  const large = page.querySelector("[data-axis]"), within = (which) => [...large.querySelectorAll(which)];
  const boxes = within(".annotation-text-g").map((g) => g.getBoundingClientRect());
  const open = (which) => all(which).filter((e) => e.offsetParent), names = (rows) => rows.map((e) => e.dataset.name);
  const over = (a, b) => a.left < b.right - 1 && b.left < a.right - 1 && a.top < b.bottom - 3 && b.top < a.bottom - 3;
  const found = {{
    figures: all(".js-plotly-plot .main-svg").length,
    drawn: all(".js-plotly-plot .scatterlayer .trace").length,
    overflow: root.scrollWidth - root.clientWidth, wide: wide.length,
    sorted: head.parentElement.getAttribute("aria-sort"), focus: page.activeElement === head,
    buttons: all(".modebar-btn").map((b) => b.dataset.title).join("|"),
    unlabelled: all("[role=img]").filter((e) => !e.getAttribute("aria-label")).length,
    ink: getComputedStyle(page.body).color,
    names: within(".annotation-text").map((e) => e.textContent).join("|"),
    covered: boxes.filter((a, i) => boxes.some((b, j) => j > i && over(a, b))).length,
    panels: within(".cartesianlayer > .subplot").length,
    legend: all(".legend").length,
    key: open(".key button").map((e) => e.textContent).join("|"),
    rows: names(open("#scores-and-costs tbody tr[data-name]")).join("|"),
    compared: names(open("#against-full-fine-tuning tbody tr")).join("|"),
  }};
  document.getElementById("found").textContent = Object.entries(found).map(([k, v]) => k + "=" + v).join("\\n");
}}, 6000);
</script>"""


def choose(name: str, value: str) -> str:
    """What a reader does with a field."""
    field = f'const field = page.getElementById("{name}"); field.value = "{value}";'
    return f'{field} field.dispatchEvent(new Event("change"));'


@pytest.fixture(scope="module")
def page(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_report(finished, tmp_path_factory.mktemp("browser") / "page", draws=50)


def browse(*words: str) -> str:
    assert BROWSER is not None
    command = [BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--allow-file-access-from-files", *words]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout


def look(page: Path, width: int = 1400, dark: bool = False, act: str = "") -> dict[str, str]:
    """What a browser shows of a page, once a reader has acted."""
    frame = page.parent.parent / f"{page.parent.name}.html"
    frame.write_text(_FRAME.format(width=width, act=act).replace("page/index.html", f"{page.parent.name}/index.html"))
    scheme = [f"--blink-settings=preferredColorScheme={0 if dark else 1}"]
    dumped = browse(*scheme, "--window-size=1500,3000", "--virtual-time-budget=20000", "--dump-dom", frame.as_uri())
    told = re.search(r'<pre id="found">(.*?)</pre>', dumped, re.DOTALL)
    assert told is not None
    return dict(line.split("=", 1) for line in unescape(told[1]).splitlines())


@pytest.mark.parametrize("width", [400, 1400])
@pytest.mark.parametrize("dark", [False, True])
def test_the_page_is_drawn_and_fits(page: Path, width: int, dark: bool) -> None:
    found = look(page, width, dark)
    assert int(found["figures"]) >= 4
    assert int(found["drawn"]) > 10
    assert (found["overflow"], found["wide"], found["unlabelled"]) == ("0", "0", "0")
    assert (found["sorted"], found["focus"]) == ("descending", "true")
    assert "Share" not in found["buttons"]
    assert "Zoom" in found["buttons"]
    assert found["ink"] == ("rgb(228, 230, 234)" if dark else "rgb(34, 38, 43)")


@pytest.fixture(scope="module")
def crowded(finished: Path, points: list[Point], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """24 strategies on one backbone."""
    one = [p for p in points if p.key["strategy"] == "full" and not p.control]
    many = [
        renamed(p, strategy=f"strategy_{n:02}", family=list(FAMILIES)[n % 8], lower=n / 400)
        for p in one
        for n in range(23)
    ]
    return write_report(finished, tmp_path_factory.mktemp("browser") / "crowded", draws=10, points=[*one, *many])


@pytest.fixture(scope="module")
def broad(finished: Path, points: list[Point], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """28 backbones."""
    few = [p for p in points if p.key["strategy"] in ("full", "probe", "lora") and not p.control]
    many = [renamed(p, backbone=f"backbone_{n:02}", family=p.family, lower=n / 100) for p in few for n in range(28)]
    return write_report(finished, tmp_path_factory.mktemp("browser") / "broad", draws=10, points=many)


def renamed(point: Point, family: str, lower: float, **axes: str) -> Point:
    """The point elsewhere, its mean a little lower."""
    interval = point.interval._replace(mean=point.mean - lower)
    key = Coordinates({**point.key, **axes}, point.key.knob)
    return replace(point, key=key, interval=interval, family=family)


def test_every_one_of_many_curves_is_named_where_it_stands(crowded: Path) -> None:
    found = look(crowded)
    names = {word.split(" ")[-1] for word in found["names"].split("|")}
    assert {f"strategy_{n:02}" for n in range(23)} | {"full"} <= names
    assert (found["covered"], found["legend"], found["key"], found["panels"]) == ("0", "0", "", "1")
    narrow = look(crowded, 400)
    assert len(narrow["key"].split("|")) == 24
    assert (narrow["overflow"], narrow["wide"]) == ("0", "0")


def test_a_panel_a_task_and_a_click_on_a_name(crowded: Path) -> None:
    each = look(crowded, act="""all("button[data-task]").find((b) => b.dataset.task === "each task").click();""")
    assert each["panels"] == "4"
    assert len(each["key"].split("|")) == 24
    alone = look(crowded, act="""all("button[data-line]").find((b) => b.dataset.line === "strategy_07").click();""")
    assert "strategy_07" in alone["names"]
    assert "strategy_08" not in alone["names"]
    assert alone["rows"].split("|") == ["strategy_07 · minilm-l3"]


def test_filters_by_family_reach_figures_and_tables(crowded: Path) -> None:
    found = look(crowded, act=choose("family", "=adapters"))
    wanted = {f"strategy_{n:02}" for n in range(23) if list(FAMILIES)[n % 8] == "adapters"}
    assert {name for name in wanted if name in found["names"]} == wanted
    assert {row.split(" ")[0] for row in found["rows"].split("|")} == wanted
    assert {row.split(" ")[0] for row in found["compared"].split("|")} == wanted


def test_many_backbones_have_a_panel_each(broad: Path) -> None:
    for width in (1400, 400):
        found = look(broad, width)
        assert found["panels"] == "28"
        assert {f"backbone_{n:02}" for n in range(28)} <= set(found["names"].split("|"))
        assert set(found["key"].split("|")) == {"full", "probe", "lora"}
        assert (found["covered"], found["overflow"], found["wide"], found["unlabelled"]) == ("0", "0", "0", "0")
    one = look(broad, act=choose("backbone", "=backbone_03"))
    assert one["panels"] == "1"
    assert {row.split(" · ")[1] for row in one["rows"].split("|")} == {"backbone_03"}


def test_the_page_prints(page: Path, tmp_path: Path) -> None:
    browse("--virtual-time-budget=8000", f"--print-to-pdf={tmp_path / 'page.pdf'}", page.as_uri())
    content = (tmp_path / "page.pdf").read_bytes()
    assert content.startswith(b"%PDF")
    assert len(re.findall(rb"/Type /Page\b", content)) >= 2
