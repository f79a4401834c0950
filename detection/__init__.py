"""Boxes on a picture: the detector and what it finds."""

from .detections import Detections
from .detector import Detector

__all__ = ["Detections", "Detector"]
