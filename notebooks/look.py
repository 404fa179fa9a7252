"""Takes pictures of the notebooks, so that somebody looks at them.

`python -m notebooks.look FOLDER` renders every notebook with its kept outputs to HTML and takes
pictures of it from top to bottom, at a wide page's width and at that of GitHub:
`FOLDER/01_architecture-1200-01.png` and so on. Formulas stay as they are written. It needs a
Chromium or Chrome and the package `playwright` (`requirements-site.txt`).
"""

import argparse
import importlib.util
import shutil
import sys
from pathlib import Path

from nbconvert import HTMLExporter

HERE = Path(__file__).parent
WIDTHS = (1200, 830)
HEIGHT = 1600
_BROWSERS = (
    "chromium",
    "chromium-browser",
    "google-chrome",
    "google-chrome-stable",
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
)


def main() -> int:
    """Writes the pictures; returns the exit status."""
    parser = argparse.ArgumentParser(description="Take pictures of notebooks in a browser.")
    parser.add_argument("folder", type=Path, help="where the pictures are written")
    parser.add_argument("notebooks", type=Path, nargs="*", help="files (default: all)")
    arguments = parser.parse_args()
    browser = find_browser()
    if browser is None:
        print("There is no Chromium or Chrome on this machine.", file=sys.stderr)
        return 1
    if importlib.util.find_spec("playwright") is None:
        print("`playwright` is missing: pip install -r requirements-site.txt", file=sys.stderr)
        return 1
    arguments.folder.mkdir(parents=True, exist_ok=True)
    for path in arguments.notebooks or sorted(HERE.glob("*.ipynb")):
        number = look(path, arguments.folder, browser)
        print(f"{path.name}: {number} pictures in {arguments.folder}")
    return 0


def find_browser() -> str | None:
    """The path of a Chromium or Chrome, or `None`."""
    return next(filter(None, map(shutil.which, _BROWSERS)), None)


def look(notebook: Path, folder: Path, browser: str) -> int:
    """Takes pictures of a notebook.

    Args:
        notebook: its file.
        folder: where the pictures are written, `<notebook>-<width>-<number>.png`. Older ones of the
            same notebook are removed.
        browser: path of a Chromium or Chrome.

    Returns:
        The number of pictures.

    Raises:
        ImportError: if `playwright` is not installed.
        ValueError: if a picture in the notebook cannot be shown.
    """
    from playwright.sync_api import sync_playwright

    for width in WIDTHS:
        for old in folder.glob(f"{notebook.stem}-{width}-*.png"):
            old.unlink()
    html = folder / f"{notebook.stem}.html"
    exporter = HTMLExporter(mathjax_url="", require_js_url="")  # nothing from the network
    html.write_text(exporter.from_filename(str(notebook))[0], encoding="utf-8")
    number = 0
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=browser, args=["--no-sandbox"])
        for width in WIDTHS:
            page = chromium.new_page(viewport={"width": width, "height": HEIGHT})
            page.goto(html.resolve().as_uri(), wait_until="domcontentloaded")
            page.wait_for_function("[...document.images].every(image => image.complete)")
            broken = page.evaluate(
                "[...document.images].filter(image => image.src.startsWith('data:')"
                " && !image.naturalWidth).length"
            )
            if broken:
                raise ValueError(
                    f"Every picture in {notebook.name} must be one that a browser can show. "
                    f"Received: {broken} that it cannot"
                )
            # A page is higher than the largest picture that Chromium takes: slices of it.
            height = page.evaluate("document.documentElement.scrollHeight")
            for part, top in enumerate(range(0, height, HEIGHT), start=1):
                clip = {"x": 0, "y": top, "width": width, "height": min(HEIGHT, height - top)}
                name = f"{notebook.stem}-{width}-{part:02d}.png"
                page.screenshot(path=folder / name, full_page=True, clip=clip)
                number += 1
            page.close()
        chromium.close()
    html.unlink()
    return number


if __name__ == "__main__":
    sys.exit(main())
