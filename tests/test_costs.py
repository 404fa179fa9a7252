from alexnet_keras import AlexNet, layer_costs


def test_multiply_adds_of_each_layer_by_hand():
    costs = {c.name: c for c in layer_costs(AlexNet())}
    expected = {
        "conv1": 55 * 55 * 96 * 11 * 11 * 3,
        "conv2": 27 * 27 * 256 * 5 * 5 * 48,
        "conv3": 13 * 13 * 384 * 3 * 3 * 256,
        "conv4": 13 * 13 * 384 * 3 * 3 * 192,
        "conv5": 13 * 13 * 256 * 3 * 3 * 192,
        "fc6": 9216 * 4096,
        "fc7": 4096 * 4096,
        "fc8": 4096 * 1000,
    }
    assert {name: c.multiply_adds for name, c in costs.items() if c.multiply_adds} == expected
    assert costs["norm1"].activation_bytes == 4 * 55 * 55 * 96
