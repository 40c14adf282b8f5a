package tarx

import (
	"math"
	"strings"
)

// A sparseMap gathers the runs of one sparse file and checks them as they come:
// in order, without overlap, inside the file.
type sparseMap struct {
	Runs []Run
	Sum  int64 // stored bytes of the runs
	End  int64 // end of the last run
	Seen int   // runs given, empty ones too
}

func (m *sparseMap) add(off, n, size int64, limit int) error {
	if m.Seen++; m.Seen > limit {
		return tooLarge("sparse map", int64(m.Seen), int64(limit), "MaxSparseRuns")
	}
	if off < m.End || n < 0 || n > math.MaxInt64-off || off+n > size {
		return formatf("sparse map")
	}
	m.End, m.Sum = off+n, m.Sum+n
	if n == 0 {
		return nil
	}
	if k := len(m.Runs); k > 0 && m.Runs[k-1].Off+m.Runs[k-1].Len == off {
		m.Runs[k-1].Len += n
		return nil
	}
	m.Runs = append(m.Runs, Run{Off: off, Len: n})
	return nil
}

// gnuRuns takes the runs of an old GNU map: pairs of 12-byte numbers, up to an empty one.
func (m *sparseMap) gnuRuns(b []byte, size int64, limit int) error {
	for ; len(b) >= 24 && b[0] != 0; b = b[24:] {
		off, ok1 := number(b[:12])
		n, ok2 := number(b[12:24])
		if !ok1 || !ok2 {
			return formatf("sparse map")
		}
		if err := m.add(off, n, size, limit); err != nil {
			return err
		}
	}
	return nil
}

// textRuns takes the runs of a PAX 0.0 or 0.1 map: offset, length, offset, length ...
func (m *sparseMap) textRuns(nums []string, size int64, limit int) error {
	if len(nums)%2 != 0 {
		return formatf("sparse map of odd length")
	}
	for i := 0; i < len(nums); i += 2 {
		off, ok1 := decimal(nums[i])
		n, ok2 := decimal(nums[i+1])
		if !ok1 || !ok2 {
			return formatf("sparse map")
		}
		if err := m.add(off, n, size, limit); err != nil {
			return err
		}
	}
	return nil
}

// A sparseForm says where a file's sparse map is.
type sparseForm uint8

const (
	notSparse    sparseForm = iota
	sparseOld               // in the header and continuation blocks (type S)
	sparsePAX               // in PAX records (0.0, 0.1)
	sparseInline            // at the start of the content (1.0)
)

// sparse says whether the records describe a sparse file, and in which form.
func (a *attrs) sparse() (sparseForm, error) {
	switch {
	case a.major == "1" && a.minor == "0":
		return sparseInline, nil
	case a.major == "0" && (a.minor == "0" || a.minor == "1"):
		return sparsePAX, nil
	case a.major != "" || a.minor != "":
		return notSparse, unsupportedf("sparse format %.9q.%.9q", a.major, a.minor)
	case a.sparseMap != "" || len(a.pairs) > 0:
		return sparsePAX, nil
	}
	return notSparse, nil
}

// realSize is the logical size of a file that is sparse by PAX records.
func (a *attrs) realSize() (int64, error) {
	s := a.sparseSize
	if s == "" {
		s = a.sparseReal
	}
	n, ok := decimal(s)
	if !ok || n < 0 {
		return 0, formatf("sparse file without a size")
	}
	return n, nil
}

// nums are the numbers of the map in the records.
func (a *attrs) nums() []string {
	switch {
	case len(a.pairs) > 0:
		return a.pairs
	case a.sparseMap == "":
		return nil
	}
	return strings.Split(a.sparseMap, ",")
}

// An inlineMap reads the map of PAX format 1.0, which stands before the content: decimal
// numbers, each with a newline: the number of runs, then offset and length of
// each. It is filled up to a whole block.
type inlineMap struct {
	Num    int64 // the number being read
	Digits int   // its digits so far
	Count  int64 // runs to come; -1 before it is known
	Off    int64 // the offset whose length is to come
	Half   bool  // Off is set
}

// block takes one block; done says that the map ended in it.
func (x *inlineMap) block(b []byte, m *sparseMap, size int64, limit int) (done bool, err error) {
	for _, c := range b {
		if c >= '0' && c <= '9' {
			if x.Digits++; x.Digits > 18 {
				return false, formatf("sparse map")
			}
			x.Num = x.Num*10 + int64(c-'0')
			continue
		}
		if c != '\n' || x.Digits == 0 {
			return false, formatf("sparse map")
		}
		n := x.Num
		x.Num, x.Digits = 0, 0
		switch {
		case x.Count < 0:
			if n > int64(limit) {
				return false, tooLarge("sparse map", n, int64(limit), "MaxSparseRuns")
			}
			x.Count = n
		case !x.Half:
			x.Off, x.Half = n, true
		default:
			if err := m.add(x.Off, n, size, limit); err != nil {
				return false, err
			}
			x.Half, x.Count = false, x.Count-1
		}
		if x.Count == 0 {
			return true, nil
		}
	}
	return false, nil
}
