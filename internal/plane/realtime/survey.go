package realtime

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/centrifugal/centrifuge"

	"github.com/trellis-dev/trellis/internal/plane"
)

const (
	// surveyTime is how long replicas have to answer. One that was killed a
	// moment ago is asked in vain.
	surveyTime = 2 * time.Second
	// surveysAtOnce and surveyWait bound what asking costs the replicas.
	surveysAtOnce = 2
	surveyWait    = time.Second
	surveyRetry   = time.Second
)

// Questions that replicas ask one another.
const (
	askRooms = "rooms"
	askStats = "stats"
)

// gate lets a few in at once, and others wait for a moment.
type gate chan struct{}

// enter returns how to leave, or the problem that there are too many.
func (g gate) enter(ctx context.Context) (func(), *plane.Problem) {
	timer := time.NewTimer(surveyWait)
	defer timer.Stop()
	select {
	case g <- struct{}{}:
		return func() { <-g }, nil
	case <-timer.C:
	case <-ctx.Done():
	}
	return nil, plane.NewProblem(503, "overloaded", "Too many requests at once",
		"this replica answers few such requests at a time; try again").After(surveyRetry)
}

// Coverage says which replicas an answer covers.
type Coverage struct {
	Replicas int `json:"replicas" doc:"Replicas that answered."`
	Missing  int `json:"missing,omitempty" doc:"Replicas that did not answer in time: one that was killed, for some seconds after."`
}

// survey asks all replicas, this one too, and returns what each said.
func (g *Gateway) survey(ctx context.Context, node *centrifuge.Node, question string, data any) ([][]byte, Coverage, *plane.Problem) {
	leave, problem := g.surveys.enter(ctx)
	if problem != nil {
		return nil, Coverage{}, problem
	}
	defer leave()
	ask, err := json.Marshal(data)
	if err != nil {
		return nil, Coverage{}, g.problem(err)
	}
	ctx, cancel := context.WithTimeout(ctx, surveyTime)
	defer cancel()
	known := 1
	if info, err := node.Info(); err == nil {
		known = len(info.Nodes)
	}
	replies, err := node.Survey(ctx, question, ask, "")
	if err != nil && !errors.Is(err, context.DeadlineExceeded) {
		return nil, Coverage{}, problemEngine(err)
	}
	var out [][]byte
	for _, r := range replies {
		if r.Code == 0 {
			out = append(out, r.Data)
		}
	}
	return out, Coverage{Replicas: len(out), Missing: max(0, known-len(out))}, nil
}

// surveyFault is the code of an answer that could not be given.
const surveyFault = 1

// answerSurveys answers what other replicas ask.
func (g *Gateway) answerSurveys(node *centrifuge.Node) {
	node.OnSurvey(func(e centrifuge.SurveyEvent, cb centrifuge.SurveyCallback) {
		answer, err := g.answerSurvey(node, e)
		if err != nil {
			g.log.Warn("a question of another replica could not be answered", "question", e.Op, "error", err)
			cb(centrifuge.SurveyReply{Code: surveyFault})
			return
		}
		cb(centrifuge.SurveyReply{Data: answer})
	})
}

func (g *Gateway) answerSurvey(node *centrifuge.Node, e centrifuge.SurveyEvent) ([]byte, error) {
	switch e.Op {
	case askRooms:
		var ask roomsQuestion
		if err := json.Unmarshal(e.Data, &ask); err != nil {
			return nil, err
		}
		return json.Marshal(roomsHere(node, ask))
	case askStats:
		return json.Marshal(g.statsHere(node))
	}
	return nil, fmt.Errorf("question %q is not known", e.Op)
}
