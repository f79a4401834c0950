"""Striate: computer vision from the first convolution up; `from striate.detection import Detector`."""

__version__ = "0.1.0"
