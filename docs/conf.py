"""The web edition: the course with its kept outputs, the pages, the API reference.

`make site` gives Sphinx the repository's root as the folder of sources, and this one for the
configuration alone, so that every file has one place and links between files hold in both.
"""

import importlib
import inspect
import re
import shutil
import sys
from importlib.util import find_spec
from pathlib import Path

from docutils import nodes
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.ext.autodoc.mock import mock
from sphinx.pycode import ModuleAnalyzer
from sphinx.util.inspect import signature as signature_of
from sphinx.util.inspect import stringify_signature

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

import alexnet_keras  # noqa: E402
from notebooks.links import repository_name  # noqa: E402

REPOSITORY = repository_name((ROOT / "pyproject.toml").read_text("utf-8"))
FACE = set(alexnet_keras.__all__)
ROOMS = (
    *("alexnet", "variants", "costs", "layers", "optimizers", "metrics", "configuration", "common"),
    *("weights", "pictures", "devices", "training", "evaluation", "inspection", "descendants"),
    *("exchange", "exchange.torch_twin", "experiments"),
)
MEMBERS = ("   :members:", "   :member-order: bysource")

project = "alexnet_keras"
version = release = alexnet_keras.__version__
root_doc = "README"
include_patterns = [
    "*.md",
    "docs/*.md",
    "data/README.md",
    "benchmarks/README.md",
    "benchmarks/results/README.md",
    "notebooks/*.ipynb",
    "notebooks/zh/*.ipynb",
]
exclude_patterns = [".*", "build", "dist", "runs", "site"]

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3
nb_execution_mode = "off"
nb_merge_streams = True
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
autodoc_inherit_docstrings = False
autodoc_mock_imports = [] if find_spec("torch") else ["torch"]
napoleon_use_ivar = True

# Types of other packages are not looked up, since their lists of names would have to be fetched.
nitpicky = True
nitpick_ignore_regex = [
    ("py:.*", r"(?!alexnet_keras\b).*"),
    ("py:class", r"alexnet_keras\.experiments\.lines\.Line"),  # a type variable
]

html_theme = "furo"
html_title = project
html_copy_source = False
html_theme_options = {"source_repository": f"https://github.com/{REPOSITORY}"}
html_math_renderer = "mathml"


def setup(app):
    app.connect("source-read", add_contents)
    app.connect("source-read", set_links)
    app.connect("autodoc-process-signature", set_signature)
    app.connect("autodoc-process-docstring", from_markdown, priority=1)  # napoleon comes after
    app.connect("build-finished", copy_front_page)
    app.add_html_math_renderer("mathml", (write_mathml, None), (write_mathml, None))


def add_contents(app, docname, source):
    """Appends the table of contents to the front page, and the names to the API's page."""
    if docname == root_doc:
        course = sorted((ROOT / "notebooks").glob("*.ipynb"))
        chinese = sorted((ROOT / "notebooks" / "zh").glob("*.ipynb"))
        source[0] += contents("The course", [(_english_title(p), _docname(p)) for p in course])
        pages = [
            "docs/api",
            "docs/scale",
            "benchmarks/README",
            "benchmarks/results/README",
            "data/README",
        ]
        source[0] += contents("Reference", [("", page) for page in pages])
        source[0] += contents("Project", [("", "CHANGELOG"), ("", "CONTRIBUTING")])
        entries = [("简介", "README.zh-CN"), *(("", _docname(path)) for path in chinese)]
        source[0] += contents("中文", entries)
    if docname == "docs/api":
        source[0] += "".join(reference(f"{project}.{room}") for room in ROOMS)


def contents(caption, entries):
    lines = [f"{title} </{name}>" if title else f"/{name}" for title, name in entries]
    lines = "\n".join(lines)
    return f"\n\n```{{toctree}}\n:hidden:\n:caption: {caption}\n\n{lines}\n```\n"


def _docname(path):
    return path.relative_to(ROOT).with_suffix("").as_posix()


def _english_title(path):
    return path.stem.replace("_", " ")


