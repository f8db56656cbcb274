package engine

import (
	"context"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/trellis-dev/trellis/api/v1alpha1"
	"github.com/trellis-dev/trellis/controllers/pattern"
	"github.com/trellis-dev/trellis/internal/enginetest"
	"github.com/trellis-dev/trellis/internal/planeconfig"
)

// s3Source is a Secret of others with a few keys changed; an empty value has none.
func s3Source(changes ...string) map[string][]byte {
	out := map[string][]byte{"uri": []byte("https://s3.example.com"), "accessKeyID": []byte("AKIA"), "secretAccessKey": []byte(password)}
	for i := 0; i < len(changes); i += 2 {
		delete(out, changes[i])
		if changes[i+1] != "" {
			out[changes[i]] = []byte(changes[i+1])
		}
	}
	return out
}

func TestS3Binding(t *testing.T) {
	ca := certificate(t)
	bound := func(changes ...string) map[string]string {
		out := map[string]string{"host": "s3.example.com", "port": "443", "uri": "https://s3.example.com", "region": "us-east-1", "pathStyle": "true",
			"accessKeyID": "AKIA", "secretAccessKey": password}
		for i := 0; i < len(changes); i += 2 {
			out[changes[i]] = changes[i+1]
		}
		return out
	}
	const notS3 = "the Secret's key uri is not the endpoint of a store: use " + planeconfig.S3Form + ", without a bucket and without credentials"
	tests := []struct {
		name   string
		source map[string][]byte
		want   map[string]string
		wrong  string
	}{
		{"what has defaults", s3Source(), bound(), ""},
		{"AWS", s3Source("uri", " https://s3.eu-central-1.amazonaws.com/\n", "region", "eu-central-1"),
			bound("uri", "https://s3.eu-central-1.amazonaws.com", "host", "s3.eu-central-1.amazonaws.com", "region", "eu-central-1", "pathStyle", "false"), ""},
		{"AWS by path", s3Source("uri", "https://s3.amazonaws.com", "pathStyle", "true"), bound("uri", "https://s3.amazonaws.com", "host", "s3.amazonaws.com"), ""},
		{"a name that is not Amazon's", s3Source("uri", "https://notamazonaws.com"), bound("uri", "https://notamazonaws.com", "host", "notamazonaws.com"), ""},
		{"a port, and names of buckets", s3Source("uri", "http://minio:9000", "pathStyle", "false"),
			bound("uri", "http://minio:9000", "host", "minio", "port", "9000", "pathStyle", "false"), ""},
		{"port 80", s3Source("uri", "http://minio"), bound("uri", "http://minio", "host", "minio", "port", "80"), ""},
		{"another name outside", s3Source("publicUri", "https://objects.example.com/"), bound("publicUri", "https://objects.example.com"), ""},
		{"a bucket outside", s3Source("publicUri", "https://objects.example.com/bucket"), nil, strings.Replace(notS3, "key uri", "key publicUri", 1)},
		{"an authority", s3Source("ca.crt", ca), bound("ca.crt", ca), ""},
		{"no URI", s3Source("uri", ""), nil, "the Secret has no key uri: set it to the endpoint of the store, e.g. " + planeconfig.S3Form},
		{"another scheme", s3Source("uri", "s3://bucket"), nil, notS3},
		{"no scheme", s3Source("uri", "minio:9000"), nil, notS3},
		{"a bucket", s3Source("uri", "https://s3.example.com/bucket"), nil, notS3},
		{"credentials in the URI", s3Source("uri", "https://key:"+password+"@s3.example.com"), nil, notS3},
		{"a query", s3Source("uri", "https://s3.example.com?x"), nil, notS3},
		{"no key", s3Source("accessKeyID", ""), nil, "the Secret has no key accessKeyID: put the credentials of the store into accessKeyID and secretAccessKey"},
		{"no secret", s3Source("secretAccessKey", ""), nil, "the Secret has no key secretAccessKey: put the credentials of the store into accessKeyID and secretAccessKey"},
		{"a style that is none", s3Source("pathStyle", "path"), nil, `the Secret's key pathStyle must be "true" or "false"`},
		{"an authority that is none", s3Source("ca.crt", "PEM"), nil, "the Secret's key ca.crt holds no PEM certificate"},
		{"an authority without TLS", s3Source("uri", "http://minio:9000", "ca.crt", ca), nil,
			"there is a ca.crt and the uri begins with http://: begin it with https://, or remove ca.crt"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := s3Driver{}.Binding(tt.source)
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("binding (-want +got):\n%s", diff)
			}
			if wrong := text(err); wrong != tt.wrong {
				t.Errorf("error is %q, want %q", wrong, tt.wrong)
			}
			noLeak(t, text(err))
		})
	}
}

