"""The benchmark times only candidates that compute the same thing."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from striate.benchmarks.harness import Differs
from striate.benchmarks.peers import agree, flat


def test_flat_walks_nested_outputs_in_order() -> None:
    outputs = [(torch.zeros(1), torch.ones(2)), np.full(3, 2.0)]
    assert [array.tolist() for array in flat(outputs)] == [[0.0], [1.0, 1.0], [2.0, 2.0, 2.0]]


def test_rounding_is_let_through() -> None:
    agree("ours", [torch.tensor([1.0, 2.00001])], [torch.tensor([1.0, 2.0])])


def test_another_answer_stops_the_benchmark() -> None:
    with pytest.raises(Differs, match=r"ours differs from eager torch by 5\.0e-01"):
        agree("ours", [torch.tensor([1.0, 3.0])], [torch.tensor([1.0, 2.0])])


def test_a_missing_output_stops_the_benchmark() -> None:
    with pytest.raises(ValueError, match="longer than argument 1"):
        agree("ours", [], [torch.ones(1)])
