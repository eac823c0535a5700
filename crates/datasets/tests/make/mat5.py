"""Files of SVHN's layout with five pictures.

    python mat5.py ../fixtures/mat5

Written with SciPy 1.17.1. Value of row r, column c, colour k, picture n: (r + 3 c + 50 k + 7 n) mod 256.
big.mat is the same file in big-endian order, which SciPy reads but cannot write; it is checked by reading it back.
"""

import pathlib
import struct
import sys

import numpy as np
from scipy.io import loadmat, savemat

folder = pathlib.Path(sys.argv[1])
folder.mkdir(parents=True, exist_ok=True)
r, c, k, n = np.ogrid[0:32, 0:32, 0:3, 0:5]
data = {"X": ((r + 3 * c + 50 * k + 7 * n) % 256).astype(np.uint8), "y": np.array([[5], [10], [1], [9], [10]], np.uint8)}
savemat(folder / "packed.mat", data, do_compression=True)
savemat(folder / "plain.mat", data, do_compression=False)
savemat(folder / "double.mat", {**data, "y": data["y"].astype(float)}, do_compression=True)


def element(kind, bytes_):
    return struct.pack(">II", kind, len(bytes_)) + bytes_ + b"\0" * (-len(bytes_) % 8)


def array(name, values):
    flags = element(6, struct.pack(">II", 9, 0))
    dims = element(5, b"".join(struct.pack(">i", d) for d in values.shape))
    label = struct.pack(">HH", len(name), 1) + name.ljust(4, b"\0")
    return element(14, flags + dims + label + element(2, values.tobytes("F")))


head = b"MATLAB 5.0 MAT-file, big-endian".ljust(124) + struct.pack(">H", 0x0100) + b"MI"
(folder / "big.mat").write_bytes(head + array(b"X", data["X"]) + array(b"y", data["y"]))
back = loadmat(folder / "big.mat")
assert (back["X"] == data["X"]).all() and (back["y"] == data["y"]).all()
