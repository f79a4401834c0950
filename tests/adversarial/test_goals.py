"""What attacks climb: the ratio of logit differences, for networks of few classes too."""

import pytest
import torch

from striate.adversarial.criteria import Misclassified, Targeted
from striate.adversarial.goals import ClassGoal


def test_dlr_by_hand() -> None:
    scores = torch.tensor([[4.0, 1.0, 3.0, -2.0]])
    plain = ClassGoal(Misclassified(), torch.tensor([0]))
    aimed = ClassGoal(Targeted(), torch.tensor([0]), torch.tensor([1]))
    assert plain.dlr(scores).tolist() == pytest.approx([-(4 - 3) / (4 - 1)])
    assert aimed.dlr(scores).tolist() == pytest.approx([-(4 - 1) / (4 - (1 - 2) / 2)])


@pytest.mark.parametrize("classes", [2, 3, 4])
@pytest.mark.parametrize("aimed", [False, True], ids=["untargeted", "targeted"])
def test_dlr_has_a_slope_however_few_classes_there_are(classes: int, aimed: bool) -> None:
    scores = torch.linspace(2, -1, classes)[None].requires_grad_(True)
    own, last = torch.tensor([0]), torch.tensor([classes - 1])
    goal = ClassGoal(Targeted(), own, last) if aimed else ClassGoal(Misclassified(), own)
    (slope,) = torch.autograd.grad(goal.dlr(scores).sum(), scores)
    assert slope[0, classes - 1 if aimed else 1] > 0.05  # what is wanted has to rise
    assert abs(float(slope[0, 0])) > 0.05
