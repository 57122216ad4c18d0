#!/usr/bin/env bash
# Checks on a real card, in a few minutes: run.sh FOLDER writes logs and figures there. Each part has a time limit, and a part that fails doesn't stop
# the others; the status is that of the worst. Needs PDFMILL_CARD_PYTHON, an interpreter with PyTorch and the runner that nobody may run, and the test programs that are
# named below (for the last of them pdfmill's own as well, in the folder PDFMILL_BIN), or Go. `make test-gpu` sets all that.
set -uo pipefail
out=$(mkdir -p "$1" && cd "$1" && pwd)
top=$(cd "$(dirname "$0")/../../.." && pwd)
export PDFMILL_FIGURES=$out PYTHONDONTWRITEBYTECODE=1
worst=0
part() { # NAME SECONDS FOLDER TESTS: of the test program FOLDER/card.test, or of the package there
  local name=$1 limit=$2 dir=$top/$3 tests=$4 began=$SECONDS status=0 program=(go test -count=1 .)
  [ -x "$dir/card.test" ] && program=(./card.test)
  local flags=(-v -run "$tests" -timeout "${limit}s")
  [ -x "$dir/card.test" ] && flags=(-test.v -test.run "$tests" -test.timeout "${limit}s")
  (cd "$dir" && timeout -k 5 "$((limit + 5))" "${program[@]}" "${flags[@]}") >"$out/$name.log" 2>&1 || status=$?
  echo "$name: $([ $status = 0 ] && echo passed || echo "FAILED ($status)"), $((SECONDS - began)) s"
  [ $status = 0 ] || { worst=1; grep -E '^ *(--- FAIL|[a-z_]+_test.go|panic)' "$out/$name.log" | cut -c1-300 | tail -n 15; }
}
"$PDFMILL_CARD_PYTHON" -c 'import torch; assert torch.cuda.is_available(), "PyTorch sees no GPU"; print("torch", torch.__version__, torch.cuda.get_device_name())' || exit 1
part devices 60 services/gpu-runner/devices 'TestNVMLConforms'
part contract 100 services/gpu-runner 'TestTheDeviceKeepsItsContract'
part ledger 100 services/gpu-runner 'TestTheLedgerSharesACard/torch'
part table 170 services/gpu-runner 'TestEachFailureCostsItsPage/torch'
part pipeline 240 e2e 'TestACardLosesNothing/torch'
exit $worst
