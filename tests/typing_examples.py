"""Every public name in use, as a type checker sees it; nothing here is run.

A line that is marked must be an error: a mark that is not needed is one, too.
"""

from pathlib import Path

import keras
import numpy as np

import alexnet_keras as ak


def networks() -> list[keras.Model]:
    ak.AlexNet(clases=10)  # type: ignore[call-arg]
    ak.VGG(16, depht=16)  # type: ignore[call-arg]
    return [
        ak.AlexNet(weights=Path("alexnet.pth"), variant="torchvision", classifier_activation=None),
        ak.VGG(16, width=0.5),
        ak.GoogLeNet(classes=10),
        ak.ResNet(50, include_top=False, pooling="avg"),
        ak.TwoColumns(ak.AlexNet(), devices=ak.split_cpu(2)),
    ]


def parts(model: keras.Model) -> keras.Model:
    ak.load_weights(model, "alexnet.npy", "caffe", skip=["fc8"])
    model.compile(ak.MomentumSGD(0.01, rate_factors={"fc8": 10.0}), metrics=[ak.metrics.Top1()])
    operations: int = sum(cost.multiply_adds for cost in ak.layer_costs(model))
    red, green, blue = ak.PUBLISHED_MEANS["caffe"]
    print(ak.__version__, ak.VARIANTS["paper"].source, operations, red + green + blue)
    return keras.Sequential(
        [
            ak.GroupedConv2D(256, 5, padding="same", groups=2),
            ak.LocalResponseNormalization(size=5, groups=2),
            ak.WithinMapNormalization(size=3),
            ak.PCAColorNoise(stddev=0.1, seed=0),
        ]
    )


def pictures(folder: Path) -> ak.ColorStatistics:
    data = ak.open_dataset(folder, skip_bad=True)
    pictures_written: int = ak.write_records(data, "records", side=256)
    ak.open_dataset(folder, skipbad=True)  # type: ignore[call-arg]
    print(pictures_written, data.sizes["train"], data.size)  # type: ignore[attr-defined]
    return ak.color_statistics(data, image_size=227, subtract="image")


def training(out: Path) -> ak.Run:
    ak.TrainingConfig(epoch=3)  # type: ignore[call-arg]
    ak.TrainingConfig(variant="alexnet")  # type: ignore[arg-type]
    config = ak.TrainingConfig(variant="resnet18", width=0.5)
    augmentation: ak.Augmentation = config.augmentation
    print(ak.build_model(config, classes=10).count_params(), augmentation.color_noise)
    run = ak.train(config, out, devices=ak.Devices(strategy="mirrored", replicas=2))
    print(run.log()["loss"][-1], ak.load_run(out, which="last").class_names)
    return ak.resume(out)


def use(run: ak.Run, image: np.ndarray) -> float:
    for path, probabilities in ak.predict(run.model, ["a.jpg"], run.statistics, views=10):
        if not isinstance(probabilities, ValueError):
            print(path, ak.decode_predictions(probabilities[None], 3, run.class_names)[0][0][1])
    run.model(ak.preprocess_input(ak.ten_views(image, 227), mean=run.statistics.mean))
    onnx: Path = ak.export_model(run, "network.onnx", "onnx")
    seconds = [result.training_seconds for result in ak.ablate(run.config, onnx.parent, seeds=[0])]
    result = ak.evaluate(run.model, run.open_dataset(), run.statistics)
    return result.top1_error + sum(seconds)


def rooms(run: ak.Run, image: np.ndarray) -> list[object]:
    print(ak.NoSuchName)  # type: ignore[attr-defined]
    print(ak.inspection.gradcam)  # type: ignore[attr-defined]
    heat: np.ndarray = ak.inspection.grad_cam(run.model, image, 0)
    return [
        ak.alexnet.AlexNet,
        ak.cli.main(["--help"]) + 1,
        ak.common.DataError("no such data"),
        ak.configuration.TrainingConfig().epochs + 1,
        ak.costs.LayerCost,
        ak.course.photographs()[0].upper(),
        ak.descendants.draw_resnets,
        ak.devices.communication(run.model, devices=2).total,
        ak.evaluation.plot_curves(run.log()),
        ak.exchange.FORMATS["onnx"],
        ak.experiments.read_results()[0].top1_error,
        ak.figures.Figure().axes,
        ak.inspection.plot_grad_cam(image, heat),
        ak.layers.LocalResponseNormalization(),
        ak.optimizers.MomentumSGD(),
        ak.pictures.ImageDataset,
        ak.training.versions()["keras"],
        ak.variants.VARIANTS,
        ak.weights.PUBLISHED_MEANS,
    ]
