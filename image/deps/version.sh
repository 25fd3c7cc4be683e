#!/bin/sh
# version.sh VERSION FOLDER: writes version.h and version.cc there, but only when it changes.
# The build id names exactly what was compiled: the commit, and any change on top of it.
set -eu
version=$1 folder=$2
commit=$(git rev-parse --short=12 HEAD 2>/dev/null || echo unknown)
changes=$( (git diff HEAD --no-ext-diff --binary; git ls-files -o --exclude-standard | sort |
  xargs -r -d '\n' sha256sum) 2>/dev/null | sha256sum | cut -c1-64)
clean=$(printf '' | sha256sum | cut -c1-64)
[ "$changes" = "$clean" ] || commit="$commit+"
build=$(printf '%s %s %s' "$version" "$commit" "$changes" | sha256sum | cut -c1-16)

write_if_changed() {
  if [ ! -f "$1" ] || [ "$(cat "$1")" != "$2" ]; then
    printf '%s\n' "$2" >"$1"
  fi
}

write_if_changed "$folder/version.h" "#pragma once
// Which Gatehouse this is. A commit that ends in '+' was built with changes on top of it.
namespace gh {
extern const char kVersion[];
extern const char kCommit[];
extern const char kBuildId[];
}  // namespace gh"

write_if_changed "$folder/version.cc" "#include \"version.h\"
namespace gh {
const char kVersion[] = \"$version\";
const char kCommit[] = \"$commit\";
const char kBuildId[] = \"$build\";
}  // namespace gh"
