package main

import (
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
	"golang.org/x/term"
)

// A progress shows one bar for each layer that is read whole, on a terminal, and
// only when it takes longer than a second. Elsewhere it is silent.
type progress struct {
	mu    sync.Mutex
	start time.Time
	p     *mpb.Progress
	bars  map[int]*mpb.Bar
}

// newProgress makes a progress for standard error.
func newProgress() *progress {
	pr := &progress{start: time.Now(), bars: map[int]*mpb.Bar{}}
	if term.IsTerminal(int(os.Stderr.Fd())) {
		pr.p = mpb.New(mpb.WithOutput(os.Stderr), mpb.WithWidth(40))
	}
	return pr
}

// report takes the state of one layer's pass. Safe for concurrent use.
func (pr *progress) report(layer int, done, total int64) {
	if pr.p == nil || time.Since(pr.start) < time.Second {
		return
	}
	pr.mu.Lock()
	defer pr.mu.Unlock()
	bar := pr.bars[layer]
	if bar == nil {
		bar = pr.p.AddBar(total,
			mpb.PrependDecorators(decor.Name(fmt.Sprintf("layer %d: reading ", layer))),
			mpb.AppendDecorators(decor.CountersKibiByte("% .1f / % .1f")),
			mpb.BarRemoveOnComplete())
		pr.bars[layer] = bar
	}
	bar.SetCurrent(done)
}

// finish takes the bars away. It may be called more than once.
func (pr *progress) finish() {
	pr.mu.Lock()
	defer pr.mu.Unlock()
	if pr.p == nil {
		return
	}
	for _, b := range pr.bars {
		b.Abort(true)
	}
	pr.p.Wait()
	pr.p = nil
}
