package debian

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const stanzas = `# a remark
Types: deb
URIs: http://mirror.test/debian
Suites: bookworm bookworm-updates
Components: main
Signed-By: /some/key.gpg

Types: deb
URIs: http://mirror.test/debian-security
Suites: bookworm-security
Components: main

Types: deb
URIs: http://other.test/
Suites: bookworm
Components: contrib
Enabled: no
`

func TestForSuiteDerivesFromTheHost(t *testing.T) {
	got, err := forSuite(parseStanzas(stanzas), "bookworm", "trixie")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"URIs: http://mirror.test/debian\nSuites: trixie\nComponents: main\nSigned-By: " + keyring,
		"URIs: http://mirror.test/debian\nSuites: trixie-updates\n",
		"URIs: http://mirror.test/debian-security\nSuites: trixie-security\n",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("it lacks\n%s\nin\n%s", want, got)
		}
	}
	if strings.Contains(got, "other.test") {
		t.Error("a disabled source was used")
	}
	if _, err := forSuite(parseStanzas(stanzas), "sid", "trixie"); err == nil {
		t.Error("a mirror was found for a release that the machine doesn't use")
	}
}

func TestHostSourcesReadsBothFormats(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "sources.list.d"), 0o755); err != nil {
		t.Fatal(err)
	}
	line := "# deb http://no.test/ x main\ndeb [arch=amd64 signed-by=/k.gpg] http://mirror.test/debian bookworm main contrib\n"
	for name, content := range map[string]string{"sources.list": line, "sources.list.d/x.sources": stanzas, "sources.list.d/notes.txt": "deb no no no"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := hostSources(dir)
	if err != nil {
		t.Fatal(err)
	}
	want := []source{
		{[]string{"http://mirror.test/debian"}, []string{"bookworm", "bookworm-updates"}, []string{"main"}},
		{[]string{"http://mirror.test/debian-security"}, []string{"bookworm-security"}, []string{"main"}},
		{[]string{"http://mirror.test/debian"}, []string{"bookworm"}, []string{"main", "contrib"}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestParseDescriptions(t *testing.T) {
	got := parseDescriptions("Package: a\nSection: database\nPre-Depends: libc6:any\nDepends: adduser, zlib1g (>= 1:1.1), x | y\n\nPackage: zlib1g\nSection: libs\n\n")
	want := map[string]description{
		"a":      {"database", []string{"libc6", "adduser", "zlib1g", "x"}},
		"zlib1g": {"libs", nil},
	}
	for name, d := range want {
		if diff := cmp.Diff(d.depends, got[name].depends); diff != "" || got[name].section != d.section {
			t.Errorf("%s in section %q, -want +got:\n%s", name, got[name].section, diff)
		}
	}
	if got["a"].library() || !got["zlib1g"].library() {
		t.Error("what is a library and what isn't was mixed up")
	}
}

// A program whose library is missing must be found out before a pod fails over it.
func TestCheckLibraries(t *testing.T) {
	root := t.TempDir()
	if err := os.MkdirAll(filepath.Join(root, "usr", "bin"), 0o755); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile("/bin/sh")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(root, "usr", "bin", "sh"), data, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := checkLibraries(root); err == nil || !strings.Contains(err.Error(), "/usr/bin/sh needs libc.so.6") {
		t.Errorf("got %v", err)
	}
}
