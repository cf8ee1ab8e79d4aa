#!/bin/sh
# Turns the Lua scripts beside it into C string literals: embed.sh OUT.
# Each script is ring.lua, the shared part, followed by its own file.

set -eu

dir=$(dirname "$0")
out=$1

literal() {
    sed -e 's/\\/\\\\/g' -e 's/"/\\"/g' -e 's/^/    "/' -e 's/$/\\n"/' "$@"
}

{
    echo "/* Made by embed.sh from the .lua files: edit those. */"
    for script in "$dir"/*.lua; do
        name=$(basename "$script" .lua)
        [ "$name" = ring ] && continue
        echo
        echo "static const char  pinaud_script_${name}[] ="

        case $name in
        guard|change)
            literal "$script" ;;
        *)
            literal "$dir/ring.lua" "$script" ;;
        esac

        echo "    ;"
    done
} > "$out.tmp"

mv "$out.tmp" "$out"
