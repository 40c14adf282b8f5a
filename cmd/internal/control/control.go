package control

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	iofs "io/fs"
	"net"
	"net/http"
	"net/http/pprof"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// A Record says what is mounted where.
type Record struct {
	Dir        string    `json:"dir"`        // the mount point, absolute, symlinks resolved
	Reference  string    `json:"reference"`  // as the user typed it
	Digest     string    `json:"digest"`     // of the image manifest
	PID        int       `json:"pid"`        // of the daemon
	Started    time.Time `json:"started"`    // when the mount appeared
	Connection int       `json:"connection"` // minor number of the mount's device, which names the FUSE connection
}

// Dir is the directory of the records: SHALEFS_RUN_DIR, else below
// XDG_RUNTIME_DIR, else /run/shalefs for root and a directory of the user's own
// in the system's temporary directory for others.
func Dir() string {
	if d := os.Getenv("SHALEFS_RUN_DIR"); d != "" {
		return d
	}
	if os.Geteuid() == 0 {
		return "/run/shalefs"
	}
	if d := os.Getenv("XDG_RUNTIME_DIR"); d != "" {
		return filepath.Join(d, "shalefs")
	}
	return filepath.Join(os.TempDir(), "shalefs-"+strconv.Itoa(os.Geteuid()))
}

// name is the file name, without its extension, of the mount at dir.
func name(dir string) string {
	sum := sha256.Sum256([]byte(dir))
	return hex.EncodeToString(sum[:12])
}

// A Server is the serving side of one mount.
type Server struct {
	base string
	http *http.Server
	done chan struct{}
}

// Serve writes the record and serves status(), encoded as JSON, and the other
// handlers on the mount's socket, until Close. It replaces what a dead daemon left for the same
// directory.
func Serve(rec Record, status func() any, metrics http.Handler) (*Server, error) {
	if err := makeDir(Dir()); err != nil {
		return nil, err
	}
	base := filepath.Join(Dir(), name(rec.Dir))
	if err := os.Remove(base + ".sock"); err != nil && !errors.Is(err, iofs.ErrNotExist) {
		return nil, err
	}
	l, err := net.Listen("unix", base+".sock")
	if err != nil {
		return nil, fmt.Errorf("control socket: %w", err)
	}
	if err := writeRecord(base+".json", rec); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /status", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(status()) // the client is gone: nobody to tell
	})
	if metrics != nil {
		mux.Handle("GET /metrics", metrics)
	}
	// Profiles of the daemon, for whoever owns the mount: the socket is the user's own.
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	s := &Server{base: base, http: &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}, done: make(chan struct{})}
	go func() {
		defer close(s.done)
		_ = s.http.Serve(l) // always an error, http.ErrServerClosed after Close
	}()
	return s, nil
}

// makeDir makes the directory of records and refuses one that others can write to.
func makeDir(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("control directory: %w", err)
	}
	st, err := os.Lstat(dir)
	if err != nil {
		return fmt.Errorf("control directory: %w", err)
	}
	if !st.IsDir() || st.Mode().Perm()&0o022 != 0 {
		return fmt.Errorf("control directory %s: not a directory that only its owner writes to", dir)
	}
	return nil
}

func writeRecord(path string, rec Record) error {
	b, err := json.Marshal(rec)
	if err != nil {
		return err
	}
	tmp := path + "." + strconv.Itoa(os.Getpid())
	if err := os.WriteFile(tmp, b, 0o600); err != nil {
		return fmt.Errorf("control record: %w", err)
	}
	return os.Rename(tmp, path)
}

// Close stops serving and removes the mount's files.
func (s *Server) Close() error {
	err := s.http.Close()
	<-s.done
	for _, ext := range []string{".sock", ".json"} {
		if e := os.Remove(s.base + ext); e != nil && !errors.Is(e, iofs.ErrNotExist) {
			err = errors.Join(err, e)
		}
	}
	return err
}

// Records lists the mounts of this user, dead ones too, in no particular order.
func Records() ([]Record, error) {
	paths, err := filepath.Glob(filepath.Join(Dir(), "*.json"))
	if err != nil {
		return nil, err
	}
	var recs []Record
	for _, p := range paths {
		if rec, err := readRecord(p); err == nil {
			recs = append(recs, rec)
		}
	}
	return recs, nil
}

// Find returns the record of the mount at dir. The error wraps fs.ErrNotExist
// when there is none.
func Find(dir string) (Record, error) {
	return readRecord(filepath.Join(Dir(), name(dir)+".json"))
}

// Forget removes the files of a mount whose daemon is dead.
func Forget(dir string) error {
	base := filepath.Join(Dir(), name(dir))
	var err error
	for _, ext := range []string{".sock", ".json"} {
		if e := os.Remove(base + ext); e != nil && !errors.Is(e, iofs.ErrNotExist) {
			err = errors.Join(err, e)
		}
	}
	return err
}

func readRecord(path string) (Record, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return Record{}, err
	}
	var rec Record
	if err := json.Unmarshal(b, &rec); err != nil {
		return Record{}, fmt.Errorf("control record %s: %w", path, err)
	}
	return rec, nil
}

// Alive reports whether the record's daemon runs: its process exists and is a shalefs.
func (r Record) Alive() bool {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", r.PID))
	if err != nil || len(b) == 0 {
		return false
	}
	exe, _, _ := strings.Cut(string(b), "\x00")
	return strings.Contains(filepath.Base(exe), "shalefs")
}

// Get asks the mount at dir for a page ("/status", "/metrics") and returns its body.
func Get(ctx context.Context, dir, page string) ([]byte, error) {
	sock := filepath.Join(Dir(), name(dir)+".sock")
	client := &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "unix", sock)
		},
	}}
	defer client.CloseIdleConnections()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://mount"+page, nil)
	if err != nil {
		return nil, err
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("ask the mount at %s: %w", dir, err)
	}
	defer resp.Body.Close() //nolint:errcheck // read side
	b, err := io.ReadAll(io.LimitReader(resp.Body, 64<<20))
	if err != nil {
		return nil, fmt.Errorf("ask the mount at %s: %w", dir, err)
	}
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("ask the mount at %s: %s", dir, resp.Status)
	}
	return b, nil
}
