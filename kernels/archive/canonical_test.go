package archive

import (
	"bytes"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// TestCanonical: the bytes of an archive depend on the kernels in it, and on nothing else: not on the order in which they
// were added, on what was there in between, on whether they came from packages, by merging or through a file.
func TestCanonical(t *testing.T) {
	t.Parallel()
	seed := testSeed(t)
	for c := range 40 {
		rng := rand.New(rand.NewPCG(seed, uint64(c)))
		list := randomKernels(rng, 2+rng.IntN(6))
		want := encodeBytes(t, list...)
		shuffle := func() []*Build {
			s := slices.Clone(list)
			rng.Shuffle(len(s), func(i, j int) { s[i], s[j] = s[j], s[i] })
			return s
		}
		add := func(w *Writer, b *Build, changes bool) {
			changed, err := w.Add(b)
			if err != nil {
				t.Fatal(err)
			}
			if changed != changes {
				t.Errorf("seed %d, case %d: adding %s says changed %v, want %v", seed, c, b.ID, changed, changes)
			}
		}
		encoded := func(how string, w *Writer, old *Archive) {
			t.Helper()
			got, err := w.Encode(old)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got, want) {
				t.Errorf("seed %d, case %d: %s makes other bytes: %d, want %d", seed, c, how, len(got), len(want))
			}
		}
		ways := []struct {
			how string
			f   func(how string)
		}{
			{"another order", func(how string) {
				w := NewWriter()
				for _, b := range shuffle() {
					add(w, b, true)
				}
				encoded(how, w, nil)
			}},
			{"adding twice", func(how string) {
				w := NewWriter()
				for _, b := range shuffle() {
					add(w, b, true)
				}
				for _, b := range shuffle() {
					add(w, b, false)
				}
				encoded(how, w, nil)
			}},
			{"removing and adding again", func(how string) {
				w := NewWriter()
				for _, b := range shuffle() {
					add(w, b, true)
				}
				for _, b := range shuffle()[:len(list)/2] {
					if !w.Remove(b.ID) {
						t.Errorf("%s was not there", b.ID)
					}
					if w.Remove(b.ID) {
						t.Errorf("%s was there twice", b.ID)
					}
					add(w, b, true)
				}
				encoded(how, w, nil)
			}},
			{"replacing", func(how string) {
				w := NewWriter()
				for i, b := range shuffle() {
					other := *list[i]
					other.Kernel = b.Kernel
					other.NoBTF = ""
					if other.BTF == nil {
						other.NoBTF = "another reason"
					}
					if _, err := w.Add(&other); err != nil {
						t.Fatal(err)
					}
				}
				for _, b := range shuffle() {
					if _, err := w.Add(b); err != nil {
						t.Fatal(err)
					}
				}
				encoded(how, w, nil)
			}},
			{"taking others out", func(how string) {
				w := NewWriter()
				more := randomKernels(rng, 3)
				for i := range more {
					more[i].ID += "-other"
					more[i].Uname += "-other"
					add(w, more[i], true)
				}
				for _, b := range shuffle() {
					add(w, b, true)
				}
				for i := range more {
					w.Remove(more[i].ID)
				}
				encoded(how, w, nil)
			}},
			{"merging parts", func(how string) {
				s := shuffle()
				n := rng.IntN(len(s) + 1)
				overlap := rng.IntN(n + 1)
				w := NewWriter()
				if rng.IntN(2) == 0 && n > 0 {
					add(w, s[0], true)
				}
				for _, part := range [][]*Build{s[:n], s[overlap:]} {
					if err := w.Merge(encode(t, part...)); err != nil {
						t.Fatal(err)
					}
				}
				encoded(how, w, nil)
			}},
			{"choosing of a larger one", func(how string) {
				more := randomKernels(rng, 3)
				for i := range more {
					more[i].ID += "-other"
					more[i].Uname += "-other"
				}
				big := encode(t, append(more, shuffle()...)...)
				w := NewWriter()
				if err := w.MergeOnly(big, func(k *Kernel) bool {
					return slices.ContainsFunc(list, func(b *Build) bool { return b.ID == k.ID })
				}); err != nil {
					t.Fatal(err)
				}
				encoded(how, w, big)
			}},
			{"a file, step by step", func(how string) {
				path := filepath.Join(t.TempDir(), "a.ccar")
				s := shuffle()
				for len(s) > 0 {
					n := 1 + rng.IntN(len(s))
					if err := Update(path, UpdateOptions{}, func(w *Writer) error {
						for _, b := range s[:n] {
							add(w, b, true)
						}
						return nil
					}); err != nil {
						t.Fatal(err)
					}
					s = s[n:]
				}
				got, err := os.ReadFile(path)
				if err != nil {
					t.Fatal(err)
				}
				if !bytes.Equal(got, want) {
					t.Errorf("seed %d, case %d: %s makes other bytes", seed, c, how)
				}
			}},
		}
		for _, w := range ways {
			w.f(w.how)
		}
		if t.Failed() {
			t.FailNow()
		}
	}
}

// TestCanonicalParts: the same with parts as large as those of real archives, of which most are taken over.
func TestCanonicalParts(t *testing.T) {
	t.Parallel()
	list := embeddedKernels(t, 0, 30, -1)
	want := encodeBytes(t, list...)
	two := encode(t, list[2], list[0])
	w := NewWriter()
	if err := w.Merge(two); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Add(list[1]); err != nil {
		t.Fatal(err)
	}
	got, err := w.Encode(two)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("merging and adding makes %d other bytes, want %d", len(got), len(want))
	}
	a, err := OpenBytes("test", want)
	if err != nil {
		t.Fatal(err)
	}
	w.Remove(list[1].ID)
	if got, err = w.Encode(a); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, two.mem) {
		t.Errorf("removing makes %d other bytes, want %d", len(got), len(two.mem))
	}
}
