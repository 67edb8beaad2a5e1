package btfinfo

import (
	"bytes"
	"io"
)

// A survey passes once over the text of a kernel and picks out what can be known by its look: the banner and the BTF.
// It finds the BTF in images without sections (arm64 Image), and spares compressed vmlinux files a second pass.
type survey struct {
	banner Banner
	off    int64  // of raw in the input
	raw    []byte // what begins like BTF and is complete, the last where there are several
	btf    *BTF   // raw parsed; nil where no BTF was found
}

const (
	surveyWindow = 256 << 10
	// surveyOverlap is what of a window is looked at again with the next: a banner or a header may lie across both.
	surveyOverlap = 1 << 10
	// surveyTries is how many stretches that begin like BTF are parsed before the rest are ignored.
	surveyTries = 16
)

// What BTF starts with: magic, version, no flags, and the upper bytes of a header length below 256.
var (
	btfStartLittle = []byte("\x9f\xeb\x01\x00")
	btfStartBig    = []byte("\xeb\x9f\x01\x00\x00\x00\x00")
)

// surveyInput looks at the bytes of in from offset from to end (to its end where end is negative), at least until
// banner and BTF are found. Damage further on is not met; what comes before it is looked at, and the error returned.
func surveyInput(in *input, from, end int64) (survey, error) {
	var s survey
	tries := 0
	buf := make([]byte, surveyWindow)
	for off := from; end < 0 || off < end; {
		n := surveyWindow
		if end >= 0 {
			n = int(min(int64(n), end-off))
		}
		m, err := in.r.ReadAt(buf[:n], off)
		w := buf[:m]
		last := err != nil || end >= 0 && off+int64(m) >= end
		s.findBanner(w)
		next := off + int64(m) - surveyOverlap
		if s.btf == nil && tries < surveyTries {
			if i := btfStart(w); i >= 0 {
				tries++
				var err error
				if next, err = s.try(in, off+int64(i)); err != nil {
					return s, err
				}
				last = false
			}
		}
		if last && err != nil && err != io.EOF {
			return s, err
		}
		if last || s.btf != nil && s.banner.Text != "" {
			break
		}
		off = max(next, off+1)
	}
	return s, nil
}

// btfStart returns the index of the first header in w, -1 where there is none.
func btfStart(w []byte) int {
	big := bytes.Index(w, btfStartBig)
	for i := 0; ; i++ {
		n := bytes.Index(w[i:], btfStartLittle)
		if n < 0 || big >= 0 && i+n > big {
			return big
		}
		i += n
		if len(w) >= i+8 && w[i+5]|w[i+6]|w[i+7] == 0 {
			return i
		}
	}
}

// findBanner takes the first banner, and in place of one without a build number (kernels have a template too) the next.
func (s *survey) findBanner(w []byte) {
	for s.banner.Text == "" || bytes.Contains([]byte(s.banner.Text), []byte(" # ")) {
		i := bytes.Index(w, []byte(bannerPrefix))
		if i < 0 {
			return
		}
		w = w[i:]
		n := bytes.IndexByte(w, '\n')
		if n < 0 || n > surveyOverlap { // cut off by the window: the next one has it whole
			return
		}
		if line := w[:n]; len(line) > len(bannerPrefix) && isDigit(line[len(bannerPrefix)]) && bytes.IndexByte(line, 0) < 0 {
			s.banner = ParseBanner(string(line))
		}
		w = w[1:]
	}
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

// try takes the bytes at off for BTF if they are one in every respect and describe a kernel. It returns where to go on.
func (s *survey) try(in *input, off int64) (next int64, err error) {
	head, err := in.readUpTo(off, btfHeaderLen)
	if err != nil {
		return 0, err
	}
	raw, err := in.rawBTF(off, head)
	if err != nil {
		if _, ours := err.(*Error); ours {
			return off + 4, nil // a constant in the code, or BTF that is cut off
		}
		return 0, err
	}
	s.off, s.raw = off, raw
	b, err := parseOwned(raw, nil)
	if err != nil || len(b.Named("task_struct", KindStruct)) == 0 {
		return off + 4, nil
	}
	s.btf = b
	return off + int64(len(raw)), nil
}
