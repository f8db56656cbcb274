package scaling

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"slices"
	"strconv"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// Gauge of a pod's metrics.
type Gauge struct {
	Name string
	// Always is true for one that is told even when nothing was counted: without it, nothing is known.
	Always bool
	// Label, when set, has only that count whose label of this name has Value.
	Label, Value string
	// Older is read of a pod that does not tell Name, as it is of a version before it; empty for none.
	Older string
}

// counts is true for a metric of the gauge's family that belongs to it.
func (g Gauge) counts(m *dto.Metric) bool {
	if g.Label == "" {
		return true
	}
	return slices.ContainsFunc(m.GetLabel(), func(l *dto.LabelPair) bool { return l.GetName() == g.Label && l.GetValue() == g.Value })
}

// Reader reads the load of one pod.
type Reader interface {
	// Read returns the sum of a gauge over its labels at the pod with the given address.
	Read(ctx context.Context, address string, gauge Gauge) (float64, error)
}

const (
	// readTimeout bounds one read.
	readTimeout = 3 * time.Second
	// maxMetrics is the most bytes of a pod's metrics.
	maxMetrics = 4 << 20
	// planeInfo is what every plane reports; without it an absent gauge says nothing.
	planeInfo = "trellis_plane_info"
)

// LabelledReader reads gauges of one pod by the value of a label.
type LabelledReader interface {
	// ReadBy returns the values of each gauge by those of the label, at the pod with the given address. A gauge that the pod
	// does not tell is left out.
	ReadBy(ctx context.Context, address, label string, gauges ...string) (map[string]map[string]float64, error)
	// Samples returns all that a pod tells of a gauge, which may be nothing.
	Samples(ctx context.Context, address, gauge string) ([]Sample, error)
}

// Sample is one value of a gauge.
type Sample struct {
	Labels map[string]string
	Value  float64
}

// metricsReader reads what a pod tells Prometheus: what is scaled by is then what its owner sees, and
// planes of every version have it.
type metricsReader struct {
	client *http.Client
	port   int
}

// NewMetricsReader reads /metrics at a port of the pods.
func NewMetricsReader(port int) Reader { return newReader(port) }

// NewLabelledReader reads /metrics at a port of the pods.
func NewLabelledReader(port int) LabelledReader { return newReader(port) }

func newReader(port int) metricsReader {
	return metricsReader{port: port, client: &http.Client{
		Timeout: readTimeout,
		// Pods are reached without a proxy, and no connection is left open between two reads.
		Transport: &http.Transport{DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error {
			return errors.New("a pod does not redirect")
		},
	}}
}

// Read implements Reader.
func (m metricsReader) Read(ctx context.Context, address string, gauge Gauge) (float64, error) {
	families, err := m.families(ctx, address)
	if err != nil {
		return 0, err
	}
	return sumOf(families, gauge)
}

// ReadBy implements LabelledReader.
func (m metricsReader) ReadBy(ctx context.Context, address, label string, gauges ...string) (map[string]map[string]float64, error) {
	families, err := m.families(ctx, address)
	if err != nil {
		return nil, err
	}
	out := map[string]map[string]float64{}
	for _, name := range gauges {
		family := families[name]
		if family == nil {
			continue
		}
		out[name] = map[string]float64{}
		for _, one := range family.GetMetric() {
			for _, l := range one.GetLabel() {
				if l.GetName() == label {
					out[name][l.GetValue()] += one.GetGauge().GetValue()
				}
			}
		}
	}
	return out, nil
}

// Samples implements LabelledReader.
func (m metricsReader) Samples(ctx context.Context, address, gauge string) ([]Sample, error) {
	families, err := m.families(ctx, address)
	if err != nil {
		return nil, err
	}
	var out []Sample
	for _, one := range families[gauge].GetMetric() {
		s := Sample{Labels: map[string]string{}, Value: one.GetGauge().GetValue()}
		for _, l := range one.GetLabel() {
			s.Labels[l.GetName()] = l.GetValue()
		}
		out = append(out, s)
	}
	return out, nil
}

// families of a pod's metrics, by their names.
func (m metricsReader) families(ctx context.Context, address string) (_ map[string]*dto.MetricFamily, err error) {
	url := "http://" + net.JoinHostPort(address, strconv.Itoa(m.port)) + "/metrics"
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, fmt.Errorf("read metrics: %w", err)
	}
	req.Header.Set("Accept", string(expfmt.NewFormat(expfmt.TypeTextPlain)))
	resp, err := m.client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("read metrics: %w", err)
	}
	defer func() { err = errors.Join(err, resp.Body.Close()) }()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("read metrics: %s", resp.Status)
	}
	return familiesOf(io.LimitReader(resp.Body, maxMetrics))
}

func familiesOf(text io.Reader) (map[string]*dto.MetricFamily, error) {
	parser := expfmt.NewTextParser(model.LegacyValidation)
	families, err := parser.TextToMetricFamilies(text)
	if err != nil {
		return nil, fmt.Errorf("read metrics: %w", err)
	}
	return families, nil
}

// sumOf a gauge over all its labels. A plane that has not counted anything yet may not name it.
func sumOf(families map[string]*dto.MetricFamily, gauge Gauge) (float64, error) {
	family := families[gauge.Name]
	if family == nil {
		family = families[gauge.Older]
	}
	switch {
	case family == nil && gauge.Always:
		return 0, fmt.Errorf("read metrics: there is no %s", gauge.Name)
	case family == nil && families[planeInfo] == nil:
		return 0, errors.New("read metrics: what answers is no plane")
	}
	sum, told := 0.0, false
	for _, m := range family.GetMetric() {
		if gauge.counts(m) {
			sum, told = sum+m.GetGauge().GetValue(), true
		}
	}
	if gauge.Label != "" && gauge.Always && !told {
		return 0, fmt.Errorf("read metrics: there is no %s with %s=%q", gauge.Name, gauge.Label, gauge.Value)
	}
	if math.IsNaN(sum) {
		return 0, fmt.Errorf("read metrics: %s is not known", gauge.Name)
	}
	return sum, nil
}
