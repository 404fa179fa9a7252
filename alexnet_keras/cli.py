"""The command line: `alexnet-keras`, or `python -m alexnet_keras`."""

import argparse
import dataclasses
import json
import os
import re
import shlex
import sys
from collections.abc import Iterable
from pathlib import Path

from alexnet_keras import __version__
from alexnet_keras.common import EMBEDDED
from alexnet_keras.configuration import (
    DESCENDANTS,
    FREEZABLE,
    PRECISIONS,
    RATE_RULES,
    STRATEGIES,
    TrainingConfig,
)
from alexnet_keras.variants import VARIANTS

# Nothing that imports Keras stands up here: --help and argument errors come at once.


def main(argv: list[str] | None = None) -> int:
    """Runs a command.

    Args:
        argv: the arguments; `None` for those of the process.

    Returns:
        The exit status: 0, or 1 where something could not be done; 130 when interrupted.
    """
    arguments = _parser().parse_args(argv)
    arguments.words = sys.argv[1:] if argv is None else argv
    sys.stdout.reconfigure(errors="backslashreplace")  # names of files need not be UTF-8
    try:
        return arguments.command(arguments) or 0
    except (ValueError, OSError, ImportError) as error:
        message = _with_options(str(error), vars(arguments))
        print(f"alexnet-keras: error: {message}", file=sys.stderr)
        return 1
    except Exception as error:
        from alexnet_keras.common import Interrupted

        if not isinstance(error, Interrupted):
            raise
        print(f"alexnet-keras: {_with_options(str(error), vars(arguments))}", file=sys.stderr)
        return 128 + error.number
    except KeyboardInterrupt:
        print("alexnet-keras: interrupted", file=sys.stderr)
        return 130


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


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="alexnet-keras",
        description="AlexNet for Keras 3: look at the network, train it, evaluate it, use it.",
        epilog="`alexnet-keras COMMAND --help` tells more of a command.",
    )
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

    def command(name, function, help):
        sub = commands.add_parser(
            name,
            help=help,
            description=f"{help[0].upper()}{help[1:]}.",
            formatter_class=_HelpFormatter,
            allow_abbrev=False,
        )
        sub.set_defaults(command=function)
        return sub

    summary = command("summary", _summary, "print every layer's shape, parameters and cost")
    _add_network_options(summary, image_size=227, width=1.0)
    summary.add_argument("--classes", type=int, default=1000, help="number of classes")

    train = command("train", _train, "train a network and write a report")
    defaults = TrainingConfig()
    _add_data_options(train)
    _add_network_options(train, image_size=defaults.image_size, width=defaults.width)
    network = train.add_argument_group("start")
    network.add_argument(
        "--initialization",
        choices=("he", "variant"),
        default=defaults.initialization,
        help="initial weights: He et al.'s, or the variant's own, made for full width",
    )
    network.add_argument("--seed", type=int, default=defaults.seed, help="of everything at random")
    network.add_argument(
        "--from-weights",
        metavar="RUN_OR_FILE",
        help="all layers but fc8 from a run, a .keras file or published weights",
    )
    network.add_argument(
        "--freeze", choices=FREEZABLE, help="last of those layers that stay as they are"
    )
    network.add_argument(
        "--transfer-rate",
        type=float,
        default=defaults.transfer_rate,
        help="factor of the learning rate for those layers, less those that stay as they are",
    )
    recipe = train.add_argument_group("recipe")
    recipe.add_argument("--epochs", type=int, default=defaults.epochs, help="passes over the data")
    recipe.add_argument("--batch-size", type=int, default=defaults.batch_size, help="pictures")
    recipe.add_argument(
        "--learning-rate", type=float, default=defaults.learning_rate, help="at the start"
    )
    recipe.add_argument("--momentum", type=float, default=defaults.momentum, help="kept of a step")
    recipe.add_argument(
        "--weight-decay", type=float, default=defaults.weight_decay, help="of kernels, coupled"
    )
    recipe.add_argument(
        "--rate-rule",
        choices=tuple(RATE_RULES),
        default=defaults.rate_rule,
        help="how the learning rate grows with the batch size from the paper's 128",
    )
    recipe.add_argument(
        "--schedule",
        choices=("plateau", "cosine", "constant"),
        default=defaults.schedule,
        help="of the learning rate: divided by 10 when validation error is flat, or half a cosine",
    )
    recipe.add_argument(
        "--patience", type=int, default=defaults.patience, help="epochs that plateau waits"
    )
    recipe.add_argument(
        "--precision",
        choices=tuple(PRECISIONS),
        default=defaults.precision,
        help="of the arithmetic; weights stay float32",
    )
    pictures = train.add_argument_group("augmentation")
    for name, text in (("crop", "crops at random"), ("mirror", "mirror images")):
        pictures.add_argument(
            f"--{name}", action=argparse.BooleanOptionalAction, default=True, help=text
        )
    pictures.add_argument(
        "--color-noise",
        type=float,
        default=defaults.color_noise,
        help="standard deviation of the PCA colour noise, 0 for none",
    )
    pictures.add_argument(
        "--mean", choices=("color", "image"), default=defaults.mean, help="what is subtracted"
    )
    machine = train.add_argument_group("machine")
    machine.add_argument(
        "--strategy",
        choices=STRATEGIES,
        default="auto",
        help="mirrored: a replica of the network on each GPU; auto: that, where there are several; "
        "machines: on several machines as Slurm, Open MPI or Kubernetes start it",
    )
    machine.add_argument(
        "--replicas", type=_positive, help="how many; without a GPU the CPU is split (default: all)"
    )
    machine.add_argument(
        "--hosts",
        metavar="HOST:PORT,HOST,...",
        help="train on these machines together: the same command on each, with its own --rank "
        "(KERAS_BACKEND=jax)",
    )
    machine.add_argument("--rank", type=int, help="place of this machine in --hosts, from 0")
    machine.add_argument(
        "--deterministic",
        action="store_true",
        help="only operations that give the same bits each time, on a GPU too",
    )
    machine.add_argument(
        "--checkpoint-steps",
        type=_positive,
        default=500,
        help="steps between checkpoints within an epoch",
    )
    folder = train.add_argument_group("folder").add_mutually_exclusive_group()
    folder.add_argument(
        "--out", type=Path, help="of the run, new or empty (default: runs/DATA-VARIANT)"
    )
    folder.add_argument(
        "--resume", type=Path, metavar="RUN", help="go on with a run that was cut off, as it was"
    )

    _add_ablate(command("ablate", _ablate, "switch each of the paper's ideas off, and compare"))

    prepare = command("prepare", _prepare, "scale a data set's pictures once, for faster training")
    _add_data_options(prepare)
    prepare.add_argument(
        "--side", type=_positive, default=256, help="of the squares, pixels: 256 for crops of 227"
    )
    prepare.add_argument("--quality", type=_positive, default=95, help="of the JPEG files, to 100")
    prepare.add_argument(
        "--out", type=Path, required=True, help="folder, new or left by a call that was cut off"
    )

    a_run = f"folder that train wrote; {EMBEDDED} for the trained network of the package"
    evaluate = command("evaluate", _evaluate, "evaluate a run on one of its splits")
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

    predict = command("predict", _predict, "name what is in pictures")
    predict.add_argument("run", type=Path, help=a_run)
    predict.add_argument("pictures", type=Path, nargs="+", help="files, or folders of them")
    predict.add_argument("--top", type=_positive, default=5, help="how many classes to print")
    predict.add_argument("--json", action="store_true", help="print JSON")
    export = command("export", _export, "write a run's network for another runtime")
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
    return parser


