package planeconfig

// What a NATS that Trellis runs has in its Secrets. A seed is 32 random bytes as unpadded base64url text, of
// which a key is made.
const (
	// KeyOperatorSeed and KeySystemSeed are in the engine's Secret: who signs accounts, and the account of the
	// servers themselves.
	KeyOperatorSeed = "operatorSeed"
	KeySystemSeed   = "systemSeed"
	// KeySeed is in a consumer's: its account.
	KeySeed = "seed"
	// KeyCredentials is of an engine that others run: what nsc writes of a user.
	KeyCredentials = "user.creds"
	// KeyAuthority has PEM certificates, where a certificate is not a public one.
	KeyAuthority = "ca.crt"
	// NATSAccountsFile is the part of a server's configuration that the plane's subcommand nats-config writes.
	NATSAccountsFile = "accounts.conf"
	// NATSSeedBytes is the length of a seed.
	NATSSeedBytes = 32
)
