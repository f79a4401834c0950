"""Objects vanish and appear, masks flip; the shipped detector and segmenter say so themselves."""

import numpy as np
import pytest
import torch
from torch import nn

from striate.adversarial import Apgd, Pgd
from striate.adversarial.geometry import CanvasGeometry, PaddedGeometry
from striate.adversarial.maps import MapVictim, appear, attack_maps, class_maps, flip, vanish
from striate.core.checks import ModelError, UsageError
from striate.core.datasets.smear import blood_smear
from striate.core.images import resize, to_tensor
from striate.detection import Detector
from striate.detection.data import canvas_for
from striate.segmentation import Segmenter
from striate.tests.adversarial.stand_ins import pictures


def test_goals_by_hand() -> None:
    coarse, fine = torch.full((1, 2, 1, 1), -3.0), torch.full((1, 2, 2, 2), -4.0)
    coarse[0, 1, 0, 0] = 2.0
    maps = [(torch.zeros(1, 64, 1, 1), coarse), (torch.zeros(1, 64, 2, 2), fine)]
    assert [one.shape for one in class_maps(maps)] == [coarse.shape, fine.shape]
    gone = vanish(0.5)
    assert not gone.met(maps)
    assert gone.loss(maps).tolist() == [-3.0]  # 2 above the threshold 0, and a margin of 1
    assert vanish(0.5, class_id=0).met(maps)
    assert appear(1, 0.5).met(maps)
    assert not appear(0, 0.5).met(maps)
    assert appear(0, 0.5).loss(maps).tolist() == [-3.0]
    assert not appear(1, 0.5, cells=2).met(maps)
    region = np.zeros((2, 2), bool)
    region[0] = True
    logits = torch.zeros(1, 2, 2, 2)
    logits[0, 1, 0] = torch.tensor([3.0, -2.0])
    half = flip(1, region, share=0.5)
    assert half.met(logits)
    assert not flip(1, region, share=0.9).met(logits)
    assert half.loss(logits).tolist() == [(1 - 2) / 2]  # 3 counts as the margin, 1


@pytest.fixture(scope="module")
def smear() -> np.ndarray:
    return resize(blood_smear(seed=7)[0], (128, 128))


@pytest.fixture(scope="module")
def detector() -> Detector:
    found = Detector.from_pretrained("cells")
    found.image_size = 128  # a tenth of the time
    return found


def victim_of(detector: Detector, image: np.ndarray) -> MapVictim:
    height, width = image.shape[:2]
    canvas = CanvasGeometry(canvas_for((height, width), detector.image_size))
    return MapVictim(detector.network_, canvas, detector.names)


def test_blood_cells_vanish(detector: Detector, smear: np.ndarray) -> None:
    before = len(detector.predict(smear).boxes)
    assert before > 0
    victim = victim_of(detector, smear)
    found = attack_maps(
        victim, smear, vanish(detector.confidence), lambda image: not len(detector.predict(image).boxes),
        attack=Pgd(steps=20, random_start=False), epsilon=8 / 255,
    )  # fmt: skip
    assert found.success
    assert len(detector.predict(found.to_png()).boxes) == 0
    assert found.norms["linf"] <= 8 / 255 + 1e-9
    assert found.to_dict()["gradients"] == found.gradients > 0


def test_cells_appear_where_nothing_is(detector: Detector) -> None:
    plain = np.full((96, 96, 3), 200, np.uint8)
    victim = victim_of(detector, plain)

    def shows(image: np.ndarray) -> bool:
        found = detector.predict(image)
        return bool((found.class_ids == 1).any())

    found = attack_maps(victim, plain, appear(1, 0.5), shows, attack=Pgd(steps=30), epsilon=16 / 255)
    assert found.success


def test_one_more_cell_appears_beside_those_that_are_there(detector: Detector, smear: np.ndarray) -> None:
    victim = victim_of(detector, smear)
    with torch.no_grad():
        now = victim.scores(to_tensor(smear))
    white = detector.names.index("WBC")
    before = int((detector.predict(smear).class_ids == white).sum())
    assert before == 1
    goal = appear(white, detector.confidence, beside=now)
    assert not goal.met(now)
    assert appear(white, detector.confidence).met(now)  # as long as what is there counts

    def more(image: np.ndarray) -> bool:
        return int((detector.predict(image).class_ids == white).sum()) > before

    attack = Pgd(steps=20, random_start=False)
    assert attack_maps(victim, smear, goal, more, attack=attack, epsilon=16 / 255).success


