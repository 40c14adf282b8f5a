package fusefs

import (
	"fmt"
	"os"
	"strconv"
	"time"
)

// probeWait is how long a mount may take to say that it is alive.
const probeWait = 2 * time.Second

func afterProbe() <-chan time.Time { return time.After(probeWait) }

// raiseReadAhead makes the kernel read further ahead than the 128 KiB that the
// protocol allows. Only root can; without it, the loader's own read-ahead must do.
func (s *Server) raiseReadAhead(kib int) {
	if kib < 0 {
		return
	}
	name := fmt.Sprintf("/sys/class/bdi/%d:%d/read_ahead_kb", s.info.Device.Major, s.info.Device.Minor)
	if err := os.WriteFile(name, []byte(strconv.Itoa(kib)), 0); err != nil {
		s.log.Info("kernel read-ahead stays at its default", "error", err)
	}
}
