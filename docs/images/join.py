"""Joins the pictures of record.mjs into tree-rounds-light.gif and tree-rounds-dark.gif beside this file.

    python3 docs/images/join.py FRAMES      needs Pillow
"""

import sys
from pathlib import Path

from PIL import Image

EACH_MS, LAST_MS = 1600, 2600

frames = Path(sys.argv[1])
for look in ("light", "dark"):
    first, *others = (Image.open(file).convert("RGB") for file in sorted(frames.glob(f"{look}-*.png")))
    first.save(
        Path(__file__).with_name(f"tree-rounds-{look}.gif"),
        save_all=True,
        append_images=others,
        duration=[EACH_MS] * len(others) + [LAST_MS],
        loop=0,
        optimize=True,
    )
