# Every target says what it does in `make help`.
SHELL := /bin/bash
GO    ?= go
export CGO_ENABLED := 0
BIN   := bin/dlm
LINT_VERSION := v2.15.0
VERSION := $(shell git describe --always --dirty --tags 2>/dev/null)

.DEFAULT_GOAL := help
.PHONY: help build test lint demo demo-quick bench goldens interop fuzz

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

build: ## build bin/dlm, one static binary
	$(GO) build -trimpath -ldflags "-s -w -X main.buildVersion=$(VERSION)" -o $(BIN) ./cmd/dlm

test: ## all tests: offline, no Python, no GPU
	$(GO) vet ./...
	$(GO) test ./...

lint: ## golangci-lint, at the version that CI uses
	@command -v golangci-lint >/dev/null || CGO_ENABLED=0 $(GO) install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(LINT_VERSION)
	PATH="$$PATH:$$($(GO) env GOPATH)/bin" golangci-lint run ./...

demo: build ## the whole life cycle on insurance messages, about five minutes on two cores
	projects/claims-desk/demo.sh

demo-quick: build ## the same with fewer rows, under three minutes
	projects/claims-desk/demo.sh --quick

bench: build ## benchmarks against peers (needs Python; see bench/README.md)
	bench/run.sh

goldens: ## make the reference values again from PyTorch, PEFT and tokenizers (needs Python)
	engine/testdata/regenerate.sh

interop: build ## real peers: PEFT, tokenizers, huggingface_hub (needs Python)
	interop/run.sh

FUZZTIME ?= 20s
fuzz: ## every fuzz target for FUZZTIME each
	@set -e; for pkg in $$($(GO) list ./...); do \
	  for f in $$($(GO) test -list '^Fuzz' $$pkg | grep '^Fuzz' || true); do \
	    echo "== $$pkg $$f"; $(GO) test -run '^$$' -fuzz "^$$f$$" -fuzztime $(FUZZTIME) $$pkg; \
	  done; done
