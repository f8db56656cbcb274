package runner

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/trellis-dev/trellis/pkg/jobs"
)

// folderPrefix marks the folders that are a runner's.
const folderPrefix = "job-"

// folder is a job's own, gone with it.
type folder struct {
	path, payload, result, progress string
}

func newFolder(workDir string, payload []byte) (*folder, error) {
	path, err := os.MkdirTemp(workDir, folderPrefix)
	if err != nil {
		return nil, err
	}
	f := &folder{path: path, payload: filepath.Join(path, "payload"), result: filepath.Join(path, "result"),
		progress: filepath.Join(path, "progress")}
	if err := os.WriteFile(f.payload, payload, 0o600); err != nil {
		return nil, errors.Join(err, f.remove())
	}
	return f, nil
}

func (f *folder) remove() error { return removeAll(f.path) }

// readResult reads the result file, where the command wrote one. It follows no link and waits for no pipe.
func (f *folder) readResult(limit int64) (data []byte, written bool, err error) {
	file, err := os.OpenFile(f.result, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, err
	}
	defer func() { _ = file.Close() }()
	info, err := file.Stat()
	switch {
	case err != nil:
		return nil, false, err
	case !info.Mode().IsRegular():
		return nil, false, errors.New("$TRELLIS_RESULT_FILE is not a regular file")
	}
	data, err = io.ReadAll(io.LimitReader(file, limit+1))
	if err == nil && int64(len(data)) > limit {
		err = errTooLarge
	}
	return data, true, err
}

// removeLeftOvers removes what a runner that was killed left in workDir.
func removeLeftOvers(workDir string) error {
	entries, err := os.ReadDir(workDir)
	if err != nil {
		return fmt.Errorf("workDir: %w", err)
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), folderPrefix) && e.IsDir() {
			if err := removeAll(filepath.Join(workDir, e.Name())); err != nil {
				return fmt.Errorf("remove what is left of an earlier job: %w", err)
			}
		}
	}
	return nil
}

// removeAll also removes folders that the command made unwritable.
func removeAll(path string) error {
	if os.RemoveAll(path) == nil {
		return nil
	}
	_ = filepath.WalkDir(path, func(p string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			_ = os.Chmod(p, 0o700) // RemoveAll says what remains
		}
		return nil
	})
	return os.RemoveAll(path)
}

// environment is what a command is told beside its container's variables.
func environment(task *jobs.Task, dir *folder) []string {
	env := []string{
		"TRELLIS_JOB_ID=" + task.Job.ID,
		"TRELLIS_JOB_TYPE=" + task.Job.Type,
		"TRELLIS_JOB_ATTEMPT=" + strconv.Itoa(task.Job.Attempt),
		"TRELLIS_JOB_MAX_ATTEMPTS=" + strconv.Itoa(task.Job.MaxAttempts),
		"TRELLIS_JOB_TOKEN=" + strconv.FormatInt(task.Token, 10),
		"TRELLIS_JOB_DIR=" + dir.path,
		"TRELLIS_PAYLOAD_FILE=" + dir.payload,
		"TRELLIS_PAYLOAD_CONTENT_TYPE=" + task.ContentType,
		"TRELLIS_RESULT_FILE=" + dir.result,
		"TRELLIS_PROGRESS_FILE=" + dir.progress,
		"TMPDIR=" + dir.path,
	}
	if !task.DeadlineAt.IsZero() {
		env = append(env, "TRELLIS_DEADLINE="+task.DeadlineAt.UTC().Format(time.RFC3339Nano))
	}
	if task.TraceParent != "" {
		env = append(env, "TRACEPARENT="+task.TraceParent)
	}
	for key, value := range task.Job.Metadata {
		env = append(env, "TRELLIS_METADATA_"+variable(key)+"="+value)
	}
	slices.Sort(env)
	for i, e := range env {
		// The kernel takes no NUL there.
		env[i] = strings.ReplaceAll(e, "\x00", "")
	}
	return env
}

// variable is a key of metadata as a shell can name it: upper case, with _ for what is neither letter nor digit.
func variable(key string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z':
			return r - 'a' + 'A'
		case (r >= 'A' && r <= 'Z') || (r >= '0' && r <= '9'):
			return r
		}
		return '_'
	}, key)
}
