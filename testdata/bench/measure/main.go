// Measure runs a command and writes what it cost to a file, in one line: seconds,
// seconds of CPU time, greatest resident memory in KiB. The command's exit code is its own.
//
//	measure FILE COMMAND [ARGUMENT...]
//
// CPU time tells more than time on a machine that does other things as well.
package main

import (
	"errors"
	"fmt"
	"log"
	"os"
	"os/exec"
	"syscall"
	"time"
)

func main() {
	log.SetFlags(0)
	log.SetPrefix("measure: ")
	if len(os.Args) < 3 {
		log.Fatal("usage: measure FILE COMMAND [ARGUMENT...]")
	}
	cmd := exec.Command(os.Args[2], os.Args[3:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	began := time.Now()
	err := cmd.Run()
	took := time.Since(began)
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		log.Fatal(err)
	}
	st := cmd.ProcessState
	rss := int64(0)
	if u, ok := st.SysUsage().(*syscall.Rusage); ok {
		rss = u.Maxrss
	}
	line := fmt.Sprintf("%.3f %.3f %d\n", took.Seconds(), (st.UserTime() + st.SystemTime()).Seconds(), rss)
	if err := os.WriteFile(os.Args[1], []byte(line), 0o600); err != nil {
		log.Fatal(err)
	}
	if err != nil {
		os.Exit(max(1, st.ExitCode()))
	}
}
