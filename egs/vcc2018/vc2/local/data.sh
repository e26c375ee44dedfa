#!/usr/bin/env bash
# VCC2018 -> data directories of the speakers named:  local/data.sh CORPUS DATA SPEAKER ...
#
# CORPUS is the public database unpacked; empty: download to downloads/. Folders are VCC2 and the speaker:
#   vcc2018_training/VCC2SF3/20001.wav    to 20081: the Spoke task's sources SF3, SF4, SM3, SM4
#   vcc2018_training/VCC2TF1/10001.wav    to 10081: the targets TF1, TF2, TM1, TM2 and the Hub task's sources SF1 to SM2
#   vcc2018_evaluation/VCC2SF3/30001.wav  to 30035: all sources
#   vcc2018_reference/VCC2TF1/30001.wav   to 30035: all targets, the same sentences
# All learn from their 81 training sentences. Those of the Spoke task's sources and of the targets are different ones; a
# source of the Hub task would learn from the target's own sentences.
# Layout and numbers are those that public documentation and other recipes give; the whole corpus was not at hand.
set -euo pipefail
corpus=$1 data=$2
shift 2
# shellcheck source-path=SCRIPTDIR/../../../.. source=recipes/utils/corpus.sh
. corpus.sh

url=${VCC2018_URL:-https://datashare.ed.ac.uk/bitstream/handle/10283/3061}

if [ -z "$corpus" ]; then
    for name in training evaluation reference; do
        download "$url/vcc2018_database_$name.zip" https://datashare.ed.ac.uk/handle/10283/3061
        unpack "vcc2018_database_$name.zip" "vcc2018_$name"
    done
    corpus=downloads
fi
for speaker in "$@"; do
    link_speaker "$speaker" "$corpus/vcc2018_training/VCC2$speaker" "$data/links/train"
    case $speaker in
    S*) link_speaker "$speaker" "$corpus/vcc2018_evaluation/VCC2$speaker" "$data/links/eval" ;;
    *) link_speaker "$speaker" "$corpus/vcc2018_reference/VCC2$speaker" "$data/links/eval" ;;
    esac
done
for speaker in "$@"; do
    prepare train "$speaker" "$data/links/train" '[12]00??.*'
    prepare eval "$speaker" "$data/links/eval" '300??.*'
done
combine train "$@"
