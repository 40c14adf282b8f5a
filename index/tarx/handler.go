package tarx

// A Handler takes what a Parser or a Walk finds, in archive order. An error from a
// method ends the parse, which returns it as it is.
type Handler interface {
	// Entry takes an entry, before its content. e is valid only during the call;
	// what its fields refer to stays valid, so a copy of *e may be kept.
	//
	// Entries with a Hidden path are given too: they may be the targets of hard
	// links. Skipped ones (ENT-19, MRG-15) are not.
	Entry(e *Entry) error

	// Content takes the next stored bytes of the regular file that Entry gave last.
	// p is a part of what was written to the Parser, valid only during the call.
	// Walk does not call it.
	Content(p []byte) error

	// EndContent follows the last Content of every regular file, also an empty
	// one, and no other entry.
	EndContent() error

	// Warning takes a thing that was tolerated (ERR-10); path is the entry's.
	Warning(kind WarningKind, path string)
}

// A WarningKind names a thing that was tolerated. The texts are stable: they are stored and counted.
type WarningKind string

// The kinds of warnings.
const (
	// WarnOwner: a user or group number is out of range and was taken as 0 (ENT-24).
	WarnOwner WarningKind = "owner-out-of-range"
	// WarnRoot: an entry for the root is no directory or has no name; it was skipped (ENT-19).
	WarnRoot WarningKind = "root-entry-skipped"
	// WarnInsideWhiteout: an entry lies below a whiteout's name; it was skipped (MRG-15).
	WarnInsideWhiteout WarningKind = "entry-inside-whiteout"
	// WarnXattrHeld: an extended attribute that is never shown was dropped (ENT-31).
	WarnXattrHeld WarningKind = "xattr-never-shown"
	// WarnXattrDropped: an extended attribute outside the known names, on a file that
	// cannot have it, or over the kernel's limits was dropped (ENT-32).
	WarnXattrDropped WarningKind = "xattr-dropped"
)

// Options are the limits of a parse. The zero value has the defaults.
type Options struct {
	// MaxRecord is the most bytes of PAX records, or of a long name, before one
	// entry; 0 is 1 MiB.
	MaxRecord int64
	// MaxSparseRuns is the most stretches of one sparse file; 0 is 1,048,576.
	MaxSparseRuns int
	// MaxEntries is the most records of one tar; 0 is 20 million.
	MaxEntries int64
}

func (o Options) withDefaults() Options {
	if o.MaxRecord <= 0 {
		o.MaxRecord = 1 << 20
	}
	if o.MaxSparseRuns <= 0 {
		o.MaxSparseRuns = 1 << 20
	}
	if o.MaxEntries <= 0 {
		o.MaxEntries = 20_000_000
	}
	return o
}
