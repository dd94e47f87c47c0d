"""Draws static/icon-512.png: the strokes of icon.svg on paper, within the middle that a launcher's mask leaves."""

import struct
import zlib
from pathlib import Path

SIZE = 512
PAPER, LEAF = (250, 249, 245), (46, 125, 87)
# Of icon.svg, 16 units wide: (from, to, half its width).
STROKES = [
    ((8, 14.5), (8, 2.5), 0.8),
    ((8, 11.5), (3.5, 8.5), 0.8),
    ((8, 9), (12.5, 6), 0.8),
    ((8, 2.5), (8, 2.5), 1.7),
    ((3.5, 8.5), (3.5, 8.5), 1.7),
    ((12.5, 6), (12.5, 6), 1.7),
]
UNIT = SIZE * 0.6 / 16
MARGIN = SIZE * 0.2


def depth(x, y, stroke):
    """How far inside the stroke a place lies; below 0: outside."""
    (ax, ay), (bx, by), half = stroke
    dx, dy = bx - ax, by - ay
    along = ((x - ax) * dx + (y - ay) * dy) / max(dx * dx + dy * dy, 1e-9)
    along = min(1.0, max(0.0, along))
    return half - ((x - ax - along * dx) ** 2 + (y - ay - along * dy) ** 2) ** 0.5


def pixel(column, row):
    x, y = (column + 0.5 - MARGIN) / UNIT, (row + 0.5 - MARGIN) / UNIT
    inside = max(depth(x, y, stroke) for stroke in STROKES) * UNIT + 0.5
    share = min(1.0, max(0.0, inside))
    return bytes(round(p + (l - p) * share) for p, l in zip(PAPER, LEAF))


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


rows = b"".join(b"\0" + b"".join(pixel(column, row) for column in range(SIZE)) for row in range(SIZE))
header = struct.pack(">IIBBBBB", SIZE, SIZE, 8, 2, 0, 0, 0)
png = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows, 9)) + chunk(b"IEND", b"")
Path(__file__).with_name("static").joinpath("icon-512.png").write_bytes(png)
