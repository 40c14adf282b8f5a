package fusefs

import (
	"slices"
	"strings"
	"testing"
)

const someMountInfo = `22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/root rw
30 22 0:40 / /mnt/a\040b rw,nosuid,nodev,relatime shared:5 - fuse.shalefs oci:/x\134y ro,user_id=0,group_id=0
31 22 0:41 / /mnt/other rw - fuse.sshfs host: rw
32 22 0:42 / /mnt/c ro - fuse.shalefs alpine ro
broken
33 22 x:42 / /mnt/d ro - fuse.shalefs alpine ro
`

func TestParseMountInfo(t *testing.T) {
	got, err := parseMountInfo(strings.NewReader(someMountInfo))
	want := []MountInfo{
		{"/mnt/a b", Device{0, 40}, `oci:/x\y`},
		{"/mnt/c", Device{0, 42}, "alpine"},
	}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("got %+v, %v; want %+v", got, err, want)
	}
}

func FuzzParseMountLine(f *testing.F) {
	for _, line := range strings.Split(someMountInfo, "\n") {
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, line string) {
		m, ok := parseMountLine(line)
		if ok && (m.Dir == "" || !strings.Contains(line, FSType)) {
			t.Errorf("%q: %+v", line, m)
		}
	})
}

// Abort does not touch what cannot be a connection of ours.
func TestAbortRefuses(t *testing.T) {
	for _, d := range []Device{{}, {8, 1}} {
		if err := (MountInfo{Dir: "/nope", Device: d}).Abort(); err == nil {
			t.Errorf("%v: no error", d)
		}
	}
}
