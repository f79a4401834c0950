"""The one place that chooses between Triton and torch: see `switch` for how, the other files for the operations.

The kernels answer in channels_last strides, whatever the input's; torch answers in the strides of its input.
"""

from .activation import ACTIVATIONS, SLOPED, activation
from .conv import conv2d
from .norm import batch_norm
from .pooling import avg_pool2d, max_pool2d
from .switch import OPERATIONS, SWITCHES, Operation, kernels, roads, uses_triton
from .upsample import upsample

__all__ = [
    "ACTIVATIONS",
    "OPERATIONS",
    "SLOPED",
    "SWITCHES",
    "Operation",
    "activation",
    "avg_pool2d",
    "batch_norm",
    "conv2d",
    "kernels",
    "max_pool2d",
    "roads",
    "upsample",
    "uses_triton",
]
