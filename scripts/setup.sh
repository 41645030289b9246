#!/usr/bin/env bash
# Usage: scripts/setup.sh lint|demo|test
# Makes .venv with what that make target needs, and installs missing system packages through apt
# where it may; otherwise one line says what to install. PYTHON chooses the interpreter.
set -euo pipefail
cd "$(dirname "$0")/.."

purpose=$1
python=${PYTHON:-python3}
missing=()

need() { # COMMAND PACKAGE
  command -v "$1" >/dev/null || missing+=("$2")
}

fail() {
  echo "setup: $*" >&2
  exit 1
}

need "$python" python3
if command -v "$python" >/dev/null; then
  "$python" -c 'import sys; sys.exit(sys.version_info < (3, 10))' ||
    fail "$python is older than Python 3.10; set PYTHON to a newer one"
  "$python" -c 'import ensurepip' 2>/dev/null || missing+=(python3-venv)
fi
if [ "$purpose" != lint ]; then
  need gcc gcc
  need arm-none-eabi-gcc gcc-arm-none-eabi
  # A compiler prints the bare name of a file that it cannot find.
  library=$(arm-none-eabi-gcc -print-file-name=libc.a 2>/dev/null || echo libc.a)
  [ "$library" != libc.a ] || missing+=(libnewlib-arm-none-eabi)
  need qemu-system-arm qemu-system-arm
fi
if [ "$purpose" = test ]; then
  need clang clang
  fuzzer=libclang_rt.fuzzer-$HOSTTYPE.a
  [ "$(clang -print-file-name="$fuzzer" 2>/dev/null || echo "$fuzzer")" != "$fuzzer" ] ||
    missing+=(libclang-rt-dev)
  need cppcheck cppcheck
  need cmake cmake
  need riscv64-unknown-elf-gcc gcc-riscv64-unknown-elf
  specs=$(riscv64-unknown-elf-gcc -print-file-name=picolibc.specs 2>/dev/null || echo picolibc.specs)
  [ "$specs" != picolibc.specs ] || missing+=(picolibc-riscv64-unknown-elf)
  need qemu-system-riscv32 qemu-system-misc
fi

if [ ${#missing[@]} -gt 0 ]; then
  as_root=()
  if [ "$(id -u)" != 0 ]; then
    as_root=(sudo -n)
  fi
  if ! command -v apt-get >/dev/null || ! "${as_root[@]}" true 2>/dev/null; then
    fail "cannot install packages here; please install: ${missing[*]}"
  fi
  echo "setup: installing with apt: ${missing[*]}"
  apt=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive
    apt-get -qq -o DPkg::Lock::Timeout=600)
  "${apt[@]}" update
  "${apt[@]}" install -y --no-install-recommends "${missing[@]}" >/dev/null
fi

[ -x .venv/bin/pip ] || "$python" -m venv .venv
echo "setup: installing Python packages for \"$purpose\" into .venv (some minutes the first time)"
.venv/bin/python -m pip install -qq --disable-pip-version-check -e ".[$purpose]"
