"""Small pictures of every mode that occurs, and what PIL's convert("RGB") makes of them.

    python decode.py ../fixtures/decode

Written with Pillow 13.0.0 (libjpeg-turbo). expected.rgb holds 14 x 20 x 3 bytes for each file of names.txt, in order.
"""

import pathlib
import sys

import numpy as np
from PIL import Image

folder = pathlib.Path(sys.argv[1])
folder.mkdir(parents=True, exist_ok=True)
h, w = 14, 20
y, x = np.mgrid[0:h, 0:w]
smooth = np.stack([x * 12, y * 17, 255 - x * 6 - y * 8], -1).clip(0, 255).astype(np.uint8)
rgb = Image.fromarray(smooth)
grey = rgb.convert("L")
wide = (smooth.astype(np.uint16) << 8) | 0x00F0  # the lower byte rounds up
alpha = Image.fromarray((x * 12).astype(np.uint8))


def png16(path, values):
    """PIL cannot write 16-bit colours."""
    import struct
    import zlib

    colour = 2 if values.ndim == 3 else 0
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", w, h, 16, colour, 0, 0, 0)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))


grey.save(folder / "grey.jpg", quality=90)
rgb.save(folder / "444.jpg", quality=90, subsampling=0)
rgb.save(folder / "422.jpg", quality=90, subsampling=1)
rgb.save(folder / "420.jpg", quality=90, subsampling=2)
rgb.save(folder / "progressive.jpg", quality=90, progressive=True)
rng = np.random.default_rng(0)
rough = Image.fromarray(rng.integers(0, 256, (h, w, 3), np.uint8))
rough.save(folder / "rough-420.jpg", quality=50, subsampling=2)
rough.save(folder / "rough-422.jpg", quality=95, subsampling=1)
rough.save(folder / "rough-restart.jpg", quality=80, restart_marker_blocks=1)
rough.save(folder / "rough-progressive.jpg", quality=30, progressive=True, subsampling=1)
rough.save(folder / "rough-rgb.jpg", quality=85, keep_rgb=True)
rough.convert("L").save(folder / "rough-grey-progressive.jpg", quality=70, progressive=True)
rgb.convert("CMYK").save(folder / "cmyk.jpg", quality=95)
rgb.save(folder / "rgb.png")
grey.save(folder / "grey.png")
rgb.quantize(16).save(folder / "palette.png")
rgb.quantize(16).save(folder / "palette-transparent.png", transparency=3)
Image.merge("RGBA", [*rgb.split(), alpha]).save(folder / "rgba.png")
Image.merge("LA", [grey, alpha]).save(folder / "la.png")
grey.point(lambda v: 255 * (v > 120)).convert("1").save(folder / "bits.png")
png16(folder / "rgb16.png", wide)
names = sorted(p.name for p in folder.iterdir() if p.suffix in (".jpg", ".png"))
(folder / "names.txt").write_text("".join(f"{n}\n" for n in names))
pictures = [np.asarray(Image.open(folder / n).convert("RGB")) for n in names]
assert all(p.shape == (h, w, 3) for p in pictures)
(folder / "expected.rgb").write_bytes(b"".join(p.tobytes() for p in pictures))
