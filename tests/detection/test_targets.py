"""What the assignment promises: cells inside boxes, at most top_k, the better overlap wins, nothing from padding."""

import torch

from striate.detection.targets import assign

POINTS = torch.stack(torch.meshgrid(torch.arange(10.0), torch.arange(10.0), indexing="xy"), -1).reshape(-1, 2) * 10 + 5


def assigned(truth: list[list[float]], classes: list[int], mask: list[bool] | None = None, top_k: int = 5):
    """Assign with predictions of 20 x 20 around every centre and probability 0.5."""
    boxes = torch.cat((POINTS - 10, POINTS + 10), dim=1)[None]
    return assign(
        torch.full((1, 100, 3), 0.5),
        boxes,
        POINTS,
        torch.tensor([truth]).reshape(1, -1, 4),
        torch.tensor([classes], dtype=torch.int64),
        torch.tensor([mask or [True] * len(classes)]),
        top_k=top_k,
    )


def test_chooses_at_most_top_k_cells_all_inside() -> None:
    targets = assigned([[20, 20, 60, 60]], [2])
    chosen = POINTS[targets.positive[0]]
    assert len(chosen) == 5
    assert ((chosen > 20) & (chosen < 60)).all()
    assert (targets.scores[0, :, :2] == 0).all()


def test_best_cell_is_asked_for_its_own_overlap() -> None:
    targets = assigned([[35, 35, 55, 55]], [1])
    # the cell at (45, 45) predicts exactly this box
    assert targets.scores[0, 44, 1] == 1
    assert targets.scores.max() == 1


def test_contested_cell_goes_to_the_better_overlap() -> None:
    targets = assigned([[35, 35, 55, 55], [0, 0, 100, 100]], [0, 1], top_k=100)
    assert targets.boxes[0, 44].tolist() == [35, 35, 55, 55]
    assert targets.scores[0, 44, 1] == 0
    assert targets.boxes[0, 0].tolist() == [0, 0, 100, 100]


def test_padding_takes_no_cells() -> None:
    targets = assigned([[20, 20, 60, 60], [0, 0, 100, 100]], [0, 0], [True, False])
    assert (targets.boxes[targets.positive] == torch.tensor([20.0, 20, 60, 60])).all()


def test_box_between_the_centres_takes_no_cells() -> None:
    assert not assigned([[6, 6, 9, 9]], [0]).positive.any()


def test_no_boxes_at_all() -> None:
    targets = assigned([], [], [])
    assert not targets.positive.any()
    assert targets.scores.sum() == 0


def test_overlap_of_zero_is_not_chosen() -> None:
    boxes = torch.zeros(1, 100, 4)  # predictions without area
    truth = torch.tensor([[[20.0, 20, 60, 60]]])
    targets = assign(torch.full((1, 100, 3), 0.5), boxes, POINTS, truth, torch.tensor([[0]]), torch.tensor([[True]]))
    assert not targets.positive.any()
