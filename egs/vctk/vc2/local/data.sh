#!/usr/bin/env bash
# VCTK 0.92 -> data directories of the speakers named:  local/data.sh CORPUS DATA SPEAKER ...
#
# CORPUS holds wav48_silence_trimmed/p225/p225_001_mic1.flac; the second microphone, mic2, is left out. Files are linked
# without the speaker's name, so that evaluation finds the sentences that two speakers share: 001 to 024, an elicitation
# paragraph and the rainbow passage, which all read. The newspaper sentences after those were chosen for each speaker: a
# number may stand for different sentences. Those from 030 on are dealt out to learn from by the last digit, to two
# speakers the even ones and the odd ones; whether two read one text under different numbers is not looked at.
# Layout and numbers are those that public documentation and other recipes give; the whole corpus was not at hand.
set -euo pipefail
corpus=$1 data=$2
shift 2
# shellcheck source-path=SCRIPTDIR/../../../.. source=recipes/utils/corpus.sh
. corpus.sh

link_first_microphone() { # SPEAKER
    local folder file name
    need_speaker "$1" "$corpus/wav48_silence_trimmed/$1"
    folder=$(realpath -- "$corpus/wav48_silence_trimmed/$1")
    compgen -G "$folder/$1_???_mic1.flac" > /dev/null || fail "$folder: no recordings such as $1_001_mic1.flac"
    rm -rf "$data/links/$1"
    mkdir -p "$data/links/$1"
    for file in "$folder/$1"_???_mic1.flac; do
        name=${file##*/"$1"_}
        ln -s "$file" "$data/links/$1/${name%_mic1.flac}.flac"
    done
}

page=https://datashare.ed.ac.uk/handle/10283/3443
[ -d "$corpus/wav48_silence_trimmed" ] ||
    fail "give --corpus: the folder of VCTK 0.92 that holds wav48_silence_trimmed/; it is at $page"
for speaker in "$@"; do link_first_microphone "$speaker"; done
for speaker in "$@"; do
    digits=$(own_digits "$speaker" "$@")
    prepare train "$speaker" "$data/links" "0[3-9]$digits.*" "[1-9]?$digits.*"
    prepare eval "$speaker" "$data/links" '0[01]?.*' '02[0-4].*'
done
combine train "$@"
