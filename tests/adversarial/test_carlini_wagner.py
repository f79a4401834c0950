"""Carlini and Wagner's attack goes as far as its criterion asks, and no farther."""

import numpy as np

from striate.adversarial import CarliniWagner, ConfidenceAtLeast
from striate.tests.adversarial.stand_ins import Set


def test_a_criterion_of_confidence_is_reached(digits: Set) -> None:
    plain = CarliniWagner(steps=60, searches=4, constant=1.0).run(digits.model, digits.images, digits.labels)
    sure = CarliniWagner(steps=100, searches=4, constant=10.0).run(
        digits.model, digits.images, digits.labels, criterion=ConfidenceAtLeast(0.9)
    )
    assert sure.success_rate == plain.success_rate == 1
    assert all(one.confidence >= 0.9 for one in sure)
    assert sum(one.confidence < 0.9 for one in plain) > 8  # the nearest versions lie behind the boundary
    near, far = (np.mean([one.norms["l2"] for one in found]) for found in (plain, sure))
    assert near < far < 1.4 * near  # 1.27; 1.91 where a search ends once the goal is reached
