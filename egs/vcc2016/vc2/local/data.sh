#!/usr/bin/env bash
# VCC2016 -> data directories of the speakers named:  local/data.sh CORPUS DATA SPEAKER ...
#
# CORPUS is the public database unpacked (vcc2016_training/<speaker>/100001.wav, evaluation_all/<speaker>/200001.wav)
# or one folder a speaker (<speaker>/train/100001.flac, <speaker>/eval/200001.flac); empty: download to downloads/.
# Speakers S* learn from training sentences 100001 to 100081, speakers T* from 100082 to 100162, and the first ten of the
# half that is left over are held out to choose the best model (data/dev), where the corpus has them of all speakers.
# All get every evaluation sentence.
set -euo pipefail
corpus=$1 data=$2
shift 2
# shellcheck source-path=SCRIPTDIR/../../../.. source=recipes/utils/corpus.sh
. corpus.sh

url=${VCC2016_URL:-https://datashare.is.ed.ac.uk/bitstream/handle/10283/2211}
first_half=('1000[0-7]?.*' '10008[01].*')
second_half=('10008[2-9].*' '10009?.*' '1001??.*')
first_ten=('10000[1-9].*' '100010.*')
second_ten=('10008[2-9].*' '10009[01].*')

if [ -z "$corpus" ]; then
    for name in vcc2016_training evaluation_all; do
        download "$url/$name.zip" https://doi.org/10.7488/ds/1575
        unpack "$name.zip" "$name"
    done
    corpus=downloads
fi
if [ -d "$corpus/vcc2016_training" ]; then
    train=$corpus/vcc2016_training eval=$corpus/evaluation_all below_train='' below_eval=''
elif [ -d "$corpus/$1/train" ]; then
    train=$corpus eval=$corpus below_train=train/ below_eval=eval/
else
    fail "$corpus: neither vcc2016_training/ nor $1/train/ is there"
fi

with_dev=0
for speaker in "$@"; do
    case $speaker in
    S*) half=("${first_half[@]/#/$below_train}") others=("${second_ten[@]/#/$below_train}") ;;
    T*) half=("${second_half[@]/#/$below_train}") others=("${first_ten[@]/#/$below_train}") ;;
    *) fail "no speaker of VCC2016: $speaker; there are: SF1 SF2 SF3 SM1 SM2 TF1 TF2 TM1 TM2 TM3" ;;
    esac
    prepare train "$speaker" "$train" "${half[@]}"
    if (cd "$train/$speaker" && compgen -G "${others[0]}" > /dev/null); then
        with_dev=$((with_dev + 1))
        prepare dev "$speaker" "$train" "${others[@]}"
    fi
    prepare eval "$speaker" "$eval" "${below_eval}2000??.*"
done
combine train "$@"
if [ "$with_dev" -eq "$#" ]; then combine dev "$@"; else rm -rf "${data:?}/dev"; fi
