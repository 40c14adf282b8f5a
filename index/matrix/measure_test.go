package matrix

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/shalefs/shalefs/index"
	"github.com/shalefs/shalefs/index/codec"
	"github.com/shalefs/shalefs/index/gzipx"
	"github.com/shalefs/shalefs/index/zstdx"
	"github.com/shalefs/shalefs/lazy"
)

// A measured cell.
type measured struct {
	layer   *layer
	encoder encoder
	info    index.Info
	probes  []int64 // bytes decoded by each
	ranges  int
	speed   float64 // of the scan, the stock decoder being 1; 0 is not measured
	place   int     // in the table
}

// results are the cells so far.
type results struct {
	mu  sync.Mutex // guards all
	all []*measured
}

func (r *results) add(m *measured) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.all = append(r.all, m)
}

func (m *measured) percent(n int64) float64 { return 100 * float64(n) / float64(m.info.BlobSize) }

const (
	// Limits on windows and states, in percent of the blob, for an image of strictBlob or more as one
	// stream a layer; zstd with klauspost's default level. For less of a layer, in gzip, it may be
	// a little more; for zstd of other levels and long windows, where spans of
	// the greatest length cost what they cost, too.
	gzipPercent = 0.7
	partPercent = 1.0
	zstdPercent = 3.0
	hardPercent = 20.0
	strictBlob  = 8 << 20 // bytes
	// leastBlob is the shortest blob whose percents mean something, in bytes.
	leastBlob = 512 << 10
	// leastReads is how many random reads all cells together make.
	leastReads = 10_000
	// The median span at klauspost's default level, in decoded bytes.
	zstdMedianSpan = 4 << 20
)

// judge compares the sizes with their limits, image by image, and prints the table. cells is how
// many passes there are if none is left out.
func (r *results) judge(t *testing.T, cells int) {
	t.Helper()
	type key struct{ image, encoder, format string }
	type sum struct{ blob, checkpoints int64 }
	sums := map[key]sum{}
	reads := 0
	for _, m := range r.all {
		reads += m.ranges + len(m.probes)
		if !m.encoder.whole {
			continue
		}
		k := key{m.layer.image, m.encoder.name, m.encoder.format}
		s := sums[k]
		sums[k] = sum{s.blob + m.info.BlobSize, s.checkpoints + m.info.CheckpointBytes}
		if m.layer.real && m.encoder.name == klauspostDefault && m.info.BlobSize >= strictBlob && m.info.MedianSpan > zstdMedianSpan {
			t.Errorf("%s, %s: median span of %d KiB", m.layer.name, m.encoder.name, m.info.MedianSpan>>10)
		}
	}
	for k, s := range sums {
		var limit float64
		switch {
		case k.format == "gzip" && s.blob >= strictBlob:
			limit = gzipPercent
		case k.format == "gzip":
			limit = partPercent
		case k.encoder == klauspostDefault && s.blob >= strictBlob:
			limit = zstdPercent
		default:
			limit = hardPercent
		}
		if got := 100 * float64(s.checkpoints) / float64(s.blob); got > limit && s.blob >= leastBlob {
			t.Errorf("%s, %s: checkpoints of %.2f %%, over %.1f %%", k.image, k.encoder, got, limit)
		}
	}
	if len(r.all) >= cells && reads < leastReads {
		t.Errorf("%d random reads in %d cells, less than %d", reads, len(r.all), leastReads)
	}
	if testing.Verbose() {
		t.Logf("%d random reads\n%s", reads, r.table())
	}
}

// table prints a line for each cell. Spans and reads are in KiB of tar; % are of the blob.
func (r *results) table() string {
	slices.SortStableFunc(r.all, func(a, b *measured) int { return a.place - b.place })
	var b strings.Builder
	fmt.Fprintf(&b, "%-10s %-34s %8s %8s %7s %7s %6s %7s %7s %6s %7s %7s\n",
		"layer", "encoder", "tar MiB", "blob MiB", "index%", "ckpt%", "spans", "median", "max", "speed", "rd med", "rd max")
	for _, m := range r.all {
		b.WriteString(m.String() + "\n")
	}
	return b.String()
}

// String is the cell's line of the table.
func (m *measured) String() string {
	speed := "-"
	if m.speed > 0 {
		speed = fmt.Sprintf("%.2f", m.speed)
	}
	slices.Sort(m.probes)
	return fmt.Sprintf("%-10s %-34s %8.1f %8.1f %7.2f %7.3f %6d %7d %7d %6s %7d %7d",
		m.layer.name, m.encoder.name, mib(m.info.TarSize), mib(m.info.BlobSize),
		m.percent(m.info.IndexBytes), m.percent(m.info.CheckpointBytes), m.info.Spans, m.info.MedianSpan>>10, m.info.MaxSpan>>10,
		speed, m.probes[len(m.probes)/2]>>10, m.probes[len(m.probes)-1]>>10)
}

func mib(n int64) float64 { return float64(n) / (1 << 20) }

// scanSpeed is how fast a scan with checkpoints is, the stock decoder being 1, in CPU time; 0 for
// what is too short to say.
func scanSpeed(t *testing.T, format string, b []byte) float64 {
	t.Helper()
	c := gzipx.New()
	if format == "zstd" {
		c = zstdx.New()
	}
	stock := cpu(t, func() error { return stockDecode(format, b, io.Discard) })
	scan := cpu(t, func() error {
		_, err := c.Scan(context.Background(), bytes.NewReader(b), codec.ScanOptions{Overhang: lazy.ChunkBytes}, nowhere{})
		return err
	})
	if min(stock, scan) < 5*time.Millisecond {
		return 0
	}
	return float64(stock) / float64(scan)
}

// cpu is the CPU time of f on its thread: the less of two runs.
func cpu(t *testing.T, f func() error) time.Duration {
	t.Helper()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	now := func() time.Duration {
		var u unix.Rusage
		check(t, unix.Getrusage(unix.RUSAGE_THREAD, &u))
		return time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	least := time.Duration(1<<63 - 1)
	for range 2 {
		start := now()
		check(t, f())
		least = min(least, now()-start)
	}
	return least
}

// nowhere is a sink that forgets.
type nowhere struct{}

var _ codec.Sink = nowhere{}

func (nowhere) Data([]byte, int64) error                   { return nil }
func (nowhere) Checkpoint(codec.Checkpoint) error          { return nil }
func (nowhere) Pause(func() (codec.Snapshot, error)) error { return nil }
