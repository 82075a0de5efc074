#!/usr/bin/env bash
# `settlement recover` with the program of this tree, or the one on the path; `--help` lists the options.
set -euo pipefail
top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
if [ -x "$top/.venv/bin/settlement" ]; then
  exec "$top/.venv/bin/settlement" recover "$@"
elif command -v settlement >/dev/null; then
  exec settlement recover "$@"
fi
PYTHONPATH="$top/src${PYTHONPATH:+:$PYTHONPATH}" exec "${PYTHON:-python3}" -m settlement recover "$@"
