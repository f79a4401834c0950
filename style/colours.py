"""Keeping the content's colours (Gatys, Bethge, Hertzmann and Shechtman 2016, "Preserving Color in Neural Artistic
Style Transfer"): the style's are moved to the content's before the transfer, or the transfer is of luminance alone.

All pictures are float32 (1, 3, H, W) in [0, 1].
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

COLOURS = ("style", "luminance", "affine", "histogram")
YIQ = ((0.299, 0.587, 0.114), (0.596, -0.274, -0.322), (0.211, -0.523, 0.312))


def prepared(style: Tensor, content: Tensor, colours: str) -> Tensor:
    """Return the style picture as a way of keeping colours wants it: "style" leaves it as it is."""
    moves = {"luminance": matched_luminance, "affine": matched_moments, "histogram": matched_histograms}
    return moves[colours](style, content).clamp(0, 1) if colours in moves else style


def luminance(images: Tensor) -> Tensor:
    """Return Y of YIQ, as a grey picture of three equal channels."""
    weights = images.new_tensor(YIQ[0])[:, None, None]
    return (images * weights).sum(1, keepdim=True).expand_as(images).contiguous()


def grey(images: Tensor) -> Tensor:
    """Return the mean of the channels in each of them.

    What is grey stays as it is, and its gradient is the same in the three channels: a descent that begins at a grey
    picture never leaves the grey ones. With the weights of luminance, green would go ahead and reach its end first.
    """
    return images.mean(1, keepdim=True).expand_as(images).contiguous()


def with_luminance(images: Tensor, other: Tensor) -> Tensor:
    """Return pictures with the luminance of others; where a colour would leave [0, 1] it is cut."""
    return (images + luminance(other) - luminance(images)).clamp(0, 1)


def matched_luminance(style: Tensor, content: Tensor) -> Tensor:
    """Return the style's luminance with the mean and deviation of the content's."""
    own, other = luminance(style), luminance(content)
    return (own - own.mean()) * (other.std() / own.std().clamp_min(1e-4)) + other.mean()


def matched_moments(style: Tensor, content: Tensor) -> Tensor:
    """Return the style with the mean and covariance of the content's colours (section 2.1, image analogies' root)."""
    own, other = style[0].flatten(1).double(), content[0].flatten(1).double()
    matrix = _root(torch.cov(other)) @ torch.linalg.inv(_root(torch.cov(own)))
    moved = matrix @ (own - own.mean(1, keepdim=True)) + other.mean(1, keepdim=True)
    return moved.view_as(style[0])[None].to(style)


def matched_histograms(style: Tensor, content: Tensor) -> Tensor:
    """Return the style with each channel's histogram that of the content: a value becomes that of its own quantile.

    Values that are equal stay equal, so that a flat ground keeps flat; as skimage.exposure.match_histograms.
    """
    found = torch.empty_like(style)
    for channel in range(3):
        own, other = (images[0, channel].flatten().cpu().numpy() for images in (style, content))
        _, places, counts = np.unique(own, return_inverse=True, return_counts=True)
        values, others = np.unique(other, return_counts=True)
        moved = np.interp(counts.cumsum() / own.size, others.cumsum() / other.size, values)
        found[0, channel] = torch.from_numpy(moved[places]).to(found).view(style.shape[2:])
    return found


def _root(covariance: Tensor) -> Tensor:
    """Return the symmetric square root; colours that do not vary count as if they did by 1/1000."""
    values, vectors = torch.linalg.eigh(covariance)
    return vectors @ torch.diag(values.clamp_min(1e-6).sqrt()) @ vectors.T
