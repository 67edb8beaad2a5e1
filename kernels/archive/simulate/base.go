package simulate

import (
	"fmt"

	"github.com/corecheck/corecheck/kernels/archive"
)

// Archive makes an archive of n kernels that derive from those in the Writer, and of those themselves.
func Archive(w *archive.Writer, n int, seed uint64) ([]byte, error) {
	plan, err := Plan(w, n, seed)
	if err != nil {
		return nil, err
	}
	if err := w.Derive(plan); err != nil {
		return nil, fmt.Errorf("seed %d: %w", seed, err)
	}
	return w.Encode(nil)
}
