"""Times scikit-learn's roc_auc_score on the scores that `cargo bench -p diffguard-ood --bench auroc FILE` wrote.

    pip install numpy scikit-learn
    python xtask/peers/auroc.py FILE
"""

import sys
import time

import numpy
import sklearn
from sklearn.metrics import roc_auc_score

scores = numpy.fromfile(sys.argv[1], dtype="<f8")
labels = numpy.zeros(len(scores), dtype=numpy.int64)
labels[: len(scores) // 2] = 1
best = float("inf")
for _ in range(5):
    begun = time.perf_counter()
    auroc = roc_auc_score(labels, scores)
    best = min(best, time.perf_counter() - begun)
print(f"scikit-learn {sklearn.__version__}: AUROC {auroc:.12f} of {len(scores)} scores in {best:.4f} s (best of 5)")
