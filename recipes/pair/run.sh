#!/usr/bin/env bash
# Conversion between pairs of speakers, both ways: data, features, training, conversion, evaluation.
recipes=$(dirname "$(dirname "$(readlink -f "$0")")")
. "$recipes/pair/cmd.sh" || exit 1
. "$recipes/pair/path.sh" || exit 1
. "$recipes/utils/conversion.sh" || exit 1

help_message="usage: run.sh [--name value ...]
$prepare_help
  --source, --target    the two speakers of one pair
  --sources, --targets  'A B ...': every source with every target; a training run serves both ways of a pair
  --pairs FILE          a line 'SOURCE TARGET' for each pair
  --speakers 'A B ...'  all that data/train shall hold (default: those of the pairs); some corpora deal their
                        sentences out to these, so that another list is another division
$shared_help"

source=
target=
sources=
targets=
pairs=

. "$recipes/utils/parse_options.sh" || exit 1
. "$recipes/utils/stages.sh" || exit 1
. "$recipes/utils/pairs.sh" || exit 1
set -euo pipefail

[ -z "$pairs" ] || [ -r "$pairs" ] || fail "--pairs: no such file: '$pairs'"
list_pairs
who=(--source '{1}' --target '{2}')
stages=(
    make_data        # 0: recordings -> data/train, data/eval/SPEAKER
    extract_features # 1: data/train -> dump/train
    train            # 2: dump/train -> exp/NAME
    convert          # 3: data/eval -> exp/NAME/converted
    evaluate         # 4: exp/NAME/converted -> exp/NAME/evaluation
)
run_conversion "$@"