// answering serves one answer, and returns the endpoint and what a message calls it.
func answering(t *testing.T, status int, body string) (uri, at string) {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}))
	t.Cleanup(server.Close)
	return server.URL, strings.TrimPrefix(server.URL, "http://")
}

// TestS3CheckExplainsAnswers of stores that are not to be had here.
func TestS3CheckExplainsAnswers(t *testing.T) {
	t.Parallel()
	refusal := func(code, more string) string {
		return "<?xml version=\"1.0\"?>\n<Error><Code>" + code + "</Code>" + more + "</Error>"
	}
	tests := []struct {
		name   string
		status int
		body   string
		wrong  string
	}{
		{"buckets", 200, `<ListAllMyBucketsResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Buckets/></ListAllMyBucketsResult>`, ""},
		{"more buckets than are read", 200, `<ListAllMyBucketsResult>` + strings.Repeat("<Bucket><Name>a</Name></Bucket>", 5000) + `</ListAllMyBucketsResult>`, ""},
		{"one that may not see the buckets", 403, refusal("AccessDenied", ""), ""},
		{"a clock that is wrong", 403, refusal("RequestTimeTooSkewed", ""), "the clock of the engine at %s and the one here are too far apart: set both by NTP"},
		{"another region, by name", 400, refusal("AuthorizationHeaderMalformed", "<Region>eu-west-1</Region>"),
			`the engine at %s is of the region "eu-west-1": put that into the Secret's key region`},
		{"another region", 301, refusal("PermanentRedirect", ""),
			`the engine at %s is not of the region "us-east-1": correct the Secret's key region, and the endpoint in uri`},
		{"something else", 503, refusal("SlowDown", ""), `can not use the engine at %s: it answers with the code "SlowDown"`},
		{"a page", 200, "<html><body>It works</body></html>",
			"what answers at %s, with the status 200, does not speak S3: put the endpoint of the store, without a bucket, into the Secret's key uri"},
		{"a status alone", 404, "",
			"what answers at %s, with the status 404, does not speak S3: put the endpoint of the store, without a bucket, into the Secret's key uri"},
		{"TLS", 400, "Client sent an HTTP request to an HTTPS server.\n", "the engine at %s asks for TLS: begin the Secret's key uri with https://"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			uri, at := answering(t, tt.status, tt.body)
			_, err := s3Driver{}.Check(t.Context(), s3Source("uri", uri))
			want := tt.wrong
			if want != "" {
				want = fmt.Sprintf(want, at)
			}
			if diff := cmp.Diff(want, text(err)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestS3Check asks a real store, and some that are none.
func TestS3Check(t *testing.T) {
	t.Parallel()
	store, calledItself, listsFor := enginetest.Store(t), "VERSITYGW", ""
	at := strings.TrimPrefix(store.URI, "http://")
	otherRegion := "the engine at " + at + ` is of the region "us-east-1": put that into the Secret's key region`
	if enginetest.Outside() {
		// MinIO lists the buckets for any region.
		calledItself, listsFor, otherRegion = "MinIO", "MinIO", ""
	}
	overTLS := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "<ListAllMyBucketsResult/>")
	}))
	overTLS.Config.ErrorLog = log.New(io.Discard, "", 0)
	overTLS.StartTLS()
	t.Cleanup(overTLS.Close)
	ca := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: overTLS.Certificate().Raw}))
	atTLS, mute := strings.TrimPrefix(overTLS.URL, "https://"), silent(t)
	port := atTLS[strings.LastIndex(atTLS, ":"):]
	known := []string{"uri", store.URI, "accessKeyID", enginetest.S3AccessKeyID, "secretAccessKey", enginetest.S3SecretAccessKey}
	tests := []struct {
		name    string
		changes []string
		version string
		wrong   string
	}{
		{name: "one that answers", changes: known, version: calledItself},
		{name: "an unknown key", changes: append(known, "accessKeyID", "AKIA"), wrong: "the engine at " + at + " does not know the credentials: correct the Secret's key accessKeyID"},
		{name: "a wrong secret", changes: append(known, "secretAccessKey", password), wrong: "the engine at " + at + " refused the signature: correct the Secret's key secretAccessKey"},
		{name: "another region", changes: append(known, "region", "eu-west-1"), version: listsFor, wrong: otherRegion},
		{name: "no TLS", changes: append(known, "uri", "https://"+at), wrong: "the engine at " + at + " does not speak TLS: begin the Secret's key uri with http://, and remove ca.crt"},
		{name: "TLS by an authority of its own", changes: []string{"uri", overTLS.URL, "ca.crt", ca}},
		{name: "TLS by an unknown authority", changes: []string{"uri", overTLS.URL},
			wrong: "the certificate of " + atTLS + " is not trusted: put its authority into the Secret's key ca.crt"},
		{name: "TLS for another name", changes: []string{"uri", "https://localhost" + port, "ca.crt", ca},
			wrong: "the certificate of localhost" + port + " is for another name: put the one that it is for into the Secret's key uri"},
		{name: "nobody there", changes: []string{"uri", "http://127.0.0.1:1"}, wrong: "can not use the engine at 127.0.0.1:1: dial: connect: connection refused"},
		{name: "no answer", changes: []string{"uri", "http://" + mute}, wrong: "no answer from " + mute + " in time: check the address and that the network admits the operator"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			patience := time.Minute
			if tt.name == "no answer" {
				patience = time.Second
			}
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			version, err := s3Driver{}.Check(ctx, s3Source(tt.changes...))
			if got := text(err); got != tt.wrong || version != tt.version {
				t.Errorf("version %q, error %q; want %q and %q", version, got, tt.version, tt.wrong)
			}
			noLeak(t, text(err))
		})
	}
}

