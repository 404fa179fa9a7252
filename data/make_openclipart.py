#!/usr/bin/env python3
"""Make the embedded ``openclipart`` data set from Debian's package ``openclipart-png``.

The package holds the Open Clip Art Library 0.18, drawings given to the public domain and sorted
into folders. This script turns ten groups of those folders into a small image classification set
that TensorFlow Datasets reads from its directory:

    tfds.builder_from_directory("data/openclipart/1.0.0")

Usage::

    apt-get download openclipart-png
    python data/make_openclipart.py openclipart-png_*.deb

What goes into which class and what is left out stands in ``selection.toml`` beside this file.
The result depends only on the package, the selection, this file and the versions of the libraries
(Pillow above all): nothing is drawn at random.
"""

from __future__ import annotations

import argparse
import collections
import dataclasses
import fnmatch
import hashlib
import io
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import imagehash
import numpy as np
import PIL
import scipy
from PIL import Image, ImageChops, ImageDraw, ImageFont
from scipy import ndimage
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

HERE = Path(__file__).resolve().parent
PICTURES_IN_PACKAGE = "usr/share/openclipart/png"
NAME = "openclipart"
VERSION = "1.0.0"
SPLITS = ("train", "validation")
DESCRIPTION = (
    "Drawings from the Open Clip Art Library (release 0.18, as packaged by Debian), flattened on "
    "white, cut to their content and scaled to a shorter side of 96 pixels. The label is the "
    "folder a drawing was filed under. No drawing and no near-duplicate is in both splits."
)
CITATION = "Open Clip Art Library, release 0.18. Public domain dedication."

# Pictures.
SHORT_SIDE = 96
MARGIN = 0.04  # white kept round the content, as a share of its longer side
PADDED_ASPECT = 2.0  # slimmer pictures are widened with white up to this ratio
MAX_ASPECT = 4.0  # slimmer content than this is dropped: mostly banners and rules
MIN_LONG_SIDE = 90  # content smaller than this would be blown up too far
MAX_PIXELS = 100_000_000  # a few renderings are above 10,000 pixels a side
MIN_INK = 0.012  # least share of pixels that differ from white
JPEG_QUALITY = 90

# Near-duplicates. The numbers were set by looking at the pairs just above and below them.
SAME_DRAWING = 4.0  # mean absolute difference of 32 x 32 RGB below which a copy is dropped
SAME_CARD = 0.5  # the same in classes with explicit groups, where pictures differ in details
CUT = 2  # pixels cut from one side of a comparison picture, to allow for an addition there
CUTS = ((0, 0, 0, 0), (CUT, 0, 0, 0), (0, CUT, 0, 0), (0, 0, CUT, 0), (0, 0, 0, CUT))
SERIES_LETTERS = 16  # file names in the package are cut short, so only their start is compared
GRAY_CORRELATION = 0.93
EDGE_CORRELATION = 0.78
OUTLINE_CORRELATION = 0.95  # of filled silhouettes, together with OUTLINE_EDGES
OUTLINE_EDGES = 0.60
HASH_BITS = 8  # Hamming distance of 64-bit perceptual hashes, together with HASH_EDGES
HASH_EDGES = 0.55
ASPECT_TOLERANCE = 0.35  # of the logarithm of the aspect ratio; flags come as 1:2 and 2:3

# Split.
VALIDATION_SHARE = 0.2
CLASS_CAP = 260


@dataclasses.dataclass(frozen=True)
class ClassRule:
    """Where the pictures of one class come from."""

    name: str
    folders: tuple[str, ...]
    extra: tuple[str, ...]
    group: str | None  # regular expression; its first group names what must stay together
    validation_groups: tuple[str, ...]
    trim: str  # "content" cuts white margins too, "alpha" only transparent ones


@dataclasses.dataclass(frozen=True)
class Exclusion:
    """Paths that are left out and why; ``classes`` empty means from every class."""

    reason: str
    paths: tuple[str, ...]
    classes: tuple[str, ...]


