# `make` lists the targets. `make run` and `make test` fetch what they need themselves.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory
# Go fetches the toolchain that go.work names, unless the one at hand is newer.
export GOTOOLCHAIN := auto

root    := $(CURDIR)
tools   := $(root)/.cache/bin
modules := schemas gateway consumers deploy loadtest
all     := $(modules:%=./%/...)
# Packages whose tests run under the race detector too: all but the whole-system tests, whose binaries are other processes.
raced   := $(all)

# TESTFLAGS is added to every `go test`, for example TESTFLAGS='-run TestX -v'.
TESTFLAGS ?=

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: run
run: build engine ## start everything on this machine and print how to call it; Ctrl-C stops it
	exec bin/stack

.PHONY: demo
demo: build engine ## send traffic through the official OpenAI SDK and show from SQL what became of it
	loadtest/demo/run.sh

.PHONY: test
test: test-unit test-race test-system ## run every test: unit, golden, fuzz seeds, race, and the whole system on the embedded stack

.PHONY: test-unit
test-unit: engine ## run the packages' own tests
	go test $(TESTFLAGS) $(all)

.PHONY: test-race
test-race: engine ## run the packages' own tests under the race detector
	go test -race -short $(TESTFLAGS) $(raced)

.PHONY: test-system
test-system: build engine sdk ## run the whole-system tests: real binaries, official SDKs (TALLYGATE_TEST_KAFKA=real: Apache Kafka)
	go test -tags system -count 1 -timeout 20m $(TESTFLAGS) ./loadtest/system/...

.PHONY: test-kafka
test-kafka: build engine ## run the packages' tests that touch Kafka against real Apache Kafka (a JDK and Maven)
	.ci/kafka-tests

.PHONY: check
check: ## run exactly what CI runs
	.ci/run

.PHONY: bench
bench: build ## measure CPU per request and added latency against a bare proxy, in one run
	bin/load bench -bin bin

.PHONY: build
build: ## build every program into ./bin
	@mkdir -p bin
	go build -trimpath -o bin/ ./gateway/cmd/... ./consumers/cmd/... ./loadtest/cmd/... ./deploy/local/cmd/...

.PHONY: engine
engine: ## fetch the ClickHouse engine of the embedded stack, once (npm)
	go run ./deploy/local/cmd/engine

.PHONY: sdk
sdk: ## fetch the official OpenAI SDKs that the tests call with, once (npm, pip)
	loadtest/system/sdk/install.sh

.PHONY: generate
generate: tools ## make everything that is generated: event code, docs/config.md, docs/errors.md
	schemas/event/generate.sh
	go generate $(all)

.PHONY: proto-check
proto-check: tools ## refuse changes to the events that break what is already written
	schemas/event/check.sh

.PHONY: lint
lint: tools ## run the linters of .golangci.yml, and gofmt
	$(tools)/golangci-lint run --build-tags system $(all)

.PHONY: vulncheck
vulncheck: tools ## look for known vulnerabilities in what is called
	.ci/vulncheck

.PHONY: fuzz
fuzz: ## run every fuzz test for FUZZTIME (10s)
	.ci/fuzz

.PHONY: tools
tools: $(tools)/.installed ## build the pinned tools of .ci/tools into .cache/bin

$(tools)/.installed: .ci/tools/go.mod .ci/tools/go.sum
	@mkdir -p $(tools)
	cd .ci/tools && GOWORK=off GOBIN=$(tools) go install tool
	@touch $@

.PHONY: clean
clean: ## remove what was built and what the local stack has stored
	rm -rf bin .local .cache/bin .cache/sdk .cache/vulndb
