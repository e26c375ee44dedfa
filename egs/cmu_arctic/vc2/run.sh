#!/usr/bin/env bash
# CMU ARCTIC: speakers who read the same sentences; each learns from others of them. --corpus FOLDER names the corpus;
# without it, the speakers are downloaded (http://festvox.org/cmu_arctic; the terms lie in each archive). The settings
# are those for a CPU; for a GPU:  --conf recipes/pair/conf/cyclegan_vc2.yaml
set -euo pipefail
here=$(dirname "$(readlink -f "$0")")
recipe=$here/../../../recipes/pair
exec "$recipe/run.sh" \
    --work "$here" \
    --prepare "$here/local/data.sh" \
    --source slt --target rms \
    --conf "$recipe/conf/cyclegan_vc2_narrow.yaml" \
    --features_conf "$recipe/conf/16k.yaml" \
    "$@"
