# `make` alone proves a change. Tools are built once, from pinned modules, and kept in the user's cache folder.
.DEFAULT_GOAL := check
SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c

CACHE    := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/onehop
GOLANGCI := $(CACHE)/golangci-lint-2.15.0
CYCLONEDX := $(CACHE)/cyclonedx-gomod-1.10.0
PACKAGES := ./...

.PHONY: check fmt fmt-check vet lint test race race-faults vuln sbom bench modules faults soak mutate gremlins engine report screenshot

check: fmt-check vet lint test race

fmt:
	gofmt -w $$(git ls-files -co --exclude-standard '*.go')

fmt-check:
	@bad=$$(gofmt -l $$(git ls-files -co --exclude-standard '*.go')); \
	if [ -n "$$bad" ]; then echo "not formatted (make fmt):"; echo "$$bad"; exit 1; fi

vet:
	go vet $(PACKAGES)

lint: $(GOLANGCI)
	$(GOLANGCI) run $(PACKAGES)

# The first run builds Consul; go test's own limit of 10 minutes a package is too short for that on a slow machine.
test:
	go test -timeout 30m $(PACKAGES)

# The fault suite keeps rates and moments that the detector's slowdown disturbs: it has a target of its own.
race:
	go test -race -timeout 30m $$(go list $(PACKAGES) | grep -v '/faults$$')

race-faults:
	go test -race -timeout 30m ./faults/

vuln:
	.ci/vuln

# The modules that programs link with onehop, their versions, sums and licences (CycloneDX 1.6), into sbom.cdx.json. The same
# commit gives the same file.
sbom: $(CYCLONEDX)
	GOWORK=off $(CYCLONEDX) mod -json -licenses -type library -noserial -notimestamp -output sbom.cdx.json .
	@echo "sbom: written to $(CURDIR)/sbom.cdx.json"

$(CYCLONEDX):
	@mkdir -p $(CACHE)
	cd tools/sbom && CGO_ENABLED=0 GOWORK=off go build -trimpath -ldflags='-s -w' -o $@ github.com/CycloneDX/cyclonedx-gomod/cmd/cyclonedx-gomod

bench:
	go test -run '^$$' -bench . -benchmem $(PACKAGES)

# Every row of the fault suite, the long forms too, with the figures of docs/faults.md.
faults:
	ONEHOP_FAULTS=long go run ./faults/report docs/faults.md

# HTTP and gRPC through random faults.
SOAK ?= 2m
soak:
	ONEHOP_SOAK=$(SOAK) go test -count=1 -timeout 3h -run TestSoak ./faults/

# Takes each safety rule out of a copy of the code: a row of the fault suite must notice.
mutate:
	go run ./faults/mutate

# Alters the comparisons and sums in the rules of health, balancing, brake and budget, one after the other: the tests of
# the package must notice four of five. About half an hour on two cores. (Leave --test-cpu out: gremlins 0.6.0 hands it on in
# a form that fails every test run, and counts each as a mutant that was noticed.)
GREMLINS := GOFLAGS=-vet=off go tool -modfile=tools/gremlins/go.mod gremlins unleash --workers 2 --timeout-coefficient 30 --threshold-efficacy 80
gremlins:
	$(GREMLINS) ./internal/health
	$(GREMLINS) ./internal/overload
	$(GREMLINS) ./internal/balance
	$(GREMLINS) --exclude-files '^[^b]' ./internal/engine # budget.go alone

# The figures and pictures of docs/engine.md.
engine:
	cd bench && go run ./cmd/sim -docs ../docs

# Everything beside its peers, on this machine: docs/performance.md and its data.
report:
	cd bench && go run ./cmd/report -docs ../docs

# Modules of their own: what is no tool is vetted and tested, a tool's sums are verified.
modules:
	.ci/modules

# The picture of the README: the quickstart's screen while an instance of each service fails.
screenshot:
	go run ./examples/quickstart -lines -picture docs/quickstart.svg

# Under another name until it is whole, and one build at a time. The version is part of the name: no prerequisites.
$(GOLANGCI):
	@mkdir -p $(CACHE)
	@echo "golangci-lint: built once (about 6 minutes on two cores) and kept at $@"
	cd tools/golangci && CGO_ENABLED=0 GOWORK=off go build -ldflags='-s -w' -o $@.part github.com/golangci/golangci-lint/v2/cmd/golangci-lint
	$@.part version | grep -F 2.15.0
	mv $@.part $@
