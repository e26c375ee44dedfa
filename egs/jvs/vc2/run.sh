#!/usr/bin/env bash
# JVS: a hundred Japanese speakers. --corpus FOLDER names the corpus, jvs_ver1 unpacked; its terms and the download:
# https://sites.google.com/site/shinnosuketakamichi/research-topics/jvs_corpus
# The settings are those for a CPU; for a GPU:  --conf recipes/pair/conf/cyclegan_vc2.yaml
set -euo pipefail
here=$(dirname "$(readlink -f "$0")")
recipe=$here/../../../recipes/pair
exec "$recipe/run.sh" \
    --work "$here" \
    --prepare "$here/local/data.sh" \
    --source jvs001 --target jvs002 \
    --conf "$recipe/conf/cyclegan_vc2_narrow.yaml" \
    "$@"
