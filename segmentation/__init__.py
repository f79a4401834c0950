"""A class for every pixel: fully convolutional networks and what they find."""

from .label_map import LabelMap
from .segmenter import Segmenter

__all__ = ["LabelMap", "Segmenter"]
