"""Readers and writers of the field's formats, and synthetic sets."""

from .boxes import BoxDataset, BoxSample
from .load import list_splits, load_boxes
from .load_masks import list_mask_splits, load_masks
from .masks import MaskDataset
from .write import write_boxes, write_coco, write_voc, write_yolo

__all__ = [
    "BoxDataset", "BoxSample", "MaskDataset", "list_mask_splits", "list_splits", "load_boxes", "load_masks",
    "write_boxes", "write_coco", "write_voc", "write_yolo",
]  # fmt: skip