@dataclasses.dataclass
class Picture:
    """One picture of the set, with what is needed to compare it with others."""

    path: str
    label: str
    image: Image.Image
    thumb: np.ndarray = dataclasses.field(repr=False)
    gray: np.ndarray = dataclasses.field(repr=False)
    edges: np.ndarray = dataclasses.field(repr=False)
    outline: np.ndarray = dataclasses.field(repr=False)
    phash: np.ndarray = dataclasses.field(repr=False)
    edge_phash: np.ndarray = dataclasses.field(repr=False)
    cluster: int = -1
    split: str = "train"

    @property
    def log_aspect(self) -> float:
        """Logarithm of width over height."""
        return float(np.log(self.image.width / self.image.height))


class RejectedError(Exception):
    """A picture that fails a rule; the message names the rule."""


# --- choosing the files ----------------------------------------------------------------------


def load_selection(path: Path) -> tuple[list[ClassRule], list[Exclusion], list[list[str]]]:
    """Read the classes, the exclusions and the extra series from a TOML file."""
    with path.open("rb") as file:
        data = tomllib.load(file)
    classes = [
        ClassRule(
            name=name,
            folders=tuple(rule["folders"]),
            extra=tuple(rule.get("extra", ())),
            group=rule.get("group"),
            validation_groups=tuple(rule.get("validation_groups", ())),
            trim=rule.get("trim", "content"),
        )
        for name, rule in sorted(data["classes"].items())
    ]
    exclusions = [
        Exclusion(item["reason"], tuple(item["paths"]), tuple(item.get("classes", ())))
        for item in data.get("exclude", ())
    ]
    return classes, exclusions, list(data.get("series", ()))


def matches(path: str, patterns: Iterable[str]) -> bool:
    """Whether a path matches one of the shell patterns (``*`` also matches ``/``)."""
    return any(fnmatch.fnmatchcase(path, pattern) for pattern in patterns)


def choose(
    root: Path, classes: Sequence[ClassRule], exclusions: Sequence[Exclusion]
) -> tuple[list[tuple[str, ClassRule]], collections.Counter[str]]:
    """List the pictures of every class in path order, and count what the list leaves out."""
    paths = sorted(p.relative_to(root).as_posix() for p in root.rglob("*.png"))
    chosen: list[tuple[str, ClassRule]] = []
    reasons: collections.Counter[str] = collections.Counter()
    for path in paths:
        # A file named under "extra" belongs there even if another class owns its folder.
        owners = [rule for rule in classes if matches(path, rule.extra)]
        if not owners:
            owners = [
                rule for rule in classes if any(path.startswith(f"{f}/") for f in rule.folders)
            ]
            # "transportation/roadsigns" wins over "transportation".
            owners.sort(key=lambda r: -max(len(f) for f in r.folders if path.startswith(f"{f}/")))
        if not owners:
            continue
        rule = owners[0]
        why = next(
            (
                e.reason
                for e in exclusions
                if (not e.classes or rule.name in e.classes) and matches(path, e.paths)
            ),
            None,
        )
        if why:
            reasons[f"list: {why}"] += 1
        else:
            chosen.append((path, rule))
    return chosen, reasons


# --- rendering -------------------------------------------------------------------------------


def flatten(file: Path, trim: str) -> Image.Image:
    """Open a picture, lay it on white and cut it to its content.

    Raises:
        RejectedError: the file is unreadable, blank, far too large, tiny or very elongated.
    """
    try:
        with Image.open(file) as source:
            if source.width * source.height > MAX_PIXELS:
                raise RejectedError("rendering above 100 megapixels")
            rgba = source.convert("RGBA")
    except (OSError, ValueError, Image.DecompressionBombError) as error:
        raise RejectedError("unreadable file") from error
    flat = Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba).convert("RGB")
    if trim == "alpha":
        box = rgba.getchannel("A").point(lambda a: 255 if a > 16 else 0).getbbox()
    else:
        white = Image.new("RGB", flat.size, "white")
        ink = ImageChops.difference(flat, white).convert("L")
        box = ink.point(lambda v: 255 if v > 12 else 0).getbbox()
    if box is None:
        raise RejectedError("blank")
    return flat.crop(box)


