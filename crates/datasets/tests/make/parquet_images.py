"""Pictures in Parquet, as HuggingFace's `datasets` writes them: a struct `image` of `bytes` and `path`, and `label`.

    python parquet_images.py ../fixtures/parquet

Written with pyarrow 26.0.1 and Pillow 13.0.0. Seven PNGs of 6 x 4, row groups of three; picture i has red 10 i and
label i mod 4, its path is i.png.
"""

import io
import pathlib
import sys

import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

folder = pathlib.Path(sys.argv[1])
folder.mkdir(parents=True, exist_ok=True)


def png(i):
    out = io.BytesIO()
    Image.new("RGB", (6, 4), (10 * i, 0, 9)).save(out, "PNG")
    return out.getvalue()


images = [{"bytes": png(i), "path": f"{i}.png"} for i in range(7)]
image = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
labels = [i % 4 for i in range(7)]
table = pa.table({"image": pa.array(images, image), "label": pa.array(labels, pa.int64())})
for codec in ("snappy", "zstd", "none"):
    pq.write_table(table, folder / f"{codec}.parquet", row_group_size=3, compression=codec)
pq.write_table(table.rename_columns(["img", "fine_label"]), folder / "cifar100.parquet", row_group_size=4)
holes = [*images[:2], {"bytes": None, "path": "2.png"}]
pq.write_table(pa.table({"image": pa.array(holes, image), "label": pa.array([0, 1, 2])}), folder / "hole.parquet")
