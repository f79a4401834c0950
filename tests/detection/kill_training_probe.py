"""Train a small detector whole, then again killed with SIGKILL at random moments and resumed; print what came of it.

Run by test_kill_training.py in a process of its own: it forks after importing torch, so a restart costs no import.
"""

import json
import os
import random
import signal
import sys
import time
from pathlib import Path

import torch

from striate.core.datasets import load_boxes
from striate.core.datasets.synthetic import write_synthetic
from striate.detection import Detector
from striate.detection.model import SIZES, Size

KILLS = 10
SIZES["tiny"] = Size((4, 8, 8, 16, 16), (0, 0, 0, 0, 1), 8)  # the moments of a kill are the same, and sooner there


def train(data: Path, run: Path) -> None:
    """Train in a fork, so that it can be killed; the fork ends here."""
    torch.set_num_threads(1)
    train_set, val = load_boxes(data, "train"), load_boxes(data, "val")
    detector = Detector(image_size=64, size="tiny")
    detector.fit(train_set, val=val, epochs=6, batch_size=2, run_dir=run, resume=True, device="cpu", seed=1)
    detector.save(run / "final.safetensors")


def fork(data: Path, run: Path) -> int:
    child = os.fork()
    if child == 0:
        status = 1
        try:
            train(data, run)
            status = 0
        finally:
            os._exit(status)
    return child


def wait(child: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def history(run: Path) -> list[str]:
    """The history without its column of seconds, which no two runs share."""
    lines = [line.split(",") for line in (run / "history.csv").read_text().splitlines()]
    at = lines[0].index("seconds")
    return [",".join(cells[:at] + cells[at + 1 :]) for cells in lines]


def main(folder: Path) -> None:
    data = write_synthetic(folder / "data", 4, 1, scene="shapes", size=(48, 64), seed=0)
    started = time.monotonic()
    assert wait(fork(data, folder / "whole")) == 0
    duration = time.monotonic() - started
    chance = random.Random(0)
    kills = 0
    while kills < KILLS:
        child = fork(data, folder / "killed")
        time.sleep(chance.uniform(0.02, 0.35) * duration)
        done, _ = os.waitpid(child, os.WNOHANG)
        if done:  # it was quicker than the clock: begin anew, so that every kill hits a training
            for path in (folder / "killed").iterdir():
                path.unlink()
            continue
        os.kill(child, signal.SIGKILL)
        wait(child)
        kills += 1
    last = wait(fork(data, folder / "killed"))
    final = [(folder / run / "final.safetensors").read_bytes() for run in ("whole", "killed")]
    print(
        json.dumps(
            {
                "kills": kills,
                "status": last,
                "epochs": len(history(folder / "whole")) - 1,
                "same_history": history(folder / "killed") == history(folder / "whole"),
                "same_weights": final[0] == final[1],
            }
        )
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