def reference(room):
    """A section, in MyST, on what a room offers: its `__all__`, or what the file defines."""
    with mock(autodoc_mock_imports):
        module = importlib.import_module(room)
    names = getattr(module, "__all__", None) or [
        name
        for name, value in vars(module).items()
        if getattr(value, "__module__", None) == room and not name.startswith("_")
    ]
    face = {name for name in FACE & vars(module).keys() if is_of(module, name)}
    lines = []
    for name in sorted({*names, *face}, key=str.lower):
        value = getattr(module, name)
        place = f"{project if name in face else room}.{name}"
        if inspect.isclass(value):
            lines += [f".. autoclass:: {place}", *MEMBERS]
        elif callable(value):
            lines += [f".. autofunction:: {place}"]
        elif text := data_docstring(room, name):
            from_markdown(None, "data", name, value, None, text)
            lines += [f".. py:data:: {place}", "", *(f"   {line}" for line in text)]
        lines.append("")
    about = inspect.cleandoc(module.__doc__)
    return (
        f"\n## {room.partition('.')[2]}\n\n{about}\n\n```{{eval-rst}}\n"
        + "\n".join(lines)
        + "\n```\n"
    )


def is_of(module, name):
    """Whether a name of the face is this room's own: not imported, nor torch's of the same name."""
    value = getattr(module, name)
    own = getattr(value, "__module__", module.__name__).startswith(module.__name__)
    return own and value is getattr(alexnet_keras, name)


def data_docstring(room, name):
    """The lines under a constant, in the file that defines it."""
    for file in [m for m in sys.modules if m == room or m.startswith(f"{room}.")]:
        texts = ModuleAnalyzer.for_module(file).find_attr_docs()
        if ("", name) in texts:
            return list(texts["", name])
    return []


def set_links(app, docname, source):
    """Lets a link to a folder lead to GitHub, one to GitHub to the page here, if there is one."""
    folder = Path(app.env.doc2path(docname)).parent

    def to_github(match):
        path = (folder / match.group(1)).resolve()
        if not path.is_dir():
            return match.group()
        return f"](https://github.com/{REPOSITORY}/tree/main/{path.relative_to(ROOT).as_posix()})"

    def to_page(match):
        if Path(match.group(1)).with_suffix("").as_posix() not in app.env.found_docs:
            return match.group()
        return f"](/{match.group(1)}"

    text = re.sub(r"\]\(([\w./-]+/)\)", to_github, source[0])
    address = re.escape(f"](https://github.com/{REPOSITORY}/blob/main/")
    source[0] = re.sub(address + r"([\w./-]+)", to_page, text)


def set_signature(app, what, name, value, options, signature, annotation):
    """Classes are called as their `__init__` says; Keras's own `__new__` takes anything."""
    if what == "class" and "__init__" in vars(value):
        parameters = signature_of(value.__init__, bound_method=True)
        return stringify_signature(parameters, show_annotation=False), annotation


def from_markdown(app, what, name, value, options, lines):
    """Docstrings have code as in Markdown; what is a public name becomes a link."""
    in_code, result = False, []
    for line in lines:
        if line.lstrip().startswith("- ") and result and _opens_list(line, result[-1]):
            result.append("")
        if line.strip().startswith("```"):
            result += [""] if in_code else ["::", ""]
            in_code = not in_code
        elif in_code:
            result.append(f"    {line}")
        else:  # |x| is an absolute value, not a substitution
            result.append(line if ">>>" in line else re.sub(r"\|(?=\w)", r"\|", line))

    def code(match):
        text = " ".join(match.group(1).split())
        public = text.removeprefix("alexnet_keras.")
        return f":py:obj:`{text} <alexnet_keras.{public}>`" if public in FACE else f"``{text}``"

    lines[:] = re.sub(r"(?<![`:])`(?!`)([^`]+)`(?!`)", code, "\n".join(result)).split("\n")


def _opens_list(line, before):
    """Whether an item stands directly under a line of text, which Markdown allows."""
    deeper = len(line) - len(line.lstrip()) > len(before) - len(before.lstrip())
    return before.strip() and (deeper or not before.startswith((" ", "- ")))


def write_mathml(writer, node):
    block = isinstance(node, nodes.math_block)
    formula = re.sub(r"\\([Bb]igg?)(?![a-zA-Z])", r"\\\1l", node.astext())  # it knows \Bigl only
    writer.body.append(tex2mathml(formula, as_block=block))
    raise nodes.SkipNode


def copy_front_page(app, exception):
    if exception is None:
        shutil.copy(Path(app.outdir) / f"{root_doc}.html", Path(app.outdir) / "index.html")
