#!/usr/bin/env bash
# Conversion of anyone to one target, by a model of the target's recordings alone: data, features, training, conversion,
# evaluation.
recipes=$(dirname "$(dirname "$(readlink -f "$0")")")
. "$recipes/target/cmd.sh" || exit 1
. "$recipes/target/path.sh" || exit 1
. "$recipes/utils/conversion.sh" || exit 1

sources=
targets=
ways=

help_message="usage: run.sh [--name value ...]
$prepare_help
  --targets 'A B ...'   each has a model of its own
  --sources 'A B ...'   each is converted to each target; no model has learnt from them
  --ways 'A:B B:A ...'  the directions that are converted and evaluated (default: each source to each target)
$shared_help"

. "$recipes/utils/parse_options.sh" || exit 1
. "$recipes/utils/stages.sh" || exit 1
. "$recipes/utils/pairs.sh" || exit 1
set -euo pipefail

list_targets
who=(--target '{2}') source_option=()
stages=(
    make_data        # 0: recordings -> data/train, data/eval/SPEAKER
    extract_features # 1: data/train -> dump/train
    train            # 2: dump/train -> exp/NAME
    convert          # 3: data/eval -> exp/NAME/converted
    evaluate         # 4: exp/NAME/converted -> exp/NAME/evaluation
)
run_conversion "$@"