func TestS3Rotatable(t *testing.T) {
	ofType := func(s *v1alpha1.EngineSpec) { s.Type = v1alpha1.EngineS3 }
	for reason, e := range map[string]*v1alpha1.Engine{
		v1alpha1.ReasonRotationUnsupported: makeEngine(ofType),
		v1alpha1.ReasonRotatedElsewhere:    makeEngine(ofType, elsewhere("mine")),
	} {
		if got := rotatable(e, pattern.Inputs{Class: makeClass()}, nil); got.OK || got.Reason != reason || got.Message == "" {
			t.Errorf("verdict is %+v, want %s", got, reason)
		}
	}
}

// TestS3Endpoints are where clients outside the cluster reach a store, and none where they do not.
func TestS3Endpoints(t *testing.T) {
	ofType := func(s *v1alpha1.EngineSpec) { s.Type = v1alpha1.EngineS3 }
	exposed := provisioned(v1alpha1.ProvisionedEngine{Exposure: &v1alpha1.Exposure{Ingress: &v1alpha1.IngressExposure{Host: "objects.example.com"}}})
	tests := []struct {
		name   string
		engine *v1alpha1.Engine
		source map[string][]byte
		want   []v1alpha1.Endpoint
	}{
		{"inside alone", makeEngine(ofType), nil, nil},
		{"exposed", makeEngine(ofType, exposed), nil, []v1alpha1.Endpoint{{Name: "external", URL: "http://objects.example.com"}}},
		{"external", makeEngine(ofType, elsewhere("mine")), s3Source(), nil},
		{"external, of another name outside", makeEngine(ofType, elsewhere("mine")), s3Source("publicUri", "https://objects.example.com"),
			[]v1alpha1.Endpoint{{Name: "external", URL: "https://objects.example.com"}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := plan(tt.engine, pattern.Inputs{Class: makeClass(), Source: tt.source})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got.Endpoints); diff != "" {
				t.Errorf("endpoints (-want +got):\n%s", diff)
			}
		})
	}
}
