"""The one place that chooses between Triton and torch: see `switch` for how, the other files for the operations.

The kernels answer in channels_last strides, whatever the input's, but for `activation`, which keeps the strides of a
dense input; torch answers in the strides of its input.
"""

from .activation import ACTIVATIONS, SLOPED, activation
from .boxes import box_iou
from .centroids import centroid_sums, nearest_centroid, nearest_centroids
from .concat import concat
from .conv import (
    conv1d,
    conv2d,
    conv3d,
    conv_transpose1d,
    conv_transpose2d,
    conv_transpose3d,
    fused_conv2d,
    fused_conv_transpose2d,
)
from .cross_entropy import cross_entropy
from .dropout import drop_connect, dropout, dropout2d
from .gram import gram
from .histograms import additive_chi2, chi2_kernel, histogram_intersection
from .linear import linear
from .nms import Kept, batched_nms, nms, nms_padded
from .norm import batch_norm, local_response_norm
from .optimizer_step import adam_step, sgd_step
from .pooling import adaptive_avg_pool2d, adaptive_max_pool2d, avg_pool2d, max_pool2d, stochastic_pool2d
from .roi import roi_align, roi_pool
from .sampling import affine_grid, grid_sample
from .soft_nms import soft_nms
from .softmax import log_softmax, softmax
from .switch import (
    ARCHITECTURES,
    OPERATIONS,
    SWITCHES,
    Operation,
    figures,
    float32_products,
    kernels,
    roads,
    state,
    uses_triton,
)
from .upsample import upsample
from .yolo_decode import Candidates, yolo_decode

__all__ = [
    "ACTIVATIONS",
    "ARCHITECTURES",
    "OPERATIONS",
    "SLOPED",
    "SWITCHES",
    "Candidates",
    "Kept",
    "Operation",
    "activation",
    "adam_step",
    "adaptive_avg_pool2d",
    "adaptive_max_pool2d",
    "additive_chi2",
    "affine_grid",
    "avg_pool2d",
    "batch_norm",
    "batched_nms",
    "box_iou",
    "centroid_sums",
    "chi2_kernel",
    "concat",
    "conv1d",
    "conv2d",
    "conv3d",
    "conv_transpose1d",
    "conv_transpose2d",
    "conv_transpose3d",
    "cross_entropy",
    "drop_connect",
    "dropout",
    "dropout2d",
    "figures",
    "float32_products",
    "fused_conv2d",
    "fused_conv_transpose2d",
    "gram",
    "grid_sample",
    "histogram_intersection",
    "kernels",
    "linear",
    "local_response_norm",
    "log_softmax",
    "max_pool2d",
    "nearest_centroid",
    "nearest_centroids",
    "nms",
    "nms_padded",
    "roads",
    "roi_align",
    "roi_pool",
    "sgd_step",
    "soft_nms",
    "softmax",
    "state",
    "stochastic_pool2d",
    "upsample",
    "uses_triton",
    "yolo_decode",
]
