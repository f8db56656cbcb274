package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/trellis-dev/trellis/pkg/blobs"
	"github.com/trellis-dev/trellis/pkg/jobs"
)

// viewer is whose video it is.
const viewer = "ada"

// clip is two seconds of a picture that moves, as YUV4MPEG2: no encoder is needed for that.
func clip() []byte {
	const width, height, frames = 320, 240, 50
	var out bytes.Buffer
	fmt.Fprintf(&out, "YUV4MPEG2 W%d H%d F25:1 Ip A1:1 C420jpeg\n", width, height)
	picture := make([]byte, width*height*3/2)
	for frame := range frames {
		for i := range picture {
			picture[i] = 128
			if i < width*height {
				picture[i] = byte(i%width + i/width + 4*frame)
			}
		}
		out.WriteString("FRAME\n")
		out.Write(picture)
	}
	return out.Bytes()
}

// video uploads a clip to a bucket and follows what becomes of it in the room of the upload.
func video(ctx context.Context, room, bucket client) error {
	data, began := clip(), time.Now()
	var u blobs.Upload
	err := bucket.call(ctx, http.MethodPost, "/v1/uploads", rand.Text(),
		blobs.NewUpload{Filename: "moving.y4m", ContentType: "video/x-yuv4mpeg", Size: int64(len(data)), Owner: viewer}, &u)
	if err != nil {
		return fmt.Errorf("begin the upload: %w", err)
	}
	if u.Put == nil {
		return errors.New("the bucket wants more than one request for the clip")
	}
	fmt.Printf("  %s, %d bytes, goes straight to the store as %s\n", u.Filename, u.Size, u.Key)
	if _, err := send(ctx, *u.Put, data); err != nil {
		return fmt.Errorf("send the clip: %w", err)
	}
	if err := bucket.call(ctx, http.MethodPost, "/v1/uploads/"+u.ID+":complete", "", nil, &u.File); err != nil {
		return fmt.Errorf("complete the upload: %w", err)
	}
	room.room = "user-" + viewer + ":" + u.ID
	result, err := timelineOf(ctx, room, u.ID, began)
	if err != nil {
		return err
	}
	var get blobs.Request
	if err := bucket.call(ctx, http.MethodPost, "/v1/files/"+result+":download", "", struct{}{}, &get); err != nil {
		return fmt.Errorf("ask for the result: %w", err)
	}
	film, err := send(ctx, get, nil)
	if err != nil || !bytes.Contains(film[:min(len(film), 64)], []byte("ftyp")) {
		return errors.Join(errors.New("what was downloaded is no MP4"), err)
	}
	fmt.Printf("\n  the result is an MP4 of %d bytes\n", len(film))
	return nil
}

// timelineOf shows what the room tells until the job is done and its result is there.
func timelineOf(ctx context.Context, room client, id string, began time.Time) (result string, err error) {
	fmt.Printf("\n  in the room %s:\n    %9s  %9s\n", room.room, "happened", "told")
	since, done := "oldest", false
	for result == "" || !done {
		var p page
		if err := again(ctx, func() (err error) { p, err = room.page(ctx, since, "20s"); return err }); err != nil {
			return "", fmt.Errorf("the room did not tell that the video is done: %w", err)
		}
		since = p.Next
		for _, m := range p.Messages {
			var e struct {
				told
				Time time.Time `json:"time"`
			}
			var f blobs.File
			if err := json.Unmarshal(m.Raw, &e); err != nil {
				return "", fmt.Errorf("read what the room tells: %w", err)
			}
			words := progressOf(e.told)
			if strings.HasPrefix(e.Type, "dev.trellis.blob.") && fileOf(m.Raw, &f) && f.ID != id {
				words = "the result, " + f.Filename
				if e.Type == blobs.EventUploaded {
					result = f.ID
				}
			}
			fmt.Printf("    %6d ms  %6d ms  %-28s %s\n", e.Time.Sub(began).Milliseconds(), time.Since(began).Milliseconds(), e.Type, words)
			if e.Type == jobs.EventDead {
				return "", errors.New("the job is dead: " + e.Data.Error)
			}
			done = done || e.Type == jobs.EventSucceeded
		}
	}
	return result, nil
}

func fileOf(event []byte, into *blobs.File) bool {
	var e struct {
		Data *blobs.File `json:"data"`
	}
	e.Data = into
	return json.Unmarshal(event, &e) == nil
}

// send what the bucket signed to its store, which answers at TRELLIS_STORE: its own name is known in the cluster alone.
func send(ctx context.Context, signed blobs.Request, body []byte) ([]byte, error) {
	var dialer net.Dialer
	transport := &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
		if at := os.Getenv("TRELLIS_STORE"); at != "" {
			address = at
		}
		return dialer.DialContext(ctx, network, address)
	}}
	req, err := http.NewRequestWithContext(ctx, signed.Method, signed.URL, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	for name, value := range signed.Headers {
		req.Header.Set(name, value)
	}
	resp, err := (&http.Client{Transport: transport}).Do(req)
	if err != nil {
		if of := (*url.Error)(nil); errors.As(err, &of) {
			err = of.Err // the URL is a secret
		}
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	answer, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode >= http.StatusBadRequest {
		err = fmt.Errorf("%s: %s", resp.Status, answer)
	}
	return answer, err
}
