//go:build e2e

package e2e

import (
	"net/http"
	"testing"

	. "github.com/onsi/gomega"
	"github.com/redis/go-redis/v9"
	corev1 "k8s.io/api/core/v1"

	"github.com/trellis-dev/trellis/api/v1alpha1"
)

// tenant is a namespace with a gateway and an engine, of the same names as any other's.
type tenant struct {
	door
	clientToken, redis, password string
}

// newTenants applies the same in two namespaces.
func newTenants(t *testing.T) (here, there tenant) {
	t.Helper()
	first, second := gateway(newNamespace(t), "chat"), gateway(newNamespace(t), "chat")
	NewWithT(t).Expect(admin.Create(ctx, first)).To(Succeed())
	NewWithT(t).Expect(admin.Create(ctx, second)).To(Succeed())
	return settle(t, first), settle(t, second)
}

func settle(t *testing.T, gw *v1alpha1.RealtimeGateway) tenant {
	t.Helper()
	d := open(t, ready(t, gw))
	engine := d.gateway.Status.Engine.Name + "-eng"
	secret := get(t, &corev1.Secret{}, gw.Namespace, engine+"-binding")
	return tenant{
		door: d, clientToken: d.mint(t, "lobby"),
		redis: forwardService(t, gw.Namespace, engine, 6379), password: string(secret.Data["password"]),
	}
}

// What opens a gateway or an engine in one namespace opens nothing in another.
func TestNamespacesAreIsolated(t *testing.T) {
	t.Parallel()
	here, there := newTenants(t)
	for name, tc := range map[string]struct {
		at    tenant
		token string
		want  int
	}{
		"a binding's token at home":        {here, here.token, http.StatusOK},
		"a binding's token elsewhere":      {there, here.token, http.StatusUnauthorized},
		"and the other way round":          {here, there.token, http.StatusUnauthorized},
		"a client's token at home":         {here, here.clientToken, http.StatusOK},
		"a client's token elsewhere":       {there, here.clientToken, http.StatusUnauthorized},
		"and the other way round, as well": {here, there.clientToken, http.StatusUnauthorized},
		"no token":                         {here, "", http.StatusUnauthorized},
	} {
		t.Run(name, func(t *testing.T) {
			if got := answer(t, tc.at.door, tc.token); got != tc.want {
				t.Errorf("answered %d, want %d", got, tc.want)
			}
		})
	}
	for name, tc := range map[string]struct {
		at       tenant
		password string
		want     OmegaMatcher
	}{
		"Redis by its own password":  {here, here.password, Succeed()},
		"Redis by another's":         {there, here.password, MatchError(ContainSubstring("WRONGPASS"))},
		"Redis without any password": {there, "", MatchError(ContainSubstring("NOAUTH"))},
	} {
		t.Run(name, func(t *testing.T) {
			client := redis.NewClient(&redis.Options{Addr: tc.at.redis, Password: tc.password, MaxRetries: 5})
			defer client.Close()
			NewWithT(t).Expect(client.Ping(ctx).Err()).To(tc.want)
		})
	}
}

// answer is the status of a poll with a token.
func answer(t *testing.T, d door, token string) int {
	t.Helper()
	status := 0
	NewWithT(t).Eventually(func() error {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+d.address+"/v1/rooms/lobby/messages", nil)
		if err != nil {
			return err
		}
		if token != "" {
			req.Header.Set("Authorization", "Bearer "+token)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return err
		}
		status = resp.StatusCode
		return resp.Body.Close()
	}, patience, often).Should(Succeed())
	return status
}
