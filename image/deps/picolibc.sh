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
    -Dmultilib=false -Dpicocrt=false -Dpicocrt-lib=false -Dsemihost=false -Dspecsdir=none \
    -Dtests=false \
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
# libstdc++ was configured for glibc and threads. Say what is true here, before it looks: no glibc,
# no threads, no futexes.
mkdir -p "$prefix/include/c++/bits"
cat >"$prefix/include/features.h" <<'HEADER'
#pragma once
#include <sys/features.h>
#define __GLIBC_PREREQ(major, minor) 0
HEADER
cat >"$prefix/include/c++/bits/c++config.h" <<'HEADER'
#pragma once
#include_next <bits/c++config.h>
#undef _GLIBCXX_HAS_GTHREADS
#undef _GLIBCXX_HAVE_LINUX_FUTEX
#undef _GLIBCXX_HAVE_TLS
HEADER
cat >"$prefix/include/c++/bits/gthr-default.h" <<'HEADER'
#pragma once
#include <bits/gthr-single.h>
HEADER
# <iterator> and <memory> pull in iostreams' declarations, which want a locale model: the simplest.
cat >"$prefix/include/c++/bits/c++locale.h" <<'HEADER'
#pragma once
#include <clocale>
#define _GLIBCXX_NUM_CATEGORIES 0
#include <cstdarg>
#include <cstdio>
namespace std {
typedef int* __c_locale;
inline int __convert_from_v(const __c_locale&, char* out, const int size, const char* format, ...) {
  va_list arguments;
  va_start(arguments, format);
  const int length = vsnprintf(out, static_cast<size_t>(size), format, arguments);
  va_end(arguments);
  return length;
}
}  // namespace std
HEADER
cat >"$prefix/include/c++/bits/ctype_base.h" <<'HEADER'
#pragma once
namespace std {
struct ctype_base {
  typedef const int* __to_type;
  typedef unsigned short mask;
  static const mask upper = 1, lower = 2, digit = 4, space = 8, punct = 16, cntrl = 32, xdigit = 64;
  static const mask blank = 128, print = 256, alpha = upper | lower;
  static const mask alnum = alpha | digit, graph = alnum | punct;
};
}  // namespace std
HEADER
