#!/usr/bin/env bash
# A folder of one's own recordings -> data directories of the speakers named:  local/data.sh CORPUS DATA SPEAKER ...
#
# CORPUS holds <speaker>/** with recordings, of any rate and length: long ones are cut at pauses. Ten of them, evenly
# spread in the order of their names, or half where there are fewer than twenty, are held out for evaluation and learnt
# from by nobody: of the names that all speakers have, if there are any, else of each speaker's own. A name below two
# speakers' folders stands for one sentence: the conversion of one is measured against the other. Where that is wrong,
# rename the files. Names that all have and that are not held out are learnt from on both sides. Without shared names
# there is nothing to measure against, but to hear.
set -euo pipefail
export LC_ALL=C
corpus=$1 data=$2
shift 2
# shellcheck source-path=SCRIPTDIR/../../../.. source=recipes/utils/corpus.sh
. corpus.sh

# SPEAKER: the names, which are utterance ids without the speaker.
names() { cut -d ' ' -f 1 "$data/all/$1/utt2spk" | cut -c "$((${#1} + 2))-" | sed 's/^-*//'; }

held_out() {
    awk '{ name[NR] = $0 }
        END {
            count = NR < 20 ? int(NR / 2) : 10
            if (count < 1) count = 1
            for (n = 0; n < count; n++) print name[1 + int(n * NR / count)]
        }'
}

# DATA SPEAKER WHETHER: of the speaker's recordings those that are held out (1) or are not (0).
part() {
    local list all=$data/all/$2
    mkdir -p "$1"
    for list in wav.scp utt2spk; do
        awk -v start="$((${#2} + 2))" -v whether="$3" \
            'NR == FNR { held[$1]; next } { name = substr($1, start); sub(/^-+/, "", name) } (name in held) == whether' \
            "$data/held_out" "$all/$list" > "$1/$list"
    done
    [ -s "$1/utt2spk" ] || fail "$2: too few recordings: one is held out, and none is left to learn from; add some"
    [ ! -f "$all/spk2name" ] || cp "$all/spk2name" "$1"
}

[ -d "$corpus" ] || fail "give --corpus: a folder that holds a folder of recordings for each speaker"
vc-prepare "$corpus" "$data/all" --speakers "$@" --cut
for speaker in "$@"; do vc-prepare "$data/all" "$data/all/$speaker" --speakers "$speaker"; done

shared=$(for speaker in "$@"; do names "$speaker"; done | sort | uniq -c | awk -v all="$#" '$1 == all { print $2 }')
if [ -n "$shared" ]; then
    echo "Names that all speakers have, taken for the same sentences: $(wc -l <<< "$shared")"
    held_out <<< "$shared" > "$data/held_out"
else
    for speaker in "$@"; do names "$speaker" | held_out; done > "$data/held_out"
fi
for speaker in "$@"; do
    part "$data/train/$speaker" "$speaker" 0
    part "$data/all/$speaker/eval" "$speaker" 1
    combine_data.sh "$data/eval/$speaker" "$data/all/$speaker/eval"
done
combine train "$@"
