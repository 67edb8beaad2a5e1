// Package kernelstest gives tests the kernels that they are written against: of the embedded ones, which grow, always the
// same ten.
package kernelstest

import (
	"testing"

	"github.com/corecheck/corecheck/kernels"
)

// IDs are of Debian's cloud kernels for amd64, one of every series from 5.10 to 7.2, oldest first. They have no modules.
var IDs = []string{
	"debian/11/x86_64/5.10.0-46-cloud-amd64",
	"debian/12/x86_64/6.1.0-50-cloud-amd64",
	"debian/13/x86_64/6.12.107+deb13-cloud-amd64",
	"debian/13/x86_64/6.16.12+deb13-cloud-amd64",
	"debian/13/x86_64/6.17.13+deb13-cloud-amd64",
	"debian/13/x86_64/6.18.15+deb13-cloud-amd64",
	"debian/13/x86_64/6.19.14+deb13-cloud-amd64",
	"debian/13/x86_64/7.0.13+deb13-cloud-amd64",
	"debian/13/x86_64/7.1.13+deb13-cloud-amd64",
	"debian/13/x86_64/7.2.12+deb13-cloud-amd64",
}

// Ten returns these kernels of the embedded archive.
func Ten(t testing.TB) []*kernels.Kernel {
	t.Helper()
	all, err := kernels.Embedded()
	if err != nil {
		t.Fatal(err)
	}
	var ten []*kernels.Kernel
	for _, id := range IDs {
		for _, k := range all {
			if k.ID == id {
				ten = append(ten, k)
			}
		}
	}
	if len(ten) != len(IDs) {
		t.Fatalf("%d of the %d kernels that tests are written against are embedded", len(ten), len(IDs))
	}
	return ten
}

// Raw returns the bytes of an embedded kernel's BTF, without modules.
func Raw(t testing.TB, id string) []byte {
	t.Helper()
	a, err := kernels.EmbeddedArchive()
	if err != nil {
		t.Fatal(err)
	}
	i, ok := a.Index(id)
	if !ok {
		t.Fatalf("%s is not embedded", id)
	}
	raw, _, err := a.Raw(i)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}
