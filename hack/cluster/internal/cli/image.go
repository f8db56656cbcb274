package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"

	"github.com/spf13/cobra"

	"github.com/trellis-dev/trellis/hack/cluster/internal/images"
)

// imageFlags declare an image of static executables.
type imageFlags struct {
	image      string
	out        string
	binaries   []string
	files      []string
	entrypoint []string
	cmd        []string
	env        []string
	user       int
}

func imageCommand() *cobra.Command {
	f := &imageFlags{}
	cmd := &cobra.Command{
		Use:   "image",
		Short: "Assemble an image from static executables, without Docker",
		Example: `  trellis-cluster image --image ghcr.io/trellis-dev/trellis:dev --binary bin/manager=/trellis --out trellis.tar
  trellis-cluster load trellis.tar`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := f.assemble(); err != nil {
				return err
			}
			fmt.Fprintln(cmd.OutOrStdout(), f.out)
			return nil
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&f.image, "image", "", "the image's full name, with registry and tag")
	flags.StringVar(&f.out, "out", "", "the file to write")
	flags.StringArrayVar(&f.binaries, "binary", nil, "FILE=/PATH of an executable; the first one is the entrypoint, unless --entrypoint is given")
	flags.StringArrayVar(&f.files, "file", nil, "FILE=/PATH of another file")
	flags.StringArrayVar(&f.entrypoint, "entrypoint", nil, "a word of the entrypoint; may be repeated")
	flags.StringArrayVar(&f.cmd, "cmd", nil, "a default argument; may be repeated")
	flags.StringArrayVar(&f.env, "env", nil, "NAME=VALUE; may be repeated")
	flags.IntVar(&f.user, "user", images.NonRoot, "the user's and group's number")
	for _, required := range []string{"image", "out", "binary"} {
		_ = cmd.MarkFlagRequired(required) // fails only for a flag that doesn't exist
	}
	return cmd
}

func (f *imageFlags) assemble() error {
	user := images.Identity{Name: "nonroot", ID: f.user}
	binaries, err := placed(f.binaries, 0o755)
	if err != nil {
		return err
	}
	files, err := placed(f.files, 0o644)
	if err != nil {
		return err
	}
	for _, b := range binaries {
		if err := images.CheckStatic(b.Source); err != nil {
			return err
		}
	}
	entrypoint := f.entrypoint
	if len(entrypoint) == 0 {
		entrypoint = []string{binaries[0].Path}
	}
	settings := images.Settings{Name: f.image, Entrypoint: entrypoint, Cmd: f.cmd, User: user,
		Env: append([]string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/"}, f.env...)}
	return images.Assemble(f.out, settings, images.Base(user), append(files, binaries...))
}

// placed reads FILE=/PATH.
func placed(args []string, mode fs.FileMode) ([]images.Entry, error) {
	var entries []images.Entry
	for _, arg := range args {
		source, target, found := strings.Cut(arg, "=")
		if !found || source == "" || !path.IsAbs(target) {
			return nil, errors.New("write FILE=/PATH, not " + arg)
		}
		entries = append(entries, images.Entry{Path: target, Source: source, Mode: mode})
	}
	return entries, nil
}
