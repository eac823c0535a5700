"""The peer of loader.rs: torchvision's transforms in a DataLoader with as many workers as cores.

Prints the seconds of one pass over TinyImageNet's 10,000 validation pictures, from the start of the workers to the last
batch of 128. The tar is unpacked beforehand, as OpenOOD's users have it; that, and importing torch, is not counted.
Batches are bytes, as ours are: no conversion to floats, no normalisation.
"""

import os
import pathlib
import tarfile
import tempfile
import time

import numpy as np
import torch
from PIL import Image
from torchvision.transforms import CenterCrop, Compose, InterpolationMode, Resize


class Pictures(torch.utils.data.Dataset):
    def __init__(self, folder):
        self.paths = [f"{folder}/tiny-imagenet-200/val/images/val_{i}.JPEG" for i in range(10_000)]
        self.transform = Compose([Resize(32, interpolation=InterpolationMode.BILINEAR), CenterCrop(32)])

    def __len__(self):
        return len(self.paths)

    def __getitem__(self, index):
        picture = Image.open(self.paths[index]).convert("RGB")
        return torch.from_numpy(np.array(self.transform(picture))).permute(2, 0, 1)


if __name__ == "__main__":
    tar = pathlib.Path(os.environ["DIFFGUARD_DATA"]) / "tin_val.tar"
    with tempfile.TemporaryDirectory() as folder:
        with tarfile.open(tar) as archive:
            archive.extractall(folder, filter="data")
        workers = len(os.sched_getaffinity(0))
        start = time.perf_counter()
        total = 0
        for batch in torch.utils.data.DataLoader(Pictures(folder), batch_size=128, num_workers=workers):
            total += int(batch.sum())
        print(f"{time.perf_counter() - start:.3f} s with {workers} workers, {total}")
