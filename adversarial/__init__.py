"""Adversarial pictures: small changes that flip a decision, found, measured and confirmed on 8-bit pictures."""

from .apgd import Apgd
from .archive import Archive
from .ascent import Ascent
from .attack import Attack
from .attacks import ATTACKS, make_attack
from .carlini_wagner import CarliniWagner
from .criteria import ConfidenceAtLeast, Misclassified, Targeted
from .deepfool import DeepFool
from .ensemble import Ensemble
from .evolution import Evolution
from .fgsm import Fgsm
from .fooling import FoolingImages, champions, judge
from .hopskipjump import HopSkipJump
from .noise import Noise
from .one_pixel import OnePixel
from .pgd import Pgd
from .rates import robustness
from .results import Result, Results
from .square import Square
from .szegedy import Szegedy
from .training import AdversarialTraining
from .universal import Universal
from .victims import Attackable, BlackBox

__all__ = [
    "ATTACKS", "AdversarialTraining", "Apgd", "Archive", "Ascent", "Attack", "Attackable", "BlackBox", "CarliniWagner",
    "ConfidenceAtLeast", "DeepFool", "Ensemble", "Evolution", "Fgsm", "FoolingImages", "HopSkipJump", "Misclassified",
    "Noise", "OnePixel", "Pgd", "Result", "Results", "Square", "Szegedy", "Targeted", "Universal", "champions",
    "judge", "make_attack", "robustness",
]  # fmt: skip
