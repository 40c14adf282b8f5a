package cache

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

var errDead = errors.New("the process is dead")

var (
	lifeTar  = content(100, 5*UnitBytes+9)
	lifeBig  = content(101, 2*UnitBytes)
	lifeKept = content(102, UnitBytes+1)
)

// noSync saves the tests that do not pull a power plug the time of syncing.
func noSync(op, _ string) error {
	if op == "sync" {
		return ErrSkip
	}
	return nil
}

// life is what a process does with a cache in these tests: chunks of two objects, a
// temporary file that becomes an object, documents, a drop, a seal, an eviction. All errors are ignored, as a
// loader does.
func life(c *Cache, round int) {
	ctx := context.Background()
	tar, big := lifeTar, lifeBig
	if o, err := c.Object(tarKey("cc"), int64(len(tar))); err == nil {
		for off := 0; off < len(tar); off += UnitBytes {
			_ = o.WriteAt(tar[off:min(off+UnitBytes, len(tar))], int64(off))
		}
		_ = o.Drop(UnitBytes)
		_ = o.punch(2, 4)
		_ = o.Close()
	}
	if o, err := c.Object(fileKey(big), int64(len(big))); err == nil {
		for off := 0; off < len(big); off += UnitBytes {
			_ = o.WriteAt(big[off:off+UnitBytes], int64(off))
		}
		_ = o.Seal(ctx)
		if f, err := o.File(); err == nil {
			_ = f.Close()
		}
		_ = o.Close()
	}
	kept := lifeKept
	if t, err := c.NewTemp(int64(len(kept))); err == nil {
		if _, err := t.WriteAt(kept, 0); err == nil {
			_ = t.Commit(fileKey(kept))
		} else {
			t.Abort()
		}
	}
	_ = c.PutDoc("k", "a", docOf(round))
	_ = c.PutDoc("k", fmt.Sprint("b", round), docOf(round))
	_, _ = c.Prune(ctx, PruneOptions{Bytes: 3 * UnitBytes})
	_ = c.Remove(fileKey(big), int64(len(big)))
}

func docOf(round int) []byte {
	return append(content(uint64(round), 5000), byte(round), byte(round>>8))
}

// sound checks that everything a cache says it has is right, and that a cache that was
// opened by nobody else has no garbage and counts right.
func sound(t *testing.T, dir string) {
	t.Helper()
	c := open(t, dir, Options{Fault: noSync})
	defer func() { _ = c.Close() }()
	for _, x := range []struct {
		key  Key
		want []byte
	}{
		{tarKey("cc"), lifeTar},
		{fileKey(lifeBig), lifeBig},
		{fileKey(lifeKept), lifeKept},
	} {
		o := object(t, c, x.key, len(x.want))
		for off := 0; off < len(x.want); off += UnitBytes {
			p := make([]byte, min(UnitBytes, len(x.want)-off))
			err := o.ReadAt(p, int64(off))
			if err == nil && !bytes.Equal(p, x.want[off:off+len(p)]) {
				t.Fatalf("wrong bytes in %s at %d", x.key.Name, off)
			}
			if err != nil && !errors.Is(err, ErrMissing) {
				t.Fatal(err)
			}
		}
		if f, err := o.File(); err == nil {
			got := make([]byte, len(x.want))
			if _, err := f.ReadAt(got, 0); err != nil || !bytes.Equal(got, x.want) {
				t.Fatalf("sealed file %s is wrong: %v", x.key.Name, err)
			}
			_ = f.Close()
		}
		_ = o.Close()
	}
	names, err := c.Docs("k")
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range names {
		b, err := c.GetDoc("k", n)
		if err != nil || len(b) != 5002 || !bytes.Equal(b, docOf(int(b[5000])|int(b[5001])<<8)) {
			t.Fatalf("document %s: %d bytes, %v", n, len(b), err)
		}
	}
	if left, _ := os.ReadDir(filepath.Join(dir, version, "tmp")); len(left) != 0 {
		t.Fatalf("temporary files stayed: %v", left)
	}
	used := atomic.LoadInt64(c.used())
	in, err := c.Info()
	if err != nil || in.UsedBytes != used {
		t.Fatalf("used: %d, counted %+v, %v", used, in, err)
	}
	if v, err := c.Verify(context.Background()); err != nil || len(v.Bad) != 0 {
		t.Fatalf("verify: %+v, %v", v, err)
	}
}

// A process dies before its n'th operation on the disk, for every n: what it leaves is sound,
// and the next process can work with it.
func TestCrashAnywhere(t *testing.T) {
	for n := int64(1); ; n++ {
		dir := t.TempDir()
		var count atomic.Int64
		c, err := Open(dir, Options{MaxBytes: 1 << 30, Fault: func(op, path string) error {
			if count.Add(1) >= n {
				return errDead
			}
			return noSync(op, path)
		}})
		if err == nil {
			life(c, int(n))
			// The kernel closes what a dead process had open.
			c.wg.Wait()
			_ = c.Close()
		}
		sound(t, dir)
		c = open(t, dir, Options{Fault: noSync})
		life(c, int(n)+1)
		_ = c.Close()
		sound(t, dir)
		if count.Load() < n {
			t.Logf("%d operations", n-1)
			return
		}
	}
}

const childEnv = "SHALEFS_CACHE_TEST_CHILD"

// TestMain lets the test binary be the other process, too.
func TestMain(m *testing.M) {
	if dir := os.Getenv(childEnv); dir != "" {
		child(dir)
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// child works with a cache until it is killed.
func child(dir string) {
	c, err := Open(dir, Options{MaxBytes: 10 * UnitBytes, Fault: noSync})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	rounds, _ := strconv.Atoi(os.Getenv(childEnv + "_ROUNDS"))
	for i := 0; rounds == 0 || i < rounds; i++ {
		life(c, i)
		fmt.Println(i) // tells the parent that it is at work
	}
	if err := c.Close(); err != nil {
		os.Exit(1)
	}
}

func childCommand(dir string, rounds int) *exec.Cmd {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childEnv+"="+dir, fmt.Sprintf("%s_ROUNDS=%d", childEnv, rounds))
	cmd.Stderr = os.Stderr
	return cmd
}

// Real processes are killed at any time.
func TestKillLoop(t *testing.T) {
	rounds := 8
	if testing.Short() {
		rounds = 2
	}
	dir := t.TempDir()
	for range rounds {
		cmd := childCommand(dir, 0)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		if _, err := out.Read(make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Duration(rand.IntN(40)) * time.Millisecond)
		if err := cmd.Process.Signal(unix.SIGKILL); err != nil {
			t.Fatal(err)
		}
		_ = cmd.Wait()
		sound(t, dir)
	}
}

// Ten processes work in one cache at a time, which is too small for what they do.
func TestTenProcesses(t *testing.T) {
	dir := t.TempDir()
	var cmds []*exec.Cmd
	for range 10 {
		cmd := childCommand(dir, 3)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		cmds = append(cmds, cmd)
	}
	for _, cmd := range cmds {
		if err := cmd.Wait(); err != nil {
			t.Error(err)
		}
	}
	sound(t, dir)
}
