#!/bin/bash
# Builds and tests on Debian 13: its nginx, hiredis and OpenSSL, with Redis 8
# and with Valkey 8. The system is made once, by apt, in a folder of the user's
# cache (or in $PINAUD_CACHE) and has the rights of root there, so it needs root.
#
#     debian13.sh                 all of it
#     debian13.sh t/store.t ...   these tests

set -euo pipefail

top=$(cd "$(dirname "$0")/../.." && pwd)
cache=${PINAUD_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/pinaud}
root=$cache/debian13

# No clang, for the fuzzers: those run on Debian 12. Debian 13 has no Redis but
# Redis 8 and Valkey 8.

packages=gcc,libc6-dev,make,nginx,nginx-dev,libhiredis-dev,libjansson-dev
packages=$packages,libssl-dev,libcurl4-openssl-dev,libcmocka-dev,redis-server
packages=$packages,valkey-server,curl,openssl,perl,libio-socket-ssl-perl
packages=$packages,ca-certificates,procps,iproute2,faketime,libpcre2-dev
packages=$packages,zlib1g-dev


fail() {
    echo "$*" >&2
    exit 1
}


make_system() {
    command -v mmdebstrap > /dev/null || {
        DEBIAN_FRONTEND=noninteractive apt-get install -y -q \
            --no-install-recommends mmdebstrap > "$cache/apt.log" 2>&1 ||
            fail "mmdebstrap is missing, and apt could not install it"
    }

    echo "  Debian 13 in $root"
    rm -rf "$root.tmp"
    mmdebstrap --quiet --variant=minbase --include="$packages" trixie \
        "$root.tmp" > "$cache/debian13.log" 2>&1 ||
        { tail -n 20 "$cache/debian13.log" >&2; fail "Debian 13 can't be made"; }

    # one address, whatever the machine's own file says
    echo '127.0.0.1 localhost' > "$root.tmp/etc/hosts"

    mv "$root.tmp" "$root"
}


# What runs within, in namespaces of its own that end with it: processes,
# mounts, and a network with nothing but loopback.

run_inside() {
    exec unshare --mount --pid --fork --kill-child --net \
        bash -euc '
            root=$1; shift
            ip link set lo up
            mount -t proc proc "$root/proc"
            mount --rbind /dev "$root/dev"
            mount -t tmpfs tmpfs "$root/tmp"
            exec chroot "$root" /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin \
                HOME=/root LANG=C.UTF-8 PINAUD_LONG="${PINAUD_LONG-}" \
                bash /src/t/tools/debian13.sh --inside "$@"
        ' - "$root" "$@"
}


# The group "nginx" with each server; the unit tests once.

test_inside() {
    local status=0

    cd /src

    echo "$(nginx -v 2>&1 | cut -d/ -f2-)"
    dpkg-query -W -f '${Package} ${Version}\n' libhiredis-dev libssl-dev \
        redis-server valkey-server

    make -s -j"$(nproc)" all unit-build

    if [ $# != 0 ]; then
        for server in redis-server valkey-server; do
            for test in "$@"; do
                echo; echo "$test, $server"
                PINAUD_REDIS_SERVER=$server perl -It/lib "$test" ||
                    status=1
            done
        done

        return $status
    fi

    perl t/tools/test.pl unit || status=1

    for server in redis-server valkey-server; do
        echo; echo "$server:"
        PINAUD_REDIS_SERVER=$server perl t/tools/test.pl nginx || status=1
    done

    return $status
}


if [ "${1-}" = --inside ]; then
    shift
    test_inside "$@"
    exit
fi

[ "$(id -u)" = 0 ] || fail "this needs root: it makes a system and enters it"
mkdir -p "$cache"
[ -d "$root" ] || make_system

# what is built there stays for the next time

mkdir -p "$root/src"
tar -C "$top" --exclude=./build --exclude=./.git -cf - . |
    tar -C "$root/src" -xf -

run_inside "$@"