def _add_ablate(parser):
    defaults = TrainingConfig()
    _add_data_options(parser)
    recipe = parser.add_argument_group("network and recipe")
    for name, kind, text in (
        ("width", float, "factor of maps and units"),
        ("image-size", int, "pixels, at least 64"),
        ("epochs", int, "passes over the data"),
        ("batch-size", int, "pictures"),
        ("learning-rate", float, "at the start"),
    ):
        default = getattr(defaults, name.replace("-", "_"))
        recipe.add_argument(f"--{name}", type=kind, default=default, help=text)
    recipe.add_argument(
        "--schedule",
        choices=("plateau", "cosine", "constant"),
        default="cosine",
        help="of the learning rate; plateau would not be the same in all the runs",
    )
    runs = parser.add_argument_group("runs")
    runs.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="a run for each")
    runs.add_argument(
        "--conditions",
        nargs="+",
        metavar="NAME",
        help="of experiments.CONDITIONS: base, tanh, no-lrn and so on (default: all)",
    )
    parser.add_argument(
        "--out", type=Path, required=True, help="folder, new or of the same settings: it goes on"
    )


def _add_data_options(parser):
    defaults = TrainingConfig()
    data = parser.add_argument_group("data")
    data.add_argument(
        "--data",
        default=defaults.data,
        metavar="NAME_OR_FOLDER",
        help="the embedded set (openclipart), a folder of class folders or one that prepare wrote, "
        "or a TensorFlow Datasets name such as imagenette/160px-v2",
    )
    data.add_argument("--data-dir", help="folder where TensorFlow Datasets keeps its data")
    data.add_argument(
        "--validation-fraction",
        type=float,
        default=defaults.validation_fraction,
        help="held out where the data has no split of its own",
    )
    data.add_argument(
        "--skip-bad", action="store_true", help="leave out files that cannot be decoded, list them"
    )


