#!/usr/bin/env bash
# Voice Conversion Challenge 2016: sources and targets share no training sentence. --corpus FOLDER names the corpus;
# without it, it is downloaded (https://doi.org/10.7488/ds/1575, CC BY 4.0). The settings are those for a CPU; those of
# the paper, for a GPU, are  --conf recipes/pair/conf/cyclegan_vc2.yaml
set -euo pipefail
here=$(dirname "$(readlink -f "$0")")
recipe=$here/../../../recipes/pair
exec "$recipe/run.sh" \
    --work "$here" \
    --prepare "$here/local/data.sh" \
    --source SF1 --target TM3 \
    --conf "$recipe/conf/cyclegan_vc2_narrow.yaml" \
    --features_conf "$recipe/conf/16k.yaml" \
    "$@"
