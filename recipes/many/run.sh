#!/usr/bin/env bash
# Conversion by one model of many speakers, each to each: data, features, training, conversion, evaluation.
recipes=$(dirname "$(dirname "$(readlink -f "$0")")")
. "$recipes/many/cmd.sh" || exit 1
. "$recipes/many/path.sh" || exit 1
. "$recipes/utils/conversion.sh" || exit 1

ways=

help_message="usage: run.sh [--name value ...]
$prepare_help
  --speakers 'A B C'    those of the model; from two on
  --ways 'A:B B:A ...'  the directions that are converted and evaluated (default: each speaker to each other)
$shared_help"

. "$recipes/utils/parse_options.sh" || exit 1
. "$recipes/utils/stages.sh" || exit 1
. "$recipes/utils/pairs.sh" || exit 1
set -euo pipefail

list_model
read -ra who <<< "--speakers $speakers"
stages=(
    make_data        # 0: recordings -> data/train, data/eval/SPEAKER
    extract_features # 1: data/train -> dump/train
    train            # 2: dump/train -> exp/NAME
    convert          # 3: data/eval -> exp/NAME/converted
    evaluate         # 4: exp/NAME/converted -> exp/NAME/evaluation
)
run_conversion "$@"
