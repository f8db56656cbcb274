package planeconfig

import (
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"time"
)

// A role of PostgreSQL has one password, and each replica of a plane reads a new one when its kubelet brings it.
const (
	// AccountMounted is how long a plane waits, from when it reads a new password of its account, until it has the
	// engine take that and refuse the one before: by then every replica has read it.
	AccountMounted = 2 * time.Minute
	// AccountSettles is when the engine has it: the kubelets' time, AccountMounted, and some. It must be over before the
	// next rotation, as a plane is not told of more than the password before.
	AccountSettles = 5 * time.Minute
)

// scramIterations are PostgreSQL's own.
const scramIterations = 4096

// PostgresVerifier is what PostgreSQL keeps of a password (RFC 5803, SCRAM-SHA-256), and takes in its place: a statement with it
// may stand in a log. The password is ASCII, as it is not normalised. salt is 16 random bytes.
func PostgresVerifier(password string, salt []byte) (string, error) {
	salted, err := pbkdf2.Key(sha256.New, password, salt, scramIterations, sha256.Size)
	if err != nil {
		return "", fmt.Errorf("derive a key of the password: %w", err)
	}
	mac := func(text string) []byte {
		m := hmac.New(sha256.New, salted)
		_, _ = m.Write([]byte(text))
		return m.Sum(nil)
	}
	stored := sha256.Sum256(mac("Client Key"))
	text := base64.StdEncoding.EncodeToString
	return fmt.Sprintf("SCRAM-SHA-256$%d:%s$%s:%s", scramIterations, text(salt), text(stored[:]), text(mac("Server Key"))), nil
}
