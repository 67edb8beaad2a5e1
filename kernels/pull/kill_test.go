package pull

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/corecheck/corecheck/kernels/pull/pulltest"
)

// killedEnv has the URI, the folder and the digest for a process that TestKilled starts.
const killedEnv = "CORECHECK_TEST_PULL_KILLED"

// TestMain lets the test's binary be a program that downloads one file.
func TestMain(m *testing.M) {
	var uri, dir, digest string
	var size int64
	if n, _ := fmt.Sscan(os.Getenv(killedEnv), &uri, &dir, &digest, &size); n == 4 {
		u, err := url.Parse(uri)
		if err == nil {
			// A word for each step, so that the test knows that it is under way.
			_, err = (&cache{dir}).fetch(context.Background(), newClient(quick()), &file{uri: u, size: size, digest: Digest{"sha256", digest}},
				func(n int64) { fmt.Println(n) })
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// A download that is killed, wherever it is, leaves what the next one can use, and never a wrong file.
func TestKilled(t *testing.T) {
	t.Parallel()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	content := pulltest.Noise(1 << 20)
	m := newMirror(t)
	m.Put("/f", content)
	m.always["/f"] = func(_ *mirror, w http.ResponseWriter, r *http.Request, content []byte) {
		for rest := head(w, r, content); len(rest) > 0; {
			n := min(len(rest), 16<<10)
			if _, err := w.Write(rest[:n]); err != nil {
				return
			}
			w.(http.Flusher).Flush()
			rest = rest[n:]
			time.Sleep(500 * time.Microsecond)
		}
	}
	const rounds = 30
	resumed := 0
	for round := range rounds {
		dir := t.TempDir()
		start := func() (*exec.Cmd, io.Reader) {
			cmd := exec.Command(self)
			cmd.Env = append(os.Environ(), killedEnv+"="+fmt.Sprint(m.URL+"/f ", dir, " ", pulltest.SumHex(content), " ", len(content)))
			out, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			cmd.Stderr = os.Stderr
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			return cmd, out
		}
		cmd, out := start()
		// Killed after so many bytes of what it says, from none to all of it.
		if _, err := io.CopyN(io.Discard, out, int64(round*15)); err != nil && err != io.EOF {
			t.Fatal(err)
		}
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = cmd.Wait() // it was killed, or came to its end before
		got, err := get(t, t.Context(), dir, m.URL+"/f", int64(len(content)), digestOf(content))
		if err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		data, err := os.ReadFile(got.path)
		if err != nil || pulltest.SumHex(data) != pulltest.SumHex(content) {
			t.Fatalf("round %d: another file, %v", round, err)
		}
		if left := listing(t, dir); len(left) != 1 {
			t.Errorf("round %d: the cache has %q", round, left)
		}
		if got.reused > 0 {
			resumed++
		}
	}
	if resumed < rounds/2 {
		t.Errorf("%d of %d downloads used what the killed one left", resumed, rounds)
	}
}