def _add_network_options(parser, image_size, width):
    network = parser.add_argument_group("network")
    network.add_argument(
        "--variant",
        choices=(*VARIANTS, *DESCENDANTS),
        default="paper",
        help="of AlexNet, or a network that came after it, see README",
    )
    network.add_argument("--width", type=float, default=width, help="factor of maps and units")
    network.add_argument("--image-size", type=int, default=image_size, help="pixels, at least 64")
    network.add_argument("--activation", default="relu", help="of the hidden layers")
    network.add_argument(
        "--normalization",
        choices=("lrn", "batch", "none"),
        help="after conv1 and conv2 (default: the variant's)",
    )
    network.add_argument(
        "--columns", type=int, choices=(1, 2), help="of the network (default: the variant's)"
    )
    network.add_argument(
        "--overlapping",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="pools of 3 x 3 with stride 2, else 2 x 2",
    )
    network.add_argument("--dropout", type=float, default=0.5, help="in fc6 and fc7")


def _import_tensorflow() -> None:
    """Imports TensorFlow and Keras and keeps their notes about themselves off the screen."""
    import logging

    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    # Since 2.20 the first notes come from C++ before that level is read.
    sys.stderr.flush()
    stderr = os.dup(2)
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        import keras
        import tensorflow  # noqa: F401
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    logging.getLogger("absl").setLevel(logging.ERROR)
    keras.config.set_image_data_format("channels_last")  # whatever keras.json says


def _summary(arguments) -> None:
    _import_tensorflow()
    from rich.console import Console
    from rich.table import Table

    from alexnet_keras.costs import layer_costs
    from alexnet_keras.training import build_model

    variant = arguments.variant
    names = {field.name for field in dataclasses.fields(TrainingConfig)}
    config = TrainingConfig(**{k: v for k, v in vars(arguments).items() if k in names})
    model = build_model(config, arguments.classes)
    costs = layer_costs(model)
    table = Table(
        title=f"AlexNet, variant {variant}: {VARIANTS[variant].source}"
        if variant in VARIANTS
        else variant
    )
    table.add_column("layer")
    table.add_column("kind")
    for header in ("output", "parameters", "multiply-adds", "activations, kB"):
        table.add_column(header, justify="right")
    for cost in costs:
        table.add_row(
            cost.name,
            cost.kind,
            " x ".join(map(str, cost.output_shape)),
            f"{cost.parameters:,}" if cost.parameters else "",
            f"{cost.multiply_adds:,}" if cost.multiply_adds else "",
            f"{cost.activation_bytes / 1e3:,.1f}",
        )
    total = sum(cost.multiply_adds for cost in costs)
    memory = sum(cost.activation_bytes for cost in costs)
    table.add_section()
    table.add_row("all", "", "", f"{model.count_params():,}", f"{total:,}", f"{memory / 1e3:,.1f}")
    console = Console(width=None if sys.stdout.isatty() else 110)
    console.print(table)
    console.print(
        f"Weights: {4 * model.count_params() / 1e6:,.1f} MB in float32; in training the gradient "
        "and the momentum take as much again each. Multiply-adds and activations are for one image."
    )


def _free_folder(config: TrainingConfig) -> Path:
    """runs/DATA-VARIANT, or the first of -2, -3, ... that is free."""
    from alexnet_keras.pictures import is_folder

    name = (
        Path(config.data).resolve().name
        if is_folder(config.data)
        else config.data.replace("/", "-")
    )
    folder = Path("runs") / f"{name}-{config.variant}"
    number = 1
    while folder.exists():
        number += 1
        folder = folder.with_name(f"{name}-{config.variant}-{number}")
    return folder


