//go:build integration

package api

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/trellis-dev/trellis/test/integration/framework"
)

// TestDefaults compares the spec of an object as it is created with what the API server makes of it.
func TestDefaults(t *testing.T) {
	const gateway = `
protocols: [Polling, LongPolling, SSE, WebSocket]
engine: Memory
presence: Disabled
replicas: 1
history: {size: 256, ttl: 5m}
limits: {connectionsPerClient: 64, roomsPerConnection: 32, messageBytes: 65536, publishPerSecond: 1000, connections: 10000}
`
	const queue = `
engine: PostgreSQL
replicas: 1
worker: {replicas: 1, image: a, http: {port: 80, path: /}}
concurrency: 1
timeout: 15m
retry: {maxAttempts: 5, backoff: {initial: 1s, max: 10m, multiplierPercent: 200, jitterPercent: 20}}
priorities: [{name: normal, weight: 1, default: true}]
ordering: None
deadLetter: {retention: 168h}
drain: {timeout: 0s}
results: {ttl: 24h, maxBytes: 262144}
limits: {payloadBytes: 262144, waiting: 500000}
`
	const bucket = `
replicas: 1
uploads: {maxBytes: 5Gi, keyTemplate: "files/${id}${ext}", urlTTL: 15m, pendingTimeout: 24h, multipartPartSize: 16Mi, checksum: None}
downloads: {urlTTL: 15m}
orphans: {policy: Report, interval: 24h, grace: 24h}
`
	tests := []struct{ name, kind, object, want string }{
		{"a gateway with no spec", "RealtimeGateway", `{}`, gateway},
		{"a gateway with an empty spec", "RealtimeGateway", `spec: {}`, gateway},
		{"a gateway with empty parts", "RealtimeGateway",
			`spec: {history: {}, limits: {}, delivery: {}, exposure: {}, auth: {anonymous: {rooms: [a]}}}`,
			gateway + "delivery: {mode: PubSub}\nexposure: {serviceType: ClusterIP}\nauth: {anonymous: {rooms: [a], rights: [subscribe]}}"},
		{"what is set stays", "RealtimeGateway", `spec: {engine: Redis, replicas: 0, protocols: [SSE], history: {size: 1}, limits: {messageBytes: 1}}`, `
protocols: [SSE]
engine: Redis
presence: Disabled
replicas: 0
history: {size: 1, ttl: 5m}
limits: {connectionsPerClient: 64, roomsPerConnection: 32, messageBytes: 1, publishPerSecond: 1000, connections: 10000}
`},
		{"a queue", "JobQueue", `spec: {worker: {image: a, http: {port: 80}}}`, queue},
		{"a queue that scales, with a schedule", "JobQueue",
			`spec: {worker: {image: a, http: {port: 80}}, scaling: {maxReplicas: 2}, schedules: [{name: a, cron: "@daily"}]}`,
			queue + "scaling: {minReplicas: 0, maxReplicas: 2, scaleDownStabilization: 1m, idleAfter: 5m}\n" +
				`schedules: [{name: a, cron: "@daily", timeZone: UTC, concurrencyPolicy: Allow, missedRuns: RunOnce, startingDeadline: 1h}]`},
		{"a bucket", "BlobBucket", `{}`, bucket},
		{"a bucket with empty parts", "BlobBucket",
			`spec: {encryption: {}, objectLock: {retention: {days: 1}}, cors: [{name: a, origins: ["*"]}], lifecycle: [{name: a, transitions: [{storageClass: COLD}]}]}`,
			bucket + `encryption: {algorithm: AES256}
objectLock: {retention: {mode: Governance, days: 1}}
cors: [{name: a, origins: ["*"], methods: [GET, HEAD, PUT, POST], headers: ["*"], exposeHeaders: [ETag], maxAge: 1h}]
lifecycle: [{name: a, transitions: [{after: 720h, storageClass: COLD}]}]`},
		{"a ShardSet", "ShardSet", shardBase(`, storage: {}`), shardDefaults + "strategy: Hash\nstorage: {size: 1Gi, mountPath: /data}"},
		{"a ShardSet by a directory, with classes", "ShardSet",
			shardBase(`, strategy: Directory, directory: {entries: {a: 0}}`), shardDefaults + "strategy: Directory\ndirectory: {entries: {a: 0}, fallback: Refuse}"},
		{"an Engine", "Engine", `spec: {type: Redis}`, `type: Redis`},
		{"a class", "PatternClass", `spec: {plane: {version: v1}, engines: [{type: Redis, image: a}]}`, `
plane: {image: ghcr.io/trellis-dev/trellis-plane, version: v1, playground: Allowed}
engines: [{type: Redis, image: a}]
deletionPolicy: Retain
updatePolicy: Manual
`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			obj := table{kind: tt.kind, base: tt.object}.object(t)
			if err := framework.Admin.Create(t.Context(), obj, client.DryRunAll, client.FieldValidation("Strict")); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(parse(t, tt.want), parse(t, format(t, obj.Object["spec"]))); diff != "" {
				t.Errorf("spec (-want +got):\n%s", diff)
			}
		})
	}
}

func parse(t *testing.T, text string) any {
	t.Helper()
	var out any
	if err := yaml.UnmarshalStrict([]byte(text), &out); err != nil {
		t.Fatal(err)
	}
	return out
}

func format(t *testing.T, value any) string {
	t.Helper()
	out, err := yaml.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}
