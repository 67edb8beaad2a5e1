package vm

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/corecheck/corecheck/compat/internal/hint"
	"github.com/corecheck/corecheck/kernels"
)

// minVersion is the oldest QEMU that knows all the options used here; the youngest of them is pauth of arm64's
// processors (docs/system/arm/cpu-features.rst of QEMU 6.0).
var minVersion = version{6, 0, 0}

// askTime is how long QEMU may take to answer a question about itself.
const askTime = 20 * time.Second

// maxSaid is how much of what QEMU says about itself is kept, in bytes.
const maxSaid = 64 << 10

type version [3]int

func (v version) String() string { return fmt.Sprintf("%d.%d.%d", v[0], v[1], v[2]) }

func (v version) less(w version) bool {
	return cmp.Or(cmp.Compare(v[0], w[0]), cmp.Compare(v[1], w[1]), cmp.Compare(v[2], w[2])) < 0
}

// versionLine is how --version begins: version() in QEMU's softmmu/vl.c.
var versionLine = regexp.MustCompile(`^QEMU emulator version (\d{1,4})\.(\d{1,4})(?:\.(\d{1,4}))?(?:[^\d.]|$)`)

// parseVersion reads what QEMU says to --version.
func parseVersion(said []byte) (version, bool) {
	m := versionLine.FindSubmatch(said)
	if m == nil {
		return version{}, false
	}
	var v version
	for i := range v {
		v[i], _ = strconv.Atoi(string(m[i+1])) // at most four digits; "" is 0
	}
	return v, true
}

// Find looks for the QEMU that runs guests of an architecture (x86_64, arm64, s390x), and decides how it runs them.
func Find(ctx context.Context, arch string, opt Options) (*QEMU, error) {
	m := machines[arch]
	if m == nil {
		return nil, hint.Errorf("guests can be x86_64, arm64 and s390x", "no guests of architecture %q", arch)
	}
	switch opt.Accel {
	case "", KVM, TCG:
	default:
		return nil, fmt.Errorf("no accelerator %q, there are kvm and tcg", opt.Accel)
	}
	host, _ := kernels.Arch(runtime.GOARCH)
	binary, err := look(opt.Binary, m, arch == host)
	if err != nil {
		return nil, err
	}
	q := &QEMU{Binary: binary, Arch: arch, Accel: TCG}
	said, err := ask(ctx, binary, "--version")
	if err != nil {
		return nil, err
	}
	v, ok := parseVersion(said)
	if !ok {
		return nil, hint.Errorf("is it a QEMU?", "%s --version says %q", binary, firstLine(said))
	}
	q.Version = v.String()
	if v.less(minVersion) {
		return nil, hint.Errorf("install a newer one, or name it with --qemu", "%s is QEMU %s, %s or newer is needed", binary, v, minVersion)
	}
	// A QEMU without seccomp refuses the option before it comes to listing its machines.
	list, err := ask(ctx, binary, "-sandbox", sandbox, "-machine", "help")
	q.Sandbox = err == nil
	if err != nil {
		if list, err = ask(ctx, binary, "-machine", "help"); err != nil {
			return nil, err
		}
	}
	board, _, _ := strings.Cut(m.tcg, ",")
	if !regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(board) + `\s`).Match(list) {
		return nil, hint.Errorf("it is "+m.binary+" that has it", "%s has no machine %q, which guests of %s run on", binary, board, arch)
	}
	return q, q.choose(ctx, host, opt)
}

// choose decides between KVM and TCG.
func (q *QEMU) choose(ctx context.Context, host string, opt Options) error {
	if opt.Accel == TCG {
		q.AccelReason = "TCG was asked for"
		return nil
	}
	reason, err := q.whyNotKVM(ctx, host, opt.CacheDir, cmp.Or(opt.kvm, kvmDevice))
	switch {
	case err != nil:
		return err
	case reason == "":
		q.Accel = KVM
	case opt.Accel == KVM:
		return hint.Errorf("leave the choice to corecheck: TCG works everywhere", "no KVM: %s", reason)
	default:
		q.AccelReason = reason
	}
	return nil
}

