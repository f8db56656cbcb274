package debian

import (
	"context"
	"debug/elf"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strings"
)

// description is what apt knows of a package, as far as it matters here.
type description struct {
	section string
	// depends are the first alternatives of Depends and Pre-Depends.
	depends []string
}

// library says whether the package comes along with one that needs it. Of programs only those come that are asked for:
// most that packages depend on serve their installation, which doesn't take place in an image.
func (d description) library() bool { return d.section == "libs" || d.section == "oldlibs" }

// closure adds to the packages the libraries that they need, and those that these need.
func (a Archive) closure(ctx context.Context, packages, without []string) ([]string, error) {
	seen := map[string]bool{}
	for _, w := range without {
		seen[w] = true
	}
	known, err := a.describe(ctx, packages)
	if err != nil {
		return nil, err
	}
	for _, p := range packages {
		if _, ok := known[p]; !ok {
			return nil, fmt.Errorf("%s has no package %s", a.Suite, p)
		}
	}
	var names []string
	for todo := known; len(todo) > 0; {
		var needed []string
		for name, d := range todo {
			if seen[name] {
				continue
			}
			seen[name] = true
			names = append(names, name)
			needed = append(needed, d.depends...)
		}
		all, err := a.describe(ctx, needed)
		if err != nil {
			return nil, err
		}
		todo = map[string]description{}
		for name, d := range all {
			if d.library() && !seen[name] {
				todo[name] = d
			}
		}
	}
	sort.Strings(names)
	return names, nil
}

// describe asks apt about packages. Of virtual ones it knows nothing.
func (a Archive) describe(ctx context.Context, names []string) (map[string]description, error) {
	if len(names) == 0 {
		return nil, nil
	}
	output, err := a.run(ctx, "apt-cache", append([]string{"show", "--no-all-versions", "--quiet"}, names...)...)
	if err != nil && output == "" {
		return nil, fmt.Errorf("asking apt about %s: %w", strings.Join(names, ", "), err)
	}
	return parseDescriptions(output), nil
}

func parseDescriptions(text string) map[string]description {
	all := map[string]description{}
	for _, stanza := range strings.Split(text, "\n\n") {
		var name string
		var d description
		for line := range strings.Lines(stanza) {
			field, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
			switch field {
			case "Package":
				name = value
			case "Section":
				d.section = value
			case "Depends", "Pre-Depends":
				d.depends = append(d.depends, firstAlternatives(value)...)
			}
		}
		if name != "" {
			all[name] = d
		}
	}
	return all
}

// firstAlternatives reads "a (>= 1), b | c, d:any" as a, b, d.
func firstAlternatives(field string) []string {
	var names []string
	for _, dependency := range strings.Split(field, ",") {
		first, _, _ := strings.Cut(dependency, "|")
		if words := strings.Fields(first); len(words) > 0 {
			name, _, _ := strings.Cut(words[0], ":")
			names = append(names, name)
		}
	}
	return names
}

// checkLibraries makes sure that every program in root finds the shared libraries that it needs there.
func checkLibraries(root string) error {
	have := map[string]bool{}
	for _, pattern := range []string{"usr/lib/*.so*", "usr/lib/*-linux-gnu*/*.so*", "usr/lib/*-linux-gnu*/*/*.so*", "usr/lib64/*.so*"} {
		found, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil {
			return err
		}
		for _, path := range found {
			have[filepath.Base(path)] = true
		}
	}
	var lacking []error
	for _, dir := range []string{"usr/bin", "usr/sbin", "usr/lib"} {
		err := filepath.WalkDir(filepath.Join(root, dir), func(path string, d fs.DirEntry, err error) error {
			if err != nil || !d.Type().IsRegular() {
				return err
			}
			for _, needed := range importedLibraries(path) {
				if !have[needed] {
					lacking = append(lacking, fmt.Errorf("%s needs %s, which no package brought", strings.TrimPrefix(path, root), needed))
				}
			}
			return nil
		})
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("checking libraries: %w", err)
		}
	}
	return errors.Join(lacking...)
}

// importedLibraries is empty for what is no ELF file.
func importedLibraries(path string) []string {
	f, err := elf.Open(path)
	if err != nil {
		return nil
	}
	defer f.Close()
	needed, err := f.ImportedLibraries()
	if err != nil {
		return nil
	}
	return needed
}
