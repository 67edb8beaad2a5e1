// Package pull gets kernels from where distros publish them: Debian-style repositories (NewApt), rpm repositories
// (NewRPM) and folders in BTFHub's layout (NewBTFHub), over http, https or from a folder.
//
// A Source is asked for a Plan: which kernels there are, of which files, how many bytes. Fetch downloads the files of a
// plan, several at once, and hands every kernel over as soon as it is complete.
//
// # What is believed
//
// A repository's index is believed where a key of the keyring signed it, and only the bytes that were signed are read:
// apt's InRelease (or Release with Release.gpg), an rpm repository's repomd.xml with repomd.xml.asc. Everything else
// follows by digest: Packages from Release, a .deb from Packages, primary.xml from repomd.xml, an .rpm from primary.xml.
// Signed indexes with an end of validity are refused after it, since a mirror that shows old ones hides what came after.
// BTFHub signs nothing and publishes no digests; what was read is recorded with its digest, and that is all.
//
// A digest covers a whole file, so a package is downloaded whole, to the cache, and only a file whose size and SHA-256
// (or SHA-512, in rpm repositories) agree gets its name there. Only then is it opened. That costs the download of parts that
// nobody asks for; the decompression, which takes longer than the network on most machines, stops once image, configuration
// and the wanted modules are out. Reading the stream as it comes in would save nothing but a copy on disk, and what was
// read would have to be thrown away where the digest disagrees at the end.
//
// # What a mirror may do
//
// Answer slowly (a transfer without progress is broken off and resumed), close connections, ignore ranges, answer with
// errors for a while, redirect (a bounded number of times, never from https to http), send too much or too little. All of
// this is tried again with growing pauses, and continued where it stopped. What still fails then is reported by name, and
// the rest goes on. Sizes are bounded before a byte is read, and a name in an index is refused where it leads out of
// the repository.
package pull
