#!/bin/sh
# Sets up the local environment in .venv, once: the pinned packages of pyproject.toml, without root.
set -eu
cd "$(dirname "$0")/.."
venv=.venv
log=$venv/setup.log

fail() {
    echo "setup: $*" >&2
    exit 1
}

# The first Python that is new enough.
python=
for name in ${PYTHON:-python3 python3.14 python3.13 python3.12 python3.11 python3.10}; do
    if command -v "$name" >/dev/null 2>&1 &&
        "$name" -c 'import sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null; then
        python=$name
        break
    fi
done
[ -n "$python" ] || fail "Python 3.10 or newer is missing: install it, or name it: make PYTHON=/path/to/python3"
"$python" -c 'import venv, ensurepip' 2>/dev/null ||
    fail "this Python cannot make environments: install its venv package (Debian, Ubuntu: apt install python3-venv)"

# The members of a list in pyproject.toml.
listed() {
    sed -n "/^$1 = \[/,/^\]/s/^ *\"\(.*\)\",.*/\1/p" pyproject.toml
}

# Installs what is named on stdin, a line for each package that is fetched.
install() {
    cat >$venv/requirements.txt
    { $venv/bin/python -m pip install --disable-pip-version-check --progress-bar off \
        -r $venv/requirements.txt "$@" 2>&1 || echo "setup failed"; } | tee -a $log |
        sed -n -e 's/^Collecting \([^ ]*\).*/  \1/p' -e '/^ERROR/p' >&2
    if tail -n 1 $log | grep -q "^setup failed"; then
        fail "pip could not install the packages: the reason is in $log"
    fi
}

echo "setup: the local environment in $venv, once, with $($python --version)" >&2
rm -rf $venv
"$python" -m venv $venv
: >$log
listed dependencies | install
echo "setup: MicroPython's stubs, for the type check" >&2
listed stubs | install --no-deps --target $venv/stubs
cksum pyproject.toml >$venv/stamp
echo "setup: ready" >&2
