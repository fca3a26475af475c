#!/bin/sh
# Builds the documentation as a site for a static host: sh docs/build-site.sh OUT
# With it comes the page of the reference results, at OUT/results/, where its records are packed in reports/mini/results.zip.
# Needs `pip install -c constraints.txt '.[docs]'`, and no network. Any warning and any broken link ends it with an error.
set -eu
out=${1:?give the folder that the site is written to}
root=$(cd "$(dirname "$0")/.." && pwd)
cache=$(mktemp -d)
trap 'rm -rf "$cache"' EXIT

python -m sphinx -q -b html --fail-on-warning --keep-going -d "$cache" "$root/docs" "$out"
touch "$out/.nojekyll" # folders that begin with _ are served as they are
pack=$root/reports/mini/results.zip
if [ -f "$pack" ]; then
    python -m guidebench page "$pack" --out "$out/results"
fi
python "$root/docs/check_links.py" "$out"
