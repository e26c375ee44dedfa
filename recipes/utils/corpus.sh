# shellcheck shell=bash
# What the corpora's local/data.sh share. Source it once $data, the folder for data directories, is set:  . corpus.sh
#
# A set is train, dev or eval. `prepare` makes $data/SET/SPEAKER of one speaker, `combine` joins those to $data/SET.
: "${data:?}"

fail() {
    echo "local/data.sh: error: $1" >&2
    exit 1
}

# shellcheck source=recipes/utils/names.sh
. "$(dirname "${BASH_SOURCE[0]}")/names.sh"
need_names speaker "$@" # the script's own words

# URL PAGE: downloads/NAME, unless it is there; NAME is the end of URL, PAGE tells people where the file is offered.
download() {
    local name=${1##*/} file=downloads/${1##*/}
    [ ! -f "$file" ] || return 0
    echo "Downloading $1 to $PWD/downloads"
    mkdir -p downloads
    if command -v curl > /dev/null; then
        curl --fail --location --retry 3 --silent --show-error --output "$file.part" "$1"
    elif command -v wget > /dev/null; then
        wget --tries 3 --no-verbose --output-document "$file.part" "$1"
    else
        fail "install curl or wget, or put $name of $2 into $PWD/downloads"
    fi || fail "no download; put $name of $2 into $PWD/downloads by hand"
    mv "$file.part" "$file"
}

# ARCHIVE FOLDER: downloads/ARCHIVE -> downloads/FOLDER, whether or not the archive has a folder FOLDER of its own.
unpack() {
    local archive=downloads/$1 folder=downloads/$2
    [ ! -d "$folder" ] || return 0
    rm -rf "$folder.part"
    mkdir -p "$folder.part"
    case $archive in
    *.zip) python3 -m zipfile -e "$archive" "$folder.part" 2> /dev/null ;;
    *) tar -xf "$archive" -C "$folder.part" ;;
    esac || fail "$PWD/$archive is no whole ${archive##*.} file; remove it to download it again"
    if [ -d "$folder.part/$2" ]; then mv "$folder.part/$2" "$folder"; else mv "$folder.part" "$folder"; fi
    rm -rf "$folder.part"
}

# SPEAKER FOLDER: refuse a speaker whose folder is not there.
need_speaker() {
    local known
    [ ! -d "$2" ] || return 0
    known=$(cd "$(dirname "$2")" 2> /dev/null && compgen -G '*/' | tr -d / | xargs) || known=
    fail "no speaker $1: $2 is not there${known:+; there are: $known}"
}

# SPEAKER FOLDER LINKS: LINKS/SPEAKER -> FOLDER, for a corpus that calls its folders otherwise than its speakers.
link_speaker() {
    need_speaker "$1" "$2"
    mkdir -p "$3"
    ln -sfn "$(realpath -- "$2")" "$3/$1"
}

# SPEAKER EVERYONE ...: a glob for the last digits of sentence numbers that are this speaker's; they are dealt out in
# turn, so that no two speakers learn from the same sentence.
own_digits() {
    local speaker=$1 digit digits=
    shift
    [ "$#" -le 10 ] || fail "sentences are dealt out by their last digit, to ten speakers at most, not to $#"
    for digit in {0..9}; do
        [ "${*:digit % $# + 1:1}" != "$speaker" ] || digits+=$digit
    done
    echo "[$digits]"
}

# SET SPEAKER FOLDER GLOB ...: $data/SET/SPEAKER, of FOLDER/SPEAKER/** what matches a GLOB.
prepare() { vc-prepare "$3" "$data/$1/$2" --speakers "$2" --include "${@:4}"; }

# SET SPEAKER ...: $data/SET, of the speakers' parts.
combine() {
    local set=$1 speaker parts=()
    shift
    for speaker in "$@"; do parts+=("$data/$set/$speaker"); done
    combine_data.sh "$data/$set" "${parts[@]}"
}
