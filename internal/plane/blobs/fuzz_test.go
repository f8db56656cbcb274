package blobs

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/trellis-dev/trellis/internal/plane"
)

// FuzzKey has whatever is said of owner and file lead to a key of the bucket's own, another one for each file.
func FuzzKey(f *testing.F) {
	for _, seed := range []string{"", "a.txt", "../../etc/passwd", "a/b\x00", "${id}", "x.${ext}", "ünï☃.tüt", "a\u202egpj.exe", strings.Repeat("é", 200), "\xff\xfe", "=2f"} {
		f.Add(seed, seed, "in/${owner}/${date}/${id}${ext}")
		f.Add(seed, "b", seed+"${id}")
	}
	at := time.Date(2030, 2, 3, 4, 5, 6, 0, time.UTC)
	const id = "0198a9e4-0000-7000-8000-000000000000"
	f.Fuzz(func(t *testing.T, owner, filename, text string) {
		template := template(text)
		if template.check() != nil {
			return
		}
		key := template.key(id, owner, filename, at)
		if !strings.HasPrefix(key, template.prefix()) || !strings.Contains(key, id) || strings.HasPrefix(key, "/") {
			t.Fatalf("%q makes %q", text, key)
		}
		for part := range strings.SplitSeq(key, "/") {
			if part == ".." || part == "." || part == "" {
				t.Fatalf("%q of %q and %q makes %q", text, owner, filename, key)
			}
		}
		if utf8.ValidString(text) && !plane.Printable(key) {
			t.Fatalf("%q of %q and %q makes %q", text, owner, filename, key)
		}
		if again := numbered(key, Entry{}); again == "" {
			t.Fatalf("%q has no number", key)
		}
	})
}

// FuzzOwners are two, and stay two.
func FuzzOwners(f *testing.F) {
	f.Add("a/b", "a=2fb")
	f.Add("", "_")
	f.Fuzz(func(t *testing.T, one, two string) {
		if one != two && plain(one) == plain(two) {
			t.Fatalf("%q and %q are both %q", one, two, plain(one))
		}
	})
}

// FuzzHints reads notifications of stores, as they are and in CloudEvents.
func FuzzHints(f *testing.F) {
	const s3 = `{"Records":[{"eventName":"ObjectCreated:Put","s3":{"bucket":{"name":"b"},"object":{"key":"in/a+b%2fc","size":5}}}]}`
	for _, seed := range []string{
		s3, `{"Service":"a","Event":"s3:TestEvent"}`, `{"Records":null}`, `{"Records":[null]}`, `[]`, `null`, `{"Records":[{"s3":{"object":{"key":"%zz"}}}]}`, "\xff",
		`{"specversion":"1.0","id":"1","source":"/s","type":"t","data":` + s3 + `}`, `[{"specversion":"1.0","id":"1","source":"/s","type":"t","data":` + s3 + `}]`,
	} {
		for _, contentType := range []string{"application/json", "application/cloudevents+json", "application/cloudevents-batch+json", "text/plain; charset=\"", ""} {
			f.Add([]byte(seed), contentType, "1.0")
			f.Add([]byte(seed), contentType, "")
		}
	}
	f.Fuzz(func(t *testing.T, body []byte, contentType, version string) {
		header := map[string][]string{"Content-Type": {contentType}, "Ce-Id": {"1"}, "Ce-Source": {"/t"}, "Ce-Type": {"t"}}
		if version != "" {
			header["Ce-Specversion"] = []string{version}
		}
		keys, problem := keysOf(header, body)
		if problem != nil {
			text, err := json.Marshal(problem)
			if err != nil || len(text) > 8<<10 || problem.Status < 400 || problem.Status > 499 || problem.Detail == "" {
				t.Fatalf("the problem is not one: %s, %v", text, err)
			}
			return
		}
		if len(keys) > maxHints {
			t.Fatalf("%d keys", len(keys))
		}
		for _, key := range keys {
			if len(key) > maxKeyBytes || !plane.Printable(key) {
				t.Fatalf("the ledger is asked for %q", key)
			}
		}
	})
}
