# The images, for those who have Docker. `make images` assembles the same ones without it.
#   docker build --target operator -t ghcr.io/trellis-dev/trellis-operator:$(cat VERSION) .
#   docker build --target plane    -t ghcr.io/trellis-dev/trellis-plane:$(cat VERSION) .
FROM --platform=$BUILDPLATFORM golang:1.26 AS build
ARG TARGETOS TARGETARCH
WORKDIR /src
COPY go.mod go.sum VERSION ./
RUN --mount=type=cache,target=/go/pkg/mod go mod download
COPY . .
ENV CGO_ENABLED=0 GOOS=$TARGETOS GOARCH=$TARGETARCH
RUN --mount=type=cache,target=/go/pkg/mod --mount=type=cache,target=/root/.cache/go-build \
    flags="-trimpath -buildvcs=false" && version=$(cat VERSION) && \
    go build $flags -ldflags "-s -w -X main.version=$version" -o /out/trellis-operator . && \
    for name in trellis-plane trellis-runner; do \
      go build $flags -ldflags "-s -w -X github.com/trellis-dev/trellis/cmd/$name/app.Version=$version" \
        -o /out/$name ./cmd/$name || exit 1; \
    done

FROM gcr.io/distroless/static:nonroot AS operator
COPY --from=build /out/trellis-operator /trellis-operator
USER 65532:65532
ENTRYPOINT ["/trellis-operator"]

FROM gcr.io/distroless/static:nonroot AS plane
COPY --from=build /out/trellis-plane /trellis-plane
# Copied from here into the pods of workers.
COPY --from=build /out/trellis-runner /trellis-runner
USER 65532:65532
ENTRYPOINT ["/trellis-plane"]
