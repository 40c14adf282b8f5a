module github.com/shalefs/shalefs

go 1.26

require (
	github.com/hanwen/go-fuse/v2 v2.12.1
	github.com/klauspost/compress v1.20.3
	github.com/opencontainers/go-digest v1.0.0
	github.com/opencontainers/image-spec v1.1.1
	github.com/zeebo/blake3 v0.2.4
	github.com/spf13/cobra v1.10.2
	github.com/vbauerster/mpb/v8 v8.9.3
	github.com/rogpeppe/go-internal v1.16.0
	github.com/google/go-cmp v0.7.0
	pgregory.net/rapid v1.3.0
	go.uber.org/goleak v1.3.0
	golang.org/x/sys v0.49.0
	golang.org/x/sync v0.19.0
	github.com/distribution/distribution/v3 v3.1.2
	github.com/olareg/olareg v0.2.2
	github.com/google/go-containerregistry v0.22.1
)
