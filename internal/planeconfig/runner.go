package planeconfig

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
)

// Runner configures trellis-runner, which leases jobs of a JobQueue and has a container run them. One of
// Exec and HTTP is set.
type Runner struct {
	// URL of the queue, e.g. http://reports-jq.shop.svc.cluster.local.
	URL string `json:"url"`
	// TokenFile holds the worker's token.
	TokenFile string `json:"tokenFile"`
	// Concurrency is how many jobs run at once in this pod.
	Concurrency int `json:"concurrency"`
	// Once, where it is not 0, has the runner run one job and end; it is how long the runner waits for that job.
	Once Duration `json:"once,omitempty"`
	// AdminAddress serves /livez, /readyz and /metrics, ":8081" by default.
	AdminAddress string `json:"adminAddress,omitempty"`
	// WorkDir is a writable folder; each job gets one of its own in it, gone with the job.
	WorkDir string `json:"workDir"`
	// Grace is how long jobs under way may go on after SIGTERM; then they are ended and handed back.
	Grace Duration `json:"grace"`
	// ResultBytes is the most bytes of a result, 1 MiB by default.
	ResultBytes int64       `json:"resultBytes"`
	Exec        *RunnerExec `json:"exec,omitempty"`
	HTTP        *RunnerHTTP `json:"http,omitempty"`
}

// RunnerExec starts a command for each job.
type RunnerExec struct {
	// Command and its arguments; the first is looked up on PATH.
	Command []string `json:"command"`
}

// RunnerHTTP posts each job to a container of the same pod.
type RunnerHTTP struct {
	Port int32  `json:"port"`
	Path string `json:"path"`
}

// EncodeRunner renders r as indented JSON; equal configurations give equal bytes.
func EncodeRunner(r Runner) ([]byte, error) {
	out, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("encode runner configuration: %w", err)
	}
	return append(out, '\n'), nil
}

// LoadRunner reads the file at path and checks it. Fields that are not known are left out.
func LoadRunner(path string) (Runner, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return Runner{}, fmt.Errorf("read runner configuration: %w", err)
	}
	var r Runner
	if err := json.Unmarshal(data, &r); err != nil {
		return Runner{}, fmt.Errorf("decode runner configuration: %w", err)
	}
	if r.AdminAddress == "" {
		r.AdminAddress = fmt.Sprintf(":%d", PortAdmin)
	}
	if r.ResultBytes == 0 {
		r.ResultBytes = 1 << 20
	}
	return r, r.validate()
}

func (r Runner) validate() error {
	switch {
	case r.URL == "" || r.TokenFile == "" || r.WorkDir == "":
		return errors.New("runner configuration: url, tokenFile and workDir must be set")
	case r.Concurrency < 1:
		return errors.New("runner configuration: concurrency must be 1 or more")
	case r.ResultBytes < 0 || r.Grace < 0 || r.Once < 0:
		return errors.New("runner configuration: resultBytes, grace and once must not be negative")
	}
	return r.validateWay()
}

// validateWay checks how jobs are run.
func (r Runner) validateWay() error {
	switch {
	case (r.Exec == nil) == (r.HTTP == nil):
		return errors.New("runner configuration: set exactly one of exec and http")
	case r.Exec != nil && len(r.Exec.Command) == 0:
		return errors.New("runner configuration: exec.command must not be empty")
	case r.HTTP != nil && (r.HTTP.Port < 1 || r.HTTP.Port > 65535):
		return errors.New("runner configuration: http.port must be 1 to 65535")
	case r.Once > 0 && (r.Exec == nil || r.Concurrency != 1):
		return errors.New("runner configuration: once is for exec with concurrency 1")
	}
	return nil
}
