"""What each command does."""

import dataclasses
import json
import os
import sys
from pathlib import Path

from alexnet_keras.common import Interrupted
from alexnet_keras.configuration import DESCENDANTS, Devices, TrainingConfig
from alexnet_keras.variants import VARIANTS


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
    config = _values(TrainingConfig, arguments)
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


def _values(kind, arguments):
    """The dataclass, of the options that were given for its fields."""
    names = {field.name for field in dataclasses.fields(kind)}
    return kind(**{name: value for name, value in vars(arguments).items() if name in names})


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
    config = _values(TrainingConfig, arguments)
    if arguments.resume:
        _require_same(arguments)
    _import_tensorflow()

    from alexnet_keras.evaluation import evaluate, write_report
    from alexnet_keras.training import resume, train

    how = {
        "devices": _values(Devices, arguments),
        "checkpoint_seconds": arguments.checkpoint_seconds,
        "checkpoint_steps": arguments.checkpoint_steps,
        "verbose": 1 if sys.stdout.isatty() else 2,
    }
    out = arguments.resume or arguments.out or _free_folder(config)
    run = resume(out, **how) if arguments.resume else train(config, out, **how)
    if not run.written_here:  # another machine than the first
        return
    config = run.config
    dataset = run.open_dataset()
    _print_skipped(dataset)
    for views in (1, 10):
        result = evaluate(run.model, dataset, run.statistics, views=views)
        _print_result(result)
        if views == 1:
            write_report(out, result, dataset, "validation", run.log())
        else:
            write_report(out / "evaluation-validation-10", result, dataset, "validation")
    print(f"The run is in {out}: best.keras, log.csv, report.json, its tables and pictures.")


def _ablate(arguments) -> None:
    base = _values(TrainingConfig, arguments)
    _import_tensorflow()
    from alexnet_keras import experiments
    from alexnet_keras.common import write_file

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
    results = predict(run.model, files, run.statistics, views=arguments.views)
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


COMMANDS = {
    "summary": _summary,
    "train": _train,
    "ablate": _ablate,
    "prepare": _prepare,
    "evaluate": _evaluate,
    "predict": _predict,
    "export": _export,
}
"""The function of each command, by its name; it takes the parsed arguments."""
