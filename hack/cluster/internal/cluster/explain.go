package cluster

import (
	"context"
	"fmt"
	"path/filepath"
	"sort"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/trellis-dev/trellis/hack/cluster/internal/logtail"
	"github.com/trellis-dev/trellis/hack/cluster/internal/member"
)

// explainTimeout bounds the questions to a cluster that has just shown that it is not well.
const explainTimeout = 10 * time.Second

// explain quotes the logs of what does not run, or did not all the time, and the last warnings from the API.
func (b *boot) explain() string {
	var parts []string
	for _, name := range memberNames(b.nodes) {
		parts = append(parts, b.explainMember(name)...)
	}
	parts = append(parts, b.warnings()...)
	return strings.Join(append(parts, "all logs are in "+b.Logs()), "\n")
}

func (c *Cluster) explainMember(name string) []string {
	m := c.Member(name)
	answer, err := member.Status(m.Socket())
	if err != nil {
		return []string{fmt.Sprintf("%s does not answer (%v); %s", name, err, logtail.Quote(m.Log(), 10))}
	}
	var parts []string
	for _, u := range answer.Units {
		if !u.Running || u.Restarts > 0 {
			log := filepath.Join(c.Logs(), name+"-"+u.Name+".log")
			parts = append(parts, fmt.Sprintf("%s of %s ended (%s); %s", u.Name, name, u.LastExit, logtail.Quote(log, 15)))
		}
	}
	return parts
}

// warnings are the latest events that tell of something wrong, if the API answers.
func (c *Cluster) warnings() []string {
	ctx, cancel := context.WithTimeout(context.Background(), explainTimeout)
	defer cancel()
	client, err := c.client()
	if err != nil {
		return nil
	}
	list, err := client.CoreV1().Events("").List(ctx, metav1.ListOptions{FieldSelector: "type=" + corev1.EventTypeWarning})
	if err != nil {
		return nil
	}
	sort.Slice(list.Items, func(i, j int) bool { return list.Items[i].LastTimestamp.After(list.Items[j].LastTimestamp.Time) })
	var parts []string
	for _, e := range list.Items[:min(len(list.Items), 3)] {
		parts = append(parts, fmt.Sprintf("%s %s/%s: %s", e.Reason, e.Namespace, e.InvolvedObject.Name, e.Message))
	}
	return parts
}
