package main

import (
	"context"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
)

func main() { os.Exit(run(os.Args)) }

// run is the program: it returns the exit code.
func run(args []string) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	root := newRoot()
	root.SetArgs(commandArgs(root.Name(), args))
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitOK
	}
	return fail(root.ErrOrStderr(), err)
}

// commandArgs makes a mount command of the forms that mount(8) and mount.fuse(8)
// use: "mount.fuse.shalefs REF DIR -o opts" and "shalefs REF DIR -o opts".
func commandArgs(_ string, args []string) []string {
	prog, rest := filepath.Base(args[0]), args[1:]
	if prog == "mount.shalefs" || prog == "mount.fuse.shalefs" {
		return append([]string{"mount"}, helperArgs(rest)...)
	}
	if len(rest) >= 4 && !strings.HasPrefix(rest[0], "-") && rest[2] == "-o" && !isCommand(rest[0]) {
		return append([]string{"mount"}, helperArgs(rest)...)
	}
	return rest
}

// helperArgs drops what mount(8) adds and we have no use for: -n (no mtab), -s
// (be lenient), -v, and -t with its type.
func helperArgs(args []string) []string {
	var out []string
	for i := 0; i < len(args); i++ {
		switch args[i] {
		case "-n", "-s", "-v":
		case "-t":
			i++
		default:
			out = append(out, args[i])
		}
	}
	return out
}
