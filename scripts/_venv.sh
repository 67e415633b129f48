# Sourced by the scripts beside it: makes .venv in the repository and installs tfprune into it, once.
# shellcheck shell=bash

root=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd -P)
venv=$root/.venv
stamp=$venv/.tfprune # what is installed in .venv; "unfinished" while that is being changed
# The build of PyTorch that is tested, for CPUs: PyPI has none but for gigabytes of CUDA, so each takes it from an index of their own.
torch=torch==2.13.0+cpu

fail() {
  echo "$(basename -- "$0"): $*" >&2
  exit 1
}

# Prints the version of an interpreter if it will do, "no venv in <version>" or "unsuitable <version>" if not,
# and nothing if the command does not run, as a shim for a Python that is not installed.
examine() {
  "$1" - 2>/dev/null <<'PYTHON' || true
import platform, sys
version = platform.python_version()
cpython = platform.python_implementation() == "CPython" and sys.maxsize > 2**32
if not cpython or not (3, 10) <= sys.version_info[:2] <= (3, 13):
    sys.exit(print("unsuitable " + version))
try:
    import ensurepip, venv
    ensurepip.version()
except Exception:
    sys.exit(print("no venv in " + version))
print(version)
PYTHON
}

# Sets `python` to the newest interpreter that will do, or to $PYTHON.
find_python() {
  local candidate answer version found="" without_venv=""
  local candidates=(python3.13 python3.12 python3.11 python3.10 python3 python)
  [ -z "${PYTHON:-}" ] || candidates=("$PYTHON")
  for candidate in "${candidates[@]}"; do
    command -v -- "$candidate" >/dev/null || continue
    answer=$(examine "$candidate")
    case $answer in
      "no venv in "*) without_venv=${without_venv:-${answer##* }} ;;
      "unsuitable "*) found="$found, $candidate is ${answer##* }" ;;
      "") found="$found, $candidate does not run" ;;
      *) python=$candidate && return ;;
    esac
  done
  if [ -n "$without_venv" ]; then
    version=${without_venv%.*}
    fail "Python $without_venv lacks the venv module: apt install python$version-venv (Debian, Ubuntu)," \
      "or name another Python: PYTHON=/path/to/python3"
  fi
  found=${found:-, there is no ${PYTHON:-python3}}
  fail "no Python that will do (${found#, }): install 64-bit Python 3.10 to 3.13," \
    "or name one: PYTHON=/path/to/python3"
}

# Tells whether .venv can be installed into: nobody stopped half-way or moved it, its Python runs and is $PYTHON.
venv_is_good() {
  if [ -e "$stamp" ]; then
    [ "$(cat "$stamp")" != unfinished ] && grep -qF -- "$venv" "$venv/bin/activate" || return 1
  fi
  "$venv/bin/python" -c "import pip" 2>/dev/null || return 1
  [ -z "${PYTHON:-}" ] || [ "$(examine "$PYTHON")" = "$(examine "$venv/bin/python")" ]
}

make_venv() {
  find_python
  rmdir -- "$venv" 2>/dev/null || true
  if [ -e "$venv" ] && [ ! -e "$stamp" ] && [ ! -e "$venv/pyvenv.cfg" ]; then
    fail "$venv is in the way, and no virtual environment: move it"
  fi
  echo "Making .venv with Python $(examine "$python") ..."
  rm -rf -- "$venv-old"
  [ ! -e "$venv" ] || mv -- "$venv" "$venv-old" # at once: half a removed .venv could pass for a whole one
  rm -rf -- "$venv-old"
  mkdir -- "$venv"
  echo unfinished >"$stamp"
  "$python" -m venv "$venv" >"$venv/log" 2>&1 ||
    fail "$python -m venv fails ($(tail -n 1 "$venv/log")): mend it, or name another Python: PYTHON=/path/to/python3"
}

# Prints a digest of all that decides what belongs in .venv.
checksum() {
  "$venv/bin/python" - "$root" <<'PYTHON'
import hashlib, pathlib, sys
files = [pathlib.Path(sys.argv[1], name).read_bytes() for name in ("setup.py", "requirements.txt", "requirements-dev.txt")]
print(hashlib.sha256(b"\0".join([sys.version.encode(), *files])).hexdigest())
PYTHON
}

# Installs what scripts/lock has pinned, checked against its hashes, and tfprune.
# Python compiles the modules that are used when they are: to compile all takes a third of the time of an installation.
install() {
  local pip=("$venv/bin/python" -m pip install --no-input --progress-bar off --disable-pip-version-check --no-deps --no-compile)
  "${pip[@]}" --require-hashes --requirement "$root/requirements${1:+-$1}.txt" &&
    "${pip[@]}" --no-build-isolation --editable "$root"
}

# Brings .venv up to date, with an extra ("dev") or without (""). Costs nothing when it is.
set_up() {
  local extra=$1 was want
  exec 9<"$root/setup.py"
  if command -v flock >/dev/null && ! flock --nonblock 9; then
    echo "Waiting for another script that is busy with .venv ..."
    flock 9
  fi
  venv_is_good || make_venv
  want=$(checksum)
  was=$(cat "$stamp" 2>/dev/null || true)
  if [ "$was" != "$want $extra" ] && [ "$was" != "$want dev" ]; then
    case $was in *" dev") extra=dev ;; esac
    case $was in
      unfinished | "") echo "Installing TensorFlow and the rest into .venv (about 2 GB, some minutes) ..." ;;
      *) echo "Bringing .venv up to date ..." ;;
    esac
    echo unfinished >"$stamp"
    if ! install "$extra" >"$venv/pip.log" 2>&1; then
      tail -n 20 "$venv/pip.log" >&2
      fail "pip could not install tfprune (see above, and all of .venv/pip.log): mend that and start again"
    fi
    echo "$want $extra" >"$stamp"
  fi
  exec 9<&-
}
