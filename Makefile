# Two commands do all the set-up on a fresh Debian machine with Go:
#
#   make demo    builds shalefs and mounts the image in testdata/demo
#   make test    installs the tools the tests need (as root) and runs all tests
#
# "make" alone lists the targets.

GO      ?= go
IMAGES  ?= $(CURDIR)/.cache/images
PEERS   ?= $(CURDIR)/.cache/bin
CORPUS  ?= $(CURDIR)/.cache/decodecorpus
FUZZ    ?= 10s
SOAK    ?= 10m
LINT    := github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0
PACKAGES := fuse3 python3 umoci skopeo buildah mmdebstrap busybox-static pigz zstd libdeflate-tools isal attr jq curl ca-certificates gcc libc6-dev zlib1g-dev make dpkg-dev xz-utils

export CGO_ENABLED ?= 1

.PHONY: help build demo test tools peers images corpus vet unit matrix lifecycle e2e lint fuzz soak bench golden docs checklist clean

help: ## list the targets
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 12

build: ## build ./shalefs
	CGO_ENABLED=0 $(GO) build -trimpath -o shalefs ./cmd/shalefs

demo: build ## mount the image of testdata/demo, look around, unmount
	@sh testdata/demo/demo.sh ./shalefs

test: tools peers images corpus vet unit matrix lifecycle e2e checklist ## everything: all tests, with the tools and images they need
	@echo "make test: all passed"

tools: ## install the Debian packages the tests use (root only; others must have them)
	@sh testdata/tools.sh $(PACKAGES)

peers: tools ## build the registries and programs that tests compare with
	@sh testdata/peers/build.sh "$(PEERS)"

images: tools ## make the Debian images of the end-to-end tests (root only)
	@if [ "$$(id -u)" = 0 ]; then sh testdata/images/debian.sh "$(IMAGES)" numpy && sh testdata/images/forms.sh "$(IMAGES)" numpy; \
	else echo "make images: not root: the Debian images and the tests that need them are left out"; fi

corpus: tools ## make the streams of zstd's own torture generator (root only)
	@if [ "$$(id -u)" = 0 ]; then sh index/zstdx/testdata/decodecorpus.sh "$(CORPUS)" 100 || \
	echo "make corpus: WARNING: zstd's source package cannot be had: its streams are left out" >&2; fi

vet:
	$(GO) vet ./...

unit: ## all packages, with the race detector
	SHALEFS_PEERS="$(PEERS)" SHALEFS_REQUIRE_FUSE="$(REQUIRE_FUSE)" $(GO) test -race -timeout 20m -skip '^Test(E2E|Lifecycle)' $$($(GO) list ./... | grep -v /index/matrix)

matrix: tools corpus ## every encoder, every span, compared with sequential decompression
	SHALEFS_DECODECORPUS="$(CORPUS)" SHALEFS_REQUIRE_TOOLS="$$(ls "$(CORPUS)/made" 2>/dev/null)" $(GO) test -run '^TestDecodecorpus$$' ./index/zstdx
	SHALEFS_IMAGES="$(IMAGES)" SHALEFS_REQUIRE_TOOLS="$(REQUIRE_TOOLS)" $(GO) test -timeout 20m ./index/matrix

lifecycle: ## mounts that are killed, orphaned, cut off
	SHALEFS_PEERS="$(PEERS)" SHALEFS_REQUIRE_FUSE="$(REQUIRE_FUSE)" $(GO) test -timeout 20m -run '^TestLifecycle' ./cmd/shalefs

e2e: ## real images against umoci, overlayfs, chroot (root only)
	@if [ "$$(id -u)" = 0 ]; then \
	SHALEFS_PEERS="$(PEERS)" SHALEFS_IMAGES="$(IMAGES)" SHALEFS_REQUIRE_FUSE="$(REQUIRE_FUSE)" $(GO) test -count=1 -timeout 20m -run '^TestE2E' ./cmd/shalefs; \
	else echo "make e2e: not root: left out"; fi

REQUIRE_FUSE := $(shell [ -w /dev/fuse ] && echo 1)
REQUIRE_TOOLS := $(shell [ "$$(id -u)" = 0 ] && echo 1)

lint: ## golangci-lint
	@sh testdata/lint.sh "$(PEERS)" $(LINT)

fuzz: ## each fuzz target for FUZZ (10s)
	sh testdata/fuzz.sh $(FUZZ)

soak: ## random readers, faults and evictions for SOAK (10m)
	SHALEFS_SOAK=$(SOAK) $(GO) test -count=1 -timeout 60m -v -run '^TestLifecycleSoak' ./cmd/shalefs

bench: build ## the figures of the README, through a slow proxy (root; see testdata/bench/README.md)
	sh testdata/bench/bench.sh

golden: ## rewrite golden files; review the diff
	$(GO) test ./fs ./index ./cmd/shalefs -update

checklist: ## every rule of layout/CHECKLIST.md has a test that names it
	@sh testdata/checklist.sh

clean: ## remove what was built and made
	rm -rf shalefs bin .cache
