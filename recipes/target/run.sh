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
run_conversion "$@"