def render(file: Path, trim: str) -> Image.Image:
    """Make the picture that goes into the set: RGB, shorter side ``SHORT_SIDE``.

    Raises:
        RejectedError: see :func:`flatten`; or too little of the picture differs from white.
    """
    content = flatten(file, trim)
    long, short = max(content.size), min(content.size)
    if long < MIN_LONG_SIDE:
        raise RejectedError("content smaller than 90 pixels")
    if long / short > MAX_ASPECT:
        raise RejectedError("content more than four times as long as wide")
    margin = round(MARGIN * long)
    width, height = (side + 2 * margin for side in content.size)
    least = round(max(width, height) / PADDED_ASPECT)
    canvas = Image.new("RGB", (max(width, least), max(height, least)), "white")
    canvas.paste(
        content, ((canvas.width - content.width) // 2, (canvas.height - content.height) // 2)
    )
    scale = SHORT_SIDE / min(canvas.size)
    size = (max(SHORT_SIDE, round(canvas.width * scale)),
            max(SHORT_SIDE, round(canvas.height * scale)))  # fmt: skip
    picture = canvas.resize(size, Image.Resampling.LANCZOS)
    ink = np.asarray(picture.convert("L")) < 240
    if ink.mean() < MIN_INK:
        raise RejectedError("nearly blank")
    return picture


def normalised(array: np.ndarray) -> np.ndarray:
    """Flatten to a vector of zero mean and unit length, so that a dot product correlates."""
    vector = array.astype(np.float64).ravel()
    vector -= vector.mean()
    return vector / max(float(np.linalg.norm(vector)), 1e-9)


def describe(path: str, label: str, image: Image.Image) -> Picture:
    """Compute what pictures are compared by.

    Gray levels find copies at another size. The edges (colour gradients blurred a little) and the
    filled silhouette do not change when a drawing is recoloured or stripped of its colours.
    """
    square = image.resize((64, 64), Image.Resampling.BOX)
    channels = np.asarray(square, dtype=np.float64)
    gradient = np.max(
        [
            np.hypot(ndimage.sobel(channels[..., c], 0), ndimage.sobel(channels[..., c], 1))
            for c in range(3)
        ],
        axis=0,
    )
    # The square root keeps weak edges of pale drawings comparable with strong ones.
    edges = ndimage.gaussian_filter(np.sqrt(gradient), 1.0)
    ink = (255 - channels).max(axis=2) > 20
    outline = ndimage.gaussian_filter(ndimage.binary_fill_holes(ink).astype(np.float64), 1.0)
    edge_image = Image.fromarray(np.clip(edges * 255 / max(edges.max(), 1e-9), 0, 255).astype("u1"))
    return Picture(
        path=path,
        label=label,
        image=image,
        thumb=np.asarray(image.resize((32, 32), Image.Resampling.BOX), dtype=np.float64),
        gray=np.asarray(image.convert("L").resize((24, 24), Image.Resampling.BOX)),
        edges=edges[::2, ::2],
        outline=outline[::2, ::2],
        phash=imagehash.phash(image).hash,
        edge_phash=imagehash.phash(edge_image).hash,
    )


# --- near-duplicates -------------------------------------------------------------------------


def drop_copies(
    pictures: list[Picture], rules: dict[str, ClassRule]
) -> tuple[list[Picture], collections.Counter[str]]:
    """Keep the first of pictures that are the same drawing at whatever size.

    A drawing filed under two classes has no clear label, so none of its copies is kept.
    """
    thumbs = np.stack([p.thumb.ravel() for p in pictures])
    aspects = np.array([p.log_aspect for p in pictures])
    kept: list[Picture] = []
    gone: set[int] = set()
    reasons: collections.Counter[str] = collections.Counter()
    for i, picture in enumerate(pictures):
        if i in gone:
            continue
        distance = np.abs(thumbs[i + 1 :] - thumbs[i]).mean(axis=1)
        close = np.abs(aspects[i + 1 :] - aspects[i]) < 0.05
        limit = SAME_DRAWING if rules[picture.label].group is None else SAME_CARD
        same = [int(j) + i + 1 for j in np.flatnonzero((distance < limit) & close)]
        same = [j for j in same if j not in gone]
        gone.update(same)
        if any(pictures[j].label != picture.label for j in same):
            reasons["rule: drawing filed under two classes"] += 1 + len(same)
        else:
            reasons["rule: copy of another picture"] += len(same)
            kept.append(picture)
    return kept, reasons


def correlation(pictures: Sequence[Picture], attribute: str) -> np.ndarray:
    """Correlate every pair and take the best of several ways to lay one upon the other.

    The second picture is taken as it is, mirrored, and with a strip cut off at each of its sides:
    an apple with a worm is the apple without it once the worm's side is cut.
    """
    plain = np.stack([normalised(getattr(p, attribute)) for p in pictures])
    best = np.full((len(pictures),) * 2, -1.0)
    for flip in (1, -1):
        for top, bottom, left, right in CUTS:
            other = np.stack(
                [normalised(cut(getattr(p, attribute), top, bottom, left, right)[:, ::flip])
                 for p in pictures]
            )  # fmt: skip
            np.maximum(best, plain @ other.T, out=best)
    return np.maximum(best, best.T)


def cut(array: np.ndarray, top: int, bottom: int, left: int, right: int) -> np.ndarray:
    """Cut strips off the sides of an array and stretch the rest to the old size."""
    if not (top or bottom or left or right):
        return array
    rows, columns = array.shape
    image = Image.fromarray(array.astype(np.float32))
    box = (left, top, columns - right, rows - bottom)
    return np.asarray(image.resize((columns, rows), Image.Resampling.BILINEAR, box=box))


def hash_distance(pictures: Sequence[Picture], attribute: str) -> np.ndarray:
    """Hamming distance of the perceptual hashes of every pair."""
    bits = np.stack([getattr(p, attribute).ravel() for p in pictures]).astype(np.int32)
    return bits @ (1 - bits).T + (1 - bits) @ bits.T


def series_of(path: str, series: Sequence[Sequence[str]]) -> str:
    """Name the series of a picture: its file name without numbers and colour suffixes."""
    for patterns in series:
        if matches(path, patterns):
            return f"series {patterns[0]}"
    stem = Path(path).stem.lower()
    stem = re.sub(r"_(bw|b_w|b_amp_w|b|colour|color)(?=_|\d|$)", "", stem)
    stem = re.sub(r"\d+[a-z]?(?=_|\.|-|$)", "", stem)
    return re.sub(r"[_.-]+", "_", stem).strip("_")[:SERIES_LETTERS]


def link(
    pictures: Sequence[Picture], rules: dict[str, ClassRule], series: Sequence[Sequence[str]]
) -> np.ndarray:
    """Say of every pair whether the two are variants of one drawing or belong to one series."""
    gray, edges = correlation(pictures, "gray"), correlation(pictures, "edges")
    outline = correlation(pictures, "outline")
    bits = np.minimum(hash_distance(pictures, "phash"), hash_distance(pictures, "edge_phash"))
    aspects = np.array([p.log_aspect for p in pictures])
    alike = (
        (gray > GRAY_CORRELATION)
        | (edges > EDGE_CORRELATION)
        | ((outline > OUTLINE_CORRELATION) & (edges > OUTLINE_EDGES))
        | ((bits <= HASH_BITS) & (edges > HASH_EDGES))
    ) & (np.abs(aspects[:, None] - aspects[None, :]) < ASPECT_TOLERANCE)
    names = np.array([f"{p.label}: {series_of(p.path, series)}" for p in pictures])
    linked = alike | (names[:, None] == names[None, :])
    # Cards of a pack differ in a few pips only. They are kept together by an explicit group.
    for label, rule in rules.items():
        if rule.group is None:
            continue
        inside = np.flatnonzero([p.label == label for p in pictures])
        groups = np.array([group_of(pictures[i].path, rule) for i in inside])
        linked[inside, :] = False
        linked[:, inside] = False
        linked[np.ix_(inside, inside)] = groups[:, None] == groups[None, :]
    return linked


def group_of(path: str, rule: ClassRule) -> str:
    """Name the explicit group of a picture, for classes that have a ``group`` expression."""
    found = re.search(rule.group or "", Path(path).stem)
    return found.group(1) if found else "other"


def find_clusters(
    pictures: list[Picture], rules: dict[str, ClassRule], series: Sequence[Sequence[str]]
) -> None:
    """Give every picture the number of the connected group of linked pictures it is in."""
    rows, columns = np.nonzero(link(pictures, rules, series))
    graph = coo_matrix((np.ones(len(rows)), (rows, columns)), shape=(len(pictures),) * 2)
    _, clusters = connected_components(graph, directed=False)
    for picture, cluster in zip(pictures, clusters, strict=True):
        picture.cluster = int(cluster)


# --- split -----------------------------------------------------------------------------------


def rank(text: str) -> str:
    """Order that looks random but is fixed by the text alone."""
    return hashlib.sha256(text.encode()).hexdigest()


def cap(pictures: list[Picture]) -> tuple[list[Picture], collections.Counter[str]]:
    """Thin out classes above ``CLASS_CAP``, the largest clusters first."""
    kept: list[Picture] = []
    reasons: collections.Counter[str] = collections.Counter()
    for label in sorted({p.label for p in pictures}):
        clusters: dict[int, list[Picture]] = collections.defaultdict(list)
        members = [p for p in pictures if p.label == label]
        for picture in sorted(members, key=lambda p: rank(p.path)):
            clusters[picture.cluster].append(picture)
        surplus = sum(map(len, clusters.values())) - CLASS_CAP
        for _ in range(max(0, surplus)):
            largest = max(clusters.values(), key=lambda c: (len(c), rank(c[0].path)))
            largest.pop()
            reasons["rule: class above its cap"] += 1
        kept += [p for cluster in clusters.values() for p in cluster]
    return sorted(kept, key=lambda p: p.path), reasons


def split(pictures: list[Picture], rules: dict[str, ClassRule]) -> None:
    """Choose the validation pictures: whole groups where named, otherwise single pictures.

    A cluster of several pictures stays in training unless a class has too few single ones.
    """
    clusters: dict[int, list[Picture]] = collections.defaultdict(list)
    for picture in pictures:
        clusters[picture.cluster].append(picture)
    for label, rule in sorted(rules.items()):
        members = [p for p in pictures if p.label == label]
        if rule.group is not None:
            for picture in members:
                if group_of(picture.path, rule) in rule.validation_groups:
                    picture.split = "validation"
            continue
        target = round(VALIDATION_SHARE * len(members))
        pure = [c for c in clusters.values() if all(p.label == label for p in c)]
        taken = 0
        for cluster in sorted(pure, key=lambda c: (len(c), rank(c[0].path))):
            if taken + len(cluster) > target:
                break
            taken += len(cluster)
            for picture in cluster:
                picture.split = "validation"


# --- writing ---------------------------------------------------------------------------------


def jpeg(image: Image.Image) -> bytes:
    """Encode without chroma subsampling: clip art has sharp edges between flat colours."""
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=JPEG_QUALITY, subsampling=0, optimize=True)
    return buffer.getvalue()


