#!/usr/bin/env bash
# Known vulnerabilities and altered dependencies: deploy/audit.sh PIP-AUDIT. It ends with 0 when all was checked and nothing found, 1 when something was found, and 3 when
# nothing was found but not all could be checked: a database that can't be reached is no clean bill of health.
set -uo pipefail
cd "$(dirname "$0")/.."
pip_audit=$1
found=0 unchecked=0
say() { printf '%-12s %s\n' "$1" "$2"; }
answers() { curl -fsSL -m 20 -o /dev/null "$1" 2>/dev/null; }

for module in $(go list -m -f '{{.Dir}}'); do
  name=${module#"$PWD"/}
  if out=$(cd "$module" && GOWORK=off go mod verify 2>&1); then say verified "$name: every dependency is what go.sum says"
  else say FOUND "$name: $out"; found=1; fi
done

database=${GOVULNDB:-https://vuln.go.dev}
if answers "$database/index/db.json"; then
  for module in $(go list -m -f '{{.Dir}}'); do
    name=${module#"$PWD"/}
    out=$(cd "$module" && go run golang.org/x/vuln/cmd/govulncheck@v1.9.0 ./... 2>&1)
    case $? in
      0) say clean "$name: govulncheck" ;;
      3) say FOUND "$name: govulncheck"; echo "$out"; found=1 ;; # govulncheck's own code for findings
      *) say 'NOT CHECKED' "$name: govulncheck failed"; echo "$out"; unchecked=1 ;;
    esac
  done
else
  say 'NOT CHECKED' "Go: the database of vulnerabilities at $database can't be reached (GOVULNDB names another)"; unchecked=1
fi

for lock in runner-py/requirements*.lock; do
  out=$(timeout 300 "$pip_audit" --require-hashes --disable-pip -r "$lock" 2>&1)
  code=$?
  if grep -q 'Found .* known vulnerabilit' <<<"$out"; then say FOUND "$lock: pip-audit"; echo "$out"; found=1
  elif grep -q 'could not be audited' <<<"$out"; then say 'NOT CHECKED' "$lock: pip-audit knows nothing of some of it"; echo "$out"; unchecked=1
  elif [ $code = 0 ]; then say clean "$lock: pip-audit"
  else say 'NOT CHECKED' "$lock: pip-audit failed, or could not reach its database"; echo "$out"; unchecked=1; fi
done

[ $found = 0 ] || exit 1
[ $unchecked = 0 ] || { echo 'not all could be checked: this says nothing about what was not'; exit 3; }
