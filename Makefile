# One word per job; `make` alone lists them. Tools go into $SMIDGE_CACHE (~/.cache/smidge), builds into target/. Every job
# builds with --workspace: cargo chooses the features of dependencies by what is selected, and builds them once per choice.
SHELL := /bin/bash
TOOLS := e2e/tools
BUILDS := $(or $(CARGO_TARGET_DIR),target)
export SMIDGE_CACHE ?= $(HOME)/.cache/smidge

.PHONY: help
help: ## List the jobs
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z0-9-]+):.*## /\1|/' | column -t -s'|'

.PHONY: run
run: demo-tools ## Show the mesh at work on this machine: the bookstore, stock Envoys, no cluster (ARGS="--for 20s")
	@cargo build --workspace --locked --quiet --bin smidge --bin bookstore --bin bookstore-demo
	@. $(TOOLS)/settings.sh; exec $(BUILDS)/debug/bookstore-demo $(ARGS)

.PHONY: test
test: ## Run everything that a change must pass
	@$(TOOLS)/test.sh

.PHONY: test-cluster
test-cluster: tools ## Run the tests under constant load on a one-node cluster: 10 minutes (SMIDGE_AWAY_SECONDS=60; ARGS=a_pod_joins: one)
	@cargo build --workspace --locked --quiet --bin smidge --bin testapp --bin bookstore --bin pause
	@. $(TOOLS)/settings.sh; cargo test --workspace --locked --test cluster_under_load -- --nocapture $(ARGS)

.PHONY: chaos
chaos: tools ## Let everything befall the control plane that production does, under load, in full (ARGS=clock: one)
	@SMIDGE_BEFORE=$$($(TOOLS)/before.sh) && export SMIDGE_BEFORE && cargo build --workspace --locked --quiet --bin smidge --bin testapp && \
	  . $(TOOLS)/settings.sh && SMIDGE_CHAOS=full cargo test --workspace --locked --test chaos -- --nocapture $(ARGS)

.PHONY: soak
soak: tools ## Let pods come and go and objects change for an hour (SOAK_SECONDS=3600); what the operator holds must not grow
	@cargo build --workspace --locked --quiet --bin smidge --bin testapp
	@. $(TOOLS)/settings.sh; SOAK_SECONDS=$(or $(SOAK_SECONDS),3600) cargo test --workspace --locked --test chaos -- --nocapture soak

.PHONY: bench
bench: bench-tools ## Measure changes (ARGS="--clients 2000" for docs/benchmarks.md), sidecars (SIDECAR="--rounds 20"), admissions, signing
	@cargo build --workspace --release --locked --quiet --bin smidge --bin smidge-bench \
	  --example build_time --example sign_time --example admissions
	@. $(TOOLS)/settings.sh; ulimit -n "$$(ulimit -Hn)"; exec $(BUILDS)/release/smidge-bench $(ARGS)
	@$(BUILDS)/release/examples/build_time
	@. $(TOOLS)/settings.sh; exec $(BUILDS)/release/smidge-bench sidecar $(SIDECAR)
	@$(BUILDS)/release/examples/admissions
	@$(BUILDS)/release/examples/sign_time

.PHONY: tools
tools: ## Install what the tests run: Debian packages, Envoy, Kubernetes, containerd, CoreDNS
	@$(TOOLS)/prerequisites.sh test && $(TOOLS)/debian.sh test && $(TOOLS)/envoy.sh && $(TOOLS)/k8s.sh node

.PHONY: demo-tools
demo-tools:
	@$(TOOLS)/prerequisites.sh run && $(TOOLS)/debian.sh run && $(TOOLS)/envoy.sh

.PHONY: bench-tools
bench-tools:
	@$(TOOLS)/prerequisites.sh bench && $(TOOLS)/debian.sh bench && $(TOOLS)/envoy.sh && $(TOOLS)/k8s.sh api

.PHONY: cluster
cluster: tools ## Run a one-node cluster on this machine until Ctrl-C, with the images that this checkout makes
	@cargo build --workspace --locked --quiet --bin cluster --bin pause --bin testapp --bin bookstore --bin smidge
	@. $(TOOLS)/settings.sh; exec $(BUILDS)/debug/cluster

.PHONY: images
images: tools ## Make the images that the tests' pods run as archives, for a cluster of your own
	@cargo build --workspace --locked --quiet --bin images --bin pause --bin testapp --bin bookstore --bin smidge
	@. $(TOOLS)/settings.sh; $(BUILDS)/debug/images

.PHONY: fmt
fmt: ## Format the sources
	@cargo fmt --all

.PHONY: lint
lint: ## Check format, clippy and the tidy test
	@cargo fmt --all --check
	@cargo clippy --workspace --all-targets --test cluster_under_load --test chaos --locked -- -D warnings
	@cargo test --workspace --locked --quiet --test tidy

.PHONY: fuzz
fuzz: ## Fuzz for a long time, by hand (SECONDS_EACH=600)
	@$(TOOLS)/fuzz.sh $(or $(SECONDS_EACH),600)

.PHONY: crds
crds: ## Write manifests/crds/ anew from the types
	@UPDATE=1 cargo test --workspace --locked --quiet --test manifests_are_what_the_types_say

.PHONY: chart
chart: ## Write the Helm chart, made from what `smidge install` applies, into dist/chart
	@cargo build --workspace --locked --quiet --bin release
	@rm -rf dist/chart && $(BUILDS)/debug/release chart dist/chart && echo "dist/chart: helm install smidge dist/chart --namespace smidge-system --create-namespace"

.PHONY: clean-e2e
clean-e2e: ## Take away what killed test runs have left
	@$(TOOLS)/clean.sh

.PHONY: clean-tools
clean-tools: ## Remove the cache of tools
	rm -rf "$(SMIDGE_CACHE)"/{bin,gomod,gocache} "$(SMIDGE_CACHE)"/{envoy,cargo-deny}-*
