"""The web edition builds without a warning, has every public name, and no link is broken."""

import importlib.util
import json
import os
import re
import subprocess
import sys
import zlib
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

import alexnet_keras
from notebooks import look

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]


for package in ("sphinx", "myst_nb", "furo"):
    if importlib.util.find_spec(package) is None:
        pytest.skip(f"{package} is not installed: requirements-site.txt", allow_module_level=True)


class Page(HTMLParser):
    """What a page links to, and what in it can be linked to."""

    def __init__(self, path):
        super().__init__()
        self.targets, self.anchors, self.pictures = [], set(), 0
        self.feed(path.read_text("utf-8"))

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.anchors |= {attributes[key] for key in ("id", "name") if attributes.get(key)}
        self.targets += [attributes[key] for key in ("href", "src") if attributes.get(key)]
        self.pictures += tag == "img" and "_images/" in attributes["src"]

    handle_startendtag = handle_starttag


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """Its folder: that which SITE names, if `make site` has just written it, or a new one."""
    if "SITE" in os.environ:
        return Path(os.environ["SITE"])
    out = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-E", "-q"]
        + ["-c", "docs", "-d", str(tmp_path_factory.mktemp("doctrees")), ".", str(out)],
        cwd=ROOT,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return out


@pytest.fixture(scope="module")
def pages(site):
    return {path.relative_to(site).as_posix(): Page(path) for path in site.rglob("*.html")}


def test_links_lead_somewhere(site, pages):
    broken, checked = [], 0
    for name, page in pages.items():
        for target in page.targets:
            parts = urlsplit(target)
            if parts.scheme or parts.netloc:
                continue
            checked += 1
            path = (site / name).parent / unquote(parts.path) if parts.path else site / name
            path = Path(os.path.normpath(path))
            other = pages.get(path.relative_to(site).as_posix()) if path.suffix == ".html" else None
            fragment = unquote(parts.fragment)
            if not path.exists() or (other and fragment and fragment not in other.anchors):
                broken.append(f"{name}: {target}")
    assert not broken
    assert checked > 100


def test_every_notebook_is_there_with_its_pictures(pages):
    notebooks = [*ROOT.glob("notebooks/*.ipynb"), *ROOT.glob("notebooks/zh/*.ipynb")]
    assert notebooks
    for path in notebooks:
        name = path.relative_to(ROOT).with_suffix(".html").as_posix()
        cells = json.loads(path.read_text("utf-8"))["cells"]
        outputs = [output for cell in cells for output in cell.get("outputs", [])]
        kinds = [kind for output in outputs for kind in output.get("data", {})]
        assert pages[name].pictures == sum(kind.startswith("image/") for kind in kinds), name
        front = {os.path.normpath(urlsplit(target).path) for target in pages["index.html"].targets}
        assert name in front


def test_notebooks_link_to_pages(pages):
    targets = [target for name, page in pages.items() for target in page.targets]
    address = r"https://github\.com/.*/blob/main/notebooks/.*\.ipynb$"
    assert not [target for target in targets if re.match(address, target)]
    assert not [target for target in targets if re.fullmatch(r"[^:]*\.ipynb", target)]


def test_every_public_name_is_described(site):
    inventory = (site / "objects.inv").read_bytes().split(b"\n", 4)[4]
    objects = {line.split()[0] for line in zlib.decompress(inventory).decode().splitlines()}
    names = set(alexnet_keras.__all__) - {"__version__"}
    assert names <= {name.removeprefix("alexnet_keras.") for name in objects}


def test_search_index_knows_the_words(site):
    index = (site / "searchindex.js").read_text("utf-8")
    for word in ("overlap", "localresponsenormalization", "caffenet"):
        assert word in index.lower()


def test_nothing_is_fetched_from_elsewhere(site):
    for path in site.rglob("*.html"):
        text = path.read_text("utf-8")
        assert not re.search(r"<(script|link)[^>]+(src|href)=\"https?:", text), path
        assert 'name="viewport"' in text, path


@pytest.fixture(scope="module")
def chromium():
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if look.find_browser() is None:
        pytest.skip("there is no Chromium or Chrome")
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(
            executable_path=look.find_browser(), args=["--no-sandbox"]
        )
        yield browser
        browser.close()


@pytest.mark.parametrize("width", [390, 1200])
def test_pages_fit_the_screen(chromium, site, width):
    page = chromium.new_page(viewport={"width": width, "height": 900})
    for path in sorted(site.rglob("*.html")):
        page.goto(path.as_uri(), wait_until="domcontentloaded")
        assert page.evaluate("document.documentElement.scrollWidth") <= width, path.name
    page.close()


@pytest.mark.parametrize("words", ["overlapping pooling", "wilson_interval", "局部响应归一化"])
def test_search_finds(chromium, site, words):
    page = chromium.new_page()
    page.goto(f"{(site / 'search.html').as_uri()}?q={words}", wait_until="domcontentloaded")
    page.wait_for_selector("#search-results li a", timeout=20_000)
    page.close()
