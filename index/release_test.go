package index

import (
	"bufio"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/shalefs/shalefs/index/tarx"
)

// resident is the Rss line of each map of the file in this process.
func resident(t *testing.T, path string) []string {
	t.Helper()
	f, err := os.Open("/proc/self/smaps")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close() //nolint:errcheck // only read from
	var lines []string
	in := false
	for sc := bufio.NewScanner(f); sc.Scan(); {
		line := sc.Text()
		if first, _, _ := strings.Cut(line, " "); !strings.HasSuffix(first, ":") {
			in = strings.HasSuffix(line, " "+path)
		} else if in && first == "Rss:" {
			lines = append(lines, strings.Join(strings.Fields(line)[1:], " "))
		}
	}
	return lines
}

// TestRelease: what an index holds in memory can be given back, and the index is as it was.
func TestRelease(t *testing.T) {
	b := build(t, newBlob(gzipped(t, sampleTar(t, 300))), Want{}, BuildOptions{}).Bytes()
	path := filepath.Join(t.TempDir(), "index")
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	mapped, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer mapped.Close() //nolint:errcheck // only read from
	inMemory, err := OpenBytes(b)
	if err != nil {
		t.Fatal(err)
	}
	for name, l := range map[string]*Layer{"mapped": mapped, "in memory": inMemory} {
		t.Run(name, func(t *testing.T) {
			before := entries(t, l)
			paths := make([]string, len(before))
			for i, e := range before {
				paths[i] = strings.Clone(e.Path)
			}
			l.Release()
			if name == "mapped" {
				if got := resident(t, path); len(got) != 1 || got[0] != "0 kB" {
					t.Errorf("resident after the release: %q", got)
				}
			}
			for i, e := range before { // strings from before the release
				if e.Path != paths[i] {
					t.Errorf("entry %d: path %q, was %q", i, e.Path, paths[i])
				}
			}
			if after := entries(t, l); !reflect.DeepEqual(before, after) {
				t.Error("entries differ after the release")
			}
			if err := l.Verify(); err != nil {
				t.Error(err)
			}
		})
	}
}

func entries(t *testing.T, l *Layer) []tarx.Entry {
	t.Helper()
	list := make([]tarx.Entry, l.NumEntries())
	for i := range list {
		if err := l.Entry(i, &list[i]); err != nil {
			t.Fatal(err)
		}
	}
	if len(list) == 0 {
		t.Fatal("no entries")
	}
	return list
}
