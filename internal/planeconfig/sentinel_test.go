package planeconfig

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseSentinelURI(t *testing.T) {
	one := []string{"a:26379"}
	tests := []struct {
		name, uri string
		want      Sentinel
		ok        bool
	}{
		{"all of it", "redis+sentinel://app:s3cret@a:26379,b:26380,c/mymaster/2\n", Sentinel{
			Addresses: []string{"a:26379", "b:26380", "c:26379"}, Master: "mymaster", Database: 2,
			Username: "app", Password: "s3cret", SentinelUsername: "app", SentinelPassword: "s3cret"}, true},
		{"the least", "redis+sentinel://a/m", Sentinel{Addresses: one, Master: "m"}, true},
		{"an encoded password", "redis+sentinel://:a%2Fb%40c@a/m", Sentinel{
			Addresses: one, Master: "m", Password: "a/b@c", SentinelPassword: "a/b@c"}, true},
		{"credentials of the Sentinels", "redis+sentinel://u:p@a/m?sentinel_username=s&sentinel_password=t", Sentinel{
			Addresses: one, Master: "m", Username: "u", Password: "p", SentinelUsername: "s", SentinelPassword: "t"}, true},
		{"an IPv6 address", "redis+sentinel://[::1]:26379/m", Sentinel{Addresses: []string{"[::1]:26379"}, Master: "m"}, true},
		{"another scheme", "redis://s3cret@a/m", Sentinel{}, false},
		{"no name", "redis+sentinel://:s3cret@a", Sentinel{}, false},
		{"no host", "redis+sentinel://:s3cret@/m", Sentinel{}, false},
		{"an empty host", "redis+sentinel://:s3cret@a,,b/m", Sentinel{}, false},
		{"a port that is none", "redis+sentinel://:s3cret@a:port/m", Sentinel{}, false},
		{"a database that is none", "redis+sentinel://:s3cret@a/m/first", Sentinel{}, false},
		{"a % in the password", "redis+sentinel://:s3cret%@a/m", Sentinel{}, false},
		{"a # in the password", "redis+sentinel://:s3cret#x@a/m", Sentinel{}, false},
		{"an option that is none", "redis+sentinel://:s3cret@a/m?s3cret=1", Sentinel{}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := ParseSentinelURI(tt.uri)
			if (err == nil) != tt.ok {
				t.Fatalf("error is %v", err)
			}
			if err != nil {
				if strings.Contains(err.Error(), "s3cret") {
					t.Errorf("the password shows in %q", err)
				}
				return
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}
