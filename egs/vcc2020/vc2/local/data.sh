#!/usr/bin/env bash
# VCC2020, task 1 -> data directories of the speakers named:  local/data.sh CORPUS DATA SPEAKER ...
#
# CORPUS is a copy of the public repository with its archives unpacked in it; empty: download to downloads/.
#   source/SEF1/E10001.wav                        to E10070
#   target_task1/TEF1/E10051.wav                  to E10070, which the sources have too, and E20001 to E20050
#   vcc2020_database_evaluation/SEF1/E30001.wav   to E30025
#   vcc2020_database_groundtruth/TEF1/E30001.wav  to E30025
# Sources learn from E10001 to E10050, targets from E20001 to E20050. The twenty sentences that both have are held out
# to choose the best model (data/dev).
# Layout and numbers are those that public documentation and other recipes give; the whole corpus was not at hand.
set -euo pipefail
corpus=$1 data=$2
shift 2
# shellcheck source-path=SCRIPTDIR/../../../.. source=recipes/utils/corpus.sh
. corpus.sh

page=https://github.com/nii-yamagishilab/VCC2020-database
url=${VCC2020_URL:-$page/raw/master}
shared=('E1005[1-9].*' 'E1006?.*' 'E10070.*')

fetch() { # ARCHIVE FOLDER
    download "$url/$1" "$page"
    unpack "$1" "$2"
}

if [ -z "$corpus" ]; then
    fetch vcc2020_database_training_source.zip source
    fetch vcc2020_database_training_target_task1.zip target_task1
    fetch vcc2020_database_evaluation.zip vcc2020_database_evaluation
    fetch vcc2020_database_groundtruth.zip vcc2020_database_groundtruth
    corpus=downloads
fi
for speaker in "$@"; do
    case $speaker in
    SE*) need_speaker "$speaker" "$corpus/source/$speaker" ;;
    TE*) need_speaker "$speaker" "$corpus/target_task1/$speaker" ;;
    *) fail "no speaker of VCC2020's task 1: $speaker; there are: SEF1 SEF2 SEM1 SEM2 TEF1 TEF2 TEM1 TEM2" ;;
    esac
done
for speaker in "$@"; do
    case $speaker in
    S*) learnt=source held_out=vcc2020_database_evaluation sentences=('E100[0-4]?.*' 'E10050.*') ;;
    T*) learnt=target_task1 held_out=vcc2020_database_groundtruth sentences=('E200??.*') ;;
    esac
    prepare train "$speaker" "$corpus/$learnt" "${sentences[@]}"
    prepare dev "$speaker" "$corpus/$learnt" "${shared[@]}"
    prepare eval "$speaker" "$corpus/$held_out" 'E300??.*'
done
combine train "$@"
combine dev "$@"
