"""Readers and writers of the field's formats, and synthetic sets."""

from .boxes import BoxDataset, BoxSample
from .load import list_splits, load_boxes
from .write import write_boxes, write_coco, write_voc, write_yolo

__all__ = [
    "BoxDataset", "BoxSample", "list_splits", "load_boxes", "write_boxes", "write_coco", "write_voc", "write_yolo",
]  # fmt: skip
