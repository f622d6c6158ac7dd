#!/bin/sh
# Take out of a virtual environment what no service needs: slim.sh FOLDER. Needs strip (binutils).
set -eu
cd "$1"
# Tests of packages.
find . -type d -name tests -prune -exec rm -rf {} +
# What C compiles.
find . -type f '(' -name '*.c' -o -name '*.cpp' -o -name '*.h' -o -name '*.pyx' -o -name '*.pxd' ')' -delete
# Of Arrow: its server, and second names of libraries, which only linkers ask for.
find . -path '*/pyarrow/*' -type f '(' -name '*flight*' -o -name 'libarrow_python*.so' \
    -o -name '*.so.*.*.*' ')' -delete
# Symbols for debuggers. Libraries in *.libs were laid out anew when their wheel was made: strip may
# break those.
find . -type f '(' -name '*.so' -o -name '*.so.*' ')' ! -path '*.libs/*' \
    -exec strip --strip-unneeded {} +
