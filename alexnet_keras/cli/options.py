"""The options of each command; those of a dataclass are made from its fields."""

import argparse
import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import get_args

import docstring_parser

from alexnet_keras.common import __version__, packaged_runs
from alexnet_keras.configuration import Devices, TrainingConfig, choices

Command = Callable[[argparse.Namespace], int | None]


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, not {number}")
    return number


_positive.__name__ = "integer"  # argparse names it in its message


class _HelpFormatter(argparse.ArgumentDefaultsHelpFormatter):
    """Tells defaults, but for those that say nothing."""

    def _get_help_string(self, action):
        if action.default is None or action.default is False:
            return action.help
        return super()._get_help_string(action)


_DATA = ("data", "data_dir", "validation_fraction", "skip_bad")
_NETWORK = ("variant", "width", "image_size", "activation", "normalization", "columns")
_NETWORK += ("overlapping", "dropout")
_START = ("initialization", "seed", "from_weights", "freeze", "transfer_rate")
_RECIPE = ("epochs", "batch_size", "learning_rate", "rate_rule", "momentum", "weight_decay")
_RECIPE += ("schedule", "patience", "precision", "deterministic", "jit_compile")
_AUGMENTATION = ("crop", "mirror", "color_noise", "mean")
_ABLATION = ("width", "image_size", "epochs", "batch_size", "learning_rate", "schedule")


def _add_fields(parser, title, kind, names=None, **defaults):
    """Adds an option for each field of a dataclass, by its type and its entry in the docstring."""
    group = parser.add_argument_group(title)
    entries = docstring_parser.parse(kind.__doc__).params
    texts = {entry.arg_name: " ".join(entry.description.split()) for entry in entries}
    for field in dataclasses.fields(kind):
        if names is not None and field.name not in names:
            continue
        text = texts[field.name].rstrip(".").replace("%", "%%")
        how = {"default": defaults.get(field.name, field.default), "help": text}
        allowed = [value for value in choices(field.type) or () if value is not None]
        plain = next(
            (t for t in (int, float, str) if t in (field.type, *get_args(field.type))), None
        )
        if allowed:
            how |= {"choices": allowed, "type": type(allowed[0])}
            if len(allowed) > 8:  # too many for the line of usage
                how |= {"metavar": "NAME", "help": f"{text}: {', '.join(allowed)}"}
        elif bool in (field.type, *get_args(field.type)):
            how["action"] = argparse.BooleanOptionalAction
        elif plain:
            how["type"] = plain
        else:  # a sequence of words
            how |= {"type": lambda words: words.split(","), "metavar": "A,B,..."}
        group.add_argument(f"--{field.name.replace('_', '-')}", **how)


