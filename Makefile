# corecheck: build, test, show. `make help` lists the targets.

VERSION ?= $(shell ci/version.sh)
COMMIT ?= $(shell git rev-parse HEAD 2>/dev/null)
# The date of the commit, not of the build: the same source gives the same bytes.
DATE ?= $(shell TZ=UTC git show -s --format=%cd --date=format-local:%Y-%m-%dT%H:%M:%SZ 2>/dev/null)
LDFLAGS = -s -w -X main.linkedVersion=$(VERSION) -X main.linkedCommit=$(COMMIT) -X main.linkedDate=$(DATE)

STATICCHECK = honnef.co/go/tools/cmd/staticcheck@v0.8.2

.DEFAULT_GOAL := help

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: build
build: ## build ./corecheck, static and reproducible
	@CGO_ENABLED=0 go build -trimpath -buildvcs=false -ldflags '$(LDFLAGS)' -o corecheck ./cmd/corecheck

.PHONY: guests
guests: ## build ./corecheck-linux-amd64 and ./corecheck-linux-arm64, which corecheck boot puts into its guests
	@for arch in amd64 arm64; do \
		CGO_ENABLED=0 GOOS=linux GOARCH=$$arch go build -trimpath -buildvcs=false -ldflags '$(LDFLAGS)' -o corecheck-linux-$$arch ./cmd/corecheck || exit 1; \
	done

.PHONY: demo
demo: build ## check the demo object against the embedded kernels
	@ci/demo.sh

.PHONY: test
test: ## install what the tests need, fetch libbpf, the corpus and a kernel, run every test
	ci/install-test-deps.sh
	@set -e; \
	tools=$$(ci/fetch-libbpf-tools.sh); libbpf=$$(ci/fetch-libbpf.sh); image=$$(ci/fetch-boot-image.sh); \
	CORECHECK_TOOLS_DIR=$$tools CORECHECK_LIBBPF_DIR=$$libbpf CORECHECK_BOOT_IMAGE=$$image ci/test.sh $(TESTFLAGS)

.PHONY: bench
bench: ## run the benchmarks, each beside the naive way, and print docs/performance.md's table
	@CORECHECK_TOOLS_DIR=$$(ci/fetch-libbpf-tools.sh) ci/bench.sh

.PHONY: truth
truth: build guests ## boot the kernels, hold every prediction against them, write docs/truth.md
	ci/install-test-deps.sh
	@set -e; tools=$$(ci/fetch-libbpf-tools.sh); CORECHECK_TOOLS_DIR=$$tools go run ./ci/truth $(TRUTHFLAGS)

.PHONY: truth-check
truth-check: ## boot some of the kernels, and fail where a prediction comes out other than docs/truth.md has it
	@$(MAKE) --no-print-directory truth TRUTHFLAGS='-some -check $(TRUTHFLAGS)'

.PHONY: fuzz
fuzz: ## run every fuzz target for FUZZTIME (60s)
	ci/fuzz.sh

.PHONY: lint
lint: ## formatting, vet, staticcheck, the house's rules (imports, licences, files)
	@files=$$(gofmt -l $$(git ls-files '*.go')); if [ -n "$$files" ]; then echo "not gofmt'ed: $$files"; exit 1; fi
	go vet ./...
	go run $(STATICCHECK) ./...
	go test -count=1 ./ci

.PHONY: kernels
kernels: ## make the embedded kernels from Debian's packages; NEWEST=1 adds the newest of each series first
	go run ./kernels/embedded/build $(if $(NEWEST),-newest)

.PHONY: generate
generate: ## rebuild generated code, fixtures and documentation
	ci/generate.sh

.PHONY: man
man: build ## write the manual pages to dist/man
	./corecheck man dist/man
