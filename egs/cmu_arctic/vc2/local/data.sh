#!/usr/bin/env bash
# CMU ARCTIC -> data directories of the speakers named:  local/data.sh CORPUS DATA SPEAKER ...
#
# CORPUS holds cmu_us_<speaker>_arctic/wav/arctic_a0001.wav to a0593 and b0001 to b0539; empty: download to downloads/.
# Set a is dealt out by the last digit of the number, to two speakers the even ones and the odd ones. Of set b, 0001 to
# 0009 are held out to choose the best model (data/dev) and 0010 to 0059 are for evaluation; a speaker without set b is
# refused.
# Layout and numbers are those that public documentation and other recipes give; the whole corpus was not at hand.
set -euo pipefail
corpus=$1 data=$2
shift 2
# shellcheck source-path=SCRIPTDIR/../../../.. source=recipes/utils/corpus.sh
. corpus.sh

url=${CMU_ARCTIC_URL:-http://festvox.org/cmu_arctic/packed}

if [ -z "$corpus" ]; then
    for speaker in "$@"; do
        name=cmu_us_${speaker}_arctic
        download "$url/$name.tar.bz2" http://festvox.org/cmu_arctic
        unpack "$name.tar.bz2" "$name"
    done
    corpus=downloads
fi
for speaker in "$@"; do
    link_speaker "$speaker" "$corpus/cmu_us_${speaker}_arctic/wav" "$data/links"
    compgen -G "$data/links/$speaker/arctic_b00*" > /dev/null || fail "$speaker has no set b to be evaluated on"
done
for speaker in "$@"; do
    digits=$(own_digits "$speaker" "$@")
    prepare train "$speaker" "$data/links" "arctic_a???$digits.*"
    prepare dev "$speaker" "$data/links" 'arctic_b000?.*'
    prepare eval "$speaker" "$data/links" 'arctic_b00[1-5]?.*'
done
combine train "$@"
combine dev "$@"
