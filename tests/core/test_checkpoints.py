"""Checkpoints: what goes in comes out, and nothing that was altered, cut or foreign is ever loaded."""

from __future__ import annotations

import hashlib
import json
import pickle
import struct
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from hypothesis import given
from hypothesis import strategies as st

from striate.core import checkpoints
from striate.core.checkpoints import load_checkpoint, previous_path, save_checkpoint, save_state
from striate.core.checks import CheckpointError, SaveError, UsageError

META = {"kind": "Detector", "config": {"size": "n", "names": ["é", 'a "quote" \\']}, "figures": {"map50": 0.5}}


def small(path: Path) -> Path:
    return save_checkpoint(path / "small.safetensors", {"w": torch.arange(6.0).view(2, 3)}, META)


def forge(path: Path, text: str, tensors: dict[str, torch.Tensor] | None = None) -> Path:
    """Write a file whose SHA-256 is right and whose description is anything."""
    text = '{"sha256":"' + "0" * 64 + '",' + text
    raw = safetensors.torch.save(tensors or {"w": torch.ones(2)}, metadata={"striate": text})
    digest = hashlib.sha256(raw).hexdigest().encode()
    path.write_bytes(raw.replace(b"0" * 64, digest, 1))
    return path


def three_parts(error: CheckpointError) -> None:
    assert all(part.strip() for part in (error.expected, error.got, error.fix))


@pytest.mark.parametrize(
    "tensor",
    [
        pytest.param(torch.randn(4, 5).T, id="non-contiguous"),
        pytest.param(torch.randn(6)[::2], id="strided view"),
        pytest.param(torch.randn(1, 3, 1).expand(2, 3, 4), id="expanded"),
        pytest.param(torch.randn(7).to(torch.bfloat16), id="bf16"),
        pytest.param(torch.randn(7).half(), id="fp16"),
        pytest.param(torch.randn(3, dtype=torch.float64), id="fp64"),
        pytest.param(torch.empty(0, 3), id="empty"),
        pytest.param(torch.tensor(2**62), id="int64 scalar"),
        pytest.param(torch.tensor([True, False, True]), id="bool"),
        pytest.param(torch.tensor([1, 255], dtype=torch.uint8), id="uint8"),
        pytest.param(torch.ones(2, 3, 4, 4).to(memory_format=torch.channels_last), id="channels last"),
        pytest.param(torch.nn.Parameter(torch.ones(2)), id="parameter with gradient"),
        pytest.param(torch.tensor([-0.0, 1e-45]), id="negative zero, subnormal"),
    ],
)
def test_tensor_comes_back_the_same(tmp_path: Path, tensor: torch.Tensor) -> None:
    path = save_checkpoint(tmp_path / "a.safetensors", {"x": tensor, "other": torch.ones(3)}, META)
    back = load_checkpoint(path)[0]["x"]
    assert back.dtype == tensor.dtype
    assert back.shape == tensor.shape
    plain = tensor.detach().contiguous()
    assert back.reshape(-1).view(torch.uint8).tolist() == plain.reshape(-1).view(torch.uint8).tolist()


def test_tensors_that_share_memory(tmp_path: Path) -> None:
    whole = torch.arange(6.0)
    path = save_checkpoint(tmp_path / "a.safetensors", {"a": whole, "b": whole, "part": whole[2:4]}, META)
    back, _ = load_checkpoint(path)
    assert back["a"].tolist() == back["b"].tolist() == whole.tolist()
    assert back["part"].tolist() == [2, 3]
    back["a"][0] = 9  # what is loaded may be written to, and shares nothing
    assert back["b"][0] == 0


def test_description_comes_back_with_version_and_digest(tmp_path: Path) -> None:
    path = small(tmp_path)
    meta = load_checkpoint(path, kind="Detector")[1]
    assert {key: meta[key] for key in META} == META
    assert meta["schema_version"] == 1
    zeroed = path.read_bytes().replace(meta["sha256"].encode(), b"0" * 64, 1)
    assert hashlib.sha256(zeroed).hexdigest() == meta["sha256"]


def test_same_content_gives_the_same_bytes(tmp_path: Path) -> None:
    first = small(tmp_path).read_bytes()
    assert small(tmp_path).read_bytes() == first


def test_the_previous_file_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    for value in range(3):
        save_checkpoint(path, {"w": torch.tensor(value)}, META)
    assert load_checkpoint(path)[0]["w"] == 2
    assert load_checkpoint(previous_path(path))[0]["w"] == 1
    assert sorted(file.name for file in tmp_path.iterdir()) == ["a.prev.safetensors", "a.safetensors"]


