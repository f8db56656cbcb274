package images

import "runtime"

// multiarch is the folder of libraries in Debian, by the architecture of Go.
var multiarch = map[string]string{"amd64": "x86_64-linux-gnu", "arm64": "aarch64-linux-gnu"}[runtime.GOARCH]

// Examples lists images that only examples need, so that no cluster gets them unless it is told to: they are large.
func Examples() []Spec {
	libraries := "/usr/lib/" + multiarch + "/"
	links := linksTo("/usr/bin/busybox", "sh", "awk", "cat", "cut", "head", "ls", "ps", "sha256sum", "sleep", "tail", "touch", "wc")
	// Debian links these when they are installed, as there are several of them.
	links[libraries+"libblas.so.3"] = "blas/libblas.so.3"
	links[libraries+"liblapack.so.3"] = "lapack/liblapack.so.3"
	return []Spec{{
		// That of examples/video-platform, as its Containerfile makes it, but for what draws on screens.
		Settings: Settings{Name: "ghcr.io/trellis-dev/example-ffmpeg:7.1", Cmd: []string{"sh"}, WorkingDir: "/",
			Env: shellPath, User: Identity{"nonroot", NonRoot}},
		Suite:    engineSuite,
		Packages: []string{"busybox", "curl", "ffmpeg", "jq"},
		Without:  []string{"libgl1-mesa-dri", "libglx-mesa0", "libllvm19", "libz3-4", "mesa-libgallium"},
		Unwanted: []string{libraries + "caca", libraries + "gbm"},
		Links:    links,
	}}
}
