#!/usr/bin/env bash
# Run a command on one line of a list:  on_line.sh LIST NUMBER COMMAND [WORD ...]
# In the words {1}, {2} ... stand for the line's columns. An array of jobs calls it with the job's number.
set -euo pipefail

fail() {
    echo "on_line.sh: $1" >&2
    exit 1
}

[ "$#" -ge 3 ] && [[ $2 =~ ^[0-9]+$ ]] || fail "usage: on_line.sh LIST NUMBER COMMAND [WORD ...]"
read -ra columns < <(sed -n "$2p" -- "$1") || fail "$1 has no line $2"
words=("${@:3}")
for index in "${!columns[@]}"; do
    place="{$((index + 1))}"
    words=("${words[@]//"$place"/${columns[index]}}")
done
exec "${words[@]}"