def test_truncated_at_any_byte(tmp_path: Path) -> None:
    raw = small(tmp_path).read_bytes()
    cut = tmp_path / "cut.safetensors"
    for length in range(len(raw)):
        cut.write_bytes(raw[:length])
        with pytest.raises(CheckpointError, match=r"cut\.safetensors") as caught:
            load_checkpoint(cut)
        three_parts(caught.value)
        assert cut.read_bytes() == raw[:length]  # loading alters nothing


def test_any_flipped_byte(tmp_path: Path) -> None:
    raw = small(tmp_path).read_bytes()
    for place in range(len(raw)):
        for mask in (0x01, 0x20, 0xFF):  # 0x20 turns a small digit letter into a capital one, and a space into NUL
            bad = bytearray(raw)
            bad[place] ^= mask
            (tmp_path / "bad.safetensors").write_bytes(bad)
            with pytest.raises(CheckpointError, match=r"bad\.safetensors"):
                load_checkpoint(tmp_path / "bad.safetensors")


def test_bytes_added_at_the_end(tmp_path: Path) -> None:
    path = small(tmp_path)
    path.write_bytes(path.read_bytes() + b"\0")
    with pytest.raises(CheckpointError, match="does not match its SHA-256"):
        load_checkpoint(path)


def test_large_file_truncated_and_flipped_at_samples(tmp_path: Path) -> None:
    path = save_checkpoint(tmp_path / "large.safetensors", {f"t{i}": torch.randn(250, 100) for i in range(20)}, META)
    raw, random = path.read_bytes(), np.random.default_rng(0)
    assert len(raw) > 2_000_000
    for place in random.integers(0, len(raw), 25).tolist():
        path.write_bytes(raw[:place])
        with pytest.raises(CheckpointError):
            load_checkpoint(path)
        path.write_bytes(raw[:place] + bytes([raw[place] ^ 1 << (place % 8)]) + raw[place + 1 :])
        with pytest.raises(CheckpointError):
            load_checkpoint(path)


@given(st.binary(max_size=400))
def test_any_bytes_are_refused(tmp_path_factory: pytest.TempPathFactory, raw: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "random.safetensors"
    path.write_bytes(raw)
    with pytest.raises(CheckpointError) as caught:
        load_checkpoint(path)
    three_parts(caught.value)


class Bomb:
    def __reduce__(self) -> tuple[type[BaseException], tuple[str]]:
        return SystemExit, ("unpickled",)


@pytest.mark.parametrize(
    ("write", "words"),
    [
        pytest.param(lambda p: torch.save({"w": Bomb()}, p), "zip archive.*pickle", id="torch.save"),
        pytest.param(
            lambda p: torch.save({"w": Bomb()}, p, _use_new_zipfile_serialization=False),
            "a pickle",
            id="old torch.save",
        ),
        *(
            pytest.param(lambda p, n=n: p.write_bytes(pickle.dumps(Bomb(), protocol=n)), "a pickle", id=f"pickle {n}")
            for n in (2, 3, 4, 5)
        ),
        pytest.param(lambda p: p.write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(500)), "HDF5", id="keras"),
        pytest.param(lambda p: p.write_bytes(b"\x1f\x8b" + bytes(500)), "gzip", id="gzip"),
        pytest.param(lambda p: p.write_bytes(b""), "empty file", id="empty"),
        pytest.param(lambda p: p.write_text("no weights here, " * 20), "another format", id="text"),
        pytest.param(
            lambda p: safetensors.torch.save_file({"w": torch.ones(2)}, p, metadata={"format": "pt"}),
            "safetensors file of another program",
            id="foreign safetensors",
        ),
        pytest.param(lambda p: p.mkdir(), "can be read", id="folder"),
        pytest.param(lambda p: None, "No such file", id="missing"),
    ],
)
def test_foreign_files_are_refused_by_name_and_never_run(tmp_path: Path, write, words: str) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path / "foreign.pt"
    write(path)
    with pytest.raises(CheckpointError, match=words) as caught:
        load_checkpoint(path)
    three_parts(caught.value)
    assert "foreign.pt" in str(caught.value)


def test_another_class_is_refused_by_name(tmp_path: Path) -> None:
    path = small(tmp_path)
    with pytest.raises(CheckpointError, match=r"a Classifier checkpoint; .*'Detector'.*; load it with Detector\.load"):
        load_checkpoint(path, kind="Classifier")
    save_state(path, {})
    with pytest.raises(CheckpointError, match=r"'TrainingState'.*state to resume from"):
        load_checkpoint(path, kind="Detector")


