#!/usr/bin/env bash
# Vocoders on the Voice Conversion Challenge 2016: --corpus FOLDER names the corpus (without it, it is downloaded).
# Copies and the table; with  --confs recipes/vocoder/conf/hifigan_finetune.yaml --start hifigan  it fine-tunes, too.
set -euo pipefail
here=$(dirname "$(readlink -f "$0")")
exec "$here/../../../recipes/vocoder/run.sh" \
    --work "$here" \
    --prepare "$here/../vc2/local/data.sh" \
    --speakers 'SF1 SM1 TF2 TM3' \
    "$@"
