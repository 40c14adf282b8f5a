package main

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/shalefs/shalefs/cmd/internal/open"
)

// meters are the Prometheus metrics of one mount. They also hear of each FUSE operation.
type meters struct {
	registry *prometheus.Registry
	ops      *prometheus.HistogramVec
	failures *prometheus.CounterVec
	read     prometheus.Counter
	total    atomic.Int64 // operations
}

func newMeters(img *open.Image) *meters {
	m := &meters{
		registry: prometheus.NewRegistry(),
		ops: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "shalefs_fuse_operation_seconds", Help: "How long FUSE operations took.",
			Buckets: []float64{1e-5, 1e-4, 1e-3, 1e-2, 0.1, 1, 10, 60},
		}, []string{"operation"}),
		failures: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "shalefs_fuse_errors_total", Help: "FUSE operations that returned an error.",
		}, []string{"operation", "errno"}),
		read: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "shalefs_fuse_read_bytes_total", Help: "Bytes of files given to the kernel: by FUSE reads, and pushed before them (NOTIFY_STORE).",
		}),
	}
	m.registry.MustRegister(m.ops, m.failures, m.read, newImageCollector(img),
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// Op implements fusefs.Metrics.
func (m *meters) Op(name string, took time.Duration, bytes int, errno syscall.Errno) {
	m.total.Add(1)
	m.ops.WithLabelValues(name).Observe(took.Seconds())
	if bytes > 0 {
		m.read.Add(float64(bytes))
	}
	if errno != 0 {
		m.failures.WithLabelValues(name, errno.Error()).Inc()
	}
}

// count is the number of operations so far.
func (m *meters) count() int64 { return m.total.Load() }

func (m *meters) handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{})
}

// An imageCollector reads the counters that the image keeps itself.
type imageCollector struct {
	img    *open.Image
	layers []layerMetric
	store  []storeMetric
}

type layerMetric struct {
	desc  *prometheus.Desc
	kind  prometheus.ValueType
	value func(open.LayerInfo) int64
}

type storeMetric struct {
	desc  *prometheus.Desc
	value func() int64
}

func newImageCollector(img *open.Image) *imageCollector {
	c := &imageCollector{img: img}
	layer := func(name, help string, kind prometheus.ValueType, value func(open.LayerInfo) int64) {
		c.layers = append(c.layers, layerMetric{prometheus.NewDesc("shalefs_layer_"+name, help, []string{"layer"}, nil), kind, value})
	}
	counter, gauge := prometheus.CounterValue, prometheus.GaugeValue
	layer("requests_total", "Ranges asked for.", counter, func(l open.LayerInfo) int64 { return l.Stats.Requests })
	layer("fetched_bytes_total", "Compressed bytes fetched.", counter, func(l open.LayerInfo) int64 { return l.Stats.BytesFetched })
	layer("decoded_bytes_total", "Bytes decoded and checked.", counter, func(l open.LayerInfo) int64 { return l.Stats.BytesDecoded })
	layer("served_bytes_total", "Bytes given to readers.", counter, func(l open.LayerInfo) int64 { return l.Stats.BytesServed })
	layer("memory_hits_total", "Chunks found in memory.", counter, func(l open.LayerInfo) int64 { return l.Stats.MemoryHits })
	layer("cache_hits_total", "Chunks found in the cache.", counter, func(l open.LayerInfo) int64 { return l.Stats.CacheHits })
	layer("misses_total", "Chunks that had to be fetched.", counter, func(l open.LayerInfo) int64 { return l.Stats.Misses })
	layer("corrupt_total", "Chunks from the store that failed their check.", counter, func(l open.LayerInfo) int64 { return l.Stats.Corrupt })
	layer("cache_corrupt_total", "Chunks from the cache that failed their check.", counter, func(l open.LayerInfo) int64 { return l.Stats.CacheCorrupt })
	layer("read_errors_total", "Reads that failed.", counter, func(l open.LayerInfo) int64 { return l.Stats.Errors })
	layer("chunks", "Chunks of the layer.", gauge, func(l open.LayerInfo) int64 { return l.Stats.Chunks })
	layer("cached_chunks", "Chunks of the layer in the cache.", gauge, func(l open.LayerInfo) int64 { return l.Stats.Present })
	layer("not_lazy", "1 if the whole layer had to be read for its index.", gauge, func(l open.LayerInfo) int64 {
		if l.NotLazy != "" {
			return 1
		}
		return 0
	})
	store := func(name, help string, value func() int64) {
		c.store = append(c.store, storeMetric{prometheus.NewDesc("shalefs_registry_"+name, help, nil, nil), value})
	}
	r := &img.Requests
	store("requests_total", "HTTP requests.", r.Count.Load)
	store("bytes_total", "Bytes of HTTP bodies.", r.Bytes.Load)
	store("failed_total", "HTTP requests without an answer, or with a status of 400 and more.", r.Failed.Load)
	store("retries_total", "HTTP requests that were made again.", r.Retries.Load)
	store("fallbacks_total", "Whole blobs fetched since a server ignores ranges.", r.Fallbacks.Load)
	return c
}

// Describe implements prometheus.Collector.
func (c *imageCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, m := range c.layers {
		ch <- m.desc
	}
	for _, m := range c.store {
		ch <- m.desc
	}
}

// Collect implements prometheus.Collector.
func (c *imageCollector) Collect(ch chan<- prometheus.Metric) {
	for _, info := range c.img.LayerInfos() {
		for _, m := range c.layers {
			ch <- prometheus.MustNewConstMetric(m.desc, m.kind, float64(m.value(info)), info.Digest.String())
		}
	}
	for _, m := range c.store {
		ch <- prometheus.MustNewConstMetric(m.desc, prometheus.CounterValue, float64(m.value()))
	}
}

// serveMetrics serves the handler at an address until the returned function is called.
func serveMetrics(addr string, h http.Handler) (stop func(), err error) {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("metrics: %w", err)
	}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", h)
	srv := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := srv.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			return // the listener is gone: the mount goes on without metrics
		}
	}()
	return func() {
		_ = srv.Close() // ends Serve; there is nothing to do about an error
		<-done
	}, nil
}
