#!/bin/sh
# Installs what building and testing need, where it is missing: Debian's
# packages, by apt. With "run" as argument only what the tour needs.

set -eu

packages="gcc libc6-dev make nginx nginx-dev libhiredis-dev libjansson-dev
libssl-dev libcurl4-openssl-dev redis-server curl openssl perl
libio-socket-ssl-perl ca-certificates"

if [ "${1-}" != run ]; then
    packages="$packages libcmocka-dev clang libclang-rt-14-dev llvm faketime
libpcre2-dev zlib1g-dev wrk valgrind dpkg-dev xz-utils iproute2"
fi

missing=
for package in $packages; do
    status=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2> /dev/null) ||
        status=
    [ "$status" = installed ] || missing="$missing $package"
done

[ -n "$missing" ] || exit 0

if [ "$(id -u)" != 0 ]; then
    echo "These packages are missing:$missing" >&2
    echo "Install them as root: apt-get install$missing" >&2
    exit 1
fi

echo "installing:$missing"

# no service is to be started: the tests start their own

export DEBIAN_FRONTEND=noninteractive RUNLEVEL=1

log=$(mktemp)
trap 'rm -f "$log"' EXIT

if ! { apt-get update -q &&
       apt-get install -y -q --no-install-recommends $missing; } \
        > "$log" 2>&1
then
    tail -n 20 "$log" >&2
    echo "apt could not install them" >&2
    exit 1
fi
