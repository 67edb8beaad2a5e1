package pull

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp/armor"
	"github.com/ProtonMail/go-crypto/openpgp/clearsign"
	pgperrors "github.com/ProtonMail/go-crypto/openpgp/errors"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
	openpgp "github.com/ProtonMail/go-crypto/openpgp/v2"

	"github.com/corecheck/corecheck/btfinfo"
)

// maxKeyring is the most bytes that a keyring may have. Debian's, with every key that it ever had, has 73 KB.
const maxKeyring = 16 << 20

// A keyring is one file of keys.
type keyring struct {
	name string // of the file
	keys openpgp.EntityList
	err  error // why an optional one can't be read
	late int   // keys that were left out: they have expired, or were revoked
}

// readKeyring reads a file of public keys, binary (.gpg) or armored (.asc): which of both tells the content.
func readKeyring(name string) (keyring, error) {
	info, err := os.Stat(name)
	if err != nil {
		return keyring{}, err
	}
	if info.Size() > maxKeyring {
		return keyring{}, &btfinfo.Error{File: name, Off: -1, Msg: fmt.Sprintf("keyring of %d bytes, at most %d are read", info.Size(), maxKeyring)}
	}
	data, err := os.ReadFile(name)
	if err != nil {
		return keyring{}, err
	}
	return parseKeyring(name, data)
}

func parseKeyring(name string, data []byte) (keyring, error) {
	fail := func(err error) (keyring, error) {
		return keyring{}, &btfinfo.Error{File: name, Off: -1, Msg: "no OpenPGP keyring", Err: err,
			Hint: "a keyring is what gpg --export writes, with or without --armor"}
	}
	k := keyring{name: name}
	armored := []byte("-----BEGIN PGP PUBLIC KEY BLOCK-----")
	if !bytes.Contains(data, armored) {
		keys, err := openpgp.ReadKeyRing(bytes.NewReader(data))
		if err != nil {
			return fail(err)
		}
		k.keys = keys
	}
	// An armored file may hold several blocks, one behind the other.
	for rest := data; ; {
		i := bytes.Index(rest, armored)
		if i < 0 {
			break
		}
		end := bytes.Index(rest[i:], []byte("-----END PGP PUBLIC KEY BLOCK-----"))
		if end < 0 {
			return fail(errors.New("an armored block has no end"))
		}
		block, err := armor.Decode(bytes.NewReader(rest[i:]))
		if err != nil {
			return fail(err)
		}
		keys, err := openpgp.ReadKeyRing(block.Body)
		if err != nil {
			return fail(err)
		}
		k.keys = append(k.keys, keys...)
		rest = rest[i+end:]
	}
	if len(k.keys) == 0 {
		return fail(errors.New("there is no key in it"))
	}
	return k, nil
}

// readKeyrings reads files and folders (of *.gpg and *.asc, as apt takes them). Where all are optional, as those of the
// system are, one that is not there is passed over, and one that can't be read is named when a signature is called unknown:
// it may be in gpg's keybox format, which apt passes over as well.
func readKeyrings(names []string, optional bool) ([]keyring, error) {
	var all []keyring
	add := func(name string) error {
		k, err := readKeyring(name)
		if err != nil && !optional {
			return err
		}
		if err != nil {
			k = keyring{name: name, err: err}
		}
		all = append(all, k)
		return nil
	}
	for _, name := range names {
		info, err := os.Stat(name)
		if optional && (name == "" || errors.Is(err, os.ErrNotExist)) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if !info.IsDir() {
			if err := add(name); err != nil {
				return nil, err
			}
			continue
		}
		entries, err := os.ReadDir(name)
		if err != nil {
			return nil, err
		}
		for _, e := range entries {
			if ext := filepath.Ext(e.Name()); ext != ".gpg" && ext != ".asc" {
				continue
			}
			if err := add(filepath.Join(name, e.Name())); err != nil {
				return nil, err
			}
		}
	}
	return all, nil
}

// only keeps the keys of these fingerprints, of a primary key or of a subkey: what deb822's Signed-By may name instead
// of a file (sources.list(5)). A trailing "!" asks for exactly that subkey; it is the same here, since the keyring holds
// no more than the entity of the key, and another subkey of it is the same owner's.
func only(rings []keyring, fingerprints []string) []keyring {
	var out []keyring
	for _, ring := range rings {
		k := keyring{name: ring.name}
		for _, e := range ring.keys {
			if slices.ContainsFunc(fingerprints, func(f string) bool { return hasFingerprint(e, f) }) {
				k.keys = append(k.keys, e)
			}
		}
		if len(k.keys) > 0 {
			out = append(out, k)
		}
	}
	return out
}

// current leaves out keys and subkeys that have expired or were revoked by now, as gpgv does for apt (EXPKEYSIG, REVKEYSIG): who
// has such a key can date a signature back to when it was good, which is all that the library asks for.
func current(rings []keyring, now time.Time) []keyring {
	late := func(err error) bool {
		return errors.Is(err, pgperrors.ErrKeyExpired) || errors.Is(err, pgperrors.ErrKeyRevoked)
	}
	config := &packet.Config{Time: func() time.Time { return now }}
	out := slices.Clone(rings)
	for i := range out {
		out[i].keys = nil
		for _, e := range rings[i].keys {
			if _, err := e.VerifyPrimaryKey(now, config); late(err) {
				out[i].late++
				continue
			}
			c := *e
			c.Subkeys = slices.DeleteFunc(slices.Clone(e.Subkeys), func(s openpgp.Subkey) bool {
				_, err := s.Verify(now, config)
				return late(err)
			})
			out[i].late += len(e.Subkeys) - len(c.Subkeys)
			out[i].keys = append(out[i].keys, &c)
		}
	}
	return out
}

