"""Count the nuclei on a picture, measure them and draw them: segment_picture.py [PICTURE] [WEIGHTS] [OUT.png].

Without a picture it takes scikit-image's photograph of stained tissue, and looks at the blue stain of the nuclei only.
"""

from __future__ import annotations

import sys

from skimage import data

from striate.core.images import load_image, save_image
from striate.segmentation import Segmenter
from striate.segmentation.counting import objects_of
from striate.segmentation.instance_overlay import draw_instances
from striate.segmentation.stains import haematoxylin

image = load_image(sys.argv[1] if len(sys.argv) > 1 else data.immunohistochemistry())
seen = image if len(sys.argv) > 1 else haematoxylin(image)
segmenter = Segmenter.from_pretrained(sys.argv[2] if len(sys.argv) > 2 else "nuclei")
found = segmenter.predict(seen)
nuclei = objects_of(found, least_area=20)
print(found.summary())
print(f"{len(nuclei)} nuclei, median area {nuclei.summary()['median']} pixels")
nuclei.save_csv("nuclei.csv")
save_image(draw_instances(image, nuclei), sys.argv[3] if len(sys.argv) > 3 else "nuclei.png")
