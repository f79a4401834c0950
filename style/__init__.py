"""Gram-matrix style transfer and texture synthesis."""

from .painting import Painting, Progress
from .texture import TextureSynthesis
from .transfer import StyleTransfer

__all__ = ["Painting", "Progress", "StyleTransfer", "TextureSynthesis"]