def write_tfds(pictures: Sequence[Picture], labels: Sequence[str], out: Path) -> None:
    """Write one TFRecord file a split and the metadata that TensorFlow Datasets reads."""
    import tensorflow as tf
    import tensorflow_datasets as tfds

    features = tfds.features.FeaturesDict(
        {
            "filename": tfds.features.Text(),
            "image": tfds.features.Image(shape=(None, None, 3), encoding_format="jpeg"),
            "label": tfds.features.ClassLabel(names=list(labels)),
        }
    )
    template = tfds.core.ShardedFileTemplate(
        data_dir=out, dataset_name=NAME, split="train", filetype_suffix="tfrecord"
    )
    infos = []
    for name in SPLITS:
        # A fixed mixed order: a reader that shuffles little still sees all classes.
        chosen = sorted((p for p in pictures if p.split == name), key=lambda p: rank(p.path))
        file = template.replace(split=name).sharded_filepath(shard_index=0, num_shards=1)
        size = 0
        with tf.io.TFRecordWriter(str(file)) as writer:
            for picture in chosen:
                serialised = features.serialize_example(
                    {
                        "filename": picture.path,
                        "image": io.BytesIO(jpeg(picture.image)),
                        "label": picture.label,
                    }
                )
                # Protocol buffers do not promise an order of map entries unless asked to.
                record = tf.train.Example.FromString(serialised).SerializeToString(
                    deterministic=True
                )
                size += len(record)
                writer.write(record)
        infos.append(
            tfds.core.SplitInfo(
                name=name,
                shard_lengths=[len(chosen)],
                num_bytes=size,
                filename_template=template.replace(split=name),
            )
        )
    tfds.folder_dataset.write_metadata(
        data_dir=out,
        features=features,
        split_infos=infos,
        version=VERSION,
        description=DESCRIPTION,
        citation=CITATION,
        supervised_keys=("image", "label"),
        homepage="https://openclipart.org/",
    )


