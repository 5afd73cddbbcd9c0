# Everything a developer or CI does. `make help` lists the targets.
# No C compiler is needed, but for `make race`.
export CGO_ENABLED := 0
export GOWORK := off

GO      ?= go
ONCE    ?=
NODES   ?= 1
FUZZTIME ?= 1m
# Of make bench-formation.
ROUNDS   ?= 5
# Of make soak; a seed repeats the causes of an earlier run.
SOAK_RESTARTS ?= 300
SOAK_CLUSTERS ?= 20
SOAK_SEED     ?= 0
RUN     ?=
# The modules of this repository that hold code of ours.
MODULES := . e2e/cluster
# Go's cache of test results does not see the programs that API tests build.
FRESH   := -count=1
TOOL    := $(GO) tool -modfile=tools/go.mod
SAMPLE  := config/samples/plain.yaml
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
LDFLAGS := -s -w -X main.version=$(VERSION)

.DEFAULT_GOAL := help

##@ Use

.PHONY: help
help: ## List the targets
	@awk 'BEGIN {FS = ":.*## "} /^##@/ {printf "\n%s\n", substr($$0, 5)} /^[a-z-]+:.*## / {printf "  make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: run
run: ## Show the main job on a real control plane, until Ctrl-C (ONCE=1: check it and end)
	@printf '\n── What the user writes: %s\n' $(SAMPLE); cat $(SAMPLE)
	@printf '\n── What the injection makes of it (compiling the injector first)\n'
	@$(GO) run ./e2e/show $(SAMPLE)
	@mkdir -p bin; printf '\n── Compiling the demonstration\n'; $(GO) build -o bin/run ./e2e/run
	@exec bin/run $(if $(ONCE),-once)

.PHONY: cluster
cluster: ## Start a real Kubernetes whose nodes run pods (NODES=2: two of them; Linux, root)
	@cd e2e/cluster && $(GO) run . up -nodes $(NODES) -detach >/dev/null && $(GO) run . status && echo '# stop it with: make cluster-down'

.PHONY: cluster-down
cluster-down: ## Stop it; nothing of it is left
	@cd e2e/cluster && $(GO) run . down

.PHONY: build
build: ## Build the server and the kubectl plugin into bin/
	$(GO) build -trimpath -ldflags '$(LDFLAGS)' -o bin/ ./cmd/...

.PHONY: image
image: ## Build the images of the webhook, H2O and the tests' client (Debian, root)
	@$(GO) run ./e2e/images -version $(VERSION)

##@ Check

.PHONY: test
test: control-plane ## Unit, property, golden and API tests, against a real API server
	$(GO) test $(FRESH) -timeout 20m ./...
	cd e2e/cluster && $(GO) test $(FRESH) -timeout 10m ./...

.PHONY: control-plane
control-plane: ## Build the real control plane that the tests use, once
	@cd e2e/cluster && $(GO) run . build

.PHONY: cluster-build
cluster-build: ## Build what nodes need besides, once
	@cd e2e/cluster && $(GO) run . build -nodes

.PHONY: test-cluster
test-cluster: ## Prove the cluster with nodes itself (Linux, root, minutes)
	cd e2e/cluster && $(GO) test -count 1 -timeout 20m -tags nodes -v ./proof

.PHONY: e2e
e2e: ## Prove it with real H2O on a real cluster: one of its own (Linux, root), or what KUBECONFIG names (RUN=TestPlain)
	@test -n "$$KUBECONFIG" || $(MAKE) --no-print-directory cluster-build
	$(GO) test $(FRESH) -timeout 40m -parallel 2 -tags h2o -v ./e2e/h2o $(if $(RUN),-run '$(RUN)')

.PHONY: soak
soak: ## Restart 20 clusters of stand-ins for H2O 300 times, by random causes (Linux, root; SOAK_RESTARTS, SOAK_CLUSTERS, SOAK_SEED)
	@mkdir -p bin; $(GO) build -o bin/soak ./e2e/soak
	@exec bin/soak -restarts $(SOAK_RESTARTS) -clusters $(SOAK_CLUSTERS) -seed $(SOAK_SEED)

.PHONY: soak-short
soak-short: ## The same with 6 clusters and 30 restarts
	@$(MAKE) --no-print-directory soak SOAK_RESTARTS=30 SOAK_CLUSTERS=6

.PHONY: e2e-life
e2e-life: cluster-build ## Prove the life of clusters in its long form (ROUNDS=10: so often each cause; NODES=2: lost nodes too)
	LONG=1 $(GO) test $(FRESH) -timeout 180m -parallel 2 -tags h2o -v ./e2e/h2o -run '$(or $(RUN),TestLife)'

.PHONY: race
race: ## Unit tests under the race detector (needs a C compiler)
	CGO_ENABLED=1 $(GO) test -race ./certs/... ./cmd/... ./config/... ./internal/... ./webhook/...

.PHONY: lint
lint: ## Lint everything
	@set -e; bin=$$($(TOOL) -n golangci-lint); for m in $(MODULES); do \
		echo "lint $$m"; (cd $$m && $$bin run --config $(CURDIR)/.golangci.yaml ./...); done

.PHONY: verify
verify: ## Fail on anything stale: modules, formatting, manifests
	@set -e; for m in $(MODULES) tools e2e/cluster/parts/*; do \
		echo "verify $$m/go.mod"; (cd $$m && $(GO) mod tidy -diff); done
	@files=$$(gofmt -l .); test -z "$$files" || { echo "not formatted, run gofmt -w: $$files"; exit 1; }

.PHONY: golden
golden: ## Write what comes out into the golden cases, to be read in review
	$(GO) test ./webhook/inject ./cmd/kubectl-h2o ./cmd/kubectl-h2o/report -update

.PHONY: bench
bench: ## Time the injection and the whole handler beside one that only allows
	@$(GO) run ./internal/bench

.PHONY: bench-cost
bench-cost: control-plane ## Measure what 1,000 clusters cost and how fast a loss is acted on (Linux, root, 10 min)
	@mkdir -p bin; $(GO) build -o bin/cost ./e2e/cost
	@exec bin/cost

.PHONY: bench-formation
bench-formation: cluster-build ## Time formations of real H2O beside other ways to them, ROUNDS times (Linux, root)
	@$(GO) run ./e2e/formation -rounds $(ROUNDS)

.PHONY: fuzz
fuzz: ## Look for StatefulSets and requests that break a guarantee, each for FUZZTIME
	$(GO) test ./webhook/inject -run '^$$' -fuzz FuzzGuarantees -fuzztime $(FUZZTIME)
	$(GO) test ./webhook -run '^$$' -fuzz FuzzServe -fuzztime $(FUZZTIME)

.PHONY: cover
cover: ## Show what the unit tests do not reach
	$(GO) test -coverprofile=bin/cover.out -coverpkg=./webhook/...,./certs/...,./cmd/... ./certs/... ./cmd/... ./config/... ./webhook/...
	$(GO) tool cover -func=bin/cover.out | sort -k3 -n | head -40

.PHONY: vuln
vuln: ## Look for known vulnerabilities (asks the public database)
	$(TOOL) govulncheck ./...
