from alexnet_keras import AlexNet


def small(**arguments):
    return AlexNet(**{"input_shape": (64, 64, 3), "classes": 4, "width": 0.05, **arguments})
