package pki

import (
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"

	"github.com/trellis-dev/trellis/hack/cluster/internal/wholefile"
)

const kubeconfigForm = `apiVersion: v1
kind: Config
current-context: %[1]s
clusters:
- name: %[1]s
  cluster:
    server: %[2]s
    certificate-authority-data: %[3]s
contexts:
- name: %[1]s
  context:
    cluster: %[1]s
    user: %[1]s
users:
- name: %[1]s
  user:
    client-certificate-data: %[4]s
    client-key-data: %[5]s
`

// WriteKubeconfig writes a kubeconfig that holds everything it needs, for a user whose pair is in dir. The context,
// cluster and user in it bear the given name.
func WriteKubeconfig(path, dir, user, name, server string) error {
	var data []any
	for _, file := range []string{"ca.crt", user + ".crt", user + ".key"} {
		content, err := os.ReadFile(filepath.Join(dir, file))
		if err != nil {
			return fmt.Errorf("writing the kubeconfig of %s: %w", user, err)
		}
		data = append(data, base64.StdEncoding.EncodeToString(content))
	}
	config := fmt.Sprintf(kubeconfigForm, append([]any{name, server}, data...)...)
	return wholefile.Write(path, []byte(config), 0o600)
}
