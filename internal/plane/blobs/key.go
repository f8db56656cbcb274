package blobs

import (
	"fmt"
	"path"
	"regexp"
	"strings"
	"time"
	"unicode"
)

const (
	// maxKeyBytes is what S3 takes.
	maxKeyBytes = 1024
	// maxExtension of a key, its dot included.
	maxExtension = 16
)

// template of keys. What strangers say gets into a key only as letters, digits, - and _: no key leads out of its prefix.
type template string

// check the template itself. An error says what to change.
func (t template) check() error {
	if !strings.Contains(string(t), "${id}") {
		return fmt.Errorf("keyTemplate %q has no ${id}, so that two files could have one key: add it", string(t))
	}
	rest := string(t)
	for _, known := range []string{"${id}", "${owner}", "${date}", "${ext}"} {
		rest = strings.ReplaceAll(rest, known, "x")
	}
	if strings.ContainsAny(rest, "${}\\") || strings.ContainsFunc(rest, unicode.IsControl) {
		return fmt.Errorf("keyTemplate %q has something other than ${id}, ${owner}, ${date} and ${ext} in it: remove that", string(t))
	}
	if strings.HasPrefix(rest, "/") || path.Clean(rest) != rest || strings.HasPrefix(rest, "../") {
		return fmt.Errorf("keyTemplate %q is not a plain path: write it without a first /, without // and without dots as parts", string(t))
	}
	return nil
}

// prefix that all keys of the template begin with.
func (t template) prefix() string {
	before, _, _ := strings.Cut(string(t), "${")
	return before
}

// key of a file.
func (t template) key(id, owner, filename string, at time.Time) string {
	if owner = plain(owner); owner == "" {
		owner = "_"
	}
	return strings.NewReplacer("${id}", id, "${owner}", owner, "${date}", at.UTC().Format("2006/01/02"), "${ext}", extension(filename)).Replace(string(t))
}

// extension of a file's name, its dot included, or nothing where it has none that is harmless.
func extension(filename string) string {
	ext := strings.ToLower(path.Ext(filename))
	if len(ext) < 2 || len(ext) > maxExtension || plain(ext[1:]) != ext[1:] {
		return ""
	}
	return ext
}

// plain has each byte that is no ASCII letter or digit, - or _ stand as =xx, so that two texts stay two.
func plain(s string) string {
	var out strings.Builder
	for _, c := range []byte(s) {
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_' {
			out.WriteByte(c)
		} else {
			fmt.Fprintf(&out, "=%02x", c)
		}
	}
	return out.String()
}

// numbered is a key with the file's revision behind its id, for a file that has to leave the key without it.
func numbered(key string, e Entry) string {
	at := strings.LastIndex(key, e.ID)
	if at < 0 {
		return key
	}
	return key[:at] + afterID.ReplaceAllLiteralString(key[at:], fmt.Sprintf("%s.r%d", e.ID, e.Revision))
}

// afterID is an id, and the revision behind it.
var afterID = regexp.MustCompile(`^[0-9a-f-]{36}(\.r[0-9]+)?`)
