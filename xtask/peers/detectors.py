"""Checks detectors against an independent implementation (NumPy, SciPy and scikit-learn, written from the papers).

    pip install numpy scipy scikit-learn pyarrow
    cargo xtask bench cifar10-detectors --export OBSERVATIONS
    python xtask/peers/detectors.py OBSERVATIONS results/cifar10-detectors/scores.parquet

Reads the exported features, logits and heads, scores every test sample again, and compares the AUROC of each test set
with that of the stored column, both by scikit-learn. Fails where they differ by more than 0.1 points.
"""

import glob
import json
import os
import struct
import sys

import numpy as np
import pyarrow.parquet as parquet
from scipy.special import logsumexp, softmax
from sklearn.covariance import EmpiricalCovariance
from sklearn.metrics import roc_auc_score
from sklearn.neighbors import NearestNeighbors

LIMIT = 0.1


def read(path):
    with open(path, "rb") as file:
        header = json.loads(file.read(struct.unpack("<Q", file.read(8))[0]))
        data = file.read()
    arrays = {}
    for name, entry in header.items():
        if name != "__metadata__":
            begin, end = entry["data_offsets"]
            values = np.frombuffer(data[begin:end], dtype="<f4").reshape(entry["shape"])
            arrays[name] = values.astype(np.float64)
    return arrays


def unit(x):
    return x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12)


def scores_of(o, val):
    """Every check: name of our row, scores of all samples."""
    train, labels, z = o["train.features"], o["train.labels"].astype(int), o["train.logits"]
    f, logits, w, b = o["all.features"], o["all.logits"], o["head.weight"], o["head.bias"]
    classes = w.shape[0]
    p = softmax(logits, axis=1)
    energy = logsumexp(logits, axis=1)
    yield "msp", p.max(1)
    yield "mls", logits.max(1)
    yield "ebo", energy
    yield "entropy", (p * np.log(np.maximum(p, 1e-300))).sum(1)
    yield "gen", -((p * (1 - p)) ** 0.1).sum(1)

    near = NearestNeighbors(n_neighbors=50).fit(unit(train))
    yield "knn", -near.kneighbors(unit(f))[0][:, -1]

    means = np.stack([train[labels == c].mean(0) for c in range(classes)])
    tied = EmpiricalCovariance(assume_centered=True).fit(train - means[labels])
    to_class = np.stack([tied.mahalanobis(f - mean) for mean in means], axis=1)
    yield "mds", -to_class.min(1)
    whole = EmpiricalCovariance().fit(train)
    yield "rmds", -(to_class.min(1) - whole.mahalanobis(f))

    origin = -np.linalg.lstsq(w, b, rcond=None)[0]
    centred = train - origin
    principal = np.linalg.svd(centred, full_matrices=False)[2][: train.shape[1] // 2]

    def residual(x):
        x = x - origin
        return np.linalg.norm(x - x @ principal.T @ principal, axis=1)

    alpha = z.max(1).mean() / residual(train).mean()
    yield "vim", energy - alpha * residual(f)

    cut = np.percentile(f[val], 90)
    yield "react", logsumexp(np.minimum(f, cut) @ w.T + b, axis=1)

    contribution = train.mean(0) * w
    masked = np.where(contribution > np.percentile(contribution, 90), w, 0)
    yield "dice", logsumexp(f @ masked.T + b, axis=1)

    right = z.argmax(1) == labels
    patterns = np.stack([train[(labels == c) & right].mean(0) for c in range(classes)])
    yield "she", (f * patterns[logits.argmax(1)]).sum(1)

    yield "gradnorm", np.abs(f).sum(1) * np.abs(classes * p - 1).sum(1)

    top = logits.argmax(1)
    gaps = np.abs(logits.max(1, keepdims=True) - logits)
    apart = np.linalg.norm(w[top][:, None] - w[None], axis=2)
    apart[np.arange(len(f)), top] = 1
    yield "fdbd", (gaps / apart).sum(1) / np.linalg.norm(f - train.mean(0), axis=1)

    def pattern(x):
        return softmax(x, axis=1)

    v = pattern(logits[val])
    mean_of = np.stack([v[v.argmax(1) == c].mean(0) for c in range(classes)])
    divergence = (p[:, None] * (np.log(p[:, None] + 1e-300) - np.log(mean_of[None] + 1e-300))).sum(2)
    yield "kl_matching", -divergence.min(1)


def main():
    folder, table = sys.argv[1:3]
    frame = parquet.read_table(table).to_pydict()
    split, sets = np.array(frame["split"]), np.array(frame["set"])
    test = ~np.isin(split, ["id-val", "ood-val", "id-test"])
    worst, checked = 0.0, 0
    for path in sorted(glob.glob(os.path.join(folder, "*.safetensors"))):
        classifier = os.path.basename(path).removesuffix(".safetensors")
        print(classifier)
        for row, peer in scores_of(read(path), split == "id-val"):
            name = row if row in frame else f"{row}@{classifier}"
            ours = np.array(frame[name])
            cells = []
            for ood in dict.fromkeys(sets[test]):
                chosen = (split == "id-test") | ((sets == ood) & test)
                truth = split[chosen] == "id-test"
                both = [100 * roc_auc_score(truth, s[chosen]) for s in (ours, peer)]
                worst, checked = max(worst, abs(both[0] - both[1])), checked + 1
                cells.append(f"{ood} {both[0]:.3f} / {both[1]:.3f}")
            print(f"  {row:<12} {'   '.join(cells)}")
    print(f"{checked} AUROCs compared; largest difference {worst:.4f} points (limit {LIMIT})")
    return 1 if worst > LIMIT or not checked else 0


if __name__ == "__main__":
    sys.exit(main())
