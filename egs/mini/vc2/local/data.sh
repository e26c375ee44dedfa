#!/usr/bin/env bash
# CORPUS/{train,eval}/<speaker>/*.flac -> data directories:  local/data.sh CORPUS DATA SPEAKER ...
set -euo pipefail
corpus=$1 data=$2
shift 2
# shellcheck source-path=SCRIPTDIR/../../../.. source=recipes/utils/corpus.sh
. corpus.sh

vc-prepare "$corpus/train" "$data/train" --speakers "$@"
for speaker in "$@"; do
    vc-prepare "$corpus/eval" "$data/eval/$speaker" --speakers "$speaker"
done
