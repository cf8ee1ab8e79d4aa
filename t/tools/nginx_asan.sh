#!/bin/bash
# Builds Debian's nginx from its source package, with AddressSanitizer and
# UndefinedBehaviorSanitizer, and the module for it: nginx_asan.sh OUT. The
# nginx is kept in a cache folder between runs; the module is built each time.
# Nothing of the system's apt is touched but read.

set -euo pipefail

out=$1
top=$(cd "$(dirname "$0")/../.." && pwd)
cache=${PINAUD_CACHE:-${XDG_CACHE_HOME:-${HOME:-/tmp}/.cache}/pinaud}
version=$(nginx -v 2>&1 | sed 's/.*nginx\/\([0-9.]*\).*/\1/')

# nonnull-attribute: nginx copies nothing from nowhere, with length 0;
# NGX_DEBUG_PALLOC: each piece of a pool is malloc'ed, so that ASan sees it

sanitize="-fsanitize=address,undefined -fno-sanitize=nonnull-attribute
 -fno-omit-frame-pointer"
cc_opt="-g -O1 $sanitize -DNGX_DEBUG_PALLOC=1 -DNGX_HAVE_NONALIGNED=0"
ld_opt="-fsanitize=address,undefined -Wl,-E"

flags=(--with-compat --with-debug --with-http_ssl_module --with-http_v2_module
    --with-http_auth_request_module --with-http_realip_module
    --with-http_addition_module --with-threads
    "--with-cc-opt=${cc_opt//$'\n'/}" "--with-ld-opt=$ld_opt")

key=$(printf '%s\n' "$version" "${flags[@]}" "$(cc --version)" | sha256sum)
dir=$cache/nginx-$version-asan-${key:0:12}


# The .orig tarball, by sources that are those of this machine's apt, asked
# for in state and cache folders of our own.

fetch_source() {
    local apt list

    apt=$dir/apt
    mkdir -p "$apt/lists/partial" "$apt/archives/partial"

    list=$apt/sources.list
    apt-get indextargets --format '$(REPO_URI) $(RELEASE) $(COMPONENT)' \
        'Created-By: Packages' |
        awk '$3 == "main" && !seen[$0]++ { print "deb-src", $1, $2, $3 }' \
        > "$list"

    options=(-o "Dir::Etc::SourceList=$list" -o Dir::Etc::SourceParts=/dev/null
        -o "Dir::State::Lists=$apt/lists" -o "Dir::Cache=$apt"
        -o "Dir::Cache::Archives=$apt/archives" -o APT::Sandbox::User=root)

    apt-get "${options[@]}" update -q
    (cd "$dir" && apt-get "${options[@]}" source --download-only --tar-only \
        nginx)
}


build_nginx() {
    local tarball

    mkdir -p "$dir"
    fetch_source > "$dir/fetch.log" 2>&1 ||
        { tail -n 20 "$dir/fetch.log" >&2; return 1; }

    tarball=$(ls "$dir"/nginx_"$version"*.orig.tar.*)
    rm -rf "$dir/src"
    mkdir "$dir/src"
    tar xf "$tarball" -C "$dir/src" --strip-components 1

    (cd "$dir/src" && ./configure "${flags[@]}" &&
        make -j"$(nproc)" -f objs/Makefile binary) \
        > "$dir/build.log" 2>&1 || { tail -n 30 "$dir/build.log" >&2; return 1; }

    cp "$dir/src/objs/nginx" "$dir/nginx.tmp"
    mv "$dir/nginx.tmp" "$dir/nginx"
}


build_module() {
    mkdir -p "$out"

    (cd "$dir/src" && ./configure "${flags[@]}" --builddir="$out/objs" \
        --add-dynamic-module="$top" &&
        make -j"$(nproc)" -f "$out/objs/Makefile" modules) \
        > "$out/build.log" 2>&1 || { tail -n 30 "$out/build.log" >&2; return 1; }

    cp "$out/objs/ngx_pinaud_module.so" "$out/"
    ln -sf "$dir/nginx" "$out/nginx"
}


[ -x "$dir/nginx" ] || build_nginx
build_module
