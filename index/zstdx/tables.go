package zstdx

// fseValues holds, per table and symbol, the baseline and the number of extra bits of
// the value in the layout of fseTable's entries (RFC 8878, 3.1.1.3.2.1.1).
var fseValues = func() (v [numFSE][64]uint64) {
	put := func(tab, sym int, base, extra uint64) { v[tab][sym] = base<<32 | extra }

	for s := range 16 {
		put(tabLL, s, uint64(s), 0)
	}
	base := uint64(16)
	for i, extra := range []uint64{1, 1, 1, 1, 2, 2, 3, 3, 4, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16} {
		put(tabLL, 16+i, base, extra)
		base += 1 << extra
	}

	for s := range 32 {
		put(tabML, s, uint64(s)+3, 0)
	}
	base = 35
	for i, extra := range []uint64{1, 1, 1, 1, 2, 2, 3, 3, 4, 4, 5, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16} {
		put(tabML, 32+i, base, extra)
		base += 1 << extra
	}

	for s := range 32 {
		put(tabOF, s, 1<<s, uint64(s))
	}
	return v
}()

// predefined holds the tables of Predefined_Mode (RFC 8878, 3.1.1.3.2.2).
var predefined = func() (t [numFSE]fseTable) {
	for i, d := range predefinedCounts {
		if err := t[i].build(d.norm, d.log, &fseValues[i]); err != nil {
			panic(err)
		}
	}
	return t
}()

var predefinedCounts = [numFSE]struct {
	log  uint8
	norm []int16
}{
	tabLL: {6, []int16{
		4, 3, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 1, 1, 1,
		2, 2, 2, 2, 2, 2, 2, 2, 2, 3, 2, 1, 1, 1, 1, 1, -1, -1, -1, -1,
	}},
	tabOF: {5, []int16{
		1, 1, 1, 1, 1, 1, 2, 2, 2, 1, 1, 1, 1, 1, 1, 1,
		1, 1, 1, 1, 1, 1, 1, 1, -1, -1, -1, -1, -1,
	}},
	tabML: {6, []int16{
		1, 4, 3, 2, 2, 2, 2, 2, 2, 1, 1, 1, 1, 1, 1, 1,
		1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1,
		1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, -1, -1, -1, -1, -1, -1, -1,
	}},
}
