"""Write a set of boxes in another format: convert_dataset.py DATA SPLIT voc|yolo|coco OUT.

The format of DATA is recognised by its layout. Labels that are wrong are dropped, and each is told with its reason.
"""

from __future__ import annotations

import sys

from striate.core.datasets import load_boxes, write_coco, write_voc, write_yolo

root, split, form, out = sys.argv[1:5]
dataset = load_boxes(root, split)
{"voc": write_voc, "yolo": write_yolo, "coco": write_coco}[form](dataset, out)
print(f"{len(dataset)} pictures, {dataset.counts()}: {dataset.format} -> {form} in {out}")
for line in dataset.report:
    print("  " + line)
