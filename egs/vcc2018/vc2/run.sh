#!/usr/bin/env bash
# Voice Conversion Challenge 2018, Spoke task, with the CycleGAN-VC2 paper's speakers: sources SF3 and SM3, targets TF1
# and TM1; they share no training sentence. --corpus FOLDER names the corpus; without it, it is downloaded
# (https://datashare.ed.ac.uk/handle/10283/3061, CC BY 4.0). The settings are those for a CPU; those of the paper, for a
# GPU, are  --conf recipes/pair/conf/cyclegan_vc2.yaml
set -euo pipefail
here=$(dirname "$(readlink -f "$0")")
recipe=$here/../../../recipes/pair
exec "$recipe/run.sh" \
    --work "$here" \
    --prepare "$here/local/data.sh" \
    --source SF3 --target TF1 \
    --conf "$recipe/conf/cyclegan_vc2_narrow.yaml" \
    "$@"