def write_checksums(out: Path) -> None:
    """Write SHA256SUMS in the form that ``sha256sum --check`` reads."""
    target = out / "SHA256SUMS"
    lines = [
        f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {file.name}\n"
        for file in sorted(out.iterdir())
        if file != target
    ]
    target.write_text("".join(lines), encoding="ascii")


def contact_sheet(pictures: Sequence[Picture], labels: Sequence[str], file: Path) -> None:
    """Draw a row of sample pictures for every class, with its name."""
    columns, cell, name_width, gap = 10, 74, 150, 6
    font = ImageFont.load_default(16)
    sheet = Image.new("RGB", (name_width + columns * cell, len(labels) * cell), "white")
    draw = ImageDraw.Draw(sheet)
    for row, label in enumerate(labels):
        draw.text((10, row * cell + cell // 2), label.replace("_", " "), "black", font, anchor="lm")
        shown: list[Picture] = []
        members = [p for p in pictures if p.label == label]
        for picture in sorted(members, key=lambda p: rank(p.path)):
            if picture.cluster not in {p.cluster for p in shown}:
                shown.append(picture)
        for column, picture in enumerate(shown[:columns]):
            thumb = picture.image.copy()
            thumb.thumbnail((cell - gap, cell - gap), Image.Resampling.LANCZOS)
            x = name_width + column * cell + (cell - thumb.width) // 2
            sheet.paste(thumb, (x, row * cell + (cell - thumb.height) // 2))
        if row:
            draw.line((0, row * cell, sheet.width, row * cell), "#d0d0d0")
    sheet.quantize(256).save(file, optimize=True)


def count_table(pictures: Sequence[Picture], labels: Sequence[str]) -> str:
    """Format the number of pictures a class and split as a Markdown table."""
    counts = collections.Counter((p.label, p.split) for p in pictures)
    lines = ["| class | train | validation | all |", "| --- | ---: | ---: | ---: |"]
    for label in labels:
        train, validation = (counts[label, name] for name in SPLITS)
        lines.append(f"| {label} | {train} | {validation} | {train + validation} |")
    train, validation = (sum(p.split == name for p in pictures) for name in SPLITS)
    lines.append(f"| **all** | {train} | {validation} | {train + validation} |")
    return "\n".join(lines)


def reason_table(reasons: collections.Counter[str]) -> str:
    """Format how many pictures were left out for which reason as a Markdown table."""
    lines = ["| left out because | pictures |", "| --- | ---: |"]
    lines += [f"| {reason} | {count} |" for reason, count in sorted(reasons.items())]
    return "\n".join(lines)


def fill_in(readme: Path, name: str, text: str) -> None:
    """Replace what stands between two marker comments of the README."""
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    page = readme.read_text(encoding="utf-8")
    if begin not in page or end not in page:
        raise SystemExit(f"{readme}: markers for {name!r} are missing")
    head, rest = page.split(begin, 1)
    tail = rest.split(end, 1)[1]
    readme.write_text(f"{head}{begin}\n{text}\n{end}{tail}", encoding="utf-8")


# --- command line ----------------------------------------------------------------------------


def picture_root(package: Path, scratch: Path) -> Path:
    """Find the folder of pictures in a .deb file or an extracted package."""
    if package.is_file():
        subprocess.run(["dpkg-deb", "--extract", str(package), str(scratch)], check=True)
        package = scratch
    root = package / PICTURES_IN_PACKAGE
    if not root.is_dir():
        raise SystemExit(f"{package}: holds no folder {PICTURES_IN_PACKAGE}")
    return root


def build(root: Path, selection: Path) -> tuple[list[Picture], list[str], collections.Counter[str]]:
    """Make the pictures of the set with their labels and splits, and count what was left out."""
    classes, exclusions, series = load_selection(selection)
    rules = {rule.name: rule for rule in classes}
    chosen, reasons = choose(root, classes, exclusions)
    pictures: list[Picture] = []
    for path, rule in progress(chosen):
        try:
            pictures.append(describe(path, rule.name, render(root / path, rule.trim)))
        except RejectedError as why:
            reasons[f"rule: {why}"] += 1
    pictures, copies = drop_copies(pictures, rules)
    find_clusters(pictures, rules, series)
    pictures, surplus = cap(pictures)
    split(pictures, rules)
    return pictures, [rule.name for rule in classes], reasons + copies + surplus


def progress(items: Sequence[tuple[str, ClassRule]]) -> Iterator[tuple[str, ClassRule]]:
    """Yield the items and say on standard error how far it has come."""
    for number, item in enumerate(items, 1):
        if number % 200 == 0:
            print(f"{number} of {len(items)} pictures", file=sys.stderr)
        yield item


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(
        description="Make the openclipart data set from Debian's package openclipart-png."
    )
    parser.add_argument("package", type=Path, help="the .deb file or the extracted folder")
    parser.add_argument(
        "--out",
        type=Path,
        default=HERE / NAME / VERSION,
        help="folder to write (replaced if it exists; default: %(default)s)",
    )
    parser.add_argument(
        "--selection",
        type=Path,
        default=HERE / "selection.toml",
        help="classes and exclusions (default: the file beside this script)",
    )
    parser.add_argument(
        "--readme", type=Path, help="README whose tables are to be filled in (default: none)"
    )
    parser.add_argument(
        "--sheet", type=Path, help="contact sheet to write, a PNG file (default: none)"
    )
    options = parser.parse_args(arguments)

    Image.MAX_IMAGE_PIXELS = None  # the files are trusted; size is checked before decoding
    with tempfile.TemporaryDirectory() as scratch:
        root = picture_root(options.package, Path(scratch))
        pictures, labels, reasons = build(root, options.selection)

    if options.out.exists():
        shutil.rmtree(options.out)
    options.out.mkdir(parents=True)
    write_tfds(pictures, labels, options.out)
    write_checksums(options.out)
    if options.sheet:
        contact_sheet(pictures, labels, options.sheet)
    if options.readme:
        fill_in(options.readme, "counts", count_table(pictures, labels))
        fill_in(options.readme, "left out", reason_table(reasons))
        versions = (("Pillow", PIL), ("NumPy", np), ("SciPy", scipy), ("ImageHash", imagehash))
        made_with = ", ".join(f"{name} {module.__version__}" for name, module in versions)
        fill_in(options.readme, "versions", f"{made_with}.")
    print(count_table(pictures, labels))
    print()
    print(reason_table(reasons))


if __name__ == "__main__":
    main()
