package planeconfig

import "testing"

func TestSinkTokens(t *testing.T) {
	one := SinkToken([]byte("binding"), "apps")
	for name, other := range map[string]string{
		"another namespace": SinkToken([]byte("binding"), "app"), "another receiver": SinkToken([]byte("binding2"), "apps"),
	} {
		if one == other {
			t.Errorf("%s has the same token", name)
		}
	}
	if namespace, ok := SinkTokenNamespace(one); !ok || namespace != "apps" {
		t.Errorf("it is of %q, %v", namespace, ok)
	}
	for _, other := range []string{"", "binding", "sink~", "sink~apps", "a.b.c"} {
		if _, ok := SinkTokenNamespace(other); ok {
			t.Errorf("%q is one of a sink", other)
		}
	}
}
