#!/usr/bin/env bash
# JVS -> data directories of the speakers named:  local/data.sh CORPUS DATA SPEAKER ...
#
# CORPUS is jvs_ver1, with jvs001/parallel100/wav24kHz16bit/VOICEACTRESS100_001.wav to 100, which all read; the other
# parts are left out. 001 to 069 are dealt out to learn from by their last digit, to two speakers the even ones and the
# odd ones; 070 to 079 are held out to choose the best model (data/dev); 080 to 100 are for evaluation.
# Layout and numbers are those that public documentation and other recipes give; the whole corpus was not at hand.
set -euo pipefail
corpus=$1 data=$2
shift 2
# shellcheck source-path=SCRIPTDIR/../../../.. source=recipes/utils/corpus.sh
. corpus.sh

page=https://sites.google.com/site/shinnosuketakamichi/research-topics/jvs_corpus
numbered=parallel100/wav24kHz16bit/VOICEACTRESS100_

[ -d "$corpus" ] || fail "give --corpus: the folder jvs_ver1 of $page"
for speaker in "$@"; do need_speaker "$speaker" "$corpus/$speaker"; done
for speaker in "$@"; do
    digits=$(own_digits "$speaker" "$@")
    prepare train "$speaker" "$corpus" "${numbered}0[0-6]$digits.*"
    prepare dev "$speaker" "$corpus" "${numbered}07?.*"
    prepare eval "$speaker" "$corpus" "${numbered}0[89]?.*" "${numbered}100.*"
done
combine train "$@"
combine dev "$@"
