from collections import Counter

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.patches import Arc

from alexnet_keras import (
    VGG,
    AlexNet,
    GoogLeNet,
)
from alexnet_keras.descendants import (
    INCEPTIONS,
    draw_chains,
    draw_inception,
    draw_residual_blocks,
    draw_resnets,
)
from tests.descendants.conftest import resnet, small

pytestmark = pytest.mark.slow


def assert_readable(figure):
    """No text runs into another or over the edge."""
    renderer = FigureCanvasAgg(figure).get_renderer()
    figure.draw(renderer)
    texts = [*figure.axes[0].texts, *figure.legends[0].get_texts()]
    boxes = [text.get_window_extent(renderer) for text in texts if text.get_text()]
    assert len(boxes) > 5
    for i, box in enumerate(boxes):
        assert box.x0 >= 0 and box.y0 >= 0, texts[i]
        assert box.x1 <= figure.bbox.width and box.y1 <= figure.bbox.height, texts[i]
        for other in boxes[:i]:
            apart = box.x1 <= other.x0 or other.x1 <= box.x0
            assert apart or box.y1 <= other.y0 or other.y1 <= box.y0


def drawn(figure):
    return Counter(patch.get_gid() for patch in figure.axes[0].patches if patch.get_gid())


def words(figure):
    return [text.get_text() for text in figure.axes[0].texts]


def test_diagram_of_resnet18_beside_resnet200():
    models = resnet(18), resnet(200)
    figure = draw_resnets(*models)
    assert_readable(figure)
    assert figure.get_figwidth() * figure.dpi < 850
    expected = Counter(["pool1_pool", "avg_pool"] * 2)
    for model in models:
        expected += Counter(
            x.name for x in model.layers if hasattr(x, "kernel") and "_0_" not in x.name
        )
    assert drawn(figure) == expected
    assert sum(expected.values()) == 18 + 200 + 4
    arcs = [patch for patch in figure.axes[0].patches if isinstance(patch, Arc)]
    assert len(arcs) == 8 + 66
    assert sum(arc.get_linestyle() != "solid" for arc in arcs) == 3 + 4
    text = words(figure)
    assert "1 + 2 x 8 + 1 = 18 layers with weights" in text
    assert "1 + 3 x 66 + 1 = 200 layers with weights" in text
    assert "36 x (1 x 1, 256; 3 x 3, 256; 1 x 1, 1024)" in text
    assert "64.7 M parameters, 14.8 G multiply-adds" in text
    sizes = [word for word in text if word in ("112 x 112", "56 x 56", "28 x 28", "14 x 14")]
    assert sizes == ["112 x 112", "56 x 56", "56 x 56", "28 x 28", "14 x 14"]
    halved = [x for x in figure.axes[0].texts if x.get_color() == "C3"]
    assert [x.get_text() for x in halved] == [f"{side} x {side}" for side in (112, 56, 28, 14, 7)]


@pytest.mark.parametrize("block", ["conv2_block1", "conv3_block1", "conv3_block2"])
def test_diagram_of_the_residual_blocks(block):
    models = resnet(18), resnet(50), resnet(200)
    figure = draw_residual_blocks(*models, block=block)
    assert_readable(figure)
    expected = Counter()
    for model in models:
        inside = [x.name for x in model.layers if x.name.startswith(f"{block}_")]
        expected += Counter(x for x in inside if x[-3:] not in ("pad", "add"))
    expected[f"{block}_out"] -= 1  # the sum of ResNet-200
    assert drawn(figure) == +expected
    assert words(figure).count("+") == 3
    assert {"basic block", "bottleneck", "pre-activation bottleneck"} <= set(words(figure))
    assert f"{resnet(50).get_layer(f'{block}_out').output.shape[1]} x" in " ".join(words(figure))


@pytest.mark.parametrize("module", ["3a", "5b"])
def test_diagram_of_an_inception_module(module):
    model = GoogLeNet()
    figure = draw_inception(model, module)
    assert_readable(figure)
    inside = Counter(x.name for x in model.layers if x.name.startswith(f"inception_{module}_"))
    assert drawn(figure) == inside
    a, _, b, _, c, d = INCEPTIONS[module]
    shares = [patch.get_width() for patch in figure.axes[0].patches if not patch.get_gid()][1:]
    np.testing.assert_allclose(
        np.divide(shares, sum(shares)), np.divide((a, b, c, d), a + b + c + d)
    )


def test_diagram_of_alexnet_and_vgg16():
    models = AlexNet(width=0.5), VGG(16, width=0.1)
    figure = draw_chains(*models)
    assert_readable(figure)
    for model, layers in zip(models, (8, 16)):
        weighted = {x.name for x in model.layers if x.weights}
        assert len(weighted) == layers
        assert weighted <= drawn(figure).keys()


@pytest.mark.parametrize("models", [(34,), (34, 50), (18, 101, 200)])
def test_diagrams_of_other_residual_networks(models):
    models = [resnet(depth) for depth in models]
    assert_readable(draw_resnets(*models))
    assert_readable(draw_residual_blocks(*models))
    assert_readable(draw_residual_blocks(*models, block="conv4_block1"))


def test_errors_of_the_diagrams():
    with pytest.raises(ValueError, match=r"one of \['conv2_block1', .*resnet18. Received: 'conv9'"):
        draw_residual_blocks(resnet(18), block="conv9")
    with pytest.raises(ValueError, match=r"one of \['3a', .*'5b'\]. Received: '6a'"):
        draw_inception(small("googlenet"), "6a")
    for draw in (draw_resnets, draw_residual_blocks):
        with pytest.raises(ValueError, match=r"built by `ResNet`. Received: \['vgg11'\]"):
            draw(resnet(18), small("vgg11"))
    with pytest.raises(ValueError, match="built by `ResNet`. Received: none"):
        draw_resnets()
    with pytest.raises(ValueError, match="chains of layers. Received: googlenet, .*inception_3a"):
        draw_chains(small("googlenet"))
