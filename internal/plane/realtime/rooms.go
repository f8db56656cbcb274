package realtime

import (
	"cmp"
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"strings"

	"github.com/centrifugal/centrifuge"
	"github.com/danielgtaylor/huma/v2"

	"github.com/trellis-dev/trellis/internal/plane"
)

// Room is a room that somebody follows.
type Room struct {
	Room        string `json:"room" doc:"The room's name."`
	Subscribers int    `json:"subscribers" doc:"Streams, sockets and waiting polls that follow it, over the replicas that answered."`
}

// Rooms is a page of rooms, by name.
type Rooms struct {
	Coverage
	Rooms []Room `json:"rooms" doc:"In the order of their names."`
	Next  string `json:"next,omitempty" doc:"Send this as cursor to get what follows; absent at the end."`
}

type roomsInput struct {
	Prefix string `query:"prefix" maxLength:"128" doc:"Only rooms whose names begin so."`
	Cursor string `query:"cursor" maxLength:"128" doc:"The member next of the page before."`
	Limit  int    `query:"limit" minimum:"1" maximum:"1000" default:"100" doc:"The most rooms of a page."`
}

type roomsOutput struct {
	CacheControl string `header:"Cache-Control"`
	Body         Rooms
}

func (g *Gateway) registerRooms() {
	huma.Register(g.plane.API, huma.Operation{
		OperationID: "list-rooms",
		Method:      http.MethodGet,
		Path:        "/v1/rooms",
		Summary:     "List the rooms that are followed now",
		Description: "Over all replicas, by name, in pages. Needs the binding token. Rooms that nobody follows are not listed, also where they keep messages.",
		Tags:        []string{"rooms"},
		Errors:      []int{400, 401, 403, 503},
	}, g.listRooms)
}

func (g *Gateway) listRooms(ctx context.Context, in *roomsInput) (*roomsOutput, error) {
	if problem := plane.NeedBinding(ctx); problem != nil {
		return nil, problem
	}
	if in.Cursor != "" && !validRoom(in.Cursor) || in.Prefix != "" && !validRoom(in.Prefix) {
		return nil, problemInvalid("cursor is the member next of the page before, and prefix the beginning of a room's name")
	}
	node, problem := g.ready()
	if problem != nil {
		return nil, problem
	}
	answers, covered, problem := g.survey(ctx, node, askRooms, roomsQuestion{Prefix: in.Prefix, After: in.Cursor, Limit: in.Limit + 1})
	if problem != nil {
		return nil, plane.Fail(ctx, problem)
	}
	page, err := mergeRooms(answers, in.Limit)
	if err != nil {
		return nil, plane.Fail(ctx, err)
	}
	page.Coverage = covered
	return &roomsOutput{CacheControl: "no-store", Body: page}, nil
}

// roomsQuestion asks a replica for its first rooms after one.
type roomsQuestion struct {
	Prefix string `json:"prefix"`
	After  string `json:"after"`
	Limit  int    `json:"limit"`
}

// roomsHere are the first rooms of this replica that the question is for.
func roomsHere(node *centrifuge.Node, ask roomsQuestion) []Room {
	names := slices.DeleteFunc(node.Hub().Channels(), func(name string) bool {
		return !strings.HasPrefix(name, ask.Prefix) || name <= ask.After
	})
	slices.Sort(names)
	rooms := make([]Room, 0, min(len(names), ask.Limit))
	for _, name := range names[:min(len(names), ask.Limit)] {
		if n := node.Hub().NumSubscribers(name); n > 0 {
			rooms = append(rooms, Room{Room: name, Subscribers: n})
		}
	}
	return rooms
}

// mergeRooms adds up what the replicas said. Each gave its first limit+1 rooms,
// so the first limit of all are complete.
func mergeRooms(answers [][]byte, limit int) (Rooms, error) {
	total := map[string]int{}
	for _, answer := range answers {
		var rooms []Room
		if err := json.Unmarshal(answer, &rooms); err != nil {
			return Rooms{}, err
		}
		for _, r := range rooms {
			total[r.Room] += r.Subscribers
		}
	}
	out := Rooms{Rooms: make([]Room, 0, len(total))}
	for name, n := range total {
		out.Rooms = append(out.Rooms, Room{Room: name, Subscribers: n})
	}
	slices.SortFunc(out.Rooms, func(a, b Room) int { return cmp.Compare(a.Room, b.Room) })
	if len(out.Rooms) > limit {
		out.Rooms = out.Rooms[:limit]
		out.Next = out.Rooms[limit-1].Room
	}
	return out, nil
}