func hasFingerprint(e *openpgp.Entity, fingerprint string) bool {
	want := strings.ToUpper(strings.TrimSuffix(fingerprint, "!"))
	if fmt.Sprintf("%X", e.PrimaryKey.Fingerprint) == want {
		return true
	}
	for _, s := range e.Subkeys {
		if fmt.Sprintf("%X", s.PublicKey.Fingerprint) == want {
			return true
		}
	}
	return false
}

// signed returns what was signed of a clear-signed file (RFC 9580, 7), if a key of the keyrings signed it. Nothing may
// stand before or behind the signed text: a reader that takes other lines than the verifier is how such files lie.
func signed(name string, data []byte, rings []keyring, now time.Time) ([]byte, error) {
	const begin = "-----BEGIN PGP SIGNED MESSAGE-----"
	if !bytes.HasPrefix(data, []byte(begin)) {
		return nil, &btfinfo.Error{File: name, Off: 0, Msg: fmt.Sprintf("not signed: it begins with %q, not with %q", firstLine(data), begin)}
	}
	block, rest := clearsign.Decode(data)
	if block == nil {
		return nil, &btfinfo.Error{File: name, Off: -1, Msg: "the signed text, or its signature, is malformed"}
	}
	if len(bytes.TrimSpace(rest)) > 0 {
		return nil, &btfinfo.Error{File: name, Off: int64(len(data) - len(rest)), Msg: fmt.Sprintf("%d bytes behind the signature", len(rest))}
	}
	var signature bytes.Buffer
	if _, err := signature.ReadFrom(block.ArmoredSignature.Body); err != nil {
		return nil, &btfinfo.Error{File: name, Off: -1, Msg: "the signature is malformed", Err: err}
	}
	if err := verify(name, block.Bytes, signature.Bytes(), rings, now); err != nil {
		return nil, err
	}
	return block.Plaintext, nil
}

// signedBy checks a detached signature, armored or binary.
func signedBy(name string, data, signature []byte, rings []keyring, now time.Time) error {
	if bytes.HasPrefix(bytes.TrimSpace(signature), []byte("-----BEGIN ")) {
		block, err := armor.Decode(bytes.NewReader(signature))
		if err != nil {
			return &btfinfo.Error{File: name, Off: -1, Msg: "the signature is malformed", Err: err}
		}
		if block.Type != "PGP SIGNATURE" {
			return &btfinfo.Error{File: name, Off: -1, Msg: fmt.Sprintf("%q where its signature should be", block.Type)}
		}
		var b bytes.Buffer
		if _, err := b.ReadFrom(block.Body); err != nil {
			return &btfinfo.Error{File: name, Off: -1, Msg: "the signature is malformed", Err: err}
		}
		signature = b.Bytes()
	}
	return verify(name, data, signature, rings, now)
}

// verify: one valid signature by a key of one keyring suffices, as for apt. A distro signs with the keys of several
// releases, and a machine has not all of them.
func verify(name string, data, signature []byte, rings []keyring, now time.Time) error {
	config := &packet.Config{Time: func() time.Time { return now }}
	var failed error
	for _, ring := range rings {
		if ring.err != nil {
			continue
		}
		_, _, err := openpgp.VerifyDetachedSignature(ring.keys, bytes.NewReader(data), bytes.NewReader(signature), config)
		if err == nil {
			return nil
		}
		// A key that is there and does not agree says more than one that is not there.
		if failed == nil || !errors.Is(err, pgperrors.ErrUnknownIssuer) {
			failed = err
		}
	}
	e := &btfinfo.Error{File: name, Off: -1}
	signers := issuers(signature)
	switch {
	case len(rings) == 0:
		e.Msg = "there is no keyring to check its signature by " + signers + " with"
		e.Hint = "name one with --keyring FILE"
	case failed == nil, errors.Is(failed, pgperrors.ErrUnknownIssuer):
		e.Msg = fmt.Sprintf("signed by %s, which the keyring does not have (%s)", signers, names(rings))
		e.Hint = "--keyring FILE names the keyring of who publishes the repository"
	default:
		e.Msg, e.Err = "the signature by "+signers+" is not valid", failed
	}
	return e
}

// names lists the keyrings that were asked.
func names(rings []keyring) string {
	const most = 3
	var s []string
	for i, r := range rings {
		if i == most {
			s = append(s, fmt.Sprintf("and %d more", len(rings)-most))
			break
		}
		if r.err != nil {
			s = append(s, r.name+", which can't be read")
			continue
		}
		if r.late > 0 {
			s = append(s, fmt.Sprintf("%s, expired or revoked keys in it: %d", r.name, r.late))
			continue
		}
		s = append(s, r.name)
	}
	return strings.Join(s, ", ")
}

// issuers names the keys that made a signature, as far as it says.
func issuers(signature []byte) string {
	var ids []string
	packets := packet.NewReader(bytes.NewReader(signature))
	for len(ids) < 8 {
		p, err := packets.Next()
		if err != nil {
			break
		}
		sig, ok := p.(*packet.Signature)
		if !ok {
			continue
		}
		switch {
		case len(sig.IssuerFingerprint) > 0:
			ids = append(ids, fmt.Sprintf("%X", sig.IssuerFingerprint))
		case sig.IssuerKeyId != nil:
			ids = append(ids, fmt.Sprintf("%016X", *sig.IssuerKeyId))
		}
	}
	if len(ids) == 0 {
		return "an unnamed key"
	}
	return "key " + strings.Join(ids, " and ")
}

// firstLine is the beginning of a file, for messages.
func firstLine(data []byte) string {
	line, _, _ := bytes.Cut(data[:min(len(data), 60)], []byte("\n"))
	return string(line)
}
