// Package cache keeps decompressed content on disk, for all processes of a user.
//
// An object is a sequence of bytes with a name that says what it is (Key) and a
// known size. It is filled chunk by chunk, in any order, and its file is sparse
// where nothing was written. Beside it lies a map: one bit for each unit of 64 KiB,
// saying that the chunk that starts in this unit is there. Data is written before
// its bit, so whatever is cut short costs a fetch and no more.
//
// The map is shared memory of all processes that have the object open. Three
// locks keep them apart, all of them flock, so that the kernel frees them when a
// process dies:
//
//   - create.lock, held for moments, around making, opening and removing objects;
//   - the map file of an object, shared while it is open: such an object is not
//     removed, though parts of it may be punched out;
//   - the data file of an object, shared while something is written and while a
//     file is handed out (File), exclusive while parts are punched out.
//
// The cache trusts nothing it reads: callers check the digest of every chunk that
// they get and Drop a chunk that fails. The one reader who cannot check, the
// kernel reading a handed out file by itself, gets only sealed objects: complete,
// hashed as a whole in this boot, and not changed since.
//
// Documents are small files (manifests, indexes, verdicts) that are replaced as a
// whole. CACHE.md, one directory up, has the layout on disk.
package cache
