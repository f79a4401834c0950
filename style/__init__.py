"""Gram-matrix style transfer and texture synthesis."""

from .fast import FastStyle
from .painting import Painting, Progress
from .texture import TextureSynthesis
from .transfer import StyleTransfer

__all__ = ["FastStyle", "Painting", "Progress", "StyleTransfer", "TextureSynthesis"]