@pytest.mark.parametrize("version", ["2", "0", '"1"', "null"])
def test_another_schema_is_refused(tmp_path: Path, version: str) -> None:
    path = forge(tmp_path / "a.safetensors", f'"schema_version":{version},"kind":"Detector"}}')
    with pytest.raises(CheckpointError, match=r"schema version 1; got version .*a\.safetensors; update Striate"):
        load_checkpoint(path)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param('"kind":"Detector"}', id="no version"),
        pytest.param('"schema_version":1', id="broken JSON"),
        pytest.param('"x":' + "[" * 100_000, id="nested too deep"),
    ],
)
def test_a_header_that_makes_no_sense(tmp_path: Path, text: str) -> None:
    path = forge(tmp_path / "a.safetensors", text)
    with pytest.raises(CheckpointError, match="inconsistent header"):
        load_checkpoint(path)


@pytest.mark.parametrize("bytes_claimed", [checkpoints.MAX_HEADER_BYTES + 1, 2**63, 10_000])
def test_the_header_size_is_capped(tmp_path: Path, bytes_claimed: int) -> None:
    path = small(tmp_path)
    path.write_bytes(struct.pack("<Q", bytes_claimed) + path.read_bytes()[8:])
    with pytest.raises(CheckpointError, match=f"with a header of {bytes_claimed}"):
        load_checkpoint(path)


def test_a_header_above_the_cap_is_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoints, "MAX_HEADER_BYTES", 1000)
    with pytest.raises(UsageError, match="at most 1000 bytes of description"):
        save_checkpoint(tmp_path / "a.safetensors", {}, META | {"x": "y" * 1000})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16, torch.float64])
def test_numbers_that_are_not_finite_are_not_saved(tmp_path: Path, value: float, dtype: torch.dtype) -> None:
    small(tmp_path)
    before = (tmp_path / "small.safetensors").read_bytes()
    with pytest.raises(CheckpointError, match=r"finite tensors only; got NaN or infinity to be saved: head\.weight; "):
        save_checkpoint(
            tmp_path / "small.safetensors",
            {"head.weight": torch.tensor([1, value], dtype=dtype), "w": torch.ones(2)},
            META,
        )
    assert (tmp_path / "small.safetensors").read_bytes() == before


def test_numbers_that_are_not_finite_are_not_loaded(tmp_path: Path) -> None:
    path = forge(
        tmp_path / "a.safetensors", '"schema_version":1,"kind":"Detector"}', {"w": torch.tensor([1, torch.nan])}
    )
    with pytest.raises(CheckpointError, match=r"NaN or infinity in .*a\.safetensors: w; "):
        load_checkpoint(path)


@pytest.mark.parametrize(
    ("name", "tensors", "meta", "words"),
    [
        ("a.pt", {}, META, r"ends in \.safetensors; got 'a\.pt'"),
        ("a.safetensors", {"w": [1.0]}, META, "named dense tensors; got list under 'w'"),
        ("a.safetensors", {"w": torch.eye(2).to_sparse()}, META, "named dense tensors"),
        ("a.safetensors", {"w": torch.empty(2, device="meta")}, META, "named dense tensors"),
        ("a.safetensors", {"__metadata__": torch.ones(2)}, META, "named dense tensors"),
        ("a.safetensors", {}, {}, "meta with a `kind`"),
        ("a.safetensors", {}, META | {"sha256": "x"}, "without sha256"),
        ("a.safetensors", {}, META | {"config": {"path": Path("x")}}, r"JSON data at meta\['config'\]\['path'\]; got "),
        ("a.safetensors", {}, META | {"names": {0: "a"}}, r"text keys in meta\['names'\]; got the key 0"),
        ("a.safetensors", {}, META | {"x": [1, float("nan")]}, r"JSON data at meta\['x'\]\[1\]; got nan"),
    ],
)
def test_what_cannot_be_saved(tmp_path: Path, name: str, tensors: dict, meta: dict, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        save_checkpoint(tmp_path / name, tensors, meta)
    assert not list(tmp_path.iterdir())


def test_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(SaveError, match=r"an existing folder.*create that folder"):
        save_checkpoint(tmp_path / "none" / "a.safetensors", {}, META)


def test_header_is_plain_json_that_other_tools_can_read(tmp_path: Path) -> None:
    with safetensors.safe_open(small(tmp_path), "pt") as file:
        assert json.loads(file.metadata()["striate"])["config"] == META["config"]
        assert file.get_tensor("w").tolist() == [[0, 1, 2], [3, 4, 5]]
