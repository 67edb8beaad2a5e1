package pull

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/corecheck/corecheck/btfinfo"
	"github.com/corecheck/corecheck/kernels/archive"
	"github.com/corecheck/corecheck/kernels/kernelstest"
	"github.com/corecheck/corecheck/kernels/pull/pulltest"
)

// need skips a test where a program is not there; make test installs it.
func need(t *testing.T, programs ...string) {
	t.Helper()
	for _, p := range programs {
		if _, err := exec.LookPath(p); err != nil {
			t.Skipf("no %s on this machine", p)
		}
	}
}

// run runs a program in a folder and returns what it prints.
func run(t *testing.T, dir string, program string, args ...string) []byte {
	t.Helper()
	cmd := exec.Command(program, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GNUPGHOME="+filepath.Join(dir, "gnupg"), "HOME="+dir, "LC_ALL=C.UTF-8")
	var out, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("%s %s: %v\n%s", program, strings.Join(args, " "), err, stderr.Bytes())
	}
	return out.Bytes()
}

func write(t testing.TB, name string, data []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, data, 0o644); err != nil {
		t.Fatal(err)
	}
}

// realBTF is a real kernel's BTF, of those that come with corecheck.
func realBTF(t testing.TB) []byte { return kernelstest.Raw(t, kernelstest.IDs[1]) }

// gpgKey makes a key with gpg in dir/gnupg, and returns the file of its public half.
func gpgKey(t *testing.T, dir string) string {
	t.Helper()
	home := filepath.Join(dir, "gnupg")
	if err := os.MkdirAll(home, 0o700); err != nil {
		t.Fatal(err)
	}
	// The agent that gpg starts ends with its folder; ask it to go at once.
	t.Cleanup(func() {
		cmd := exec.Command("gpgconf", "--kill", "all")
		cmd.Env = append(os.Environ(), "GNUPGHOME="+home)
		_ = cmd.Run()
	})
	run(t, dir, "gpg", "--batch", "--passphrase", "", "--quick-gen-key", "Test <test@example.org>", "rsa3072", "sign", "never")
	name := filepath.Join(dir, "key.asc")
	write(t, name, run(t, dir, "gpg", "--armor", "--export"))
	return name
}

