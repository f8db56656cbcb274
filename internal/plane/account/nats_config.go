package account

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nkeys"

	"github.com/trellis-dev/trellis/internal/planeconfig"
)

// NATSConfig writes the part of a server's configuration that says whom it trusts, made of the seeds in the
// engine's Secret: the operator and the system account, whose tokens need a signature, and where the accounts
// are kept. The folder store is the server's, on its claim. The folder unless, which may be empty, is of a server
// that this one is not to replace: where it is, nothing is written.
func NATSConfig(secretDir, outDir, store, unless string) error {
	if unless != "" {
		if _, err := os.Stat(unless); err == nil {
			return fmt.Errorf("the volume has the data of a server by itself or of a cluster, whichever this is not to be (%s), "+
				"and neither can take over the other's: set replicas as they were, or create an Engine of another name", filepath.Base(unless))
		}
	}
	operator, err := readKey(secretDir, planeconfig.KeyOperatorSeed, nkeys.PrefixByteOperator)
	if err != nil {
		return err
	}
	system, err := readKey(secretDir, planeconfig.KeySystemSeed, nkeys.PrefixByteAccount)
	if err != nil {
		return err
	}
	systemID, err := system.PublicKey()
	if err != nil {
		return err
	}
	operatorToken, err := operatorClaims(operator, systemID)
	if err != nil {
		return fmt.Errorf("sign the operator: %w", err)
	}
	claims := jwt.NewAccountClaims(systemID)
	claims.Name = "SYS"
	systemToken, err := claims.Encode(operator)
	if err != nil {
		return fmt.Errorf("sign the system account: %w", err)
	}
	text := fmt.Sprintf(`operator: %s
system_account: %s
resolver { type: full, dir: %q, allow_delete: false, interval: "1m", timeout: "2s" }
resolver_preload { %s: %s }
`, operatorToken, systemID, store, systemID, systemToken)
	if err := os.WriteFile(filepath.Join(outDir, planeconfig.NATSAccountsFile), []byte(text), 0o640); err != nil {
		return fmt.Errorf("write the configuration: %w", err)
	}
	return nil
}

func operatorClaims(operator nkeys.KeyPair, systemID string) (string, error) {
	id, err := operator.PublicKey()
	if err != nil {
		return "", err
	}
	claims := jwt.NewOperatorClaims(id)
	claims.Name, claims.SystemAccount = "trellis", systemID
	return claims.Encode(operator)
}
