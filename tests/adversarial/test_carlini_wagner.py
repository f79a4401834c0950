"""Carlini and Wagner's attack goes as far as its criterion asks, and no farther."""

import numpy as np

from striate.adversarial import CarliniWagner, ConfidenceAtLeast
from striate.tests.adversarial.stand_ins import Set


def test_a_criterion_of_confidence_is_reached(digits: Set) -> None:
    attack = CarliniWagner(steps=60, searches=4, constant=1.0)
    plain, sure = (
        attack.run(digits.model, digits.images, digits.labels, criterion=criterion)
        for criterion in (None, ConfidenceAtLeast(0.9))
    )
    assert sure.success_rate == plain.success_rate == 1
    assert all(one.confidence >= 0.9 for one in sure)
    assert sum(one.confidence < 0.9 for one in plain) > 8  # the nearest versions lie behind the boundary
    near, far = (np.mean([one.norms["l2"] for one in found]) for found in (plain, sure))
    assert near < far < 1.5 * near
