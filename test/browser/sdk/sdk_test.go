package sdk

import (
	"crypto/sha256"
	"encoding/hex"
	"testing"
)

// The SDK is what its authors published under Version.
func TestSDKIsTheOfficialOne(t *testing.T) {
	const want = "2e9a24e8495900b030008edd8a8d3746a218a213044b5ed15635fbadac24d4b8"
	data, err := files.ReadFile("centrifuge.js")
	if err != nil {
		t.Fatal(err)
	}
	if sum := sha256.Sum256(data); hex.EncodeToString(sum[:]) != want {
		t.Errorf("centrifuge.js has the hash %x, and that of version %s has %s", sum, Version, want)
	}
}
