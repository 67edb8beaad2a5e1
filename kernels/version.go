package kernels

// Version is an upstream kernel version: 6.1.176.
type Version struct {
	Major, Minor, Patch int
}
