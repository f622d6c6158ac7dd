#!/bin/bash
# A root file system like that of python:3.11-slim-bookworm, as a tar: base.sh FOLDER TAR.
# Debian's smallest system from this machine's mirror, and the CPython 3.11 that runs the tests, with
# a pip that knows the lock's hashes of extras. FOLDER is where it is put together.
set -euo pipefail
folder=$1 python=$(python3.11 -c 'import sys; print(sys.base_prefix)') pip=24.0
mirror=$(find /etc/apt \( -name '*.sources' -o -name '*.list' \) -exec sed -n 's/^URIs: *//p; s/^deb \([^ ]*\) .*/\1/p' {} + |
    grep -m1 'debian/*$')
libraries=libssl3,libffi8,libsqlite3-0,libreadline8,libbz2-1.0,liblzma5,libuuid1,libncursesw6,libexpat1,libnsl2,zlib1g
debootstrap --variant=minbase --include=ca-certificates,netbase,tzdata,$libraries bookworm "$folder" "$mirror"
tar -C "$python" -c --exclude='lib/python3.11/site-packages/*' --exclude=lib/python3.11/test \
    --exclude='lib/python3.11/config-3.11-*' --exclude='*/idlelib' --exclude='*/__pycache__' \
    --exclude='*.a' --exclude=lib/pkgconfig --exclude=share \
    bin/python3.11 bin/python3 bin/python include lib/python3.11 \
    $(cd "$python" && ls lib/libpython3*.so* 2>/dev/null) | tar -C "$folder/usr/local" -x
chroot "$folder" ldconfig
bundled=$folder/usr/local/lib/python3.11/ensurepip
rm "$bundled"/_bundled/pip-*.whl
python3.11 -m pip download --quiet --no-deps --only-binary :all: -d "$bundled/_bundled" "pip==$pip"
sed -i "s/^_PIP_VERSION = .*/_PIP_VERSION = \"$pip\"/" "$bundled/__init__.py"
rm -rf "$folder"/var/cache/apt/archives/*.deb "$folder"/var/lib/apt/lists/* "$folder"/var/log/*.log
tar -C "$folder" -cf "$2" .
