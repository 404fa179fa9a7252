"""Three notebooks run in JupyterLab in a real browser, as a reader runs them.

Skipped where there is no Chromium or Chrome, or no `playwright` (`requirements-site.txt`). Takes
some minutes.
"""

import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from notebooks import look

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
NOTEBOOKS = ("01_architecture", "02_first_training", "11_looking_inside")
SECONDS = 600  # that a notebook may take; far more than it does


pytest.importorskip("playwright", reason="playwright is not installed: requirements-site.txt")


BROWSER = look.find_browser()


if BROWSER is None:
    pytest.skip("there is no Chromium or Chrome", allow_module_level=True)


@pytest.fixture(scope="module")
def chromium():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """The address of a JupyterLab that shows copies of the notebooks, without their outputs."""
    home = tmp_path_factory.mktemp("lab")
    folder = home / "notebooks"
    folder.mkdir()
    for path in ROOT.glob("notebooks/*.ipynb"):
        notebook = json.loads(path.read_text("utf-8"))
        for cell in notebook["cells"]:
            if cell["cell_type"] == "code":
                cell.update(outputs=[], execution_count=None)
        (folder / path.name).write_text(json.dumps(notebook), "utf-8")
    settings = home / "settings" / "@jupyterlab" / "notebook-extension"
    settings.mkdir(parents=True)  # all cells in the page, not only those on the screen
    (settings / "tracker.jupyterlab-settings").write_text('{"windowingMode": "none"}')
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(paths),
        "JUPYTER_CONFIG_DIR": str(home / "config"),
        "JUPYTER_DATA_DIR": str(home / "data"),
        "JUPYTER_RUNTIME_DIR": str(home / "runtime"),
        "JUPYTERLAB_SETTINGS_DIR": str(home / "settings"),
        "JUPYTERLAB_WORKSPACES_DIR": str(home / "workspaces"),
        "IPYTHONDIR": str(home / "ipython"),
    }
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root"]
    command += [
        f"--port={port}",
        "--IdentityProvider.token=course",
        f"--ServerApp.root_dir={folder}",
    ]
    with open(home / "log", "w") as log:
        server = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
        try:
            wait_for(address, server, home / "log")
            yield address
        finally:
            server.terminate()
            server.wait(60)


def wait_for(address, server, log):
    end = time.monotonic() + 120
    while time.monotonic() < end and server.poll() is None:
        try:
            urllib.request.urlopen(f"{address}/api?token=course", timeout=5).read()
            return
        except OSError:
            time.sleep(0.5)
    raise AssertionError(f"JupyterLab did not start: {log.read_text()[-2000:]}")


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_run_all_cells(chromium, lab, name):
    path = ROOT / "notebooks" / f"{name}.ipynb"
    if not path.is_file():
        pytest.skip(f"{path.name} is not there")
    cells = [c for c in json.loads(path.read_text("utf-8"))["cells"] if c["cell_type"] == "code"]
    outputs = [output for cell in cells for output in cell["outputs"]]
    pictures = sum(
        any(kind.startswith("image/") for kind in output.get("data", {})) for output in outputs
    )
    page = chromium.new_page(viewport={"width": 1200, "height": 1000})
    page.goto(f"{lab}/lab/tree/{path.name}?token=course&reset")
    page.wait_for_function(
        "number => document.querySelectorAll('.jp-Notebook .jp-CodeCell').length === number",
        arg=len(cells),
        timeout=120_000,
    )
    page.wait_for_selector(".jp-Notebook-ExecutionIndicator[data-status=idle]", timeout=120_000)
    assert page.locator(".jp-OutputArea-output").count() == 0

    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
    page.wait_for_function(
        """number => {
            const prompts = [...document.querySelectorAll(".jp-CodeCell .jp-InputPrompt")];
            const done = prompts.filter(each => /^\\[\\d+\\]:$/.test(each.textContent.trim()));
            const failed = document.querySelector("[data-mime-type$='jupyter.error']");
            return failed || done.length === number;
        }""",
        arg=len(cells),
        timeout=SECONDS * 1000,
    )
    page.wait_for_timeout(1000)  # for the last picture
    errors = page.locator("[data-mime-type$='jupyter.error']").all_inner_texts()
    shown = page.evaluate(
        """[...document.querySelectorAll(".jp-OutputArea-output img")].filter(image =>
            image.complete && image.naturalWidth > 100 && image.getBoundingClientRect().width > 100
        ).length"""
    )
    page.close()
    assert not errors
    assert shown == pictures > 0