def _train(arguments) -> None:
    names = {field.name for field in dataclasses.fields(TrainingConfig)}
    config = TrainingConfig(**{k: v for k, v in vars(arguments).items() if k in names})
    if arguments.resume:
        _require_same(arguments)
    _import_tensorflow()

    from alexnet_keras.evaluation import evaluate, write_report
    from alexnet_keras.training import resume, train

    how = {
        "strategy": arguments.strategy,
        "replicas": arguments.replicas,
        "hosts": None if arguments.hosts is None else arguments.hosts.split(","),
        "rank": arguments.rank,
        "checkpoint_steps": arguments.checkpoint_steps,
        "verbose": 1 if sys.stdout.isatty() else 2,
    }
    out = arguments.resume or arguments.out or _free_folder(config)
    run = resume(out, **how) if arguments.resume else train(config, out, **how)
    if run is None:  # on other machines than the first
        return
    config = run.config
    dataset = run.open_dataset()
    _print_skipped(dataset)
    for views in (1, 10):
        result = evaluate(run.model, dataset, run.statistics, views=views, mean=config.mean)
        _print_result(result)
        if views == 1:
            write_report(out, result, dataset, "validation", run.log())
        else:
            write_report(out / "evaluation-validation-10", result, dataset, "validation")
    print(f"The run is in {out}: best.keras, log.csv, report.json, its tables and pictures.")


def _ablate(arguments) -> None:
    names = {field.name for field in dataclasses.fields(TrainingConfig)}
    base = TrainingConfig(**{k: v for k, v in vars(arguments).items() if k in names})
    _import_tensorflow()
    from alexnet_keras import experiments
    from alexnet_keras.common import Interrupted, write_file

    out = arguments.out
    conditions = arguments.conditions or tuple(experiments.CONDITIONS)
    try:
        results = experiments.ablate(base, out, seeds=arguments.seeds, conditions=conditions)
    except Interrupted:
        print("The same command goes on with the runs that are left.", file=sys.stderr)
        raise
    table = experiments.markdown_table(results)
    figure = experiments.plot_comparisons(experiments.compare(results))
    write_file(out / "table.md", lambda partial: partial.write_text(f"{table}\n", "utf-8"))
    write_file(out / "ablations.png", lambda partial: figure.savefig(partial, dpi=100))
    print(f"\n{table}\n\nIn {out}: results.jsonl, table.md, ablations.png.")


def _prepare(arguments) -> None:
    _import_tensorflow()
    from alexnet_keras.pictures import open_dataset, write_records

    dataset = open_dataset(
        arguments.data,
        arguments.data_dir,
        validation_fraction=arguments.validation_fraction,
        skip_bad=arguments.skip_bad,
    )
    _print_skipped(dataset)
    written = write_records(dataset, arguments.out, side=arguments.side, quality=arguments.quality)
    print(
        f"Written: {written:,} of {sum(dataset.sizes.values()):,} pictures, the others were there. "
        f"Train on them with --data {arguments.out}"
    )


def _require_same(arguments) -> None:
    """A run that is resumed keeps its configuration; options that would change it are refused."""
    path = arguments.resume / "config.json"
    try:
        saved = json.loads(path.read_text(encoding="utf-8"))["config"]
    except (OSError, ValueError, KeyError, TypeError):
        return  # `resume` says what is wrong
    given = {word.partition("=")[0] for word in arguments.words}
    for name, value in saved.items():
        option = name.replace("_", "-")
        if given & {f"--{option}", f"--no-{option}"} and getattr(arguments, name) != value:
            raise ValueError(
                f"`--{option}` must be that of the run, {value!r}, or be left out. "
                f"Received: {getattr(arguments, name)!r} with --resume {arguments.resume}"
            )


def _print_skipped(dataset) -> None:
    if dataset.skipped:
        print(f"Left out, as they could not be decoded: {len(dataset.skipped)} of the files")
        print(*(f"  {path}" for path in dataset.skipped), sep="\n")


def _print_result(result) -> None:
    view = "central crop" if result.views == 1 else "mean of ten views"

    def error(name, value, interval):
        low, high = interval
        return f"{name} error {value:.2%} (95 % interval {low:.1%} to {high:.1%})"

    print(
        f"{result.pictures} pictures, {view}: "
        f"{error('top-1', result.top1_error, result.top1_interval)}, "
        f"{error('top-5', result.top5_error, result.top5_interval)}; calibration error "
        f"{result.calibration.expected_error:.1%} (always naming the largest class: top-1 error "
        f"{1 - result.largest_class_share:.2%})"
    )