// serveDir serves a folder on loopback.
func serveDir(t *testing.T, dir string) *mirror {
	t.Helper()
	m := newMirror(t)
	err := filepath.WalkDir(dir, func(name string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(name)
		rel, _ := filepath.Rel(dir, name)
		m.Put("/"+filepath.ToSlash(rel), data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// A repository as Debian's own tools make it: packages of dpkg-deb, lists of dpkg-scanpackages or apt-ftparchive, a signature
// of gpg. The kernel is a real one, packed anew.
func TestDebianTools(t *testing.T) {
	t.Parallel()
	need(t, "dpkg-deb", "dpkg-scanpackages", "apt-ftparchive", "gpg")
	dir := t.TempDir()
	key := gpgKey(t, dir)
	const uname, version = "6.1.0-50-cloud-amd64", "6.1.176-1"
	banner := "Linux version " + uname + " (debian-kernel@lists.debian.org) (gcc-12 (Debian 12.2.0-14) 12.2.0) #1 SMP Debian " + version + " (2026-07-02)\n\x00"
	btf := realBTF(t)
	image := pulltest.ELF(".rodata", []byte(banner), ".BTF", btf)
	root := filepath.Join(dir, "root")
	write(t, filepath.Join(root, "DEBIAN/control"), []byte("Package: linux-image-"+uname+"\nVersion: "+version+
		"\nArchitecture: amd64\nMaintainer: Debian Kernel Team <debian-kernel@lists.debian.org>\nDescription: Linux\n"))
	write(t, filepath.Join(root, "boot/vmlinuz-"+uname), image)
	write(t, filepath.Join(root, "boot/config-"+uname), []byte(pulltest.Config))
	repo := filepath.Join(dir, "repo")
	pool := filepath.Join(repo, "pool/main/l/linux")
	if err := os.MkdirAll(pool, 0o755); err != nil {
		t.Fatal(err)
	}
	run(t, dir, "dpkg-deb", "--root-owner-group", "-Zxz", "-z1", "--build", root, pool)

	for _, lister := range []string{"dpkg-scanpackages", "apt-ftparchive"} {
		index := filepath.Join(repo, "dists", lister, "main/binary-amd64")
		var list []byte
		if lister == "dpkg-scanpackages" {
			list = run(t, repo, lister, "--multiversion", "pool")
		} else {
			list = run(t, repo, lister, "packages", "pool")
		}
		write(t, filepath.Join(index, "Packages"), list)
		write(t, filepath.Join(index, "Packages.gz"), pulltest.Pack(".gz", list))
		dist := filepath.Join(repo, "dists", lister)
		release := run(t, dist, "apt-ftparchive", "-o", "APT::FTPArchive::Release::Origin=Debian", "-o", "APT::FTPArchive::Release::Codename="+lister,
			"-o", "APT::FTPArchive::Release::Version=12.1", "-o", "APT::FTPArchive::Release::Components=main", "release", ".")
		write(t, filepath.Join(dist, "Release"), release)
		if lister == "dpkg-scanpackages" {
			run(t, dir, "gpg", "--batch", "--clearsign", "-o", filepath.Join(dist, "InRelease"), filepath.Join(dist, "Release"))
		} else {
			run(t, dir, "gpg", "--batch", "--armor", "--detach-sign", "-o", filepath.Join(dist, "Release.gpg"), filepath.Join(dist, "Release"))
		}
	}
	m := serveDir(t, repo)
	for _, suite := range []string{"dpkg-scanpackages", "apt-ftparchive"} {
		p, err := planApt(t, AptOptions{Mirrors: []string{m.URL}, Suites: []string{suite}, Arch: "amd64", Keyrings: []string{key}, Config: &AptConfig{}, Transport: quick()})
		if err != nil {
			t.Errorf("%s: %v", suite, err)
			continue
		}
		builds, sum := fetchAll(t, p, FetchOptions{CacheDir: t.TempDir()})
		b := builds["debian/12/x86_64/"+uname]
		if b == nil || len(sum.Failures) != 0 {
			t.Errorf("%s: %v, %+v", suite, builds, sum)
			continue
		}
		checkBTF(t, b, btf)
	}
}

// checkBTF holds the BTF of a kernel against what it was packed with.
func checkBTF(t *testing.T, b *archive.Build, raw []byte) {
	t.Helper()
	want, err := btfinfo.Parse(raw)
	if err != nil {
		t.Fatal(err)
	}
	if b.BTF == nil || b.BTF.NumTypes() != want.NumTypes() {
		t.Errorf("%s: its BTF is not the one that was packed", b.ID)
	}
}

// A repository as Fedora's tools make it: packages of rpmbuild, lists of createrepo_c, a signature of gpg.
func TestRPMTools(t *testing.T) {
	t.Parallel()
	need(t, "rpmbuild", "createrepo_c", "gpg")
	dir := t.TempDir()
	key := gpgKey(t, dir)
	other := pulltest.NewKey(t, "other")
	const version, release = "6.8.5", "301.fc40"
	uname := version + "-" + release + ".x86_64"
	btf := realBTF(t)
	image := pulltest.ELF(".rodata", []byte("Linux version "+uname+" (mockbuild@x) (gcc (GCC) 14.0.1) #1 SMP PREEMPT_DYNAMIC Thu Apr 11 20:00:00 UTC 2024\n\x00"), ".BTF", btf)
	files := filepath.Join(dir, "files")
	write(t, filepath.Join(files, "vmlinuz"), image)
	write(t, filepath.Join(files, "config"), []byte(pulltest.Config))
	repo := filepath.Join(dir, "repo")
	for _, p := range []struct{ name, version, release, install, list string }{
		{"kernel", version, release, "", ""},
		{"kernel-core", version, release, "mkdir -p %{buildroot}/lib/modules/" + uname + "; cp " + files + "/* %{buildroot}/lib/modules/" + uname, "/lib/modules/" + uname},
		{"kernel-core", "6.8.4", "300.fc40", "mkdir -p %{buildroot}/lib/modules/6.8.4; echo x > %{buildroot}/lib/modules/6.8.4/x; head -c 100000 /dev/urandom > %{buildroot}/lib/modules/6.8.4/y", "/lib/modules/6.8.4"},
		{"kernel-doc", version, release, "", ""},
	} {
		spec := fmt.Sprintf("Name: %s\nVersion: %s\nRelease: %s\nSummary: Linux\nLicense: GPL\nVendor: Fedora Project\n%%description\nLinux\n%%install\n%s\n%%files\n%s\n",
			p.name, p.version, p.release, p.install, p.list)
		file := filepath.Join(dir, p.name+p.version+".spec")
		write(t, file, []byte(spec))
		run(t, dir, "rpmbuild", "-bb", "--quiet", "--target", "x86_64", "--define", "_topdir "+filepath.Join(dir, "rpmbuild"), "--define", "_rpmdir "+repo,
			"--define", "_build_id_links none", "--define", "__os_install_post %{nil}", "--define", "_dbpath "+filepath.Join(dir, "rpmdb"), file)
	}
	for _, c := range []struct{ flag, value string }{{"--general-compress-type", "gz"}, {"--general-compress-type", "xz"}, {"--checksum", "sha512"}} {
		t.Run(c.value, func(t *testing.T) {
			run(t, dir, "createrepo_c", "--no-database", "--quiet", c.flag, c.value, repo)
			md := filepath.Join(repo, "repodata/repomd.xml")
			run(t, dir, "gpg", "--batch", "--yes", "--armor", "--detach-sign", "-o", md+".asc", md)
			m := serveDir(t, repo)
			plan := func(opt RPMOptions) (*Plan, error) {
				opt.Repos, opt.Arch, opt.Transport = []string{m.URL}, "x86_64", quick()
				src, err := NewRPM(opt)
				if err != nil {
					t.Fatal(err)
				}
				return src.Plan(t.Context())
			}
			p, err := plan(RPMOptions{Keys: []string{key}})
			if err != nil {
				t.Fatal(err)
			}
			var names []string
			for _, k := range p.Kernels {
				names = append(names, k.Name+" "+k.Version)
			}
			if want := []string{"kernel-core 6.8.4-300.fc40", "kernel-core 6.8.5-301.fc40"}; !slices.Equal(names, want) || p.Unsigned != "" {
				t.Fatalf("kernels %q, want %q", names, want)
			}
			builds, sum := fetchAll(t, p, FetchOptions{CacheDir: t.TempDir()})
			if len(sum.Failures) != 1 || sum.Failures[0].Kernel.Version != "6.8.4-300.fc40" {
				t.Errorf("failures %+v", sum.Failures)
			}
			b := builds["fedora/40/x86_64/"+uname]
			if b == nil {
				t.Fatalf("%v", builds)
			}
			checkBTF(t, b, btf)
			if b.Version != "6.8.5" || b.Package != "kernel-core" || b.PackageVersion != "6.8.5-301.fc40" || len(b.Sources) != 1 || len(b.Sources[0].SHA256) != 64 {
				t.Errorf("%+v", b.Kernel)
			}
			if p, err = plan(RPMOptions{LatestPerSeries: true}); err != nil || len(p.Kernels) != 1 || p.Kernels[0].Version != "6.8.5-301.fc40" || p.Unsigned == "" {
				t.Errorf("latest per series: %+v, %v", p, err)
			}
			if _, err := plan(RPMOptions{Keys: []string{ringFile(t, true, other)}}); err == nil || !strings.Contains(err.Error(), "which the keyring does not have") {
				t.Errorf("signed by another key: error %v", err)
			}
			m.fault("/repodata/repomd.xml.asc", status(404))
			if _, err := plan(RPMOptions{Keys: []string{key}}); err == nil || !strings.Contains(err.Error(), "there is no repomd.xml.asc") {
				t.Errorf("not signed: error %v", err)
			}
		})
	}
}

// Debian's own lists and one of its kernels, as this machine's apt has them: what apt downloaded is served on loopback, and
// pulled from there with the keys of the system.
func TestDebianArchive(t *testing.T) {
	need(t, "apt-get", "apt-config")
	if testing.Short() {
		t.Skip("-short: a kernel of Debian is not downloaded")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	apt := func(dir string, args ...string) (string, error) {
		cmd := exec.CommandContext(ctx, "apt-get", args...)
		cmd.Dir = dir
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	config, err := SystemApt(ctx)
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(config.Sources, func(s AptSource) bool {
		return strings.HasSuffix(strings.TrimSuffix(s.URI, "/"), "/debian") && slices.Contains(s.Components, "main")
	})
	if i < 0 {
		t.Skip("apt's configuration has no repository of Debian")
	}
	source := config.Sources[i]
	// Lists of its own, so that nothing of the machine's is touched, and no privilege is needed.
	dir := t.TempDir()
	lists := filepath.Join(dir, "lists")
	list := filepath.Join(dir, "sources.list")
	write(t, list, []byte(fmt.Sprintf("deb %s %s %s main\n", signedByOption(source), source.URI, source.Suite)))
	for _, d := range []string{"lists/partial", "cache/archives/partial", "pool"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	own := []string{"-q", "-o", "Dir::State::lists=" + lists, "-o", "Dir::Cache=" + filepath.Join(dir, "cache"), "-o", "Dir::Etc::sourcelist=" + list,
		"-o", "Dir::Etc::sourceparts=-", "-o", "APT::Architecture=amd64", "-o", "APT::Architectures=amd64", "-o", "APT::Sandbox::User=", "-o", "Acquire::Languages=none",
		"-o", "Acquire::GzipIndexes=false", "-o", "Acquire::Retries=3", "-o", "Dir::State::status=/dev/null"}
	if out, err := apt(dir, append(slices.Clone(own), "update")...); err != nil || strings.Contains(out, "\nErr:") {
		t.Skipf("apt can't reach its repository: %v", err)
	}
	b, err := parseBase(source.URI)
	if err != nil {
		t.Fatal(err)
	}
	// apt names what it downloads by its URI, with "_" for "/".
	prefix := strings.ReplaceAll(b.url.Host+strings.TrimSuffix(b.url.Path, "/"), "/", "_") + "_dists_" + strings.ReplaceAll(source.Suite, "/", "_") + "_"
	m := newMirror(t)
	dists := "/debian/dists/" + source.Suite + "/"
	for from, to := range map[string]string{"InRelease": "InRelease", "main_binary-amd64_Packages": "main/binary-amd64/Packages"} {
		data, err := os.ReadFile(filepath.Join(lists, prefix+from))
		if err != nil {
			t.Fatal(err)
		}
		m.Put(dists+to, data)
	}
	p, err := planApt(t, AptOptions{Mirrors: []string{m.URL + "/debian"}, Suites: []string{source.Suite}, Arch: "amd64", Match: []string{"linux-image-*-cloud-amd64"},
		LatestPerSeries: true, AllowExpired: true, Transport: Transport{}})
	if err != nil {
		t.Fatal(err)
	}
	if len(p.Kernels) == 0 {
		t.Fatal("the suite has no kernel of the cloud flavour")
	}
	p.Kernels = p.Kernels[len(p.Kernels)-1:]
	k := p.Kernels[0]
	for _, f := range k.Packages {
		if out, err := apt(filepath.Join(dir, "pool"), append(slices.Clone(own), "download", f.Name+"="+f.Version)...); err != nil {
			t.Skipf("apt can't download %s: %v\n%s", f.Name, err, out)
		}
	}
	debs, err := filepath.Glob(filepath.Join(dir, "pool", "*.deb"))
	if err != nil || len(debs) != len(k.Packages) {
		t.Fatalf("%q, %v", debs, err)
	}
	for _, deb := range debs {
		data, err := os.ReadFile(deb)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range k.Packages {
			if strings.HasPrefix(filepath.Base(deb), f.Name+"_") {
				m.Put(strings.TrimPrefix(f.URI, m.URL), data)
				// Once broken off, so that the rest is asked for.
				m.fault(strings.TrimPrefix(f.URI, m.URL), cut(1_000_000))
			}
		}
	}
	builds, sum := fetchAll(t, p, FetchOptions{CacheDir: t.TempDir()})
	if len(builds) != 1 || len(sum.Failures) != 0 {
		t.Fatalf("%v, %+v", builds, sum)
	}
	for id, b := range builds {
		if b.BTF == nil || b.BTF.NumTypes() < 10_000 || b.Uname != k.Uname || !strings.HasPrefix(id, "debian/") || b.Distro != "debian" {
			t.Errorf("%+v", b.Kernel)
		}
		if len(b.Modules) < 100 {
			t.Errorf("%d modules", len(b.Modules))
		}
		t.Logf("%s %s: %d modules, %d bytes in %s", id, b.PackageVersion, len(b.Modules), sum.Downloaded, sum.Time.Round(time.Millisecond))
	}
}

// signedByOption is the option of a source that names its keys, where they are files.
func signedByOption(s AptSource) string {
	if len(s.SignedBy) == 0 || !filepath.IsAbs(s.SignedBy[0]) {
		return ""
	}
	return "[signed-by=" + strings.Join(s.SignedBy, ",") + "]"
}
