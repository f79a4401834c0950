"""Losses against plain float64 NumPy, one pixel and one class at a time; masks with pixels that do not count."""

import numpy as np
import pytest
import torch
from torch import Tensor

from striate.core.checks import UsageError
from striate.segmentation.loss import LOSSES, SMOOTH, SegmentationLoss, focal, loss_names, ohem

WEIGHTS = {"no weights": None, "weights": torch.tensor([0.5, 1.0, 2.0, 4.0])}


def batch(absent: bool = False, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Scores (2, 4, 5, 7) and class numbers, a fifth of them ignored; the last class may be in no mask."""
    rng = np.random.default_rng(seed)
    target = rng.integers(0, 3 if absent else 4, (2, 5, 7)).astype(np.uint8)
    target[rng.random(target.shape) < 0.2] = 255
    return torch.from_numpy(2 * rng.standard_normal((2, 4, 5, 7))), torch.from_numpy(target)


def rows(scores: Tensor, target: Tensor, weight: Tensor | None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Probabilities (P, 4), classes (P,) and weights of the classes (4,) of all pixels that count."""
    values = np.exp(scores.double().numpy())
    probabilities = np.moveaxis(values / values.sum(1, keepdims=True), 1, -1)
    inside = target.numpy() != 255
    return probabilities[inside], target.numpy()[inside].astype(int), np.ones(4) if weight is None else weight.numpy()


def plain_cross_entropy(p: np.ndarray, t: np.ndarray, w: np.ndarray) -> float:
    own = p[np.arange(len(t)), t]
    return float((w[t] * -np.log(own)).sum() / w[t].sum())


def plain_focal(p: np.ndarray, t: np.ndarray, w: np.ndarray) -> float:
    own = p[np.arange(len(t)), t]
    return float((w[t] * (1 - own) ** 2 * -np.log(own)).sum() / w[t].sum())


def plain_ohem(p: np.ndarray, t: np.ndarray, w: np.ndarray) -> float:
    own = p[np.arange(len(t)), t]
    kept = (own <= 0.7) | (own <= np.sort(own)[round(len(own) / 16) - 1])
    return float((w[t] * -np.log(own))[kept].sum() / w[t][kept].sum())


def plain_dice(p: np.ndarray, t: np.ndarray, w: np.ndarray) -> float:
    there = [k for k in range(4) if (t == k).any()]
    score = {k: (2 * p[t == k, k].sum() + SMOOTH) / (p[:, k].sum() + (t == k).sum() + SMOOTH) for k in there}
    return float(sum(w[k] * (1 - score[k]) for k in there) / sum(w[k] for k in there))


def plain_lovasz(p: np.ndarray, t: np.ndarray, w: np.ndarray) -> float:
    """Each class by the definition of the extension: errors times what IoU loses when they are flipped in turn."""
    losses = {}
    for k in (k for k in range(4) if (t == k).any()):
        truth = t == k
        errors = np.abs(truth - p[:, k])
        wrong, before, total = np.zeros(len(t), bool), 0.0, 0.0
        for i in np.argsort(-errors, kind="stable"):
            wrong[i] = True
            told = truth ^ wrong
            jaccard = 1 - (truth & told).sum() / (truth | told).sum()
            total += errors[i] * (jaccard - before)
            before = jaccard
        losses[k] = total
    return float(sum(w[k] * v for k, v in losses.items()) / sum(w[k] for k in losses))


PLAIN = {
    "cross_entropy": plain_cross_entropy,
    "focal": plain_focal,
    "ohem": plain_ohem,
    "dice": plain_dice,
    "lovasz": plain_lovasz,
}


@pytest.mark.parametrize("weight", WEIGHTS.values(), ids=WEIGHTS)
@pytest.mark.parametrize("absent", [False, True], ids=["all classes", "a class absent"])
@pytest.mark.parametrize("name", LOSSES)
def test_a_loss_is_what_its_formula_says(name: str, absent: bool, weight: Tensor | None) -> None:
    scores, target = batch(absent)
    expected = PLAIN[name](*rows(scores, target, weight))
    # 70 pixels in float32: the worst difference seen is 2e-7
    assert float(LOSSES[name](scores.float(), target, weight)) == pytest.approx(expected, abs=2e-6)


@pytest.mark.parametrize("name", LOSSES)
def test_its_gradient_is_that_of_small_steps(name: str) -> None:
    scores, target = batch()
    scores = scores[:, :, :2, :3].clone().requires_grad_()
    torch.autograd.gradcheck(lambda x: LOSSES[name](x, target[:, :2, :3]), (scores,), atol=1e-6)


@pytest.mark.parametrize("name", LOSSES)
def test_pixels_that_do_not_count_change_nothing(name: str) -> None:
    scores, target = batch()
    scores.requires_grad_()
    loss = LOSSES[name](scores, target)
    other = scores.detach() + 50 * torch.randn(scores.shape) * (target == 255).unsqueeze(1)
    assert float(LOSSES[name](other, target)) == pytest.approx(loss.item(), abs=1e-12)
    (gradient,) = torch.autograd.grad(loss, scores)
    assert not gradient.movedim(1, -1)[target == 255].any()
    assert gradient.movedim(1, -1)[target != 255].any()


@pytest.mark.parametrize("name", LOSSES)
def test_nothing_to_learn_from_is_zero_not_nan(name: str) -> None:
    scores = torch.randn(2, 4, 5, 7, requires_grad=True)
    loss = LOSSES[name](scores, torch.full((2, 5, 7), 255, dtype=torch.uint8))
    loss.backward()
    assert loss.item() == 0
    assert scores.grad is not None
    assert not scores.grad.any()


@pytest.mark.parametrize("name", LOSSES)
def test_scores_in_half_precision_lose_only_their_own_rounding(name: str) -> None:
    scores, target = batch()
    rounded = scores.to(torch.bfloat16)
    exact = float(LOSSES[name](rounded.float(), target))
    assert float(LOSSES[name](rounded, target)) == pytest.approx(exact, rel=1e-6)


@pytest.mark.kernel
def test_half_precision_keeps_no_copy_in_float32() -> None:
    scores, target = batch()
    scores = scores.bfloat16().requires_grad_()
    kept: list[Tensor] = []

    def keep(tensor: Tensor) -> Tensor:
        kept.append(tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        loss = LOSSES["cross_entropy"](scores, target.to(scores.device))
    loss.backward()
    assert loss.dtype == torch.float32
    assert kept
    assert {tensor.dtype for tensor in kept if tensor.numel() >= scores.numel()} == {torch.bfloat16}
    exact = scores.detach().float().requires_grad_()
    LOSSES["cross_entropy"](exact, target.to(scores.device)).backward()
    torch.testing.assert_close(scores.grad.float(), exact.grad, rtol=2**-7, atol=1e-6)  # 0.0072 seen


def test_focal_without_focus_is_cross_entropy_and_ohem_of_all_pixels_too() -> None:
    scores, target = batch()
    expected = float(LOSSES["cross_entropy"](scores, target))
    assert float(focal(scores, target, gamma=0)) == pytest.approx(expected)
    assert float(ohem(scores, target, least=1)) == pytest.approx(expected)


def test_perfect_and_opposite_answers() -> None:
    _, target = batch()
    target[target == 255] = 0
    right = 100.0 * torch.nn.functional.one_hot(target.long(), 4).movedim(-1, 1)
    for name in LOSSES:
        assert float(LOSSES[name](right, target)) == pytest.approx(0, abs=1e-6), name
    for name in ("dice", "lovasz"):
        assert float(LOSSES[name](-right, target)) > 0.9, name


def test_sums_have_one_term_for_each_name() -> None:
    scores, target = batch()
    step = {"images": torch.zeros(2, 3, 5, 7, dtype=torch.uint8), "masks": target}
    terms = SegmentationLoss("cross_entropy + dice")(lambda _: scores, step)
    assert list(terms) == ["cross_entropy", "dice"]
    assert float(terms["dice"]) == float(LOSSES["dice"](scores, target))
    weighted = SegmentationLoss("focal", WEIGHTS["weights"])(lambda _: scores, step)
    assert float(weighted["focal"]) == float(LOSSES["focal"](scores, target, WEIGHTS["weights"]))


def test_coarse_scores_meet_each_pixel_of_their_square() -> None:
    masks = torch.tensor([[[0, 1], [2, 3]]], dtype=torch.uint8).repeat(1, 3, 4)
    met = set()
    for seed in range(20):
        torch.manual_seed(seed)
        terms = SegmentationLoss()(
            lambda x: 50 * torch.eye(4)[:1, :, None, None].repeat(1, 1, 3, 4),
            {"images": torch.zeros(1, 3, 6, 8), "masks": masks},
        )
        met.add(round(float(terms["cross_entropy"])))
    assert met == {0, 50}  # class 0 is right for one pixel in four
    torch.manual_seed(0)


def test_names_that_are_no_losses() -> None:
    with pytest.raises(UsageError, match=r"loss to be one of cross_entropy, focal.*'dise'; did you mean 'dice'"):
        loss_names("cross_entropy+dise")
    with pytest.raises(UsageError, match=r"each loss once; got 'dice\+dice'; leave the second one out"):
        loss_names("dice+dice")
