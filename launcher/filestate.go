package launcher

import (
	"crypto/sha256"
	"encoding/hex"
)

// fileState is how one file is after a render, for those who ask.
type fileState struct {
	destination string
	source      string
	action      string
	sum         string // SHA-256 in hexadecimal of the bytes in place; empty: none yet
	problem     string // of the source, when its last good version is in use
}

// states returns how the files are, in the order of their destinations.
func (f *files) states() []fileState {
	all := make([]fileState, 0, len(f.sources))
	for _, destination := range f.destinations() {
		s := f.sources[destination]
		state := fileState{destination: destination, source: s.Source, sum: s.sum}
		if s.template != nil {
			state.action = f.action(s).Shown()
		}
		if s.problem != nil {
			state.problem = s.problem.Error()
		}
		all = append(all, state)
	}
	return all
}

// placed notes what is in place now.
func (f *files) placed(outputs []output) {
	for _, o := range outputs {
		f.sources[o.destination].sum = hexSum(o.data)
	}
}

func hexSum(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}
