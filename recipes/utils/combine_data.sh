#!/usr/bin/env bash
# Several data directories -> one:  combine_data.sh DEST SOURCE [SOURCE ...]
set -euo pipefail
export LC_ALL=C

[ "$#" -ge 2 ] || { echo "usage: combine_data.sh DEST SOURCE [SOURCE ...]" >&2 && exit 1; }
destination=$1
shift

mkdir -p "$destination"
for list in wav.scp utt2spk segments text; do
    rm -f "$destination/$list"
    files=()
    for source in "$@"; do [ ! -f "$source/$list" ] || files+=("$source/$list"); done
    if [ "${#files[@]}" -eq "$#" ]; then
        sort -- "${files[@]}" > "$destination/$list"
    elif [ "${#files[@]}" -gt 0 ] || [[ $list == wav.scp || $list == utt2spk ]]; then
        echo "combine_data.sh: error: $list is in ${#files[@]} of $# data directories" >&2
        exit 1
    fi
done
rm -f "$destination/spk2name"
for source in "$@"; do [ ! -f "$source/spk2name" ] || cat "$source/spk2name"; done | sort -u > "$destination/names"
if [ -s "$destination/names" ]; then mv "$destination/names" "$destination/spk2name"; else rm "$destination/names"; fi
awk '{ ids[$2] = ids[$2] " " $1 } END { for (speaker in ids) print speaker ids[speaker] }' "$destination/utt2spk" |
    sort > "$destination/spk2utt"
vc-prepare --check "$destination"
