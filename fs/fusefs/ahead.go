package fusefs

import (
	"context"
	"sync"

	"github.com/hanwen/go-fuse/v2/fuse"

	"github.com/shalefs/shalefs/fs"
	"github.com/shalefs/shalefs/index/tarx"
)

// A Presenter is a fs.Content that knows what it need not fetch.
type Presenter interface {
	// ReadPresent fills p with the first len(p) bytes of a file, checked, if they are
	// all here. It does not wait for a network. ok is false if they are not; then p holds
	// nothing of use.
	ReadPresent(ctx context.Context, ino fs.Ino, p []byte) (ok bool)
}

// Bounds of what is pushed.
const (
	pushFileBytes = 128 << 10 // larger files are left to the kernel, which asks for much at once
	pushFiles     = 64        // without a sign that they are wanted
	pushBytes     = 512 << 10 // the same; the loader takes readers so far apart for one
	pushStreak    = 4         // reads in the order of the tree before anything is pushed
	pushDirs      = 32        // directories that are being read
)

// An ahead gives the kernel small files before it asks for them. Who reads a whole tree
// reads the files of a directory in the order of its listing, and waits for one request
// at each, which takes longer than to copy the bytes. So when a few reads came in that order, the files
// that follow are put into the kernel's page cache, as far as they are here. Each read
// in that order earns room for more, any other takes it away: little is pushed in vain.
//
// A push waits while the kernel waits for the same page from Read, so it has a goroutine of its own.
type ahead struct {
	raw     *rawFS
	tree    *fs.Tree
	content Presenter // nil: nothing is pushed
	server  *fuse.Server

	ctx    context.Context // ends with close
	cancel context.CancelFunc
	wake   chan struct{}
	wg     sync.WaitGroup

	mu     sync.Mutex
	streak int      // guarded by mu; reads in order, up to now
	window int      // guarded by mu; files that one read earns
	files  int      // guarded by mu; files that may be pushed
	bytes  int      // guarded by mu; bytes that may be pushed
	target fs.Ino   // guarded by mu; the directory whose files are pushed, 0 for none
	dirs   []dirPos // guarded by mu; the one used last is the last
}

// A dirPos says how far a directory was read or pushed.
type dirPos struct {
	dir  fs.Ino
	next fs.Ino // the first child that was not; 0 if not known
}

// init is called before the mount.
func (a *ahead) init(r *rawFS, c fs.Content) {
	a.raw, a.tree = r, r.tree
	a.content, _ = c.(Presenter)
	a.wake = make(chan struct{}, 1)
	a.ctx, a.cancel = context.WithCancel(context.Background())
}

// start is called when there is a connection.
func (a *ahead) start(s *fuse.Server) {
	if a.content != nil {
		a.server = s
		a.wg.Go(a.run)
	}
}

// close ends what goes on, when the connection is gone.
func (a *ahead) close() {
	a.cancel()
	a.wg.Wait()
}

// at returns the position of a directory, which is then the last in the list. The caller holds a.mu,
// and the position is good until the next call.
func (a *ahead) at(dir fs.Ino) *dirPos {
	for i := len(a.dirs) - 1; i >= 0; i-- {
		if d := a.dirs[i]; d.dir == dir {
			copy(a.dirs[i:], a.dirs[i+1:])
			a.dirs[len(a.dirs)-1] = d
			return &a.dirs[len(a.dirs)-1]
		}
	}
	if len(a.dirs) == pushDirs {
		copy(a.dirs, a.dirs[1:])
		a.dirs = a.dirs[:pushDirs-1]
	}
	a.dirs = append(a.dirs, dirPos{dir: dir})
	return &a.dirs[len(a.dirs)-1]
}

// size returns the size of a number that is a file in the directory; 0 for anything else.
func (a *ahead) size(ino, dir fs.Ino) int64 {
	if a.tree.Parent(ino) != dir || !a.tree.Valid(ino) {
		return 0
	}
	return a.tree.Size(ino)
}

