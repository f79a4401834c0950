"""Give a network of torch.nn layers to Striate's: same names, same state_dict, same answer.

On a CUDA tensor the second network runs Striate's Triton kernels; on the CPU both run torch.
"""

from __future__ import annotations

import torch
from torch import nn

from striate.core import layers, ops

torch.manual_seed(0)
theirs = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.SiLU(), nn.MaxPool2d(2)).eval()
ours = nn.Sequential(
    layers.Conv2d(3, 8, 3, padding=1), layers.BatchNorm2d(8), layers.SiLU(), layers.MaxPool2d(2)
).eval()
ours.load_state_dict(theirs.state_dict())

device = "cuda" if torch.cuda.is_available() else "cpu"
x = torch.rand(2, 3, 32, 32, device=device)
with torch.no_grad():
    difference = (ours.to(device)(x) - theirs.to(device)(x)).abs().max().item()
print(f"largest difference on {device}: {difference:.2e}")
for name, road in ops.roads().items():
    print(f"{name:12s} {road[device]}")
