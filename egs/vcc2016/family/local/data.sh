#!/usr/bin/env bash
# The data directories of ../vc2, of whose evaluation sentences the first twenty are taken: there are many methods.
set -euo pipefail
data=$2
"$(dirname "$(readlink -f "$0")")/../../vc2/local/data.sh" "$@"
for speaker in "${@:3}"; do
    rm -rf "$data/all"
    mv "$data/eval/$speaker" "$data/all"
    vc-prepare "$data/all" "$data/eval/$speaker" --first 20
done
rm -rf "$data/all"
