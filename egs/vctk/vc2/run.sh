#!/usr/bin/env bash
# VCTK 0.92: English of many accents. --corpus FOLDER names the corpus, unpacked: 11 GB to download from
# https://datashare.ed.ac.uk/handle/10283/3443 (CC BY 4.0). The settings are those for a CPU; for a GPU:
# --conf recipes/pair/conf/cyclegan_vc2.yaml
set -euo pipefail
here=$(dirname "$(readlink -f "$0")")
recipe=$here/../../../recipes/pair
exec "$recipe/run.sh" \
    --work "$here" \
    --prepare "$here/local/data.sh" \
    --source p225 --target p226 \
    --conf "$recipe/conf/cyclegan_vc2_narrow.yaml" \
    "$@"
