# shellcheck shell=bash
# Source it where `fail` is known. Names become parts of paths, of which some are removed; they are the ids of vc/corpus/lists.py.

# WHAT NAME ...: refuse a name that could lead elsewhere.
need_names() {
    local what=$1 name
    shift
    for name in "$@"; do
        [[ $name =~ ^[A-Za-z0-9][A-Za-z0-9._-]*$ ]] ||
            fail "$what: '$name' is no name: letters, digits, '.', '_' and '-', not '-' or '.' first"
    done
}