def test_cells_that_see_an_object_and_their_neighbours_are_not_free() -> None:
    coarse, fine = torch.full((1, 2, 2, 2), -3.0), torch.full((1, 2, 4, 4), -3.0)
    fine[0, 1, 0, 0] = 3.0
    goal = appear(1, 0.5, beside=[coarse, fine])
    near, far = fine.clone(), fine.clone()
    near[0, 1, 1, 1] = far[0, 1, 3, 3] = 3.0  # the corner's neighbour, and the other corner
    assert not goal.met([coarse, near])
    assert goal.met([coarse, far])
    top_left, bottom_right = coarse.clone(), coarse.clone()
    top_left[0, 1, 0, 0] = bottom_right[0, 1, 1, 1] = 3.0
    assert not goal.met([top_left, fine])
    assert goal.met([bottom_right, fine])
    gone = torch.full_like(fine, -3.0)
    assert goal.loss([coarse, fine]) - goal.loss([coarse, gone]) == 4  # from -3 to the margin, 1: what is there is held
    full = torch.full_like(fine, 3.0)
    with pytest.raises(UsageError, match="room for 1 cells that see a new object; got 0 cells that see none yet"):
        appear(1, 0.5, beside=[coarse, full])


def test_a_model_that_says_otherwise_gets_all_steps(detector: Detector, smear: np.ndarray) -> None:
    victim, goal, asked = victim_of(detector, smear), vanish(detector.confidence), []

    def stubborn(image: np.ndarray) -> bool:
        asked.append(image)
        return len(asked) > 2  # not of the picture as it is, nor of the first that was found

    found = attack_maps(victim, smear, goal, stubborn, attack=Pgd(steps=6, random_start=False), epsilon=16 / 255)
    assert found.success
    assert len(asked) == 3
    once = attack_maps(
        victim, smear, goal, lambda image: not np.array_equal(image, smear),
        attack=Pgd(steps=6, random_start=False), epsilon=16 / 255,
    )  # fmt: skip
    assert once.gradients < 6
    assert found.gradients == once.gradients + 6


def test_a_mask_flips_inside_a_box_only() -> None:
    segmenter = Segmenter.from_pretrained("nuclei")
    image = pictures(1, 64, 64)[0] // 4
    ready = segmenter._ready()
    victim = MapVictim(segmenter.network_, PaddedGeometry(ready.stride, ready.least), segmenter.names)
    region = np.zeros((64, 64), bool)
    region[16:40, 16:40] = True
    now = int(np.bincount(segmenter.predict(image).labels[region]).argmax())
    target = 1 - now

    def flipped(picture: np.ndarray) -> bool:
        return bool((segmenter.predict(picture).labels[region] == target).mean() >= 0.8)

    found = attack_maps(
        victim, image, flip(target, region, 0.85), flipped, attack=Pgd(steps=30), epsilon=0.3, mask=(8, 8, 48, 48)
    )
    assert found.success
    outside = np.ones((64, 64), bool)
    outside[8:48, 8:48] = False
    np.testing.assert_array_equal(found.image[outside], image[outside])


def test_what_maps_cannot_do(smear: np.ndarray) -> None:
    net = nn.Conv2d(3, 2, 1)
    with pytest.raises(ModelError, match="a network in eval mode"):
        MapVictim(net, PaddedGeometry(8), ("a", "b"))
    victim = MapVictim(net.eval(), PaddedGeometry(8), ("a", "b"))
    everywhere = np.ones(smear.shape[:2], bool)
    with pytest.raises(UsageError, match="Fgsm or Pgd, which follow any loss; got apgd"):
        attack_maps(victim, smear, flip(1, everywhere), lambda image: False, attack=Apgd())
    with pytest.raises(UsageError, match="a goal that the picture does not reach yet"):
        attack_maps(victim, smear, flip(1, everywhere), lambda image: True)
    with pytest.raises(UsageError, match="a region with pixels; got none"):
        flip(1, ~everywhere)
    with pytest.raises(UsageError, match="confidence to lie between 0 and 1"):
        vanish(2)
    with pytest.raises(UsageError, match="share to lie between 0 and 1"):
        flip(1, everywhere, 2)