def parser(
    commands: Mapping[str, Callable[[argparse.Namespace], int | None]],
) -> argparse.ArgumentParser:
    """The parser of all commands.

    Args:
        commands: the function of each, by name; the parsed `command` is one of them.
    """
    whole = argparse.ArgumentParser(
        prog="alexnet-keras",
        description="AlexNet for Keras 3: look at the network, train it, evaluate it, use it.",
        epilog="`alexnet-keras COMMAND --help` tells more of a command.",
    )
    whole.add_argument("--version", action="version", version=__version__)
    subparsers = whole.add_subparsers(title="commands", required=True, metavar="COMMAND")

    def command(name, help):
        sub = subparsers.add_parser(
            name,
            help=help,
            description=f"{help[0].upper()}{help[1:]}.",
            formatter_class=_HelpFormatter,
            allow_abbrev=False,
        )
        sub.set_defaults(command=commands[name])
        return sub

    summary = command("summary", "print every layer's shape, parameters and cost")
    _add_fields(summary, "network", TrainingConfig, _NETWORK, image_size=227, width=1.0)
    summary.add_argument("--classes", type=int, default=1000, help="number of classes")

    train = command("train", "train a network and write a report")
    for title, names in (
        ("data", _DATA),
        ("network", _NETWORK),
        ("start", _START),
        ("recipe", _RECIPE),
        ("augmentation", _AUGMENTATION),
    ):
        _add_fields(train, title, TrainingConfig, names)
    _add_fields(train, "devices", Devices)
    train.add_argument(
        "--checkpoint-seconds",
        type=float,
        default=60.0,
        help="from one checkpoint to the next",
    )
    train.add_argument(
        "--checkpoint-steps",
        type=_positive,
        help="a checkpoint after so many steps of an epoch, and after each, in the place of that",
    )
    folder = train.add_argument_group("folder").add_mutually_exclusive_group()
    folder.add_argument(
        "--out", type=Path, help="of the run, new or empty (default: runs/DATA-VARIANT)"
    )
    folder.add_argument(
        "--resume", type=Path, metavar="RUN", help="go on with a run that was cut off, as it was"
    )

    ablate = command("ablate", "switch each of the paper's ideas off, and compare")
    _add_fields(ablate, "data", TrainingConfig, _DATA)
    # plateau would not be the same in all the runs
    _add_fields(ablate, "network and recipe", TrainingConfig, _ABLATION, schedule="cosine")
    runs = ablate.add_argument_group("runs")
    runs.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="a run for each")
    runs.add_argument(
        "--conditions",
        nargs="+",
        metavar="NAME",
        help="of experiments.CONDITIONS: base, tanh, no-lrn and so on (default: all)",
    )
    ablate.add_argument(
        "--out", type=Path, required=True, help="folder, new or of the same settings: it goes on"
    )

    prepare = command("prepare", "scale a data set's pictures once, for faster training")
    _add_fields(prepare, "data", TrainingConfig, _DATA)
    prepare.add_argument(
        "--side", type=_positive, default=256, help="of the squares, pixels: 256 for crops of 227"
    )
    prepare.add_argument("--quality", type=_positive, default=95, help="of the JPEG files, to 100")
    prepare.add_argument(
        "--out", type=Path, required=True, help="folder, new or left by a call that was cut off"
    )

    a_run = f"folder that train wrote, or a network of the package: {', '.join(packaged_runs())}"
    evaluate = command("evaluate", "evaluate a run on one of its splits")
    evaluate.add_argument("run", type=Path, help=a_run)
    evaluate.add_argument(
        "--split", choices=("train", "validation"), default="validation", help="of the data"
    )
    evaluate.add_argument("--data", help="other data of the same classes (default: the run's)")
    evaluate.add_argument("--batch-size", type=_positive, default=128, help="images a step")
    evaluate.add_argument("--data-dir", help="where TensorFlow Datasets keeps its data, if moved")
    evaluate.add_argument(
        "--out",
        type=Path,
        help="folder for the report (default: evaluation-SPLIT-VIEWS in the run)",
    )

    predict = command("predict", "name what is in pictures")
    predict.add_argument("run", type=Path, help=a_run)
    predict.add_argument("pictures", type=Path, nargs="+", help="files, or folders of them")
    predict.add_argument("--top", type=_positive, default=5, help="how many classes to print")
    predict.add_argument("--json", action="store_true", help="print JSON")
    export = command("export", "write a run's network for another runtime")
    export.add_argument("run", type=Path, help=a_run)
    export.add_argument(
        "--format",
        required=True,
        choices=("keras", "saved_model", "onnx", "litert", "litert_int8"),
        help="saved_model takes JPEG or PNG files, the others prepared pictures",
    )
    export.add_argument("--out", type=Path, help="file or folder (default: in the run)")
    for sub in (evaluate, predict):
        sub.add_argument(
            "--views", type=int, choices=(1, 10), default=1, help="central crop, or the paper's ten"
        )
    for sub in (evaluate, predict, export):
        sub.add_argument(
            "--weights", choices=("best", "last"), default="best", help="of which epoch"
        )
    return whole
