"""Checks detectors against pytorch-ood (Kirchheim et al., CVPR Workshops 2022), a package that many papers use.

    pip install pytorch-ood scikit-learn pyarrow
    cargo xtask bench cifar10-detectors --export OBSERVATIONS
    python xtask/peers/detectors_pytorch_ood.py OBSERVATIONS results/cifar10-detectors/scores.parquet

Reads the exported features, logits and heads, has pytorch-ood's detectors score every test sample with our parameters,
and compares the AUROC of each test set with that of the stored column, both by scikit-learn. Fails where they differ by
more than 0.1 points, but for the detectors of which `DIFFERENT` says that pytorch-ood computes something else.
"""

import glob
import os
import sys

import numpy as np
import pyarrow.parquet as parquet
import torch
from pytorch_ood import __version__ as version
from pytorch_ood import detector as peers
from sklearn.metrics import roc_auc_score

from detectors import LIMIT, read

DIFFERENT = {
    "vra": "a threshold for each feature on training data; ours, as OpenOOD's, one for all on validation data",
    "nnguide": "a bank of all training samples; ours, as OpenOOD's, a spread hundredth of them",
}


def as_maps(x):
    return x[:, :, None, None]


def scores_of(o, val):
    """Every detector: name of our row, outlier scores of all samples."""
    tensors = {name: torch.from_numpy(array).float() for name, array in o.items()}
    train, z, labels = tensors["train.features"], tensors["train.logits"], tensors["train.labels"].long()
    f, logits, w, b = (tensors[name] for name in ("all.features", "all.logits", "head.weight", "head.bias"))
    val = torch.from_numpy(val)
    linear = torch.nn.Linear(w.shape[1], w.shape[0])
    linear.weight.data, linear.bias.data = w, b

    def head(x):
        return x.flatten(1) @ w.T + b

    def fitted(detector, x=train, y=labels):
        return detector.fit_features(x, y).predict_features(f)

    yield "msp", peers.MaxSoftmax(None).predict_logits(logits)
    yield "mls", peers.MaxLogit(None).predict_logits(logits)
    yield "ebo", peers.EnergyBased(None).predict_logits(logits)
    yield "entropy", peers.Entropy(None).predict_logits(logits)
    yield "gen", peers.GEN(None).predict_logits(logits)
    yield "kl_matching", peers.KLMatching(None).fit_logits(logits[val]).predict_logits(logits)
    yield "knn", fitted(peers.KNN(None, k=50))
    yield "mds", fitted(peers.Mahalanobis(None))
    yield "rmds", fitted(peers.RMD(None))
    yield "vim", fitted(peers.ViM(None, train.shape[1] // 2, w, b))
    react = peers.ReAct(None, head, percentile=0.9)
    yield "react", react.fit_feature_maps(as_maps(f[val]), torch.zeros(int(val.sum()))).predict_feature_maps(as_maps(f))
    vra = peers.VRA(None, head, 0.1, 0.9)
    yield "vra", vra.fit_feature_maps(as_maps(f[val]), torch.zeros(int(val.sum()))).predict_feature_maps(as_maps(f))
    yield "dice", fitted(peers.DICE(None, w, b, 0.9))
    for variant in "sbp":
        yield f"ash-{variant}", peers.ASH(None, head, f"ash-{variant}", 0.9).predict_feature_maps(as_maps(f))
    yield "scale", peers.SCALE(None, head, 0.85).predict_feature_maps(as_maps(f))
    yield "she", fitted(peers.SHE(None, head))
    yield "nnguide", fitted(peers.NNGuide(None, head, k=100))
    yield "fdbd", fitted(peers.fDBD(None, linear))
    yield "nci", fitted(peers.NCI(None, linear, alpha=1e-4))
    gradnorm = peers.GradNorm(linear, param_filter=lambda name: name == "weight", micro_batch_size=1024)
    yield "gradnorm", gradnorm.predict(f)


def main():
    folder, table = sys.argv[1:3]
    torch.manual_seed(0)
    columns = parquet.read_table(table)
    split, sets = (np.array(columns[name].to_pylist()) for name in ("split", "set"))
    test = ~np.isin(split, ["id-val", "ood-val", "id-test"])
    worst, checked = 0.0, 0
    print(f"pytorch-ood {version}, torch {torch.__version__}; AUROC in percent, ours / theirs")
    for path in sorted(glob.glob(os.path.join(folder, "*.safetensors"))):
        classifier = os.path.basename(path).removesuffix(".safetensors")
        print(classifier)
        for row, peer in scores_of(read(path), split == "id-val"):
            ours = columns[f"{row}@{classifier}"].to_numpy()
            peer = -peer.detach().double().numpy()
            cells = []
            for ood in dict.fromkeys(sets[test]):
                chosen = (split == "id-test") | ((sets == ood) & test)
                truth = split[chosen] == "id-test"
                both = [100 * roc_auc_score(truth, s[chosen]) for s in (ours, peer)]
                if row not in DIFFERENT:
                    worst, checked = max(worst, abs(both[0] - both[1])), checked + 1
                cells.append(f"{ood} {both[0]:.3f} / {both[1]:.3f}")
            print(f"  {row:<12} {'   '.join(cells)}{' *' * (row in DIFFERENT)}", flush=True)
    for row, why in DIFFERENT.items():
        print(f"* {row}: pytorch-ood takes {why}; not counted")
    print(f"{checked} AUROCs compared; largest difference {worst:.4f} points (limit {LIMIT})")
    return 1 if worst > LIMIT or not checked else 0


if __name__ == "__main__":
    sys.exit(main())