// read hears of a read up to the end of a file.
func (a *ahead) read(ino fs.Ino) {
	if a.content == nil {
		return
	}
	dir := a.tree.Parent(ino)
	a.mu.Lock()
	defer a.mu.Unlock()
	pos := a.at(dir)
	if pos.next == 0 {
		pos.next = a.first(dir)
	}
	if !a.follows(pos.next, ino, dir) {
		pos.next = ino + 1
		a.streak, a.window, a.files = 0, 0, 0
		return
	}
	pos.next = max(pos.next, ino+1)
	if a.streak++; a.streak < pushStreak {
		return
	}
	a.window = min(max(2*a.window, pushStreak), pushFiles)
	a.files, a.bytes = a.window, pushBytes
	a.push(dir)
}

// first returns the first number of a directory's children, or, if it has none, 0.
func (a *ahead) first(dir fs.Ino) (first fs.Ino) {
	a.tree.ReadDir(dir, 0, func(_ int, _ string, ino fs.Ino) bool {
		if a.tree.Parent(ino) != dir {
			return true // a further name of a file that is elsewhere
		}
		first = ino
		return false
	})
	return first
}

// follows tells whether a file is the one that comes next. Two may be left out: the kernel has them.
// One that was pushed may be asked for at the same moment.
func (a *ahead) follows(next, ino, dir fs.Ino) bool {
	if next == 0 {
		return false
	}
	if ino < next {
		return next-ino <= pushFiles
	}
	for left := 2; next < ino; next++ {
		if a.size(next, dir) > 0 {
			if left--; left < 0 {
				return false
			}
		}
	}
	return true
}

// listed hears of the end of a listing.
func (a *ahead) listed(dir fs.Ino) {
	if a.content == nil {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.at(dir).next = a.first(dir)
	if a.files > 0 {
		a.push(dir)
	}
}

// push wakes run. The caller holds a.mu.
func (a *ahead) push(dir fs.Ino) {
	a.target = dir
	select {
	case a.wake <- struct{}{}:
	default:
	}
}

// take returns the next file to push and its size; 0 when there is none.
func (a *ahead) take() (ino fs.Ino, size int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	dir := a.target
	if dir == 0 || a.files <= 0 {
		return 0, 0
	}
	pos := a.at(dir)
	for ; pos.next != 0 && pos.next <= a.tree.MaxIno() && a.tree.Parent(pos.next) == dir; pos.next++ {
		if a.tree.Kind(pos.next) == tarx.Directory {
			break // who reads a tree goes into it first; the loader would take the files after it for another place
		}
		n := a.size(pos.next, dir)
		if n == 0 {
			continue
		}
		if n > pushFileBytes || int(n) > a.bytes {
			break // what comes after it waits until it was read
		}
		ino, pos.next = pos.next, pos.next+1
		a.files, a.bytes = a.files-1, a.bytes-int(n)
		return ino, int(n)
	}
	a.target = 0
	return 0, 0
}

// missed hears that a file was not pushed. Nothing more is until somebody reads it.
func (a *ahead) missed(ino fs.Ino) {
	a.mu.Lock()
	defer a.mu.Unlock()
	dir := a.tree.Parent(ino)
	if a.target == dir {
		a.target = 0
	}
	if pos := a.at(dir); pos.next == ino+1 {
		pos.next = ino
	}
}

// run pushes until close.
func (a *ahead) run() {
	var buf []byte
	for {
		select {
		case <-a.ctx.Done():
			return
		case <-a.wake:
		}
		if buf == nil {
			buf = make([]byte, pushFileBytes)
		}
		for a.ctx.Err() == nil {
			ino, n := a.take()
			if ino == 0 {
				break
			}
			if !a.store(ino, buf[:n]) {
				a.missed(ino)
			}
		}
	}
}

// store puts a file into the kernel's page cache. That the kernel does not know the inode is no failure.
func (a *ahead) store(ino fs.Ino, buf []byte) bool {
	start := a.raw.begin()
	if !a.content.ReadPresent(a.ctx, ino, buf) || a.server.InodeNotifyStoreCache(uint64(ino), 0, buf) != fuse.OK {
		return false
	}
	a.raw.end("NOTIFY_STORE", start, len(buf), fuse.OK)
	return true
}
