"""Fisher vectors: how a mixture of Gaussians would have to change to fit a picture better."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray

from ..core.checks import UsageError
from .descriptors import Descriptors
from .encoder import Encoder, Floats, Regions, expect
from .mixture import Mixture, fit_mixture
from .options import whole_number

FAINTEST = 1e-4
"""Posteriors below count as 0 (Sanchez et al. 2013, appendix B)."""


class FisherEncoder(Encoder):
    """The gradient of the log likelihood with respect to means and variances (Perronnin et al. 2010).

    Scaled by the Fisher information (equations 16 and 17 of Sanchez et al. 2013), divided by the number of
    descriptors. The square root and the length of 1 that make it the "improved" vector are `normalization`'s "power".

    Args:
        words: Gaussians of the mixture.
        components: See `Encoder`.
        whiten: See `Encoder`.
        passes: See `fit_mixture`.

    Attributes:
        mixture_: The mixture; None before `fit`.
    """

    normalization = "power"

    def __init__(self, *, words: int = 64, components: int | None = 64, whiten: bool = False, passes: int = 20) -> None:
        super().__init__(components=components, whiten=whiten)
        whole_number("words", words)
        whole_number("passes", passes)
        self.words, self.passes = words, passes
        self.mixture_: Mixture | None = None

    @property
    def width(self) -> int:
        """Length of a region's vector."""
        return 2 * self._fitted().size

    def to(self, device: str | torch.device) -> Self:
        """Return itself for the CPU; the posteriors of Gaussians are computed there alone.

        Raises:
            UsageError: Another device.
        """
        if torch.device(device).type != "cpu":
            fix = "leave the device out, or choose an encoder of words, such as 'vlad'"
            expected = "the CPU for the encoder 'fisher', which has no nearest words"
            raise UsageError(expected, repr(str(device)), fix)
        return super().to(device)

    def codes(self, descriptors: Descriptors) -> Floats:
        """Return the share of each Gaussian in each descriptor, (n, words); see `encode` for what is refused."""
        values = self._projected(descriptors)
        assert self.mixture_ is not None  # fitted, or _projected had refused
        return self.mixture_.posteriors(values)[0]

    def words_of(self, descriptors: Descriptors) -> NDArray[np.int64]:
        """Return the Gaussian with the largest share in each descriptor, (n,)."""
        return self.codes(descriptors).argmax(1)

    def _learn(self, rows: Any, seed: int) -> None:
        self._use(fit_mixture(rows, self.words, passes=self.passes, seed=seed))

    def _use(self, mixture: Mixture) -> None:
        self.mixture_, self.centroids_ = mixture, mixture.means

    def _pool(self, values: Floats, regions: Regions) -> Floats:
        mixture = self.mixture_
        assert mixture is not None
        shares, _ = mixture.posteriors(values)
        shares[shares < FAINTEST] = 0
        squares = np.square(values)
        found = [_gradient(mixture, shares[r], values[r], squares[r]) for r in regions]
        return np.stack(found)

    def _learned(self) -> dict[str, NDArray[Any]]:
        assert self.mixture_ is not None
        return dict(vars(self.mixture_))

    def _take(self, arrays: dict[str, NDArray[Any]]) -> None:
        means = expect(arrays, "means", (self.words, None))
        weights, variances = expect(arrays, "weights", (self.words,)), expect(arrays, "variances", means.shape)
        self._use(Mixture(weights, means, variances))


def _gradient(mixture: Mixture, shares: Floats, values: Floats, squares: Floats) -> Floats:
    """Return the gradient for one region, from its moments: (2 * words * d,), zeros where there is no descriptor."""
    count, first, second = shares.sum(0)[:, None], shares.T @ values, shares.T @ squares
    means, variances = mixture.means, mixture.variances
    by_mean = (first - count * means) / np.sqrt(variances)
    by_variance = (second - 2 * first * means + count * means**2) / variances - count
    scale = 1 / (max(len(values), 1) * np.sqrt(mixture.weights))[:, None]
    return np.concatenate([by_mean * scale, by_variance * scale / np.float32(2**0.5)]).ravel()
