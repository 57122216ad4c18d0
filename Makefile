# pdfmill: `make build` makes bin/, `make test` passes the tests. Both install what they need.
SHELL := /bin/bash
GO ?= go
PYTHON ?= python3
CACHE ?= $(CURDIR)/.cache
VENV := $(CACHE)/dev-venv
VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
LDFLAGS := -s -w -X github.com/pdfmill/pdfmill/pipeline/lifecycle.Version=$(VERSION)
MODULES := $(shell $(GO) list -m -f '{{.Dir}}' 2>/dev/null)
SERVICES := ingest validator gpu-runner publisher

# The corpus of real and hostile PDFs: your own folder with a manifest.csv, or the small one that ships.
export PDFMILL_CORPUS ?= $(CURDIR)/e2e/testdata/corpus
export PDFMILL_CACHE ?= $(CACHE)
# The binding of NVIDIA's library names functions that its own header calls deprecated: hundreds of lines that nobody here can act on.
export CGO_CFLAGS ?= -O2 -g -Wno-deprecated-declarations

.PHONY: build test test-go test-python test-marker test-marker-long test-marker-corpus test-ocr test-gpu lint bench bench-vram clean fuzz agreement tools test-faults test-cgroups soak soak-gpu dist test-dist sbom audit
build:
	$(GO) build -trimpath -ldflags '$(LDFLAGS)' -o bin/pdfmill ./cmd/pdfmill
	@for s in $(SERVICES); do $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o bin/pdfmill-$$s ./services/$$s/cmd/$$s || exit 1; done

test: test-python test-go

# Programs that the tests run beside ours: qpdf, which repairs damaged PDFs where the policy says so, and damages and locks them for tests; systemd-analyze, which
# looks at the units in deploy/systemd.
tools:
	@{ command -v qpdf && command -v systemd-analyze; } >/dev/null || { echo 'installing qpdf and systemd'; SUDO=$$([ "$$(id -u)" = 0 ] || echo sudo); \
	  { $$SUDO apt-get install -y -q qpdf systemd || { $$SUDO apt-get update -q && $$SUDO apt-get install -y -q qpdf systemd; }; } >/dev/null; } || \
	  { echo 'the tests need qpdf and systemd-analyze: install them with your package manager'; exit 1; }

test-go: build tools $(CACHE)/sbom/bin/cyclonedx-py
	PDFMILL_BIN=$(CURDIR)/bin CYCLONEDX_PY=$(CACHE)/sbom/bin/cyclonedx-py $(GO) test -race -timeout 20m work

# Tools of the developers; the lock file of the runner itself is runner-py/requirements.lock.
$(VENV)/.ready: runner-py/pyproject.toml runner-py/requirements.lock runner-py/requirements-dev.txt
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/pip install -q --require-hashes -r runner-py/requirements.lock
	$(VENV)/bin/pip install -q -r runner-py/requirements-dev.txt
	$(VENV)/bin/pip install -q --no-deps -e runner-py
	touch $@

test-python: $(VENV)/.ready
	cd runner-py && $(VENV)/bin/ruff check . && $(VENV)/bin/ruff format --check . && $(VENV)/bin/mypy --strict src tests && $(VENV)/bin/pytest -q

# Marker's real code, both generations, each in the environment that `pdfmill engines install` makes; their weights are stand-ins (tiny, random, or
# servers that answer the wire formats), named so in runner-py/tests/real_marker. Some 5 GB each; uv, when there, lets them share what they have in common.
# Both generations' tests of the runner go side by side, and the pipeline's tests three at a time.
MARKERS ?= marker marker1
UV := $(CACHE)/uv-bin
$(UV)/uv: # alone in its folder: the Python beside it must not become everybody's
	$(PYTHON) -m venv $(CACHE)/tools
	$(CACHE)/tools/bin/pip install -q uv==0.13.9
	mkdir -p $(UV) && ln -sf $(CACHE)/tools/bin/uv $@
$(CACHE)/pytest/.ready: runner-py/requirements-dev.txt
	$(PYTHON) -m pip install -q --target $(CACHE)/pytest $(shell grep '^pytest==' runner-py/requirements-dev.txt)
	touch $@

