"""Defences, what survives them, who else is fooled, and whether gradients are honest."""

import numpy as np
import pytest
import torch
from torch import nn

from striate.adversarial import Attackable, BlackBox, HopSkipJump, Noise, Pgd
from striate.adversarial.defended import Defended, bit_depth, blur, jpeg
from striate.adversarial.honesty import check_gradients, zero_gradients
from striate.adversarial.transfer import jpeg_survival, surviving, transfer_matrix, transferred
from striate.core.checks import DataError, ModelError, UsageError
from striate.core.images import to_tensor
from striate.tests.adversarial.stand_ins import NAMES, Set, pictures


class Asked:
    """A victim as a model with `predict_proba`."""

    def __init__(self, ask, names=NAMES) -> None:
        self.predict_proba, self.names = ask, names


def test_defences_change_pictures_as_they_say() -> None:
    image = pictures(1, 40, 40)[0]
    assert len(np.unique(bit_depth(1)(image))) == 2
    np.testing.assert_array_equal(bit_depth(8)(image), image)
    np.testing.assert_array_equal(bit_depth(3)(image), np.rint(np.rint(image / 255 * 7) * 255 / 7))
    assert blur(2.0)(image).std() < 0.5 * image.std()
    coarse, fine = (np.abs(jpeg(quality)(image).astype(int) - image).mean() for quality in (20, 95))
    assert coarse > fine > 0
    with pytest.raises(UsageError, match="a quality from 1 to 100; got 0"):
        jpeg(0)
    with pytest.raises(UsageError, match="a sigma above 0; got 0"):
        blur(0)
    with pytest.raises(UsageError, match="1 to 8 bits; got 9"):
        bit_depth(9)


def test_attacks_that_know_the_defence_pass_it_more_often(digits: Set) -> None:
    defence = bit_depth(1)
    images, labels = digits.images[:8], digits.labels[:8]
    blind = Pgd(steps=20).run(digits.model, images, labels, epsilons=0.2)
    through = Pgd(steps=20).run(Defended(digits.model, [defence]), images, labels, epsilons=0.2)
    assert blind.success.all()
    assert surviving(blind, digits.model, defence) < 0.5
    seen = [digits.model.predict(defence(one.image)).label for one in through if one.success]
    assert len(seen) > 0
    assert all(label != one.label for label, one in zip(seen, (one for one in through if one.success), strict=True))
    assert through.success_rate >= surviving(blind, digits.model, defence)


def test_the_expectation_is_over_all_transformations(small: Attackable, images) -> None:
    some = [blur(0.5), jpeg(90), bit_depth(5)]
    both = Defended(small, some)
    alone = [Defended(small, [one]).probabilities(images) for one in some]
    np.testing.assert_allclose(both.probabilities(images), np.mean(alone, 0), atol=1e-6)
    x = to_tensor(images)
    apart = [Defended(small, [one]).scores(x) for one in some]
    torch.testing.assert_close(both.scores(x), torch.stack(apart).mean(0))
    found = Pgd(steps=10).run(both, images, epsilons=0.1)
    assert found.success_rate > 0.5
    assert both.predict_proba([found[0].image]).argmax() == NAMES.index(found[0].label_after)
    with pytest.raises(UsageError, match="at least one defence; got none"):
        Defended(small, [])
    with pytest.raises(ModelError, match="a model that gives gradients; got one that gives scores"):
        Defended(BlackBox(small.probabilities, NAMES), some)


def test_what_survives_jpeg_is_counted(small: Attackable) -> None:
    model, given = Asked(small.probabilities), pictures(12, 24, 24)
    found = Pgd(steps=10).run(small, given, epsilons=0.03)
    survival = jpeg_survival(found, model, (100, 10))
    fooled = [one for one in found if one.success]
    assert len(fooled) >= 6
    for quality, share in survival.items():
        says = small.probabilities([jpeg(quality)(one.image) for one in fooled]).argmax(1)
        assert share == np.mean([NAMES[i] != one.label for i, one in zip(says, fooled, strict=True)])
    assert np.isnan(surviving(found[:0], model, jpeg(50)))
    aimed = Pgd(steps=10).run(small, given[:4], target=[_other(small, one) for one in given[:4]], epsilons=0.1)
    assert surviving(aimed, model, lambda image: image) == 1


def _other(small: Attackable, image: np.ndarray) -> int:
    return (int(small.probabilities([image]).argmax()) + 1) % 4


