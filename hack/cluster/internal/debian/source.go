// Package debian fetches packages of a Debian suite, which may be newer than the machine's own, and unpacks them into
// a folder. It goes to the mirror that the machine is configured for, and leaves fetching and the checking of
// signatures to apt, which works in a private folder here and does not touch the machine's package lists.
package debian

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// source is one entry of apt's configuration.
type source struct {
	URIs, Suites, Components []string
}

// keyring holds the keys of this and the neighbouring releases.
const keyring = "/usr/share/keyrings/debian-archive-keyring.gpg"

// hostSources reads what apt on this machine is configured for, in both of its formats.
func hostSources(dir string) ([]source, error) {
	var all []source
	lists, _ := filepath.Glob(filepath.Join(dir, "sources.list.d", "*"))
	for _, path := range append(lists, filepath.Join(dir, "sources.list")) {
		data, err := os.ReadFile(path)
		if err != nil {
			continue // sources.list is often absent
		}
		switch filepath.Ext(path) {
		case ".sources":
			all = append(all, parseStanzas(string(data))...)
		case ".list":
			all = append(all, parseLines(string(data))...)
		}
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("apt has no sources in %s", dir)
	}
	return all, nil
}

// parseStanzas reads the deb822 format: fields, and a blank line between stanzas.
func parseStanzas(text string) []source {
	var all []source
	for _, stanza := range strings.Split(text, "\n\n") {
		var s source
		enabled := true
		for line := range strings.Lines(stanza) {
			field, value, _ := strings.Cut(strings.TrimSpace(line), ":")
			switch strings.ToLower(field) {
			case "uris":
				s.URIs = strings.Fields(value)
			case "suites":
				s.Suites = strings.Fields(value)
			case "components":
				s.Components = strings.Fields(value)
			case "enabled":
				enabled = strings.TrimSpace(value) != "no"
			}
		}
		if enabled && len(s.URIs) > 0 && len(s.Suites) > 0 {
			all = append(all, s)
		}
	}
	return all
}

// parseLines reads the one-line format: deb [options] URI SUITE COMPONENT…
func parseLines(text string) []source {
	var all []source
	for scanner := bufio.NewScanner(strings.NewReader(text)); scanner.Scan(); {
		line := scanner.Text()
		if before, rest, found := strings.Cut(line, "["); found {
			_, after, _ := strings.Cut(rest, "]")
			line = before + after
		}
		fields := strings.Fields(line)
		if len(fields) >= 3 && fields[0] == "deb" {
			all = append(all, source{fields[1:2], fields[2:3], fields[3:]})
		}
	}
	return all
}

// forSuite derives the sources of another suite: where the machine gets its own release's packages, and its security
// updates, that suite's are got too.
func forSuite(host []source, own, suite string) (string, error) {
	var out strings.Builder
	for suffix, wanted := range map[string]string{"": suite, "-security": suite + "-security", "-updates": suite + "-updates"} {
		for _, s := range host {
			if slices.Contains(s.Suites, own+suffix) && slices.Contains(s.Components, "main") {
				fmt.Fprintf(&out, "Types: deb\nURIs: %s\nSuites: %s\nComponents: main\nSigned-By: %s\n\n",
					strings.Join(s.URIs, " "), wanted, keyring)
				break
			}
		}
	}
	if !strings.Contains(out.String(), "Suites: "+suite+"\n") {
		return "", errors.New("apt's sources name no Debian mirror for " + own + ", this machine's release")
	}
	return out.String(), nil
}

// release reads the machine's own release from /etc/os-release.
func release(path string) (string, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("looking up this machine's release: %w", err)
	}
	for line := range strings.Lines(string(data)) {
		if name, ok := strings.CutPrefix(strings.TrimSpace(line), "VERSION_CODENAME="); ok {
			return strings.Trim(name, `"`), nil
		}
	}
	return "", fmt.Errorf("%s has no VERSION_CODENAME: engine images need a Debian machine", path)
}
