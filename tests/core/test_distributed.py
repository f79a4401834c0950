"""Two processes with one global batch learn as one process does, and only the first writes."""

import csv
import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
import json, os, sys
from pathlib import Path
import torch
from striate.core import atomic
from striate.core.classifier import Classifier
from striate.tests.core.test_classifier import stripes

torch.set_num_threads(1)
out, rank = Path(sys.argv[1]), os.environ.get("RANK", "0")
written = []
real = atomic.atomic_write
atomic.atomic_write = lambda path, *a, **k: written.append(str(path)) or real(path, *a, **k)
import striate.core.checkpoints, striate.core.history
striate.core.checkpoints.atomic_write = striate.core.history.atomic_write = atomic.atomic_write
calls = []
classifier = Classifier(network="lenet5", precision="fp32")
validate = classifier._validate
classifier._validate = lambda *a: calls.append(1) or validate(*a)
classifier.fit(
    stripes(48), val=stripes(24, seed=1), epochs=3, batch_size=16, optimizer="sgd", learning_rate=0.05, warmup_epochs=0,
    augmentation="digits", device="cpu", run_dir=out / "run", seed=0,
)
(out / f"rank{rank}.json").write_text(json.dumps({
    "loss": classifier.history_.column("loss"), "top1": classifier.history_.column("top1"),
    "written": len(written), "validated": len(calls),
    "sum": float(sum(p.double().sum() for p in classifier.network_.parameters())),
}))
"""


def train(out: Path, processes: int) -> list[dict]:
    out.mkdir()
    script = out / "script.py"
    script.write_text(SCRIPT)
    command = [sys.executable]
    if processes > 1:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        command += ["-m", "torch.distributed.run", f"--nproc_per_node={processes}", "--master_addr=127.0.0.1"]
        command += [f"--master_port={port}"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "", "ACCELERATE_USE_CPU": "true"}
    environment.pop("TRITON_INTERPRET", None)
    done = subprocess.run(
        [*command, str(script), str(out)], env=environment, capture_output=True, text=True, timeout=240
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return [json.loads((out / f"rank{rank}.json").read_text()) for rank in range(processes)]


def test_two_processes_learn_as_one(tmp_path: Path) -> None:
    (one,) = train(tmp_path / "one", 1)
    first, second = train(tmp_path / "two", 2)
    assert first["loss"] == second["loss"]
    assert first["loss"] == pytest.approx(one["loss"], rel=1e-4)
    assert first["top1"] == second["top1"] == one["top1"]
    assert first["sum"] == second["sum"] == pytest.approx(one["sum"], abs=1e-3)
    assert (first["validated"], second["validated"]) == (3, 0)
    assert first["written"] == one["written"] > 0
    assert second["written"] == 0
    with open(tmp_path / "two" / "run" / "history.csv") as file:
        assert len(list(csv.DictReader(file))) == 3


def test_a_batch_that_cannot_be_shared(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="the same share of a batch for every process; got 16 for 3"):
        train(tmp_path / "three", 3)
