"""Adversarial pictures: small changes that flip a decision, found, measured and confirmed on 8-bit pictures."""

from .apgd import Apgd
from .archive import Archive
from .ascent import Ascent
from .attack import Attack
from .attacks import ATTACKS, make_attack
from .carlini_wagner import CarliniWagner
from .criteria import ConfidenceAtLeast, Misclassified, Targeted
from .deepfool import DeepFool
from .defended import Defence, Defended, bit_depth, blur, defence_named, jpeg
from .ensemble import Ensemble
from .evolution import Evolution
from .fab import Fab
from .fgsm import Fgsm
from .fooling import FoolingImages, champions, judge
from .honesty import Honesty, check_gradients
from .hopskipjump import HopSkipJump
from .maps import MapResult, MapVictim, appear, attack_maps, flip, vanish
from .noise import Noise
from .one_pixel import OnePixel
from .pgd import Pgd
from .rates import Curve, robustness
from .results import Result, Results
from .square import Square
from .szegedy import Szegedy
from .training import AdversarialTraining
from .transfer import Transfer, jpeg_survival, surviving, transfer_matrix, transferred
from .universal import Universal
from .victims import Attackable, BlackBox

__all__ = [
    "ATTACKS", "AdversarialTraining", "Apgd", "Archive", "Ascent", "Attack", "Attackable", "BlackBox",
    "CarliniWagner", "ConfidenceAtLeast", "Curve", "DeepFool", "Defence", "Defended", "Ensemble", "Evolution",
    "Fab", "Fgsm", "FoolingImages", "Honesty", "HopSkipJump", "MapResult", "MapVictim", "Misclassified", "Noise",
    "OnePixel", "Pgd", "Result", "Results", "Square", "Szegedy", "Targeted", "Transfer", "Universal", "appear",
    "attack_maps", "bit_depth", "blur", "champions", "check_gradients", "defence_named", "flip", "jpeg",
    "jpeg_survival", "judge", "make_attack", "robustness", "surviving", "transfer_matrix", "transferred",
    "vanish",
]  # fmt: skip