def _evaluate(arguments) -> None:
    _import_tensorflow()
    from alexnet_keras.evaluation import evaluate, write_report
    from alexnet_keras.training import load_run

    run = load_run(arguments.run, arguments.weights)
    if arguments.data_dir:
        config = dataclasses.replace(run.config, data_dir=arguments.data_dir)
        run = dataclasses.replace(run, config=config)
    dataset = run.open_dataset(arguments.data)
    result = evaluate(
        run.model,
        dataset,
        run.statistics,
        split=arguments.split,
        views=arguments.views,
        batch_size=arguments.batch_size,
        mean=run.config.mean,
    )
    _print_result(result)
    out = (
        arguments.out or _beside(arguments.run) / f"evaluation-{arguments.split}-{arguments.views}"
    )
    write_report(out, result, dataset, arguments.split)
    print(f"The report is in {out}.")


def _beside(run: Path) -> Path:
    """Where what is made of a run is written: its folder, or one for that of the package."""
    from alexnet_keras.training import is_packaged

    if is_packaged(run):
        run = Path("runs", run)
        run.mkdir(parents=True, exist_ok=True)
    return run


def _export(arguments) -> None:
    _import_tensorflow()
    from alexnet_keras.exchange import FORMATS, accuracies, export_model
    from alexnet_keras.training import load_run

    run = load_run(arguments.run, arguments.weights)
    network = run.config.variant if run.config.variant in DESCENDANTS else "alexnet"
    name = f"{network}-{arguments.format.replace('_', '-')}{FORMATS[arguments.format]}"
    path = export_model(run, arguments.out or _beside(arguments.run) / name, arguments.format)
    print(f"The network is in {path}.")
    if arguments.format == "litert_int8":
        before, after = accuracies(run, path)
        print(
            f"Top-1 accuracy on the validation pictures: {before:.2%} in Keras, {after:.2%} in "
            f"8 bits ({100 * (before - after):.2f} points lost)"
        )


def _predict(arguments) -> int:
    _import_tensorflow()
    from alexnet_keras.alexnet import decode_predictions
    from alexnet_keras.common import DataError
    from alexnet_keras.evaluation import predict
    from alexnet_keras.pictures import picture_files
    from alexnet_keras.training import load_run

    run = load_run(arguments.run, arguments.weights)
    files = [
        file
        for path in arguments.pictures
        for file in (picture_files(path) if path.is_dir() else [path])
    ]
    failed, rows = 0, []
    results = predict(run.model, files, run.statistics, views=arguments.views, mean=run.config.mean)
    for path, probabilities in results:
        if isinstance(probabilities, DataError):
            failed += 1
            print(f"alexnet-keras: error: {probabilities}", file=sys.stderr)
            continue
        best = decode_predictions(probabilities[None], arguments.top, run.class_names)[0]
        rows.append({"path": path, "classes": [{"name": n, "probability": p} for _, n, p in best]})
        if not arguments.json:
            print(path)
            print(*(f"  {probability:7.2%}  {name}" for _, name, probability in best), sep="\n")
    if arguments.json:
        print(json.dumps(rows, indent=2))
    return 1 if failed else 0


def _with_options(message: str, options: Iterable[str]) -> str:
    """Adds to the arguments that a message of the library names how they are spelt as options.

    Args:
        message: with arguments in backquotes, alone or with a value.
        options: names of the arguments that are options.

    Example:

    >>> _with_options("Try a smaller `learning_rate`, or `skip_bad=True`.", ["learning_rate"])
    'Try a smaller `learning_rate` (--learning-rate), or `skip_bad=True`.'
    >>> _with_options("`resume('runs/a b')` goes on", ["resume"])
    "`resume('runs/a b')` (--resume 'runs/a b') goes on"
    """
    left = set(options)

    def with_option(found):
        name, value = found[1], found[2] or found[3] or "True"
        if name not in left:
            return found[0]
        left.remove(name)  # once in a message is enough
        option = f"--{name.replace('_', '-')}"
        if value != "True":
            option += f" {shlex.quote(value.strip(chr(34) + chr(39)))}"
        return f"{found[0]} ({option})"

    return re.sub(r"`(\w+)(?:=([^`]*)|\(([^`]*)\))?`", with_option, message)


if __name__ == "__main__":
    sys.exit(main())
