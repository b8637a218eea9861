#!/bin/bash
# libllmcf as it is installed: a program of somebody else finds it by pkg-config and by CMake, and the manual page is sound.
set -u
fail() { echo "FAILED: $*" >&2; exit 1; }

# As a package does it: staged in a folder, for a prefix that the build did not know.
build=$(dirname "$LCF_BIN_DIR")
export DESTDIR=$PWD/stage
cmake --install "$build" --prefix /opt/llmcf --component library >install.log || fail "$(cat install.log)"
cmake --install "$build/online/cmd" --prefix /opt/llmcf >>install.log || fail "$(cat install.log)"
cmake --install "$build/online/cmd" --prefix '/opt/our shop 5%' >>install.log || fail "$(cat install.log)"
unset DESTDIR
grep -q '^ExecStart="/opt/our shop 5%%/bin/llmcf-serve" ' 'stage/opt/our shop 5%/lib/systemd/system/llmcf-serve.service' ||
    fail "the unit does not find a program whose path has a space"
usr=stage/opt/llmcf
[ "$($usr/bin/llmcf-serve --version)" = "$("$LCF_BIN_DIR/llmcf-serve" --version)" ] || fail "the installed server does not run"
grep -q '^ExecStart="/opt/llmcf/bin/llmcf-serve" ' $usr/lib/systemd/system/llmcf-serve.service || fail "the unit starts another program"
lib=$(dirname "$(find $usr -name libllmcf.so | head -1)")
[ -e "$lib/libllmcf.so" ] || fail "no library is installed"
if nm -D "$lib/libllmcf.so" | grep -q __asan_init; then
    echo "sanitizers would have to be in the other program, too" >&2
    exit 77
fi

# Neither sees the source tree.
PKG_CONFIG_PATH=$PWD/$lib/pkgconfig
export PKG_CONFIG_PATH
cp "$LCF_SOURCE_DIR/tests/cli/embed.c" .
# shellcheck disable=SC2046
cc -o by-pkg-config embed.c $(pkg-config --cflags --libs llmcf) \
    -Wl,-rpath,"$PWD/$lib" 2>cc.log || fail "$(cat cc.log)"
cat >CMakeLists.txt <<'CMAKE'
cmake_minimum_required(VERSION 3.25)
project(consumer LANGUAGES C)
find_package(llmcf 0.1 REQUIRED)
add_executable(by-cmake embed.c)
target_link_libraries(by-cmake PRIVATE llmcf::llmcf)
CMAKE
cmake -S . -B consumer -DCMAKE_PREFIX_PATH="$PWD/$usr" >cmake.log 2>&1 && cmake --build consumer >>cmake.log 2>&1 ||
    fail "$(cat cmake.log)"

"$LCF_BIN_DIR/make_world" world || fail make_world
"$LLMCF" publish --quiet --dataset world/dataset --vectors world/vectors --examples world/examples \
    --arm din=world/din.lcf --arm din-ict=world/ict.lcf --root snapshots >publish.log || fail "$(cat publish.log)"
"$LCF_BIN_DIR/embed" snapshots u2 i1 i2 nothing >expected || fail "the program of the build"
./by-pkg-config snapshots u2 i1 i2 nothing | cmp - expected || fail "found by pkg-config"
consumer/by-cmake snapshots u2 i1 i2 nothing | cmp - expected || fail "found by CMake"

page=$(find $usr -name llmcf.3)
[ -s "$page" ] || fail "no manual page"
if command -v groff >/dev/null; then
    groff -man -Tutf8 -ww -z "$page" 2>groff.log
    [ ! -s groff.log ] || fail "$(cat groff.log)"
fi
# The programs' pages are their --help, and sound.
for name in llmcf llmcf-rank llmcf-serve llmcf-replay llmcf-load; do
    page1=$(find "$build/online/cmd" "$build/offline/cmd" -maxdepth 1 -name $name.1)
    [ -s "$page1" ] || fail "no manual page of $name"
    if command -v groff >/dev/null; then
        groff -man -Tutf8 -ww -z "$page1" 2>groff.log
        [ ! -s groff.log ] || fail "$(cat groff.log)"
    fi
done
for option in $("$LCF_BIN_DIR/llmcf-serve" --help | grep -o '^ *--[a-z-]*' | tr -d ' '); do
    grep -qF -- "$(sed 's/-/\\-/g' <<<"$option")" "$build/online/cmd/llmcf-serve.1" || fail "llmcf-serve.1 lacks $option"
done
# Every function of the header is in the page.
grep -o 'lcf_rank[a-z_]*(' "$LCF_SOURCE_DIR/online/rank/llmcf.h" | sort -u | while IFS= read -r name; do
    grep -qF "$name" "$page" || echo "$name"
done >missing
[ ! -s missing ] || fail "not in the manual page: $(cat missing)"
