#!/usr/bin/env bash
# Puts the tables that `make agreement` left in a folder into docs/validator.md.
set -euo pipefail
rows=$1 page=$(dirname "$0")/validator.md
put() { # NAME FILE: what is between the marks of that name is the file's
  { sed "/<!-- $1 -->/q" "$page"; cat "$2"; sed -n "/<!-- \/$1 -->/,\$p" "$page"; } > "$page.new"
  mv "$page.new" "$page"
}
put agreement "$rows/agreement.md"
put corpus <(echo '| file | class | verdict | pages | seconds | MiB |'; echo '|---|---|---|---|---|---|'; cat "$rows/corpus.rows")