test-marker: build $(UV)/uv $(CACHE)/pytest/.ready
	@export PATH="$(UV):$$PATH" UV_CACHE_DIR="$${UV_CACHE_DIR:-$(CACHE)/uv}"; for name in $(MARKERS); do \
	  bin/pdfmill engines install $$name --yes --no-weights >/dev/null || exit 1; \
	done; running= failed=; \
	for name in $(MARKERS); do \
	  python=$$(bin/pdfmill engines install $$name --yes --no-weights --json 2>/dev/null | $(PYTHON) -c 'import json,sys; print(json.load(sys.stdin)["python"])') || exit 1; \
	  (cd runner-py && PYTHONPATH=src:tests:$(CACHE)/pytest exec $$python -m pytest -q -p no:cacheprovider tests/real_marker) >$(CACHE)/pytest/$$name.log 2>&1 & \
	  running="$$running $$name=$$!"; \
	done; \
	for one in $$running; do \
	  wait $${one#*=} || failed="$$failed $${one%=*}"; \
	  echo "$${one%=*}:"; cat $(CACHE)/pytest/$${one%=*}.log; \
	done; \
	[ -z "$$failed" ] || { echo "these failed:$$failed"; exit 1; }
	PDFMILL_MARKERS="$(MARKERS)" PDFMILL_BIN=$(CURDIR)/bin $(GO) test -count=1 -tags marker -timeout 60m -parallel 3 ./e2e/marker

# What a process holds after 200 conversions, instead of 12.
test-marker-long:
	PDFMILL_LEAK=200 $(MAKE) test-marker

# The whole corpus through both generations, instead of a dozen documents; PAGES=60 leaves out those with more pages.
PAGES ?= 100000
test-marker-corpus: build $(UV)/uv
	@export PATH="$(UV):$$PATH" UV_CACHE_DIR="$${UV_CACHE_DIR:-$(CACHE)/uv}"; for name in $(MARKERS); do bin/pdfmill engines install $$name --yes --no-weights >/dev/null || exit 1; done
	PDFMILL_MARKERS="$(MARKERS)" PDFMILL_MARKER_PAGES=$(PAGES) PDFMILL_BIN=$(CURDIR)/bin $(GO) test -count=1 -tags marker -timeout 6h -v -run TestCorpus ./e2e/marker

# On a machine with a GPU: what is simulated elsewhere is checked on the real card, and the figures are left in $(CACHE)/card. CARD_PYTHON is an
# interpreter with PyTorch; what else is needed is put beside it.
CARD_PYTHON ?= $(PYTHON)
$(CACHE)/card-env/.ready: runner-py/requirements.lock
	$(CARD_PYTHON) -m pip install -q --no-deps --target $(CACHE)/card-site $$(sed -n 's/^\(pypdfium2==[^ ]*\).*/\1/p' runner-py/requirements.lock) nvidia-ml-py==13.615.71
	$(CARD_PYTHON) -m venv --without-pip $(CACHE)/card-env
	{ printf '%s\n' $(CURDIR)/runner-py/src $(CACHE)/card-site; $(CARD_PYTHON) -c 'import site; print(*site.getsitepackages(), sep="\n")'; } > $$(echo $(CACHE)/card-env/lib/python3.*/site-packages)/card.pth
	touch $@

test-gpu: $(CACHE)/card-env/.ready
	PDFMILL_CARD_PYTHON=$(CACHE)/card-env/bin/python runner-py/tests/card/run.sh $(CACHE)/card

# The ocr engine with its real models, in the environment that `pdfmill engines install` makes: 400 MB.
test-ocr: build tools $(UV)/uv $(CACHE)/pytest/.ready
	@export PATH="$(UV):$$PATH" UV_CACHE_DIR="$${UV_CACHE_DIR:-$(CACHE)/uv}"; \
	python=$$(bin/pdfmill engines install ocr --yes --json 2>/dev/null | $(PYTHON) -c 'import json,sys; print(json.load(sys.stdin)["python"])') || exit 1; \
	(cd runner-py && PYTHONPATH=src:tests:$(CACHE)/pytest $$python -m pytest -q tests/real_ocr) && \
	PDFMILL_BIN=$(CURDIR)/bin $(GO) test -count=1 -tags ocr -timeout 20m -run TestAutoHasScansRecognised ./e2e

# Versions of the tools are pinned here; `go run` fetches and caches them. The tags are those of tests that run on their own (.golangci.yaml has them too). What nobody
# here can run must at least compile: macOS.
lint:
	@for m in $(MODULES); do (cd $$m && $(GO) vet -tags cluster,upgrade,marker,ocr ./... && $(GO) run honnef.co/go/tools/cmd/staticcheck@v0.8.2 -tags cluster,upgrade,marker,ocr ./... && \
	  $(GO) run github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0 run --allow-parallel-runners --config $(CURDIR)/.golangci.yaml ./...) || exit 1; done
	@for m in $(MODULES); do (cd $$m && GOOS=darwin GOARCH=arm64 CGO_ENABLED=0 $(GO) vet ./...) || exit 1; done
	@test -z "$$($(GO) run mvdan.cc/gofumpt@v0.12.0 -l .)" || { $(GO) run mvdan.cc/gofumpt@v0.12.0 -l .; echo 'run gofumpt -w on these'; exit 1; }

# Everything that is parsed outside the sandbox, and mutants of real documents through the whole validator: a minute by counts of inputs (Go calls it a failure when a
# time is over in the middle of one), or with FUZZTIME=1h an hour for each.
FUZZTIME ?=
fuzz:
	cd services/validator && $(GO) test -run '^$$' -fuzz '^FuzzDocument$$' -fuzztime $(or $(FUZZTIME),1200x) . && \
	  $(GO) test -run '^$$' -fuzz '^FuzzBytes$$' -fuzztime $(or $(FUZZTIME),10000x) . && \
	  $(GO) test -run '^$$' -fuzz '^FuzzMeter$$' -fuzztime $(or $(FUZZTIME),100000x) ./sandbox
	cd services/gpu-runner && $(GO) test -run '^$$' -fuzz '^FuzzDecode$$' -fuzztime $(or $(FUZZTIME),100000x) ./protocol
	cd pipeline && $(GO) test -run '^$$' -fuzz '^FuzzParse$$' -fuzztime $(or $(FUZZTIME),300000x) ./pages && \
	  $(GO) test -run '^$$' -fuzz '^FuzzOptions$$' -fuzztime $(or $(FUZZTIME),100000x) ./job && \
	  $(GO) test -run '^$$' -fuzz '^FuzzMessage$$' -fuzztime $(or $(FUZZTIME),100000x) ./event

# What others think of the corpus and of a thousand mutants, and what each file of the corpus costs; the tables go to docs/validator.md.
agreement: tools $(VENV)/.ready
	mkdir -p $(FIGURES)
	cd services/validator && PDFMILL_FIGURES=$(FIGURES) PDFMILL_MUTANTS=1000 PDFMILL_PYTHON=$(VENV)/bin/python $(GO) test -count=1 -timeout 60m -run 'OthersAgree|EveryFile' .
	docs/tables.sh $(FIGURES)

# Real processes die at every step, in the long form; the figures go to docs/reliability.md. `make soak` adds a chaos run that goes on for SOAK; SEED repeats one.
FIGURES := $(CACHE)/figures
test-faults:
	rm -rf $(FIGURES)
	PDFMILL_FIGURES=$(FIGURES) $(GO) test -count=1 -timeout 60m -v ./e2e/faults
	docs/figures.sh $(FIGURES)

# Past one machine: a NATS cluster, MinIO and replicas on hosts of their own, in namespaces that end with the test. MinIO and its client are compiled once, into
# the cache folder, which takes minutes. ROUNDS is how often each fault is caused.
.PHONY: test-cluster test-upgrade
ROUNDS ?= 1
test-cluster: build
	PDFMILL_BIN=$(CURDIR)/bin PDFMILL_CLUSTER_ROUNDS=$(ROUNDS) $(GO) test -count=1 -tags cluster -timeout $$((30 + 10 * $(ROUNDS)))m -v ./e2e/cluster
	PDFMILL_BIN=$(CURDIR)/bin $(GO) test -count=1 -tags cluster -run WithMinIO ./e2e/deploy

# An earlier version and this one on one queue, in that cluster. FROM names the version: the latest tag, else what was there a day ago, but none before OLDEST, which is the
# first with this test. Its history must be here.
OLDEST := 1746b055e90c937f72c55eb5a64186695a65330d
FROM ?= $(shell git describe --tags --abbrev=0 2>/dev/null || git rev-list -1 --before='1 day ago' $(OLDEST)..HEAD 2>/dev/null | grep . || echo $(OLDEST))
BEFORE = $(CACHE)/upgrade/$(FROM)
test-upgrade: build
	@[ -n "$(FROM)" ] || { echo 'no earlier version in this clone: fetch more history, or name one with FROM=COMMIT'; exit 1; }
	@[ -x $(BEFORE)/bin/pdfmill-publisher ] || { mkdir -p $(BEFORE) && git archive --format=tar $(FROM) | tar x -C $(BEFORE) && $(MAKE) -C $(BEFORE) build VERSION=$(FROM); }
	PDFMILL_BIN=$(CURDIR)/bin PDFMILL_BEFORE=$(BEFORE)/bin $(GO) test -count=1 -tags cluster,upgrade -timeout 20m -v -run TestUpgrade ./e2e/cluster

SOAK ?= 10m
soak:
	PDFMILL_FIGURES=$(FIGURES) PDFMILL_SOAK=$(SOAK) PDFMILL_SEED=$(SEED) $(GO) test -count=1 -timeout 24h -v -run '^TestChaos$$' ./e2e/faults
	docs/figures.sh $(FIGURES)

# Control groups of version 2, whatever this machine has: on a kernel of its own.
test-cgroups:
	services/gpu-runner/cgroup/user-mode-linux.sh

# Hours of a card's work with faults a hundred times as often as usual; the short form is a part of make test. The figures are in docs/vram.md.
HOURS ?= 6
soak-gpu:
	cd services/gpu-runner && PDFMILL_GPU_SOAK=$(HOURS) $(GO) test -count=1 -timeout 24h -run TestSoakUnderFaults -v .

bench: build
	cd bench && $(GO) run . $(ARGS)

# The ledger against fixed pools of workers, in simulated time: ARGS='-long -page ../docs/vram.md' for a million jobs, and the documentation.
bench-vram:
	cd bench && $(GO) run ./vram $(ARGS)

# Release archives with checksums, in each what is in it as CycloneDX: the same bytes from the same sources and tools. PLATFORMS="linux/arm64" makes fewer. For Linux on
# another architecture it takes a C compiler (Debian: gcc-aarch64-linux-gnu, gcc-x86-64-linux-gnu).
PLATFORMS ?= linux/amd64 linux/arm64 darwin/amd64 darwin/arm64
dist: $(CACHE)/sbom/bin/cyclonedx-py
	CYCLONEDX_PY=$< deploy/dist.sh $(VERSION) dist $(PLATFORMS)

# The archive of this platform made twice, in two folders and from nothing, and looked into; a shorter form is a part of make test.
test-dist: $(CACHE)/sbom/bin/cyclonedx-py
	PDFMILL_DIST_WHOLE=1 CYCLONEDX_PY=$< $(GO) test -count=1 -timeout 60m -v -run TestArchive ./e2e/deploy

# What is in each binary and in the runner's Python environments, as CycloneDX in dist/sbom.
sbom: $(CACHE)/sbom/bin/cyclonedx-py
	CYCLONEDX_PY=$< deploy/dist.sh $(VERSION) dist
	rm -rf dist/sbom && tar -C dist --strip-components=1 -xzf dist/pdfmill_$(VERSION)_$$($(GO) env GOOS)_$$($(GO) env GOARCH).tar.gz --wildcards '*/sbom'
$(CACHE)/sbom/bin/cyclonedx-py:
	$(PYTHON) -m venv $(CACHE)/sbom
	$(CACHE)/sbom/bin/pip install -q cyclonedx-bom==7.5.0

# Altered dependencies and known vulnerabilities. Exit code 3 (make says: Error 3): not all databases could be reached; what was is clean.
audit: $(CACHE)/audit/bin/pip-audit
	deploy/audit.sh $<
$(CACHE)/audit/bin/pip-audit:
	$(PYTHON) -m venv $(CACHE)/audit
	$(CACHE)/audit/bin/pip install -q pip-audit==2.10.1

clean:
	rm -rf bin dist bench/out $(CACHE)
