"""Tuning without a GPU: the kernels under the interpreter, a clock of the test's; the tables and their errors."""

from __future__ import annotations

import json
from contextlib import contextmanager
from types import SimpleNamespace

import pytest
import torch

from striate.core import ops, tuning
from striate.core.checks import UsageError
from striate.core.folders import cache_folder
from striate.core.ops.tuning import Convolution

kernel = pytest.mark.kernel
LAYER = Convolution(1, 16, 32, 5, 3)


@kernel
def test_the_fastest_right_tile_is_chosen_and_kept(monkeypatch) -> None:
    from striate.core.kernels import tiles

    trials = []
    times = iter((3.0, 1.0, 2.0, 4.0, 5.0, 6.0))
    device = "cuda" if torch.cuda.is_available() else "cpu"
    found = tuning.tune(
        [LAYER], dtype=torch.float32, device=device, clock=lambda call: next(times), on_trial=trials.append
    )
    assert 2 <= len(trials) <= 6
    assert all(trial.milliseconds is not None for trial in trials)
    ((name, tile),) = found.items()
    assert tile == trials[1].tile
    path = tuning.keep(found)
    assert path == cache_folder() / "tiles.json"
    assert tiles.tuned() == {name: tiles.Tile(**tile)}
    tuning.keep({"another": tile})
    assert set(tiles.tuned()) == {name, "another"}


@kernel
def test_a_tile_with_wrong_numbers_is_named_and_not_chosen(monkeypatch) -> None:
    from striate.core.kernels import launch

    run, trials = launch.run, []

    def spoil(kernel, grid, *args, **constants):
        run(kernel, grid, *args, **constants)
        if constants.get("BN") == wrong:
            next(t for t in args if isinstance(t, torch.Tensor) and t.shape[1:2] == (32,)).add_(1)

    device = "cuda" if torch.cuda.is_available() else "cpu"
    x, _ = ops.tuning.tensors(LAYER, device, torch.float32)
    wrong = ops.tuning.candidates(LAYER, x, "ieee")[0]["BN"]
    monkeypatch.setattr(launch, "run", spoil)
    found = tuning.tune([LAYER], dtype=torch.float32, device=device, clock=lambda call: 1.0, on_trial=trials.append)
    assert trials[0].milliseconds is None
    assert all(tile["BN"] != wrong for tile in found.values())


@kernel
def test_a_tile_that_writes_nothing_does_not_pass_with_the_numbers_of_the_one_before(monkeypatch) -> None:
    from striate.core.kernels import launch

    run, empty, full, launches, blocks, trials = launch.run, launch.empty_map, torch.full, [], [], []

    def spoil(*args, **constants):
        launches.append(args)
        if len(launches) == 1:
            run(*args, **constants)

    # An allocator that always hands out the same block, as torch's on a GPU does with what was freed.
    def again(like, shape, dtype=None):
        blocks.extend([] if blocks else [empty(like, shape, dtype)])
        return blocks[0]

    def fill(shape, value, **options):
        for block in blocks:
            block.fill_(value)
        return full(shape, value, **options)

    device = "cuda" if torch.cuda.is_available() else "cpu"
    monkeypatch.setattr(launch, "run", spoil)
    monkeypatch.setattr(launch, "empty_map", again)
    monkeypatch.setattr(torch, "full", fill)
    tuning.tune([LAYER], dtype=torch.float32, device=device, clock=lambda call: 1.0, on_trial=trials.append)
    assert trials[0].milliseconds == 1.0
    assert [trial.milliseconds for trial in trials[1:]] == [None] * (len(trials) - 1)
    assert len(launches) == len(trials) >= 2


@kernel
def test_layers_whose_tile_no_table_changes_are_left_out() -> None:
    device = "cuda" if torch.cuda.is_available() else "cpu"
    trials = []
    picture = Convolution(1, 3, 8, 5, 3)
    assert tuning.tune([picture], device=device, clock=lambda call: 1.0, on_trial=trials.append) == {}
    assert trials == []


