# What a run is; read by the other scripts here. Every line can be set in the environment instead.
EXPERIMENT=${EXPERIMENT:-quick}            # a name of `cargo xtask list`, or a path
SHARDS=${SHARDS:-8}                        # tasks of the array
RUN=${RUN:-$PWD/runs/slurm-$EXPERIMENT}    # folder of the run, on a file system that all nodes see
STORE=${STORE:-$RUN/store}                 # or a URL such as s3://bucket/$EXPERIMENT (cargo feature s3)
XTASK=${XTASK:-target/release/xtask}       # the built program
BENCH_OPTIONS=${BENCH_OPTIONS:-}           # more options of bench, the same for all shards: --batch 50, --device cuda:0 …
MERGE_OPTIONS=${MERGE_OPTIONS:-}           # options of merge: --at-hand where the shards had it
export GLIBC_TUNABLES=${GLIBC_TUNABLES:-glibc.malloc.hugetlb=1} # huge pages, as `cargo xtask` has them
