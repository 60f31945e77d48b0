# The checks themselves are in .ci/run, so that a developer and the build server run the same.
VERSION ?=
LDFLAGS  = -s -w $(if $(VERSION),-X main.version=$(VERSION))
FUZZTIME ?= 20s
BENCH    ?= .
CHAOS    ?=

.PHONY: all build test race lint fuzz bench e2e chaos ci clean

all: lint test build

build:
	CGO_ENABLED=0 go build -trimpath -ldflags '$(LDFLAGS)' -o bin/ ./cmd/...

test:
	go test ./...

race:
	.ci/run race

lint:
	.ci/run format vet staticcheck

fuzz:
	FUZZTIME=$(FUZZTIME) .ci/run fuzz

bench:
	go test -run '^$$' -bench '$(BENCH)' -benchmem ./...

e2e:
	.ci/run e2e

# make chaos CHAOS='-duration 2h -seed 7'
chaos:
	CHAOS="$(CHAOS)" .ci/run chaos

ci:
	.ci/run

clean:
	rm -rf bin dist
