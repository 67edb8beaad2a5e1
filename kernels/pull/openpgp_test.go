package pull

import (
	"strings"
	"testing"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp/packet"
	openpgp "github.com/ProtonMail/go-crypto/openpgp/v2"

	"github.com/corecheck/corecheck/kernels/pull/pulltest"
)

// TestExpiredKey: a signature that was made, or says so, while its key was good counts no more once the key has expired.
func TestExpiredKey(t *testing.T) {
	t.Parallel()
	e, err := openpgp.NewEntity("late", "", "late@example.org", &packet.Config{
		Algorithm: packet.PubKeyAlgoEdDSA, KeyLifetimeSecs: 2 * 24 * 3600, Time: func() time.Time { return pulltest.Now.AddDate(0, 0, -1) },
	})
	if err != nil {
		t.Fatal(err)
	}
	text := pulltest.ClearSign(t, []byte("Suite: stable\n"), e) // at testNow, a day before the key expires
	rings := []keyring{{name: "k.gpg", keys: openpgp.EntityList{e, pulltest.NewKey(t, "other")}}}
	for _, tt := range []struct {
		now  time.Time
		want string
	}{
		{pulltest.Now.Add(time.Hour), ""},
		{pulltest.Now.AddDate(0, 0, 2), "which the keyring does not have (k.gpg, expired or revoked keys in it: 1)"},
	} {
		_, err := signed("InRelease", text, current(rings, tt.now), tt.now)
		if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("at %s: %v, want %q", tt.now, err, tt.want)
		}
	}
	if _, err := signed("InRelease", text, rings, pulltest.Now.AddDate(0, 0, 2)); err != nil {
		t.Errorf("with --allow-expired: %v", err)
	}
}
