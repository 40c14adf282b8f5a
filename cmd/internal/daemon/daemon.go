package daemon

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"syscall"
)

// pipeEnv names the environment variable that tells a child which descriptor is
// its pipe to the parent.
const pipeEnv = "SHALEFS_READY_FD"

// A message is what the child tells its parent: that the mount is there, or an
// error with its exit code and hint.
type message struct {
	Ready bool   `json:"ready"`
	Error string `json:"error,omitempty"`
	Hint  string `json:"hint,omitempty"`
	Code  int    `json:"code,omitempty"`
}

// A ChildError is a failure that the child reported.
type ChildError struct {
	Message string // the error's text
	Hint    string // what the user can do, or empty
	Code    int    // the exit code
}

func (e *ChildError) Error() string { return e.Message }

// Child reports whether this process was started by Start.
func Child() bool { return os.Getenv(pipeEnv) != "" }

// Start runs this program again in the background with the same arguments and
// returns when the child is ready (nil), has reported an error (*ChildError), or
// is gone. The child's standard error is the parent's until it is ready; if
// logFile is not empty, standard output and error of the child go there from
// its start.
func Start(args []string, logFile string) error {
	exe, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find the program itself: %w", err)
	}
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	defer r.Close() //nolint:errcheck // read side of a pipe
	cmd := exec.Command(exe, args...)
	cmd.Env = append(os.Environ(), pipeEnv+"=3")
	cmd.ExtraFiles = []*os.File{w}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	cmd.Stderr = os.Stderr
	if logFile != "" {
		f, err := os.OpenFile(logFile, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
		if err != nil {
			return fmt.Errorf("open the log file: %w", err)
		}
		defer f.Close() //nolint:errcheck // the child holds its own
		cmd.Stdout, cmd.Stderr = f, f
	}
	err = cmd.Start()
	w.Close() //nolint:errcheck // only the child writes
	if err != nil {
		return fmt.Errorf("start the background process: %w", err)
	}

	var m message
	b, err := io.ReadAll(io.LimitReader(r, 1<<20))
	if err == nil && len(b) > 0 {
		err = json.Unmarshal(b, &m)
	}
	switch {
	case err != nil:
		return fmt.Errorf("background process: %w", err)
	case m.Ready:
		return cmd.Process.Release()
	}
	waitErr := cmd.Wait()
	if m.Error == "" {
		return fmt.Errorf("the background process ended early: %w", errors.Join(waitErr, io.ErrUnexpectedEOF))
	}
	return &ChildError{Message: m.Error, Hint: m.Hint, Code: m.Code}
}

// Ready tells the parent that the mount answers, and lets go of its terminal.
// It does nothing in a process that was not started by Start.
func Ready() error {
	if err := send(message{Ready: true}); err != nil {
		return err
	}
	if !Child() {
		return nil
	}
	return detach()
}

// Failed tells the parent why there is no mount. It reports whether there is a
// parent to tell; if not, the caller prints the error itself.
func Failed(text, hint string, code int) bool {
	if !Child() {
		return false
	}
	return send(message{Error: text, Hint: hint, Code: code}) == nil
}

func send(m message) error {
	v := os.Getenv(pipeEnv)
	if v == "" {
		return nil
	}
	fd, err := strconv.Atoi(v)
	if err != nil {
		return fmt.Errorf("%s: %w", pipeEnv, err)
	}
	w := os.NewFile(uintptr(fd), "ready pipe")
	b, err := json.Marshal(m)
	if err != nil {
		return err
	}
	_, err = w.Write(b)
	return errors.Join(err, w.Close())
}

// detach points the standard streams that are a terminal or a pipe of the parent
// to /dev/null, so that the parent's caller does not wait for them, and leaves
// the current directory. A log file stays.
func detach() error {
	if err := os.Chdir("/"); err != nil {
		return err
	}
	null, err := os.OpenFile("/dev/null", os.O_RDWR, 0)
	if err != nil {
		return err
	}
	for fd := range 3 {
		var st syscall.Stat_t
		if syscall.Fstat(fd, &st) == nil && st.Mode&syscall.S_IFMT == syscall.S_IFREG {
			continue
		}
		if err := syscall.Dup3(int(null.Fd()), fd, 0); err != nil {
			return err
		}
	}
	return null.Close()
}
