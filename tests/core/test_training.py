"""The training loop: learns, averages, stops, schedules, names the batch that broke it, resumes bit for bit."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from striate.core.batches import KeyedBatches
from striate.core.checks import CheckpointError, DataError, TrainingError, UsageError
from striate.core.history import History, Progress
from striate.core.layers import BatchNorm2d, Conv2d
from striate.core.recipe import TrainingOptions
from striate.core.training import fit


class Points:
    """Random 8 x 8 pictures whose target is their mean; noise depends on (epoch, index) alone."""

    def __init__(self, count: int = 12, poison: int = -1) -> None:
        self.count, self.poison = count, poison

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, key: tuple[int, int]) -> tuple[Tensor, Tensor, str]:
        generator = torch.Generator().manual_seed(1000 * key[0] + key[1])
        x = torch.rand(3, 8, 8, generator=generator)
        target = torch.tensor(math.nan) if key == (1, self.poison) else x.mean()
        return x, target, f"picture{key[1]}.png"

    def collate(self, samples: list[Any]) -> dict[str, Any]:
        x, target, sources = zip(*samples, strict=True)
        return {"x": torch.stack(x), "target": torch.stack(target), "sources": list(sources)}


def network() -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(7)
        features = (Conv2d(3, 8, 3), BatchNorm2d(8), nn.ReLU(), nn.Dropout(0.1))
        return nn.Sequential(*features, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 1))


def loss(model: nn.Module, batch: dict[str, Any]) -> dict[str, Tensor]:
    return {"square": (model(batch["x"])[:, 0] - batch["target"]).square().mean()}


def validate(model: nn.Module) -> dict[str, float]:
    assert not model.training
    points = Points()
    batch = points.collate([points[(99, i)] for i in range(12)])
    with torch.no_grad():
        return {"validation_loss": loss(model, batch)["square"].item()}


def options(**changes: Any) -> TrainingOptions:
    plain = {"epochs": 6, "batch_size": 4, "learning_rate": 0.02, "warmup_epochs": 1.0, "device": "cpu", "seed": 3}
    return TrainingOptions(**{**plain, **changes})


def train(model: nn.Module, **keywords: Any) -> History:
    changes = keywords.pop("options", {})
    samples = keywords.pop("samples", Points())
    settings: dict[str, Any] = {"validate": validate, "monitor": "validation_loss", **keywords}
    return fit(model, samples, loss, options=options(**changes), **settings)


def rows(history: History) -> list[dict[str, float]]:
    return [{name: value for name, value in row.items() if name != "seconds"} for row in history.rows]


@pytest.mark.parametrize("optimizer", ["adamw", "adam", "sgd"])
def test_learns(optimizer: str) -> None:
    history = train(network(), options={"optimizer": optimizer, "epochs": 20})
    assert history.column("loss")[-1] < 0.3 * history.column("loss")[0]


def test_same_seed_same_history_other_seed_another() -> None:
    first, second, other = train(network()), train(network()), train(network(), options={"seed": 4})
    assert rows(first) == rows(second)
    assert rows(first) != rows(other)


def test_global_random_state_is_left_alone() -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    train(network(), options={"epochs": 1})
    assert torch.equal(torch.rand(3), expected)


def test_workers_change_nothing() -> None:
    assert rows(train(network(), options={"epochs": 2, "workers": 2})) == rows(train(network(), options={"epochs": 2}))


class Stop(Exception):
    pass


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"schedule": "plateau", "plateau_patience": 1},
        {"optimizer": "sgd", "ema_decay": 0.0},
        {"precision": "bf16"},
    ],
)
@pytest.mark.parametrize("at", [(1, 2), (3, 1), (4, 3)])
def test_interrupted_and_resumed_equals_uninterrupted(
    tmp_path: Path, changes: dict[str, Any], at: tuple[int, int]
) -> None:
    whole = network()
    expected = train(whole, options=changes)

    def interrupt(progress: Progress) -> None:
        if (progress.epoch, progress.step) == at and not progress.metrics:
            raise Stop

    with pytest.raises(Stop):
        train(network(), options=changes, run_dir=tmp_path, on_progress=interrupt)
    resumed = network()
    assert rows(train(resumed, options=changes, run_dir=tmp_path, resume=True)) == rows(expected)
    for name, tensor in whole.state_dict().items():
        assert torch.equal(tensor, resumed.state_dict()[name]), name


def test_resume_falls_back_to_the_save_before_and_says_so(tmp_path: Path) -> None:
    expected = train(network(), run_dir=tmp_path)
    state = tmp_path / "state.safetensors"
    state.write_bytes(state.read_bytes()[:-7])
    notices: list[str] = []
    resumed = train(network(), run_dir=tmp_path, resume=True, on_progress=lambda p: notices.append(p.notice))
    assert rows(resumed) == rows(expected)
    assert "state.prev.safetensors" in notices[0]
    assert not any(notices[1:])


def test_resume_with_other_options_is_refused_and_nothing_is_lost(tmp_path: Path) -> None:
    train(network(), run_dir=tmp_path)
    before = (tmp_path / "state.safetensors").read_bytes()
    with pytest.raises(TrainingError, match=r"learning_rate 0\.02.*; got .*learning_rate 0\.5; resume with the same"):
        train(network(), run_dir=tmp_path, resume=True, options={"learning_rate": 0.5})
    assert (tmp_path / "state.safetensors").read_bytes() == before


def test_resume_on_other_data_is_refused(tmp_path: Path) -> None:
    train(network(), run_dir=tmp_path, identity={"data": "a"})
    with pytest.raises(TrainingError, match=r"data 'a'; got data 'b'; resume with the same"):
        train(network(), run_dir=tmp_path, resume=True, identity={"data": "b"})


def test_resume_without_a_usable_state(tmp_path: Path) -> None:
    (tmp_path / "state.safetensors").write_bytes(b"nothing of the kind")
    with pytest.raises(CheckpointError, match=r"state\.safetensors"):
        train(network(), run_dir=tmp_path, resume=True)


def test_loss_that_is_no_number_names_the_batch_and_keeps_the_last_epoch(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"expected a finite loss; got loss nan, .* epoch 2, .*picture5\.png"):
        train(network(), samples=Points(poison=5), run_dir=tmp_path)
    assert len((tmp_path / "history.csv").read_text().splitlines()) == 2


def test_best_weights_are_kept() -> None:
    figures = iter([0.5, 0.9, 0.2, 0.1, 0.3, 0.4])
    seen: list[Tensor] = []

    def rising(model: nn.Module) -> dict[str, float]:
        seen.append(model.state_dict()["0.weight"].clone())
        return {"map": next(figures)}

    model = network()
    history = train(model, validate=rising, monitor="map")
    assert history.best_epoch == 2
    assert torch.equal(model.state_dict()["0.weight"], seen[1])


def test_early_stopping_and_plateau() -> None:
    history = train(
        network(), validate=lambda model: {"map": 0.5}, monitor="map", options={"epochs": 50, "patience": 3}
    )
    assert len(history.rows) == 4
    plateau = {"epochs": 5, "schedule": "plateau", "plateau_patience": 2, "warmup_epochs": 0.0}
    history = train(network(), validate=lambda model: {"map": 0.5}, monitor="map", options=plateau)
    assert history.column("learning_rate") == pytest.approx([0.02, 0.02, 0.02, 0.006, 0.006])


def test_plateau_counts_epochs_between_validations() -> None:
    plateau = {"epochs": 8, "schedule": "plateau", "plateau_patience": 3, "validate_every": 2, "warmup_epochs": 0.0}
    history = train(network(), validate=lambda model: {"map": 0.5}, monitor="map", options=plateau)
    # best at 2, stale by 2 at 4 and by 4 at 6, which is past 3; by 6 at 8
    assert history.column("learning_rate") == pytest.approx([0.02] * 6 + [0.006] * 2)


def test_validation_at_intervals_and_at_the_end() -> None:
    history = train(network(), options={"validate_every": 4})
    assert [row["epoch"] for row in history.rows if "validation_loss" in row] == [4, 6]


def test_averaged_weights_lag_behind() -> None:
    quick, slow = network(), network()
    train(quick, validate=None, monitor="loss", options={"ema_decay": 0.0, "epochs": 2})
    train(slow, validate=None, monitor="loss", options={"ema_decay": 0.9, "epochs": 2})
    start = network().state_dict()["6.weight"]
    assert (slow.state_dict()["6.weight"] - start).norm() < (quick.state_dict()["6.weight"] - start).norm()


def test_clipping_bounds_the_step() -> None:
    sgd = {
        "optimizer": "sgd",
        "momentum": 0.0,
        "weight_decay": 0.0,
        "epochs": 1,
        "ema_decay": 0.0,
        "warmup_epochs": 0.0,
    }
    model = network()
    train(model, validate=None, monitor="loss", options={**sgd, "clip_norm": 1e-3, "schedule": "constant"})
    before = dict(network().named_parameters())
    moved = torch.stack([(p - before[name]).square().sum() for name, p in model.named_parameters()]).sum().sqrt()
    assert 0 < moved <= 3 * 0.02 * 1e-3 * 1.01  # three steps of learning_rate * clip_norm


def test_progress_counts_up_and_estimates(tmp_path: Path) -> None:
    seen: list[Progress] = []
    train(network(), on_progress=seen.append, options={"epochs": 2})
    assert [(p.epoch, p.step, bool(p.metrics)) for p in seen] == [
        (1, 1, False), (1, 2, False), (1, 3, False), (1, 3, True),
        (2, 1, False), (2, 2, False), (2, 3, False), (2, 3, True),
    ]  # fmt: skip
    assert seen[-1].eta_seconds == 0
    assert all(p.eta_seconds > 0 for p in seen[:-2])


def test_run_folder_holds_what_was_promised(tmp_path: Path) -> None:
    saved: list[str] = []
    train(network(), run_dir=tmp_path / "new" / "run", save_weights=lambda model, path: saved.append(path.name))
    files = sorted(path.name for path in (tmp_path / "new" / "run").iterdir())
    assert files == ["history.csv", "history.svg", "state.prev.safetensors", "state.safetensors"]
    assert saved.count("last.safetensors") == 6
    assert "best.safetensors" in saved


def test_no_pictures() -> None:
    with pytest.raises(DataError, match="at least one picture to train on; got none"):
        train(network(), samples=Points(0))


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a CUDA device")
def test_cuda_without_a_device() -> None:
    with pytest.raises(UsageError, match="a CUDA device; got none on this machine"):
        train(network(), options={"device": "cuda"})


def test_model_is_handed_back_whole() -> None:
    model = network()
    train(model, options={"precision": "bf16", "epochs": 1})
    assert model(torch.rand(2, 3, 8, 8)).dtype == torch.float32
    assert not hasattr(model, "_original_forward")


def test_batches_cover_the_pictures_and_differ_by_epoch() -> None:
    batches = KeyedBatches(10, 4, seed=0)
    first = [index for batch in batches for _, index in batch]
    batches.epoch = 1
    second = list(batches)
    assert len(second) == len(batches) == 2
    assert len(set(first)) == 8
    assert {epoch for batch in second for epoch, _ in batch} == {1}
    assert first != [index for batch in second for _, index in batch]
    assert len(KeyedBatches(3, 16, seed=0)) == 1
