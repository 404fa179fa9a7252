"""What came after AlexNet: VGG, GoogLeNet and the residual networks, and their diagrams."""

from alexnet_keras.descendants.diagrams import draw_chains, draw_inception
from alexnet_keras.descendants.googlenet import INCEPTIONS, GoogLeNet
from alexnet_keras.descendants.residual_diagrams import draw_residual_blocks, draw_resnets
from alexnet_keras.descendants.resnet import RESNETS, ResNet
from alexnet_keras.descendants.vgg import VGG, VGGS

__all__ = [
    "GoogLeNet",
    "INCEPTIONS",
    "RESNETS",
    "ResNet",
    "VGG",
    "VGGS",
    "draw_chains",
    "draw_inception",
    "draw_residual_blocks",
    "draw_resnets",
]
