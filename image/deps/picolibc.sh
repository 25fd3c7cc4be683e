#!/bin/sh
# Builds picolibc for the pc board with meson: picolibc.sh SOURCE PREFIX C-FLAGS...
# System 'none': no start-up code, no semihosting, no thread-local storage; errno is a plain global.
set -eu
source=$1 prefix=$2
shift 2
build=$prefix/obj/picolibc
mkdir -p "$prefix/include" "$prefix/lib" "$prefix/obj"
rm -rf "$build"
flags=$(printf "'%s', " "$@")
cat >"$prefix/obj/picolibc-cross.txt" <<CROSS
[binaries]
c = 'gcc'
cpp = 'g++'
ar = 'gcc-ar'
nm = 'gcc-nm'
strip = 'strip'
[host_machine]
system = 'none'
cpu_family = 'x86_64'
cpu = 'x86_64'
endian = 'little'
[properties]
c_args = [$flags '-w']
skip_sanity_check = true
CROSS
log=$prefix/obj/picolibc.log
if ! {
  meson setup --cross-file "$prefix/obj/picolibc-cross.txt" --prefix "$PWD/$build/install" \
    --libdir lib --includedir include --buildtype plain -Db_staticpic=true -Db_pie=true \
    -Dmultilib=false -Dpicocrt=false -Dpicocrt-lib=false -Dsemihost=false -Dspecsdir=none -Dtests=false \
    -Dfortify-source=none -Dthread-local-storage=false -Dnewlib-global-errno=true \
    -Dsingle-thread=true -Dstack-protector-guard=global -Dassert-verbose=false \
    -Dnewlib-obsolete-math=false -Dposix-console=false -Dio-long-long=true \
    "$build" "$source" && ninja -C "$build" install
} >"$log" 2>&1; then
  echo "deps: picolibc does not build (see $log)" >&2
  exit 1
fi
cp -r "$build/install/include/." "$prefix/include/"
cp "$build/install/lib/libc.a" "$prefix/lib/libc.a"
# libstdc++'s configuration header asks the C library for <features.h> and which glibc it is: none.
cat >"$prefix/include/features.h" <<'HEADER'
#pragma once
#include <sys/features.h>
#define __GLIBC_PREREQ(major, minor) 0
HEADER
