//go:build integration

package api

import (
	"fmt"
	"slices"
)

const (
	oneWay       = "set exactly one of worker.exec (a command for each job), worker.http (each job is posted to the container), worker.job (a Kubernetes Job for each job) and worker.pull (workers of yours lease jobs over the contract)"
	imageNeeded  = "worker.image is needed with exec, http and job: name the image that runs the jobs"
	nothingToRun = "with worker.pull no worker is run here: remove image, env, resources, podTemplate and replicas"
	ownResources = "the resources of a worker are worker.resources: remove podTemplate.resources"
)

func workerRows() []row {
	const command = "spec.worker.exec.command"
	negative := ".spec.worker.replicas: Invalid value: -1: should be a non-negative integer"
	replicas := number("spec.worker.replicas", 0, 1000)
	replicas[2].want = append([]string{negative}, replicas[2].want...)
	return slices.Concat(
		replicas,
		text("spec.worker.image", 1, 512, letters),
		podRows("spec.worker.podTemplate"),
		many(command, 64, func(n int) any { return fmt.Sprint(n) }, false),
		text(command+"[0]", 1, 4096, letters),
		required(command),
		envRowsAt("spec.worker.env"),
		[]row{
			some(command),
			refused("no way to run a job", set("spec.worker.exec", nil), rule("spec.worker", oneWay)),
			refused("two ways to run a job", set("spec.worker.http.port", int64(80)), rule("spec.worker", oneWay)),
			refused("no image", set("spec.worker.image", nil), rule("spec.worker", imageNeeded)),
			refused("resources in two places", patch(`spec: {worker: {podTemplate: {resources: {}}}}`), rule("spec.worker", ownResources)),
		},
	)
}

// envRowsAt are of the environment of a user's container.
func envRowsAt(at string) []row {
	const (
		naming  = "a variable's name is letters, digits and '_', begins with no digit, and not with TRELLIS_"
		twice   = "a variable has a value or comes from somewhere: remove value or valueFrom"
		oneFrom = "set exactly one of secretKeyRef and configMapKeyRef"
	)
	variable := func(more string) change { return patch(nest(at, `[{name: A, `+more+`}]`)) }
	one := func(name string) change { return set(at, []any{map[string]any{"name": name}}) }
	rows := slices.Concat(
		many(at, 64, named(), true),
		text(at+"[0].name", 1, 128, letters, ruleOf(at+"[0].name", "", naming)),
		[]row{
			refused("a variable without a name", patch(nest(at, `[{value: a}]`)), at+"[0].name: Required value"),
			allowed("a long value", variable(`value: `+letters(4096))),
			refused("too long a value", variable(`value: `+letters(4097)), at+"[0].value: Too long: may not be more than 4096 bytes"),
			refused("a value twice", variable(`value: a, valueFrom: {secretKeyRef: {name: a, key: b}}`), rule(at+"[0]", twice)),
			refused("a value from nowhere", variable(`valueFrom: {}`), rule(at+"[0].valueFrom", oneFrom)),
			refused("a value from two places", variable(`valueFrom: {secretKeyRef: {name: a, key: b}, configMapKeyRef: {name: a, key: b}}`), rule(at+"[0].valueFrom", oneFrom)),
		},
	)
	for _, name := range []string{"1A", "A-B", "TRELLIS_JOB_ID"} {
		rows = append(rows, refused("variable "+name, one(name), ruleOf(at+"[0].name", name, naming)))
	}
	for _, from := range []string{"secretKeyRef", "configMapKeyRef"} {
		path := at + "[0].valueFrom." + from
		ref := func(name, key string) change {
			return variable(fmt.Sprintf(`valueFrom: {%s: {%s%s}}`, from, name, key))
		}
		for i, field := range []string{"name", "key"} {
			with := func(value string) change {
				both := []string{"name: a, ", "key: b, "}
				both[i] = value
				return ref(both[0], both[1])
			}
			rows = append(rows,
				allowed(path+"."+field+" longest", with(fmt.Sprintf("%s: %s, ", field, letters(253)))),
				refused(path+"."+field+" missing", with(""), path+"."+field+": Required value"),
				refused(path+"."+field+" empty", with(field+`: "", `), fmt.Sprintf(`%s.%s: Invalid value: "": %s.%s in body should be at least 1 chars long`, path, field, path, field)),
				refused(path+"."+field+" too long", with(fmt.Sprintf("%s: %s, ", field, letters(254))), path+"."+field+": Too long: may not be more than 253 bytes"),
			)
		}
	}
	return rows
}

func workerHTTPRows() []row {
	const (
		port  = "spec.worker.http.port"
		path  = "spec.worker.http.path"
		taken = "port 8081 is taken by the runner beside the container: have the container listen at another one"
		form  = "path begins with / and has no blank, ? or #"
	)
	return slices.Concat(
		number(port, 1, 65535), required(port),
		text(path, 1, 1024, after("/"), ruleOf(path, "", form)),
		[]row{
			refused("the runner's port", set(port, int64(8081)), rule(port, "8081: "+taken)),
			refused("a path with a query", set(path, "/jobs?a=b"), ruleOf(path, "/jobs?a=b", form)),
			refused("a path without a slash", set(path, "jobs"), ruleOf(path, "jobs", form)),
			refused("no image", set("spec.worker.image", nil), rule("spec.worker", imageNeeded)),
		},
	)
}

func workerJobRows() []row {
	const (
		at       = "spec.worker.job."
		scaled   = "worker.job runs as many pods as there are jobs for: remove scaling, and set worker.job.maxParallel"
		counted  = "worker.job runs as many pods as there are jobs for: remove worker.replicas, and set worker.job.maxParallel"
		together = "with worker.job each pod runs one job: remove concurrency, and set worker.job.maxParallel"
	)
	return slices.Concat(
		many(at+"command", 64, func(n int) any { return fmt.Sprint(n) }, false),
		text(at+"command[0]", 1, 4096, letters),
		required(at+"command"),
		number(at+"maxParallel", 1, 100),
		durationRows(at+"ttlAfterFinished", "1m", "168h", "59s", "168h1s", "ttlAfterFinished must be between 1m and 168h"),
		[]row{
			some(at + "command"),
			allowed("what is so by default", patch(`spec: {concurrency: 1, worker: {replicas: 1}}`)),
			refused("scaled", set("spec.scaling.maxReplicas", int64(2)), rule("spec", scaled)),
			refused("several jobs a pod", set("spec.concurrency", int64(2)), rule("spec", together)),
			refused("a number of workers", set("spec.worker.replicas", int64(2)), rule("spec.worker", counted)),
			refused("none at all", set("spec.worker.replicas", int64(0)), rule("spec.worker", counted)),
			refused("no image", set("spec.worker.image", nil), rule("spec.worker", imageNeeded)),
			refused("two ways to run a job", set("spec.worker.exec.command", []any{"a"}), rule("spec.worker", oneWay)),
			updated("commands in one place", nil, patch(`spec: {worker: {job: null, exec: {command: [a]}}}`)),
		},
	)
}

func workerPullRows() []row {
	var rows []row
	for _, more := range []string{`image: a`, `env: [{name: A}]`, `resources: {}`, `podTemplate: {}`, `replicas: 2`} {
		rows = append(rows, refused("pulled with "+more, patch(`spec: {worker: {`+more+`}}`), rule("spec.worker", nothingToRun)))
	}
	return append(rows,
		allowed("as it is", nil),
		allowed("the number of workers by default", patch(`spec: {worker: {replicas: 1}}`)))
}
