# The scripts of this directory source this file. It finds a Python, makes the virtual environment, and installs the
# packages of the lock files.
# shellcheck shell=sh

say() { printf '%s\n' "$*" >&2; }
fail() { say "$NAME: $*"; exit 1; }

# The newest Python with which the lock files are tested comes first. A plain `python3` is used if it is new enough.
new_enough() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; }
find_python() {
    for candidate in ${PYTHON:-python3.13 python3.12 python3.11 python3.14 python3 python}; do
        if new_enough "$candidate"; then PYTHON_FOUND=$candidate; return; fi
    done
    if [ -n "${PYTHON:-}" ]; then
        fail "PYTHON=$PYTHON is not a Python 3.11 or newer. Name another one, or unset PYTHON."
    fi
    fail "Python 3.11 or newer is needed and none was found. Install it, or name it: PYTHON=/path/to/python3 bin/$NAME"
}

# If the environment's Python no longer exists (after an upgrade, or in a moved directory), makes a new environment.
make_environment() {
    if new_enough "$VENV/bin/python" && [ -x "$VENV/bin/pip" ]; then return; fi
    find_python
    say "Making the virtual environment with $("$PYTHON_FOUND" --version 2>&1) ..."
    rm -rf "$VENV"
    "$PYTHON_FOUND" -m venv "$VENV" >"$SETUP_LOG" 2>&1 && return
    rm -rf "$VENV"
    fail "Python's venv module does not work. On Debian and Ubuntu: apt-get install python3-venv. Details: $SETUP_LOG"
}

# install LOCKFILE...: does nothing if the last installation had these lock files. Their checksums are in one file,
# because each installation can replace what another one has installed.
install() {
    stamp=$VENV/.locked
    sums=$(cksum "$@")
    if [ -f "$stamp" ] && [ -z "$(printf '%s\n' "$sums" | grep -vxF -f "$stamp")" ]; then return; fi
    rm -f "$stamp"
    say "Installing the packages named in $* ..."
    set -- $(printf -- '-r %s ' "$@")
    # pip would compile all modules, which takes a third of its time. Tests import some of them, which are compiled then.
    if [ "$NAME" = test ]; then set -- --no-compile "$@"; fi
    if ! "$VENV/bin/python" -m pip install --disable-pip-version-check --no-input --require-hashes "$@" >"$SETUP_LOG" 2>&1; then
        why=$(grep -iE '^ *(error|warning: retrying)' "$SETUP_LOG" | tail -n 1)
        fail "The packages could not be installed. Is there a network? Details: $SETUP_LOG. ${why}"
    fi
    printf '%s\n' "$sums" >"$stamp"
}

# prepare NAME [dev]: sets up the environment for the script NAME. With `dev`, also installs the tests' packages.
prepare() {
    NAME=$1
    VENV=.venv
    SETUP_LOG=var/setup.log
    mkdir -p var || fail "The directory $(pwd)/var can't be made."
    make_environment
    # Both lists at once, because pip takes seconds to begin.
    case ${2:-} in
        dev) install requirements.txt requirements-dev.txt ;;
        *) install requirements.txt ;;
    esac
    PATH=$(pwd)/$VENV/bin:$PATH
    export PATH
}

# quietly WHAT COMMAND...: says what begins, and runs a command without its output. If the command fails, shows the last
# line of the output.
quietly() {
    what=$1; shift
    say "$what ..."
    if "$@" >"$SETUP_LOG" 2>&1; then return; fi
    fail "$what failed: $(grep -v '^ *$' "$SETUP_LOG" | tail -n 1) Details: $SETUP_LOG"
}

# from_distribution PACKAGE: installs it with apt-get, if this user is root.
from_distribution() {
    [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1 || return 1
    say "Installing $1 from the distribution ..."
    { apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "$1"; } \
        >"$SETUP_LOG" 2>&1
}
# get_program PACKAGE PROGRAM: installs a missing program if it can. What needs it then names it.
get_program() { command -v "$2" >/dev/null 2>&1 || from_distribution "$1" || :; }
