"""The loss: known values, gradients that point the right way, pictures without boxes."""

import torch

from striate.detection.loss import _distribution_focal, detection_loss
from striate.detection.model import BINS, RawMap, YoloNet

TRUTH = torch.tensor([[[16.0, 16, 80, 80]]])
NO_BOXES = (torch.zeros(1, 0, 4), torch.zeros(1, 0, dtype=torch.int64), torch.zeros(1, 0, dtype=torch.bool))


def maps_for(distance: float, stride8_class: float) -> list[RawMap]:
    """Maps of a 96 x 96 canvas in which every cell says `distance` strides to all sides."""
    maps = []
    for stride in (8, 16, 32):
        side = 96 // stride
        logits = torch.full((1, 4, BINS, side, side), -12.0)
        low = int(distance)
        logits[:, :, low] = 12 + torch.tensor(1 - (distance - low)).log()
        logits[:, :, low + 1] = 12 + torch.tensor(max(distance - low, 1e-9)).log()
        classes = torch.full((1, 2, side, side), -12.0)
        if stride == 8:
            classes[0, 1, 5, 5] = stride8_class  # the cell whose centre is (44, 44)
        maps.append(RawMap(logits.flatten(1, 2), classes))
    return maps


def loss_of(maps: list[RawMap]) -> dict[str, torch.Tensor]:
    return detection_loss(maps, TRUTH, torch.tensor([[1]]), torch.tensor([[True]]))


def test_right_answer_costs_less_than_wrong_ones() -> None:
    right, small, silent = loss_of(maps_for(4, 12)), loss_of(maps_for(2, 12)), loss_of(maps_for(4, -12))
    assert right["box"] < 0.5 * small["box"]
    assert right["class"] < 0.5 * silent["class"]


def test_distance_term_is_cross_entropy_with_the_two_nearest_bins() -> None:
    logits = torch.randn(3, 4, BINS)
    wanted = torch.tensor([[0.0, 1.25, 7.5, 14.0]]).expand(3, 4)
    ours = _distribution_focal(logits, wanted)
    log_p = logits.log_softmax(-1)
    for side, (low, share) in enumerate([(0, 0.0), (1, 0.25), (7, 0.5), (14, 0.0)]):
        expected = -(1 - share) * log_p[:, side, low] - share * log_p[:, side, low + 1]
        torch.testing.assert_close(ours[:, side], expected)


def test_distance_beyond_the_last_bin_is_clamped() -> None:
    assert _distribution_focal(torch.zeros(1, 4, BINS), torch.full((1, 4), 99.0)).isfinite().all()


def test_picture_without_boxes_teaches_silence() -> None:
    maps = [RawMap(m.distances, m.classes.requires_grad_()) for m in maps_for(4, 3)]
    terms = detection_loss(maps, *NO_BOXES)
    assert terms["box"] == 0
    assert terms["distance"] == 0
    terms["class"].backward()
    assert maps[0].classes.grad is not None
    assert maps[0].classes.grad[0, 1, 5, 5] > 0


def test_gradients_reach_every_parameter_and_are_finite() -> None:
    torch.manual_seed(0)
    network = YoloNet(2)
    for _ in range(2):
        truth = (TRUTH.expand(2, -1, -1), torch.tensor([[1], [0]]), torch.ones(2, 1, dtype=torch.bool))
        terms = detection_loss(network(torch.rand(2, 3, 96, 96)), *truth)
        torch.stack(list(terms.values())).sum().backward()
    for name, parameter in network.named_parameters():
        if parameter.grad is None:
            assert "distance" in name, name  # of a scale that answers for no box
        else:
            assert parameter.grad.isfinite().all(), name
