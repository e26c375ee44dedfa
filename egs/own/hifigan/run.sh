#!/usr/bin/env bash
# Vocoders on your own recordings, a folder for each speaker:  run.sh --corpus FOLDER --speakers 'anna bert'
# Copies and the table; with  --confs recipes/vocoder/conf/hifigan_finetune.yaml --start hifigan  it fine-tunes, too.
set -euo pipefail
here=$(dirname "$(readlink -f "$0")")
exec "$here/../../../recipes/vocoder/run.sh" \
    --work "$here" \
    --prepare "$here/../vc2/local/data.sh" \
    "$@"
