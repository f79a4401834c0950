"""Find the cells on a picture and draw them: detect_picture.py [PICTURE] [OUT.png].

Without a picture it renders a blood smear of its own.
"""

from __future__ import annotations

import sys

from striate.core.datasets.synthetic import blood_smear
from striate.core.images import load_image, save_image
from striate.detection import Detector

image = load_image(sys.argv[1]) if len(sys.argv) > 1 else blood_smear(seed=7)[0]
detector = Detector.from_pretrained("cells")
found = detector.predict(image)
print(found.summary())
for name, number in found.counts().items():
    print(f"{number:4d} {name}")
save_image(found.draw_on(image), sys.argv[2] if len(sys.argv) > 2 else "found.png")
