#!/usr/bin/env bash
# Submits the shards of a run as an array, and the merge after them. Run it in the repository.
set -euo pipefail
export DEPLOY=${DEPLOY:-deploy/slurm}
source "$DEPLOY/settings.sh"
export EXPERIMENT SHARDS RUN STORE XTASK BENCH_OPTIONS MERGE_OPTIONS

mkdir -p "$RUN"
# shellcheck disable=SC2086
"$XTASK" bench "$EXPERIMENT" --store "$STORE" --offline --dry-run $BENCH_OPTIONS
array=$(sbatch --parsable --array="1-$SHARDS" "$DEPLOY/shard.sbatch")
merge=$(sbatch --parsable --dependency="afterok:${array%%;*}" "$DEPLOY/merge.sbatch")
echo "array ${array%%;*}, merge ${merge%%;*}; results will be in $RUN/whole"
