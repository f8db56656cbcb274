package planeconfig

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"strings"
)

// sinkToken begins the tokens of sinks; "~" may stand in a bearer token (RFC 6750), and in the name of no namespace.
const sinkToken = "sink~"

// SinkToken is what the sinks of a namespace show a receiver in another one. It is made of the receiver's binding token, which
// it does not tell, and goes with it when that is rotated; it may send events and do nothing else.
func SinkToken(binding []byte, namespace string) string {
	mac := hmac.New(sha256.New, binding)
	mac.Write([]byte("trellis sink of " + namespace))
	return sinkToken + namespace + "~" + base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// SinkTokenNamespace is whose sinks a token says that it is of; whether that is so, SinkToken tells.
func SinkTokenNamespace(token string) (namespace string, ok bool) {
	rest, ok := strings.CutPrefix(token, sinkToken)
	namespace, _, both := strings.Cut(rest, "~")
	return namespace, ok && both
}