class Graphs:
    """What `Recorded` uses of torch.cuda, and what was done in which order."""

    def __init__(self) -> None:
        self.done = []

    def note(self, *words):
        self.done.append(" ".join(map(str, words)))

    @contextmanager
    def inside(self, name):
        self.note("enter", name)
        yield
        self.note("leave", name)

    def install(self, monkeypatch) -> None:
        stream = SimpleNamespace(wait_stream=lambda other: None)
        times = iter(range(1, 99))
        event = SimpleNamespace(
            record=lambda: self.note("event"), synchronize=lambda: None, elapsed_time=lambda end: 40.0 * next(times)
        )
        for name, what in {
            "Stream": lambda: stream,
            "current_stream": lambda: stream,
            "stream": lambda other: self.inside("stream"),
            "CUDAGraph": lambda: SimpleNamespace(replay=lambda: self.note("replay")),
            "graph": lambda graph, stream: self.inside("graph"),
            "Event": lambda enable_timing: event,
        }.items():
            monkeypatch.setattr(torch.cuda, name, what)


def test_a_call_is_prepared_and_warmed_up_on_the_stream_that_records_it(monkeypatch) -> None:
    graphs = Graphs()
    graphs.install(monkeypatch)

    def prepare():
        graphs.note("prepare")
        return lambda: graphs.note("call") or len(graphs.done)

    recorded = tuning.Recorded(prepare)
    calls = ["call"] * tuning.REPEATS
    warm = ["enter stream", "prepare", *["call"] * tuning.WARM_UPS, "leave stream"]
    assert graphs.done == [*warm, "enter graph", *calls, "leave graph"]
    last = len(graphs.done) - 1
    assert recorded() == last  # what the last recorded call gave
    assert graphs.done[-1] == "replay"


def test_the_clock_divides_a_replay_by_its_calls(monkeypatch) -> None:
    graphs = Graphs()
    graphs.install(monkeypatch)
    assert tuning.device_clock(lambda: None) == 40.0 / tuning.REPEATS
    assert graphs.done[-4:] == ["replay", "event", "replay", "event"]


def test_the_users_table_comes_before_the_shipped_one(monkeypatch) -> None:
    pytest.importorskip("triton")
    from striate.core.kernels import launch, tiles

    monkeypatch.setattr(launch, "INTERPRETED", False)
    x = torch.zeros(1, dtype=torch.bfloat16)
    shipped = tiles.tile(x, 1000, 64, 64, "ieee")
    mine = {"BM": 16, "BN": 32, "BK": 64, "stages": 2, "tma": False}
    tuning.keep({tiles.key(x, 1000, 64, 64, "ieee"): mine})
    assert tiles.tile(x, 1000, 64, 64, "ieee") == tiles.tile(x, 900, 64, 64, "ieee") == tiles.Tile(**mine) != shipped
    assert tiles.tile(x, 2000, 64, 64, "ieee") == shipped._replace(BM=tiles.tile(x, 2000, 64, 64, "ieee").BM)
    tiles.tuned.cache_clear()


@pytest.mark.parametrize("text", ["{", "[]", '{"tiles": {"a": {"BM": 1}}}'], ids=["no JSON", "a list", "half a tile"])
def test_a_foreign_file_is_refused_by_name(text) -> None:
    pytest.importorskip("triton")
    from striate.core.kernels import tiles

    path = cache_folder() / "tiles.json"
    path.parent.mkdir(parents=True)
    path.write_text(text)
    tiles.tuned.cache_clear()
    with pytest.raises(UsageError, match=r"expected a table of tiles in .*tiles.json; got .*remove the file"):
        tiles.tuned()
    tiles.tuned.cache_clear()
    assert path.read_text() == text


def test_the_shipped_table_has_a_row_for_everything() -> None:
    pytest.importorskip("triton")
    from striate.core.kernels import tiles

    for arch in ops.ARCHITECTURES:
        for kind in ("half", "tf32", "tf32x3", "ieee"):
            for filters in (1, 17, 33, 1000):
                rows = tiles.rows(arch, kind, filters)
                assert len(rows) == 4
                assert all(size & (size - 1) == 0 for row in rows for size in row[:3])
            assert tiles.Tile(**tiles.table()["weight_gradients"][str(arch)][kind])
    assert json.dumps(tiles.table())


@pytest.mark.skipif(torch.cuda.is_available(), reason="says what happens without a GPU")
def test_without_a_gpu_it_says_so() -> None:
    with pytest.raises(UsageError, match="expected an NVIDIA GPU to time kernels on; got none"):
        tuning.tune([LAYER])
    with pytest.raises(UsageError, match="model to be one of resnet50, vgg16, tiny-yolo; got 'resnet5'"):
        tuning.layers_of("resnet5")
