"""Train the shipped features: python benchmarks/distil_features.py TEACHER.npz FOLDER... --steps 5000 --run RUN.

TEACHER is the 16 times smaller VGG-19 of Collaborative Distillation (Wang et al. 2020, MIT), with its `_aux` matrices;
FOLDER... hold natural pictures. Goes on where it was cut off; the result is RUN/vgg-distilled.safetensors.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from striate.core.borrow import read_state
from striate.core.images import SUFFIXES, load_image, resize
from striate.style.distil import LAYERS, Plan, distil, save_features, wide_maps
from striate.style.features import load_features

SIDE = 360  # pixels of the shorter side that are kept: crops are cut from 320 at most


def main() -> None:
    """Train, with a line each 20 steps."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("teacher", type=Path)
    parser.add_argument("folders", type=Path, nargs="+")
    parser.add_argument("--steps", type=int, default=Plan.steps)
    parser.add_argument("--run", type=Path, default=Path("runs/distil"))
    asked = parser.parse_args()
    files = [f for folder in asked.folders for f in sorted(folder.rglob("*")) if f.suffix.lower() in SUFFIXES]
    pictures = []
    for file in files:
        image = load_image(file)
        factor = min(1.0, SIDE / min(image.shape[:2]))
        pictures.append(resize(image, (round(image.shape[0] * factor), round(image.shape[1] * factor))))
    state = read_state(asked.teacher)
    pairs = {name: f"SE5/conv{name[4]}1_aux" for name in LAYERS}
    aux = {name: (state[f"{key}.weight"].flatten(1), state[f"{key}.bias"]) for name, key in pairs.items()}
    asked.run.mkdir(parents=True, exist_ok=True)
    plan = Plan(steps=asked.steps)

    def tell(step: int, parts: dict[str, float]) -> None:
        if step % 20 == 0:
            print(step, {name: round(value, 4) for name, value in parts.items()}, flush=True)

    student = distil(
        wide_maps(load_features(asked.teacher), aux), pictures, plan=plan, run_dir=asked.run, on_progress=tell
    )
    print(save_features(student, plan, asked.run / "vgg-distilled.safetensors"))


if __name__ == "__main__":
    main()