def test_a_transfer_matrix_has_those_attacked_as_rows(small: Attackable, images) -> None:
    other = Attackable(nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(12, 4)).eval(), NAMES)
    box = Asked(other.probabilities)
    labels = [NAMES[i] for i in small.probabilities(images).argmax(1)]

    class Network(Asked):
        gives, device = "gradients", torch.device("cpu")
        scores, seen, check, probabilities = small.scores, small.seen, small.check, small.probabilities

    models = {"cnn": Network(small.probabilities), "bow": box}
    found = transfer_matrix(models, images, labels, {"cnn": Pgd(steps=10)}, epsilon=0.1)
    assert (found.rows, found.columns) == (("cnn",), ("cnn", "bow"))
    alone = Pgd(steps=10).run(small, images, labels, epsilons=0.1)
    assert found.fooled[0, 0] == pytest.approx(alone.success_rate)
    assert found.counts[0, 0] == 6
    assert found.to_dict()["fooled"][0][0] == found.fooled[0, 0]
    both = transfer_matrix(models, images, labels, {"cnn": Pgd(steps=5), "bow": HopSkipJump(steps=1, samples=5)})
    assert both.fooled.shape == (2, 2)
    with pytest.raises(UsageError, match="at least one model; got none"):
        transfer_matrix({}, images, labels, Pgd())
    with pytest.raises(UsageError, match="model to be one of cnn, bow; got 'cn'"):
        transfer_matrix(models, images, labels, {"cn": Pgd()})
    with pytest.raises(DataError, match="models of the same classes; got cnn: 4 classes, x: 2 classes"):
        transfer_matrix({"cnn": models["cnn"], "x": Asked(None, ("a", "b"))}, images, labels, Pgd())


def test_labels_may_be_numbers_and_models_networks(small: Attackable, images) -> None:
    ids = small.probabilities(images).argmax(1)
    by_name, by_number = (
        transfer_matrix({"cnn": small}, images, labels, Pgd(steps=5), epsilon=0.1)
        for labels in ([NAMES[i] for i in ids], ids)
    )
    assert by_number.fooled[0, 0] == by_name.fooled[0, 0] > 0
    assert by_number.counts[0, 0] == 6
    assert set(jpeg_survival(Pgd(steps=5).run(small, images, epsilons=0.1), small, (90,))) == {90}
    with pytest.raises(UsageError, match="labels as names or numbers 0 to 3; got 7"):
        transfer_matrix({"cnn": small}, images[:1], [7], Pgd())


def test_results_that_are_there_need_no_second_attack(small: Attackable, images) -> None:
    other = Attackable(nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(12, 4)).eval(), NAMES)
    models, labels = {"one": small, "two": other}, [NAMES[i] for i in small.probabilities(images).argmax(1)]
    attack = Pgd(steps=5)
    made = {name: attack.run(model, images, labels, epsilons=0.1) for name, model in models.items()}
    found, anew = transferred(models, made), transfer_matrix(models, images, labels, attack, epsilon=0.1)
    np.testing.assert_array_equal(found.fooled, anew.fooled)
    np.testing.assert_array_equal(found.counts, anew.counts)
    for wrong in (made["two"][:3], attack.run(other, images[::-1], labels[::-1], epsilons=0.1)):
        with pytest.raises(UsageError, match="results about the same pictures; got others for 'two'"):
            transferred(models, {**made, "two": wrong})
    with pytest.raises(UsageError, match="model to be one of one, two; got 'three'"):
        transferred(models, {"three": made["one"]})


def test_an_honest_network_shows_no_masking(small: Attackable, images) -> None:
    found = check_gradients(small, images, epsilon=0.05, steps=10, queries=60)
    assert not found.masked
    assert found.verdict == "no sign of gradient masking"
    assert found.rates["pgd"] > found.rates["noise"]
    assert str(found).count("ok ") == 5
    assert found.to_dict()["masked"] is False


class Steps(nn.Module):
    """A network behind a staircase: its decisions are nearly the same, its gradients are zero."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.net((x * 64).round() / 64)


def test_hidden_gradients_are_named(net: nn.Module, images) -> None:
    hidden = Attackable(Steps(net).eval(), NAMES)
    found = check_gradients(hidden, images, epsilon=0.1, steps=5, queries=60)
    assert found.masked
    assert found.verdict.startswith("gradient masking: gradients are there; a black box is not stronger")
    assert "no claim of robustness holds" in str(found)
    assert zero_gradients(hidden, images) == 1
    assert Noise().run(hidden, images).success_rate <= found.rates["square"]
    with pytest.raises(ModelError, match="a model that gives gradients; got one that gives scores"):
        check_gradients(BlackBox(hidden.probabilities, NAMES), images)
    wrong = [NAMES[(int(i) + 1) % 4] for i in hidden.probabilities(images).argmax(1)]
    with pytest.raises(DataError, match="pictures that the model names right; got none"):
        check_gradients(hidden, images, wrong)
