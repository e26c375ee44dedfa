# shellcheck shell=bash
# Command-line options become variables. Source it after the defaults are set:  . parse_options.sh
#
# --some-name VALUE or --some_name VALUE sets $some_name, which must have a default (else: unknown option). A default of
# true or false takes only true or false. --config FILE sources FILE first, so that the command line wins over it.
# --help prints $help_message. Options end at the first other word, or after `--`; "$@" is what is left.

parse_options_fail() {
    echo "$(basename "$0"): error: $1" >&2
    exit 1
}

# -> the options that $help_message explains, in a line: those before the two spaces that begin an explanation.
parse_options_known() {
    local known
    known=$(sed -n '/^ *--/{ s/^ *//; s/  .*//; p; }' <<< "${help_message-}" | grep -oE -- '--[a-z][a-z_-]*' | xargs)
    [ -z "$known" ] || echo "; known: $known"
}

# NAME VALUE, as they stand on the command line.
parse_options_set() {
    local variable=${1#--}
    variable=${variable//-/_}
    [[ $variable =~ ^[A-Za-z_][A-Za-z0-9_]*$ && -n ${!variable+set} ]] || parse_options_fail "unknown option $1$(parse_options_known)"
    if [[ ${!variable} == true || ${!variable} == false ]] && [[ $2 != true && $2 != false ]]; then
        parse_options_fail "option $1 takes true or false, not '$2'"
    fi
    printf -v "$variable" '%s' "$2" || parse_options_fail "option $1 cannot be set"
}

parse_options_config() {
    local file=$1
    [ -r "$file" ] || parse_options_fail "--config $file: no such file; it names a shell file that sets variables"
    [[ $file == */* ]] || file=./$file # not the one that stands in $PATH
    # shellcheck source=/dev/null
    . "$file"
}

# PASS (config or set), then the command line; leaves the number of words that were options in $parse_options_used.
parse_options_walk() {
    local pass=$1
    shift
    parse_options_used=$#
    while [ "$#" -gt 0 ]; do
        case $1 in
        --)
            shift
            break
            ;;
        --help | -h)
            printf '%s\n' "${help_message:-there is no help for $0}"
            exit 0
            ;;
        --*=*) parse_options_fail "write '${1%%=*} ${1#*=}' with a space in place of '$1'" ;;
        --*) [ "$#" -gt 1 ] || parse_options_fail "option $1 needs a value" ;;
        *) break ;;
        esac
        case $pass:$1 in
        config:--config) parse_options_config "$2" ;;
        set:--config | config:*) ;;
        *) parse_options_set "$1" "$2" ;;
        esac
        shift 2
    done
    parse_options_used=$((parse_options_used - $#))
}

parse_options_walk config "$@"
parse_options_walk set "$@"
shift "$parse_options_used"
unset parse_options_used
true
