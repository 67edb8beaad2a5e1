// Package source turns what kernels come in into [archive.Build] values: Debian and RPM packages, boot images, folders of
// modules, BTFHub's folders and tarballs, raw BTF. What a file is, its content decides, never its name alone.
//
// Reading has two steps, because distributions split kernels. [ReadPackage] gives what one package says, a [Part]; [Join] puts
// together the parts that belong to one kernel:
//
//	image, err := source.ReadPackage(ctx, archive.Source{URI: uri, SHA256: sum}, body, opt) // linux-binary-*
//	modules, err := …                                                                       // linux-modules-*
//	builds, errs := source.Join([]*source.Part{image, modules}, opt)
//
// [Read] does both for files and folders on disk.
//
// A package is read as a stream, and only as far as something is wanted: once its image, its configuration and the
// modules that are asked for are out, the rest is neither expanded nor read. Its list of files (md5sums of a .deb, the header of
// a .rpm) tells when that is; without one it is read to its end. Of the modules no more is kept than their .BTF, and of a
// module without BTF nothing. Nothing is ever written, and no path of a package is used on the file system.
//
// What a kernel lacks is said in Build.NoBTF and Build.Missing: an image that was built without BTF, modules that no
// package was given of, a configuration that is not there. What is damaged is an error, a *btfinfo.Error with the name of the file
// and the way inside it; errors of one input don't keep others out.
//
// Limits, for a file of N bytes: a package expands to at most 256 MiB + 64*N, 16 GiB in all; a package's metadata has at
// most 64 MiB, a member 2^20 siblings, an image 64 MiB that are held and any size where it is only passed, a module
// 256 MiB expanded.
package source
