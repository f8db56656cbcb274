package account

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nkeys"

	"github.com/trellis-dev/trellis/internal/planeconfig"
)

// keyURI leads to the servers, in every Secret.
const keyURI = "uri"

func rawSeed(text string) ([]byte, error) {
	raw, err := base64.RawURLEncoding.DecodeString(strings.TrimSpace(text))
	if err != nil || len(raw) != planeconfig.NATSSeedBytes {
		// What it is must not be told.
		return nil, fmt.Errorf("it is not %d bytes in base64url", planeconfig.NATSSeedBytes)
	}
	return raw, nil
}

func keyOf(prefix nkeys.PrefixByte, text string) (nkeys.KeyPair, error) {
	raw, err := rawSeed(text)
	if err != nil {
		return nil, err
	}
	return nkeys.FromRawSeed(prefix, raw)
}

// readKey reads a seed that a Secret holds.
func readKey(dir, name string, prefix nkeys.PrefixByte) (nkeys.KeyPair, error) {
	text, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		return nil, fmt.Errorf("read the Secret: %w", err)
	}
	key, err := keyOf(prefix, string(text))
	if err != nil {
		return nil, fmt.Errorf("the Secret's key %s can not be used: %w", name, err)
	}
	return key, nil
}

// readOptional is empty where there is no such key.
func readOptional(dir, name string) (string, error) {
	text, err := os.ReadFile(filepath.Join(dir, name))
	if errors.Is(err, os.ErrNotExist) {
		return "", nil
	}
	return string(text), err
}

// NATSCredentials are a user's of the account whose seed a consumer's Secret holds: a token signed by the
// account itself, and what signs the server's challenge. The user is the same each time, and may do all
// that the account may. An error does not hold the seed.
func NATSCredentials(seed string) (token string, sign func([]byte) ([]byte, error), err error) {
	account, err := keyOf(nkeys.PrefixByteAccount, seed)
	if err != nil {
		return "", nil, fmt.Errorf("the seed of the account can not be used: %w", err)
	}
	return userOf(account, "plane")
}

// userOf makes a user of an account. Its key is derived from the account's, so that nothing else has to be kept.
func userOf(account nkeys.KeyPair, name string) (token string, sign func([]byte) ([]byte, error), err error) {
	seed, err := account.Seed()
	if err != nil {
		return "", nil, err
	}
	mac := hmac.New(sha256.New, seed)
	mac.Write([]byte("user " + name))
	user, err := nkeys.FromRawSeed(nkeys.PrefixByteUser, mac.Sum(nil))
	if err != nil {
		return "", nil, err
	}
	id, err := user.PublicKey()
	if err != nil {
		return "", nil, err
	}
	claims := jwt.NewUserClaims(id)
	claims.Name = name
	token, err = claims.Encode(account)
	return token, user.Sign, err
}
