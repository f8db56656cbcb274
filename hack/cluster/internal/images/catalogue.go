package images

import (
	"github.com/trellis-dev/trellis/hack/cluster/internal/units"
)

// Spec declares an image. It is made of executables that package components builds, of Debian packages, or of both.
type Spec struct {
	Settings Settings
	// Executables are paths in the image, by the name of the component that lies there.
	Executables map[string]string
	// Packages are Debian packages of the suite. Of what they depend on, libraries come along; programs only if they
	// are listed too. Without names libraries to leave out, and Unwanted the files and folders of packages.
	Packages []string
	Without  []string
	Unwanted []string
	Suite    string
	// Links are symbolic links, by path. Writable are folders that belong to the image's user.
	Links    map[string]string
	Writable []string
	// Bare leaves out what Base gives.
	Bare bool
}

// CoreDNSImage answers the cluster's name look-ups.
const CoreDNSImage = "registry.k8s.io/coredns/coredns:v1.15.0"

const engineSuite = "trixie"

// Catalogue lists the images that every cluster gets. To add an engine, add its declaration here.
func Catalogue() []Spec {
	return []Spec{
		{
			Settings:    Settings{Name: units.PauseImage, Entrypoint: []string{"/pause"}, User: Identity{"pause", 65535}},
			Executables: map[string]string{"pause": "/pause"},
			Bare:        true,
		},
		{
			Settings:    Settings{Name: CoreDNSImage, Entrypoint: []string{"/coredns"}, User: Identity{"nonroot", NonRoot}},
			Executables: map[string]string{"coredns": "/coredns"},
		},
		{
			// The public image has nothing but this either: no shell, and no user of its own.
			Settings:    Settings{Name: "docker.io/library/nats:2.15", Entrypoint: []string{"/nats-server"}, User: Identity{"nats", 1000}},
			Executables: map[string]string{"nats-server": "/nats-server"},
		},
		{
			// The public image has its program there; its Alpine is not used.
			Settings:    Settings{Name: "docker.io/versity/versitygw:v1.8.0", Entrypoint: []string{"/usr/local/bin/versitygw"}, User: Identity{"versitygw", 1000}},
			Executables: map[string]string{"versitygw": "/usr/local/bin/versitygw"},
		},
		{
			Settings: Settings{Name: "docker.io/library/postgres:17", Cmd: []string{"postgres"}, WorkingDir: "/",
				Env: postgresPath, User: Identity{"postgres", 999}},
			Suite:    engineSuite,
			Packages: []string{"postgresql-17", "postgresql-client-17", "libc-bin", "tzdata", "util-linux", "busybox"},
			// The compiler of queries is as large as all else together, and is not used.
			Without:  []string{"libllvm19"},
			Unwanted: []string{"/usr/lib/postgresql/17/lib/llvmjit.so", "/usr/lib/postgresql/17/lib/bitcode"},
			Links:    busyboxLinks,
			Writable: []string{"/data"},
		},
		{
			// For commands of a few lines: the workers of examples and tests.
			Settings: Settings{Name: "docker.io/library/busybox:1.37", Cmd: []string{"sh"}, WorkingDir: "/",
				Env: shellPath, User: Identity{"nobody", 65534}},
			Suite:    engineSuite,
			Packages: []string{"busybox-static"},
			Links:    toolLinks,
		},
		{
			Settings: Settings{Name: "docker.io/valkey/valkey:8.1", Cmd: []string{"valkey-server"}, WorkingDir: "/data",
				Env: shellPath, User: Identity{"valkey", 999}},
			Suite: engineSuite,
			// Its timeout is that of the public image: BusyBox's leaves a process behind, which a server that is process 1 never reaps.
			Packages: []string{"valkey-server", "valkey-tools", "valkey-sentinel", "busybox", "coreutils"},
			Links:    linksTo("/usr/bin/busybox", "sh", "grep", "ps", "sed"),
			Writable: []string{"/data"},
		},
	}
}

var postgresPath = []string{shellPath[0] + ":/usr/lib/postgresql/17/bin"}

var shellPath = []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin"}

// busyboxLinks give an image a shell and what one reaches for when looking into a pod.
var busyboxLinks = linksTo("/usr/bin/busybox", "sh", "cat", "ls", "ps", "grep", "sleep", "env", "id", "head", "tail", "wc", "cp", "mv", "rm", "mkdir", "df", "du", "stat",
	"timeout", "chmod", "sed", "touch")

// toolLinks are those of a script that works on text, too.
var toolLinks = linksTo("/usr/bin/busybox", "sh", "ash", "awk", "basename", "cat", "cp", "cut", "date", "dirname", "echo", "env", "expr", "false",
	"find", "grep", "head", "hostname", "id", "ls", "mkdir", "mktemp", "mv", "nc", "od", "printf", "ps", "rm", "rmdir", "sed", "seq", "sha256sum",
	"sleep", "sort", "stat", "tail", "tee", "test", "timeout", "touch", "tr", "true", "uname", "uniq", "wc", "wget", "xargs", "yes")

func linksTo(target string, names ...string) map[string]string {
	links := map[string]string{}
	for _, n := range names {
		links["/usr/bin/"+n] = target
	}
	return links
}
