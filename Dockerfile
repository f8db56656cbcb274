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
    flags="-trimpath -buildvcs=false" && ld="-s -w -X main.version=$(cat VERSION)" && \
    go build $flags -ldflags "$ld" -o /out/trellis-operator . && \
    go build $flags -ldflags "$ld" -o /out/trellis-plane ./cmd/trellis-plane

FROM gcr.io/distroless/static:nonroot AS operator
COPY --from=build /out/trellis-operator /trellis-operator
USER 65532:65532
ENTRYPOINT ["/trellis-operator"]

FROM gcr.io/distroless/static:nonroot AS plane
COPY --from=build /out/trellis-plane /trellis-plane
USER 65532:65532
ENTRYPOINT ["/trellis-plane"]
