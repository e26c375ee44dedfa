#!/usr/bin/env bash
# Real and synthetic voices for the content encoder's training, from Debian packages: a folder of recordings for each.
#
#   voices.sh DOWNLOADS VOICES UNHEARD [KOKORO]
#
# DOWNLOADS gets the packages, VOICES the voices to train on, UNHEARD those that only the evaluation may hear; training
# folders of VCC2016 are linked into VOICES by hand. KOKORO, if given, holds model.onnx, vocab.json and voices/*.bin of
# Kokoro-82M.
# Needs apt-get, ffmpeg, espeak-ng, flite, festival with festvox-kallpc16k, -us-slt-hts, -ca-ona-hts, -czech-dita,
# -czech-machac, -italp16k, -itapc16k, and for Kokoro onnxruntime. RESULTS.md has versions and licences.
set -euo pipefail
downloads=$(realpath -m "$1") voices=$(realpath -m "$2") unheard=$(realpath -m "$3") kokoro=${4:+$(realpath "$4")}
python=${PYTHON:-python3}
here=$(cd "$(dirname "$0")" && pwd)
packages=(
    asterisk-core-sounds-{en,es,fr,it,ru}-g722 asterisk-prompt-{es-co,fr-armelle,it-menardi-wav} fillets-ng-data-{cs,nl}
    gcin-voice hedgewars-data klettres-data tuxpaint-stamps-default debian-handbook
)

mkdir -p "$downloads" "$voices" "$unheard"
cd "$downloads"
for package in "${packages[@]}"; do
    [ -d "$package" ] && continue
    apt-get download "$package"
    dpkg -x "$package"_*.deb "$package.part"
    mv "$package.part" "$package"
done

take() { # take VOICE FILE...: hard links, named by number
    local folder=$1 number=0 file
    shift
    mkdir -p "$folder"
    for file in "$@"; do
        number=$((number + 1))
        ln -f "$file" "$folder/$(printf %05d "$number").${file##*.}"
    done
}

decode() { # decode VOICE FORMAT PACKAGE: all or none, so that a run that was cut off can be repeated
    [ -d "$1" ] && return
    local part file
    part=part-$(basename "$1")
    mkdir -p "$part"
    find "$3" -name "*.$2" ! -path "*/silence/*" | sort | while read -r file; do
        ffmpeg -nostdin -v error -y -f "$2" -i "$file" "$part/$(basename "${file%."$2"}").flac"
    done
    mv "$part" "$1"
}

# Telephone exchanges' prompts: one speaker each.
for language in en es fr it ru; do
    folder=$voices/asterisk-$language
    if [ $language = ru ]; then folder=$unheard/asterisk-ru; fi
    decode "$folder" g722 "asterisk-core-sounds-$language-g722"
done
for prompt in es-co fr-armelle; do # 8 kHz
    decode "$voices/asterisk-$prompt" gsm "asterisk-prompt-$prompt"
done
mapfile -t files < <(find asterisk-prompt-it-menardi-wav -name "*.wav" ! -path "*/silence/*" | sort) # 8 kHz
take "$voices/asterisk-it-menardi" "${files[@]}"

# A game's dialogues: small fish, big fish, and whoever else speaks.
for language in cs nl; do
    for role in m v; do
        mapfile -t files < <(find fillets-ng-data-$language -path "*/$language/*-$role-*.ogg" | sort)
        take "$voices/fillets-$language-$role" "${files[@]}"
    done
    mapfile -t files < <(find fillets-ng-data-$language -path "*/$language/*.ogg" ! -name "*-[mv]-*" | sort)
    take "$voices/fillets-$language-others" "${files[@]}"
done

# Names of pictures, words and syllables, by volunteers: one speaker or few for each language.
for language in be bg ca da el es fr nl ro ru; do
    folder=$voices/tuxpaint-$language
    if [ $language = ru ]; then folder=$unheard/tuxpaint-ru; fi
    mapfile -t files < <(find tuxpaint-stamps-default -name "*_desc_$language.ogg" | sort)
    take "$folder" "${files[@]}"
done
for language in ar cs da de en en_GB es fr he hu it lt ml nb nds nl pt_BR tn uk; do
    mapfile -t files < <(find "klettres-data/usr/share/klettres/$language" -name "*.ogg" | sort)
    take "$voices/klettres-$language" "${files[@]}"
done
for speaker in 3 5; do
    mapfile -t files < <(find gcin-voice -name "$speaker.ogg" | sort)
    take "$voices/gcin-$speaker" "${files[@]}"
done
for folder in hedgewars-data/usr/share/games/hedgewars/Data/Sounds/voices/*/; do
    name=$(basename "$folder")
    case $name in Default_ru | Robot) continue ;; esac
    take "$voices/hedgewars-$name" "$folder"*.ogg
done

# Synthetic voices.
text=$downloads/debian-handbook/usr/share/doc/debian-handbook/html
if ! [ -d "$unheard/espeak+croak" ]; then
    "$python" "$here/synthesise.py" debian --text "$text" --out "$voices" --sentences 25
    mv "$voices/espeak+croak" "$unheard"
fi
if [ -n "$kokoro" ]; then
    speak=("$python" "$here/synthesise.py" kokoro --text "$text" --kokoro "$kokoro")
    "${speak[@]}" --out "$voices" --minutes 5
    "${speak[@]}" --out "$unheard" --minutes 1 --first 90000 --unheard
fi
for folder in "$voices"/*/ "$unheard"/*/; do
    printf '%5d %s\n' "$(find "$folder" -type f | wc -l)" "$(basename "$folder")"
done
