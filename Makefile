# Every target says what it does in `make help`.
SHELL := /bin/bash
GO    ?= go
export CGO_ENABLED := 0
BIN   := bin/dlm
LINT_VERSION := v2.15.0
VERSION := $(shell git describe --always --dirty --tags 2>/dev/null)

.DEFAULT_GOAL := help
.PHONY: help build test test-arm64 lint demo demo-quick bench goldens interop chaos fuzz

help: ## list the targets
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

build: ## build bin/dlm, one static binary
	$(GO) build -trimpath -ldflags "-s -w -X main.buildVersion=$(VERSION)" -o $(BIN) ./cmd/dlm

test: ## all tests: offline, no Python, no GPU
	$(GO) vet ./...
	$(GO) test ./...

# Fused multiply-adds would give other bits than x86: the compiler must find none.
FUSED := [[:space:]]FN?M(ADD|SUB)[SD][[:space:]]
ARM64_KERNEL := TestBitsOnEveryMachine|TestSelfTest|TestFlushedBits|TestRoundsUpToNormal|TestMatMulSpecialBits|TestMulBlockBits|TestOuterAccumBits|TestRowBits|TestRowSpecials|TestSoftmaxBlockBits|TestPutAndTranspose|TestArgumentOffsets|TestNoAllocation
test-arm64: ## arm64's kernels and the bits it shares with x86, under emulation (qemu-user)
	@command -v qemu-aarch64 >/dev/null || { echo "qemu-aarch64 is missing: apt-get install qemu-user"; exit 1; }
	GOARCH=arm64 $(GO) vet ./engine/...
	GOOS=darwin GOARCH=arm64 $(GO) build ./...
	@if GOARCH=arm64 $(GO) build -gcflags=-S ./engine/... 2>&1 | grep -E '$(FUSED)'; then \
	  echo "the lines above fuse a product and a sum: put the product in a conversion, float64(x*y) + z"; exit 1; fi
	@set -e; dir=$$(mktemp -d); trap 'rm -rf "$$dir"' EXIT; \
	for p in kernel model optim train infer; do \
	  GOARCH=arm64 $(GO) test -c -o $$dir/$$p.test ./engine/$$p; \
	  run='TestBitsOnEveryMachine|TestForwardMatches|TestAdamW|TestSchedules'; [ $$p = kernel ] && run='$(ARM64_KERNEL)'; \
	  echo "== $$p"; (cd engine/$$p && qemu-aarch64 $$dir/$$p.test -test.short -test.run "$$run"); done

lint: ## golangci-lint, at the version that CI uses
	@command -v golangci-lint >/dev/null || CGO_ENABLED=0 $(GO) install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(LINT_VERSION)
	PATH="$$PATH:$$($(GO) env GOPATH)/bin" golangci-lint run ./...

demo: build ## the whole life cycle on insurance messages, about three minutes on two cores
	projects/claims-desk/demo.sh

demo-quick: build ## the same with fewer rows, under three minutes
	projects/claims-desk/demo.sh --quick

bench: build ## benchmarks against peers (needs Python; see bench/README.md)
	bench/run.sh

goldens: ## make the reference values again from PyTorch, PEFT and tokenizers (needs Python)
	engine/testdata/regenerate.sh

interop: build ## real peers: PEFT, tokenizers, huggingface_hub (needs Python)
	interop/run.sh

chaos: ## ten minutes of load on dlm serve while adapters move, clients leave, memory is short; DLM_TEST_MODEL=FILE for a real base
	DLM_TEST_SERVE_CHAOS=$${DLM_TEST_SERVE_CHAOS:-10m} $(GO) test ./cmd/dlm -run TestServeChaos -v -count=1 -timeout 60m

FUZZTIME ?= 20s
fuzz: ## every fuzz target for FUZZTIME each
	@set -e; for pkg in $$($(GO) list ./...); do \
	  for f in $$($(GO) test -list '^Fuzz' $$pkg | grep '^Fuzz' || true); do \
	    echo "== $$pkg $$f"; $(GO) test -run '^$$' -fuzz "^$$f$$" -fuzztime $(FUZZTIME) $$pkg; \
	  done; done
