#!/bin/sh
# Makes the results in this folder again: sh make.sh RUNS [OPTION …], options as of `guidebench reproduce`.
# Trials recorded in RUNS are skipped. Pages that show a file of this folder are brought up to date, too.
set -eu
runs=$1
shift
here=$(cd "$(dirname "$0")" && pwd)

show() { # PAGE FILE: the page's part between the marks of a file of this folder becomes that file
    page=$here/../../$1
    awk -v name="reports/mini/$2" -v file="$here/$2" '
        $0 == "<!-- end " name " -->" { inside = 0 }
        !inside { print }
        $0 == "<!-- begin " name " -->" { inside = 1; while ((getline line < file) > 0) print line }
    ' "$page" >"$page.new"
    mv "$page.new" "$page"
}

ladder="--method mean-latent --method extrapolated --method extrapolated-adj --method guide"

people="--identities 20 --seeds 0,1,2"
set -- --salt 0 "$@" # the codes and the people to keep of the committed results; every new directory draws its own

guidebench reproduce table-2 $people --out "$runs" --format markdown --method redirect --method grey "$@" >"$here/table-2.md"
guidebench reproduce table-1 $people --out "$runs" --format markdown "$@" >"$here/table-1.md"
guidebench reproduce table-3 --out "$runs" --format markdown "$@" >"$here/table-3.md"
guidebench reproduce table-4 --out "$runs" --format markdown "$@" >"$here/table-4.md"
guidebench reproduce figure-9 --out "$runs" --format markdown "$@" >"$here/figure-9.md"

everybody="$ladder --method redirect --method grey --method nothing --method scramble"
guidebench report "$runs" --protocol celebahq-multi --layout full $everybody >"$here/full.md"
guidebench compare "$runs" guide mean-latent --protocol celebahq-multi --format markdown >"$here/guide-against-mean-latent.md"
guidebench orderings "$runs" --protocol celebahq-multi >"$here/orderings.md"
for protocol in random ffhq celebahq; do
    guidebench orderings "$runs" --protocol $protocol >"$here/orderings-$protocol.md"
done
guidebench instrument "$runs" --protocol celebahq-multi >"$here/instrument.md"
guidebench run --protocol celebahq-multi --identities 4 --samples 2000 $ladder --floors none --out "$runs-samples" "$@" >&2
guidebench instrument "$runs-samples" | awk '/^## /{shown = /^## FID_pre by/; next} shown' >"$here/sample-count.md"
guidebench run --protocol celebahq-multi --identities 10 $ladder --keep-generators --floors none --out "$runs-codes" "$@" >&2
guidebench instrument "$runs-codes" --second-codes | awk '/^## /{shown = /second set/} shown' >"$here/second-codes.md"

attacked="$runs-attacks" hidden="$runs-hidden" # every attack, and look-alikes; then methods that hide or hardly train
attack() { guidebench run --protocol celebahq-attacks --floors none "$@" >&2; }
guidebench reproduce forgotten-or-hidden --floors none --out "$attacked" "$@" >&2
attack --out "$attacked" --identities 20 --method oracle "$@"
attack --out "$hidden" --identities 6 --method nothing "$@"
attack --out "$hidden" --identities 4 --method "$here/hiders.py:BlockList" --method "$here/hiders.py:Memoriser" \
    --method "$here/hiders.py:Counter" --method "$here/hiders.py:OnePhoto" "$@"
attack --out "$hidden" --identities 6 --method redirect --set radius=20 "$@"
attack --out "$hidden" --identities 6 --method guide --set steps=2 "$@"
attack --out "$hidden" --identities 6 --method guide --set steps=100 "$@"
rows="--method oracle $ladder --method sugar --method legato --method ged --method redirect"
guidebench report "$attacked" --layout forgotten-or-hidden $rows >"$here/forgotten-or-hidden.md"
guidebench report "$attacked" --layout attacks $rows >"$here/attacks.md"
python "$here/telling.py" "$attacked" "$hidden" >"$here/which-metric.md"

later="$runs-successors" # GUIDE beside what came after it, then five people at once and one after another
for suite in successors simultaneous sequential; do
    guidebench reproduce $suite --out "$later" --format markdown "$@" >"$here/$suite.md"
done
guidebench report "$later" --protocol celebahq-multi --layout full --against guide >"$here/successors-full.md"
guidebench report "$later" --protocol celebahq-multi --layout short >"$here/successors-short.md"
guidebench report "$later" --protocol celebahq-simultaneous --layout short >"$here/simultaneous-short.md"
guidebench report "$later" --protocol celebahq-sequential --layout short >"$here/sequential-short.md"
guidebench report "$later" --protocol celebahq-sequential --layout sequence >"$here/sequence.md"

rm -f "$here/results.zip"
guidebench submit pack "$later" --without-evidence --pictures 4 --out "$here/results.zip" --name "Reference results on mini" \
    --authors "guidebench developers" --link https://arxiv.org/abs/2405.09879 --settings-tried 6 --tuned-on "6 development people" >&2

columns=testbed,weights_version,protocol,conventions,label,identity,seed,metric,judge,value,n,lost_before,lost_after,seconds_total
guidebench scores "$runs" --columns "$columns" >"$here/scores.csv"
guidebench report "$runs" --layout short --protocol celebahq-multi $ladder --method redirect --method grey >"$here/short.md"
pictures=$here/../../docs/mini
guidebench gallery "$runs" --protocol celebahq-multi $ladder --first 10 --out "$pictures/gallery.jpg"
guidebench figure relearning "$attacked" --method mean-latent --method guide --method redirect --method oracle \
    --out "$pictures/relearning.png" >&2
guidebench gallery "$attacked" --protocol celebahq-attacks --method oracle --method guide --method redirect --first 6 --out "$pictures/oracle.jpg"
guidebench gallery "$runs" --protocol celebahq-multi --method mean-latent --method guide --first 4 --out "$pictures/four-people.jpg"

show README.md short.md
show reports/mini/README.md orderings.md
show docs/instrument.md instrument.md
show docs/instrument.md sample-count.md
show docs/instrument.md second-codes.md
show docs/presets.md presets.md
show docs/presets.md presets-successors.md
show docs/successors.md successors-short.md
show docs/successors.md simultaneous-short.md
show docs/successors.md sequential-short.md
show docs/which-metric.md which-metric.md
