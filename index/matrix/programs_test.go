package matrix

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// A program is an encoder that reads a tar from its standard input.
type program struct {
	line   string // the command line and the name of the cell
	debian string // the Debian package
	more   bool   // several frames or members
	slow   bool
}

var programLines = []program{
	{line: "gzip -1", debian: "gzip"},
	{line: "gzip -6", debian: "gzip"},
	{line: "gzip -9", debian: "gzip", slow: true},
	{line: "gzip --rsyncable", debian: "gzip"},
	{line: "pigz -1", debian: "pigz"},
	{line: "pigz -6", debian: "pigz"},
	{line: "pigz -9", debian: "pigz", slow: true},
	{line: "pigz -i -b 512", debian: "pigz"},
	{line: "libdeflate-gzip -1", debian: "libdeflate-tools"},
	{line: "libdeflate-gzip -6", debian: "libdeflate-tools"},
	{line: "libdeflate-gzip -12", debian: "libdeflate-tools", slow: true},
	{line: "igzip -0", debian: "isal"},
	{line: "igzip -1", debian: "isal"},
	{line: "igzip -3", debian: "isal"},
	{line: "zstd --fast=5", debian: "zstd"},
	{line: "zstd -1", debian: "zstd"},
	{line: "zstd -3", debian: "zstd"},
	{line: "zstd -3 --no-check -T2 -B1048576", debian: "zstd"},
	{line: "zstd -3 --rsyncable -T2", debian: "zstd"},
	{line: "zstd --long=27", debian: "zstd"},
	{line: "zstd -12", debian: "zstd", slow: true},
	{line: "zstd -19", debian: "zstd", slow: true},
	{line: "zstd --ultra -20", debian: "zstd", slow: true},
	{line: "pzstd -p 4", debian: "zstd", more: true},
}

// programs are the encoders that are installed. Those that are not are named in the
// log, or fail the test if SHALEFS_REQUIRE_TOOLS is set.
func programs(t *testing.T) (es []encoder) {
	t.Helper()
	missing := map[string]bool{}
	for _, p := range programLines {
		args := strings.Fields(p.line)
		if _, err := exec.LookPath(args[0]); err != nil {
			if !missing[args[0]] {
				t.Logf("%s is not installed (Debian: %s): left out", args[0], p.debian)
			}
			missing[args[0]] = true
			continue
		}
		format := "gzip"
		if strings.Contains(args[0], "zstd") {
			format = "zstd"
		}
		e := simple(p.line, format, !p.more, func(stream []byte) ([]byte, error) { return run(args, stream) })
		e.slow = p.slow
		es = append(es, e)
	}
	if len(missing) > 0 && os.Getenv("SHALEFS_REQUIRE_TOOLS") != "" {
		t.Errorf("SHALEFS_REQUIRE_TOOLS is set, %d programs are not installed", len(missing))
	}
	return es
}

func run(args []string, in []byte) ([]byte, error) {
	var out, errs bytes.Buffer
	c := exec.Command(args[0], append(args[1:], "-c")...)
	c.Stdin, c.Stdout, c.Stderr = bytes.NewReader(in), &out, &errs
	if err := c.Run(); err != nil {
		return nil, fmt.Errorf("%s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(errs.String()))
	}
	return out.Bytes(), nil
}
