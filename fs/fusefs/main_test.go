package fusefs

import (
	"context"
	"fmt"
	"os"
	"testing"

	"github.com/shalefs/shalefs/fs"
	"github.com/shalefs/shalefs/fs/fstest"
)

// serveEnv makes the test binary a daemon that serves a small tree on the directory that it
// names, for the tests that kill one.
const serveEnv = "SHALEFS_TEST_SERVE"

func TestMain(m *testing.M) {
	if dir := os.Getenv(serveEnv); dir != "" {
		if err := serve(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	if path := os.Getenv(mapEnv); path != "" {
		if err := compareMapped(path); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func serve(dir string) error {
	layers, err := fstest.Layers("file f data=hello")
	if err != nil {
		return err
	}
	t, err := fs.Merge(context.Background(), layers, fs.Options{})
	if err != nil {
		return err
	}
	s, err := Mount(t, fstest.Content(t, layers), dir, Options{FSName: "dead image"})
	if err != nil {
		return err
	}
	fmt.Println("serving")
	s.Wait()
	return nil
}
