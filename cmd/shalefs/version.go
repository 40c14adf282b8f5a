package main

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// version is set by the linker in released binaries.
var version = ""

// versionText is the version, from the linker or from what the go command recorded.
func versionText() string {
	if version != "" {
		return version
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	text := info.Main.Version
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" && (text == "" || text == "(devel)") {
			text = "devel-" + s.Value[:min(12, len(s.Value))]
		}
	}
	return text
}

func newVersion() *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Print the version", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := fmt.Fprintf(cmd.OutOrStdout(), "shalefs %s %s %s/%s\n", versionText(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
			return err
		},
	}
}

// newExitCodes is a help topic, not a command.
func newExitCodes() *cobra.Command {
	return &cobra.Command{
		Use: "exit-codes", Short: "The exit codes of shalefs",
		Long: `The exit codes of shalefs:

    0  done
    1  a failure that has no code of its own
    2  wrong flags or arguments
    3  the reference, or a path in the image, does not exist, or is ambiguous
    4  the registry refused the credentials
    5  the registry could not be reached, or a deadline passed
    6  bytes do not have the digest that names them, or break their format
    7  a part of the image is of a kind that is refused, or over a limit
    8  the mount itself: no /dev/fuse, a busy or missing mount point
    9  "check" or "index verify" found something to report
  130  interrupted`,
	}
}
