"""The pages in a real browser: drawn, silent, asking for nothing, and no wider than a phone."""

import json
import re
import shutil
import subprocess

import pytest

from kairos.report import signal_page, tearsheet

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")

# Runs before anything else in the page and tells the surrounding page what happened.
PROBE = """<script>
const troubles = [];
addEventListener("error", (event) => troubles.push(String(event.message)), true);
addEventListener("unhandledrejection", (event) => troubles.push(String(event.reason)));
addEventListener("securitypolicyviolation", (event) => troubles.push("asked for " + event.blockedURI));
for (const level of ["error", "warn"]) console[level] = (...words) => troubles.push(words.join(" "));
const overlap = (one, other) => one.left < other.right && other.left < one.right
  && one.top < other.bottom && other.top < one.bottom;
const crowded = (drawing) => {
  const texts = [...drawing.querySelectorAll(".xtick text, .ytick text, .legendtext, .annotation-text")];
  const boxes = texts.map((text) => text.getBoundingClientRect());
  return texts.filter((text, i) => boxes.some((box, j) => j < i && overlap(box, boxes[i])))
    .map((text) => text.textContent);
};
addEventListener("load", () => setTimeout(() => {
  const root = document.documentElement;
  const plots = [...document.querySelectorAll(".drawing")];
  parent.postMessage({
    name: NAME,
    troubles,
    overflow: root.scrollWidth - root.clientWidth,
    width: root.clientWidth,
    charts: plots.length,
    drawn: plots.filter((plot) => plot.querySelector(".main-svg .trace path")).length,
    filled: plots.filter((plot) => {
      const drawing = plot.querySelector(".main-svg");
      return drawing && Math.abs(drawing.getBoundingClientRect().width - plot.clientWidth) < 1;
    }).length,
    labels: plots.map((plot) => plot.querySelectorAll(".xtick text").length),
    crowded: plots.flatMap(crowded),
    clipped: [...document.querySelectorAll(".figures dd, .figures dt, h1, h2, h3")]
      .filter((node) => node.scrollWidth > node.clientWidth + 1).map((node) => node.textContent),
  }, "*");
}, 500));
</script>"""

COLLECT = """<script>
const seen = [];
addEventListener("message", (event) => {
  seen.push(event.data);
  document.body.dataset.seen = JSON.stringify(seen);
});
</script>"""

BROKEN = """<!doctype html><html><head>
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; script-src 'unsafe-inline'"></head>
<body><pre>a line that is much too long for a phone, and that a browser does not break</pre><img src="https://example.invalid/x.png">
<script>console.error("told"); missing();</script></body></html>"""


@pytest.fixture(scope="module")
def seen(tmp_path_factory, sheet, signal_sheet):
    """What Chromium saw of every page, by page and width."""
    folder = tmp_path_factory.mktemp("browser")
    pages = {
        "tearsheet": tearsheet(sheet).render(),
        "signals": signal_page(signal_sheet).render(),
        "broken": BROKEN,
    }
    frames = ""
    for name, text in pages.items():
        head, body = text.split("<head>", 1)
        for width in (390, 1366):
            file = f"{name}-{width}.html"
            probe = PROBE.replace("NAME", json.dumps(f"{name} {width}"))
            (folder / file).write_text(f"{head}<head>{probe}{body}", encoding="utf-8")
            frames += f'<iframe src="{file}" style="width: {width}px; height: 800px; border: 0"></iframe>'
    (folder / "all.html").write_text(f"<!doctype html>{COLLECT}{frames}")
    command = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]
    command += [
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--hide-scrollbars",
    ]
    command += [
        f"--user-data-dir={folder / 'profile'}",
        "--window-size=1400,900",
        "--virtual-time-budget=20000",
    ]
    done = subprocess.run(
        [*command, "--dump-dom", (folder / "all.html").as_uri()], capture_output=True, timeout=120, check=True
    )
    found = re.search(r'data-seen="([^"]*)"', done.stdout.decode())
    assert found, done.stderr.decode()[-2000:]
    messages = json.loads(found[1].replace("&quot;", '"').replace("&amp;", "&"))
    return {message["name"]: message for message in messages}


@pytest.mark.parametrize("width", [390, 1366])
@pytest.mark.parametrize("name", ["tearsheet", "signals"])
def test_a_page_is_drawn_and_fits(seen, name, width):
    page = seen[f"{name} {width}"]
    assert page["troubles"] == []
    assert page["width"] == width
    assert page["overflow"] <= 0
    assert page["clipped"] == page["crowded"] == []
    assert min(page["labels"]) >= 2
    assert page["charts"] >= 9
    assert page["drawn"] == page["filled"] == page["charts"]


def test_the_probe_notices_a_bad_page(seen):
    page = seen["broken 390"]
    assert page["overflow"] > 0
    assert any("told" in trouble for trouble in page["troubles"])
    assert any("missing" in trouble for trouble in page["troubles"])
    assert any("asked for https://example.invalid" in trouble for trouble in page["troubles"])
