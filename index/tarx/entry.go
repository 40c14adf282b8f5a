package tarx

// A Kind says what an entry is.
type Kind uint8

// The kinds of entries. A whiteout's Path is the path that it removes; an opaque
// whiteout's Path is its directory.
const (
	Regular Kind = iota
	Directory
	Symlink
	Hardlink
	Char
	Block
	Fifo
	Whiteout
	Opaque
)

// An Xattr is one extended attribute.
type Xattr struct {
	Name  string
	Value []byte
}

// A Run is a stretch of a file's content: Len bytes at Off of the logical file.
type Run struct {
	Off, Len int64
}

// An Entry is one record of a layer's tar, cleaned as the checklist's ENT rules say.
type Entry struct {
	// Path is relative, slash-separated, without "." and ".." parts and without
	// a slash at the end; "" is the root (ENT-14). Any byte but NUL may occur.
	Path string
	Kind Kind
	// Mode holds the permission, set-user-id, set-group-id and sticky bits: 07777.
	Mode     uint16
	UID, GID uint32
	// MTime and MTimeNano are seconds since 1970 and nanoseconds [0, 1e9).
	MTime     int64
	MTimeNano uint32
	// Size is the logical size in bytes of a regular file, or the length of a symlink's target.
	Size int64
	// Stored is how many content bytes the tar holds, Off where they start in it.
	// For a file that is not sparse Stored equals Size.
	Stored, Off int64
	// Link is a symlink's target as it is, or a hard link's target path, cleaned as Path.
	Link string
	// Major and Minor are the device numbers of Char and Block.
	Major, Minor uint32
	// Xattrs are sorted by name and hold only what may be shown (ENT-31).
	Xattrs []Xattr
	// Sparse lists the runs that are stored, in order, one after the other from
	// Off on; nil if the file is not sparse (an empty non-nil list is all hole).
	Sparse []Run
	// Digest is the blake3 of the stored bytes of a regular file; all zero where
	// it is not known (a tar that was only walked, not read).
	Digest [32]byte
}
