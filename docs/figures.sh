#!/usr/bin/env bash
# Puts the rows that a fault run left in a folder into docs/reliability.md.
set -euo pipefail
rows=$1 page=$(dirname "$0")/reliability.md
{
  sed '/<!-- figures -->/q' "$page"
  echo '| scenario | faults | documents | converted | failed | lost | events stored twice | longest stall after a fault |'
  echo '|---|---|---|---|---|---|---|---|'
  cat "$rows"/*.row
  sed -n '/<!-- \/figures -->/,$p' "$page"
} > "$page.new"
mv "$page.new" "$page"
