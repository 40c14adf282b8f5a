package zstdx

import "math/rand"

// madeUp makes n bytes that compress like files do: words, long repeats near and far, runs and noise.
func madeUp(seed int64, n int) []byte {
	rnd := rand.New(rand.NewSource(seed))
	out := make([]byte, 0, n+4096)
	words := make([][]byte, 600)
	for i := range words {
		w := make([]byte, 2+rnd.Intn(9))
		for j := range w {
			w[j] = byte('a' + rnd.Intn(26)*rnd.Intn(2) + rnd.Intn(3))
		}
		words[i] = w
	}
	for len(out) < n {
		switch k := rnd.Intn(100); {
		case k < 70:
			for range 20 {
				out = append(out, words[int(rnd.ExpFloat64()*60)%len(words)]...)
				out = append(out, ' ')
			}
		case k < 85 && len(out) > 1000:
			from := rnd.Intn(len(out) - 500)
			out = append(out, out[from:from+8+rnd.Intn(400)]...)
		case k < 90:
			v := byte(rnd.Intn(256))
			for range 10 + rnd.Intn(3000) {
				out = append(out, v)
			}
		case k < 94:
			for range 30 + rnd.Intn(600) {
				out = append(out, byte(rnd.Intn(256)))
			}
		default:
			u := len(out)
			for range 50 {
				out = append(out, byte(u>>8), byte(u), 0, 0, byte(rnd.Intn(4)))
				u++
			}
		}
	}
	return out[:n]
}
