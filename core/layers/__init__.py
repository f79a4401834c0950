"""Layers with torch.nn's constructors, parameters and state_dict, and the roads of `ops`.

Each subclasses its torch.nn namesake and replaces only the computation, so `ours.load_state_dict(theirs.state_dict())`
works in both directions, `isinstance(layer, nn.Conv2d)` holds, and torch's initializers and tools know them.
"""

from .activation import LeakyReLU, ReLU, ReLU6, Sigmoid, SiLU, Tanh
from .concat import Concat
from .conv import Conv1d, Conv2d, Conv3d, ConvTranspose1d, ConvTranspose2d, ConvTranspose3d
from .dropout import DropConnectLinear, Dropout, Dropout2d
from .fill import FILLERS, fill
from .highway import Highway
from .linear import Linear
from .losses import CrossEntropyLoss, LogSoftmax, Softmax
from .norm import BatchNorm1d, BatchNorm2d, BatchNorm3d, BatchNormAct2d, LocalResponseNorm
from .pooling import AdaptiveAvgPool2d, AdaptiveMaxPool2d, AvgPool2d, MaxPool2d, StochasticPool2d
from .roi import RoIAlign, RoIPool
from .sampling import SpatialTransformer
from .separable import SeparableConv2d, dilated_conv2d
from .upsample import Upsample

__all__ = [
    "FILLERS",
    "AdaptiveAvgPool2d",
    "AdaptiveMaxPool2d",
    "AvgPool2d",
    "BatchNorm1d",
    "BatchNorm2d",
    "BatchNorm3d",
    "BatchNormAct2d",
    "Concat",
    "Conv1d",
    "Conv2d",
    "Conv3d",
    "ConvTranspose1d",
    "ConvTranspose2d",
    "ConvTranspose3d",
    "CrossEntropyLoss",
    "DropConnectLinear",
    "Dropout",
    "Dropout2d",
    "Highway",
    "LeakyReLU",
    "Linear",
    "LocalResponseNorm",
    "LogSoftmax",
    "MaxPool2d",
    "ReLU",
    "ReLU6",
    "RoIAlign",
    "RoIPool",
    "SeparableConv2d",
    "SiLU",
    "Sigmoid",
    "Softmax",
    "SpatialTransformer",
    "StochasticPool2d",
    "Tanh",
    "Upsample",
    "dilated_conv2d",
    "fill",
]