// look finds QEMU's file.
func look(named string, m *machine, native bool) (string, error) {
	if named != "" {
		path, err := exec.LookPath(named)
		if err != nil {
			return "", fmt.Errorf("QEMU: %w", err)
		}
		return path, nil
	}
	path, err := exec.LookPath(m.binary)
	if err == nil {
		return path, nil
	}
	if native { // RHEL and its kin have it outside of PATH, for their own architecture only
		if path, err := exec.LookPath("/usr/libexec/qemu-kvm"); err == nil {
			return path, nil
		}
	}
	release, _ := os.ReadFile("/etc/os-release")
	return "", hint.Errorf(install(runtime.GOOS, release, m), "%s is not in PATH", m.binary)
}

// install says how QEMU is installed, by os-release(5).
func install(goos string, release []byte, m *machine) string {
	if goos == "darwin" {
		return "brew install qemu"
	}
	var ids []string
	for line := range strings.Lines(string(release)) {
		if key, value, _ := strings.Cut(strings.TrimSpace(line), "="); key == "ID" || key == "ID_LIKE" {
			value = strings.Trim(value, `"'`)
			if key == "ID" {
				ids = append([]string{value}, ids...)
			} else {
				ids = append(ids, strings.Fields(value)...)
			}
		}
	}
	for _, id := range ids {
		switch id {
		case "debian", "ubuntu":
			if m.binary == "qemu-system-s390x" {
				return "apt-get install qemu-system-s390x, or qemu-system-misc before Debian 13"
			}
			return "apt-get install " + m.packages["debian"]
		case "rhel", "centos":
			return "dnf install " + m.packages["rhel"] + ", which has guests of the host's architecture only"
		case "fedora":
			return "dnf install " + m.packages[id]
		case "suse", "opensuse":
			return "zypper install " + m.packages["suse"]
		case "arch":
			return "pacman -S " + m.packages[id]
		case "alpine":
			return "apk add " + m.packages[id]
		}
	}
	return "install QEMU (package " + m.packages["debian"] + " in Debian), or name its file with --qemu"
}

// ask runs QEMU for what it says about itself.
func ask(ctx context.Context, binary string, args ...string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	out, said := &head{max: maxSaid}, &head{max: maxSaid}
	err := runAndWait(ctx, binary, args, out, said)
	if ctx.Err() == context.DeadlineExceeded {
		return nil, fmt.Errorf("%s %s: no answer in %v", binary, strings.Join(args, " "), askTime)
	}
	if err != nil {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		return nil, fmt.Errorf("%s %s: %w%s", binary, strings.Join(args, " "), err, because(said.Bytes()))
	}
	return out.Bytes(), nil
}

// runAndWait runs a program of QEMU's until it ends, or ctx does.
func runAndWait(ctx context.Context, binary string, args []string, stdout, stderr io.Writer) error {
	cmd := exec.Command(binary, args...)
	cmd.Stdout, cmd.Stderr, cmd.Env, cmd.WaitDelay = stdout, stderr, environment(), pipeTime
	p := start(cmd)
	select {
	case err := <-p.ended:
		return err
	case <-ctx.Done():
		p.kill()
		<-p.ended
		return context.Cause(ctx)
	}
}

// environment is what QEMU sees of ours: with LC_ALL its messages are those that are looked for here.
func environment() []string {
	env := []string{"LC_ALL=C"}
	for _, name := range []string{"PATH", "HOME", "TMPDIR", "LD_LIBRARY_PATH"} {
		if v, ok := os.LookupEnv(name); ok {
			env = append(env, name+"="+v)
		}
	}
	return env
}

// because is what a program said, as the end of an error.
func because(said []byte) string {
	if said = bytes.TrimSpace(said); len(said) == 0 {
		return ""
	}
	lines := strings.Split(string(said), "\n")
	return ": " + strings.Join(lines[:min(len(lines), 5)], "; ")
}

func firstLine(b []byte) string {
	line, _, _ := bytes.Cut(b, []byte("\n"))
	return string(line[:min(len(line), 200)])
}

// head keeps the first bytes of what is written to it.
type head struct {
	b   []byte
	max int
}

func (h *head) Write(b []byte) (int, error) {
	h.b = append(h.b, b[:min(len(b), h.max-len(h.b))]...)
	return len(b), nil
}

func (h *head) Bytes() []byte  { return h.b }
func (h *head) String() string { return string(h.b) }

// exitText says how a program ended.
func exitText(err error) string {
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return exit.String()
	}
	return fmt.Sprint(err)
}
