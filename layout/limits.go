package layout

import "fmt"

// Limits bound what is read from a foreign source (ERR-6). The zero value of a
// field is its default.
type Limits struct {
	ManifestBytes int64 // greatest manifest or image index; default 4 MiB
	ConfigBytes   int64 // greatest config; default 4 MiB
	IndexBytes    int64 // greatest index.json of a layout, or JSON file of an archive; default 20 MiB
	Depth         int   // greatest nesting of image indexes; default 8
	Documents     int   // most documents read to choose one manifest; default 1,000
	Layers        int   // most layers of an image; default 1,000
}

// Filled returns l with its defaults filled in.
func (l Limits) Filled() Limits {
	set64 := func(p *int64, def int64) {
		if *p <= 0 {
			*p = def
		}
	}
	set := func(p *int, def int) {
		if *p <= 0 {
			*p = def
		}
	}
	set64(&l.ManifestBytes, 4<<20)
	set64(&l.ConfigBytes, 4<<20)
	set64(&l.IndexBytes, 20<<20)
	set(&l.Depth, 8)
	set(&l.Documents, 1000)
	set(&l.Layers, 1000)
	return l
}

// DefaultLimits returns the limits with every default filled in.
func DefaultLimits() Limits { return Limits{}.Filled() }

// tooLarge is the error of a size over its limit; what names the thing.
func tooLarge(what string, size, limit int64) error {
	return fmt.Errorf("%s has %d bytes, the limit is %d: %w", what, size, limit, ErrTooLarge)
}
