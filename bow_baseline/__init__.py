"""Bags of visual words and SVMs: the classical pipeline, and its comparison with the networks."""

from .bow_classifier import BowClassifier
from .explain import Explanation
from .nearest import NearestPictures
from .svm import KernelSvm

__all__ = ["BowClassifier", "Explanation", "KernelSvm", "NearestPictures"]
